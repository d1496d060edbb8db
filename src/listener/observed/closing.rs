//! RSTs of a closing listener. They differ from other RSTs by the order in which connections are served (DOMAIN §3).

use std::collections::VecDeque;

use crate::handshake::{Attempt, Fact, Verdict};
use crate::packet::{Span, Timestamp};

/// RST|ACKs at one instant on connections that had not been served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::listener) struct Burst {
    pub(in crate::listener) from: Timestamp,
    pub(in crate::listener) to: Timestamp,
    pub(in crate::listener) connections: u32,
    /// The first and the last time at which they finished their handshakes.
    ages: (Timestamp, Timestamp),
    /// A connection that finished its handshake after one of these was served before: they were no queue.
    pub(in crate::listener) later_served_first: bool,
    /// A connection that waited with them stayed open.
    pub(in crate::listener) has_survivor: bool,
}

impl Burst {
    /// True if a connection that was reset at this time ended in it, or just before or after.
    fn is_at(&self, reset: Timestamp) -> bool {
        reset.plus(CLOSING_TIME) >= self.from && reset <= self.to.plus(CLOSING_TIME)
    }

    fn is_near(&self, other: &Self) -> bool {
        self.from.since(other.to) <= AFTERMATH && other.from.since(self.to) <= AFTERMATH
    }

    /// True if at least two connections of different ages ended in it: their handshakes finished more than 1 ms apart, and
    /// by far further apart than their RSTs. An application that resets each at its own time keeps their distance.
    pub(in crate::listener) fn has_ages(&self) -> bool {
        let (ages, ends) = (self.ages.1.since(self.ages.0), self.to.since(self.from));
        self.connections >= 2 && ages > Span::from_millis(1) && ages > ends.scaled(4, 1)
    }
}

/// RSTs and refusals of a listener, and its served connections.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct Closing {
    bursts: Vec<Burst>,
    /// Times of bare RSTs that answered an ACK or first data.
    bare: Vec<Timestamp>,
    /// The earliest and the latest of them.
    bare_span: Option<(Timestamp, Timestamp)>,
    /// True if a connection that was served or stayed alive finished its handshake between these two.
    finished_between_bare: bool,
    /// Times of refusals.
    refused: Vec<Timestamp>,
    /// Times at which served connections finished their handshake, each with the time by which the connection was
    /// served; the latest [`MAX_SERVED`].
    served: VecDeque<(Timestamp, Timestamp)>,
    /// Times at which connections that were neither served nor reset finished their handshake, each with the time until
    /// which that is known; the latest [`MAX_SERVED`].
    idle: VecDeque<(Timestamp, Timestamp)>,
    /// The latest time until which a connection is known to have stayed open.
    open_until: Option<Timestamp>,
}

/// Longest time in which a closing listener sends its RSTs: the kernel walks its queue.
const CLOSING_TIME: Span = Span::from_millis(10);

/// Longest time for which a closing listener pauses between two RSTs: the kernel lets other threads run between two connections
/// of its queue (`inet_csk_listen_stop`, `cond_resched`), on a busy machine for some time slices.
const LONGEST_PAUSE: Span = Span::from_millis(100);

/// Refusals and bare RSTs to handshakes under way follow within this.
pub(in crate::listener) const AFTERMATH: Span = Span::from_secs(1);

/// Time for which an attempt without further packets is watched.
const WATCH_TIME: Span = Span::from_secs(130);

const MAX_BURSTS: usize = 32;
const MAX_TIMES: usize = 256;
const MAX_SERVED: usize = 1024;

