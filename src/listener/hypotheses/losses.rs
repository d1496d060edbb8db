//! Single losses on the path between client and server, as they show in a listener's other attempts (DOMAIN §3): how many there are
//! tells what chance makes of them.

use super::Case;
use super::case::RARE_ODDS;
use crate::handshake::{Evidence, Fact};
use crate::listener::observed::{MARK_GAP, ignored_between};
use crate::packet::{Span, Timestamp};

/// Time before and after an attempt, or a stretch, in which the listener's others count.
const AROUND: Span = Span::from_secs(30);

/// Fewest attempts that are expected to lose as many ACKs in a row: one in so many captures.
const MIN_EXPECTED: f64 = 1.0 / RARE_ODDS as f64;

/// Standard deviations that chance does not exceed.
const DEVIATIONS: f64 = 3.0;

/// True if no more were counted than chance makes of so many that are expected.
fn is_within_chance(counted: u32, expected: f64) -> bool {
    f64::from(counted) <= expected + DEVIATIONS * expected.sqrt() + 1.0
}

impl Case<'_> {
    /// Evidence that the path loses segments, seen from the client's side: in the stretch of the attempt's unanswered SYNs
    /// SYN-ACKs were lost, too, and not far fewer of them. A full queue loses none.
    pub(in crate::listener) fn loses_answers(&self) -> Option<Evidence> {
        /// Unanswered attempts for each lost SYN-ACK at most, where one path loses both.
        const MAX_RATIO: u32 = 4;
        let stretch = self.stretch().filter(|_| !self.is_near_server())?;
        let lost = self.answers_lost(stretch.from, stretch.to)?;
        (stretch.attempts <= lost.saturating_mul(MAX_RATIO)).then_some(Evidence::AnswersLostToo(lost))
    }

    /// SYN-ACKs of the listener that were lost in this time, unless they are too few to count.
    fn answers_lost(&self, from: Timestamp, to: Timestamp) -> Option<u32> {
        /// Fewest SYN-ACKs that count: one or two are lost anywhere.
        const MIN_LOST: u32 = 3;
        let lost = self.own.drops.answers_lost_between(from, to);
        let round_trip = self.own.least_round_trip.unwrap_or_default();
        // A SYN-ACK of a server that had stood still was late.
        let late = || self.own.late_answers.went_on_between(from, to.plus(MARK_GAP), round_trip);
        (lost >= MIN_LOST && !late()).then_some(lost)
    }

    /// Evidence that ACKs may be lost although the way lived: seen from the client's side it loses so many SYN-ACKs around that
    /// time that as many ACKs in a row may be lost of one attempt or another, too, and no more attempts lose several than that
    /// explains.
    pub(super) fn loses_acks(&self) -> Option<Evidence> {
        /// Lost segments for each SYN-ACK that shows as lost: of an attempt without timestamps none shows, and one way may lose
        /// more than the other.
        const UNSEEN: f64 = 3.0;
        let (from, to) = self.around_ignored()?;
        let lost = self.answers_lost(from, to)?;
        let answered = self.own.drops.answered_between(from, to);
        let seen = f64::from(lost.saturating_add(answered.max(self.own.acks_accepted.between(from, to))));
        let share = (f64::from(lost) * UNSEEN / seen).min(1.0);
        let as_expected =
            is_within_chance(self.own.silence.ignored_in_a_row(2, from, to), seen * share * share);
        (as_expected && seen * share.powi(self.in_a_row()) >= MIN_EXPECTED)
            .then_some(Evidence::AnswersLostToo(lost))
    }

    /// True if single losses explain the ignored ACKs although the way lived, seen from the client's side: around that time no more
    /// attempts lose as many in a row than the share of ignored first ACKs lets expect, and SYNs, which go the same way, are lost about
    /// as often. A full queue drops SYNs in crowds, far more of them than ACKs, or none where they came before it was full.
    pub(super) fn loses_syns_alike(&self) -> bool {
        /// Unanswered SYNs for each lost ACK at most: data makes up for an ACK, and without timestamps lost SYN-ACKs count, too.
        const MAX_RATIO: f64 = 4.0;
        /// Fewest attempts that lose an ACK: this one and another.
        const MIN_IGNORED: u32 = 2;
        let Some((from, to)) = self.around_ignored() else { return false };
        let (drops, silence) = (&self.own.drops, &self.own.silence);
        let answered = drops.answered_between(from, to);
        let ignored = silence.ignored_in_a_row(1, from, to);
        let seen = f64::from(ignored.saturating_add(answered.max(self.own.acks_accepted.between(from, to))));
        let share = f64::from(ignored) / seen;
        let as_many = seen * share.powi(self.in_a_row());
        let few = silence.ignored_in_a_row(self.attempt.retries.after_ack, from, to);
        let dropped = drops.unanswered_between(from, to);
        let expected = f64::from(answered) * share;
        self.has(Fact::SynSeen)
            && ignored >= MIN_IGNORED
            && !self.ignored_in_crowd().is_some_and(|(_, lived)| lived)
            && as_many >= MIN_EXPECTED
            && is_within_chance(few, as_many)
            && is_within_chance(dropped, expected * MAX_RATIO)
            && expected <= f64::from(dropped) + DEVIATIONS * expected.sqrt() + 1.0
    }

    /// The times around the attempt's ignored ACKs that tell how much its path loses, seen from the client's side.
    fn around_ignored(&self) -> Option<(Timestamp, Timestamp)> {
        let (from, to) = ignored_between(self.attempt).filter(|_| !self.is_near_server())?;
        Some((from.minus(AROUND), to.plus(AROUND)))
    }

    /// ACKs of the attempt that were ignored, as an exponent.
    fn in_a_row(&self) -> i32 {
        self.attempt.retries.after_ack.min(64) as i32
    }

    /// True if nothing shows that the queue was full when the attempt's SYNs went unanswered but single ACKs or RSTs of others, which
    /// may be lost or something else's, on a path that loses SYN-ACKs.
    pub(super) fn is_overflow_hearsay(&self) -> bool {
        let (from, to) = self.span();
        let lost = self.own.drops.answers_lost_between(from.minus(AROUND), to.plus(AROUND));
        lost > 0 && !self.own.marks.others_show_more(self.own, self.attempt, (from, to))
    }
}
