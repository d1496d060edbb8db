//! Facts about clients and hosts that go beyond one listener, bounded in number.
//!
//! Owns when segments left a client that reached a host, when it finished handshakes, at how many listeners a client failed, which
//! hosts failed it at the same time, which ports were used before, the TSvals of an address, and the round trips of a path. Does
//! not own what that means (`hypotheses`).

use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};

use super::client_failures::{ClientFailures, ListenerSet};
use super::latest::LatestByHash;
use super::observed::{ActivePeriod, dropped_between, has_dropped_syn, is_in_vain, synack_time};
use super::round_trip_samples::RoundTripSamples;
use super::stamps::AddressStamps;
use crate::handshake::{Attempt, ClientClock, Fact, PortsBefore, Verdict};
use crate::packet::{Endpoint, Seeded, Seq, Span, Timestamp, ticks_between};
use crate::prefetch::prefetch;

/// Most clients, and most paths; past it the oldest half is dropped.
const MAX_ENTRIES: usize = 4096;

/// Most clients of which it is kept what served them.
const MAX_SERVED: usize = 4 * MAX_ENTRIES;

/// Entries of the port cache, a power of two.
const PORT_ENTRIES: usize = 1 << 13;

/// Slots per second of [`ReachedTimes`].
const SLOTS_PER_SECOND: i64 = 16;

/// Slots in one word of [`ReachedTimes`]: 4 s.
const SLOTS_OF_WORD: i64 = u64::BITS as i64;

/// Words of [`ReachedTimes`]: it is remembered for about 64 s when a path worked, as long as a request lives.
const WORDS: i64 = 16;

/// Facts about clients, and about the paths from one address to another; at most [`MAX_ENTRIES`] of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    /// By hash of the client's address and the host's: of so many entries two share a hash by chance once in 10^12 runs.
    paths: LatestByHash<PathFacts, MAX_ENTRIES>,
    /// By hash of the address.
    clients: LatestByHash<ClientFailures, MAX_ENTRIES>,
    /// The listeners that served clients, by hash of the address; `None` until it matters what a client got before its failures.
    served: Option<Box<LatestByHash<ListenerSet, MAX_SERVED>>>,
    keys: Seeded,
    /// Connections by hash of client endpoint and server.
    ports: Vec<PortUse>,
    /// SYNs whose SYN-ACK the client reset, by hash of client endpoint, server and ISN.
    resets: LatestByHash<ResetSyn, MAX_RESETS>,
    /// Without a seed: what is found does not depend on the run.
    hasher: foldhash::quality::FixedState,
}

/// Place of a connection in the port cache.
const fn port_place(hash: u64) -> usize {
    hash as usize & (PORT_ENTRIES - 1)
}

/// Facts about the path from one address to another.
#[derive(Debug, Clone, Default)]
struct PathFacts {
    stamps: AddressStamps,
    reached: ReachedTimes,
    round_trips: RoundTripSamples,
    /// The latest period of handshakes that the client finished with any listener of the host.
    finished: Option<ActivePeriod>,
    /// The host has sent the client data.
    used: bool,
}

/// The times at which segments left a client that reached a host, in slots, as a ring of bits.
/// Slot 0 is 1970: `latest` is 0 before the first.
#[derive(Debug, Clone, Copy, Default)]
struct ReachedTimes {
    latest: i64,
    bits: [u64; WORDS as usize],
}

/// Most SYNs kept whose SYN-ACK was reset.
const MAX_RESETS: usize = 1024;

/// Longest time between two SYNs of one attempt: time-outs back off to 120 s (DOMAIN §4).
const LONGEST_GAP: Span = Span::from_secs(130);

/// A SYN whose SYN-ACK the client reset.
#[derive(Debug, Clone, Copy)]
struct ResetSyn {
    /// The time of the latest with this number.
    latest: Timestamp,
    /// The SYN came again after the reset.
    came_again: bool,
}

/// The last connection that used a client's port at a server.
#[derive(Debug, Clone, Copy, Default)]
struct PortUse {
    /// Of client endpoint and server; 0 where there is none.
    hash: u64,
    end: Timestamp,
    client_isn: Seq,
    clock: Option<ClientClock>,
}

