//! Routes segments to attempts and settles them.
//!
//! Owns the tables of attempts and the memory of settled flows; `deadlines` has what happens when time passes, `evict` what is given
//! up to bound memory. Does not own the meaning of a segment to an attempt (`pending`), how long one waits (`timeouts`), nor what
//! the record says (`decide`).

mod deadlines;
mod evict;
mod groups;
mod refusals;
mod seen;
#[cfg(test)]
mod tests;

use super::batch::may_open;
use super::decide::{Context, Ending};
use super::duplicates::DuplicateOffset;
use super::early_refusals::{EarlyRefusals, is_refusal};
use super::facts::Fact;
use super::finding::{ExpectedEnds, Finding, Order};
use super::passage::OwnFlow;
use super::pending::{Pending, Phase, is_syn, is_synack};
use super::table::{Cell, NewEntry, Place, Position, Table};
use super::timeouts::{
    GIVEN_UP, awaits_earlier, awaits_retry_alone, deadline, first_wait, is_settled, unanswered_at,
    waits_longer,
};
use crate::packet::{CaptureSet, Packet, PathOrder, Segment, Span, Timestamp};

pub use self::evict::EvictionOrder;
pub use self::seen::Offsets;
use self::seen::SeenSyns;

/// Segments that are part of no attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrackerCounts {
    /// Duplicates recognised.
    pub duplicates: u64,
    /// Segments of connections whose handshake is not in the capture.
    pub midstream: u64,
    /// ICMP errors that quote no segment of an undecided attempt.
    pub unmatched_errors: u64,
    /// Segments that went with the end of a file which shrank under its map.
    pub lost: u64,
    /// Differences of time between SYNs and their duplicates, if they are too long for one capture point.
    pub offsets: Offsets,
}

impl TrackerCounts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            duplicates: self.duplicates + other.duplicates,
            midstream: self.midstream + other.midstream,
            unmatched_errors: self.unmatched_errors + other.unmatched_errors,
            lost: self.lost + other.lost,
            offsets: self.offsets.plus(other.offsets),
        }
    }
}

/// Time for which a settled attempt stays to recognise late duplicates.
const LINGER: Span = Span::from_millis(100);

/// Time after its first packet at which an attempt is checked: most handshakes are done by then, and the attempt has
/// lingered.
const SOON: Span = Span::from_millis(250);

/// Packets that memory is prefetched for before the first of them is taken: as many as a core can wait for at once.
const AHEAD: usize = 8;

/// In this order for the sake of [`Table`].
#[repr(C)]
struct Tracked {
    /// Reported; it only lingers.
    settled: bool,
    /// Settled, and of its packets only those that may open an attempt matter, whenever they were looked up.
    ignores_rest: bool,
    /// The strongest overflow that was reported of it.
    reported: u8,
    /// Retries of its SYN that were reported as unanswered.
    reported_retries: u8,
    attempt: Pending,
}

impl Tracked {
    #[inline(always)]
    const fn new(attempt: Pending) -> Self {
        Self { settled: false, ignores_rest: false, reported: 0, reported_retries: 0, attempt }
    }

    /// Number of its SYN's retries, as far as they are counted one by one.
    fn retries(&self) -> u8 {
        u8::try_from(self.attempt.syn_retransmissions().count).unwrap_or(u8::MAX)
    }
}

/// The tracker of all flows, or of one shard of them.
pub struct Tracker {
    table: Table<Tracked>,
    seen: SeenSyns,
    /// Time after which the capture holds its packets again.
    copies: DuplicateOffset,
    /// True if attempts that look stuck are reported before they are settled.
    reports_stuck: bool,
    /// True if so many attempts are undecided that they are a flood's.
    is_crowded: bool,
    /// Refusals of flows without an attempt.
    early_refusals: EarlyRefusals,
    /// The hash of a remembered flow that has an attempt again.
    reopened: Option<u64>,
    /// The packet clock: the latest time so far, in which deadlines are kept.
    now: Timestamp,
    /// Time by which packet time is behind the packet clock.
    lag: Span,
    /// True if the time of the packet that is being taken is too far ahead for the packet clock.
    is_doubted: bool,
    /// The packet that is being taken by its own addresses, if it is counted with another flow.
    own: Option<OwnFlow>,
    context: Context,
    /// Findings that were not taken yet.
    found: Vec<Finding>,
    order: Order,
    due: Vec<Position>,
    /// The attempts that were left at the end, the oldest last, once finishing has begun.
    left: Option<Vec<evict::Left>>,
    counts: TrackerCounts,
}

