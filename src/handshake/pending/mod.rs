//! One undecided attempt: what its segments have shown so far.
//!
//! Owns the attempt's facts ([`Facts`], [`HandshakeSegment`]) and its [`Phase`]; `event` classifies a segment by its
//! sequence numbers (DOMAIN §4), `transition` has every step from one phase to the next. Does not own when
//! the attempt is decided (`tracker`), nor what the record says then (`decide`).

mod event;
mod retransmissions;
mod transition;

use super::facts::Facts;
pub(super) use event::{answers_syn, is_syn, is_synack};
use retransmissions::{HandshakeSegment, NONE, Retransmissions};
pub(super) use transition::REORDERING;

use super::attempt::{IcmpAnswer, Retries};
use super::copies::Recent;
use crate::packet::{Direction, Flags, FrameRef, Segment, Seq, Span, Timestamp};
use crate::prefetch::prefetch_all;

/// How far a handshake has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// SYN, and no answer that counts.
    SynSent,
    /// RST answered the SYN.
    Refused,
    /// An ICMP error quoted the SYN.
    Unreachable,
    /// The client went on although no answer is in the capture.
    AnswerUnseen,
    /// SYN-ACK, and no valid ACK.
    SynReceived,
    /// The client's RST answered the SYN-ACK.
    ClientReset,
    /// The client's valid ACK; nothing from the server since.
    Acked,
    /// SYN-ACK was repeated after that ACK.
    Ignored,
    /// A bare RST answered that ACK.
    Reset,
    /// The server proved that it has established the connection.
    Established,
}

impl Phase {
    /// All phases.
    pub(super) const ALL: [Self; 10] = [
        Self::SynSent,
        Self::Refused,
        Self::Unreachable,
        Self::AnswerUnseen,
        Self::SynReceived,
        Self::ClientReset,
        Self::Acked,
        Self::Ignored,
        Self::Reset,
        Self::Established,
    ];
}

/// What few attempts have; kept apart to keep the others small.
#[derive(Debug, Clone, Default)]
pub(super) struct ColdState {
    syn: Retransmissions,
    synack: Retransmissions,
    /// A second answer with another ISN, and its TTL; the client's ACK tells which one it took.
    other_answer: Option<(Seq, u8, HandshakeSegment)>,
    /// The first ICMP error, and when the last one came.
    pub(super) icmp: Option<(Timestamp, IcmpAnswer)>,
    /// The server's RST that came before any ACK: it may be out of order.
    early_rst: Option<Box<Segment>>,
    /// When the client's RST came that answers a SYN-ACK not seen yet.
    early_client_rst: Option<Timestamp>,
}

/// One undecided attempt.
///
/// In this order because a decided attempt that lingers is asked for the first fields only, and one that leaves gives
/// back what few have: the others need not come into the cache then.
#[derive(Debug, Clone)]
#[repr(C)]
pub(super) struct Pending {
    cold: Option<Box<ColdState>>,
    recent: Recent,
    pub(super) phase: Phase,
    /// The direction from client to server.
    pub(super) outward: Direction,
    pub(super) facts: Facts,
    pub(super) frame: FrameRef,
    pub(super) ordinal: u64,
    pub(super) start: Timestamp,
    pub(super) last: Timestamp,
    pub(super) client_isn: Seq,
    server_isn: Seq,
    /// Payload of the SYN (RFC 7413): a SYN-ACK may acknowledge it.
    syn_payload: u32,
    /// What the SYN-ACK acknowledged: ISN + 1, or the SYN's payload too.
    answered: Seq,
    /// What the client will send next, by what it has sent.
    client_next: Seq,
    /// The highest acknowledgment number the client has sent.
    client_ack: Seq,
    synack_ttl: u8,
    /// A copy of the SYN came before any answer.
    syn_passed_on: bool,
    pub(super) syn: Option<HandshakeSegment>,
    pub(super) synack: Option<HandshakeSegment>,
    pub(super) syn_to_synack: Option<Span>,
    pub(super) synack_to_ack: Option<Span>,
    /// The client's first valid ACK.
    pub(super) ack_at: Option<Timestamp>,
    /// The client's latest segment that acknowledges the SYN-ACK.
    client_last: Timestamp,
    /// The server's first RST that counts.
    pub(super) rst_at: Option<Timestamp>,
    /// From the client's latest segment to that RST.
    pub(super) ack_to_rst: Option<Span>,
    /// Client segments that the server's RST may answer: those after the SYN-ACK.
    client_segments: u16,
    server_rsts: u16,
    pub(super) after_ack: u16,
    /// Microseconds from the SYN-ACK to its latest copy before the ACK: its way between two points of one capture.
    synack_under_way: u32,
    pub(super) packets: u32,
}