impl Paths {
    /// Takes a settled attempt, and adds to it the connection that had its ports before, and whether its timestamp is older
    /// than that of an earlier connection from its address.
    ///
    /// Decides by the round trips of its client's other connects whether a retry was needed, if its packets leave that open.
    /// Of a client of which nothing but a flood's SYN is known there is nothing to remember: others would make room for it.
    pub(super) fn see(&mut self, attempt: &mut Attempt, is_of_flood: bool) {
        self.decide_delay(attempt);
        let dropped = has_dropped_syn(attempt);
        self.see_failures(attempt, dropped, is_of_flood);
        self.see_reset(attempt);
        attempt.ports_before = self.reuse(attempt);
        attempt.has_older_stamp = self.see_path(attempt, dropped);
        attempt.path_worked = self.worked_through(attempt);
    }

    /// Takes note of a SYN whose SYN-ACK the client reset, and whether it comes again. Programs that make their own SYNs, without
    /// timestamps, use a number again at any time.
    fn see_reset(&mut self, attempt: &Attempt) {
        let start = attempt.start;
        let again = |known: &mut ResetSyn| {
            known.came_again |= start > known.latest && start.since(known.latest) <= LONGEST_GAP;
            known.latest = start.max(known.latest);
        };
        if attempt.was_reset_at_synack() && attempt.client_clock.is_some() {
            let key = self.syn_key(attempt);
            again(self.resets.get_or_insert(key, || ResetSyn { latest: start, came_again: false }));
        } else if !self.resets.is_empty() && attempt.facts.has(Fact::SynAckSeen) {
            let key = self.syn_key(attempt);
            self.resets.get_mut(key).into_iter().for_each(again);
        }
    }

    /// True if the attempt's SYN was sent again after the client's RST to its SYN-ACK, or before it: the client had not given up, and
    /// may not have sent the RST.
    pub(super) fn outlives_reset(&self, attempt: &Attempt) -> bool {
        !self.resets.is_empty()
            && attempt.was_reset_at_synack()
            && self.resets.get(self.syn_key(attempt)).is_some_and(|known| known.came_again)
    }

    fn syn_key(&self, attempt: &Attempt) -> u64 {
        self.keys.hash_one((attempt.client, attempt.server, attempt.client_isn))
    }

    /// True if nothing is known of an attempt's client, address and ports.
    pub(super) fn is_new(&self, attempt: &Attempt) -> bool {
        let Attempt { client, server, .. } = *attempt;
        let ports = self.ports_hash(client, server);
        self.client(client).is_none()
            && self.paths.get(self.path_key(client, server)).is_none()
            && self.ports.get(port_place(ports)).is_none_or(|place| place.hash != ports)
    }

    /// Takes an attempt that looks stuck, before it is settled: a scan that goes on shows before its first ports are settled.
    pub(super) fn see_provisional(&mut self, attempt: &Attempt) {
        if is_in_vain(attempt) {
            let server = self.hasher.hash_one(attempt.server);
            self.failures(self.client_key(attempt.client)).fail_at(server, attempt);
        }
    }

    /// Prefetches what [`Self::see`] needs for an attempt of these.
    #[inline(always)]
    pub(super) fn prefetch(&self, client: Endpoint, server: Endpoint) {
        self.clients.prefetch(self.client_key(client));
        self.paths.prefetch(self.path_key(client, server));
        prefetch(self.ports.as_ptr().wrapping_add(port_place(self.ports_hash(client, server))));
    }

