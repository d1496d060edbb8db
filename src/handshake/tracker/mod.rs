//! Routes segments to attempts and decides when an attempt is decided.
//!
//! Owns the hot table, eviction and the memory of decided flows. Does not own what a segment means to an attempt
//! (`pending`), how long one is waited for (`timeouts`), nor what the record says (`decide`).

mod groups;
#[cfg(test)]
mod tests;

use super::attempt::IcmpAnswer;
use super::batch::may_open;
use super::decide::{self, Ending};
use super::early_refusals::{EarlyRefusals, is_refusal};
use super::finding::{Finding, Order};
use super::pending::{Pending, is_syn, is_synack};
use super::table::{Cell, Place, Position, Table};
use super::timeouts::{deadline, first_wait, is_settled};
use crate::packet::{Packet, Segment, Span, Timestamp, Unreachable};
use crate::prefetch::prefetch_all;

/// Segments that are told in no attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Copies recognised.
    pub copies: u64,
    /// Segments of connections whose handshake is not in the capture.
    pub midstream: u64,
    /// ICMP errors that quote a SYN of no undecided attempt.
    pub unmatched_errors: u64,
    /// Segments that went with the end of a file which shrank under its map.
    pub lost: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            copies: self.copies + other.copies,
            midstream: self.midstream + other.midstream,
            unmatched_errors: self.unmatched_errors + other.unmatched_errors,
            lost: self.lost + other.lost,
        }
    }
}

/// How long a decided attempt stays to swallow late copies: the longest that a copy takes.
const LINGER: Span = Span::from_millis(100);

/// How long after its first packet an attempt is looked at: most handshakes are done by then, and the attempt has
/// lingered.
const SOON: Span = Span::from_millis(250);

/// For how many packets memory is asked before the first of them is taken: as many as a core can wait for at once.
const AHEAD: usize = 8;

/// In this order for the sake of [`Table`].
#[repr(C)]
struct Tracked {
    /// Decided and told; only lingers.
    decided: bool,
    /// And of its packets only those that may open an attempt are of interest, whenever they were looked up.
    settled: bool,
    /// The strongest facts of an overflow that were told of it.
    told: u8,
    attempt: Pending,
}

/// The tracker of all flows, or of one shard of them.
pub struct Tracker {
    table: Table<Tracked>,
    /// What refused flows without an attempt.
    early_refusals: EarlyRefusals,
    /// The hash of a remembered flow that has an attempt again.
    reopened: Option<u64>,
    /// Latest steady time so far.
    now: Timestamp,
    /// How far packet time is behind the steady time, which deadlines go by.
    lag: Span,
    /// What was found and not yet told.
    found: Vec<Finding>,
    order: Order,
    due: Vec<Position>,
    counts: Counts,
}

impl Default for Tracker {
    fn default() -> Self {
        Self::new()
    }
}

impl Tracker {
    /// Decided flows to hear of before those that were silent meanwhile are forgotten, over all shards.
    pub const REMEMBERED: usize = 131_072;

