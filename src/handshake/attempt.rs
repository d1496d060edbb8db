//! A settled attempt: the record that every output is made from.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::cause::SharedInference;
use super::duplicates::REORDERING;
use super::facts::{Fact, Facts};
use super::history::History;
use super::passage::{Passage, SegmentKind, SegmentLoss, Sighting};
use super::systems::{self, System};
use super::traits::SynAckTraits;
use super::verdict::{Connect, Reason, Unproven, Vantage, Verdict};
use crate::packet::{Endpoint, FrameRef, IcmpError, OptionKind, Seq, Span, Timestamp, ticks_between};

/// A client SYN and all that belongs to it (DOMAIN: "attempt").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The endpoint that connects.
    pub client: Endpoint,
    /// The endpoint that is connected to.
    pub server: Endpoint,
    /// The first packet: the SYN, or the SYN-ACK where no SYN stands before it. (A refusal before its SYN counts, but
    /// is not the first.)
    pub frame: FrameRef,
    /// The position of the first packet in the whole input, from 0; orders attempts.
    pub ordinal: u64,
    /// Time of the first packet.
    pub start: Timestamp,
    /// Time of the last packet before the decision.
    pub end: Timestamp,
    /// The verdict: what the packets show.
    pub verdict: Verdict,
    /// Reason why the verdict is `undetermined`; `None` for any other.
    pub reason: Option<Reason>,
    /// The ICMP error that answered the SYN of an `unreachable`, or the SYNs of a `completed-late` until a retry got through.
    pub icmp: Option<IcmpAnswer>,
    /// Reason why nothing proves a completed attempt; `None` where the server proved it, or it is not completed.
    pub unproven: Option<Unproven>,
    /// True for an attempt without an answer whose client finished another handshake with this listener within a minute, and
    /// for one that is half-open, with any listener of the host; as far as is known when it is recorded.
    pub client_finishes: bool,
    /// True if the server is proved to have established the connection, false if the verdict disproves it, `None` if
    /// unknown.
    pub established: Option<bool>,
    /// Repeated packets, copies excluded.
    pub retries: Retries,
    /// Times of the SYN-ACK's retransmissions, from the first SYN-ACK. At most [`Retries::TIMES_KEPT`].
    pub retry_at: RetryTimes,
    /// Times of the SYN's retries, from the first SYN. At most [`Retries::TIMES_KEPT`].
    pub syn_retry_at: RetryTimes,
    /// Round trips and margins.
    pub timing: Timing,
    /// Place where the capture was taken, as this attempt's timing shows.
    pub vantage: Option<Vantage>,
    /// Result of the client's `connect()`.
    pub connect: Connect,
    /// The attempt's segments in order.
    pub history: History,
    /// Packets of the attempt up to its decision, copies included.
    pub packets: u32,
    /// Facts that the inference goes by.
    pub facts: Facts,
    /// The traits of the SYN-ACK; of an RST that refused the SYN its TTL alone.
    pub synack: SynAckTraits,
    /// The client's ISN, by which sightings of one attempt under several addresses are joined.
    pub client_isn: Seq,
    /// The client's clock, by its timestamps; `None` without them.
    pub client_clock: Option<ClientClock>,
    /// Retransmissions of the client's data or FIN while the server was silent.
    pub data_retransmissions: u16,
    /// Bytes of data that the client sent before the attempt was settled.
    pub sent_bytes: u32,
    /// Bytes of the largest segment among those retransmissions.
    pub resent_bytes: u32,
    /// RSTs from the server after the client's ACK.
    pub server_rsts: u16,
    /// The client segment after the SYN-ACK that the bare RST answered, from 1; 0 where none did.
    pub rst_answers_segment: u16,
    /// The first SYN-ACK in the capture, of those that the client could take.
    pub first_synack: Option<Timestamp>,
    /// The client's first valid ACK.
    pub acked: Option<Timestamp>,
    /// The client's first data or FIN after it.
    pub sent: Option<Timestamp>,
    /// The server's first RST that counts.
    pub reset: Option<Timestamp>,
    /// Time without a packet of the attempt at the capture's end; zero where it was replaced, evicted or is not
    /// settled; `None` where it was silent for longer than any retransmission takes.
    pub silence: Option<Span>,
    /// The connection that had the same ports at this server before, if the capture shows one.
    pub ports_before: Option<PortsBefore>,
    /// True if the SYN's timestamp is older than that of an earlier connection from the same address, lately.
    pub has_older_stamp: bool,
    /// True if segments of the client's other attempts reached the host between the first and the last ignored ACK.
    pub path_worked: bool,
    /// The address from which it was answered, if that is not the server's.
    pub answered_from: Option<Endpoint>,
    /// True if the SYN was captured on its way to that address, too: at a second point, behind a translation.
    pub is_translated: bool,
    /// The points that it passed; `None` where points are not told apart.
    pub passage: Option<Box<Passage>>,
    /// The inference: what the attempt means, and how sure that is.
    #[serde(skip)]
    pub inference: SharedInference,
}

