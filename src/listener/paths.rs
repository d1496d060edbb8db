//! Facts about clients and hosts that go beyond one listener, bounded in number.
//!
//! Owns when the way from a client to a host lived, at how many listeners a client knocked in vain, and which ports were
//! used before. Does not own what that means (`hypotheses`).

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;

use indexmap::IndexMap;

use super::observed::dropped_between;
use crate::handshake::{Attempt, Fact, Verdict};
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
    /// By hash of client endpoint and server: the hash, and when the attempt ended.
    ports: Vec<(u64, Timestamp)>,
    /// Without a seed: what is found does not depend on the run.
    hasher: foldhash::quality::FixedState,
}

/// The seconds in which segments of a client reached a host, as a ring of bits.
#[derive(Debug, Clone, Copy, Default)]
struct Way {
    latest: i64,
    bits: [u64; 4],
}

/// Listeners of a client, as bits of their hashes.
#[derive(Debug, Clone, Copy, Default)]
struct ClientOnPath {
    knocked: [u64; 4],
    lost: u64,
}

impl Paths {
    /// Takes a settled attempt; gives how long before it its ports were used.
    pub(super) fn see(&mut self, attempt: &Attempt) -> Option<Span> {
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
        if vain || lost {
            let known = entry(&mut self.clients, client);
            if vain {
                known.knocked[(server >> 6 & 3) as usize] |= 1 << (server & 63);
            }
            known.lost |= u64::from(lost) << (server & 63);
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
        self.clients.get(&client).map_or(0, |known| known.knocked.iter().map(|bits| bits.count_ones()).sum())
    }

    /// Listeners that lost a client's SYNs, at least.
    pub(super) fn lossy(&self, client: IpAddr) -> u32 {
        self.clients.get(&client).map_or(0, |known| known.lost.count_ones())
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
