//! Steps from one phase to the next that the server's RSTs make. All phases are written out at every step.

use super::meaning::is_bare_rst;
use super::{Pending, Phase};
use crate::handshake::facts::Fact;
use crate::handshake::retransmissions::SHORTEST_TIMER;
use crate::handshake::round_trips::ClientSeen;
use crate::handshake::traits::SynAckTraits;
use crate::packet::{Flags, Segment, Span, Timestamp};

/// Round trips up to this are those of a burst on a short path, too: its SYNs wait in queues, and the RSTs do not.
const BURST: Span = Span::from_millis(2);

/// The kernel's RST follows the ACK within this, near the server (DOMAIN §3).
const KERNEL_RST: Span = Span::from_micros(100);

impl Pending {
    pub(super) fn on_rst_ack(&mut self, segment: &Segment) -> Phase {
        match self.phase {
            Phase::SynSent | Phase::Refused if self.covers_syn(segment.ack) => self.take_refusal(segment),
            // The client ignores it (RFC 9293 §3.10.7.3).
            Phase::SynSent | Phase::Refused => {
                self.facts.add(Fact::RstWrongAck);
                self.facts.add(Fact::ServerOutOfWindow);
                self.phase
            }
            Phase::Acked | Phase::Ignored | Phase::Established => {
                self.on_connection_reset(segment);
                // A reset that acknowledges nothing of repeatedly sent data leaves the attempt ignored.
                if self.facts.has(Fact::ResetAfterIgnoredData) { self.phase } else { Phase::Established }
            }
            // The RST acknowledges data: the handshake was finished, and the capture lacks the packets.
            Phase::SynReceived if segment.ack.after(self.acknowledged()) => {
                self.take_rst(segment);
                self.facts.add(Fact::ClientWentOn);
                self.facts.add(Fact::Established);
                Phase::Established
            }
            Phase::SynReceived if self.refuses_retry(segment) => self.take_refusal(segment),
            Phase::SynReceived => self.on_early_rst(segment),
            Phase::Unreachable | Phase::AnswerUnseen | Phase::ClientReset | Phase::Reset => self.phase,
        }
    }

    /// True if an RST with ACK answers a SYN that the client has repeated after the SYN-ACK, which it so did not take: it takes
    /// the RST.
    fn refuses_retry(&self, rst: &Segment) -> bool {
        let retried = self.syn.filter(|_| self.facts.has(Fact::SynRetriedAfterSynAck));
        let sent = retried.map(|syn| syn.last(self.syn_retransmissions()));
        self.covers_syn(rst.ack) && sent.is_some_and(|sent| self.is_soon_after(sent, rst))
    }

    fn take_refusal(&mut self, rst: &Segment) -> Phase {
        let cold = self.cold_mut();
        cold.rst_at.get_or_insert(rst.at);
        let first = *cold.refusal_ttl.get_or_insert(rst.ttl);
        self.facts.add_if(Fact::AnswersDiffer, first != rst.ttl);
        Phase::Refused
    }

    /// The traits of the SYN-ACK; of an RST that refused the SYN its TTL alone.
    pub(in crate::handshake) fn answer_traits(&self) -> SynAckTraits {
        let refused = self.cold().and_then(|cold| cold.refusal_ttl).filter(|_| self.synack.is_none());
        refused.map_or(self.traits, |ttl| SynAckTraits { ttl, ..SynAckTraits::default() })
    }

    /// RST with ACK after the handshake: from the application, a closing listener, or somebody on the path.
    fn on_connection_reset(&mut self, segment: &Segment) {
        self.take_rst(segment);
        let acknowledges = segment.ack.after(self.acknowledged());
        let facts = &mut self.facts;
        facts.add_if(Fact::RstWindowOpen, segment.window != 0);
        facts.add_if(Fact::TtlDiffers, self.synack.is_some() && segment.ttl != self.traits.ttl);
        // Data that the capture lacks shows in the numbers.
        let beyond = self.synack.is_some() && segment.seq.after(self.server_isn.plus(1));
        let spoke = facts.has(Fact::ServerSpoke) || beyond;
        let unserved = !spoke && !facts.has(Fact::ClientAborted);
        facts.add_if(Fact::ResetUnserved, unserved);
        let ignored = self.data_retransmissions > 0 && !acknowledges && self.phase == Phase::Acked;
        if ignored && unserved {
            self.facts.add(Fact::ResetAfterIgnoredData);
            return;
        }
        // Later it ends an idle connection; after the client's FIN it answers that.
        let soon = !self.is_long_after_ack(segment) && self.is_soon_after(self.client_last, segment);
        let closed = self.facts.has(Fact::ClientClosedFirst);
        self.facts.add_if(Fact::ApplicationReset, unserved && soon && !closed);
        self.facts.add_if(Fact::RstAfterData, self.data_at.is_some() || acknowledges);
        // Before a connection is accepted there is no window to advertise.
        let accepted =
            self.phase == Phase::Ignored && segment.window != 0 && !self.facts.has(Fact::SynAckAfterRst);
        self.facts.add_if(Fact::Established, accepted || acknowledges);
    }

