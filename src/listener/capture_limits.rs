//! Limits of the capture: what it cannot support. An inference that needs it is less sure (DOMAIN §4).

use crate::handshake::{Attempt, Evidence, Fact, Reason, Verdict};
use crate::packet::{CaptureSet, FrameRef, Span, Timestamp};

/// Limits of the captures, each with the captures that have it, as far as they are known by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitSets {
    /// See [`CaptureLimits`].
    pub no_bare_acks: CaptureSet,
    /// See [`CaptureLimits`].
    pub one_direction: CaptureSet,
    /// See [`CaptureLimits`].
    pub gaps: CaptureSet,
    /// See [`CaptureLimits`].
    pub some_gaps: CaptureSet,
    /// See [`CaptureLimits`].
    pub drops: CaptureSet,
    /// See [`CaptureLimits`].
    pub no_clock: CaptureSet,
    /// See [`CaptureLimits`].
    pub uncounted: CaptureSet,
    /// See [`CaptureLimits`]; that of all captures together.
    pub two_clocks: bool,
}

impl LimitSets {
    /// The limits of the capture that holds this frame.
    #[must_use]
    pub fn of(&self, frame: FrameRef) -> CaptureLimits {
        CaptureLimits {
            no_bare_acks: self.no_bare_acks.has(frame),
            one_direction: self.one_direction.has(frame),
            gaps: self.gaps.has(frame),
            some_gaps: self.some_gaps.has(frame),
            drops: self.drops.has(frame),
            no_clock: self.no_clock.has(frame),
            uncounted: self.uncounted.has(frame),
            two_clocks: self.two_clocks,
        }
    }
}

/// Limits of the capture that holds an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaptureLimits {
    /// No bare ACK is in the capture: a handshake without one proves nothing, be it half-open, a scan or a flood.
    pub no_bare_acks: bool,
    /// Only one direction is in the capture.
    pub one_direction: bool,
    /// Packets are missing within connections: absence proves nothing.
    pub gaps: bool,
    /// The same of one attempt or more: too few to weaken what others show, and enough to confirm nothing.
    pub some_gaps: bool,
    /// The capture counted packets that it lost.
    pub drops: bool,
    /// Times are all equal, or whole seconds, or jump: neither silence nor round trips can be measured.
    pub no_clock: bool,
    /// Nobody counted what the capture dropped.
    pub uncounted: bool,
    /// Packets were captured by two clocks.
    pub two_clocks: bool,
}

impl CaptureLimits {
    /// True if packets that were on the wire may be missing from the capture.
    const fn lacks_packets(self) -> bool {
        self.no_bare_acks || self.one_direction || self.gaps || self.drops
    }

    /// True if these limits weaken an inference from an attempt's verdict, because that rests on the absence of a packet, or
    /// on the time between packets.
    pub(super) fn weaken(self, attempt: &Attempt) -> bool {
        let timing = self.no_clock || self.two_clocks;
        match attempt.verdict {
            // A client whose SYN is lost repeats it: that retry may be missing, too.
            Verdict::Unanswered if self.some_gaps && attempt.is_lone_syn() => true,
            Verdict::SynackRetransmitted | Verdict::AckIgnored | Verdict::Unanswered | Verdict::HalfOpen => {
                self.lacks_packets() || timing
            }
            // The server may have reset the connection before, in a packet that is missing.
            Verdict::ResetAfterAck => timing || self.no_bare_acks || self.gaps,
            Verdict::CompletedLate => timing || self.no_bare_acks || self.gaps,
            // Packets may be missing before the one that broke it.
            Verdict::Completed => self.gaps,
            Verdict::Undetermined => self.one_direction,
            Verdict::Refused | Verdict::Unreachable | Verdict::ClientReset => false,
        }
    }

    /// The evidence that names them.
    pub(super) const fn evidence(self) -> Evidence {
        if self.drops { Evidence::CaptureDropped } else { Evidence::LimitedByCapture }
    }
}

/// Completeness of each capture, as its settled attempts show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverages([Coverage; CaptureSet::PLACES]);

impl Coverages {
    pub(super) fn add(&mut self, attempt: &Attempt) {
        if let Some(coverage) = self.0.get_mut(CaptureSet::place(attempt.frame)) {
            coverage.add(attempt);
        }
    }

    /// The completeness of the captures at a place of a [`CaptureSet`].
    #[must_use]
    pub fn at(&self, place: usize) -> Coverage {
        self.0.get(place).copied().unwrap_or_default()
    }

    /// The captures of which one direction is missing.
    #[must_use]
    pub fn one_direction(&self) -> CaptureSet {
        CaptureSet::of(|place| self.at(place).one_direction().is_some())
    }

    /// True if there are attempts, and every capture of them is in `captures`.
    #[must_use]
    pub fn is_all_of(&self, captures: CaptureSet) -> bool {
        let mut held = (0..CaptureSet::PLACES).filter(|&place| self.at(place).attempts > 0).peekable();
        held.peek().is_some() && held.all(|place| captures.has_place(place))
    }

    /// Attempts whose SYN something between two points answered, and connected to the server itself.
    #[must_use]
    pub fn answered_between(&self) -> u64 {
        self.0.iter().map(|coverage| coverage.answered_between).sum()
    }

