//! Facts of an attempt beside its phase: what was seen, not what it means.

use serde::{Deserialize, Serialize};
use strum::EnumCount;

/// A fact that an attempt's segments show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount)]
#[repr(u8)]
pub enum Fact {
    /// The SYN is in the capture.
    SynSeen,
    /// The SYN came after the SYN-ACK within the reordering a capture makes.
    SynLate,
    /// The SYN carried no TCP option: no operating system sends such a SYN.
    SynWithoutOptions,
    /// The first SYN carried an option or flags that a middlebox may block (MPTCP, Fast Open, ECN).
    SynWithOptionalFeature,
    /// A retry of the SYN left out such an option or flags.
    RetryWithoutFeature,
    /// A SYN-ACK is in the capture.
    SynAckSeen,
    /// A segment from the client other than the SYN is in the capture.
    ClientWentOn,
    /// The server established the connection.
    Established,
    /// SYN-ACK was retransmitted after the ACK, or RST answered it, before anything else did.
    Contradicted,
    /// Both ends sent SYN (RFC 9293 §3.5).
    Simultaneous,
    /// The client acknowledged a number that no SYN-ACK in the capture offered.
    WrongAck,
    /// The bare RST answered the client's first valid ACK.
    RstToFirstAck,
    /// The bare RST answers a segment whose sequence number is ISN + 1.
    RstToFirstByte,
    /// The client sent a segment that begins beyond ISN + 1, before the server established.
    SentBeyond,
    /// The bare RST follows a client segment beyond ISN + 1, as a failed SYN cookie's does.
    RstAfterBeyond,
    /// The RST stands before the ACK, and nothing else shows that the capture is out of order.
    RstBeforeAck,
    /// The RST has the form of `tcp_v4_send_reset`: window 0 and no options.
    RstKernelForm,
    /// The RST's TTL differs from the SYN-ACK's; without an RST, that of a segment which proved the connection.
    TtlDiffers,
    /// The RST answers a segment sooner than the server-side round trip.
    RstTooSoon,
    /// The RST came a round trip after none of the client's segments that it may answer.
    RstTooLate,
    /// SYN-ACK was retransmitted after the RST: the server never saw the ACK.
    SynAckAfterRst,
    /// The server sent data after the RST: the RST was not its own.
    DataAfterRst,
    /// RST with ACK came from the server soon after the handshake or after the client's data.
    ApplicationReset,
    /// The RST of [`Self::ApplicationReset`] carried an open window: its sender had established the connection.
    RstWindowOpen,
    /// The client had sent data when the server reset the connection.
    RstAfterData,
    /// RST with ACK from the server on a connection on which it had sent nothing.
    ResetUnserved,
    /// An RST answered the SYN, and a SYN-ACK came after it.
    RefusedBeforeSynAck,
    /// No SYN is in this flow: only an RST that would refuse one. It may answer a SYN to another address. With [`Self::TooBig`] only an
    /// ICMP error about a segment of the server's.
    RefusalAlone,
    /// Answers to the SYN have different TTLs: RSTs, or an ACK with numbers of another connection and the SYN-ACK after it.
    AnswersDiffer,
    /// An RST whose acknowledgment number does not answer the SYN.
    RstWrongAck,
    /// The client reset the connection after its ACK.
    ClientAborted,
    /// The client sent FIN before the server reset the connection or answered.
    ClientClosedFirst,
    /// The client's FIN was retransmitted.
    FinIgnored,
    /// The server reset the connection after data or FIN that it never acknowledged.
    ResetAfterIgnoredData,
    /// The server answered the client's ACK or data with an ACK that acknowledges neither: it proves no
    /// connection, yet the client was not ignored.
    ServerAnswered,
    /// The server sent a segment with numbers of another connection.
    ServerOutOfWindow,
    /// A segment as of [`Self::ServerOutOfWindow`] has ACK and no SYN: a lone RST without it answers a segment that the capture
    /// lacks, and a SYN-ACK is no answer of a connection that lives on.
    AckOutOfWindow,
    /// The client reset such a segment.
    OutOfWindowReset,
    /// The server sent data or FIN.
    ServerSpoke,
    /// The server should have had data or FIN too, not only an ACK, when it retransmitted SYN-ACK.
    DataIgnored,
    /// A retransmitted SYN-ACK echoes the timestamp of the client's ACK, which so had reached the server's TCP.
    EchoesAck,
    /// Before a SYN-ACK was retransmitted, the client's ACK had passed a second point of the capture.
    AckAtSecondPoint,
    /// Before a SYN-ACK was retransmitted, the client's ACK had passed one point of the capture and not the second,
    /// which its SYN had passed.
    AckAtOnePoint,
    /// After a retransmitted SYN-ACK the server acknowledged the client's segments although none had come for longer
    /// than a round trip: they had come late.
    ProofWithoutAck,
    /// The SYN or the SYN-ACK was repeated although the server had not dropped the first SYN: its SYN-ACK came before any retry
    /// of that, or names it by TSecr.
    FirstSynAnswered,
    /// A retransmitted SYN-ACK has another TTL, window or order of options than the first.
    RetransmittedByOther,
    /// A retransmitted SYN-ACK drew no ACK.
    RetransmissionUnanswered,
    /// A SYN-ACK with another server ISN came, and one host explains it: cookies, a restart or a new request.
    OtherIsn,
    /// A SYN-ACK with another server ISN came that one host does not explain.
    OtherHost,
    /// An ICMP error reports that a segment of the client's was too big.
    TooBig,
    /// The server acknowledged later data and not the first (SACK), and in a settled attempt less of it than the client sent
    /// again.
    SackedBeyondHole,
    /// The server acknowledged data of the client's that is not in the capture.
    AckedUnseen,
    /// The client repeated its bare ACK long after the first, and nothing in the capture asked for it: the repeated
    /// SYN-ACK that it answers is missing.
    AckUnasked,
    /// Timestamps of one side stand still.
    ClockStill,
    /// A segment's time was far off, and not used.
    Misdated,
    /// The client began another attempt from the same port before this one was settled.
    PortUsedAnew,
    /// The client repeated its SYN after a SYN-ACK: it did not get it, or rejected it.
    SynRetriedAfterSynAck,
    /// A SYN of the client's has a wrong checksum.
    SynChecksumWrong,
    /// A SYN-ACK has a wrong checksum.
    SynAckChecksumWrong,
    /// A bare ACK of the client's, before the server established, has a wrong checksum.
    AckChecksumWrong,
    /// A bare ACK of the client's has a right checksum.
    AckChecksumRight,
    /// A SYN-ACK was retransmitted after such an ACK.
    RightAckIgnored,
    /// A segment of the client's has a right checksum.
    ClientChecksumRight,
    /// A segment of the server's has a right checksum.
    ServerChecksumRight,
}

// Each has a bit of its own.
const _: () = assert!(Fact::COUNT <= u64::BITS as usize);

/// A set of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts(u64);

impl Facts {
    /// A set of these facts.
    #[must_use]
    pub const fn of(facts: &[Fact]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < facts.len() {
            bits |= 1 << facts[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// True if the set has this fact.
    #[must_use]
    #[inline(always)]
    pub const fn has(self, fact: Fact) -> bool {
        self.0 & 1 << fact as u8 != 0
    }

    /// True if the set has any of these facts.
    #[must_use]
    #[inline(always)]
    pub const fn has_any(self, facts: Self) -> bool {
        self.0 & facts.0 != 0
    }

    /// Adds a fact.
    #[inline(always)]
    pub const fn add(&mut self, fact: Fact) {
        self.0 |= 1 << fact as u8;
    }

    /// Adds a fact if it holds.
    #[inline(always)]
    pub const fn add_if(&mut self, fact: Fact, holds: bool) {
        self.0 |= (holds as u64) << fact as u8;
    }

    /// Removes a fact.
    pub const fn remove(&mut self, fact: Fact) {
        self.0 &= !(1 << fact as u8);
    }
}