impl Default for Tracker {
    fn default() -> Self {
        Self::new()
    }
}

impl Tracker {
    /// Settled flows over all shards: once this many had packets, those that had none meanwhile are forgotten. Twice as many and
    /// those of undecided attempts fit an index of 4 MiB, which is at most half full when it is written anew.
    pub const REMEMBERED: usize = 98_304;

    /// A tracker that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            table: Table::new(),
            seen: SeenSyns::default(),
            copies: DuplicateOffset::default(),
            reports_stuck: false,
            is_crowded: false,
            early_refusals: EarlyRefusals::default(),
            reopened: None,
            now: Timestamp::from_nanos(i64::MIN),
            lag: Span::ZERO,
            is_doubted: false,
            own: None,
            context: Context::default(),
            found: Vec::new(),
            order: Order::default(),
            due: Vec::new(),
            left: None,
            counts: TrackerCounts::default(),
        }
    }

    /// The same, for a source that holds its packets again after this time.
    #[must_use]
    pub fn with_duplicates_after(self, after: Option<Span>) -> Self {
        Self { copies: DuplicateOffset(after), ..self }
    }

    /// The same, for points in this order along the path.
    #[must_use]
    pub fn with_path(self, path: PathOrder) -> Self {
        Self { context: Context { path, ..self.context }, ..self }
    }

    /// The same, that also reports attempts which look stuck, before they are settled: for live captures.
    #[must_use]
    pub fn reporting_stuck(self) -> Self {
        Self { reports_stuck: true, ..self }
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
        // The position found earlier, if it still holds this flow; else the flow is looked up again.
        let place = self.table.check(cell, &segment.flow).map(Place::Entry);
        match place.unwrap_or_else(|| self.table.find(hash, &segment.flow)) {
            Place::Entry(at) => self.continue_attempt(at, segment, hash, ordinal),
            place @ (Place::Remembered | Place::Unknown) => self.open_attempt(place, segment, hash, ordinal),
        }
    }

    /// Opens an attempt if the segment of this flow, which has none in the table, begins one.
    fn open_attempt(&mut self, place: Place, segment: &Segment, hash: u64, ordinal: u64) {
        if is_syn(segment) {
            if let Some(offset) = self.seen.replace(hash, segment, self.copies) {
                self.counts.duplicates += 1;
                return self.counts.offsets.add(offset);
            }
            let at = self.insert(place, segment, hash, Pending::from_syn(segment, ordinal));
            if !self.early_refusals.is_empty() {
                self.recall_refusals(at, segment, hash, ordinal);
            }
        } else if is_refusal(segment) {
            let counted = place == Place::Unknown;
            self.counts.midstream += u64::from(counted);
            if counted {
                let refusal = Pending::from_refusal(segment, ordinal);
                self.report_untracked(&refusal, segment.flow, self.steady(segment.at), Ending::Expired);
            }
            self.early_refusals.keep(hash, Packet::Segment(*segment), ordinal, counted);
        } else if place == Place::Remembered {
            // A late SYN-ACK of an attempt that is already settled opens no second one.
        } else if is_synack(segment) {
            self.insert(place, segment, hash, Pending::from_synack(segment, ordinal));
        } else {
            self.counts.midstream += 1;
        }
    }

    /// A packet time by the packet clock: nearly always the same.
    #[inline(always)]
    fn steady(&self, at: Timestamp) -> Timestamp {
        if self.lag == Span::ZERO { at } else { at.plus(self.lag) }
    }

    /// Inserts an attempt that this segment, whose flow has none, has opened.
    #[inline(always)]
    fn insert(
        &mut self,
        place: Place,
        segment: &Segment,
        hash: u64,
        mut attempt: Pending,
    ) -> Option<Position> {
        attempt.facts.add_if(Fact::Misdated, Pending::is_far(self.lag));
        attempt.log_sightings(segment, self.own);
        if place == Place::Remembered {
            self.reopened = Some(hash);
        }
        let at = self.steady(segment.at);
        let due = at.plus(first_wait(attempt.phase));
        let (ordinal, class) = (attempt.ordinal, evict::class_of(&attempt));
        let tracked = Tracked::new(attempt);
        // The SYNs of a flood stay alone.
        let (key, soon) = (segment.flow, if self.is_crowded { due } else { at.plus(SOON) });
        let position =
            self.table.insert(NewEntry { place, hash, key, due, soon, order: ordinal }, tracked)?;
        if class != evict::LONE_SYN {
            self.table.reclassify(position, class, ordinal);
        }
        Some(position)
    }

    fn continue_attempt(&mut self, at: Position, segment: &Segment, hash: u64, ordinal: u64) {
        let is_doubted = self.is_doubted;
        let Some(tracked) = self.table.get_mut(at) else { return };
        if tracked.ignores_rest && !may_open(segment.flags) {
            // It was looked up before that; from now on such packets are not even looked at.
            return;
        }
        let jump = segment.at.since(tracked.attempt.last);
        if Pending::is_far(jump)
            && !tracked.settled
            && (jump < Span::ZERO || is_doubted || tracked.attempt.is_doubtful_at(segment))
        {
            return self.continue_redated(at, jump, segment, hash, ordinal);
        }
        let (phase, is_overdue) = (tracked.attempt.phase, tracked.attempt.is_overdue);
        // The wheel advances once a batch; a deadline counts from the moment it passes.
        let is_due = self.table.due(at) < self.steady(segment.at);
        if is_due && (!waits_longer(phase) || jump > GIVEN_UP) {
            return self.settle_and_take(at, segment, hash, ordinal);
        }
        if is_due || is_overdue {
            let awaits_retry_alone = |tracked: &Tracked| awaits_retry_alone(&tracked.attempt);
            if self.table.get(at).is_some_and(awaits_retry_alone) && !may_open(segment.flags) {
                self.counts.midstream += 1;
                return;
            }
        }
        self.continue_in_time(at, segment, hash, ordinal);
    }

    /// Settles an attempt whose deadline has passed, and takes the segment that came after it. (Apart: as a loop of
    /// [`Self::take_segment`] it would keep each field of every segment at hand.)
    #[cold]
    #[inline(never)]
    fn settle_and_take(&mut self, at: Position, segment: &Segment, hash: u64, ordinal: u64) {
        self.settle_due(at);
        self.take_segment(Cell::EMPTY, segment, hash, ordinal);
    }

    /// Takes a segment whose time is so far from its attempt's that it is not believed.
    #[cold]
    #[inline(never)]
    fn continue_redated(&mut self, at: Position, jump: Span, segment: &Segment, hash: u64, ordinal: u64) {
        let Some(tracked) = self.table.get_mut(at) else { return };
        let is_second = tracked.attempt.packets == 1;
        let redated = tracked.attempt.redated(segment);
        self.continue_in_time(at, &redated, hash, ordinal);
        if is_second && jump > Span::ZERO {
            self.wait_by_later_time(at, jump);
        }
    }

    /// Moves the deadline of an attempt whose second packet is so much later than its first: either may be misdated,
    /// and it must not expire by the time of the first while its packets go on by that of the second.
    #[cold]
    fn wait_by_later_time(&mut self, at: Position, jump: Span) {
        if self.table.get(at).is_some_and(|tracked| !tracked.settled) {
            let due = self.table.due(at).plus(jump);
            self.table.set_due(at, due);
        }
    }

    /// Takes a segment of an attempt whose deadline has not passed.
    #[inline(always)]
    fn continue_in_time(&mut self, at: Position, segment: &Segment, hash: u64, ordinal: u64) {
        let now = self.steady(segment.at);
        let Some(tracked) = self.table.get_mut(at) else { return };
        if tracked.attempt.is_replaced_by(segment) || tracked.settled && is_syn(segment) {
            return self.replace(at, now, segment, hash, ordinal);
        }
        if tracked.settled {
            if tracked.attempt.is_duplicate(segment, self.copies) {
                self.counts.duplicates += 1;
            } else if is_refusal(segment) {
                self.early_refusals.keep(hash, Packet::Segment(*segment), ordinal, false);
            } else {
                // The connection goes on; duplicates of its segments would have come before.
                tracked.ignores_rest = true;
                self.table.settle(at);
            }
            return;
        }
        let class = evict::class_of(&tracked.attempt);
        if tracked.attempt.take(segment, self.copies, self.own) {
            self.counts.duplicates += 1;
            if let Some(sample) = tracked.attempt.clock_sample(segment) {
                self.counts.offsets.add_points(&sample);
            } else if is_syn(segment) && tracked.attempt.phase != Phase::SynSent {
                // A SYN that was answered before it came has the time of another clock.
                let offset = self.seen.offset(hash, segment);
                offset.into_iter().for_each(|offset| self.counts.offsets.add(offset));
            }
            return;
        }
        let attempt = &tracked.attempt;
        if is_syn(segment) {
            self.seen.add_retry(hash, segment);
        }
        if attempt.facts.has(Fact::RstWrongAck) && is_refusal(segment) {
            // The refusal may answer a SYN of this flow that is captured after it.
            self.early_refusals.keep(hash, Packet::Segment(*segment), ordinal, false);
        }
        let strength = attempt.overflow_strength();
        let becomes = evict::class_of(attempt);
        if strength > tracked.reported {
            tracked.reported = strength;
            self.report_provisional(at, now);
        }
        if becomes != class {
            self.table.reclassify(at, becomes, ordinal);
        }
        self.reconsider(at, segment.at);
    }

    /// Settles the attempt of a flow whose ports another SYN takes, unless that SYN is a duplicate.
    #[inline(never)]
    fn replace(&mut self, at: Position, now: Timestamp, segment: &Segment, hash: u64, ordinal: u64) {
        if let Some(tracked) = self.table.get_mut(at).filter(|tracked| tracked.settled)
            && tracked.attempt.is_duplicate(segment, self.copies)
        {
            self.counts.duplicates += 1;
            return;
        }
        self.settle_and_remove(at, now, Ending::Replaced);
        self.open_attempt(Place::Remembered, segment, hash, ordinal);
    }

    /// Settles the attempt if the packet at `now`, in packet time, leaves nothing open, else moves its deadline.
    fn reconsider(&mut self, at: Position, now: Timestamp) {
        let Some(tracked) = self.table.get(at) else { return };
        if is_settled(&tracked.attempt) && !awaits_earlier(&tracked.attempt) {
            self.settle(at, self.steady(now), Ending::Expired);
        } else {
            let due = deadline(&tracked.attempt, now);
            let early = (self.reports_stuck && tracked.retries() > tracked.reported_retries)
                .then(|| unanswered_at(&tracked.attempt, now));
            let due = self.steady(early.flatten().map_or(due, |early| early.min(due)));
            self.table.set_due(at, due);
        }
    }

    /// Sets which captures so far lack bare ACKs, so that a handshake without one proves nothing there, and which lack everything
    /// but SYNs.
    pub fn set_lacking(&mut self, bare_acks: CaptureSet, answers: CaptureSet) {
        self.context.lacks_bare_acks = bare_acks;
        self.context.lacks_answers = answers;
    }

    /// Sets whether so many attempts are undecided, over all trackers, that most of them are a flood's.
    pub fn set_crowded(&mut self, crowded: bool) {
        self.is_crowded = crowded;
    }

    /// Number of undecided attempts.
    #[must_use]
    pub fn undecided(&self) -> usize {
        self.table.aged()
    }

    /// Number of undecided attempts whose next retransmission is overdue.
    #[must_use]
    pub fn overdue(&self) -> usize {
        self.table.count(evict::OVERDUE)
    }

    /// Settled flows with packets since [`Self::forget_inactive`].
    #[must_use]
    pub fn active_flows(&self) -> usize {
        self.table.active_flows()
    }

    /// Forgets the settled flows that were silent since this was last done.
    pub fn forget_inactive(&mut self) {
        self.table.forget_inactive();
    }

    /// Removes all settled attempts before their time: for when packet time stands nearly still.
    pub fn remove_settled(&mut self) {
        self.table.remove_retired();
    }

    /// Counts a segment whose bytes changed after the first look, and ends every undecided attempt as at the capture's
    /// end: more segments may be lost, so nothing may be inferred from silence.
    #[cold]
    fn abandon_undecided(&mut self) {
        self.counts.lost += 1;
        self.finish(usize::MAX);
    }

    /// Takes the findings since the last call, or those of them before some time, in order, each with the ends of one that
    /// comes soon.
    ///
    /// # Errors
    ///
    /// The errors of `take`; findings not taken by then are lost.
    pub fn drain<E>(
        &mut self,
        before: Option<Timestamp>,
        take: impl FnMut(&mut Finding, Option<ExpectedEnds>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut found = self.hand_over(before, Vec::new());
        let result = self.order.deliver(std::slice::from_mut(&mut found), take);
        found.clear();
        // The buffer is used again, for the findings that are left.
        found.append(&mut self.found);
        self.found = found;
        result
    }

    /// Gives the findings since the last call, or those of them before some time, to be put in [`Order`] with other
    /// trackers'. The next ones go into `buffer`, which is empty.
    pub fn hand_over(&mut self, before: Option<Timestamp>, buffer: Vec<Finding>) -> Vec<Finding> {
        let mut found = std::mem::replace(&mut self.found, buffer);
        if let Some(before) = before {
            self.found.extend(found.extract_if(.., |found| found.at >= before));
        }
        found
    }

    /// Counts so far.
    #[must_use]
    pub fn counts(&self) -> TrackerCounts {
        self.counts
    }
}
