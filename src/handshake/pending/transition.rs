//! Every step from one phase to the next. All phases are written out at every step.

use super::event::{Event, within};
use super::retransmissions::SHORTEST_TIMER;
use super::{HandshakeSegment, Pending, Phase, Retransmissions};
use crate::packet::{Flags, Segment, Span, Timestamp};

/// How late a capture may hold one direction (several queues, several interfaces, two mirror ports).
pub(in crate::handshake) const REORDERING: Span = Span::from_millis(50);

impl Pending {
    #[inline(always)]
    pub(super) fn next(&mut self, event: Event, segment: &Segment) -> Phase {
        match event {
            Event::Syn => self.on_syn(segment),
            Event::SynAck => self.on_synack(segment),
            Event::OtherSynAck => self.on_other_synack(segment),
            Event::Ack => self.on_ack(segment),
            Event::Onward => self.on_onward(segment),
            Event::ClientOutOfWindow => self.on_client_out_of_window(segment),
            Event::ClientRst => self.on_client_rst(segment),
            Event::Proof => self.on_proof(segment),
            Event::ServerOutOfWindow => {
                self.facts.server_out_of_window = true;
                self.phase
            }
            Event::BareAck => {
                self.facts.server_answered |= self.ack_at.is_some();
                self.phase
            }
            Event::RstAck => self.on_rst_ack(segment),
            Event::BareRst => self.on_bare_rst(segment),
            Event::EarlyRst => self.on_early_rst(segment),
        }
    }

    fn on_syn(&mut self, segment: &Segment) -> Phase {
        match self.syn {
            Some(_) => self.repeat_syn(segment),
            None => self.take_syn(segment),
        }
        match self.phase {
            // The server has announced already; see `on_proof`.
            Phase::SynReceived if self.facts.established && self.syn_payload == 0 => Phase::Established,
            Phase::SynSent | Phase::Refused | Phase::Unreachable | Phase::SynReceived => self.phase,
            // What looked like the client going on was something older: it repeats its SYN.
            Phase::AnswerUnseen => Phase::SynSent,
            // The SYN crossed the answer, or the capture holds them out of order.
            Phase::ClientReset | Phase::Acked | Phase::Ignored | Phase::Reset | Phase::Established => {
                self.phase
            }
        }
    }

    #[inline(always)]
    pub(super) fn take_syn(&mut self, segment: &Segment) {
        self.facts.syn_seen = self.synack.is_none() || segment.at.since(self.start) <= REORDERING;
        self.facts.syn_late = self.synack.is_some() && self.facts.syn_seen;
        self.facts.syn_without_options = !segment.options.any();
        self.syn = Some(HandshakeSegment::new(segment));
        self.syn_payload = segment.payload;
        let next = segment.seq.plus(1).plus(segment.payload);
        if self.synack.is_none() || next.after(self.client_next) {
            self.client_next = next;
        }
    }

    fn repeat_syn(&mut self, segment: &Segment) {
        let Some(syn) = self.syn else { return };
        self.cold_mut().syn.take(&syn, segment);
    }

    fn on_synack(&mut self, segment: &Segment) -> Phase {
        if self.synack.is_some() {
            return self.on_synack_repeat(segment);
        }
        let without_ack = !segment.flags.contains(Flags::ACK);
        self.facts.simultaneous |= without_ack;
        self.take_synack(segment);
        // An RST before it was the old connection's, or another machine's.
        self.rst_at = None;
        match self.phase {
            Phase::AnswerUnseen if self.client_ack == segment.seq.plus(1) => {
                // The capture holds the ACK before the SYN-ACK.
                self.ack_at = Some(self.client_last);
                Phase::Acked
            }
            Phase::SynSent | Phase::Refused | Phase::Unreachable if self.is_reset_before(segment.at) => {
                self.facts.client_went_on = true;
                Phase::ClientReset
            }
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived
            | Phase::ClientReset => Phase::SynReceived,
            Phase::Acked | Phase::Ignored | Phase::Reset | Phase::Established => self.phase,
        }
    }

    /// Whether the client's RST to the SYN-ACK seen at `at` stands before it in the capture.
    fn is_reset_before(&self, at: Timestamp) -> bool {
        let reset = self.cold().and_then(|cold| cold.early_client_rst);
        reset.is_some_and(|reset| at.since(reset) <= REORDERING)
    }