impl Attempt {
    /// The server's system, as its SYN-ACKs show it; `None` where they do not.
    #[must_use]
    pub fn system(&self) -> Option<System> {
        let known = systems::system(self.synack);
        known.filter(|&system| system != System::Linux || !systems::is_linear(&self.retry_at))
    }

    /// The round trips from the SYN to the SYN-ACK, and from there to the ACK, of a handshake that needed no retry: none came,
    /// or the client's timer is shorter than they are.
    #[must_use]
    pub(crate) fn unaided_round_trips(&self) -> Option<(Span, Span)> {
        let Retries { syn, syn_ack, .. } = self.retries;
        let unaided = syn == 0 && syn_ack == 0 || syn > 0 && self.timing.delay == Some(Span::ZERO);
        self.timing.syn_to_synack.zip(self.timing.synack_to_ack).filter(|_| unaided)
    }

    /// True if the SYN has no retry and no SYN-ACK, and the client did not go on.
    #[must_use]
    pub fn is_lone_syn(&self) -> bool {
        !self.facts.has(Fact::SynAckSeen) && !self.facts.has(Fact::ClientWentOn) && self.retries.syn == 0
    }

    /// True if the attempt is one SYN in a capture that would lack the answer to it.
    #[must_use]
    pub fn may_lack_answer(&self) -> bool {
        self.reason == Some(Reason::OneSided) && !self.is_syn_missing() && self.is_lone_syn()
    }

    /// True if the SYN is missing from the capture, so that the SYN-ACK opened the attempt.
    #[must_use]
    pub fn is_syn_missing(&self) -> bool {
        !self.facts.has(Fact::SynSeen)
    }

    /// True if the client's ACK stands so long before the SYN-ACK that the capture lacks the one which it answers. Sooner the
    /// capture holds the two directions out of order.
    #[must_use]
    pub(crate) fn lacks_synack(&self) -> bool {
        self.first_synack.zip(self.acked).is_some_and(|(synack, acked)| synack.since(acked) > REORDERING)
    }

    /// True if this is no attempt: an RST would refuse a SYN that is not in its flow. It may answer a SYN to another
    /// address.
    #[must_use]
    pub const fn is_refusal_alone(&self) -> bool {
        self.facts.has(Fact::RefusalAlone)
    }

    /// True if this is no attempt: an ICMP error calls a segment of the server's too big, whose number is `client_isn`, on a connection
    /// that is settled.
    #[must_use]
    pub(crate) const fn is_oversized_alone(&self) -> bool {
        self.is_refusal_alone() && self.facts.has(Fact::TooBig)
    }

