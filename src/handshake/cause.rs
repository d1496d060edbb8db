//! What a verdict means: causes, confidence and evidence (DOMAIN §5).
//!
//! Pure: an attempt's facts and what is known of its listener go in, an inference comes out. Does not
//! own how the listener's knowledge is gathered (`listener`).

use std::fmt;

use smallvec::{SmallVec, smallvec};

use super::attempt::Attempt;
use super::verdict::{Reason, Vantage, Verdict};
use crate::packet::{IcmpError, Span};

/// Reasons and doubts. Attempts by the hundred thousand have few each.
pub type EvidenceList = SmallVec<[Evidence; 4]>;

/// An inference from packets, and from the kernel where it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inference {
    /// `None` when there is nothing to infer.
    pub cause: Option<Cause>,
    /// What `net.ipv4.tcp_abort_on_overflow` must be, where the cause is an overflow that shows it.
    pub abort_on_overflow: Option<bool>,
    /// How sure; `None` exactly when `cause` is.
    pub confidence: Option<Confidence>,
    /// Why, and what else it could be.
    pub evidence: EvidenceList,
}

/// What made an attempt fail, stall or lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The listener's accept queue was full.
    AcceptQueueOverflow,
    /// `TCP_DEFER_ACCEPT` made the listener ignore the bare ACK on purpose.
    DeferAccept,
    /// Something on the path answered the ACK with RST.
    FirewallReset,
    /// Nothing listens there.
    PortClosed,
    /// The host cannot be reached.
    HostUnreachable,
    /// Something drops or rejects the packets.
    Filtered,
    /// Many handshakes are begun and never finished.
    SynFlood,
    /// A port is probed by someone who never means to connect.
    SynScan,
    /// The application reset an accepted connection.
    ApplicationReset,
}

impl Cause {
    /// All nine.
    pub const ALL: [Self; 9] = [
        Self::AcceptQueueOverflow,
        Self::DeferAccept,
        Self::FirewallReset,
        Self::PortClosed,
        Self::HostUnreachable,
        Self::Filtered,
        Self::SynFlood,
        Self::SynScan,
        Self::ApplicationReset,
    ];

    /// The name in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcceptQueueOverflow => "accept-queue-overflow",
            Self::DeferAccept => "defer-accept",
            Self::FirewallReset => "firewall-reset",
            Self::PortClosed => "port-closed",
            Self::HostUnreachable => "host-unreachable",
            Self::Filtered => "filtered",
            Self::SynFlood => "syn-flood",
            Self::SynScan => "syn-scan",
            Self::ApplicationReset => "application-reset",
        }
    }
}

/// How sure an inference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Confidence {
    /// The packets leave a common alternative.
    Possible,
    /// The packets leave no common alternative.
    Likely,
    /// The kernel said so.
    Confirmed,
}

impl Confidence {
    /// The name in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Confirmed => "confirmed",
        }
    }
}

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

/// One reason for an inference, or one doubt about it. `Display` gives a clause without a full stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the Display text says it")]
pub enum Evidence {
    IgnoredAcks(u32),
    AckReachedServer,
    RecoveredAfterOneRepeat,
    AckMayBeLost,
    OthersOverflowed,
    NobodyAnsweredSince,
    HostMayBeDown,
    RstAnswersFirstAck,
    RstAnswersLaterSegment(u16),
    RstNotKernelForm,
    RstBeforeAck,
    ListenerMayHaveClosed,
    RstHasOtherTtl,
    SynAckAfterRst,
    DataAfterRst,
    DataRepeated(u16),
    PathMayDropData,
    NoRepeatAtOneSecond(Span),
    DeferredThenAccepted,
    RstWithAckAfterHandshake { window_open: bool },
    RefusedByRst,
    FirewallMayReject,
    ListenerAnswersOthers,
    AnswersAnother,
    NeverAnswers,
    QueueMayHaveBeenFull,
    Icmp(IcmpError),
    ManyHalfOpen,
    ManyClientResets,
    SynWithoutOptions,
    WrongAck,
    CaptureDropped,
    KernelOverflowed,
    KernelDidNotOverflow,
    AckDidNotReachKernel,
    RstNotFromQueue,
}