    #[inline(always)]
    pub(super) fn take_synack(&mut self, segment: &Segment) {
        self.server_isn = segment.seq;
        self.answered = segment.ack;
        self.synack_ttl = segment.ttl;
        self.facts.synack_seen = true;
        // With its data the SYN is taken for a connection (Fast Open): it need not wait for the ACK.
        self.facts.established |= self.syn.is_some() && segment.ack.after(self.client_isn.plus(1));
        self.synack = Some(HandshakeSegment::new(segment));
        let repeats = self.syn_repeats();
        let sent = self.syn.and_then(|syn| syn.answered_by(repeats, segment));
        self.syn_to_synack = sent.map(|sent| segment.at.since(sent));
    }

    fn on_synack_repeat(&mut self, segment: &Segment) -> Phase {
        let Some(synack) = self.synack else { return self.phase };
        self.cold_mut().synack.take(&synack, segment);
        let ignored_ack = !self.synack_repeats().too_soon && self.is_after_ack(segment.at);
        match self.phase {
            Phase::Acked if ignored_ack => {
                self.after_ack = self.after_ack.saturating_add(1);
                self.facts.contradicted = true;
                self.facts.data_ignored = self.has_had_data(segment.at);
                Phase::Ignored
            }
            Phase::Ignored => {
                self.after_ack = self.after_ack.saturating_add(u16::from(ignored_ack));
                Phase::Ignored
            }
            Phase::Reset => {
                self.after_ack = self.after_ack.saturating_add(u16::from(ignored_ack));
                // Sooner it is a copy, or was on its way.
                self.facts.synack_after_rst |= ignored_ack;
                Phase::Reset
            }
            // What looked like the application's RST was not the server's: it never saw the ACK.
            Phase::Established if ignored_ack && self.facts.application_reset && !self.facts.established => {
                self.after_ack = self.after_ack.saturating_add(1);
                self.facts.contradicted = true;
                self.facts.application_reset = false;
                self.facts.synack_after_rst = true;
                self.rst_at = None;
                Phase::Ignored
            }
            Phase::SynSent | Phase::Refused | Phase::Unreachable | Phase::AnswerUnseen => Phase::SynReceived,
            Phase::SynReceived | Phase::ClientReset | Phase::Acked | Phase::Established => self.phase,
        }
    }

    /// Whether the server should have had the client's data, or FIN, when it sent what was seen at `at`.
    fn has_had_data(&self, at: Timestamp) -> bool {
        // What is repeated was sent a time-out ago.
        let sent_before = self.facts.data_repeats > 0 || at.since(self.client_last) >= self.crossing();
        self.client_sent_data() && sent_before
    }

    /// Whether the server should have had the ACK when it sent the SYN-ACK seen at `at`.
    fn is_after_ack(&self, at: Timestamp) -> bool {
        let Some(ack_at) = self.ack_at else { return false };
        let window = self.crossing();
        // A SYN that was repeated draws an answer of its own, one round trip later.
        let repeats = self.syn_repeats();
        let answers_syn =
            self.syn.is_some_and(|syn| repeats.count > 0 && at.since(syn.last(repeats)) < window);
        at.since(ack_at) >= window && !answers_syn
    }

    /// Within this after a segment of the client's the server's crosses it: the server-side round trip.
    fn crossing(&self) -> Span {
        // Without the SYN the round trip is unknown; no timer repeats sooner than this.
        const UNKNOWN_ROUND_TRIP: Span = SHORTEST_TIMER;
        let round_trip = match (self.syn_to_synack, self.syn, self.synack) {
            (Some(known), _, _) => known,
            // Which SYN was answered is unknown: take the longest round trip it can be.
            (None, Some(syn), Some(synack)) => synack.first.since(syn.first),
            (None, _, _) => UNKNOWN_ROUND_TRIP,
        };
        // A sixteenth and a millisecond for jitter.
        round_trip.plus(round_trip.scaled(1, 16)).plus(Span::from_millis(1))
    }

    fn on_other_synack(&mut self, segment: &Segment) -> Phase {
        match self.phase {
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived => {
                self.cold_mut().other_answer =
                    Some((segment.seq, segment.ttl, HandshakeSegment::new(segment)));
                Phase::SynReceived
            }
            Phase::ClientReset | Phase::Acked | Phase::Ignored | Phase::Reset | Phase::Established => {
                self.phase
            }
        }
    }

