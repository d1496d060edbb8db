//! State that few attempts need, kept apart from the others' and boxed.

use crate::handshake::attempt::IcmpAnswer;
use crate::handshake::retransmissions::{HandshakeSegment, Retransmissions};
use crate::handshake::traits::SynAckTraits;
use crate::packet::{Segment, Seq, Span, Timestamp};

/// Rarely needed state, boxed to keep `Pending` small.
#[derive(Debug, Clone, Default)]
pub(in crate::handshake) struct ColdState {
    pub(in crate::handshake) syn: Retransmissions,
    pub(in crate::handshake) synack: Retransmissions,
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
    /// The server's first RST that counts.
    pub(in crate::handshake) rst_at: Option<Timestamp>,
    /// Its number.
    pub(super) rst_seq: Seq,
    /// From the client's latest segment to that RST.
    pub(in crate::handshake) ack_to_rst: Option<Span>,
    /// Bytes of the largest data segment that was retransmitted.
    pub(in crate::handshake) resent_bytes: u32,
    /// The server's RSTs so far.
    pub(in crate::handshake) server_rsts: u16,
    /// From the SYN to its duplicate before the SYN-ACK: the way between two points of the capture.
    pub(in crate::handshake) syn_under_way: Span,
    /// From the SYN-ACK to its latest duplicate before the ACK: the way between two points of one capture.
    pub(in crate::handshake) synack_under_way: Span,
    /// The clocks of its points were compared.
    pub(super) clocks_compared: bool,
    /// A SYN-ACK was retransmitted and the client has not sent anything since.
    pub(super) awaits_ack: bool,
    /// The transmission of the SYN (0 is the first) that the SYN-ACK's TSecr names.
    pub(in crate::handshake) answered: Option<u8>,
    /// The SYN-ACK's TSecr, if it names a later SYN than those before it: the capture holds the two out of order.
    pub(super) echoes_later_syn: Option<u32>,
    /// The transmission of the SYN-ACK (0 is the first) that the first ACK's TSecr names.
    pub(in crate::handshake) taken: Option<u8>,
    /// The client's first data after a retry: when it was sent, and the number that acknowledges it.
    pub(super) probe: Option<(Timestamp, Seq)>,
    /// The round trip of that data.
    pub(in crate::handshake) round_trip: Option<Span>,
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

/// A SYN-ACK with another ISN than the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct OtherAnswer {
    pub(super) isn: Seq,
    pub(super) traits: SynAckTraits,
    pub(super) synack: HandshakeSegment,
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