    /// Takes note of whether the client failed or was served, and where; `dropped` is whether it lost SYNs.
    fn see_failures(&mut self, attempt: &Attempt, dropped: bool, is_of_flood: bool) {
        let client = self.client_key(attempt.client);
        let failed = match attempt.verdict {
            Verdict::Refused | Verdict::Unanswered | Verdict::Unreachable => true,
            // A SYN-ACK to a host that sent no SYN is no failure of its own.
            Verdict::ClientReset => !attempt.is_syn_missing(),
            Verdict::Undetermined => attempt.may_lack_answer(),
            _ => false,
        };
        let served = attempt.verdict.is_completed();
        let late = dropped && attempt.verdict == Verdict::CompletedLate;
        let time = match failed_since(attempt) {
            Some(since) => Some((since, since)),
            None => dropped_between(attempt).filter(|_| late),
        };
        let hasher = self.hasher.clone();
        if let Some(all) = self.served.as_mut().filter(|_| served) {
            all.get_or_insert(client, ListenerSet::default).add(hasher.hash_one(attempt.server));
        }
        let known = if !is_of_flood && (failed || dropped || time.is_some()) {
            Some(self.failures(client))
        } else if served || is_of_flood {
            self.clients.get_mut(client)
        } else {
            None
        };
        let Some(known) = known else { return };
        if failed || dropped || served {
            let server = hasher.hash_one(attempt.server);
            if failed {
                known.fail_at(server, attempt);
            }
            if served {
                known.served_at.add(server);
            }
            known.lost_at |= u64::from(dropped) << (server & 63);
        }
        if let Some(time) = time {
            known.fail(attempt.server.ip(), time, late);
        }
    }

    /// Decides by the median of its client's round trips at its listener whether an attempt was late (DOMAIN §4).
    pub(super) fn decide_delay(&self, attempt: &mut Attempt) {
        if !attempt.is_delay_unclear() {
            return;
        }
        if let Some((server, client)) = self.round_trips(attempt) {
            attempt.decide_delay(server, client);
        }
    }

    /// The medians of the round trips of an attempt's client at its listener, on both sides of the capture.
    fn round_trips(&self, attempt: &Attempt) -> Option<(Span, Span)> {
        let path = self.paths.get(self.path_key(attempt.client, attempt.server))?;
        path.round_trips.medians(attempt.server.port())
    }

    /// The median time from a SYN-ACK of the listener to the ACK of the attempt's client.
    pub(super) fn client_round_trip(&self, attempt: &Attempt) -> Option<Span> {
        self.round_trips(attempt).map(|(_, client)| client)
    }

    /// True if the RST that refused the attempt's SYN has another TTL than the listener's latest SYN-ACKs to the client, and came in less than
    /// half of their time.
    pub(super) fn is_refused_otherwise(&self, attempt: &Attempt) -> bool {
        let path = self.paths.get(self.path_key(attempt.client, attempt.server));
        path.is_some_and(|path| path.round_trips.differ_from_refusal(attempt))
    }

    /// Takes note of when the path worked, and compares the timestamp of an attempt that was answered at once, or not at
    /// all, with those of its address: true if it is older.
    fn see_path(&mut self, attempt: &Attempt, dropped: bool) -> bool {
        let worked = reached_at(attempt).next().is_some();
        let clock = attempt.client_clock.filter(|_| dropped || attempt.acked.is_some());
        if !worked && clock.is_none() {
            return false;
        }
        let key = self.path_key(attempt.client, attempt.server);
        // Without any connection before it, a dropped SYN says nothing of timestamps: a flood's need no entry.
        let path = if worked || attempt.acked.is_some() {
            self.paths.get_or_insert(key, PathFacts::default)
        } else {
            let Some(path) = self.paths.get_mut(key) else { return false };
            path
        };
        reached_at(attempt).for_each(|at| path.reached.mark(at));
        path.round_trips.add(attempt);
        if attempt.verdict.is_completed() {
            path.used |= attempt.facts.has(Fact::ServerSpoke);
            let at = attempt.acked.unwrap_or(attempt.start);
            match path.finished.as_mut().filter(|period| period.touches(at)) {
                Some(period) => period.extend(at),
                None => path.finished = Some(ActivePeriod::of(at)),
            }
        }
        clock.is_some_and(|clock| path.stamps.see(attempt, clock.syn, clock.latest, dropped))
    }

    /// True if the client of an attempt finished a handshake with any listener of the host within a minute.
    pub(super) fn has_finisher(&self, attempt: &Attempt) -> bool {
        self.finished(attempt).is_some_and(|period| period.touches(attempt.start))
    }

    /// True if it did so after that time.
    pub(super) fn has_later_finisher(&self, attempt: &Attempt, at: Timestamp) -> bool {
        self.finished(attempt).is_some_and(|period| period.touches(at) && period.goes_on_after(at))
    }

    /// The latest period of handshakes of the attempt's client with the host.
    fn finished(&self, attempt: &Attempt) -> Option<ActivePeriod> {
        self.paths.get(self.path_key(attempt.client, attempt.server))?.finished
    }

