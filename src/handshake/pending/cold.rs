//! State that few attempts need, kept apart from the others' and boxed.

use super::Pending;
use crate::handshake::attempt::IcmpAnswer;
use crate::handshake::retransmissions::{HandshakeSegment, RareRetransmissions};
use crate::handshake::traits::SynAckTraits;
use crate::packet::{Segment, Seq, Span, Timestamp};

/// Rarely needed state, boxed to keep `Pending` small.
#[derive(Debug, Clone, Default)]
pub(in crate::handshake) struct ColdState {
    pub(in crate::handshake) syn: RareRetransmissions,
    pub(in crate::handshake) synack: RareRetransmissions,
    /// A second answer with another ISN; the client's ACK shows which one it took.
    pub(super) other_answer: Option<Box<OtherAnswer>>,
    /// The first ICMP error, and the time of the last one.
    pub(in crate::handshake) icmp: Option<Box<(Timestamp, IcmpAnswer)>>,
    /// The server's RST that came before any ACK: it may be out of order.
    pub(super) early_rst: Option<Box<Segment>>,
    /// The time of the client's RST that answers a SYN-ACK not seen yet.
    pub(super) early_client_rst: Option<Timestamp>,
    /// The TTL of the first RST that refused the SYN.
    pub(super) refusal_ttl: Option<u8>,
    /// The TTL of the first ACK with numbers of another connection.
    pub(super) other_ack_ttl: Option<u8>,
    /// The server's first RST that counts.
    pub(in crate::handshake) rst_at: Option<Timestamp>,
    /// The number of that RST.
    pub(super) rst_seq: Seq,
    /// From the client's latest segment to that RST.
    pub(in crate::handshake) ack_to_rst: Option<Span>,
    /// Bytes of the largest data segment that was retransmitted.
    pub(in crate::handshake) resent_bytes: u32,
    /// Bytes of the smallest segment that the server acknowledged behind a hole (SACK); 0 if there was none.
    pub(in crate::handshake) sacked_bytes: u16,
    /// The server's bare RSTs so far.
    pub(in crate::handshake) server_rsts: u16,
    /// Copies of those.
    pub(super) rst_copies: u16,
    /// From the SYN to its duplicate before the SYN-ACK: the way between two points of the capture.
    pub(in crate::handshake) syn_under_way: Span,
    /// From the SYN-ACK to its latest duplicate before the ACK: the way between two points of one capture.
    pub(in crate::handshake) synack_under_way: Span,
    /// The clocks of its points were compared.
    pub(super) clocks_compared: bool,
    /// A SYN-ACK was retransmitted and the client has not sent anything since.
    pub(super) awaits_ack: bool,
    /// SYN-ACKs after the first that no repeated ACK of the client's has answered yet.
    pub(super) unanswered_synacks: u8,
    /// Retransmissions of the SYN-ACK up to the last one that came after the client's ACK and may have crossed it, as far as the
    /// round trip was known by then.
    pub(in crate::handshake) crossed: usize,
    /// The transmission of the SYN (0 is the first) that the SYN-ACK's TSecr names.
    pub(in crate::handshake) answered: Option<u8>,
    /// The SYN-ACK's TSecr, if it names a later SYN than those before it: the capture holds the two out of order.
    pub(super) echoes_later_syn: Option<u32>,
    /// The transmission of the SYN-ACK (0 is the first) that the first ACK's TSecr names.
    pub(in crate::handshake) taken: Option<u8>,
    /// The client's first data after a retry: when it was sent, and the number that acknowledges it.
    pub(super) probe: Option<(Timestamp, Seq)>,
    /// The server's side of the round trip, as that data shows it, or the server's first data after the ACK.
    pub(in crate::handshake) round_trip: Option<DataRoundTrip>,
    /// The server's first data that the client has not acknowledged: when it was sent, the number that acknowledges it, and
    /// whether it was sent again.
    reply: Option<(Timestamp, Seq, bool)>,
    /// Least time that the SYN-ACK was under way to the capture point: by so much less was sent between it and a later segment
    /// of the server's than the server's clock says. The path delayed the SYN-ACK longer than that segment.
    pub(in crate::handshake) synack_transit: Span,
    /// The client's side of the round trip, as the server's data shows it.
    pub(in crate::handshake) client_round_trip: Option<DataRoundTrip>,
    /// From the client's ACK, or its first data, to the server's first proof, less a round trip.
    pub(in crate::handshake) stall: Option<Span>,
    /// The time of a packet that was too far off to be believed, and whether it was the second; another one near it
    /// proves it.
    pub(super) doubted: Option<(Timestamp, bool)>,
}