    /// True if the client connected late, or got its first answer late.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.verdict == Verdict::CompletedLate || self.timing.stall.is_some()
    }

    /// True if the server acknowledged the client's data late, after it had been retransmitted twice (DOMAIN §4, `ack-ignored`).
    #[must_use]
    pub fn has_stalled_by_data(&self) -> bool {
        self.timing.stall.is_some() && self.data_retransmissions >= 2
    }

    /// True if nothing but a bare RST to the client's FIN shows that the server ignored the connection: where an earlier RST was
    /// lost before the capture, the same is left.
    #[must_use]
    pub fn is_ignored_by_fin_alone(&self) -> bool {
        self.verdict == Verdict::AckIgnored
            && self.facts.has(Fact::ClientClosedFirst)
            && !self.facts.has(Fact::RstAfterBeyond)
            && self.data_retransmissions == 0
    }

    /// True if the client closed and had sent no data.
    #[must_use]
    pub fn sent_only_fin(&self) -> bool {
        // FIN counts as a byte.
        self.facts.has(Fact::ClientClosedFirst) && self.sent_bytes <= 1
    }

    /// True if the server took the connection although all its timestamps are older than this TSval: it goes by none.
    #[must_use]
    pub fn was_taken_though_older(&self, than: u32) -> bool {
        let latest = self.client_clock.filter(|_| self.acked.is_some()).map(|clock| clock.latest);
        latest.is_some_and(|latest| ticks_between(latest, than) > 0)
    }

    /// True if the packets do not show whether a retry was needed: the client connected, at once or late.
    #[must_use]
    pub fn is_delay_unclear(&self) -> bool {
        let retried = self.retries.syn > 0 || self.retries.syn_ack > self.retries.after_ack;
        self.verdict == Verdict::Completed
            && self.facts.has(Fact::SynSeen)
            && self.timing.delay.is_none()
            && retried
    }

    /// True if the client reset the first SYN-ACK that its SYN drew, as the kernel of a scanner or a check does. A SYN-ACK that
    /// answers no SYN of the host's draws an RST, too (backscatter of a flood with spoofed sources), and so does one that is
    /// repeated to a client whose connection ended meanwhile; and so does one from an address that the client did not ask.
    #[must_use]
    pub fn was_reset_at_synack(&self) -> bool {
        self.verdict == Verdict::ClientReset
            && !self.is_syn_missing()
            && self.history.is_synack_reset_first()
            && !self.is_reset_elsewhere()
    }

    /// True if the client reset the answer where that came from, and not where it had asked: an answer that has come to it under the
    /// address that it asked is reset there.
    #[must_use]
    pub fn is_reset_elsewhere(&self) -> bool {
        let sightings = self.passage.as_deref().and_then(|passage| passage.sightings.split_first());
        sightings.is_some_and(|(asked, others)| {
            let resets = |other: &Sighting| other.server != asked.server && other.has(SegmentKind::ClientRst);
            !asked.has(SegmentKind::ClientRst) && others.iter().any(resets)
        })
    }

    /// The SYN-ACKs of a proxy between two points.
    #[must_use]
    pub fn answered_between(&self) -> Option<SegmentLoss> {
        self.passage.as_deref().and_then(Passage::answered_between)
    }

    /// True if the SYN-ACK names the SYN that it answers, by TSecr. Else a SYN without an answer may have had one that was lost
    /// before the capture.
    #[must_use]
    pub fn names_answered_syn(&self) -> bool {
        self.client_clock.is_some() && self.synack.layout.has(OptionKind::Timestamps)
    }

    /// Time from the first SYN to the one that the first SYN-ACK answers, as far as the packets show it: those before it got no
    /// answer.
    pub(crate) fn answered_syn_after(&self) -> Option<Span> {
        let answered = self.first_synack.zip(self.timing.syn_to_synack);
        let after = answered.map(|(synack, round_trip)| synack.since(self.start).minus(round_trip));
        after.or(self.timing.delay)
    }

    /// True if RSTs had refused the SYN before a repeat of it was answered: a client that tries again after a refusal (Windows)
    /// met a listener that had begun meanwhile.
    #[must_use]
    pub fn was_refused_first(&self) -> bool {
        self.facts.has(Fact::SynAckSeen)
            && !self.facts.has(Fact::RstWrongAck)
            && self.retries.syn > 0
            && self.history.is_reset_before_synack()
    }

    /// True if RSTs or an ICMP error had answered the SYN before a repeat of it was answered by a SYN-ACK: nothing dropped it.
    #[must_use]
    pub fn was_rejected_first(&self) -> bool {
        self.was_refused_first() || self.facts.has(Fact::SynAckSeen) && self.icmp.is_some()
    }

    /// Time of the first SYN-ACK repeat that came after an ignored ACK, from the first SYN-ACK. Repeats before that answer an ACK,
    /// or a SYN-ACK, that was lost.
    #[must_use]
    pub fn first_ignored(&self) -> Option<Span> {
        let ignored = self.retries.after_ack;
        let before = self.retries.syn_ack.checked_sub(ignored).filter(|_| ignored > 0)?;
        self.retry_at.get(before as usize).copied()
    }

    /// True if the server reset the connection after the client's ACK.
    #[must_use]
    pub fn was_reset(&self) -> bool {
        self.verdict == Verdict::ResetAfterAck || self.timing.ack_to_rst.is_some()
    }
}

/// A client's clock as its timestamps show it (RFC 7323).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientClock {
    /// TSval of its first SYN.
    pub syn: u32,
    /// TSval of its latest segment.
    pub latest: u32,
}

/// An earlier connection of the same ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortsBefore {
    /// From its last known packet to the SYN.
    pub since: Span,
    /// True if its timestamps were ahead of the SYN's: a server that still has it rejects the SYN (PAWS).
    pub clock_ahead: bool,
    /// True if that SYN is the connection's own, under way for long, by its number and the connection's timestamps.
    pub is_own_syn: bool,
}

/// An ICMP error that answers a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IcmpAnswer {
    /// Type and code.
    pub error: IcmpError,
    /// The host that sent it.
    pub from: IpAddr,
}

/// Times of repeats. The first few are stored in place, as many as fit without making the record larger: most attempts
/// have none or few, and memory that one thread allocates and another frees is expensive.
pub type RetryTimes = SmallVec<[Span; 2]>;

/// Numbers of retries and retransmissions by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retries {
    /// Repeated SYNs.
    pub syn: u32,
    /// Repeated SYN-ACKs.
    pub syn_ack: u32,
    /// Retransmissions among `syn_ack` that came after an ACK which the server should have had by then.
    pub after_ack: u32,
}

impl Retries {
    /// Most times of retransmissions that an attempt keeps. Linux gives up after 5 by default; a sysctl may raise it to
    /// 255, but by the 16th the doubling time-out has passed the kernel's ceiling of 120 s.
    pub const TIMES_KEPT: usize = 16;
}

/// The attempt's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// From the first SYN to the SYN-ACK that the client took.
    pub connect: Option<Span>,
    /// The part of `connect` that retries cost; zero for a handshake at the first try.
    pub delay: Option<Span>,
    /// From the ACK, or from the client's first data, to the server's first proof of the connection, less a round trip;
    /// `None` unless retransmissions show that the client was kept waiting.
    pub stall: Option<Span>,
    /// From the SYN to the SYN-ACK that answers it: the server side's round trip.
    pub syn_to_synack: Option<Span>,
    /// From the SYN-ACK to the ACK that answers it: the client side's round trip.
    pub synack_to_ack: Option<Span>,
    /// From the last valid ACK or data of the client to the server's RST.
    pub ack_to_rst: Option<Span>,
    /// From the first packet to the last.
    pub duration: Span,
}
