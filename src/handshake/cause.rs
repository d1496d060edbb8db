//! The words for what a verdict means: causes, confidence and evidence (DOMAIN §5).
//!
//! Owns their names and sentences. Does not own when they apply (`infer`).

use std::fmt;

use smallvec::SmallVec;

use super::verdict::Reason;
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

    /// Whether the program that listens meant it: nothing is broken.
    #[must_use]
    pub const fn is_meant(self) -> bool {
        match self {
            Self::DeferAccept | Self::ApplicationReset => true,
            Self::AcceptQueueOverflow
            | Self::FirewallReset
            | Self::PortClosed
            | Self::HostUnreachable
            | Self::Filtered
            | Self::SynFlood
            | Self::SynScan => false,
        }
    }

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

/// One reason for an inference, or one doubt about it. `Display` gives a clause without a full stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the Display text says it")]
pub enum Evidence {
    IgnoredAcks(u32),
    AckReachedServer,
    RecoveredAfterOneRepeat,
    AckMayBeLost,
    MayBeDeferred,
    OthersOverflowed,
    OthersMayHaveOverflowed,
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
    MiddleboxMayReset,
    RefusedByRst,
    FirewallMayReject,
    ListenerAnswersOthers,
    RefusesOthers,
    AnswersAnother,
    NeverAnswers,
    QueueMayHaveBeenFull,
    Icmp(IcmpError),
    ManyHalfOpen,
    AnswersMayBeLost,
    ManyClientResets,
    ChecksLookTheSame,
    SynWithoutOptions,
    WrongAck,
    CaptureDropped,
    KernelOverflowed,
    KernelDidNotOverflow,
    AckDidNotReachKernel,
    RstNotFromQueue,
}

impl Evidence {
    /// Whether it says what else an apparent overflow could be: nothing, once the kernel has announced.
    pub(super) fn is_doubt(self) -> bool {
        matches!(
            self,
            Self::AckMayBeLost
                | Self::MayBeDeferred
                | Self::RecoveredAfterOneRepeat
                | Self::ListenerMayHaveClosed
                | Self::RstBeforeAck
                | Self::PathMayDropData
                | Self::CaptureDropped
                | Self::OthersOverflowed
                | Self::OthersMayHaveOverflowed
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
            Self::MayBeDeferred => {
                "a TCP_DEFER_ACCEPT of one second, and a client that does not send, look the same"
            }
            Self::OthersOverflowed => "other attempts to this listener overflowed at that time",
            Self::OthersMayHaveOverflowed => {
                "other attempts to this listener may have overflowed at that time, or lost packets on the way as this one may"
            }
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
            Self::MiddleboxMayReset => "a firewall or load balancer that resets connections looks the same",
            Self::RefusedByRst => "RST answered the SYN",
            Self::FirewallMayReject => "a firewall that rejects with a TCP reset looks the same",
            Self::ListenerAnswersOthers => "the same address and port answered other attempts",
            Self::RefusesOthers => "the same address and port refused other attempts",
            Self::AnswersAnother => {
                "the server sent segments with numbers of another connection: it takes the SYN for that one's"
            }
            Self::NeverAnswers => "nothing from this address and port answered any attempt in the capture",
            Self::QueueMayHaveBeenFull => {
                "a dead host, or an accept queue that was full from before the capture, looks the same"
            }
            Self::Icmp(icmp) => return write!(f, "{} quotes the SYN", Reason::Icmp(*icmp)),
            Self::ManyHalfOpen => "most attempts to this listener are left half-open",
            Self::AnswersMayBeLost => "answers that do not reach the clients leave them half-open, too",
            Self::ManyClientResets => "most attempts to this listener are reset by the client at the SYN-ACK",
            Self::ChecksLookTheSame => "health checks that go no further look the same",
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