    /// A tracker that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            table: Table::new(),
            early_refusals: EarlyRefusals::default(),
            reopened: None,
            now: Timestamp::from_nanos(i64::MIN),
            lag: Span::ZERO,
            found: Vec::new(),
            order: Order::default(),
            due: Vec::new(),
            counts: Counts::default(),
        }
    }

    #[inline(never)]
    fn take_decoded(&mut self, cell: Cell, packet: &Packet, hash: u64, ordinal: u64) {
        match packet {
            Packet::Segment(segment) => self.take_segment(cell, segment, hash, ordinal),
            Packet::Unreachable(error) => self.take_unreachable(error, hash, ordinal),
        }
    }

    /// Takes a segment of a flow of which `cell` was known lately.
    #[inline(never)]
    fn take_segment(&mut self, cell: Cell, segment: &Segment, hash: u64, ordinal: u64) {
        // An entry that is still the flow's is the flow's; of what is not there, more may be known by now.
        let place = self.table.check(cell, &segment.flow).map(Place::Entry);
        match place.unwrap_or_else(|| self.table.find(hash, &segment.flow)) {
            Place::Entry(at) => self.continue_attempt(at, segment, hash, ordinal),
            place @ (Place::Remembered | Place::Unknown) => self.open_attempt(place, segment, hash, ordinal),
        }
    }

    /// Opens an attempt if the segment of this flow, which has none, begins one.
    fn open_attempt(&mut self, place: Place, segment: &Segment, hash: u64, ordinal: u64) {
        if is_syn(segment) {
            let at = self.insert(place, segment, hash, Pending::from_syn(segment, ordinal));
            if !self.early_refusals.is_empty() {
                self.recall_refusals(at, segment, hash, ordinal);
            }
        } else if is_refusal(segment) {
            let counted = place == Place::Unknown;
            self.counts.midstream += u64::from(counted);
            self.early_refusals.keep(hash, Packet::Segment(*segment), ordinal, counted);
        } else if place == Place::Remembered {
            // A late SYN-ACK of an attempt that is already told opens no second one.
        } else if is_synack(segment) {
            self.insert(place, segment, hash, Pending::from_synack(segment, ordinal));
        } else {
            self.counts.midstream += 1;
        }
    }

    /// A packet time in steady time: nearly always the same.
    #[inline(always)]
    fn steady(&self, at: Timestamp) -> Timestamp {
        if self.lag == Span::ZERO { at } else { at.plus(self.lag) }
    }

    /// Enters an attempt that this segment, whose flow has none, has opened.
    #[inline(always)]
    fn insert(&mut self, place: Place, segment: &Segment, hash: u64, attempt: Pending) -> Option<Position> {
        if place == Place::Remembered {
            self.reopened = Some(hash);
        }
        let at = self.steady(segment.at);
        let due = at.plus(first_wait(attempt.phase));
        let tracked = Tracked { attempt, decided: false, settled: false, told: 0 };
        self.table.insert(place, hash, segment.flow, tracked, due, at.plus(SOON))
    }

    /// Gives the attempt of this SYN what stands before it in the capture.
    #[cold]
    fn recall_refusals(&mut self, at: Option<Position>, syn: &Segment, hash: u64, ordinal: u64) {
        let Some((at, tracked)) = at.and_then(|at| Some((at, self.table.get_mut(at)?))) else { return };
        let attempt = &mut tracked.attempt;
        for refusal in self.early_refusals.take(hash, syn, ordinal) {
            let counted = u64::from(refusal.counted);
            match &refusal.packet {
                Packet::Segment(rst) => {
                    self.counts.midstream -= counted;
                    self.counts.copies += u64::from(attempt.take(rst));
                }
                Packet::Unreachable(error) => {
                    self.counts.unmatched_errors -= counted;
                    attempt.take_icmp(error.at, IcmpAnswer { error: error.icmp, from: error.from });
                }
            }
        }
        let due = deadline(attempt, syn.at);
        let due = self.steady(due);
        self.table.set_due(at, due);
    }

    fn continue_attempt(&mut self, at: Position, segment: &Segment, hash: u64, ordinal: u64) {
        if self.table.get(at).is_some_and(|tracked| tracked.settled) && !may_open(segment.flags) {
            // It was looked up before that; from now on such packets are not even looked at.
            return;
        }
        let now = self.steady(segment.at);
        if self.table.due(at) < now {
            // The wheel turns once a batch; a deadline counts from the moment it passes.
            self.expire(at);
            return self.take_segment(Cell::EMPTY, segment, hash, ordinal);
        }
        let Some(tracked) = self.table.get_mut(at) else { return };
        if tracked.attempt.is_replaced_by(segment) {
            self.decide(at, now, Ending::Replaced);
            self.table.remove(at);
            return self.open_attempt(Place::Remembered, segment, hash, ordinal);
        }
        if tracked.decided {
            if tracked.attempt.is_copy(segment) {
                self.counts.copies += 1;
            } else if is_refusal(segment) {
                self.early_refusals.keep(hash, Packet::Segment(*segment), ordinal, false);
            } else {
                // The connection goes on; copies of what the attempt had would have come before.
                tracked.settled = true;
                self.table.settle(at);
            }
            return;
        }
        if tracked.attempt.take(segment) {
            self.counts.copies += 1;
            return;
        }
        let attempt = &tracked.attempt;
        let facts = attempt.overflow_signs();
        if facts > tracked.told {
            tracked.told = facts;
            let attempt = decide::decide(attempt, segment.flow, Ending::Provisional);
            self.found.push(Finding { at: now, decided: false, attempt });
        }
        self.reconsider(at, segment.at);
    }

    /// Decides the attempt if what came `now`, in packet time, settled it, else moves its deadline.
    fn reconsider(&mut self, at: Position, now: Timestamp) {
        let Some(tracked) = self.table.get(at) else { return };
        if is_settled(&tracked.attempt) {
            self.decide(at, self.steady(now), Ending::Expired);
        } else {
            let due = self.steady(deadline(&tracked.attempt, now));
            self.table.set_due(at, due);
        }
    }

    fn take_unreachable(&mut self, error: &Unreachable, hash: u64, ordinal: u64) {
        let place = self.table.find(hash, &error.flow);
        if let Place::Entry(at) = place
            && self.table.due(at) < self.steady(error.at)
        {
            // As for a segment.
            self.expire(at);
        }
        if let Place::Entry(at) = place
            && let Some(tracked) = self.table.get_mut(at)
            && !tracked.decided
            && tracked.attempt.outward == error.direction
            // Whatever else it quotes was another attempt's, or no SYN.
            && tracked.attempt.client_isn == error.seq
            && !error.icmp.is_too_big()
        {
            tracked.attempt.take_icmp(error.at, IcmpAnswer { error: error.icmp, from: error.from });
            return self.reconsider(at, error.at);
        }
        self.counts.unmatched_errors += 1;
        if error.icmp.is_too_big() {
            return;
        }
        self.early_refusals.keep(hash, Packet::Unreachable(*error), ordinal, true);
    }

    /// Lets the deadlines pass that lie before `now`, a steady time.
    pub fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let mut due = std::mem::take(&mut self.due);
        self.table.collect_due(self.now, &mut due);
        due.iter().take(2 * AHEAD).for_each(|&at| self.table.prefetch_removal(at));
        for (place, &at) in due.iter().enumerate() {
            if let Some(&later) = due.get(place + 2 * AHEAD) {
                self.table.prefetch_removal(later);
            }
            if let Some(&soon) = due.get(place + AHEAD) {
                self.prefetch_undecided(soon);
            }
            self.expire(at);
        }
        due.clear();
        self.due = due;
    }

    /// Asks the cache for an attempt that will be decided, if it is not decided yet: most only leave.
    #[inline(always)]
    fn prefetch_undecided(&self, at: Position) {
        let tracked = self.table.get(at);
        let undecided = tracked.filter(|tracked| !tracked.decided);
        prefetch_all(undecided);
        tracked.inspect(|tracked| tracked.attempt.prefetch_cold());
    }

    fn expire(&mut self, at: Position) {
        let when = self.table.due(at);
        match self.table.get(at) {
            Some(tracked) if !tracked.decided => self.decide(at, when, Ending::Expired),
            Some(_) => {
                self.table.remove(at);
            }
            None => {}
        }
    }

    /// Tells the attempt and lets it linger.
    fn decide(&mut self, at: Position, when: Timestamp, ending: Ending) {
        let key = self.table.key(at);
        let Some(tracked) = self.table.get_mut(at) else { return };
        if tracked.decided {
            return;
        }
        tracked.decided = true;
        let pending = &tracked.attempt;
        // Made where it belongs: a finding is large.
        let found = || Finding { at: when, decided: true, attempt: decide::decide(pending, key, ending) };
        self.found.extend(std::iter::once_with(found));
        self.table.retire(at, when.plus(LINGER));
    }

    /// How many attempts are undecided.
    #[must_use]
    pub fn undecided(&self) -> usize {
        self.table.aged()
    }

    /// The positions of the `count` oldest undecided attempts, oldest first.
    pub fn oldest(&self, count: usize) -> impl Iterator<Item = u64> {
        self.table.by_age().take(count).filter_map(|at| self.table.get(at)).map(|t| t.attempt.ordinal)
    }

    /// Evicts every undecided attempt up to and including position `ordinal`.
    pub fn evict_up_to(&mut self, ordinal: u64) {
        while let Some(at) = self.table.oldest() {
            let old = self.table.get(at).is_some_and(|tracked| tracked.attempt.ordinal <= ordinal);
            if !old {
                break;
            }
            self.decide(at, self.now, Ending::Evicted);
            self.table.remove(at);
        }
    }

    /// How many decided flows were heard of since [`Self::forget_silent`].
    #[must_use]
    pub fn heard_of(&self) -> usize {
        self.table.heard_of()
    }

    /// Forgets the decided flows that were silent since this was last done.
    pub fn forget_silent(&mut self) {
        self.table.forget_silent();
    }

    /// Lets all decided attempts go, though they linger still: for when packet time stands nearly still.
    pub fn let_go(&mut self) {
        self.table.remove_retired();
    }

    /// Decides up to `most` of the attempts that are left, oldest first: the capture has ended with its last packet
    /// at the time that the tracker was advanced to. Gives whether there are more.
    pub fn finish(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let Some(at) = self.table.oldest() else { return false };
            let end = self.now.plus(self.lag.scaled(-1, 1));
            self.decide(at, self.now, Ending::CaptureEnd(end));
            self.table.remove(at);
        }
        self.table.aged() > 0
    }

    /// Counts a segment that is no longer what was seen of it. Of everything undecided more may be lost: nothing is
    /// inferred from silence, the capture has ended for it.
    #[cold]
    fn lose(&mut self) {
        self.counts.lost += 1;
        self.finish(usize::MAX);
    }

    /// Tells what was found since the last call, or of that what was found before some time, in order.
    ///
    /// # Errors
    ///
    /// Those of `take`; what was not told by then is lost.
    pub fn drain<E>(
        &mut self,
        before: Option<Timestamp>,
        take: impl FnMut(&mut Finding) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut found = self.hand_over(before, Vec::new());
        let result = self.order.tell(std::slice::from_mut(&mut found), take);
        found.clear();
        // Back to its room, with what is left.
        found.append(&mut self.found);
        self.found = found;
        result
    }

    /// Hands over what was found since the last call, or of that what was found before some time, to be told in
    /// [`Order`] with what others found. What is found next goes into `room`, which is empty.
    pub fn hand_over(&mut self, before: Option<Timestamp>, room: Vec<Finding>) -> Vec<Finding> {
        let mut found = std::mem::replace(&mut self.found, room);
        if let Some(before) = before {
            self.found.extend(found.extract_if(.., |found| found.at >= before));
        }
        found
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
