//! Steps from one phase to the next that the server's segments make, RSTs apart (`resets`). All phases are written out
//! at every step.

use super::cold::OtherAnswer;
use super::{HandshakeSegment, Pending, Phase};
use crate::handshake::duplicates::REORDERING;
use crate::handshake::facts::Fact;
use crate::handshake::retransmissions::SHORTEST_TIMER;
use crate::handshake::traits::SynAckTraits;
use crate::packet::{Flags, Segment, Span, Timestamp, ticks_between};

/// A round trip with a sixteenth and a millisecond more, for jitter.
fn with_jitter(round_trip: Span) -> Span {
    round_trip.plus(round_trip.scaled(1, 16)).plus(Span::from_millis(1))
}

impl Pending {
    pub(super) fn on_synack(&mut self, segment: &Segment) -> Phase {
        if self.synack.is_some() {
            return self.on_synack_again(segment);
        }
        self.facts.add_if(Fact::Simultaneous, !segment.flags.contains(Flags::ACK));
        self.facts.add_if(Fact::RefusedBeforeSynAck, self.is_refusal_by_another(segment));
        self.take_synack(segment);
        // An RST before it was the old connection's, or another machine's.
        if let Some(cold) = &mut self.cold {
            cold.rst_at = None;
            self.facts.add_if(Fact::AnswersDiffer, cold.other_ack_ttl.is_some_and(|ttl| ttl != segment.ttl));
        }
        match self.phase {
            Phase::AnswerUnseen if self.client_ack == segment.seq.plus(1) => {
                // The capture holds the ACK before the SYN-ACK.
                self.ack_at = Some(self.client_last);
                Phase::Acked
            }
            Phase::SynSent | Phase::Refused | Phase::Unreachable if self.is_reset_before(segment.at) => {
                self.facts.add(Fact::ClientWentOn);
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

    /// True if another host than the one that sends this SYN-ACK refused the SYN before: both answer the same SYN, or their
    /// TTLs differ. A SYN sent after the RST may meet a listener that has begun meanwhile, or has room again (Windows).
    fn is_refusal_by_another(&self, synack: &Segment) -> bool {
        let Some(cold) = self.cold().filter(|_| self.phase == Phase::Refused) else { return false };
        let again = self.syn.zip(cold.rst_at).is_some_and(|(syn, rst)| syn.last(&cold.syn) > rst);
        !again || cold.refusal_ttl.is_some_and(|ttl| ttl != synack.ttl)
    }

    /// True if the client's RST to the SYN-ACK seen at `at` stands before it in the capture.
    fn is_reset_before(&self, at: Timestamp) -> bool {
        let reset = self.cold().and_then(|cold| cold.early_client_rst);
        reset.is_some_and(|reset| at.since(reset) <= REORDERING)
    }

    #[inline(always)]
    pub(super) fn take_synack(&mut self, segment: &Segment) {
        let acknowledges = segment.flags.contains(Flags::ACK);
        self.server_isn = segment.seq;
        self.answered = if acknowledges { segment.ack } else { self.client_isn.plus(1) };
        self.traits = SynAckTraits::of(segment);
        self.facts.add_if(Fact::SynAckSeen, acknowledges);
        // With its data the SYN is taken for a connection (Fast Open): it need not wait for the ACK.
        let opened = acknowledges && self.syn.is_some() && segment.ack.after(self.client_isn.plus(1));
        self.facts.add_if(Fact::Established, opened);
        self.synack = Some(HandshakeSegment::new(segment));
        let retries = self.syn_retransmissions();
        let answered = self.syn.and_then(|syn| syn.echoed_by(retries, segment));
        let later = self.syn.and_then(|syn| syn.later_echo(retries, segment));
        // The capture, or what it holds of this attempt, began after the SYN that was answered.
        let earlier = retries.count > 0 && self.syn.is_some_and(|syn| syn.is_after_echo(segment));
        self.facts.add_if(Fact::FirstSynAnswered, earlier);
        self.syn_to_synack = answered.map(|(_, sent)| segment.at.since(sent));
        if later.is_some() {
            self.syn_to_synack = None;
            self.cold_mut().echoes_later_syn = later;
        } else if let Some((place, _)) = answered
            && let Some(cold) = &mut self.cold
        {
            cold.answered = Some(place);
            let retried = cold.syn.count > 0;
            self.facts.add_if(Fact::FirstSynAnswered, retried && place == 0);
        }
    }

    fn on_synack_again(&mut self, segment: &Segment) -> Phase {
        let Some(synack) = self.synack else { return self.phase };
        // The peer of a simultaneous open has sent a SYN, and answers the client's now.
        let is_first = segment.flags.contains(Flags::ACK) && !self.facts.has(Fact::SynAckSeen);
        self.facts.add_if(Fact::SynAckSeen, is_first);
        if is_first || self.answers_doubled_syn(&synack, segment) {
            self.cold_mut().synack.add_early(segment);
            return self.phase;
        }
        let other = !SynAckTraits::of(segment).are_of_sender(self.traits);
        self.facts.add_if(Fact::RetransmittedByOther, other);
        let echoes_ack = self.echoes_ack(segment);
        let cold = self.cold_mut();
        cold.synack.add(&synack, segment);
        let unanswered = std::mem::replace(&mut cold.awaits_ack, true);
        cold.unanswered_synacks = cold.unanswered_synacks.saturating_add(1);
        let ignored_ack = !cold.synack.too_soon && self.is_after_ack(segment.at);
        self.facts.add_if(Fact::RetransmissionUnanswered, unanswered && ignored_ack);
        self.facts.add_if(Fact::EchoesAck, echoes_ack);
        self.facts.add_if(Fact::RightAckIgnored, ignored_ack && self.facts.has(Fact::AckChecksumRight));
        self.note_point_of_ack(segment, ignored_ack);
        if self.phase == Phase::Acked && !ignored_ack {
            let cold = self.cold_mut();
            cold.crossed = cold.synack.times.len();
        }
        match self.phase {
            Phase::Acked if ignored_ack => {
                self.after_ack = self.after_ack.saturating_add(1);
                self.facts.add(Fact::Contradicted);
                self.facts.add_if(Fact::DataIgnored, self.has_had_data(segment.at));
                Phase::Ignored
            }
            Phase::Ignored => {
                self.after_ack = self.after_ack.saturating_add(u16::from(ignored_ack));
                self.facts.add_if(Fact::DataIgnored, ignored_ack && self.has_had_data(segment.at));
                Phase::Ignored
            }
            Phase::Reset => {
                self.after_ack = self.after_ack.saturating_add(u16::from(ignored_ack));
                // Sooner it is a duplicate, or was on its way.
                self.facts.add_if(Fact::SynAckAfterRst, ignored_ack);
                Phase::Reset
            }
            // The RST that looked like the application's was not the server's: it never saw the ACK.
            Phase::Established if ignored_ack && self.is_reset_unproven() => {
                self.after_ack = self.after_ack.saturating_add(1);
                self.facts.add(Fact::Contradicted);
                self.facts.add(Fact::SynAckAfterRst);
                self.facts.remove(Fact::ApplicationReset);
                self.facts.remove(Fact::ResetUnserved);
                self.cold_mut().rst_at = None;
                Phase::Ignored
            }
            Phase::SynSent | Phase::Refused | Phase::Unreachable | Phase::AnswerUnseen => Phase::SynReceived,
            Phase::SynReceived | Phase::ClientReset | Phase::Acked | Phase::Established => self.phase,
        }
    }

    /// Notes whether the client's ACK had passed a second point when this SYN-ACK was repeated.
    fn note_point_of_ack(&mut self, synack: &Segment, ignored_ack: bool) {
        let sent_by = synack.at.minus(self.crossing());
        let passed = match &mut self.sightings {
            Some(sightings) => sightings.take_client_passed(),
            None => std::mem::replace(&mut self.client_duplicated, false),
        };
        if !self.has_two_points || !ignored_ack {
            return;
        }
        self.facts.add(if passed { Fact::AckAtSecondPoint } else { Fact::AckAtOnePoint });
        if let Some(sightings) = self.sightings.as_mut().filter(|_| !passed) {
            sightings.miss_ack(sent_by);
        }
    }

    /// Takes back so many ignored ACKs: the SYN-ACKs were repeated before anything of the client's had come to the server's
    /// point, and it came late.
    pub(super) fn take_back_ignored(&mut self, repeats: u16) {
        const SHOWN: [Fact; 4] =
            [Fact::Contradicted, Fact::DataIgnored, Fact::RightAckIgnored, Fact::RetransmissionUnanswered];
        if self.cold().is_some_and(|cold| cold.rst_at.is_some()) {
            return;
        }
        self.facts.remove(Fact::AckAtOnePoint);
        self.after_ack = self.after_ack.saturating_sub(repeats);
        if self.after_ack > 0 {
            return;
        }
        SHOWN.into_iter().for_each(|fact| self.facts.remove(fact));
        if self.phase == Phase::Ignored {
            self.phase = Phase::Acked;
        }
    }

    /// True if a SYN-ACK came too soon for the server's timer, and the client had not repeated its SYN: the path doubled
    /// that, or this. It is no repeat (DOMAIN §4).
    fn answers_doubled_syn(&self, synack: &HandshakeSegment, segment: &Segment) -> bool {
        let asked_once = self.syn.is_some() && self.syn_retransmissions().count == 0;
        asked_once && synack.is_doubled(self.synack_retransmissions(), segment)
    }

    /// True if an RST with ACK is the only evidence of an established connection.
    fn is_reset_unproven(&self) -> bool {
        self.facts.has(Fact::ApplicationReset) && !self.facts.has(Fact::Established)
    }

    /// True if a SYN-ACK echoes the TSval of the client's ACK, and so of none of its SYNs. Kernels before 2025 do.
    fn echoes_ack(&self, segment: &Segment) -> bool {
        let Some(((_, tsecr), syn)) = segment.options.timestamps().zip(self.syn) else { return false };
        let of_syn = syn.transmission(self.syn_retransmissions(), tsecr).is_some();
        let sent = ticks_between(self.client_clock.tsval, tsecr) <= 0;
        self.ack_at.is_some() && tsecr != 0 && syn.has_clock() && !of_syn && sent && syn.is_before(tsecr)
    }

    /// True if the server should have had the client's data, or FIN, when it sent the segment seen at `at`.
    fn has_had_data(&self, at: Timestamp) -> bool {
        // A retransmission was first sent a time-out ago.
        let sent_before = self.data_retransmissions > 0 || at.since(self.client_last) >= self.crossing();
        self.client_sent_data() && sent_before
    }

    /// True if the server should have had the ACK when it sent the SYN-ACK seen at `at`.
    fn is_after_ack(&self, at: Timestamp) -> bool {
        let Some(ack_at) = self.ack_at else { return false };
        let window = self.crossing();
        // A SYN that was repeated draws an answer of its own, one round trip later.
        let retries = self.syn_retransmissions();
        let answers_syn =
            self.syn.is_some_and(|syn| retries.count > 0 && at.since(syn.last(retries)) < window);
        at.since(ack_at) >= window && !answers_syn
    }

    /// The server-side round trip, with slack: within this after a segment of the client's, the server's crosses it.
    pub(super) fn crossing(&self) -> Span {
        // Without the SYN the round trip is unknown; no timer is shorter than this.
        const UNKNOWN_ROUND_TRIP: Span = SHORTEST_TIMER;
        let round_trip = match (self.syn_to_synack, self.syn, self.synack) {
            (Some(known), _, _) => known,
            // The SYN that was answered is unknown: take the longest round trip that is possible.
            (None, Some(syn), Some(synack)) => synack.first.since(syn.first),
            (None, _, _) => UNKNOWN_ROUND_TRIP,
        };
        with_jitter(round_trip)
    }

    /// SYN-ACKs that were retransmitted after an ACK which the server should have had by then, and whether it should have had
    /// data too, by the round trip that later packets have shown. `None` where that changes nothing.
    pub(in crate::handshake) fn ignored_by_round_trip(&self, round_trip: Span) -> Option<(u16, bool)> {
        let (synack, cold, ack_at) = (self.synack?, self.cold()?, self.ack_at?);
        let (window, syns) = (with_jitter(round_trip), &cold.syn);
        let mut before = Span::ZERO;
        let (mut ignored, mut data) = (0, false);
        for &since in cold.synack.times.iter().take(cold.crossed) {
            let at = synack.first.plus(since);
            let by_timer = since.minus(before) >= SHORTEST_TIMER;
            let draws = |sent: Timestamp| at >= sent && at.since(sent) < window;
            let drawn = self.syn.is_some_and(|syn| syn.has_sent_at(syns, draws));
            if by_timer && !drawn && at.since(ack_at) >= window {
                ignored += 1;
                data |= self.data_at.is_some_and(|sent| at.since(sent) >= window);
            }
            before = since;
        }
        (self.after_ack == 0 && ignored > 0).then_some((ignored, data))
    }

    pub(super) fn on_other_synack(&mut self, segment: &Segment) -> Phase {
        // The client's reset has ended the request: the same host answers the next SYN with a new number.
        let same_host = self.phase == Phase::ClientReset || self.explains_other_isn(segment);
        self.facts.add(if same_host { Fact::OtherIsn } else { Fact::OtherHost });
        let cold = self.cold_mut();
        cold.unanswered_synacks = cold.unanswered_synacks.saturating_add(1);
        match self.phase {
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived => {
                let (isn, traits) = (segment.seq, SynAckTraits::of(segment));
                let synack = HandshakeSegment::new(segment);
                let answers = self.syn.and_then(|syn| syn.echoed_by(self.syn_retransmissions(), segment));
                let answers = answers.map(|(place, sent)| (place, segment.at.since(sent)));
                let other = OtherAnswer { isn, traits, synack, answers };
                self.cold_mut().other_answer = Some(Box::new(other));
                Phase::SynReceived
            }
            Phase::ClientReset | Phase::Acked | Phase::Ignored | Phase::Reset | Phase::Established => {
                self.phase
            }
        }
    }

    /// True if a single Linux host explains a second SYN-ACK with another ISN: a new request after the first expired,
    /// a SYN cookie of another minute, or to two SYNs a cookie and a request, by one clock.
    fn explains_other_isn(&self, segment: &Segment) -> bool {
        /// Nanoseconds for each step of Linux' ISN clock (`seq_scale` in net/core/secure_seq.c).
        const STEP: i64 = 64;
        /// Steps that the clock may be off: 20 ms.
        const SLACK: i64 = 20_000_000 / STEP;
        let Some(synack) = self.synack else { return true };
        if !SynAckTraits::of(segment).are_of_sender(self.traits) {
            return false;
        }
        let between = segment.at.since(synack.first).as_nanos();
        let expected = self.server_isn.plus((between / STEP) as u32);
        let on_clock = i64::from(segment.seq.offset_from(expected)).abs() <= SLACK;
        // The upper byte of a cookie counts minutes (`secure_tcp_syn_cookie`), but for a carry.
        let minutes = segment.seq.offset_from(self.server_isn) as u32 >> 24;
        // The client may have, where its direction is not in the capture.
        let asked_again = self.syn.is_none() || self.syn_retransmissions().count > 0;
        on_clock || minutes <= 2 || asked_again && synack.has_clock_of(segment)
    }

    pub(super) fn on_server_out_of_window(&mut self, segment: &Segment) -> Phase {
        self.facts.add(Fact::ServerOutOfWindow);
        let ack_alone = segment.flags.contains(Flags::ACK) && !segment.flags.contains(Flags::SYN);
        self.facts.add_if(Fact::AckOutOfWindow, ack_alone);
        if ack_alone && self.synack.is_none() {
            self.cold_mut().other_ack_ttl.get_or_insert(segment.ttl);
        }
        let refuses = segment.flags.contains(Flags::RST.union(Flags::ACK)) && self.synack.is_none();
        self.facts.add_if(Fact::RstWrongAck, refuses);
        self.phase
    }

    pub(super) fn on_proof(&mut self, segment: &Segment) -> Phase {
        let spoke = segment.payload > 0 || segment.flags.contains(Flags::FIN);
        self.facts.add_if(Fact::ServerSpoke, spoke);
        let hole = segment.options.has_sacked() && !segment.ack.after(self.acknowledged());
        if segment.ack.after(self.acknowledged()) {
            self.facts.remove(Fact::SackedBeyondHole);
        }
        if hole {
            self.facts.add(Fact::SackedBeyondHole);
            let (bytes, cold) = (segment.options.sacked_bytes(), self.cold_mut());
            cold.sacked_bytes = if cold.sacked_bytes == 0 { bytes } else { cold.sacked_bytes.min(bytes) };
        }
        self.facts.add_if(Fact::AckedUnseen, segment.ack.after(self.client_next));
        let duplicated =
            self.sightings.as_ref().map_or(self.client_duplicated, |sightings| sightings.has_client_passed());
        if !duplicated {
            // The server had a segment that the second point lacks, too.
            self.facts.remove(Fact::AckAtOnePoint);
        }
        self.measure(segment);
        let waited = segment.at.since(self.client_last);
        let acknowledges = segment.ack.after(self.acknowledged());
        let late =
            acknowledges && self.after_ack > 0 && waited > self.crossing().scaled(2, 1).plus(SHORTEST_TIMER);
        let late = late && !self.facts.has(Fact::Established) && !self.echoes_unseen(segment);
        self.facts.add_if(Fact::ProofWithoutAck, late);
        match self.phase {
            Phase::Reset => {
                self.facts.add(Fact::DataAfterRst);
                Phase::Reset
            }
            Phase::ClientReset => Phase::ClientReset,
            // The RST or ICMP error was not the server's: it sends data.
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived => {
                self.facts.add(Fact::Established);
                // Fast Open lets the server send before the ACK (RFC 7413 §4.2): keep waiting for it. So
                // does a capture that holds the client's direction late.
                let late = self.syn.is_none() && segment.at.since(self.start) <= REORDERING;
                let went_on = self.facts.has(Fact::ClientWentOn);
                if went_on || self.syn_payload == 0 && !late { Phase::Established } else { self.phase }
            }
            Phase::Acked | Phase::Ignored | Phase::Established => {
                self.facts.add(Fact::Established);
                // Data before the RST's number may be out of order in the capture.
                let cold = self.cold().and_then(|cold| Some((cold.rst_at?, cold.rst_seq)));
                let late = cold.is_some_and(|(rst_at, rst_seq)| {
                    segment.seq.at_or_after(rst_seq) || segment.at.since(rst_at) > REORDERING
                });
                let differs = cold.is_none() && self.synack.is_some() && segment.ttl != self.traits.ttl;
                self.facts.add_if(Fact::TtlDiffers, differs);
                let reset = self.facts.has(Fact::ApplicationReset);
                self.facts.add_if(Fact::DataAfterRst, spoke && late && reset);
                Phase::Established
            }
        }
    }

    /// Measures the round trips of data, and the stall that this proof ends.
    fn measure(&mut self, segment: &Segment) {
        let stall = self.stall_before(segment);
        if self.cold.is_none() && stall.is_none() {
            return;
        }
        let length = segment.payload.saturating_add(u32::from(segment.flags.contains(Flags::FIN)));
        // A server that has taken the SYN's data need not wait for the ACK (Fast Open).
        let spoke_first =
            length > 0 && self.syn_payload == 0 && self.data_at.is_none() && self.after_ack == 0;
        let since_ack = self.ack_at.filter(|_| spoke_first).map(|ack_at| segment.at.since(ack_at));
        let ahead = self.synack.and_then(|synack| synack.clock_ahead(segment));
        let cold = self.cold_mut();
        cold.measure_server(segment, length, since_ack);
        cold.synack_transit = cold.synack_transit.max(ahead.unwrap_or_default());
        cold.stall = cold.stall.or(stall);
    }

    /// The time by which the server's first proof of the connection is late (DOMAIN §4, `timing.stall`): from the client's
    /// first data, or from its ACK where the server sends first, less a round trip. `None` unless a retransmission
    /// shows that the client was kept waiting, and for as long as a timer takes: sooner its segments crossed.
    ///
    /// A client that is idle and then closes has waited for nothing.
    fn stall_before(&self, proof: &Segment) -> Option<Span> {
        if self.after_ack == 0 && self.data_retransmissions == 0 || self.facts.has(Fact::Established) {
            return None;
        }
        let has_payload = proof.payload > 0;
        let since = if self.has_sent_payload() { self.data_at } else { self.ack_at.filter(|_| has_payload) }?;
        let synack_again = self.synack.map(|synack| synack.last(self.synack_retransmissions()));
        let retransmitted =
            self.data_retransmissions > 0 || self.after_ack > 0 && synack_again.is_some_and(|at| at > since);
        let waited = proof.at.since(since);
        let stall = waited.minus(self.syn_to_synack.unwrap_or(Span::ZERO)).max(Span::ZERO);
        // An answer one round trip after the first transmission needed no other.
        let is_late = stall >= SHORTEST_TIMER.scaled(1, 2);
        (retransmitted && waited >= SHORTEST_TIMER && is_late).then_some(stall)
    }

    /// True if the client sent data after its SYN, and not FIN alone.
    fn has_sent_payload(&self) -> bool {
        let begun = self.client_isn.plus(1).plus(self.syn_payload);
        let fin = u32::from(self.facts.has(Fact::ClientClosedFirst));
        self.client_next.after(begun.plus(fin))
    }
}
