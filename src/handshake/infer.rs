//! Infers what a verdict means (DOMAIN §5).
//!
//! Pure: an attempt's facts and what is known of its listener go in, an inference comes out. Does not own how the
//! listener's knowledge is gathered (`listener`), nor how the inference is worded (`cause`).

use smallvec::smallvec;

use super::attempt::Attempt;
use super::cause::{Cause, Confidence, Evidence, EvidenceList, Inference};
use super::facts::Fact;
use super::verdict::{Vantage, Verdict};
use crate::packet::Span;

/// What is known of an attempt's listener at the attempt's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context {
    /// The strongest overflow that another attempt of the listener showed at that time.
    pub overflow: Option<Confidence>,
    /// The strongest overflow so close to a SYN that got no answer that the queue was still, or already, full.
    pub full: Option<Confidence>,
    /// An overflow is longer ago, and nobody was answered since.
    pub full_since_long: bool,
    /// Whether the listener answered somebody's SYN with SYN-ACK; `None` where nobody kept track.
    pub answers: Option<bool>,
    /// It answered somebody's SYN with RST.
    pub refuses: bool,
    /// Its half-open attempts are many, and most.
    pub many_half_open: bool,
    /// Its client-reset attempts are many, and most.
    pub many_client_reset: bool,
    /// Packets were lost by the capture: absence proves less.
    pub capture_dropped: bool,
    /// What the kernel says of the listener at the attempt's time, where it was asked and knows.
    pub kernel: Option<KernelEvidence>,
}

/// The kernel's own word on a listener at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelEvidence {
    /// Whether its accept queue overflowed then.
    pub overflowed: bool,
    /// `net.ipv4.tcp_abort_on_overflow`, where it could be read.
    pub abort_on_overflow: Option<bool>,
}

/// Infers what an attempt's verdict means.
#[must_use]
pub fn infer(attempt: &Attempt, context: &Context) -> Inference {
    let mut inference = match attempt.verdict {
        Verdict::Completed | Verdict::CompletedLate => completed(attempt),
        Verdict::SynackRetransmitted => synack_retransmitted(attempt, context),
        Verdict::ResetAfterAck => reset_after_ack(attempt),
        Verdict::AckIgnored => ack_ignored(attempt, context),
        Verdict::Refused => refused(context),
        Verdict::Unreachable => unreachable(attempt),
        Verdict::Unanswered => unanswered(attempt, context),
        Verdict::HalfOpen => half_open(attempt, context),
        Verdict::ClientReset => client_reset(attempt, context),
        Verdict::Undetermined => Inference::default(),
    };
    if context.capture_dropped
        && rests_on_absence(attempt.verdict)
        && inference.confidence == Some(Confidence::Likely)
    {
        inference.confidence = Some(Confidence::Possible);
        inference.evidence.push(Evidence::CaptureDropped);
    }
    match context.kernel {
        Some(kernel) if inference.cause == Some(Cause::AcceptQueueOverflow) => {
            judged_by_kernel(attempt.verdict, inference, kernel)
        }
        Some(_) | None => inference,
    }
}

/// What is left of an overflow inferred from packets when the kernel has announced.
fn judged_by_kernel(verdict: Verdict, inference: Inference, kernel: KernelEvidence) -> Inference {
    let packets = inference.evidence.into_iter().filter(|evidence| !evidence.is_doubt());
    if kernel.overflowed {
        return Inference {
            cause: inference.cause,
            // The setting may have been changed since; what the packets show was in force.
            abort_on_overflow: inference.abort_on_overflow.or(kernel.abort_on_overflow),
            confidence: Some(Confidence::Confirmed),
            evidence: [Evidence::KernelOverflowed].into_iter().chain(packets).collect(),
            ruled_out: inference.ruled_out,
        };
    }
    let instead = match verdict {
        Verdict::ResetAfterAck => Some(Evidence::RstNotFromQueue),
        Verdict::SynackRetransmitted | Verdict::AckIgnored | Verdict::Unanswered => {
            Some(Evidence::AckDidNotReachKernel)
        }
        Verdict::Completed
        | Verdict::CompletedLate
        | Verdict::Refused
        | Verdict::Unreachable
        | Verdict::HalfOpen
        | Verdict::ClientReset
        | Verdict::Undetermined => None,
    };
    nothing([Evidence::KernelDidNotOverflow].into_iter().chain(instead).chain(packets).collect())
}

