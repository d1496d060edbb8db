//! The meaning of a segment to an attempt, by its flags and sequence numbers.

use super::Pending;
use super::meaning::{Meaning, answers_syn, is_syn, within};
use crate::handshake::facts::Fact;
use crate::packet::{Flags, Segment, Seq};

/// Most bytes by which a segment may be apart from what is known of a connection whose SYN-ACK is missing; beyond
/// it is an older connection's. Of those one in 65,536 is as close by chance.
const MAX_MISSED: i32 = 1 << 16;

impl Pending {
    #[inline(always)]
    pub(super) fn of_client(&self, segment: &Segment) -> Meaning {
        let flags = segment.flags;
        if flags.contains(Flags::RST) {
            return Meaning::ClientRst;
        }
        if is_syn(segment) {
            return Meaning::Syn;
        }
        let begun = within(segment.seq, self.client_isn.plus(1));
        if !flags.contains(Flags::ACK) || !(begun || self.is_simultaneous_synack(segment)) {
            return Meaning::ClientOutOfWindow;
        }
        match self.synack {
            None if self.facts.has(Fact::Simultaneous) && within(segment.ack, self.server_isn.plus(1)) => {
                Meaning::Ack
            }
            None if self.goes_on_with_older(segment) => Meaning::ClientOutOfWindow,
            None => Meaning::Onward,
            Some(_) if within(segment.ack, self.server_isn.plus(1)) => Meaning::Ack,
            Some(_) => match self.cold().and_then(|cold| cold.other_answer.as_deref()) {
                Some(other) if within(segment.ack, other.isn.plus(1)) => Meaning::Ack,
                Some(_) | None => Meaning::ClientOutOfWindow,
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
    pub(super) fn of_server(&self, segment: &Segment) -> Meaning {
        let flags = segment.flags;
        if flags.contains(Flags::RST) {
            return self.of_server_rst(segment);
        }
        let has_ack = flags.contains(Flags::ACK);
        if flags.contains(Flags::SYN) {
            let simultaneous = self.facts.has(Fact::Simultaneous);
            return match (has_ack, self.synack) {
                (false, _) => Meaning::SynAck,
                (true, _) if !self.covers_syn(segment.ack) => Meaning::ServerOutOfWindow,
                (true, None) if simultaneous && segment.seq != self.server_isn => Meaning::OtherSynAck,
                (true, Some(_)) if segment.seq != self.server_isn => Meaning::OtherSynAck,
                (true, _) => Meaning::SynAck,
            };
        }
        if !has_ack || !self.continues(segment) {
            return Meaning::ServerOutOfWindow;
        }
        let sends = segment.payload > 0 || flags.contains(Flags::FIN);
        let beyond = segment.ack.after(self.acknowledged()) || segment.options.has_sacked();
        if sends || beyond { Meaning::Proof } else { Meaning::BareAck }
    }

    fn of_server_rst(&self, segment: &Segment) -> Meaning {
        if segment.flags.contains(Flags::ACK) {
            // Covers the SYN, or something the client sent since.
            let fits = within(segment.ack, self.client_isn.plus(1));
            return if fits { Meaning::RstAck } else { Meaning::ServerOutOfWindow };
        }
        if self.ack_at.is_none() {
            let early = self.synack.is_some() && segment.seq == self.server_isn.plus(1);
            // An RST to the ACK of a SYN-ACK that is missing from the capture: its sender is unknown.
            let unseen = self.client_segments > 0 && segment.seq == self.client_ack;
            return match (early, unseen) {
                (true, _) => Meaning::EarlyRst,
                (false, true) => Meaning::BareAck,
                (false, false) => Meaning::ServerOutOfWindow,
            };
        }
        let answers_ack =
            segment.seq.at_or_after(self.server_isn.plus(1)) && self.client_ack.at_or_after(segment.seq);
        if answers_ack { Meaning::BareRst } else { Meaning::ServerOutOfWindow }
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
            // Without the SYN-ACK the client's numbers decide, and the server's, if the client has acknowledged any. The
            // capture may lack other segments, too, or hold repeats of what was acknowledged: numbers of an older
            // connection are not that close by chance.
            None => {
                let missed = segment.ack.offset_from(self.client_next);
                let first = Seq(self.client_ack.0.wrapping_sub(MAX_MISSED.cast_unsigned()));
                let of_server = self.client_segments == 0 || within(segment.seq, first);
                // An answer to a SYN that the client sent again proves nothing when it comes once more.
                let of_older = missed > 0 && !self.is_in_handshake() && self.facts.has(Fact::AckOutOfWindow);
                knows_client && of_server && missed <= MAX_MISSED && !of_older
            }
        }
    }

    /// True if the capture has the SYN-ACK, or a segment of the client's after it. Until then what the server sends may be an
    /// older connection's, by numbers that happen to lie near the SYN's.
    pub(super) fn is_in_handshake(&self) -> bool {
        self.synack.is_some() || self.facts.has(Fact::ClientWentOn)
    }

    /// True if a client segment goes on with an older connection between the same ports, which has answered this SYN. A quarter
    /// of all numbers lie after this attempt's; its own, whose SYN-ACK is missing, lie near the SYN's.
    fn goes_on_with_older(&self, segment: &Segment) -> bool {
        self.facts.has(Fact::AckOutOfWindow) && segment.seq.offset_from(self.client_next) > MAX_MISSED
    }

    /// Bytes of data that the client has sent so far, by its highest number.
    pub(in crate::handshake) fn sent_bytes(&self) -> u32 {
        let begin = self.client_isn.plus(1);
        if within(self.client_next, begin) { self.client_next.offset_from(begin).cast_unsigned() } else { 0 }
    }

    /// The number that the server had acknowledged with its SYN-ACK; more than that proves the ACK arrived.
    pub(super) fn acknowledged(&self) -> Seq {
        // A simultaneous open's first answer is a plain SYN, and one out of the capture is unknown.
        let known = self.synack.is_some() && !self.facts.has(Fact::Simultaneous);
        if known { self.answered } else { self.client_isn.plus(1).plus(self.syn_payload) }
    }
}
