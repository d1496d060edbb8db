//! Steps from one phase to the next that the client's segments make. All phases are written out at every step.

use super::meaning::within;
use super::{HandshakeSegment, Pending, Phase};
use crate::handshake::duplicates::REORDERING;
use crate::handshake::facts::Fact;
use crate::handshake::retransmissions::{RareRetransmissions, SHORTEST_TIMER};
use crate::packet::{Flags, OptionKind, Segment, Seq, Span, Timestamp};

impl Pending {
    pub(super) fn on_syn(&mut self, segment: &Segment) -> Phase {
        // The capture may hold a SYN a little after its answer.
        let answered_before = match self.syn {
            Some(_) => self.retry_syn(segment),
            None => {
                self.take_syn(segment);
                self.facts.has(Fact::SynLate)
            }
        };
        match self.phase {
            // The server has sent data already; see `on_proof`.
            Phase::SynReceived if self.facts.has(Fact::Established) && self.syn_payload == 0 => {
                Phase::Established
            }
            Phase::SynReceived => {
                let retried = !answered_before && self.facts.has(Fact::SynAckSeen);
                self.facts.add_if(Fact::SynRetriedAfterSynAck, retried);
                Phase::SynReceived
            }
            Phase::SynSent | Phase::Refused | Phase::Unreachable => self.phase,
            // The segment that looked like the client going on was older: it repeats its SYN.
            Phase::AnswerUnseen => Phase::SynSent,
            Phase::Established if !self.is_in_handshake() && self.syn_payload == 0 => self.disown_proof(),
            // The SYN crossed the answer, or the capture holds them out of order.
            Phase::ClientReset | Phase::Acked | Phase::Ignored | Phase::Reset | Phase::Established => {
                self.phase
            }
        }
    }

    /// The phase of a client that has sent nothing but its SYN, or an RST to what came: the server's segments which looked
    /// like proof are an older connection's, whose numbers happen to lie near this SYN's.
    #[cold]
    fn disown_proof(&mut self) -> Phase {
        [Fact::Established, Fact::AckedUnseen, Fact::SackedBeyondHole]
            .into_iter()
            .for_each(|fact| self.facts.remove(fact));
        self.facts.add(Fact::ServerOutOfWindow);
        self.facts.add(Fact::AckOutOfWindow);
        Phase::SynSent
    }

    #[inline(always)]
    pub(super) fn take_syn(&mut self, segment: &Segment) {
        let in_order = self.synack.is_none();
        let seen = in_order || segment.at.since(self.start) <= REORDERING;
        self.facts.add_if(Fact::SynSeen, seen);
        self.facts.add_if(Fact::SynLate, !in_order && seen);
        self.facts.add_if(Fact::SynWithoutOptions, !segment.options.any());
        self.facts.add_if(Fact::SynWithOptionalFeature, has_optional_feature(segment));
        self.syn = Some(HandshakeSegment::new(segment));
        if let Some((tsval, _)) = segment.options.timestamps() {
            self.client_clock.tsval = tsval;
        }
        self.syn_payload = segment.payload;
        let next = segment.seq.plus(1).plus(segment.payload);
        if in_order || next.after(self.client_next) {
            self.client_next = next;
        }
    }

    /// Takes a retry of the SYN; returns whether its answer stands before it.
    fn retry_syn(&mut self, segment: &Segment) -> bool {
        let Some(syn) = self.syn else { return false };
        let answered_before = self.is_answered_before(segment);
        let answered =
            self.facts.has(Fact::SynAckSeen) && self.syn_retransmissions().count == 0 && !answered_before;
        self.facts.add_if(Fact::FirstSynAnswered, answered);
        let cold = self.cold_mut();
        cold.syn.add(&syn, segment);
        if answered_before {
            cold.answered = u8::try_from(cold.syn.times.len()).ok();
        }
        let dropped = self.facts.has(Fact::SynWithOptionalFeature) && !has_optional_feature(segment);
        self.facts.add_if(Fact::RetryWithoutFeature, dropped && self.synack.is_none());
        answered_before
    }

    /// True if the SYN-ACK that was captured a little before this SYN names it; without timestamps, if it came so long after
    /// the first SYN and at the same moment as this one.
    fn is_answered_before(&self, syn: &Segment) -> bool {
        /// A retry and the answer to an earlier SYN hardly ever meet so closely.
        const SAME_MOMENT: Span = Span::from_millis(1);
        let (Some(first), Some(synack)) = (self.syn, self.synack) else { return false };
        let after = syn.at.since(synack.first);
        match (syn.options.timestamps(), self.cold().and_then(|cold| cold.echoes_later_syn)) {
            (Some((tsval, _)), Some(echoed)) => tsval == echoed && after <= REORDERING,
            (None, _) => after <= SAME_MOMENT && synack.first.since(first.first) >= SHORTEST_TIMER,
            (Some(_), None) => false,
        }
    }