/// Whether a packet that the capture lost could have changed the verdict.
fn rests_on_absence(verdict: Verdict) -> bool {
    match verdict {
        Verdict::SynackRetransmitted | Verdict::AckIgnored | Verdict::Unanswered | Verdict::HalfOpen => true,
        Verdict::Completed
        | Verdict::CompletedLate
        | Verdict::ResetAfterAck
        | Verdict::Refused
        | Verdict::Unreachable
        | Verdict::ClientReset
        | Verdict::Undetermined => false,
    }
}

fn inferred(cause: Cause, confidence: Confidence, evidence: EvidenceList) -> Inference {
    Inference { cause: Some(cause), confidence: Some(confidence), evidence, ..Inference::default() }
}

fn nothing(evidence: EvidenceList) -> Inference {
    Inference { evidence, ..Inference::default() }
}

fn completed(attempt: &Attempt) -> Inference {
    if !attempt.facts.has(Fact::ApplicationReset) {
        return Inference::default();
    }
    if let Some(inference) = reset_by_another(attempt) {
        return inference;
    }
    let window_open = attempt.facts.has(Fact::RstWindowOpen);
    let mut evidence = smallvec![Evidence::RstWithAckAfterHandshake { window_open }];
    if window_open {
        return inferred(Cause::ApplicationReset, Confidence::Likely, evidence);
    }
    evidence.push(Evidence::MiddleboxMayReset);
    inferred(Cause::ApplicationReset, Confidence::Possible, evidence)
}

/// What tells that the RST to the client's ACK was not the server's.
fn reset_by_another(attempt: &Attempt) -> Option<Inference> {
    let facts = attempt.facts;
    let (confidence, proof) = if facts.has(Fact::SynAckAfterRst) {
        (Confidence::Likely, Evidence::SynAckAfterRst)
    } else if facts.has(Fact::DataAfterRst) {
        (Confidence::Likely, Evidence::DataAfterRst)
    } else if facts.has(Fact::RstTtlDiffers) {
        (Confidence::Possible, Evidence::RstHasOtherTtl)
    } else {
        return None;
    };
    Some(inferred(Cause::FirewallReset, confidence, smallvec![proof]))
}

/// The first repeat of a SYN-ACK comes after one second (RFC 6298 §2.1, Linux `TCP_TIMEOUT_INIT`); one
/// that comes later than this was held back.
const HELD_BACK: Span = Span::from_millis(2500);

fn synack_retransmitted(attempt: &Attempt, context: &Context) -> Inference {
    if let Some(inference) = reset_by_another(attempt).filter(|_| attempt.facts.has(Fact::SynAckAfterRst)) {
        return inference;
    }
    let ignored = attempt.retries.after_ack;
    let recovered = attempt.established == Some(true);
    if let Some(at) = attempt.deferred_repeat().filter(|_| context.overflow != Some(Confidence::Likely)) {
        let mut evidence = smallvec![Evidence::NoRepeatAtOneSecond(at)];
        let confidence = if recovered { Confidence::Likely } else { Confidence::Possible };
        evidence.extend(recovered.then_some(Evidence::DeferredThenAccepted));
        return inferred(Cause::DeferAccept, confidence, evidence);
    }
    let mut evidence: EvidenceList = smallvec![Evidence::AcksIgnored(ignored)];
    let near_server = attempt.is_near_server();
    let others = context.overflow >= Some(Confidence::Likely);
    let in_a_row = attempt.ignored_in_a_row();
    if let Some(at) = attempt.begins_deferred() {
        evidence.push(Evidence::NoRepeatAtOneSecond(at));
    }
    if near_server {
        evidence.push(Evidence::AckReachedServer);
    }
    if others && in_a_row < 2 {
        evidence.push(Evidence::OthersOverflowed);
    }
    let likely = near_server || in_a_row >= 2 || others;
    if !likely {
        evidence.extend(recovered.then_some(Evidence::RecoveredAfterOneRepeat));
        evidence.push(Evidence::AckMayBeLost);
    } else if recovered && attempt.may_be_deferred() && !others {
        evidence.push(Evidence::MayBeDeferred);
    }
    let confidence = if likely { Confidence::Likely } else { Confidence::Possible };
    overflow(Some(false), confidence, evidence)
}

