//! Causes, confidence and evidence, as data (DOMAIN §5).
//!
//! Owns the closed sets and their names. Does not own when they apply (`listener/hypotheses`), nor their sentences
//! (`report/wording`).

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use smallvec::SmallVec;
use strum::{EnumCount, EnumDiscriminants, EnumIter, EnumString, IntoStaticStr};

use super::passage::SegmentLoss;
use crate::kernel::{DropNetns, DropReason};
use crate::packet::{Endpoint, IcmpError, Span};

/// Evidence of one attempt. Attempts by the hundred thousand have few each.
pub type EvidenceList = SmallVec<[Evidence; 4]>;

/// Causes excluded for one attempt. Most have none or one.
pub type RuledOutList = SmallVec<[RuledOut; 1]>;

/// An inference from packets, and from the kernel where its counters were read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inference {
    /// `None` when there is nothing to infer.
    pub cause: Option<Cause>,
    /// `net.ipv4.tcp_abort_on_overflow` at that time, where the cause is an overflow that shows it.
    pub abort_on_overflow: Option<bool>,
    /// Confidence in the cause; `None` exactly when `cause` is.
    pub confidence: Option<Confidence>,
    /// Facts for the cause, and other causes that it could be.
    pub evidence: EvidenceList,
    /// Causes that were weighed and excluded.
    pub ruled_out: RuledOutList,
}

/// An attempt's inference: one word in the attempt, since most have none. Those that are equal may share one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharedInference(Option<Arc<Inference>>);

/// Of an attempt that explains itself, or was not weighed.
static NOTHING: Inference = Inference {
    cause: None,
    abort_on_overflow: None,
    confidence: None,
    evidence: SmallVec::new_const(),
    ruled_out: SmallVec::new_const(),
};

impl From<Inference> for SharedInference {
    fn from(inference: Inference) -> Self {
        Self((inference != NOTHING).then(|| Arc::new(inference)))
    }
}

impl Deref for SharedInference {
    type Target = Inference;

    fn deref(&self) -> &Inference {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for SharedInference {
    fn deref_mut(&mut self) -> &mut Inference {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

/// A cause that is excluded, with the fact that excludes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuledOut {
    /// The cause.
    pub cause: Cause,
    /// The fact that excludes it.
    pub evidence: Evidence,
}

/// A segment of the handshake, by its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SegmentStep {
    /// The client's SYN.
    Syn,
    /// The server's SYN-ACK.
    SynAck,
    /// The client's ACK, or its data.
    Ack,
}

/// Cause of an attempt that failed, stalled or was reset. The order is that of the outputs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumCount, EnumIter, EnumString, IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Cause {
    /// The listener's accept queue was full.
    AcceptQueueOverflow,
    /// `TCP_DEFER_ACCEPT` made the listener ignore the bare ACK on purpose.
    DeferAccept,
    /// The listening socket was closed: a restart or a reload.
    ListenerClosed,
    /// The listener's SYN queue was full, and SYN cookies are off.
    SynQueueOverflow,
    /// A connection tracker or a SYN limiter of the host drops SYNs.
    SynLimited,
    /// The server, or a tracker, holds an older connection of these ports.
    OldConnection,
    /// The answer left under another address.
    NatMismatch,
    /// Something on the path sent the RST.
    FirewallReset,
    /// Two hosts answered one SYN.
    TwoAnswers,
    /// SYNs are lost or filtered on the way.
    SynLost,
    /// The client did not get the SYN-ACK, or rejects it.
    SynackLost,
    /// The client's ACK was lost or filtered on the way.
    AckLost,
    /// A path drops SYNs that carry an option.
    OptionBlocked,
    /// Large segments are lost on the way, small ones are not.
    PathMtu,
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
    /// A balancer or a monitor checks whether the port answers.
    HealthCheck,
    /// The client's program had given up before the SYN-ACK came.
    ClientGaveUp,
    /// The application reset an accepted connection.
    ApplicationReset,
}

impl Cause {
    /// True if the program that listens or connects intends it, so that nothing is broken.
    #[must_use]
    pub const fn is_intended(self) -> bool {
        match self {
            Self::DeferAccept | Self::HealthCheck | Self::ClientGaveUp | Self::ApplicationReset => true,
            Self::AcceptQueueOverflow
            | Self::ListenerClosed
            | Self::SynQueueOverflow
            | Self::SynLimited
            | Self::OldConnection
            | Self::NatMismatch
            | Self::FirewallReset
            | Self::TwoAnswers
            | Self::SynLost
            | Self::SynackLost
            | Self::AckLost
            | Self::OptionBlocked
            | Self::PathMtu
            | Self::PortClosed
            | Self::HostUnreachable
            | Self::Filtered
            | Self::SynFlood
            | Self::SynScan => false,
        }
    }