    pub(super) fn on_ack(&mut self, segment: &Segment) -> Phase {
        self.adopt_answer(segment);
        self.take_client_segment(segment);
        match self.phase {
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived => {
                self.ack_at = Some(segment.at);
                let retransmissions = self.synack_retransmissions();
                let taken = self.synack.and_then(|synack| synack.echoed_by(retransmissions, segment));
                self.synack_to_ack = taken.map(|(_, sent)| segment.at.since(sent));
                if let Some((place, _)) = taken
                    && let Some(cold) = &mut self.cold
                {
                    cold.taken = Some(place);
                }
                if self.facts.has(Fact::Established) { Phase::Established } else { self.acked(segment.at) }
            }
            Phase::ClientReset | Phase::Acked | Phase::Ignored | Phase::Reset | Phase::Established => {
                self.ack_at = self.ack_at.or(Some(segment.at));
                self.phase
            }
        }
    }

    /// The phase that the first ACK, seen at `at`, leads to: the RST which answers it may stand before it.
    fn acked(&mut self, at: Timestamp) -> Phase {
        self.phase = Phase::Acked;
        let early = self.cold.as_mut().and_then(|cold| cold.early_rst.take());
        let Some(rst) = early.filter(|rst| at.since(rst.at) <= REORDERING) else { return self.phase };
        // A SYN-ACK before its SYN has proved that the client's direction is late.
        self.facts.add_if(Fact::RstBeforeAck, !self.facts.has(Fact::SynLate));
        let event = self.of_server(&rst);
        self.next(event, &rst)
    }

    /// Takes the SYN-ACK that the client's ACK names, if there were two with different ISNs.
    fn adopt_answer(&mut self, segment: &Segment) {
        let Some(cold) = self.cold.as_mut() else { return };
        if self.ack_at.is_some() {
            return;
        }
        let Some(other) = cold.other_answer.take() else { return };
        // Cookies and the ISN clock move on a little only: the nearer number is the one that was taken.
        let beyond = |isn: Seq| segment.ack.offset_from(isn.plus(1)).cast_unsigned();
        if beyond(other.isn) < beyond(self.server_isn) {
            self.server_isn = other.isn;
            self.traits = other.traits;
            // The retransmissions so far were those of the answer that the client did not take.
            cold.synack = RareRetransmissions::default();
            cold.answered = other.answers.map(|(place, _)| place);
            self.syn_to_synack = other.answers.map(|(_, since)| since);
            self.synack = Some(other.synack);
        }
    }

    pub(super) fn on_onward(&mut self, segment: &Segment) -> Phase {
        self.take_client_segment(segment);
        match self.phase {
            Phase::SynSent => Phase::AnswerUnseen,
            Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived
            | Phase::ClientReset
            | Phase::Acked
            | Phase::Ignored
            | Phase::Reset
            | Phase::Established => self.phase,
        }
    }

    fn take_client_segment(&mut self, segment: &Segment) {
        self.facts.add(Fact::ClientWentOn);
        self.client_segments = self.client_segments.saturating_add(1);
        let pause = segment.at.since(self.client_last);
        self.client_last = segment.at;
        if self.client_segments == 1 || segment.ack.after(self.client_ack) {
            self.client_ack = segment.ack;
        }
        if let Some(cold) = &mut self.cold {
            cold.awaits_ack = false;
        }
        let fin = segment.flags.contains(Flags::FIN);
        self.facts.add_if(Fact::ClientClosedFirst, fin && !self.facts.has(Fact::ServerSpoke));
        let length = segment.payload.saturating_add(u32::from(fin));
        if let Some(cold) = &mut self.cold {
            cold.measure_client(segment, length);
        }
        if length == 0 {
            let again = self.phase == Phase::Acked && segment.seq == self.client_next;
            let unasked = again && !self.answers_synack_again();
            self.facts.add_if(Fact::AckUnasked, unasked && pause >= SHORTEST_TIMER);
            return;
        }
        self.data_at.get_or_insert(segment.at);
        let begins_beyond = segment.seq.after(self.client_isn.plus(1).plus(self.syn_payload));
        self.facts.add_if(Fact::SentBeyond, begins_beyond && !self.facts.has(Fact::Established));
        let end = segment.seq.plus(length);
        if end.after(self.client_next) {
            self.client_next = end;
            // The capture holds both directions out of order.
            self.facts.remove(Fact::AckedUnseen);
            if let Some(cold) = &mut self.cold {
                cold.probe.get_or_insert((segment.at, end));
            }
            return;
        }
        if let Some(cold) = &mut self.cold {
            // Karn's rule (RFC 6298 §3): a retransmitted segment shows no round trip.
            cold.probe = cold.probe.filter(|&(sent, _)| segment.at.since(sent) < SHORTEST_TIMER);
        }
        // No time-out is that short: sooner it is a segment that the capture holds out of order. And a retransmission
        // has a newer timestamp than all before it.
        let again = pause > REORDERING && self.is_newer(segment, self.client_clock.tsval);
        let unanswered = matches!(self.phase, Phase::Acked | Phase::Ignored | Phase::Reset)
            || self.phase == Phase::Established && self.facts.has(Fact::SackedBeyondHole);
        if again && unanswered {
            self.data_retransmissions = self.data_retransmissions.saturating_add(1);
            self.facts.add_if(Fact::FinIgnored, self.facts.has(Fact::ClientClosedFirst));
            let cold = self.cold_mut();
            cold.resent_bytes = cold.resent_bytes.max(segment.payload);
            cold.probe = None;
        }
    }