    /// The captures with gaps.
    #[must_use]
    pub fn gaps(&self) -> CaptureSet {
        CaptureSet::of(|place| self.at(place).gaps().is_some())
    }

    /// The captures of which an attempt lacks a packet.
    pub(super) fn some_gaps(&self) -> CaptureSet {
        CaptureSet::of(|place| self.at(place).gaps > 0 || self.at(place).headless > 0)
    }
}

/// Counts of settled attempts that show how complete the capture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Settled attempts.
    attempts: u64,
    /// Attempts of which the capture has a segment from the client, and those of which it has one from the server.
    from_client: u64,
    from_server: u64,
    /// Attempts that lack a packet which must have passed while the capture was running.
    gaps: u64,
    /// Attempts whose SYN is missing after the capture's beginning: their SYN-ACK may be the retry of an earlier one.
    headless: u64,
    /// Attempts of one SYN to which an answer may be missing.
    alone: u64,
    /// Attempts that a proxy between two points answered.
    answered_between: u64,
    /// The start of the first attempt.
    begin: Option<Timestamp>,
}

impl Coverage {
    /// Fewest attempts with gaps that make gaps a limit of the capture.
    const MIN_GAPS: u64 = 3;
    /// Longest round trip of a SYN before the capture's begin, but of few.
    const BEGINNING: Span = Span::from_secs(1);
    /// A SYN-ACK without its SYN opens an attempt so late after the capture's begin only if packets are missing: a
    /// request lives for 63 s.
    const BEGUN_BEFORE: Span = Span::from_secs(64);

    pub(super) fn add(&mut self, attempt: &Attempt) {
        let facts = attempt.facts;
        let begin = *self.begin.get_or_insert(attempt.start);
        let (syn, answered, went_on) =
            (facts.has(Fact::SynSeen), facts.has(Fact::SynAckSeen), facts.has(Fact::ClientWentOn));
        self.attempts += 1;
        self.answered_between += u64::from(attempt.answered_between().is_some());
        self.from_client += u64::from(syn || went_on);
        let spoke = answered || facts.has(Fact::Established) || attempt.reset.is_some();
        self.from_server += u64::from(spoke);
        let unanswered = syn && went_on && attempt.reason == Some(Reason::OneSided);
        self.alone += u64::from(attempt.may_lack_answer());
        let begun = attempt.start.since(begin);
        self.headless += u64::from(!syn && begun > Self::BEGINNING);
        let late = !syn && begun > Self::BEGUN_BEFORE;
        let lacks_answer = facts.has(Fact::AckUnasked) || facts.has(Fact::WrongAck) || attempt.lacks_synack();
        self.gaps += u64::from(facts.has(Fact::AckedUnseen) || unanswered || late || lacks_answer);
    }

    /// Only the client's direction is in the capture (`true`), or only the server's (`false`).
    #[must_use]
    pub const fn one_direction(&self) -> Option<bool> {
        match (self.from_client, self.from_server) {
            (0, 1..) => Some(false),
            (1.., 0) if self.gaps > 0 || self.alone > 0 => Some(true),
            (_, _) => None,
        }
    }

    /// Attempts of which packets are missing between others, if they are many, and all attempts.
    #[must_use]
    pub fn gaps(&self) -> Option<(u64, u64)> {
        let many = self.gaps >= Self::MIN_GAPS && self.gaps * 20 >= self.attempts;
        (many && self.one_direction().is_none()).then_some((self.gaps, self.attempts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{Facts, Retries};
    use crate::report::samples;

    #[test]
    fn a_syn_that_was_not_repeated_proves_no_loss_where_packets_are_missing() {
        let mut attempts = samples::overflow_mixed().1.into_iter();
        let unanswered = attempts.find(|attempt| attempt.verdict == Verdict::Unanswered).unwrap();
        let with_retries = |syn| Attempt {
            retries: Retries { syn, ..Retries::default() },
            facts: Facts::of(&[Fact::SynSeen]),
            ..unanswered.clone()
        };
        let [repeated, alone] = [2, 0].map(with_retries);
        let weaken = |limits: CaptureLimits| [&repeated, &alone].map(|attempt| limits.weaken(attempt));
        assert_eq!(weaken(CaptureLimits::default()), [false, false]);
        assert_eq!(weaken(CaptureLimits { some_gaps: true, ..CaptureLimits::default() }), [false, true]);
        assert_eq!(weaken(CaptureLimits { gaps: true, ..CaptureLimits::default() }), [true, true]);
    }

    #[test]
    fn a_missing_syn_is_a_gap_only_after_the_beginning_of_the_capture() {
        let (_, attempts) = samples::overflow_mixed();
        let mut headless = attempts[0].clone();
        headless.facts.remove(Fact::SynSeen);
        let some_gaps_after = |millis| {
            let mut coverages = Coverages::default();
            coverages.add(&attempts[0]);
            coverages.add(&Attempt {
                start: attempts[0].start.plus(Span::from_millis(millis)),
                ..headless.clone()
            });
            coverages.some_gaps() != CaptureSet::NONE
        };
        assert_eq!([500, 1500].map(some_gaps_after), [false, true]);
    }
}
