//! Facts about clients and hosts that go beyond one listener, bounded in number.
//!
//! Owns when segments of a client reached a host, at how many listeners a client failed, and which ports were used before. Does not own what that means (`hypotheses`).

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;

use indexmap::IndexMap;

use super::observed::dropped_between;
use crate::handshake::{Attempt, Fact, Verdict};
use crate::packet::{Span, Timestamp};

/// Bound on clients and on paths; past it the oldest half is dropped.
const MOST: usize = 4096;

/// Entries of the cache of ports, a power of two.
const PORTS: usize = 1 << 13;

/// Seconds for which it is kept when a path worked.
const SECONDS: i64 = 256;

type Seeded = foldhash::quality::RandomState;

/// Facts about clients, and about the paths from one address to another; at most [`MOST`] of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    paths: IndexMap<(IpAddr, IpAddr), Path, Seeded>,
    clients: IndexMap<IpAddr, ClientFailures, Seeded>,
    /// By hash of client endpoint and server: the hash, and when the attempt ended.
    ports: Vec<(u64, Timestamp)>,
    /// Without a seed: what is found does not depend on the run.
    hasher: foldhash::quality::FixedState,
}

/// The seconds in which segments of a client reached a host, as a ring of bits.
#[derive(Debug, Clone, Copy, Default)]
struct Path {
    latest: i64,
    bits: [u64; 4],
}

/// Failures of a client, with the listeners concerned as bits of their hashes.
#[derive(Debug, Clone, Copy, Default)]
struct ClientFailures {
    failed_at: [u64; 4],
    lost_at: u64,
}

impl Paths {
    /// Takes a settled attempt; gives how long before it its ports were used.
    pub(super) fn see(&mut self, attempt: &Attempt) -> Option<Span> {
        let (client, host) = (attempt.client.ip(), attempt.server.ip());
        let facts = attempt.facts;
        // A SYN that was answered shows that the path works only if what follows it arrived, too: stateful firewalls pass SYNs alone.
        if facts.has(Fact::Established) && attempt.retries.after_ack == 0 {
            self.mark((client, host), attempt.start);
            self.mark((client, host), attempt.end);
        }
        let server = self.hasher.hash_one(attempt.server);
        let failed = matches!(
            attempt.verdict,
            Verdict::Refused | Verdict::Unanswered | Verdict::ClientReset | Verdict::Unreachable
        );
        let lost = dropped_between(attempt).is_some();
        if failed || lost {
            let known = entry(&mut self.clients, client);
            if failed {
                known.failed_at[(server >> 6 & 3) as usize] |= 1 << (server & 63);
            }
            known.lost_at |= u64::from(lost) << (server & 63);
        }
        self.reuse(attempt)
    }

    fn reuse(&mut self, attempt: &Attempt) -> Option<Span> {
        if self.ports.is_empty() {
            self.ports = vec![(0, Timestamp::default()); PORTS];
        }
        let hash = self.hasher.hash_one((attempt.client, attempt.server));
        let place = self.ports.get_mut(hash as usize & (PORTS - 1))?;
        let before =
            (place.0 == hash).then(|| attempt.start.since(place.1)).filter(|&span| span > Span::ZERO);
        *place = (hash, attempt.end);
        before
    }

    fn mark(&mut self, path: (IpAddr, IpAddr), at: Timestamp) {
        let second = at.second();
        let path = entry(&mut self.paths, path);
        let ahead = second - path.latest;
        if ahead >= SECONDS || path.bits == [0; 4] {
            *path = Path { latest: second, bits: [0; 4] };
        } else if ahead > 0 {
            (path.latest + 1..=second).for_each(|second| path.set(second, false));
            path.latest = second;
        } else if ahead <= -SECONDS {
            return;
        }
        path.set(second, true);
    }

    /// True if segments of `client` reached `host` strictly between these times, by whole seconds.
    pub(super) fn worked(&self, client: IpAddr, host: IpAddr, from: Timestamp, to: Timestamp) -> bool {
        let (from, to) = (from.second() + 1, to.second());
        let Some(path) = self.paths.get(&(client, host)) else { return false };
        let from = from.max(path.latest - SECONDS + 1);
        (from..to.min(path.latest + 1)).any(|second| path.has(second))
    }

    /// Number of listeners at which a client failed, at least.
    pub(super) fn failed_listeners(&self, client: IpAddr) -> u32 {
        self.clients
            .get(&client)
            .map_or(0, |known| known.failed_at.iter().map(|bits| bits.count_ones()).sum())
    }

    /// Number of listeners at which SYNs of a client were lost, at least.
    pub(super) fn lossy_listeners(&self, client: IpAddr) -> u32 {
        self.clients.get(&client).map_or(0, |known| known.lost_at.count_ones())
    }
}

impl Path {
    fn place(second: i64) -> (usize, u32) {
        let bit = second.rem_euclid(SECONDS);
        ((bit / 64) as usize, (bit % 64) as u32)
    }

    fn set(&mut self, second: i64, worked: bool) {
        let (word, bit) = Self::place(second);
        self.bits[word] = self.bits[word] & !(1 << bit) | u64::from(worked) << bit;
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
