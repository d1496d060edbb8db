//! Causes, confidence and evidence, as data (DOMAIN §5).
//!
//! Owns the closed sets and their names. Does not own when they apply (`infer`), nor their sentences
//! (`report/wording`).

use smallvec::SmallVec;
use strum::{EnumCount, EnumDiscriminants, EnumIter, EnumString, IntoStaticStr};

use crate::packet::{IcmpError, Span};

/// Evidence of one attempt. Attempts by the hundred thousand have few each.
pub type EvidenceList = SmallVec<[Evidence; 4]>;

/// An inference from packets, and from the kernel where its counters were read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inference {
    /// `None` when there is nothing to infer.
    pub cause: Option<Cause>,
    /// `net.ipv4.tcp_abort_on_overflow` at that time, where the cause is an overflow that shows it.
    pub abort_on_overflow: Option<bool>,
    /// Confidence; `None` exactly when `cause` is.
    pub confidence: Option<Confidence>,
    /// Facts for the cause, and doubts.
    pub evidence: EvidenceList,
    /// Causes that were weighed and excluded. An empty one allocates nothing.
    pub ruled_out: Vec<RuledOut>,
}

/// A cause that is excluded, with the fact that excludes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuledOut {
    /// The excluded cause.
    pub cause: Cause,
    /// The fact that excludes it.
    pub evidence: Evidence,
}

/// Reason why an attempt failed, stalled or was reset. The order is that of the outputs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumCount, EnumIter, EnumString, IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
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
    /// A port is probed by a client that never means to connect.
    SynScan,
    /// The application reset an accepted connection.
    ApplicationReset,
}

impl Cause {
    /// True if the program that listens intends it: nothing is broken.
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

    /// The name in every output and option.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Confidence of an inference, from least to most.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumCount, EnumIter, EnumString, IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Confidence {
    /// The packets leave a common alternative.
    Possible,
    /// The packets leave no common alternative.
    Likely,
    /// The kernel's counters prove it.
    Confirmed,
}

impl Confidence {
    /// The name in every output and option.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One fact for an inference, or one that leaves a doubt about it. [`EvidenceCode`] has the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumDiscriminants)]
#[strum_discriminants(
    name(EvidenceCode),
    doc = "The kind of an [`Evidence`], without its figures; its name is the `code` of the outputs.",
    derive(EnumCount, EnumIter, IntoStaticStr),
    strum(serialize_all = "kebab-case"),
    allow(missing_docs, reason = "see Evidence")
)]
pub enum Evidence {
    /// The server ignored this many ACKs in a row, each followed by a SYN-ACK again.
    AcksIgnored(u32),
    /// The capture point is near the server, so the ACK arrived there.
    AckReachedServer,
    /// After one SYN-ACK repeat the server accepted the connection.
    RecoveredAfterOneRepeat,
    /// Doubt: the ACK may be lost between the capture point and the server.
    AckMayBeLost,
    /// Doubt: a `TCP_DEFER_ACCEPT` of one second looks the same.
    MayBeDeferred,
    /// Other attempts to the listener overflowed at that time.
    OthersOverflowed,
    /// Other attempts to the listener may have overflowed at that time.
    OthersMayHaveOverflowed,
    /// The queue overflowed before, and no client was answered since.
    NobodyAnsweredSince,
    /// Doubt: the host or the path may be down.
    HostMayBeDown,
    /// A bare RST answered the client's first ACK.
    RstAnswersFirstAck,
    /// A bare RST answered a later segment of the client: its number after the SYN-ACK, from 1.
    RstAnswersLaterSegment(u16),
    /// The RST has a window or options, unlike Linux's.
    RstNotKernelForm,
    /// Doubt: the RST is captured before the ACK.
    RstBeforeAck,
    /// Doubt: a listener that closes sends the same RST.
    ListenerMayHaveClosed,
    /// The RST's TTL is not the SYN-ACK's.
    RstHasOtherTtl,
    /// The server repeated its SYN-ACK after the RST.
    SynAckAfterRst,
    /// The server sent data after the RST.
    DataAfterRst,
    /// The client sent its data again this many times, without any answer.
    DataUnanswered(u16),
    /// Doubt: something on the path may drop the client's segments.
    PathMayDropData,
    /// The first SYN-ACK repeat came this late, not after one second.
    NoRepeatAtOneSecond(Span),
    /// The server accepted the connection after that repeat.
    DeferredThenAccepted,
    /// RST with ACK followed the handshake.
    RstWithAckAfterHandshake {
        /// The RST has an open window: its sender had accepted the connection.
        window_open: bool,
    },
    /// Doubt: a firewall or load balancer may have reset the connection.
    MiddleboxMayReset,
    /// RST answered the SYN.
    RefusedByRst,
    /// Doubt: a firewall may reject with RST.
    FirewallMayReject,
    /// The same address and port answered other attempts.
    ListenerAnswersOthers,
    /// The same address and port refused other attempts.
    RefusesOthers,
    /// The server's segments have numbers of another connection.
    AnswersAnother,
    /// This address and port answered no attempt in the capture.
    NeverAnswers,
    /// Doubt: the host may be dead, or the queue full since before the capture.
    QueueMayHaveBeenFull,
    /// This ICMP error quotes the SYN.
    Icmp(IcmpError),
    /// Most attempts to the listener stay half-open.
    ManyHalfOpen,
    /// Doubt: the server's answers may not reach the clients.
    AnswersMayBeLost,
    /// Most attempts to the listener are reset by the client at the SYN-ACK.
    ManyClientResets,
    /// Doubt: health checks may look the same.
    ChecksLookTheSame,
    /// The SYN has no TCP option, unlike any operating system's.
    SynWithoutOptions,
    /// The client acknowledged a number that no SYN-ACK had.
    WrongAck,
    /// Doubt: the capture lost packets.
    CaptureDropped,
    /// The kernel counted overflows of this queue at that time.
    KernelOverflowed,
    /// The kernel counted no overflow of this queue at that time.
    KernelDidNotOverflow,
    /// Follows from that: the client's segments did not reach the listener.
    AckDidNotReachKernel,
    /// Follows from that: the RST has another reason than a full queue.
    RstNotFromQueue,
}

impl Evidence {
    /// The stable name of its kind in the machine-readable outputs.
    #[must_use]
    pub fn code(self) -> &'static str {
        EvidenceCode::from(self).into()
    }

    /// True if it names an alternative to an apparent overflow. The kernel's counters leave none.
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