    fn path_key(&self, client: Endpoint, server: Endpoint) -> u64 {
        self.keys.hash_one((client.address(), server.address()))
    }

    fn client_key(&self, client: Endpoint) -> u64 {
        self.keys.hash_one(client.address())
    }

    /// The failures of a client, by its key.
    fn failures(&mut self, client: u64) -> &mut ClientFailures {
        let served = self.served.as_ref().and_then(|served| served.get(client));
        self.clients.get_or_insert(client, || ClientFailures::none(served.copied().unwrap_or_default()))
    }

    fn client(&self, client: Endpoint) -> Option<&ClientFailures> {
        self.clients.get(self.client_key(client))
    }

    /// TSvals of the client's address at the host.
    pub(super) fn stamps(&self, client: Endpoint, server: Endpoint) -> Option<&AddressStamps> {
        self.paths.get(self.path_key(client, server)).map(|path| &path.stamps)
    }

    fn ports_hash(&self, client: Endpoint, server: Endpoint) -> u64 {
        self.hasher.hash_one((client, server))
    }

    fn reuse(&mut self, attempt: &Attempt) -> Option<PortsBefore> {
        if self.ports.is_empty() {
            self.ports = vec![PortUse::default(); PORT_ENTRIES];
        }
        let hash = self.ports_hash(attempt.client, attempt.server);
        let place = self.ports.get_mut(port_place(hash))?;
        let since = attempt.start.since(place.end);
        let before = (place.hash == hash && since > Span::ZERO).then(|| {
            let older = place.clock.zip(attempt.client_clock).filter(|(before, clock)| {
                // A retry that is as old was answered: the first SYN was not dropped for its age.
                let retry_taken = attempt.retries.syn > 0 && attempt.was_taken_though_older(before.latest);
                ticks_between(clock.syn, before.latest) > 0 && !retry_taken
            });
            let is_own_syn = attempt.client_isn == place.client_isn
                && older.is_some_and(|(before, clock)| ticks_between(before.syn, clock.syn) >= 0);
            PortsBefore { since, clock_ahead: older.is_some(), is_own_syn }
        });
        // Only what the server has taken for a connection is in the way of the next.
        if attempt.acked.is_some() {
            *place = PortUse {
                hash,
                end: attempt.end,
                client_isn: attempt.client_isn,
                clock: attempt.client_clock,
            };
        }
        before
    }

    /// True if segments of other attempts reached the host that the client sent between the first and the last ignored
    /// ACK, so that no outage of the path explains the ignored ACKs.
    pub(super) fn worked_through(&self, attempt: &Attempt) -> bool {
        let acked = attempt.acked.filter(|_| attempt.verdict == Verdict::SynackRetransmitted);
        // The answer to the last repeat was not ignored, as far as is known.
        let last = attempt.retry_at.iter().rev().nth(1).map(|&since| synack_time(attempt).plus(since));
        let between = acked.zip(last);
        between.is_some_and(|(from, to)| self.worked(attempt.client, attempt.server, from, to))
    }

    /// True if segments that `client` sent between these times reached the server's host, by whole slots strictly between.
    fn worked(&self, client: Endpoint, server: Endpoint, from: Timestamp, to: Timestamp) -> bool {
        let (from, to) = (ReachedTimes::slot(from) + 1, ReachedTimes::slot(to));
        let Some(path) = self.paths.get(self.path_key(client, server)) else { return false };
        let path = &path.reached;
        let from = from.max(path.first());
        (from..to.min(path.latest + 1)).any(|slot| path.has(slot))
    }

    /// Number of listeners at which a client failed, at least.
    pub(super) fn failed_listeners(&self, client: Endpoint) -> u32 {
        self.client(client).map_or(0, ClientFailures::failed_listeners)
    }

    /// True if nothing failed the client but refusals at a port or two of many hosts.
    pub(super) fn is_refused_by_hosts(&self, client: Endpoint) -> bool {
        self.client(client).is_some_and(ClientFailures::is_refused_by_hosts)
    }

    /// True if the server's host has sent the client data.
    pub(super) fn uses(&self, client: Endpoint, server: Endpoint) -> bool {
        self.paths.get(self.path_key(client, server)).is_some_and(|path| path.used)
    }