    /// True if a repeated ACK answers a SYN-ACK after the first: each draws one, however many came in one round trip.
    fn answers_synack_again(&mut self) -> bool {
        let Some(cold) = &mut self.cold else { return false };
        let left = cold.unanswered_synacks.checked_sub(1);
        cold.unanswered_synacks = left.unwrap_or_default();
        left.is_some()
    }

    pub(super) fn on_client_out_of_window(&mut self, segment: &Segment) -> Phase {
        let wrong = self.synack.is_some() && segment.flags.contains(Flags::ACK) && self.ack_at.is_none();
        self.facts.add_if(Fact::WrongAck, wrong);
        self.phase
    }

    pub(super) fn on_client_rst(&mut self, segment: &Segment) -> Phase {
        let expected = segment.seq == self.client_isn.plus(1);
        let answers =
            expected || segment.flags.contains(Flags::ACK) && within(segment.ack, self.server_isn.plus(1));
        match self.phase {
            // Before any SYN-ACK it answers a challenge ACK of an older connection (RFC 5961 §4); but with
            // these numbers a SYN-ACK that the capture holds too late.
            Phase::SynSent | Phase::Refused | Phase::Unreachable if expected => {
                self.cold_mut().early_client_rst = Some(segment.at);
                self.phase
            }
            Phase::SynSent | Phase::Refused | Phase::Unreachable => {
                self.facts.add_if(Fact::OutOfWindowReset, self.facts.has(Fact::AckOutOfWindow));
                self.phase
            }
            Phase::AnswerUnseen => self.phase,
            // RFC 9293 §3.10.7.3: the answer to an ACK of another connection is an RST without ACK.
            Phase::Established if !self.is_in_handshake() && !segment.flags.contains(Flags::ACK) => {
                self.facts.add(Fact::OutOfWindowReset);
                self.disown_proof()
            }
            // The RST's number, or what it acknowledges, is past the handshake: that was finished, and the capture
            // lacks the packets.
            Phase::SynReceived if self.is_past_handshake(segment) => {
                self.facts.add(Fact::ClientWentOn);
                self.facts.add(Fact::ClientAborted);
                let served = segment.ack.after(self.server_isn.plus(1)) && segment.flags.contains(Flags::ACK);
                self.facts.add_if(Fact::Established, served);
                if served { Phase::Established } else { Phase::Acked }
            }
            Phase::SynReceived if answers => {
                self.facts.add(Fact::ClientWentOn);
                Phase::ClientReset
            }
            Phase::SynReceived | Phase::ClientReset => self.phase,
            Phase::Acked | Phase::Ignored | Phase::Reset | Phase::Established => {
                self.facts.add(Fact::ClientAborted);
                self.phase
            }
        }
    }
}

impl Pending {
    /// True if a client's RST has numbers that it can only have after the handshake.
    fn is_past_handshake(&self, segment: &Segment) -> bool {
        let begun = self.client_isn.plus(1).plus(self.syn_payload);
        let acknowledges = segment.flags.contains(Flags::ACK)
            && within(segment.ack, self.server_isn.plus(1))
            && segment.ack.after(self.server_isn.plus(1));
        let sent = within(segment.seq, begun) && segment.seq.after(begun);
        sent || acknowledges && within(segment.seq, self.client_isn.plus(1))
    }
}

/// True if a SYN offers a feature that some middleboxes block, and that its sender leaves out of a retry: Multipath TCP
/// (RFC 8684 §3.1), Fast Open (RFC 7413 §4.1.3), ECN (RFC 3168 §6.1.1.1).
fn has_optional_feature(segment: &Segment) -> bool {
    let layout = segment.options.layout();
    segment.flags.contains(Flags::ECE.union(Flags::CWR))
        || layout.has(OptionKind::Mptcp)
        || layout.has(OptionKind::FastOpen)
}