    fn on_ack(&mut self, segment: &Segment) -> Phase {
        self.adopt_answer(segment);
        self.note_client(segment);
        match self.phase {
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived => {
                self.ack_at = Some(segment.at);
                let repeats = self.synack_repeats();
                let sent = self.synack.and_then(|synack| synack.answered_by(repeats, segment));
                self.synack_to_ack = sent.map(|sent| segment.at.since(sent));
                if self.facts.established { Phase::Established } else { self.acked(segment.at) }
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
        self.facts.rst_before_ack = !self.facts.syn_late;
        let event = self.of_server(&rst);
        self.next(event, &rst)
    }

    /// The client's ACK tells which of two answers it took.
    fn adopt_answer(&mut self, segment: &Segment) {
        let Some(cold) = self.cold.as_mut() else { return };
        let Some((isn, ttl, offer)) = cold.other_answer.take() else { return };
        if !within(segment.ack, self.server_isn.plus(1)) {
            self.server_isn = isn;
            self.synack_ttl = ttl;
            // The repeats so far were those of the answer that the client did not take.
            cold.synack = Retransmissions::default();
            self.synack = Some(offer);
        }
    }

    fn on_onward(&mut self, segment: &Segment) -> Phase {
        self.note_client(segment);
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

    fn note_client(&mut self, segment: &Segment) {
        self.facts.client_went_on = true;
        self.client_segments = self.client_segments.saturating_add(1);
        let pause = segment.at.since(self.client_last);
        self.client_last = segment.at;
        if self.client_segments == 1 || segment.ack.after(self.client_ack) {
            self.client_ack = segment.ack;
        }
        let fin = u32::from(segment.flags.contains(Flags::FIN));
        let length = segment.payload.saturating_add(fin);
        if length == 0 {
            return;
        }
        let end = segment.seq.plus(length);
        if end.after(self.client_next) {
            self.client_next = end;
        // No time-out is that short: sooner it is a segment that the capture holds out of order.
        } else if pause > REORDERING && matches!(self.phase, Phase::Acked | Phase::Ignored | Phase::Reset) {
            self.facts.data_repeats = self.facts.data_repeats.saturating_add(1);
        }
    }

    fn on_client_out_of_window(&mut self, segment: &Segment) -> Phase {
        let wrong = self.synack.is_some() && segment.flags.contains(Flags::ACK) && self.ack_at.is_none();
        self.facts.wrong_ack |= wrong;
        self.phase
    }

    fn on_client_rst(&mut self, segment: &Segment) -> Phase {
        let answers = segment.seq == self.client_isn.plus(1)
            || segment.flags.contains(Flags::ACK) && within(segment.ack, self.server_isn.plus(1));
        match self.phase {
            // Before any SYN-ACK it answers a challenge ACK of an older connection (RFC 5961 §4); but with
            // these numbers a SYN-ACK that the capture holds too late.
            Phase::SynSent | Phase::Refused | Phase::Unreachable
                if segment.seq == self.client_isn.plus(1) =>
            {
                self.cold_mut().early_client_rst = Some(segment.at);
                self.phase
            }
            Phase::SynSent | Phase::Refused | Phase::Unreachable | Phase::AnswerUnseen => self.phase,
            Phase::SynReceived if answers => {
                self.facts.client_went_on = true;
                Phase::ClientReset
            }
            Phase::SynReceived | Phase::ClientReset => self.phase,
            Phase::Acked | Phase::Ignored | Phase::Reset | Phase::Established => {
                self.facts.client_aborted = true;
                self.phase
            }
        }
    }

    fn on_proof(&mut self, segment: &Segment) -> Phase {
        let spoke = segment.payload > 0 || segment.flags.contains(Flags::FIN);
        self.facts.server_spoke |= spoke;
        match self.phase {
            Phase::Reset => {
                self.facts.data_after_rst = true;
                Phase::Reset
            }
            Phase::ClientReset => Phase::ClientReset,
            // Refused and unreachable were somebody else's words; the server goes on.
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived => {
                self.facts.established = true;
                // Fast Open lets the server speak before the ACK (RFC 7413 §4.2): keep waiting for it. So
                // does a capture that holds the client's direction late.
                let late = self.syn.is_none() && segment.at.since(self.start) <= REORDERING;
                if self.facts.client_went_on || self.syn_payload == 0 && !late {
                    Phase::Established
                } else {
                    self.phase
                }
            }
            Phase::Acked | Phase::Ignored | Phase::Established => {
                self.facts.established = true;
                // Sooner the capture holds them out of order.
                let late = self.rst_at.is_some_and(|rst| segment.at.since(rst) > REORDERING);
                self.facts.data_after_rst |= spoke && late && self.facts.application_reset;
                Phase::Established
            }
        }
    }

    fn on_rst_ack(&mut self, segment: &Segment) -> Phase {
        match self.phase {
            Phase::SynSent | Phase::Refused if self.covers_syn(segment.ack) => {
                self.rst_at.get_or_insert(segment.at);
                Phase::Refused
            }
            Phase::Acked | Phase::Ignored | Phase::Established => {
                self.note_rst(segment);
                self.facts.rst_window_open = segment.window != 0;
                self.facts.rst_ttl_differs = self.synack.is_some() && segment.ttl != self.synack_ttl;
                // Later it ends an idle connection.
                self.facts.application_reset |= !self.facts.server_spoke
                    && !self.facts.client_aborted
                    && !self.is_long_after_ack(segment)
                    && self.is_soon_after(self.client_last, segment);
                // Before a connection is accepted there is no window to tell of.
                let accepted =
                    self.phase == Phase::Ignored && segment.window != 0 && !self.facts.synack_after_rst;
                self.facts.established |= accepted || segment.ack.after(self.acknowledged());
                Phase::Established
            }
            Phase::SynReceived => self.on_early_rst(segment),
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::ClientReset
            | Phase::Reset => self.phase,
        }
    }

    /// An RST before any ACK: kept for the ACK that it answers, should that come presently.
    fn on_early_rst(&mut self, segment: &Segment) -> Phase {
        match self.phase {
            Phase::SynReceived => {
                self.cold_mut().early_rst = Some(Box::new(*segment));
                self.phase
            }
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::ClientReset
            | Phase::Acked
            | Phase::Ignored
            | Phase::Reset
            | Phase::Established => self.phase,
        }
    }

    fn on_bare_rst(&mut self, segment: &Segment) -> Phase {
        self.server_rsts = self.server_rsts.saturating_add(1);
        match self.phase {
            // It ends an idle connection, or answers the data that woke it up.
            Phase::Acked if self.is_long_after_ack(segment) && !self.facts.ignored_data() => Phase::Acked,
            Phase::Acked if !self.is_soon_after(self.client_last, segment) => Phase::Acked,
            Phase::Acked => {
                self.note_rst(segment);
                self.facts.contradicted = true;
                self.facts.rst_answers_segment = self.client_segments;
                self.facts.rst_to_first_ack = self.rst_answers_first_ack(segment);
                self.facts.rst_kernel_form = segment.window == 0 && !segment.options.any();
                self.facts.rst_ttl_differs = segment.ttl != self.synack_ttl;
                Phase::Reset
            }
            // After repeats it only says that the request has expired.
            Phase::Ignored => {
                self.note_rst(segment);
                Phase::Ignored
            }
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived
            | Phase::ClientReset
            | Phase::Reset
            | Phase::Established => self.phase,
        }
    }

    /// The first ACK, or data that left with it.
    fn rst_answers_first_ack(&self, segment: &Segment) -> bool {
        self.client_segments == 1 || self.ack_at.is_some_and(|ack| self.is_soon_after(ack, segment))
    }

    /// Whether the server's `segment` can be its answer to what the client sent at `sent`.
    fn is_soon_after(&self, sent: Timestamp, segment: &Segment) -> bool {
        /// Where the SYN is missing: longer than any path's.
        const UNKNOWN_ROUND_TRIP: Span = Span::from_secs(1);
        let round_trip = self.syn_to_synack.unwrap_or(UNKNOWN_ROUND_TRIP).max(Span::ZERO);
        // Twice that and 200 ms: Linux' shortest retransmission time-out comes later.
        segment.at.since(sent) <= round_trip.scaled(2, 1).plus(SHORTEST_TIMER)
    }

    /// Whether the server's `segment` comes so long after the ACK that a listener which ignored that would have repeated
    /// SYN-ACK meanwhile.
    fn is_long_after_ack(&self, segment: &Segment) -> bool {
        /// The first repeat is due after a second (RFC 6298 §2.1), and timers are late.
        const FIRST_REPEAT: Span = Span::from_millis(1200);
        self.ack_at.is_some_and(|ack| segment.at.since(ack) >= FIRST_REPEAT.plus(self.crossing()))
    }

    fn note_rst(&mut self, segment: &Segment) {
        let after = segment.at.since(self.client_last);
        self.rst_at.get_or_insert(segment.at);
        self.ack_to_rst.get_or_insert(after);
    }
}