    /// True once a client has failed at so many listeners that it matters what served it before, and none had until then.
    pub(super) fn must_know_served(&self, client: Endpoint, many: u32) -> bool {
        self.served.is_none() && self.failed_listeners(client) >= many
    }

    /// Takes note of all clients and the listeners that served them until now; from now on [`Self::see`] does.
    pub(super) fn know_served(&mut self, served: impl Iterator<Item = (IpAddr, Endpoint)>) {
        let mut all = Box::<LatestByHash<ListenerSet, MAX_SERVED>>::default();
        for (client, server) in served {
            let (key, server) =
                (self.client_key(SocketAddr::new(client, 0).into()), self.hasher.hash_one(server));
            all.get_or_insert(key, ListenerSet::default).add(server);
            self.clients.get_mut(key).into_iter().for_each(|known| known.served_at.add(server));
        }
        self.served = Some(all);
    }

    /// Number of listeners at which it got a connection, at least.
    pub(super) fn served_listeners(&self, client: Endpoint) -> u32 {
        self.client(client).map_or(0, |known| known.served_at.count())
    }

    /// Other hosts than this server's that failed the client at the same time, at least; `or_late` counts those too that a retry
    /// reached.
    pub(super) fn failed_together(
        &self,
        client: Endpoint,
        server: Endpoint,
        since: Timestamp,
        or_late: bool,
    ) -> u32 {
        self.client(client).map_or(0, |known| known.failed_with(server.ip(), since, or_late))
    }

    /// Number of listeners at which SYNs of a client were lost, at least.
    pub(super) fn lossy_listeners(&self, client: Endpoint) -> u32 {
        self.client(client).map_or(0, |known| known.lost_at.count_ones())
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

/// Times at which the client sent segments of the attempt that the host is known to have received.
///
/// A SYN that was answered shows that the path works only if what follows it arrived, too: stateful firewalls pass SYNs
/// alone. Of several SYNs, or of an ACK whose data was repeated, it is not known which one arrived.
fn reached_at(attempt: &Attempt) -> impl Iterator<Item = Timestamp> {
    let served = attempt.facts.has(Fact::Established) && attempt.retries.after_ack == 0;
    let syn = (served && attempt.retries.syn == 0).then_some(attempt.start);
    let served_at_once = served && attempt.data_retransmissions == 0;
    let [ack, data] = [attempt.acked, attempt.sent].map(|at| at.filter(|_| served_at_once));
    // Every later segment acknowledges what an ACK does: it may have been lost, where data followed it.
    [syn, data.or(ack)].into_iter().flatten()
}

impl ReachedTimes {
    fn slot(at: Timestamp) -> i64 {
        at.as_nanos().div_euclid(1_000_000_000 / SLOTS_PER_SECOND)
    }

    /// Marks the slot of the time at which a segment left that reached the host.
    fn mark(&mut self, at: Timestamp) {
        let slot = Self::slot(at);
        let [word, latest] = [slot, self.latest].map(|slot| slot.div_euclid(SLOTS_OF_WORD));
        if self.latest == 0 || word - latest >= WORDS {
            *self = Self { latest: slot, ..Self::default() };
        } else if latest - word >= WORDS {
            return;
        }
        for passed in latest + 1..=word.min(latest + WORDS) {
            self.bits[passed.rem_euclid(WORDS) as usize] = 0;
        }
        self.latest = self.latest.max(slot);
        let (place, bit) = Self::place(slot);
        self.bits[place] |= 1 << bit;
    }

    /// The earliest slot that is remembered.
    fn first(&self) -> i64 {
        (self.latest.div_euclid(SLOTS_OF_WORD) - WORDS + 1) * SLOTS_OF_WORD
    }

    fn place(slot: i64) -> (usize, u32) {
        let bit = slot.rem_euclid(WORDS * SLOTS_OF_WORD);
        ((bit / SLOTS_OF_WORD) as usize, (bit % SLOTS_OF_WORD) as u32)
    }

    fn has(&self, slot: i64) -> bool {
        let (word, bit) = Self::place(slot);
        self.bits[word] >> bit & 1 == 1
    }
}
