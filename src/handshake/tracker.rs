//! Routes segments to attempts and decides when an attempt is decided.
//!
//! Owns the hot table, deadlines, eviction and the memory of decided flows. Does not own what a
//! segment means to an attempt (`pending`) nor what the record says (`decide`).

use super::decide::{self, Ending};
use super::found::{Found, in_order};
use super::pending::{Pending, Phase, is_syn, is_synack};
use super::table::{Place, Position, Table};
use crate::packet::{Flags, Packet, Segment, Span, Timestamp, Unreachable};

/// Segments that are told in no attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Copies recognised.
    pub copies: u64,
    /// Segments of connections whose handshake is not in the capture.
    pub midstream: u64,
    /// ICMP errors that quote a SYN of no undecided attempt.
    pub stray_errors: u64,
}

/// How long a decided attempt stays to swallow late copies: the longest that a copy takes.
const LINGER: Span = Span::from_millis(100);

/// A packet on its way to the tracker.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// What it is.
    pub packet: Packet,
    /// The hash of its flow.
    pub hash: u64,
    /// Its position in the whole input, from 0.
    pub ordinal: u64,
}

/// How many packets are looked up before the first of them is taken: as many misses as a core can have
/// under way, and a few more.
const AHEAD: usize = 16;

/// In this order for the sake of [`Table`].
#[repr(C)]
struct Tracked {
    /// Decided and told; only lingers.
    decided: bool,
    attempt: Pending,
}

/// The tracker of all flows, or of one shard of them.
pub struct Tracker {
    table: Table<Tracked>,
    /// Attempts opened so far.
    opened: u64,
    /// Latest packet time so far.
    now: Timestamp,
    /// What was found and not yet told.
    found: Vec<Found>,
    due: Vec<Position>,
    counts: Counts,
}

impl Default for Tracker {
    fn default() -> Self {
        Self::new()
    }
}

impl Tracker {
    /// Decided flows to remember before those that were silent meanwhile are forgotten, over all shards: so
    /// many, and as many silent ones, are remembered at most.
    pub const REMEMBERED: usize = 131_072;

    /// A tracker that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            table: Table::new(),
            opened: 0,
            now: Timestamp::from_nanos(i64::MIN),
            found: Vec::new(),
            due: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Takes packets, in order.
    ///
    /// In three passes over a few at a time: the first asks for the memory of the index, the second looks the flows up and
    /// asks for that of the entries, so that the processor waits for many at once.
    pub fn take(&mut self, items: &[Item]) {
        let mut places = [Place::Unknown; AHEAD];
        let mut ahead = items.iter();
        let mut expect = |table: &Table<_>, count| {
            ahead.by_ref().take(count).for_each(|item| table.prefetch_index(item.hash));
        };
        expect(&self.table, AHEAD);
        for group in items.chunks(AHEAD) {
            expect(&self.table, AHEAD);
            for (place, item) in places.iter_mut().zip(group) {
                *place = self.table.guess(item.hash);
                if let Place::Entry(at) = *place {
                    self.table.prefetch(at);
                }
            }
            let opened = self.opened;
            for (&place, item) in places.iter().zip(group) {
                match &item.packet {
                    Packet::Segment(segment) => {
                        let sure = self.opened == opened;
                        self.take_located(place, sure, segment, item.hash, item.ordinal);
                    }
                    Packet::Unreachable(error) => self.take_unreachable(error, item.hash),
                }
            }
        }
    }

    /// Takes a segment whose flow was looked up before the segments of its group were taken; `sure` tells
    /// that no attempt was opened since.
    #[inline(always)]
    fn take_located(&mut self, place: Place, sure: bool, segment: &Segment, hash: u64, ordinal: u64) {
        match place {
            // It may have left since; then nothing or another flow is there.
            Place::Entry(at) if self.table.holds(at, &segment.flow) => {
                self.continue_attempt(at, segment, hash, ordinal);
            }
            Place::Remembered if sure && !segment.flags.contains(Flags::SYN) => {}
            Place::Remembered | Place::Unknown if sure => self.open_attempt(place, segment, hash, ordinal),
            Place::Entry(_) | Place::Remembered | Place::Unknown => {
                self.take_segment(segment, hash, ordinal);
            }
        }
    }

    fn take_segment(&mut self, segment: &Segment, hash: u64, ordinal: u64) {
        match self.table.find(hash, &segment.flow) {
            Place::Entry(at) => self.continue_attempt(at, segment, hash, ordinal),
            place @ (Place::Remembered | Place::Unknown) => {
                self.open_attempt(place, segment, hash, ordinal);
            }
        }
    }

    /// Opens an attempt if the segment of this flow, which has none, begins one.
    fn open_attempt(&mut self, place: Place, segment: &Segment, hash: u64, ordinal: u64) {
        let attempt = if is_syn(segment) {
            Pending::from_syn(segment, ordinal)
        } else if place == Place::Remembered {
            // A late SYN-ACK of an attempt that is already told opens no second one.
            return;
        } else if is_synack(segment) {
            Pending::from_synack(segment, ordinal)
        } else {
            self.counts.midstream += 1;
            return;
        };
        let due = deadline(&attempt);
        self.opened += 1;
        self.table.insert(hash, segment.flow, Tracked { attempt, decided: false }, due);
    }