fn overflow(abort: Option<bool>, confidence: Confidence, evidence: EvidenceList) -> Inference {
    Inference { abort_on_overflow: abort, ..inferred(Cause::AcceptQueueOverflow, confidence, evidence) }
}

fn reset_after_ack(attempt: &Attempt) -> Inference {
    if let Some(inference) = reset_by_another(attempt) {
        return inference;
    }
    let facts = attempt.facts;
    let mut evidence = EvidenceList::new();
    evidence.push(match facts.has(Fact::RstToFirstAck) {
        true => Evidence::RstAnswersFirstAck,
        false => Evidence::RstAnswersLaterSegment(attempt.rst_answers_segment),
    });
    if !facts.has(Fact::RstKernelForm) {
        evidence.push(Evidence::RstNotKernelForm);
    }
    if facts.has(Fact::RstBeforeAck) {
        evidence.push(Evidence::RstBeforeAck);
    }
    if !facts.has(Fact::RstToFirstAck) {
        evidence.push(Evidence::ListenerMayHaveClosed);
    }
    // All but the first are doubts.
    let confidence = if evidence.len() == 1 { Confidence::Likely } else { Confidence::Possible };
    // A queue that ignored the data before does not reset the connection: that was no setting's doing.
    let abort = (facts.has(Fact::RstToFirstAck) || attempt.data_retransmissions == 0).then_some(true);
    overflow(abort, confidence, evidence)
}

fn ack_ignored(attempt: &Attempt, context: &Context) -> Inference {
    let repeated = Evidence::DataUnanswered(attempt.data_retransmissions);
    if context.overflow >= Some(Confidence::Likely) {
        return overflow(None, Confidence::Likely, smallvec![repeated, Evidence::OthersOverflowed]);
    }
    overflow(None, Confidence::Possible, smallvec![repeated, Evidence::PathMayDropData])
}

fn refused(context: &Context) -> Inference {
    let evidence = if context.answers == Some(true) {
        Evidence::ListenerAnswersOthers
    } else {
        Evidence::FirewallMayReject
    };
    inferred(Cause::PortClosed, Confidence::Possible, smallvec![Evidence::RefusedByRst, evidence])
}

fn unreachable(attempt: &Attempt) -> Inference {
    let Some(icmp) = attempt.icmp.map(|answer| answer.error) else { return Inference::default() };
    let cause = match (icmp.v6, icmp.kind, icmp.code) {
        (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5 | 6) => Cause::Filtered,
        (false, 3, 3) | (true, 1, 4) => Cause::PortClosed,
        (_, _, _) => Cause::HostUnreachable,
    };
    inferred(cause, Confidence::Likely, smallvec![Evidence::Icmp(icmp)])
}

fn unanswered(attempt: &Attempt, context: &Context) -> Inference {
    if context.kernel.is_some_and(|kernel| kernel.overflowed) {
        return overflow(None, Confidence::Possible, EvidenceList::new());
    }
    match (context.full, context.answers) {
        (Some(Confidence::Possible), _) => {
            overflow(None, Confidence::Possible, smallvec![Evidence::OthersMayHaveOverflowed])
        }
        (Some(confidence), _) => overflow(None, confidence, smallvec![Evidence::OthersOverflowed]),
        (None, _) if context.full_since_long => overflow(
            None,
            Confidence::Possible,
            smallvec![Evidence::NobodyAnsweredSince, Evidence::HostMayBeDown],
        ),
        (None, _) if attempt.facts.has(Fact::ServerOutOfWindow) => {
            nothing(smallvec![Evidence::AnswersAnother])
        }
        (None, Some(true)) => nothing(smallvec![Evidence::ListenerAnswersOthers]),
        (None, Some(false)) if context.refuses => nothing(smallvec![Evidence::RefusesOthers]),
        (None, Some(false)) => inferred(
            Cause::Filtered,
            Confidence::Possible,
            smallvec![Evidence::NeverAnswers, Evidence::QueueMayHaveBeenFull],
        ),
        (None, None) => Inference::default(),
    }
}