    /// True if it breaks connections that have completed: an attempt with this cause, at likely or confirmed, is a problem
    /// though its handshake was none.
    #[must_use]
    pub const fn breaks_completed(self) -> bool {
        matches!(self, Self::ListenerClosed | Self::PathMtu)
    }

    /// True if an attempt with this cause, at likely or confirmed, is no problem (DOMAIN §5).
    #[must_use]
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::DeferAccept | Self::HealthCheck | Self::ClientGaveUp)
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

/// A fact for an inference, or one that leaves a doubt about it. [`EvidenceCode`] has the codes.
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
    /// Other segments of the client reached the host and were answered while its ACKs were ignored.
    PathWorked,
    /// A SYN-ACK repeat echoes the timestamp of the client's ACK: that had reached the server's TCP.
    AckEchoed,
    /// The server ignored the client's data too, not a bare ACK alone.
    DataIgnored,
    /// Other attempts to the listener overflowed in the same stretch.
    OthersOverflowed,
    /// Other attempts to the listener may have overflowed in the same stretch.
    OthersMayHaveOverflowed,
    /// In one stretch the listener answered few SYNs and left those of several attempts unanswered; around it, it answered at once.
    DropsCluster {
        /// Attempts whose SYNs went unanswered.
        attempts: u32,
        /// Client addresses.
        clients: u32,
        /// SYNs answered meanwhile.
        answered: u32,
    },
    /// SYNs are lost at all times and at several listeners, not in stretches of one.
    DropsSpread,
    /// SYN-ACKs of the listener were lost in the same stretch, so many.
    AnswersLostToo(u32),
    /// At one moment the listener answered the SYNs of so many attempts, long after they had come.
    AnsweredAtOnce(u32),
    /// Other hosts failed the client in the same second: so many.
    OtherHostsFailed(u32),
    /// A bare RST answered the client's first ACK.
    RstAnswersFirstAck,
    /// A bare RST answered a later segment of the client: its number after the SYN-ACK, from 1.
    RstAnswersLaterSegment(u16),
    /// A bare RST answered a client segment beyond the first data byte, as a SYN cookie that fails its check.
    RstAnswersBeyond,
    /// The RST has a window or options, unlike a kernel's.
    RstNotKernelForm,
    /// The RST is captured before the ACK.
    RstBeforeAck,
    /// The client had closed before the RST came.
    RstAfterFin,
    /// The RST came a round trip after none of the client's segments.
    RstTooLate,
    /// The RST came sooner than the server can have answered.
    RstTooSoon,
    /// The RST's TTL is not the SYN-ACK's.
    RstHasOtherTtl,
    /// Bare RSTs came further apart than a round trip, and the listener completed other handshakes between them.
    ResetsFarApart,
    /// SYNs to the listener went unanswered in the same stretch.
    SynsDroppedMeanwhile,
    /// The server repeated its SYN-ACK after the RST.
    SynAckAfterRst,
    /// The server did not repeat its SYN-ACK after the RST.
    NoSynAckAfterRst,
    /// RSTs to other ACKs of the listener were a firewall's.
    OthersFirewalled,
    /// The SYN-ACK before the RST has another TTL, window or order of options than those of the client's connections that were
    /// served.
    AnswerFromAnother,
    /// The server sent data after the RST.
    DataAfterRst,
    /// The client sent its data again this many times, without any answer.
    DataUnanswered(u16),
    /// Only one SYN-ACK repeat followed the ACK.
    RepeatOnlyOnce,
    /// A SYN-ACK repeat has another TTL, window or order of options: another host sent it.
    RepeatFromAnother,
    /// A SYN-ACK repeat drew no ACK from the client.
    RepeatUnanswered,
    /// The server accepted the connection although the client sent nothing more: its ACK had come late.
    ProofWithoutAck,
    /// The packets do not show whether the client needed the retry that came before it connected.
    DelayUnclear,
    /// The ACK was captured at one point and not at the second, which the SYN had passed.
    AckAtOnePoint,
    /// Every SYN-ACK that passed the point nearest to the server came to the client's.
    AnswersArrived,
    /// Segments passed one point and not the next.
    LostBetween(SegmentLoss),
    /// Segments passed one point, and not the one before it on their way.
    MadeBetween(SegmentLoss),
    /// The listener refused SYNs while it repeated its SYN-ACK, as a full queue never does.
    SynsRefusedMeanwhile,
    /// The first SYN-ACK repeat came this late, not after one second.
    NoRepeatAtOneSecond(Span),
    /// All clients that stayed silent got their SYN-ACK repeat this long after the first one.
    SamePeriod(Span),
    /// Clients that sent data at once were accepted at once, this many of them.
    PromptClientsAccepted(u32),
    /// Between the ignored ACKs of silent clients the listener answered this many SYNs at once: its queue had room.
    SynsAnsweredBetween(u32),
    /// Silent clients more than 10 s apart were treated alike.
    SilentFarApart,
    /// A client stayed silent for this long and got no SYN-ACK repeat.
    SilentWithoutRepeat(Span),
    /// The server accepted the connection after the repeat.
    DeferredThenAccepted,
    /// At one instant the server reset this many connections of different ages that it had not served.
    ClosingBurst(u32),
    /// Refusals, or bare RSTs to handshakes under way, followed within a second.
    ClosingRefusals,
    /// Only connections that the server had not served were reset, and nothing else followed.
    ResetAlone,
    /// Connections that finished their handshake later had been served before: those reset were not a queue.
    LaterServedFirst,
    /// Connections that waited in the queue lived on through the RSTs.
    LivedOn,
    /// RST with ACK followed the handshake; with an open window its sender had accepted the connection.
    RstWithAckAfterHandshake {
        /// The RST has an open window.
        window_open: bool,
    },
    /// The RST came after the client's data: a filter that reads it sends the same.
    RstAfterData,
    /// The RST is one of a burst that a closing listener sends.
    InClosingBurst,
    /// RST answered the SYN.
    RefusedByRst,
    /// An RST came whose number does not answer the SYN: the client ignores it.
    RstWrongAck,
    /// An RST answered the SYN, and a SYN-ACK came after it.
    RefusalThenSynAck,
    /// RSTs with different TTLs answered one SYN.
    RefusalsDiffer,
    /// The same address and port answered other attempts.
    ListenerAnswersOthers,
    /// The same address and port refused other attempts.
    RefusesOthers,
    /// The server answered with numbers of another connection.
    OlderNumbers,
    /// The client reset that answer, and repeated its SYN.
    OlderNumbersReset,
    /// The client had used these ports this long before.
    PortsUsedBefore(Span),
    /// The SYN's timestamp is older than those of that connection: a server that still has it rejects the SYN (PAWS).
    OlderTimestamp,
    /// Of one client address, SYNs with timestamps older than an earlier connection's went unanswered, and no others.
    OlderStampsDropped {
        /// SYNs with older timestamps, none of which was answered.
        dropped: u32,
        /// The others, all of which were answered.
        answered: u32,
    },
    /// The answer came from this other address.
    AnsweredFrom(Endpoint),
    /// Two SYN-ACKs with different numbers answered one SYN, as no single host would.
    TwoIsns,
    /// Two SYN-ACKs with different numbers came, as one host may send: a new request, or a SYN cookie of another minute.
    OneHostTwoIsns,
    /// The client repeated its SYN after the SYN-ACK.
    SynRetriedAfterSynAck,
    /// The client began anew from the same port before it had acknowledged.
    PortUsedAnew,
    /// The client's address finished another handshake with this listener.
    ClientFinishedAnother,
    /// The server repeated its SYN-ACK, and the client did not repeat its SYN.
    SynAckRepeatedAlone,
    /// The SYN-ACK names the first SYN: the server had got that and not dropped it.
    FirstSynMadeRequest,
    /// This segment was captured with a wrong checksum, and others of its sender with right ones: its receiver drops it.
    WrongChecksum(SegmentStep),
    /// Only a retry without an option that the first SYN had was answered, and at once.
    FeatureDropped,
    /// SYNs with the option went unanswered, this many of them, and SYNs without it were answered.
    FeatureBlockedOften(u32),
    /// An ICMP error reports that a segment of the client's was too big.
    TooBig,
    /// The server acknowledged the small segment after the large one (SACK).
    LaterDataSacked,
    /// Small data of this many other connections was acknowledged while the large segment was sent again.
    SmallDataPassed(u32),
    /// The address and port of the server answered no attempt in the capture.
    NeverAnswers,
    /// An ICMP error of this type and code quotes the SYN.
    Icmp(IcmpError),
    /// In this stretch this many SYNs a second, from many sources, were never finished.
    FloodRate {
        /// SYNs in the busiest second.
        per_second: u32,
        /// Source addresses, at least.
        sources: u32,
    },
    /// Handshakes with the listener were left unfinished at that time, this many of them.
    ManyHalfOpen(u32),
    /// The SYN has no TCP option, unlike any operating system's.
    SynWithoutOptions,
    /// The client acknowledged a number that no SYN-ACK had.
    WrongAck,
    /// Clients reset this many attempts to the listener at the SYN-ACK.
    ManyClientResets(u32),
    /// The client knocked at this many ports or hosts, and went on with none.
    ManyPorts(u32),
    /// Few addresses connect and reset at a steady period.
    SteadyChecks {
        /// Between two checks of one address.
        period: Span,
        /// Client addresses.
        clients: u32,
    },
    /// The SYN-ACK came this long after the first SYN.
    GaveUpBefore(Span),
    /// Other listeners of the host left SYNs unanswered in the same stretch, this many of them.
    SiblingsDropToo(u32),
    /// Doubt: this cause looks the same.
    CouldBe(Cause),
    /// Doubt: something that is no cause here looks the same: a dead backend behind a proxy, a stopped host.
    Unmodelled,
    /// Doubt: something on the server itself that is no cause here looks the same.
    UnmodelledHere,
    /// Doubt: something that is no cause here looks like this cause.
    Otherwise(Cause),
    /// Doubt: the capture lost packets.
    CaptureDropped,
    /// Doubt: the capture cannot support it, see its limits.
    LimitedByCapture,
    /// The SYN-ACK is not a Linux kernel's.
    NotLinux,
    /// The kernel counted overflows of this queue at that time.
    KernelOverflowed,
    /// The kernel counted no overflow of this queue at that time.
    KernelDidNotOverflow,
    /// The kernel held bare ACKs back at that time, and its listeners dropped nothing else.
    KernelDeferred,
    /// The kernel held no bare ACK of this listener back at that time.
    KernelDeferredNone,
    /// The kernel dropped SYNs for a full SYN queue at that time.
    KernelSynQueueFull,
    /// The kernel dropped no SYN for a full SYN queue at that time.
    KernelSynQueueHadRoom,
    /// The kernel's SYN queue was full at that time, and it answered SYNs by cookies.
    KernelSentCookies,
    /// The kernel rejected segments for an old timestamp at that time.
    KernelRejectedOld,
    /// The kernel dropped segments of this attempt, by its own event of each.
    KernelDroppedSegments {
        /// The reason.
        reason: DropReason,
        /// Segments that were dropped for this reason.
        segments: u32,
        /// Network namespace in which they were dropped.
        netns: DropNetns,
    },
}

impl Evidence {
    /// True for evidence that weakens a cause or names an alternative.
    #[must_use]
    pub const fn is_doubt(self) -> bool {
        matches!(
            self,
            Self::CouldBe(_)
                | Self::Otherwise(_)
                | Self::Unmodelled
                | Self::UnmodelledHere
                | Self::CaptureDropped
                | Self::LimitedByCapture
        )
    }

    /// The stable name of its kind in the machine-readable outputs.
    #[must_use]
    pub fn code(self) -> &'static str {
        EvidenceCode::from(self).into()
    }
}
