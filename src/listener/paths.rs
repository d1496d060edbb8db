//! Facts about clients and hosts that go beyond one listener, bounded in number.
//!
//! Owns when the way from a client to a host lived, at how many listeners a client knocked in vain, which hosts failed it
//! at the same time, and which ports were used before. Does not own what that means (`hypotheses`).

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;

use indexmap::IndexMap;

use super::observed::dropped_between;
use crate::handshake::{Attempt, Fact, PortsBefore, Verdict};
use crate::packet::{Span, Timestamp};

/// Clients and ways kept; past that the oldest half is dropped.
const MOST: usize = 4096;

/// Entries of the cache of ports, a power of two.
const PORTS: usize = 1 << 13;

/// Seconds for which a way's life is kept.
const SECONDS: i64 = 256;

type Seeded = foldhash::quality::RandomState;

/// Facts about clients, and about the ways from one address to another; at most [`MOST`] of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    ways: IndexMap<(IpAddr, IpAddr), Way, Seeded>,
    clients: IndexMap<IpAddr, ClientOnPath, Seeded>,
    /// Connections by hash of client endpoint and server.
    ports: Vec<PortUse>,
    /// Without a seed: what is found does not depend on the run.
    hasher: foldhash::quality::FixedState,
}

/// The seconds in which segments of a client reached a host, as a ring of bits.
#[derive(Debug, Clone, Copy, Default)]
struct Way {
    latest: i64,
    bits: [u64; 4],
}

/// A set of listeners, as bits of their hashes.
#[derive(Debug, Clone, Copy, Default)]
struct ListenerSet([u64; 4]);

impl ListenerSet {
    fn add(&mut self, hash: u64) {
        self.0[(hash >> 6 & 3) as usize] |= 1 << (hash & 63);
    }

    /// Number of them, at least.
    fn count(&self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }
}

/// Listeners of a client, as bits of their hashes.
#[derive(Debug, Clone, Copy, Default)]
struct ClientOnPath {
    knocked: ListenerSet,
    served: ListenerSet,
    lost: u64,
    /// The latest hosts that failed it, each with the time at which its failure began.
    failed: [Option<(IpAddr, Timestamp)>; FAILED],
}

/// Hosts that failed a client which are kept.
const FAILED: usize = 4;

/// Hosts that fail a client no further apart than this fail it at the same time.
const TOGETHER: Span = Span::from_secs(1);

/// The last connection that used a client's port at a server.
#[derive(Debug, Clone, Copy, Default)]
struct PortUse {
    /// Of client endpoint and server; 0 where there is none.
    hash: u64,
    end: Timestamp,
    /// The client's latest TSval.
    clock: Option<u32>,
}

impl Paths {
    /// Takes a settled attempt; gives the connection that had its ports before.
    pub(super) fn see(&mut self, attempt: &Attempt) -> Option<PortsBefore> {
        let (client, host) = (attempt.client.ip(), attempt.server.ip());
        let facts = attempt.facts;
        // A SYN that was answered shows the way only if what follows it arrived too: stateful firewalls pass SYNs alone.
        if facts.has(Fact::Established) && attempt.retries.after_ack == 0 {
            self.live((client, host), attempt.start);
            self.live((client, host), attempt.end);
        }
        let server = self.hasher.hash_one(attempt.server);
        let vain = matches!(
            attempt.verdict,
            Verdict::Refused | Verdict::Unanswered | Verdict::ClientReset | Verdict::Unreachable
        );
        let lost = dropped_between(attempt).is_some();
        let served = attempt.verdict.is_completed();
        if vain || lost || served && self.clients.contains_key(&client) {
            let known = entry(&mut self.clients, client);
            if vain {
                known.knocked.add(server);
            }
            if served {
                known.served.add(server);
            }
            known.lost |= u64::from(lost) << (server & 63);
        }
        if let Some(since) = failed_since(attempt) {
            entry(&mut self.clients, client).fail(host, since);
        }
        self.reuse(attempt)
    }

    fn reuse(&mut self, attempt: &Attempt) -> Option<PortsBefore> {
        if self.ports.is_empty() {
            self.ports = vec![PortUse::default(); PORTS];
        }
        let hash = self.hasher.hash_one((attempt.client, attempt.server));
        let place = self.ports.get_mut(hash as usize & (PORTS - 1))?;
        let since = attempt.start.since(place.end);
        let before = (place.hash == hash && since > Span::ZERO).then(|| PortsBefore {
            since,
            clock_ahead: place
                .clock
                .zip(attempt.client_clock)
                .is_some_and(|(before, clock)| before.wrapping_sub(clock.syn).cast_signed() > 0),
        });
        // Only what the server has taken for a connection is in the way of the next.
        if attempt.acked.is_some() {
            *place =
                PortUse { hash, end: attempt.end, clock: attempt.client_clock.map(|clock| clock.latest) };
        }
        before
    }