impl Evidence {
    /// Whether it says what else an apparent overflow could be: nothing, once the kernel has spoken.
    fn is_doubt(self) -> bool {
        matches!(
            self,
            Self::AckMayBeLost
                | Self::RecoveredAfterOneRepeat
                | Self::ListenerMayHaveClosed
                | Self::RstBeforeAck
                | Self::PathMayDropData
                | Self::CaptureDropped
                | Self::OthersOverflowed
                | Self::HostMayBeDown
        )
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fixed = match self {
            Self::IgnoredAcks(1) => "the server repeated its SYN-ACK after the client's ACK",
            Self::IgnoredAcks(n) => {
                return write!(f, "the server ignored {n} ACKs in a row and repeated its SYN-ACK");
            }
            Self::AckReachedServer => "captured near the server, where the ACK was seen to arrive",
            Self::RecoveredAfterOneRepeat => "one repeat, then the server accepted the connection",
            Self::AckMayBeLost => "the ACK may have been lost between the capture point and the server",
            Self::OthersOverflowed => "other attempts to this listener overflowed at that time",
            Self::NobodyAnsweredSince => "the accept queue overflowed before, and nobody was answered since",
            Self::HostMayBeDown => "a host that went down, or a path that broke, since then looks the same",
            Self::RstAnswersFirstAck => "a bare RST answered the client's first ACK",
            Self::RstAnswersLaterSegment(n) => {
                return write!(
                    f,
                    "a bare RST answered the client's segment number {n} after the SYN-ACK, not its first ACK"
                );
            }
            Self::RstNotKernelForm => "the RST carries a window or options, which Linux' does not",
            Self::RstBeforeAck => {
                "the RST stands before the ACK: the capture is out of order, or it answers something else"
            }
            Self::ListenerMayHaveClosed => {
                "a listener that closes between SYN-ACK and ACK sends the same RST"
            }
            Self::RstHasOtherTtl => "the RST's TTL differs from the SYN-ACK's: another machine sent it",
            Self::SynAckAfterRst => "the server repeated its SYN-ACK after the RST: it never saw the ACK",
            Self::DataAfterRst => "the server sent data after the RST: the RST was not its own",
            Self::DataRepeated(n) => {
                return write!(f, "the client repeated its data {n} times and the server never answered");
            }
            Self::PathMayDropData => "something that drops the client's segments on the way looks the same",
            Self::NoRepeatAtOneSecond(at) => {
                return write!(
                    f,
                    "no SYN-ACK repeat at 1 s, one at {at}, as at the end of a TCP_DEFER_ACCEPT period"
                );
            }
            Self::DeferredThenAccepted => "after it the server accepted the connection",
            Self::RstWithAckAfterHandshake { window_open: true } => {
                "RST with ACK and an open window right after the handshake: the server closed an accepted connection"
            }
            Self::RstWithAckAfterHandshake { window_open: false } => "RST with ACK right after the handshake",
            Self::RefusedByRst => "RST answered the SYN",
            Self::FirewallMayReject => "a firewall that rejects with a TCP reset looks the same",
            Self::ListenerAnswersOthers => "the same address and port answered other attempts",
            Self::AnswersAnother => {
                "the server sent segments with numbers of another connection: it takes the SYN for that one's"
            }
            Self::NeverAnswers => "nothing from this address and port answered any attempt in the capture",
            Self::QueueMayHaveBeenFull => {
                "a dead host, or an accept queue that was full from before the capture, looks the same"
            }
            Self::Icmp(icmp) => return write!(f, "{} quotes the SYN", Reason::Icmp(*icmp)),
            Self::ManyHalfOpen => "most attempts to this listener are left half-open",
            Self::ManyClientResets => "most attempts to this listener are reset by the client at the SYN-ACK",
            Self::SynWithoutOptions => "its SYN carries no TCP option, as no operating system's does",
            Self::WrongAck => "the client acknowledged a number that the server never offered",
            Self::CaptureDropped => "the capture lost packets, so what is missing proves less",
            Self::KernelOverflowed => "the kernel counted overflows of this accept queue at that time",
            Self::KernelDidNotOverflow => "the kernel counted no overflow of this accept queue at that time",
            Self::AckDidNotReachKernel => {
                "the client's segments were lost or filtered before they reached the listener"
            }
            Self::RstNotFromQueue => "the RST has another reason: a listener that was closed, or a middlebox",
        };
        f.write_str(fixed)
    }
}