fn half_open(attempt: &Attempt, context: &Context) -> Inference {
    if context.many_half_open {
        let crafted = attempt.facts.has(Fact::SynWithoutOptions).then_some(Evidence::SynWithoutOptions);
        let evidence =
            [Evidence::ManyHalfOpen].into_iter().chain(crafted).chain([Evidence::AnswersMayBeLost]);
        return inferred(Cause::SynFlood, Confidence::Possible, evidence.collect());
    }
    nothing(attempt.facts.has(Fact::WrongAck).then_some(Evidence::WrongAck).into_iter().collect())
}

fn client_reset(attempt: &Attempt, context: &Context) -> Inference {
    let crafted = attempt.facts.has(Fact::SynWithoutOptions).then_some(Evidence::SynWithoutOptions);
    if !context.many_client_reset {
        return nothing(crafted.into_iter().collect());
    }
    let (confidence, doubt) = match crafted {
        Some(_) => (Confidence::Likely, None),
        None => (Confidence::Possible, Some(Evidence::ChecksLookTheSame)),
    };
    let evidence = crafted.into_iter().chain([Evidence::ManyClientResets]).chain(doubt);
    inferred(Cause::SynScan, confidence, evidence.collect())
}

impl Attempt {
    /// When the only SYN-ACK repeat came, if it came as late as the end of a `TCP_DEFER_ACCEPT` period
    /// (`inet_csk_reqsk_queue_prune`: such a request stays silent until its last retry is due).
    #[must_use]
    pub fn deferred_repeat(&self) -> Option<Span> {
        let [only] = self.retry_at.as_slice() else { return None };
        (self.may_be_deferred() && *only >= HELD_BACK).then_some(*only)
    }

    /// Whether its one SYN-ACK repeat may be that of a `TCP_DEFER_ACCEPT` period: only the bare ACK was ignored. A
    /// period of one second ends with the first repeat, when any request is repeated for the first time.
    #[must_use]
    pub fn may_be_deferred(&self) -> bool {
        let alone = self.facts.has(Fact::SynSeen) && self.retries.after_ack == 1 && self.retries.syn_ack == 1;
        alone && !self.facts.has(Fact::DataIgnored)
    }

    /// How many ACKs in a row were ignored. The one before a deferred repeat was ignored on purpose: it does not count.
    fn ignored_in_a_row(&self) -> u32 {
        self.retries.after_ack.saturating_sub(u32::from(self.begins_deferred().is_some()))
    }

    /// Whether what is in the capture has reached the server, or comes from it.
    fn is_near_server(&self) -> bool {
        matches!(self.vantage, Some(Vantage::Server | Vantage::Local))
    }

    /// How sure an overflow that is inferred from it can make others: not by what others showed, nor by one repeat that has
    /// another explanation. `None` where it shows nothing of the queue.
    #[must_use]
    pub fn witness(&self) -> Option<Confidence> {
        let alone = match self.verdict {
            Verdict::SynackRetransmitted => {
                self.ignored_in_a_row() >= 2 || self.is_near_server() && !self.may_be_deferred()
            }
            Verdict::ResetAfterAck => true,
            Verdict::AckIgnored => false,
            Verdict::Completed
            | Verdict::CompletedLate
            | Verdict::Refused
            | Verdict::Unreachable
            | Verdict::Unanswered
            | Verdict::HalfOpen
            | Verdict::ClientReset
            | Verdict::Undetermined => return None,
        };
        Some(if alone { Confidence::Likely } else { Confidence::Possible })
    }

    /// When the first of several SYN-ACK repeats came, if it was held back to the end of a `TCP_DEFER_ACCEPT`
    /// period and the next followed Linux' schedule; a stack whose first time-out is 3 s doubles that.
    fn begins_deferred(&self) -> Option<Span> {
        let [first, second, ..] = self.retry_at.as_slice() else { return None };
        let on_schedule = *second < first.scaled(5, 2);
        let on_purpose = self.facts.has(Fact::SynSeen) && !self.facts.has(Fact::DataIgnored);
        (on_purpose && *first >= HELD_BACK && on_schedule).then_some(*first)
    }
}