impl Closing {
    pub(super) fn see(&mut self, attempt: &Attempt) {
        let facts = attempt.facts;
        if attempt.was_refused_first() {
            push(&mut self.refused, attempt.start);
        }
        match (attempt.verdict, attempt.acked, attempt.reset) {
            (Verdict::Refused, _, _) => push(&mut self.refused, attempt.start),
            (Verdict::ResetAfterAck, _, Some(reset)) => self.see_bare(reset),
            (Verdict::AckIgnored, _, Some(reset))
                if !facts.has(Fact::ResetUnserved) && !attempt.is_ignored_by_fin_alone() =>
            {
                self.see_bare(reset);
            }
            (Verdict::Completed | Verdict::CompletedLate, Some(acked), Some(reset))
                if facts.has(Fact::ResetUnserved) && !facts.has(Fact::ClientClosedFirst) =>
            {
                self.reset(acked, reset);
            }
            (Verdict::Completed | Verdict::CompletedLate, Some(acked), _) if facts.has(Fact::ServerSpoke) => {
                self.serve(acked, attempt.end);
            }
            (Verdict::Completed | Verdict::CompletedLate, Some(acked), None) => {
                // The silence after the last packet counts: nothing ended the connection in that time.
                let watched = attempt.end.plus(attempt.silence.unwrap_or(WATCH_TIME));
                for burst in self.bursts.iter_mut().filter(|burst| acked < burst.from) {
                    burst.has_survivor |= watched > burst.to.plus(CLOSING_TIME);
                }
                self.finished_between_bare |= self.is_between_bare(acked);
                self.idle.push_back((acked, watched));
                self.open_until = self.open_until.max(Some(watched));
                if self.idle.len() > MAX_SERVED {
                    self.idle.pop_front();
                }
            }
            _ => {}
        }
    }

    fn serve(&mut self, acked: Timestamp, served: Timestamp) {
        for burst in &mut self.bursts {
            burst.later_served_first |= acked > burst.ages.0.plus(CLOSING_TIME) && served < burst.from;
            burst.has_survivor |= acked < burst.ages.1 && served > burst.to.plus(CLOSING_TIME);
        }
        self.finished_between_bare |= self.is_between_bare(acked);
        self.served.push_back((acked, served));
        self.open_until = self.open_until.max(Some(served));
        if self.served.len() > MAX_SERVED {
            self.served.pop_front();
        }
    }

    fn reset(&mut self, acked: Timestamp, reset: Timestamp) {
        let place = self.bursts.iter().rposition(|burst| burst.is_at(reset));
        let burst = match place {
            Some(place) => &mut self.bursts[place],
            None if self.bursts.len() >= MAX_BURSTS => return,
            None => {
                self.bursts.push(Burst {
                    from: reset,
                    to: reset,
                    connections: 0,
                    ages: (acked, acked),
                    later_served_first: false,
                    has_survivor: false,
                });
                let last = self.bursts.len() - 1;
                &mut self.bursts[last]
            }
        };
        burst.from = burst.from.min(reset);
        burst.to = burst.to.max(reset);
        burst.connections += 1;
        burst.ages = (burst.ages.0.min(acked), burst.ages.1.max(acked));
        let (oldest, youngest) = burst.ages;
        burst.later_served_first |= self
            .served
            .iter()
            .any(|&(other, served)| other > oldest.plus(CLOSING_TIME) && served < burst.from);
        let waited = self.served.iter().chain(&self.idle);
        burst.has_survivor |= waited.clone().any(|&(other, last)| {
            other < youngest && last > burst.to.plus(CLOSING_TIME) && other < burst.from
        });
    }

    /// The burst of a closing listener that ended a connection, by when its handshake was finished, if that is known, and when
    /// it was reset: at one time with the burst, or in the order of the queue before or after a pause.
    pub(in crate::listener) fn burst_of(&self, acked: Option<Timestamp>, reset: Timestamp) -> Option<&Burst> {
        let is_paused = |burst: &&Burst| {
            let (Some(acked), (oldest, youngest)) = (acked, burst.ages) else { return false };
            let goes_on = reset < burst.from && acked <= oldest && burst.from.since(reset) <= LONGEST_PAUSE;
            let went_on = reset > burst.to && acked >= youngest && reset.since(burst.to) <= LONGEST_PAUSE;
            goes_on || went_on
        };
        let is_closing = |burst: &&Burst| self.is_closing(burst);
        let at_once = self.bursts.iter().find(|burst| burst.is_at(reset)).filter(is_closing);
        at_once.or_else(|| self.bursts.iter().filter(is_paused).find(is_closing))
    }

    /// The burst that is no longer before this time than its aftermath lasts.
    pub(in crate::listener) fn burst_before(&self, at: Timestamp) -> Option<&Burst> {
        let near = |burst: &&Burst| at.plus(CLOSING_TIME) >= burst.from && at.since(burst.to) <= AFTERMATH;
        self.bursts.iter().filter(near).max_by_key(|burst| burst.connections)
    }