// A million are held at most, and each octet of one is a megabyte then.
const _: () = assert!(size_of::<Pending>() <= 232);

impl Pending {
    /// An attempt opened by its SYN.
    #[inline(always)]
    pub(super) fn from_syn(segment: &Segment, ordinal: u64) -> Self {
        let mut attempt = Self::blank(segment, ordinal, segment.direction);
        attempt.take_syn(segment);
        attempt
    }

    /// An attempt opened by its SYN-ACK: the SYN is missing, or comes a little later.
    #[inline(always)]
    pub(super) fn from_synack(segment: &Segment, ordinal: u64) -> Self {
        let mut attempt = Self::blank(segment, ordinal, segment.direction.reverse());
        attempt.client_isn = segment.ack.plus(u32::MAX);
        attempt.client_next = segment.ack;
        attempt.phase = Phase::SynReceived;
        attempt.take_synack(segment);
        attempt
    }

    #[inline(always)]
    fn blank(segment: &Segment, ordinal: u64, outward: Direction) -> Self {
        Self {
            phase: Phase::SynSent,
            facts: Facts::default(),
            outward,
            frame: segment.frame,
            ordinal,
            start: segment.at,
            last: segment.at,
            client_isn: segment.seq,
            server_isn: Seq::default(),
            syn_payload: 0,
            answered: Seq::default(),
            client_next: Seq::default(),
            client_ack: Seq::default(),
            synack_ttl: 0,
            syn_passed_on: false,
            syn: None,
            synack: None,
            syn_to_synack: None,
            synack_to_ack: None,
            ack_at: None,
            client_last: segment.at,
            rst_at: None,
            ack_to_rst: None,
            client_segments: 0,
            server_rsts: 0,
            after_ack: 0,
            synack_under_way: 0,
            cold: None,
            packets: 1,
            recent: Recent::first(segment),
        }
    }

    /// Whether `segment` is a SYN of another attempt between the same endpoints.
    pub(super) fn is_replaced_by(&self, segment: &Segment) -> bool {
        if !is_syn(segment) {
            return false;
        }
        if segment.direction == self.outward {
            return segment.seq != self.client_isn;
        }
        // A SYN the other way answers ours (simultaneous open) as long as nothing else has.
        let crossing = self.phase == Phase::SynSent || self.facts.simultaneous;
        !crossing
    }

    /// Takes one segment of the flow. Returns whether it was a copy of an earlier one.
    pub(super) fn take(&mut self, segment: &Segment) -> bool {
        self.packets = self.packets.saturating_add(1);
        // An RST carries no timestamps; one for each of several client segments is no copy.
        let answers_several = segment.flags.contains(Flags::RST)
            && segment.direction != self.outward
            && self.server_rsts < self.client_segments;
        if self.recent.is_copy(segment) && !answers_several {
            self.take_copy(segment);
            return true;
        }
        self.last = self.last.max(segment.at);
        let event =
            if segment.direction == self.outward { self.of_client(segment) } else { self.of_server(segment) };
        self.phase = self.next(event, segment);
        false
    }