    fn continue_attempt(&mut self, at: Position, segment: &Segment, hash: u64, ordinal: u64) {
        if self.table.due(at) < segment.at {
            // The wheel turns once a batch; a deadline counts from the moment it passes.
            self.expire(at);
            return self.take_segment(segment, hash, ordinal);
        }
        let Some(tracked) = self.table.get_mut(at) else { return };
        if tracked.attempt.is_replaced_by(segment) {
            self.decide(at, segment.at, Ending::Replaced);
            self.table.remove(at);
            return self.open_attempt(Place::Remembered, segment, hash, ordinal);
        }
        if tracked.decided {
            self.counts.copies += u64::from(tracked.attempt.is_copy(segment));
            return;
        }
        let before = tracked.attempt.overflow_signs();
        if tracked.attempt.take(segment) {
            self.counts.copies += 1;
            return;
        }
        let attempt = &tracked.attempt;
        if attempt.overflow_signs() > before {
            let attempt = decide::decide(attempt, segment.flow, Ending::Provisional);
            self.found.push(Found { at: segment.at, decided: false, attempt });
        }
        self.reconsider(at, segment.at);
    }

    /// Decides the attempt if its last segment settled it, else moves its deadline.
    fn reconsider(&mut self, at: Position, now: Timestamp) {
        let Some(tracked) = self.table.get(at) else { return };
        if is_settled(&tracked.attempt) {
            self.decide(at, now, Ending::Expired);
        } else {
            let due = deadline(&tracked.attempt);
            self.table.set_due(at, due);
        }
    }

    fn take_unreachable(&mut self, error: &Unreachable, hash: u64) {
        let Place::Entry(at) = self.table.find(hash, &error.flow) else {
            self.counts.stray_errors += 1;
            return;
        };
        match self.table.get_mut(at) {
            Some(tracked) if !tracked.decided && tracked.attempt.outward == error.direction => {
                tracked.attempt.take_icmp(error.at, error.seq, error.icmp);
                self.reconsider(at, error.at);
            }
            Some(_) | None => self.counts.stray_errors += 1,
        }
    }

    /// Lets the deadlines pass that lie before `now`, a packet time.
    pub fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let mut due = std::mem::take(&mut self.due);
        self.table.collect_due(self.now, &mut due);
        for (place, &at) in due.iter().enumerate() {
            if let Some(&later) = due.get(place + AHEAD) {
                self.table.prefetch(later);
            }
            self.expire(at);
        }
        due.clear();
        self.due = due;
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
        let attempt = decide::decide(&tracked.attempt, key, ending);
        self.found.push(Found { at: when, decided: true, attempt });
        self.table.forget_age(at);
        self.table.set_due(at, when.plus(LINGER));
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

    /// How many attempts are undecided, or decided so lately that late copies of their segments may come.
    #[must_use]
    pub fn held(&self) -> usize {
        self.table.len()
    }

    /// How many decided flows are remembered that were heard of since [`Self::forget`].
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.table.remembered()
    }

    /// Forgets decided flows that were silent since the last call.
    pub fn forget(&mut self) {
        self.table.forget_silent();
    }

    /// Decides everything that is left; `end` is the time of the capture's last packet.
    pub fn finish(&mut self, end: Timestamp) {
        self.advance(end);
        while let Some(at) = self.table.oldest() {
            self.decide(at, self.now, Ending::CaptureEnd(end));
            self.table.remove(at);
        }
    }

    /// Tells what was found since the last call, in order.
    ///
    /// # Errors
    ///
    /// Those of `take`; what was not told by then is lost.
    pub fn drain<E>(&mut self, take: impl FnMut(&mut Found) -> Result<(), E>) -> Result<(), E> {
        let result = in_order(std::slice::from_mut(&mut self.found), take);
        self.found.clear();
        result
    }

    /// Hands over what was found since the last call, to be told [`in_order`] with what others found.
    pub fn hand_over(&mut self) -> Vec<Found> {
        std::mem::take(&mut self.found)
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// Whether nothing that can still come would change the record.
fn is_settled(attempt: &Pending) -> bool {
    match attempt.phase {
        // A reset right after the handshake is told as the application's: wait for it until the
        // server has spoken.
        Phase::Established => {
            attempt.signs.server_spoke || attempt.signs.application_reset || attempt.signs.contradicted
        }
        Phase::Ignored => attempt.signs.client_aborted || attempt.rst_at.is_some(),
        Phase::Acked => attempt.signs.client_aborted,
        Phase::SynSent
        | Phase::Refused
        | Phase::Unreachable
        | Phase::AnswerUnseen
        | Phase::SynReceived
        | Phase::ClientReset
        | Phase::Reset => false,
    }
}

/// When an attempt is decided if nothing more comes.
fn deadline(attempt: &Pending) -> Timestamp {
    // The next repeat of a doubling timer, with slack; never sooner than a first repeat that is late.
    let next_repeat = |gap: Span| gap.scaled(23, 10).max(Span::from_secs(4)).min(Span::from_secs(150));
    let (syn, synack) = (attempt.syn_repeats(), attempt.synack_repeats());
    let wait = match attempt.phase {
        Phase::SynSent => next_repeat(syn.gap),
        Phase::SynReceived => next_repeat(synack.gap.max(syn.gap)),
        // Windows repeats a refused SYN after 0.5 s, twice; others do not.
        Phase::Refused | Phase::Unreachable | Phase::ClientReset => Span::from_millis(1500),
        Phase::AnswerUnseen => Span::from_secs(5),
        // A firewall's RST is told by the SYN-ACK repeat that follows after 1 s, or after 3 s.
        Phase::Reset => Span::from_millis(3500),
        Phase::Established => Span::from_secs(1),
        // The request lives until its timer would repeat the SYN-ACK once more. Data is repeated beyond that,
        // and answered with RST then (DOMAIN §1).
        Phase::Ignored if !attempt.client_sent_data() => next_repeat(synack.gap),
        // A deferred request is silent for as long as it was told to, and an idle client tells nothing;
        // repeated data backs off to 120 s.
        Phase::Acked | Phase::Ignored => Span::from_secs(130),
    };
    attempt.last.plus(wait)
}