    /// The burst of a closing listener that a bare RST at this time belongs to.
    pub(in crate::listener) fn claims(&self, reset: Timestamp) -> Option<&Burst> {
        let burst = self.burst_before(reset)?;
        let closing = self.is_closing(burst) && (!burst.later_served_first || self.has_aftermath(burst));
        closing.then_some(burst)
    }

    fn see_bare(&mut self, reset: Timestamp) {
        if self.bare.len() < MAX_TIMES {
            self.bare.push(reset);
            let (first, last) = self.bare_span.unwrap_or((reset, reset));
            self.bare_span = Some((first.min(reset), last.max(reset)));
            self.finished_between_bare = self.finished_between_bare
                || self.served.iter().chain(&self.idle).any(|&(acked, _)| self.is_between_bare(acked));
        }
    }

    fn is_between_bare(&self, at: Timestamp) -> bool {
        self.bare_span.is_some_and(|(first, last)| first < at && at < last)
    }

    /// True if the burst is that of a closing listener, as far as it shows. Two of these hold: it ended several connections,
    /// they were of different ages, and refusals or bare RSTs followed. An application that resets connections one by one
    /// resets some together by chance.
    pub(in crate::listener) fn is_closing(&self, burst: &Burst) -> bool {
        /// Fewest connections that are several: one or two may be reset together by chance.
        const MIN_CONNECTIONS: u32 = 3;
        let single = |other: &&Burst| other.connections == 1 && other.is_near(burst);
        if self.bursts.iter().filter(single).count() > burst.connections as usize {
            return false;
        }
        let signs = [burst.connections >= MIN_CONNECTIONS, burst.has_ages(), self.has_aftermath(burst)];
        signs.into_iter().filter(|&sign| sign).count() >= 2
    }

    /// True if refusals or bare RSTs follow the burst within [`AFTERMATH`].
    pub(in crate::listener) fn has_aftermath(&self, burst: &Burst) -> bool {
        let follows = |&at: &Timestamp| at >= burst.from && at.since(burst.to) <= AFTERMATH;
        self.refused.iter().any(follows) || self.bare.iter().any(follows)
    }

    /// True if SYNs were refused between these times.
    pub(in crate::listener) fn refused_between(&self, from: Timestamp, to: Timestamp) -> bool {
        self.refused.iter().any(|&at| from <= at && at <= to)
    }

    /// True if nobody listened when a bare RST came: SYNs were refused within [`AFTERMATH`] before or after it, and between
    /// the refusal and the RST no connection finished its handshake.
    pub(in crate::listener) fn refused_around(&self, reset: Timestamp) -> bool {
        let is_near = |&&at: &&Timestamp| at.since(reset) <= AFTERMATH && reset.since(at) <= AFTERMATH;
        let near = || self.refused.iter().filter(is_near).copied();
        let before = near().filter(|&at| at <= reset).max();
        let after = near().filter(|&at| at > reset).min();
        let lived = |from: Timestamp, to: Timestamp| {
            let mut finished = self.served.iter().chain(&self.idle);
            finished.any(|&(acked, _)| from < acked && acked < to)
        };
        before.is_some_and(|at| !lived(at, reset)) || after.is_some_and(|at| !lived(reset, at))
    }

    /// True if bare RSTs came more than two round trips apart, and a connection that was served or stayed alive
    /// finished its handshake between them.
    pub(in crate::listener) fn resets_apart(&self, round_trip: Span) -> bool {
        let Some((first, last)) = self.bare_span else { return false };
        self.finished_between_bare && last.since(first) > round_trip.scaled(2, 1).plus(CLOSING_TIME)
    }

    /// True if a connection that finished its handshake before this time, and was not served by then, stayed open.
    pub(in crate::listener) fn survived(&self, at: Timestamp) -> bool {
        let later = at.plus(CLOSING_TIME);
        if self.open_until.is_none_or(|latest| latest <= later) {
            return false;
        }
        let alive = |&(acked, last): &(Timestamp, Timestamp)| acked < at && last > later;
        self.served.iter().rev().any(alive) || self.idle.iter().rev().any(alive)
    }
}

fn push(times: &mut Vec<Timestamp>, at: Timestamp) {
    if times.len() < MAX_TIMES {
        times.push(at);
    }
}