    /// Takes a segment's second sight: a SYN-ACK's tells how far two points of the capture are apart. Where they are two
    /// points of the path, and not one that is told of twice, the SYN passed both before it was answered.
    #[cold]
    fn take_copy(&mut self, copy: &Segment) {
        if copy.direction == self.outward {
            self.syn_passed_on |= self.phase == Phase::SynSent && is_syn(copy);
            return;
        }
        if self.phase != Phase::SynReceived || !self.syn_passed_on || !is_synack(copy) {
            return;
        }
        let Some(synack) = self.synack else { return };
        let under_way = copy.at.since(synack.last(self.synack_repeats())).as_nanos() / 1_000;
        self.synack_under_way = self.synack_under_way.max(u32::try_from(under_way).unwrap_or_default());
    }

    /// How long the SYN-ACK took from the capture's point nearest to the server to the one nearest to the client.
    pub(super) fn synack_under_way(&self) -> Span {
        Span::from_micros(self.synack_under_way.into())
    }

    /// Takes an ICMP error that quotes the client's SYN.
    pub(super) fn take_icmp(&mut self, at: Timestamp, icmp: IcmpAnswer) {
        self.packets = self.packets.saturating_add(1);
        match self.phase {
            Phase::SynSent => {
                self.last = self.last.max(at);
                self.phase = Phase::Unreachable;
                self.cold_mut().icmp = Some((at, icmp));
            }
            // The first error stands; later ones tell that SYNs repeated meanwhile were answered, too.
            Phase::Unreachable => {
                if let Some((last, _)) = &mut self.cold_mut().icmp {
                    *last = at.max(*last);
                }
            }
            // Those after an answer change nothing.
            Phase::Refused
            | Phase::AnswerUnseen
            | Phase::SynReceived
            | Phase::ClientReset
            | Phase::Acked
            | Phase::Ignored
            | Phase::Reset
            | Phase::Established => {}
        }
    }

    /// Whether `segment` is a copy of one that was taken.
    pub(super) fn is_copy(&mut self, segment: &Segment) -> bool {
        self.recent.is_copy(segment)
    }

    /// How strongly the attempt shows an overflow by now; a rise is worth telling before the end.
    pub(super) fn overflow_signs(&self) -> u8 {
        // Most attempts are told apart here, before their phases, which no predictor knows.
        if !self.facts.contradicted && !self.facts.ignored_data() {
            return 0;
        }
        match self.phase {
            Phase::Ignored => self.after_ack.min(2) as u8,
            Phase::Reset => 2,
            Phase::Acked => u8::from(self.facts.ignored_data()),
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived
            | Phase::ClientReset
            | Phase::Established => 0,
        }
    }

    /// Whether the client sent data, or FIN, after its SYN.
    pub(super) fn client_sent_data(&self) -> bool {
        self.client_next.after(self.client_isn.plus(1).plus(self.syn_payload))
    }

    /// Retransmissions by kind.
    pub(super) fn retries(&self) -> Retries {
        Retries {
            syn: u32::from(self.syn_repeats().count),
            syn_ack: u32::from(self.synack_repeats().count),
            after_ack: u32::from(self.after_ack),
        }
    }

    /// What this attempt has that few have.
    pub(super) fn cold(&self) -> Option<&ColdState> {
        self.cold.as_deref()
    }

    /// How the SYN was repeated.
    pub(super) fn syn_repeats(&self) -> &Retransmissions {
        self.cold().map_or(&NONE, |cold| &cold.syn)
    }

    /// How the SYN-ACK was repeated.
    pub(super) fn synack_repeats(&self) -> &Retransmissions {
        self.cold().map_or(&NONE, |cold| &cold.synack)
    }

    /// Asks the cache for what few attempts have, if this one has it.
    #[inline(always)]
    pub(super) fn prefetch_cold(&self) {
        prefetch_all(self.cold());
    }

    fn cold_mut(&mut self) -> &mut ColdState {
        self.cold.get_or_insert_default()
    }
}
