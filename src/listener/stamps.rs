//! TSvals of the connections from one address to one host, over time: clients behind a NAT have clocks of their own.
//!
//! Before Linux 4.12 a server with `tcp_tw_recycle` dropped a SYN whose TSval was older than the latest of the same address
//! within a minute (`tcp_peer_is_proven`), though another client behind the address had sent that.

use crate::handshake::Attempt;
use crate::packet::{Span, Timestamp, ticks_between};

/// Age from which on a server has forgotten a TSval (`TCP_PAWS_MSL`).
const MINUTE: Span = Span::from_secs(60);
/// Ticks by which a TSval may be behind: reordering (`TCP_PAWS_WINDOW`).
const WINDOW: i32 = 1;
/// Shortest time between two samples.
const SAMPLE_INTERVAL: Span = Span::from_secs(8);
/// Samples kept before the latest two: those of more than two minutes, after which an attempt without an answer is settled.
const MAX_SAMPLES: usize = 18;

/// The latest TSvals of one address' connections to one host, and what became of SYNs with older ones.
#[derive(Debug, Clone, Default)]
pub(super) struct AddressStamps {
    /// The end and the TSval of the latest connection that the host took, of those that are kept, and of the one before it.
    latest: [Option<(Timestamp, u32)>; 2],
    /// The same of those before these, each newer than the one before; at most [`MAX_SAMPLES`]. Few attempts need them.
    earlier: Vec<(Timestamp, u32)>,
    /// Attempts with an older TSval that were not answered.
    pub(super) older_dropped: u32,
    /// Attempts without one that were answered.
    pub(super) newer_answered: u32,
    /// Attempts for which the rule does not hold.
    pub(super) exceptions: u32,
}

impl AddressStamps {
    /// Takes a settled attempt with timestamps; gives whether its SYN's is older than an earlier connection's.
    pub(super) fn see(&mut self, attempt: &Attempt, syn: u32, latest: u32, is_dropped: bool) -> bool {
        let before = self.before(attempt.start);
        let is_older = before.is_some_and(|before| is_newer(before, syn));
        // A retry that is as old was answered: the first SYN was not dropped for its age.
        let is_older =
            is_older && !(is_dropped && before.is_some_and(|before| attempt.was_taken_though_older(before)));
        match (is_older, is_dropped) {
            (true, true) => self.older_dropped += 1,
            (false, false) => self.newer_answered += 1,
            (true, false) | (false, true) => self.exceptions += 1,
        }
        if attempt.acked.is_some() {
            self.add(attempt.end, latest);
        }
        is_older
    }

    /// The latest TSval that the host remembered at this time.
    fn before(&self, at: Timestamp) -> Option<u32> {
        let remembered = |&&(end, _): &&(Timestamp, u32)| end < at && at.since(end) <= MINUTE;
        self.samples().find(remembered).map(|&(_, tsval)| tsval)
    }

    /// The connections that are kept, the latest first.
    fn samples(&self) -> impl Iterator<Item = &(Timestamp, u32)> {
        self.latest.iter().flatten().chain(self.earlier.iter().rev())
    }

    /// True if the clock of none of the connections can have shown this TSval at this time: another client's, behind the same address.
    pub(super) fn is_of_another_clock(&self, at: Timestamp, tsval: u32) -> bool {
        /// Shortest time of a tick, in nanoseconds: half of that of any common system.
        const SHORTEST_TICK: i64 = 500_000;
        /// Ticks that clocks may differ beyond that: the client's latest segment is older than its connection's end.
        const SLACK: i64 = 10_000;
        let is_another = |&(end, known): &(Timestamp, u32)| {
            i64::from(ticks_between(known, tsval)).abs()
                > at.since(end).abs().as_nanos() / SHORTEST_TICK + SLACK
        };
        self.latest[0].is_some() && self.samples().all(is_another)
    }

    fn add(&mut self, end: Timestamp, tsval: u32) {
        let [latest, before_it] = self.latest;
        if let Some((before, known)) = latest {
            let since = end.since(before);
            if since < MINUTE && (since < SAMPLE_INTERVAL || is_newer(known, tsval)) {
                return;
            }
            if self.earlier.len() >= MAX_SAMPLES {
                self.earlier.remove(0);
            }
            self.earlier.extend(before_it);
        }
        self.latest = [Some((end, tsval)), latest];
    }
}

/// True if `one` is newer than `other`, by more than a tick.
fn is_newer(one: u32, other: u32) -> bool {
    ticks_between(other, one) > WINDOW
}