    /// Takes an RST captured before any ACK, and keeps it until the ACK that it may answer.
    pub(super) fn on_early_rst(&mut self, segment: &Segment) -> Phase {
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

    pub(super) fn on_bare_rst(&mut self, segment: &Segment) -> Phase {
        let cold = self.cold_mut();
        cold.server_rsts = cold.server_rsts.saturating_add(1);
        let beyond = self.facts.has(Fact::SentBeyond) && self.is_soon_after(self.client_last, segment);
        match self.phase {
            // The RST answers data, or a FIN after data, that a full queue ignored before (DOMAIN §4, `ack-ignored`).
            Phase::Acked if self.data_retransmissions > 0 || beyond => {
                self.take_rst(segment);
                self.facts.add_if(Fact::RstAfterBeyond, beyond);
                self.facts.add(Fact::ResetAfterIgnoredData);
                Phase::Acked
            }
            Phase::Acked if self.answers_wrong_number(segment) => self.take_back_ack(),
            Phase::Acked if self.answers_unknown_fin(segment) => {
                self.take_rst(segment);
                self.facts.add(Fact::ResetAfterIgnoredData);
                Phase::Acked
            }
            // The RST ends an idle connection, or answers the data that followed the idle time.
            Phase::Acked if self.is_long_after_ack(segment) => Phase::Acked,
            Phase::Acked if !self.is_soon_after(self.client_last, segment) => Phase::Acked,
            Phase::Acked => {
                let seen = self.take_rst(segment);
                self.facts.add(Fact::Contradicted);
                self.rst_answers_segment = self.client_segments;
                self.facts.add_if(Fact::RstToFirstAck, self.rst_answers_first_ack(segment, &seen));
                self.facts.add_if(Fact::RstToFirstByte, segment.seq == self.server_isn.plus(1));
                self.facts.add_if(Fact::RstKernelForm, segment.window == 0 && !segment.options.any());
                self.facts.add_if(Fact::TtlDiffers, segment.ttl != self.traits.ttl);
                Phase::Reset
            }
            // After retransmissions it only shows that the request has expired.
            Phase::Ignored => {
                self.take_rst(segment);
                Phase::Ignored
            }
            Phase::Reset => {
                let all = self.has_reset_all(segment);
                self.facts.add_if(Fact::RstToFirstAck, all);
                Phase::Reset
            }
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived
            | Phase::ClientReset
            | Phase::Established => self.phase,
        }
    }

    /// True if a bare RST has the number beyond ISN + 1 that the client acknowledged at once, of which the server had sent
    /// nothing: it is the answer to an ACK that is not acceptable (RFC 9293 §3.10.7.4), after which the request lives on.
    fn answers_wrong_number(&self, rst: &Segment) -> bool {
        /// The ACK, and data that left with it.
        const FIRST: u16 = 2;
        let beyond = rst.seq.after(self.server_isn.plus(1)) && rst.seq == self.client_ack;
        beyond && self.client_segments <= FIRST && !self.facts.has(Fact::ServerSpoke)
    }

    /// True if a bare RST answers the FIN of a client that had waited in vain: the server knows of no connection (DOMAIN §2 D).
    fn answers_unknown_fin(&self, rst: &Segment) -> bool {
        /// Shortest time after which somebody on the path may forget a connection that is idle.
        const IDLE: Span = Span::from_secs(60);
        self.facts.has(Fact::ClientClosedFirst)
            && !self.facts.has(Fact::ServerAnswered)
            && self.is_long_after_ack(rst)
            && self.is_soon_after(self.client_last, rst)
            && self.ack_at.is_some_and(|ack| rst.at.since(ack) < IDLE)
    }

    /// Takes the client's ACK for none: it was of another number than the SYN-ACK offered.
    fn take_back_ack(&mut self) -> Phase {
        self.facts.add(Fact::WrongAck);
        (self.ack_at, self.data_at, self.synack_to_ack) = (None, None, None);
        self.client_segments = 0;
        Phase::SynReceived
    }

    /// True if the RST answers the first ACK: it comes sooner after later segments than the server can answer those.
    fn rst_answers_first_ack(&self, rst: &Segment, seen: &ClientSeen) -> bool {
        let later = rst.at.since(seen.data.unwrap_or(seen.last));
        let too_soon = seen.round_trip.is_some_and(|round_trip| later < round_trip.scaled(3, 4));
        // Short round trips vary by more than a quarter.
        let is_at_once =
            |round_trip: Span| seen.ack.is_some_and(|ack| rst.at.since(ack) <= round_trip.plus(KERNEL_RST));
        let in_time = match seen.round_trip {
            Some(short) if short <= BURST => is_at_once(short),
            _ => self.is_soon_after_ack(rst.at, seen),
        };
        self.client_segments == 1 || too_soon && in_time
    }

    /// True if `again`, a further bare RST, leaves none of the client's segments without one: an overflow with
    /// `tcp_abort_on_overflow` resets the ACK and the data (DOMAIN §2 B), a closed socket only what comes after its own RST.
    fn has_reset_all(&self, again: &Segment) -> bool {
        let (seen, cold) = (self.client_seen(again), self.cold());
        let rsts = cold.map_or(0, |cold| cold.server_rsts);
        let first = cold.and_then(|cold| cold.rst_at);
        rsts >= self.client_segments && first.is_some_and(|first| self.is_soon_after_ack(first, &seen))
    }

    /// True if a segment that is like an earlier one is no duplicate, but a bare RST to another of the client's segments: it
    /// carries no timestamps, and Linux gives it no IP ID. Of what is captured twice each RST has its copy first, at points that
    /// are not told apart.
    pub(super) fn answers_another(&self, again: &Segment) -> bool {
        if !is_bare_rst(again) || again.own_ip_id().is_some() || again.direction == self.outward {
            return false;
        }
        let doubled = self.syn_duplicated && self.sightings.is_none();
        let (rsts, copies) = self.cold().map_or((0, 0), |cold| (cold.server_rsts, cold.rst_copies));
        rsts < self.client_segments && !(doubled && copies < rsts)
    }

    /// True if an RST at this time may answer the first ACK.
    fn is_soon_after_ack(&self, at: Timestamp, seen: &ClientSeen) -> bool {
        seen.ack.is_some_and(|ack| at.since(ack) <= self.late(seen))
    }

    /// Times of the client's segments that this RST may answer: where points are told apart, those at the RST's own,
    /// since a segment may be under way between two of them for long.
    fn client_seen(&self, rst: &Segment) -> ClientSeen {
        let here = self.sightings.as_ref().and_then(|log| log.client_seen(rst.frame.point()));
        here.unwrap_or(ClientSeen {
            ack: self.ack_at,
            data: self.data_at,
            last: self.client_last,
            round_trip: self.least_round_trip(),
        })
    }

    /// True if the server's `segment` can be its answer to the client's, sent at `sent`.
    fn is_soon_after(&self, sent: Timestamp, segment: &Segment) -> bool {
        // Twice the round trip and 200 ms: Linux' shortest retransmission time-out comes later.
        segment.at.since(sent) <= self.round_trip().scaled(2, 1).plus(SHORTEST_TIMER)
    }

    /// The shortest server-side round trip that the handshake allows, if it shows one.
    fn least_round_trip(&self) -> Option<Span> {
        self.syn_to_synack?;
        Some(self.syn?.latest_before(self.syn_retransmissions(), self.synack?.first))
    }

    /// The server-side round trip; without the SYN one longer than any path's.
    fn round_trip(&self) -> Span {
        const UNKNOWN: Span = Span::from_secs(1);
        match (self.syn_to_synack, self.syn, self.synack) {
            (Some(known), _, _) => known.max(Span::ZERO),
            // The capture holds the SYN after its answer: the way between is shorter than the delay of one direction.
            (None, Some(syn), Some(synack)) if synack.first <= syn.first => Span::ZERO,
            (None, _, _) => UNKNOWN,
        }
    }

    /// True if the server's `segment` comes so long after the ACK that a listener which ignored that would have
    /// retransmitted its SYN-ACK meanwhile.
    fn is_long_after_ack(&self, segment: &Segment) -> bool {
        /// The first retransmission is due after a second (RFC 6298 §2.1), and timers are late.
        const FIRST: Span = Span::from_millis(1200);
        self.ack_at.is_some_and(|ack| segment.at.since(ack) >= FIRST.plus(self.crossing()))
    }

    /// The server-side round trip where these were captured.
    fn round_trip_of(&self, seen: &ClientSeen) -> Span {
        seen.round_trip.map_or_else(|| self.round_trip(), |known| known.max(Span::ZERO))
    }

    /// Takes the server's first RST, and gives the times of the segments that it may answer.
    fn take_rst(&mut self, rst: &Segment) -> ClientSeen {
        let seen = self.client_seen(rst);
        if self.cold().is_some_and(|cold| cold.rst_at.is_some()) {
            return seen;
        }
        let round_trip = self.round_trip_of(&seen);
        // A quarter: the SYN of a burst waited in queues, too, and its round trip is longer than that of the RST.
        let known = seen.round_trip.is_some() && round_trip > BURST;
        let late = self.late(&seen);
        // A busy path or server may answer the ACK later still: it only proves nothing then.
        let busy = late.plus(SHORTEST_TIMER);
        let soon = |after: Span| after >= Span::ZERO && after < round_trip.scaled(1, 4);
        let after = rst.at.since(seen.last);
        let too_soon = soon(after) && self.answered_by(rst, &seen, busy).is_none_or(soon);
        let dated = !self.facts.has(Fact::Misdated);
        self.facts.add_if(Fact::RstTooSoon, known && too_soon && dated);
        let is_answer = seen.round_trip.is_none() || self.is_timely_answer(rst, &seen);
        self.facts.add_if(Fact::RstTooLate, !is_answer);
        let after = rst.at.since(self.client_last);
        // From now on the fact is about the RST.
        self.facts.remove(Fact::TtlDiffers);
        let cold = self.cold_mut();
        cold.rst_at = Some(rst.at);
        cold.rst_seq = rst.seq;
        cold.ack_to_rst = Some(after);
        seen
    }

    /// True if the RST comes a round trip after the ACK or after data, by the path's jitter and a busy server's delay of some
    /// time slices. It does not answer data that it comes too soon after.
    fn is_timely_answer(&self, rst: &Segment, seen: &ClientSeen) -> bool {
        let round_trip = self.round_trip_of(seen);
        let latest = self.late(seen).min(round_trip.scaled(5, 4).plus(Span::from_millis(15)));
        let is_within = |sent: Timestamp, least: Span| {
            let after = rst.at.since(sent);
            after >= least && after <= latest
        };
        let later = seen.data.into_iter().chain([seen.last]).filter(|&sent| Some(sent) != seen.ack);
        let answer = round_trip.scaled(1, 4);
        let data_first = seen.begins_with_data() && round_trip > BURST;
        seen.ack.is_some_and(|ack| is_within(ack, if data_first { answer } else { Span::ZERO }))
            || later.into_iter().any(|sent| is_within(sent, answer))
    }

    /// An answer to the ACK does not come later than this: the kernel's RST follows it within 0.1 ms (DOMAIN §3). Four
    /// round trips and slack.
    fn late(&self, seen: &ClientSeen) -> Span {
        self.round_trip_of(seen).scaled(4, 1).plus(Span::from_millis(10))
    }

    /// Time from the first client segment that an RST may answer, the ACK or the first data, to the RST. An RST with
    /// ACK shows by its number which of them it answers, since an application resets at any time. One without answers
    /// the ACK if it does not come later than `late` after that, even if data left meanwhile. An ACK that the capture may lack
    /// came at once after the SYN-ACK.
    fn answered_by(&self, rst: &Segment, seen: &ClientSeen, late: Span) -> Option<Span> {
        let unseen = self.synack_to_ack.filter(|_| seen.begins_with_data()).unwrap_or_default();
        let ack = rst.at.since(seen.ack?).plus(unseen);
        let by_number = rst.flags.contains(Flags::ACK);
        let to_ack = if by_number { !rst.ack.after(self.acknowledged()) } else { ack <= late };
        if to_ack { Some(ack) } else { seen.data.map(|data| rst.at.since(data)) }
    }
}
