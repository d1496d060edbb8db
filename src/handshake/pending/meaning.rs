//! Meanings that a segment can have to an attempt, and the tests of flags and numbers behind them.

use crate::packet::{Flags, Segment, Seq};

/// The meaning of a segment to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// SYN with the attempt's ISN.
    Syn,
    /// A segment from the client that proves it saw the SYN-ACK.
    Ack,
    /// A segment from the client after its SYN, while no SYN-ACK is in the capture.
    Onward,
    /// A segment from the client whose numbers do not fit.
    ClientOutOfWindow,
    /// RST from the client.
    ClientRst,
    /// SYN-ACK, the first or a retransmission.
    SynAck,
    /// SYN-ACK with another server ISN: another answer, not a retransmission.
    OtherSynAck,
    /// Data, FIN, an ACK beyond the SYN, or a SACK block from the server.
    Proof,
    /// A segment from the server that proves nothing.
    ServerOutOfWindow,
    /// An ACK from the server that fits, and acknowledges nothing beyond the SYN.
    BareAck,
    /// RST with ACK that covers the SYN, or the FIN and data after it.
    RstAck,
    /// RST without ACK whose sequence number is the one the client acknowledged.
    BareRst,
    /// RST without ACK whose sequence number is the one the client will acknowledge.
    EarlyRst,
}

/// A segment whose numbers are this far past the SYN's belongs to another connection.
const PLAUSIBLE: i32 = 1 << 30;

/// True if `ack` answers a SYN with this ISN and payload: ISN + 1, up to its payload more.
pub(in crate::handshake) fn answers_syn(ack: Seq, isn: Seq, payload: u32) -> bool {
    let past = ack.offset_from(isn.plus(1));
    u32::try_from(past).is_ok_and(|past| past <= payload)
}

/// True if `number` is `base` or plausibly later.
pub(super) fn within(number: Seq, base: Seq) -> bool {
    (0..PLAUSIBLE).contains(&number.offset_from(base))
}

/// SYN without ACK (and without RST and FIN, which no stack sends with it).
pub(in crate::handshake) fn is_syn(segment: &Segment) -> bool {
    segment.flags.contains(Flags::SYN)
        && !segment.flags.intersects(Flags::ACK.union(Flags::RST).union(Flags::FIN))
}

/// SYN and ACK together.
pub(in crate::handshake) fn is_synack(segment: &Segment) -> bool {
    segment.flags.contains(Flags::SYN.union(Flags::ACK)) && !segment.flags.contains(Flags::RST)
}

/// RST without ACK: the answer to a segment that has ACK (RFC 9293 §3.10.7.1).
pub(super) fn is_bare_rst(segment: &Segment) -> bool {
    segment.flags.contains(Flags::RST) && !segment.flags.contains(Flags::ACK)
}
