//! The meaning of a segment to an attempt, by its sequence numbers.

use super::Pending;
use crate::handshake::facts::Fact;
use crate::packet::{Flags, Segment, Seq};

/// The meaning of a segment to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
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

impl Pending {
    #[inline(always)]
    pub(super) fn of_client(&self, segment: &Segment) -> Event {
        let flags = segment.flags;
        if flags.contains(Flags::RST) {
            return Event::ClientRst;
        }
        if is_syn(segment) {
            return Event::Syn;
        }
        let begun = within(segment.seq, self.client_isn.plus(1));
        if !flags.contains(Flags::ACK) || !(begun || self.is_simultaneous_synack(segment)) {
            return Event::ClientOutOfWindow;
        }
        match self.synack {
            None if self.facts.has(Fact::Simultaneous) && within(segment.ack, self.server_isn.plus(1)) => {
                Event::Ack
            }
            None => Event::Onward,
            Some(_) if within(segment.ack, self.server_isn.plus(1)) => Event::Ack,
            Some(_) => match self.cold().and_then(|cold| cold.other_answer) {
                Some(other) if within(segment.ack, other.isn.plus(1)) => Event::Ack,
                Some(_) | None => Event::ClientOutOfWindow,
            },
        }
    }

    /// True if `segment` is the client's SYN-ACK of a simultaneous open, whose ISN is that of its SYN.
    fn is_simultaneous_synack(&self, segment: &Segment) -> bool {
        self.facts.has(Fact::Simultaneous)
            && segment.flags.contains(Flags::SYN)
            && segment.seq == self.client_isn
    }

    #[inline(always)]
    pub(super) fn of_server(&self, segment: &Segment) -> Event {
        let flags = segment.flags;
        if flags.contains(Flags::RST) {
            return self.of_server_rst(segment);
        }
        let has_ack = flags.contains(Flags::ACK);
        if flags.contains(Flags::SYN) {
            let simultaneous = self.facts.has(Fact::Simultaneous);
            return match (has_ack, self.synack) {
                (false, _) => Event::SynAck,
                (true, _) if !self.covers_syn(segment.ack) => Event::ServerOutOfWindow,
                (true, None) if simultaneous && segment.seq != self.server_isn => Event::OtherSynAck,
                (true, Some(_)) if segment.seq != self.server_isn => Event::OtherSynAck,
                (true, _) => Event::SynAck,
            };
        }
        if !has_ack || !self.continues(segment) {
            return Event::ServerOutOfWindow;
        }
        let speaks = segment.payload > 0 || flags.contains(Flags::FIN);
        let beyond = segment.ack.after(self.acknowledged()) || segment.options.has_sacked();
        if speaks || beyond { Event::Proof } else { Event::BareAck }
    }

    fn of_server_rst(&self, segment: &Segment) -> Event {
        if segment.flags.contains(Flags::ACK) {
            // Covers the SYN, or something the client sent since.
            let fits = within(segment.ack, self.client_isn.plus(1));
            return if fits { Event::RstAck } else { Event::ServerOutOfWindow };
        }
        if self.ack_at.is_none() {
            let early = self.synack.is_some() && segment.seq == self.server_isn.plus(1);
            return if early { Event::EarlyRst } else { Event::ServerOutOfWindow };
        }
        let answers_ack =
            segment.seq.at_or_after(self.server_isn.plus(1)) && self.client_ack.at_or_after(segment.seq);
        if answers_ack { Event::BareRst } else { Event::ServerOutOfWindow }
    }

    /// True if an acknowledgment number answers the SYN.
    pub(super) fn covers_syn(&self, ack: Seq) -> bool {
        answers_syn(ack, self.client_isn, self.syn_payload)
    }

    /// True if a server segment carries on from this attempt's numbers, and not from those of an older connection
    /// between the same ports.
    fn continues(&self, segment: &Segment) -> bool {
        let knows_client = within(segment.ack, self.client_isn.plus(1));
        match self.synack {
            Some(_) => knows_client && within(segment.seq, self.server_isn.plus(1)),
            // Without the SYN-ACK only what the client is known to have sent can be trusted.
            None => knows_client && self.client_next.at_or_after(segment.ack),
        }
    }

    /// The number that the server had acknowledged with its SYN-ACK; more than that proves the ACK arrived.
    pub(super) fn acknowledged(&self) -> Seq {
        // A simultaneous open's first answer is a plain SYN, and one out of the capture is unknown.
        let known = self.synack.is_some() && !self.facts.has(Fact::Simultaneous);
        if known { self.answered } else { self.client_isn.plus(1).plus(self.syn_payload) }
    }
}

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
