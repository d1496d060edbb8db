//! Failures of one client: the listeners and hosts that failed it, and the listeners that served it.

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::handshake::{Attempt, Verdict};
use crate::packet::{Span, Timestamp};

/// A set of listeners, as bits of their hashes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ListenerSet([u64; 4]);

impl ListenerSet {
    pub(super) fn add(&mut self, hash: u64) {
        self.0[(hash >> 6 & 3) as usize] |= 1 << (hash & 63);
    }

    /// Number of them, at least.
    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }
}

/// Failures of a client, and the listeners that served it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClientFailures {
    failed_at: ListenerSet,
    pub(super) served_at: ListenerSet,
    /// Ports of the listeners that failed it, as bits of their numbers.
    failed_ports: u64,
    /// True if a listener failed it otherwise than by a refusal.
    unrefused: bool,
    /// Listeners that lost its SYNs, as bits of their hashes.
    pub(super) lost_at: u64,
    /// The latest hosts that failed it.
    failed_by: [Option<FailedHost>; MAX_FAILED_HOSTS],
}

/// A host that failed a client, and the time from its first failure to its last.
#[derive(Debug, Clone, Copy)]
struct FailedHost {
    host: IpAddr,
    from: Timestamp,
    to: Timestamp,
    /// All were late: a retry succeeded.
    late: bool,
}

/// Most hosts kept that failed a client.
const MAX_FAILED_HOSTS: usize = 4;

/// Longest time between failures of several hosts that count as one moment.
const FAILED_TOGETHER: Span = Span::from_secs(1);

/// Longest time of failures that are kept as one: a host that is down fails at any time.
const LONGEST_OUTAGE: Span = Span::from_secs(10);

impl ClientFailures {
    /// A client that has not failed yet, and was served at these listeners.
    pub(super) fn none(served_at: ListenerSet) -> Self {
        Self { served_at, ..Self::default() }
    }

    /// Other hosts than this one that failed the client at that time, at least; `or_late` counts those too that a retry reached.
    pub(super) fn failed_with(&self, host: IpAddr, since: Timestamp, or_late: bool) -> u32 {
        let together = |failed: &&FailedHost| {
            failed.host != host && failed.touches(since, since) && (or_late || !failed.late)
        };
        let hosts: SmallVec<[IpAddr; MAX_FAILED_HOSTS]> =
            self.failed_by.iter().flatten().filter(together).map(|failed| failed.host).collect();
        let first = |&(place, host): &(usize, &IpAddr)| !hosts[..place].contains(host);
        hosts.iter().enumerate().filter(first).count() as u32
    }

    /// Adds a listener, with this hash, that failed the client in an attempt.
    pub(super) fn fail_at(&mut self, listener: u64, attempt: &Attempt) {
        self.failed_at.add(listener);
        self.failed_ports |= 1 << (attempt.server.port() & 63);
        self.unrefused |= attempt.verdict != Verdict::Refused;
    }

    /// Number of listeners that failed it, at least.
    pub(super) fn failed_listeners(&self) -> u32 {
        self.failed_at.count()
    }

    /// True if all that failed it refused it, at one port or two of many hosts.
    pub(super) fn is_refused_by_hosts(&self) -> bool {
        const MAX_PORTS: u32 = 2;
        !self.unrefused && self.failed_ports.count_ones() <= MAX_PORTS
    }

    /// Adds a host that failed the client from one time to another. Of those kept one that failed it at another time makes room, the
    /// earliest, or one that it reached by a retry for one that it did not.
    pub(super) fn fail(&mut self, host: IpAddr, (from, to): (Timestamp, Timestamp), late: bool) {
        let failed = FailedHost { host, from, to, late };
        let takes = |kept: &FailedHost| kept.takes(&failed);
        let place = self.failed_by.iter().position(|kept| kept.as_ref().is_none_or(takes)).or_else(|| {
            let kept = self.failed_by.iter().enumerate().filter_map(|(place, kept)| Some((place, (*kept)?)));
            let room = kept.filter(|(_, kept)| !kept.touches(from, to) || kept.late && !late);
            room.min_by_key(|(_, kept)| kept.to).map(|(place, _)| place)
        });
        let Some(slot) = place.and_then(|place| self.failed_by.get_mut(place)) else { return };
        *slot = Some(slot.filter(takes).map_or(failed, |kept| kept.joined(&failed)));
    }
}

impl FailedHost {
    /// True if failures from one time to another are no more than a moment from these.
    fn touches(&self, from: Timestamp, to: Timestamp) -> bool {
        self.from.minus(FAILED_TOGETHER) <= to && from <= self.to.plus(FAILED_TOGETHER)
    }

    /// True if others are kept with these.
    fn takes(&self, other: &Self) -> bool {
        let joined = self.joined(other);
        self.host == other.host
            && self.touches(other.from, other.to)
            && joined.to.since(joined.from) <= LONGEST_OUTAGE
    }

    fn joined(&self, other: &Self) -> Self {
        let (from, to) = (self.from.min(other.from), self.to.max(other.to));
        Self { host: self.host, from, to, late: self.late && other.late }
    }
}