    fn live(&mut self, way: (IpAddr, IpAddr), at: Timestamp) {
        let second = at.second();
        let way = entry(&mut self.ways, way);
        let ahead = second - way.latest;
        if ahead >= SECONDS || way.bits == [0; 4] {
            *way = Way { latest: second, bits: [0; 4] };
        } else if ahead > 0 {
            (way.latest + 1..=second).for_each(|gone| way.set(gone, false));
            way.latest = second;
        } else if ahead <= -SECONDS {
            return;
        }
        way.set(second, true);
    }

    /// True if segments of `client` reached `host` strictly between these times, by whole seconds.
    pub(super) fn lived(&self, client: IpAddr, host: IpAddr, from: Timestamp, to: Timestamp) -> bool {
        let (from, to) = (from.second() + 1, to.second());
        let Some(way) = self.ways.get(&(client, host)) else { return false };
        let from = from.max(way.latest - SECONDS + 1);
        (from..to.min(way.latest + 1)).any(|second| way.has(second))
    }

    /// Listeners at which a client knocked in vain, at least.
    pub(super) fn knocked(&self, client: IpAddr) -> u32 {
        self.clients.get(&client).map_or(0, |known| known.knocked.count())
    }

    /// Listeners at which it got a connection since, at least.
    pub(super) fn served(&self, client: IpAddr) -> u32 {
        self.clients.get(&client).map_or(0, |known| known.served.count())
    }

    /// Other hosts than this that failed the client at the same time, at least.
    pub(super) fn failed_together(&self, client: IpAddr, host: IpAddr, since: Timestamp) -> u32 {
        let Some(known) = self.clients.get(&client) else { return 0 };
        let together =
            |&&(other, at): &&(IpAddr, Timestamp)| other != host && at.since(since).abs() <= TOGETHER;
        known.failed.iter().flatten().filter(together).count() as u32
    }

    /// Listeners that lost a client's SYNs, at least.
    pub(super) fn lossy(&self, client: IpAddr) -> u32 {
        self.clients.get(&client).map_or(0, |known| known.lost.count_ones())
    }
}

impl ClientOnPath {
    /// Adds a host that failed the client; of those kept the earliest makes room.
    fn fail(&mut self, host: IpAddr, since: Timestamp) {
        let of_host = |kept: &Option<(IpAddr, Timestamp)>| {
            kept.is_none_or(|(other, at)| other == host && at.since(since).abs() <= TOGETHER)
        };
        let place = self.failed.iter().position(of_host).unwrap_or_else(|| {
            let begun = |place: &usize| self.failed[*place].map(|(_, at)| at);
            (0..FAILED).min_by_key(begun).unwrap_or(0)
        });
        self.failed[place] = Some((host, since));
    }
}

/// Time from which on nothing of the client's reached the host, or nothing of it came back; `None` for an attempt that
/// the host answered.
pub(super) fn failed_since(attempt: &Attempt) -> Option<Timestamp> {
    match attempt.verdict {
        Verdict::AckIgnored => attempt.acked,
        // Once alone may be a deferral, at each of several hosts.
        Verdict::SynackRetransmitted
            if attempt.retries.after_ack >= 2 || attempt.facts.has(Fact::DataIgnored) =>
        {
            attempt.acked
        }
        Verdict::Unanswered if attempt.retries.syn > 0 => Some(attempt.start),
        Verdict::Unanswered
        | Verdict::SynackRetransmitted
        | Verdict::Completed
        | Verdict::CompletedLate
        | Verdict::ResetAfterAck
        | Verdict::Refused
        | Verdict::Unreachable
        | Verdict::HalfOpen
        | Verdict::ClientReset
        | Verdict::Undetermined => None,
    }
}

impl Way {
    fn place(second: i64) -> (usize, u32) {
        let bit = second.rem_euclid(SECONDS);
        ((bit / 64) as usize, (bit % 64) as u32)
    }

    fn set(&mut self, second: i64, lived: bool) {
        let (word, bit) = Self::place(second);
        self.bits[word] = self.bits[word] & !(1 << bit) | u64::from(lived) << bit;
    }

    fn has(&self, second: i64) -> bool {
        let (word, bit) = Self::place(second);
        self.bits[word] >> bit & 1 == 1
    }
}

fn entry<K: Hash + Eq + Copy, V: Default>(map: &mut IndexMap<K, V, Seeded>, key: K) -> &mut V {
    if map.len() >= MOST && !map.contains_key(&key) {
        map.drain(..MOST / 2);
    }
    map.entry(key).or_default()
}
