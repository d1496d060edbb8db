//! Deadlines of a tracker's attempts, and what happens when they pass.
//!
//! Owns when an attempt is settled, put aside or reported as stuck. Does not own how long one waits (`timeouts`) nor what the
//! record says (`decide`).

use super::{AHEAD, LINGER, Tracker, evict};
use crate::handshake::attempt::Attempt;
use crate::handshake::decide::{self, Ending};
use crate::handshake::finding::Finding;
use crate::handshake::pending::Pending;
use crate::handshake::table::Position;
use crate::handshake::timeouts::{GIVEN_UP, deadline, unanswered_at, waits_longer};
use crate::packet::{FlowKey, Timestamp};
use crate::prefetch::prefetch_all;

impl Tracker {
    /// Lets the deadlines pass that lie before `now`, by the packet clock.
    pub fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let mut due = std::mem::take(&mut self.due);
        self.table.collect_due(self.now, &mut due);
        due.iter().take(2 * AHEAD).for_each(|&at| self.table.prefetch_removal(at));
        let mut some_overdue = false;
        for (place, &at) in due.iter().enumerate() {
            if let Some(&later) = due.get(place + 2 * AHEAD) {
                self.table.prefetch_removal(later);
            }
            if let Some(&soon) = due.get(place + AHEAD) {
                self.prefetch_unsettled(soon);
            }
            some_overdue |= self.expire(at);
        }
        if some_overdue {
            self.put_aside_overdue(&due);
        }
        due.clear();
        self.due = due;
    }

    /// Prefetches an attempt that will be settled, if it is not yet: most only leave.
    #[inline(always)]
    fn prefetch_unsettled(&self, at: Position) {
        let tracked = self.table.get(at);
        let unsettled = tracked.filter(|tracked| !tracked.settled);
        prefetch_all(unsettled);
        tracked.inspect(|tracked| tracked.attempt.prefetch_cold());
    }

    /// Settles an attempt whose deadline has passed, or moves the deadline; returns whether it became overdue.
    fn expire(&mut self, at: Position) -> bool {
        let due = self.table.due(at);
        let Some(tracked) = self.table.get_mut(at) else { return false };
        let retries = tracked.retries();
        let attempt = &mut tracked.attempt;
        if tracked.settled || attempt.is_overdue || !waits_longer(attempt.phase) {
            self.settle_due(at);
            return false;
        }
        if self.reports_stuck && retries > tracked.reported_retries && unanswered_at(attempt, due).is_some() {
            return self.report_unanswered(at);
        }
        attempt.is_overdue = true;
        let given_up = attempt.last.plus(GIVEN_UP);
        if self.reports_stuck {
            self.report_provisional(at, due);
        }
        let given_up = self.steady(given_up).max(due);
        self.table.set_due(at, given_up);
        if given_up < self.now {
            // Time went past that deadline, too: the attempt must not wait for the next advance.
            self.settle_due(at);
            return false;
        }
        true
    }

    /// Reports an attempt whose retry has got no answer, and moves its deadline to that of the next; returns whether it became
    /// overdue.
    #[cold]
    fn report_unanswered(&mut self, at: Position) -> bool {
        let now = self.table.due(at);
        let Some(tracked) = self.table.get_mut(at) else { return false };
        tracked.reported_retries = tracked.retries();
        let due = deadline(&tracked.attempt, tracked.attempt.last);
        self.report_provisional(at, now);
        let due = self.steady(due);
        self.table.set_due(at, due);
        due < self.now && self.expire(at)
    }

    /// Reports an undecided attempt as it is known at this time by the packet clock.
    #[cold]
    pub(super) fn report_provisional(&mut self, at: Position, when: Timestamp) {
        let key = self.table.key(at);
        let Some(tracked) = self.table.get(at) else { return };
        let ended = (Ending::Provisional, when.minus(self.lag));
        let attempt = decide::decide(&tracked.attempt, key, ended, &self.context);
        self.found.push(Finding { at: when, settled: false, attempt });
    }

    /// Puts those of these attempts that have become overdue in the class of those, in the order of their first packets.
    #[cold]
    fn put_aside_overdue(&mut self, due: &[Position]) {
        let overdue = |at: &Position| {
            let tracked =
                self.table.get(*at).filter(|tracked| !tracked.settled && tracked.attempt.is_overdue)?;
            Some((tracked.attempt.ordinal, *at))
        };
        let mut overdue: Vec<(u64, Position)> = due.iter().filter_map(overdue).collect();
        overdue.sort_unstable_by_key(|&(ordinal, _)| ordinal);
        let order = evict::overdue_order(self.now);
        overdue.iter().for_each(|&(_, at)| self.table.reclassify(at, evict::OVERDUE, order));
    }

    pub(super) fn settle_due(&mut self, at: Position) {
        let when = self.table.due(at);
        match self.table.get(at) {
            Some(tracked) if !tracked.settled => self.settle(at, when, Ending::Expired),
            Some(_) => {
                self.table.remove(at);
            }
            None => {}
        }
    }

    /// Reports the attempt and lets it linger.
    pub(super) fn settle(&mut self, at: Position, when: Timestamp, ending: Ending) {
        let key = self.table.key(at);
        let Some(tracked) = self.table.get_mut(at).filter(|tracked| !tracked.settled) else { return };
        tracked.settled = true;
        let ended = (ending, when.minus(self.lag));
        report(&mut self.found, when, || decide::decide(&tracked.attempt, key, ended, &self.context));
        self.table.retire(at, when.plus(LINGER));
    }

    /// Reports the attempt and removes it, so that its flow is remembered and nothing else.
    pub(super) fn settle_and_remove(&mut self, at: Position, when: Timestamp, ending: Ending) {
        let key = self.table.key(at);
        let ended = (ending, when.minus(self.lag));
        if let Some(tracked) = self.table.get(at).filter(|tracked| !tracked.settled) {
            report(&mut self.found, when, || decide::decide(&tracked.attempt, key, ended, &self.context));
        }
        self.table.remove(at);
    }

    /// Reports an attempt that is in no table.
    pub(super) fn report_untracked(
        &mut self,
        pending: &Pending,
        key: FlowKey,
        when: Timestamp,
        ending: Ending,
    ) {
        let ended = (ending, when.minus(self.lag));
        report(&mut self.found, when, || decide::decide(pending, key, ended, &self.context));
    }
}

/// Adds the finding of a settled attempt. Made in place: a finding is large, and would be made elsewhere and copied.
#[inline(always)]
fn report(found: &mut Vec<Finding>, at: Timestamp, attempt: impl FnOnce() -> Attempt) {
    found.extend(std::iter::once_with(|| Finding { at, settled: true, attempt: attempt() }));
}