impl ColdState {
    /// The time of the latest packet, if it is too far off to be believed.
    pub(in crate::handshake) fn doubted_time(&self) -> Option<Timestamp> {
        self.doubted.map(|(at, _)| at)
    }
}

impl Pending {
    /// From the latest SYN-ACK before the first ACK to that, where SYN-ACKs were repeated. That one may have drawn the ACK whatever its
    /// timestamp names: an earlier ACK was lost on its way to the capture.
    pub(in crate::handshake) fn synack_drew_ack(&self) -> Option<Span> {
        let (cold, synack) = (self.cold()?, self.synack?);
        let since = synack.latest_before(&cold.synack, self.ack_at?);
        (cold.synack.count > 0 && since >= Span::ZERO).then_some(since)
    }
}

/// A round trip that data shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::handshake) struct DataRoundTrip {
    pub(in crate::handshake) span: Span,
    /// An upper bound only: the answer was a program's, which took a time of its own.
    pub(in crate::handshake) is_bound: bool,
}

impl DataRoundTrip {
    /// The better one of a round trip known before and this one.
    fn improve(self, known: &mut Option<Self>) {
        let better = known.is_none_or(|known| known.is_bound && (!self.is_bound || self.span < known.span));
        if better && self.span >= Span::ZERO {
            *known = Some(self);
        }
    }
}

impl ColdState {
    /// Takes a segment of the server's that proves the connection: `length` is that of its data, and `since_ack` how long after
    /// the client's ACK it came, if the server could not send before that.
    pub(super) fn measure_server(&mut self, segment: &Segment, length: u32, since_ack: Option<Span>) {
        let acknowledged = self.probe.take_if(|&mut (_, end)| segment.ack.at_or_after(end));
        let span = acknowledged.map(|(sent, _)| segment.at.since(sent));
        if let Some(span) = span.or(since_ack) {
            DataRoundTrip { span, is_bound: length > 0 }.improve(&mut self.round_trip);
        }
        if length == 0 {
            return;
        }
        let end = segment.seq.plus(length);
        match &mut self.reply {
            Some((_, known, again)) => *again |= !end.after(*known),
            None => self.reply = Some((segment.at, end, false)),
        }
    }

    /// Takes a segment of the client's, with data of this length, after the SYN-ACK.
    pub(super) fn measure_client(&mut self, segment: &Segment, length: u32) {
        let acknowledged = self.reply.take_if(|&mut (_, end, _)| segment.ack.at_or_after(end));
        if let Some((sent, _, again)) = acknowledged {
            let span = segment.at.since(sent);
            DataRoundTrip { span, is_bound: again || length > 0 }.improve(&mut self.client_round_trip);
        }
    }
}

/// A SYN-ACK with another ISN than the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct OtherAnswer {
    pub(super) isn: Seq,
    pub(super) traits: SynAckTraits,
    pub(super) synack: HandshakeSegment,
    /// The transmission of the SYN (0 is the first) that its TSecr names, and the time since then.
    pub(super) answers: Option<(u8, Span)>,
}

/// Clocks of two points, as a handshake shows them.
#[derive(Debug, Clone, Copy)]
pub(in crate::handshake) struct ClockSample {
    /// The difference between the clocks.
    pub(in crate::handshake) clocks: Span,
    /// Time of a packet between the points.
    pub(in crate::handshake) under_way: Span,
    /// The handshake's first.
    pub(in crate::handshake) is_first: bool,
}