/// Infers what an attempt's verdict means.
#[must_use]
pub fn infer(attempt: &Attempt, context: &Context) -> Inference {
    let mut inference = match attempt.verdict {
        Verdict::Completed => completed(attempt),
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

/// What is left of an overflow inferred from packets when the kernel has spoken.
fn judged_by_kernel(verdict: Verdict, inference: Inference, kernel: KernelEvidence) -> Inference {
    let packets = inference.evidence.into_iter().filter(|evidence| !evidence.is_doubt());
    if kernel.overflowed {
        return Inference {
            cause: inference.cause,
            // The setting may have been changed since; what the packets show was in force.
            abort_on_overflow: inference.abort_on_overflow.or(kernel.abort_on_overflow),
            confidence: Some(Confidence::Confirmed),
            evidence: [Evidence::KernelOverflowed].into_iter().chain(packets).collect(),
        };
    }
    let instead = match verdict {
        Verdict::ResetAfterAck => Some(Evidence::RstNotFromQueue),
        Verdict::SynackRetransmitted | Verdict::AckIgnored | Verdict::Unanswered => {
            Some(Evidence::AckDidNotReachKernel)
        }
        Verdict::Completed
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
        | Verdict::ResetAfterAck
        | Verdict::Refused
        | Verdict::Unreachable
        | Verdict::ClientReset
        | Verdict::Undetermined => false,
    }
}

fn inferred(cause: Cause, confidence: Confidence, evidence: EvidenceList) -> Inference {
    Inference { cause: Some(cause), abort_on_overflow: None, confidence: Some(confidence), evidence }
}

fn nothing(evidence: EvidenceList) -> Inference {
    Inference { evidence, ..Inference::default() }
}

fn completed(attempt: &Attempt) -> Inference {
    if !attempt.signs.application_reset {
        return Inference::default();
    }
    let window_open = attempt.signs.rst_window_open;
    let confidence = if window_open { Confidence::Likely } else { Confidence::Possible };
    inferred(
        Cause::ApplicationReset,
        confidence,
        smallvec![Evidence::RstWithAckAfterHandshake { window_open }],
    )
}

/// The first repeat of a SYN-ACK comes after one second (RFC 6298 §2.1, Linux `TCP_TIMEOUT_INIT`); one
/// that comes later than this was held back.
const HELD_BACK: Span = Span::from_millis(2500);

fn synack_retransmitted(attempt: &Attempt, context: &Context) -> Inference {
    let ignored = attempt.retries.after_ack;
    let recovered = attempt.established == Some(true);
    if let Some(at) = attempt.deferred_repeat().filter(|_| context.overflow != Some(Confidence::Likely)) {
        let mut evidence = smallvec![Evidence::NoRepeatAtOneSecond(at)];
        let confidence = if recovered { Confidence::Likely } else { Confidence::Possible };
        evidence.extend(recovered.then_some(Evidence::DeferredThenAccepted));
        return inferred(Cause::DeferAccept, confidence, evidence);
    }
    let mut evidence: EvidenceList = smallvec![Evidence::IgnoredAcks(ignored)];
    let near_server = matches!(attempt.vantage, Some(Vantage::Server | Vantage::Local));
    let others = context.overflow >= Some(Confidence::Likely);
    // The ACK before a deferred repeat was ignored on purpose: it does not count.
    let deferral = attempt.begins_deferred();
    let in_a_row = ignored.saturating_sub(u32::from(deferral.is_some()));
    if let Some(at) = deferral {
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
    }
    let confidence = if likely { Confidence::Likely } else { Confidence::Possible };
    overflow(Some(false), confidence, evidence)
}

fn overflow(abort: Option<bool>, confidence: Confidence, evidence: EvidenceList) -> Inference {
    Inference { abort_on_overflow: abort, ..inferred(Cause::AcceptQueueOverflow, confidence, evidence) }
}

fn reset_after_ack(attempt: &Attempt) -> Inference {
    let signs = &attempt.signs;
    if signs.synack_after_rst || signs.data_after_rst {
        let proof = if signs.synack_after_rst { Evidence::SynAckAfterRst } else { Evidence::DataAfterRst };
        return inferred(Cause::FirewallReset, Confidence::Likely, smallvec![proof]);
    }
    if signs.rst_ttl_differs {
        return inferred(Cause::FirewallReset, Confidence::Possible, smallvec![Evidence::RstHasOtherTtl]);
    }
    let mut evidence = EvidenceList::new();
    evidence.push(match signs.rst_to_first_ack {
        true => Evidence::RstAnswersFirstAck,
        false => Evidence::RstAnswersLaterSegment(signs.rst_answers_segment),
    });
    if !signs.rst_kernel_form {
        evidence.push(Evidence::RstNotKernelForm);
    }
    if signs.rst_before_ack {
        evidence.push(Evidence::RstBeforeAck);
    }
    if !signs.rst_to_first_ack {
        evidence.push(Evidence::ListenerMayHaveClosed);
    }
    // All but the first are doubts.
    let confidence = if evidence.len() == 1 { Confidence::Likely } else { Confidence::Possible };
    // A queue that ignored the data before does not reset the connection: that was no setting's doing.
    let abort = (signs.rst_to_first_ack || signs.data_repeats == 0).then_some(true);
    overflow(abort, confidence, evidence)
}

fn ack_ignored(attempt: &Attempt, context: &Context) -> Inference {
    let repeated = Evidence::DataRepeated(attempt.signs.data_repeats);
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
    let Some(Reason::Icmp(icmp)) = attempt.reason else { return Inference::default() };
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
        (Some(confidence), _) => overflow(None, confidence, smallvec![Evidence::OthersOverflowed]),
        (None, _) if context.full_since_long => overflow(
            None,
            Confidence::Possible,
            smallvec![Evidence::NobodyAnsweredSince, Evidence::HostMayBeDown],
        ),
        (None, _) if attempt.signs.server_strayed => nothing(smallvec![Evidence::AnswersAnother]),
        (None, Some(true)) => nothing(smallvec![Evidence::ListenerAnswersOthers]),
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
        let mut evidence = smallvec![Evidence::ManyHalfOpen];
        evidence.extend(attempt.signs.syn_without_options.then_some(Evidence::SynWithoutOptions));
        return inferred(Cause::SynFlood, Confidence::Possible, evidence);
    }
    nothing(attempt.signs.wrong_ack.then_some(Evidence::WrongAck).into_iter().collect())
}

fn client_reset(attempt: &Attempt, context: &Context) -> Inference {
    let crafted = attempt.signs.syn_without_options.then_some(Evidence::SynWithoutOptions);
    if !context.many_client_reset {
        return nothing(crafted.into_iter().collect());
    }
    let confidence = if crafted.is_some() { Confidence::Likely } else { Confidence::Possible };
    inferred(Cause::SynScan, confidence, crafted.into_iter().chain([Evidence::ManyClientResets]).collect())
}

impl Attempt {
    /// When the only SYN-ACK repeat came, if it came as late as the end of a `TCP_DEFER_ACCEPT` period
    /// (`inet_csk_reqsk_queue_prune`: such a request stays silent until its last retry is due).
    #[must_use]
    pub fn deferred_repeat(&self) -> Option<Span> {
        let [only] = self.retry_at.as_slice() else { return None };
        let alone = self.signs.syn_seen && self.retries.after_ack == 1 && self.retries.syn_ack == 1;
        (alone && *only >= HELD_BACK).then_some(*only)
    }

    /// When the first of several SYN-ACK repeats came, if it was held back to the end of a `TCP_DEFER_ACCEPT`
    /// period and the next followed Linux' schedule; a stack whose first time-out is 3 s doubles that.
    fn begins_deferred(&self) -> Option<Span> {
        let [first, second, ..] = self.retry_at.as_slice() else { return None };
        let on_schedule = *second < first.scaled(5, 2);
        (self.signs.syn_seen && *first >= HELD_BACK && on_schedule).then_some(*first)
    }
}
