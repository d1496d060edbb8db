//! An undecided attempt: what its segments have shown so far.
//!
//! Owns the attempt's facts and its [`Phase`]; `classify` finds what a segment means by its sequence numbers (DOMAIN §4),
//! `from_client`, `from_server` and `resets` have every step from one phase to the next. Does not own when the attempt
//! is settled (`tracker`), nor what the record says then (`decide`).

mod checksums;
mod classify;
mod cold;
mod dates;
mod from_client;
mod from_server;
mod meaning;
mod resets;
mod stamp;
mod stamp_clock;

pub(super) use cold::{ClockSample, ColdState, DataRoundTrip};
use meaning::{Meaning, is_bare_rst};
pub(super) use meaning::{answers_syn, is_syn, is_synack};
use stamp_clock::StampClock;

use super::attempt::{IcmpAnswer, Retries};
use super::duplicates::{BY_TIME_ALONE, DuplicateOffset, Recent};
use super::facts::{Fact, Facts};
use super::history::History;
use super::passage::OwnFlow;
use super::retransmissions::{HandshakeSegment, NONE, Retransmissions};
use super::sighting_log::SightingLog;
use super::traits::SynAckTraits;
use crate::packet::{Direction, Flags, FrameRef, Segment, Seq, Span, Timestamp, Unreachable};
use crate::prefetch::prefetch_all;

/// Progress of a handshake.
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

/// An undecided attempt.
///
/// The order of fields is by use: of a settled attempt that lingers only the first are read, and of one that leaves the
/// cold state is dropped, so that the other cache lines stay unloaded.
#[derive(Debug, Clone)]
#[repr(C)]
pub(super) struct Pending {
    pub(super) cold: Option<Box<ColdState>>,
    /// Its sightings, where points are told apart.
    pub(super) sightings: Option<Box<SightingLog>>,
    recent: Recent,
    pub(super) phase: Phase,
    /// The direction from client to server.
    pub(super) outward: Direction,
    pub(super) facts: Facts,
    pub(super) history: History,
    pub(super) frame: FrameRef,
    pub(super) ordinal: u64,
    pub(super) start: Timestamp,
    pub(super) last: Timestamp,
    pub(super) client_isn: Seq,
    pub(super) server_isn: Seq,
    /// Payload of the SYN (RFC 7413): a SYN-ACK may acknowledge it.
    pub(super) syn_payload: u32,
    /// The number that the SYN-ACK acknowledged: ISN + 1, or the SYN's payload too.
    answered: Seq,
    /// The next number the client will send, by what it has sent.
    client_next: Seq,
    /// The highest acknowledgment number the client has sent.
    client_ack: Seq,
    client_clock: StampClock,
    server_clock: StampClock,
    pub(super) traits: SynAckTraits,
    /// A duplicate of the SYN came before any answer.
    syn_duplicated: bool,
    /// The same at another point, of another file or farther than within one host.
    pub(super) has_two_points: bool,
    /// A duplicate of a later segment of the client's came since the latest SYN-ACK.
    client_duplicated: bool,
    /// The next retransmission is overdue.
    pub(super) is_overdue: bool,
    pub(super) syn: Option<HandshakeSegment>,
    pub(super) synack: Option<HandshakeSegment>,
    pub(super) syn_to_synack: Option<Span>,
    pub(super) synack_to_ack: Option<Span>,
    /// The client's first valid ACK.
    pub(super) ack_at: Option<Timestamp>,
    /// The client's first data or FIN after it.
    pub(super) data_at: Option<Timestamp>,
    /// The client's latest segment that acknowledges the SYN-ACK.
    client_last: Timestamp,
    /// Client segments that the server's RST may answer: those after the SYN-ACK.
    client_segments: u16,
    pub(super) after_ack: u16,
    /// Retransmissions of the client's data or FIN that the server did not acknowledge.
    pub(super) data_retransmissions: u16,
    /// The client segment after the SYN-ACK that the bare RST answered, from 1.
    pub(super) rst_answers_segment: u16,
    pub(super) packets: u32,
}

// A million are held at most: each byte of one is a megabyte then.
const _: () = assert!(size_of::<Pending>() <= 248);

impl Pending {
    /// An attempt opened by its SYN.
    #[inline(always)]
    pub(super) fn from_syn(segment: &Segment, ordinal: u64) -> Self {
        let mut attempt = Self::opened_by(segment, ordinal, segment.direction);
        attempt.take_syn(segment);
        attempt
    }

    /// An attempt opened by its SYN-ACK: the SYN is missing, or comes a little later.
    #[inline(always)]
    pub(super) fn from_synack(segment: &Segment, ordinal: u64) -> Self {
        let mut attempt = Self::opened_by(segment, ordinal, segment.direction.reverse());
        attempt.client_isn = segment.ack.plus(u32::MAX);
        attempt.client_next = segment.ack;
        attempt.phase = Phase::SynReceived;
        attempt.take_synack(segment);
        attempt
    }

    /// Stands for the SYN that an RST refuses, where that is not in the RST's flow.
    pub(super) fn from_refusal(rst: &Segment, ordinal: u64) -> Self {
        let mut attempt = Self::opened_by(rst, ordinal, rst.direction.reverse());
        attempt.client_isn = rst.ack.plus(u32::MAX);
        attempt.client_next = rst.ack;
        attempt.phase = Phase::Refused;
        attempt.facts.add(Fact::RefusalAlone);
        attempt
    }

    /// Stands for the connection of a server's segment that an ICMP error calls too big, once its attempt is settled.
    pub(super) fn from_oversized(error: &Unreachable, ordinal: u64) -> Self {
        let outward = error.direction.reverse();
        let mut attempt = Self::blank(error.at, error.frame, ordinal, outward, Recent::default());
        attempt.client_isn = error.seq;
        attempt.facts = Facts::of(&[Fact::RefusalAlone, Fact::TooBig]);
        attempt
    }

    #[inline(always)]
    fn opened_by(segment: &Segment, ordinal: u64, outward: Direction) -> Self {
        let mut attempt = Self::blank(segment.at, segment.frame, ordinal, outward, Recent::first(segment));
        attempt.client_isn = segment.seq;
        attempt.history.push(segment, segment.direction == outward);
        attempt.note_checksum(segment, segment.direction == outward);
        attempt
    }

    /// An attempt of which nothing is known but its first packet's place and time.
    #[inline(always)]
    pub(super) fn blank(
        start: Timestamp,
        frame: FrameRef,
        ordinal: u64,
        outward: Direction,
        recent: Recent,
    ) -> Self {
        Self {
            phase: Phase::SynSent,
            facts: Facts::default(),
            history: History::default(),
            outward,
            frame,
            ordinal,
            start,
            last: start,
            client_isn: Seq::default(),
            server_isn: Seq::default(),
            syn_payload: 0,
            answered: Seq::default(),
            client_next: Seq::default(),
            client_ack: Seq::default(),
            client_clock: StampClock::default(),
            server_clock: StampClock::default(),
            traits: SynAckTraits::default(),
            syn_duplicated: false,
            has_two_points: false,
            client_duplicated: false,
            is_overdue: false,
            syn: None,
            synack: None,
            syn_to_synack: None,
            synack_to_ack: None,
            ack_at: None,
            data_at: None,
            client_last: start,
            client_segments: 0,
            after_ack: 0,
            data_retransmissions: 0,
            rst_answers_segment: 0,
            cold: None,
            sightings: None,
            packets: 1,
            recent,
        }
    }

    /// True if `segment` is a SYN of another attempt between the same endpoints.
    pub(super) fn is_replaced_by(&self, segment: &Segment) -> bool {
        if !is_syn(segment) {
            return false;
        }
        if segment.direction == self.outward {
            // Scanners and probes use an ISN again, after their own RST or when the connection has ended.
            let over = matches!(self.phase, Phase::ClientReset) && !self.has_sent_syn(segment);
            return segment.seq != self.client_isn || over;
        }
        // A SYN the other way answers ours (simultaneous open) as long as nothing else has.
        let crossing = self.phase == Phase::SynSent || self.facts.has(Fact::Simultaneous);
        !crossing
    }

    /// True if `segment` is a duplicate of one of the attempt's SYNs.
    fn has_sent_syn(&self, segment: &Segment) -> bool {
        self.syn.is_some_and(|syn| syn.has_sent(self.syn_retransmissions(), segment))
    }

    /// Notes the point of the segment that opened the attempt, if points are told apart.
    #[inline(always)]
    pub(super) fn log_sightings(&mut self, segment: &Segment, own: Option<OwnFlow>) {
        if segment.frame.point().is_known() {
            self.sightings = Some(SightingLog::begin(segment, segment.direction == self.outward, own));
        }
    }

    /// Takes one segment of the flow, which had these addresses of its `own` if they are other ones. Returns whether it was a
    /// duplicate of an earlier one.
    pub(super) fn take(&mut self, segment: &Segment, copies: DuplicateOffset, own: Option<OwnFlow>) -> bool {
        self.packets = self.packets.saturating_add(1);
        let mut duplicate = self.is_duplicate(segment, copies);
        if let Some(sightings) = &mut self.sightings {
            let from_client = segment.direction == self.outward;
            if sightings.take_behind_proxy(segment, from_client, own) {
                return true;
            }
            duplicate = sightings.see(segment, from_client, own, duplicate);
            match sightings.take_late() {
                0 => {}
                repeats => self.take_back_ignored(repeats),
            }
        }
        if duplicate {
            self.take_duplicate(segment);
            return true;
        }
        self.last = self.last.max(segment.at);
        self.is_overdue = false;
        let from_client = segment.direction == self.outward;
        self.history.push(segment, from_client);
        let event = if from_client { self.of_client(segment) } else { self.of_server(segment) };
        self.phase = self.next(event, segment);
        self.watch_clock(segment, from_client);
        self.note_checksum(segment, from_client);
        false
    }

    #[inline(always)]
    fn next(&mut self, event: Meaning, segment: &Segment) -> Phase {
        match event {
            Meaning::Syn => self.on_syn(segment),
            Meaning::SynAck => self.on_synack(segment),
            Meaning::OtherSynAck => self.on_other_synack(segment),
            Meaning::Ack => self.on_ack(segment),
            Meaning::Onward => self.on_onward(segment),
            Meaning::ClientOutOfWindow => self.on_client_out_of_window(segment),
            Meaning::ClientRst => self.on_client_rst(segment),
            Meaning::Proof => self.on_proof(segment),
            Meaning::ServerOutOfWindow => self.on_server_out_of_window(segment),
            Meaning::BareAck => {
                self.facts.add_if(Fact::ServerAnswered, self.ack_at.is_some());
                self.phase
            }
            Meaning::RstAck => self.on_rst_ack(segment),
            Meaning::BareRst => self.on_bare_rst(segment),
            Meaning::EarlyRst => self.on_early_rst(segment),
        }
    }

    /// True if `segment` is a duplicate of one that was taken.
    #[inline(always)]
    pub(super) fn is_duplicate(&mut self, segment: &Segment, copies: DuplicateOffset) -> bool {
        let still = self.facts.has(Fact::ClockStill);
        if self.recent.is_duplicate(segment, still, copies) {
            return !self.answers_another(segment);
        }
        segment.flags.contains(Flags::SYN) && self.has_sent_handshake(segment, copies)
    }

    /// True if a SYN or SYN-ACK is a duplicate of one of the attempt's, however long ago: a timer's retransmission has
    /// a new TSval (DOMAIN §4). Without timestamps by its time, however many segments came between.
    #[cold]
    fn has_sent_handshake(&self, segment: &Segment, copies: DuplicateOffset) -> bool {
        let still = self.facts.has(Fact::ClockStill);
        let stamped = segment.options.timestamps().is_some_and(|(tsval, _)| tsval != 0) && !still;
        let by_time = !stamped && segment.own_ip_id().is_none();
        let sent_one = |again| {
            move |sent: HandshakeSegment| {
                !still && sent.has_sent(again, segment)
                    || by_time
                        && sent.has_sent_at(again, |at| {
                            let distance = segment.at.since(at);
                            distance.abs() <= BY_TIME_ALONE || copies.is(distance)
                        })
            }
        };
        if segment.direction == self.outward {
            return is_syn(segment)
                && segment.seq == self.client_isn
                && self.syn.is_some_and(sent_one(self.syn_retransmissions()));
        }
        let same = is_synack(segment) && segment.seq == self.server_isn;
        same && self.synack.is_some_and(sent_one(self.synack_retransmissions()))
    }

    /// Takes a segment captured again: duplicates show how far two points of the capture are apart. They are two points of
    /// the path, and not one that captures everything twice, if the SYN passed both before it was answered.
    #[cold]
    fn take_duplicate(&mut self, duplicate: &Segment) {
        if duplicate.direction == self.outward {
            if is_syn(duplicate) {
                self.duplicate_syn(duplicate);
            } else {
                self.client_duplicated = true;
            }
            return;
        }
        if let Some(cold) = self.cold.as_mut().filter(|_| is_bare_rst(duplicate)) {
            cold.rst_copies = cold.rst_copies.saturating_add(1);
        }
        if self.phase != Phase::SynReceived || !self.syn_duplicated || !is_synack(duplicate) {
            return;
        }
        let Some(synack) = self.synack else { return };
        let under_way = duplicate.at.since(synack.time_of_original(self.synack_retransmissions(), duplicate));
        let cold = self.cold_mut();
        cold.synack_under_way = cold.synack_under_way.max(under_way);
    }

    fn duplicate_syn(&mut self, duplicate: &Segment) {
        /// Shortest time between two points: a bridge or a mirror port passes a packet on sooner.
        const MIN_TRANSIT: Span = Span::from_millis(1);
        /// Nothing but one host's own interfaces, or two captures of one, pass a packet on sooner.
        const SAME_PLACE: Span = Span::from_micros(10);
        let Some(syn) = self.syn.filter(|_| self.phase == Phase::SynSent) else { return };
        let under_way = duplicate.at.since(syn.time_of_original(self.syn_retransmissions(), duplicate));
        self.syn_duplicated = true;
        let other_file = duplicate.frame.capture() != self.frame.capture() && under_way >= SAME_PLACE;
        let other_point = duplicate.frame.point() != self.frame.point();
        self.has_two_points |= under_way >= MIN_TRANSIT || other_file || other_point;
        if under_way >= MIN_TRANSIT {
            self.cold_mut().syn_under_way = under_way;
        }
    }

    /// The difference between the clocks of the two points that a duplicate of the SYN-ACK before the ACK shows, and how
    /// long a packet is under way between them: the SYN was seen at the one first, and the SYN-ACK at the other (DOMAIN
    /// §7: half the difference of the two ways is the clocks').
    pub(super) fn clock_sample(&mut self, duplicate: &Segment) -> Option<ClockSample> {
        let both = self.has_two_points && self.phase == Phase::SynReceived && is_synack(duplicate);
        let cold = self.cold.as_deref_mut().filter(|_| both)?;
        let (there, back) = (cold.syn_under_way, cold.synack_under_way);
        let is_first = !std::mem::replace(&mut cold.clocks_compared, true);
        let half = |span: Span| span.scaled(1, 2);
        Some(ClockSample { clocks: half(there.minus(back)), under_way: half(there.plus(back)), is_first })
    }

    /// Takes an ICMP error that quotes one of the client's segments.
    pub(super) fn take_icmp(&mut self, error: &Unreachable) {
        self.packets = self.packets.saturating_add(1);
        self.history.push_icmp();
        if error.icmp.is_too_big() {
            self.facts.add(Fact::TooBig);
            if error.seq != self.client_isn {
                return;
            }
        }
        match self.phase {
            Phase::SynSent => {
                self.last = self.last.max(error.at);
                self.phase = Phase::Unreachable;
                let answer = IcmpAnswer { error: error.icmp, from: error.from };
                self.cold_mut().icmp = Some(Box::new((error.at, answer)));
            }
            // The first error stands; later ones show that SYNs repeated meanwhile were answered, too.
            Phase::Unreachable => {
                if let Some((last, _)) = self.cold_mut().icmp.as_deref_mut() {
                    *last = error.at.max(*last);
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

    /// Strength of the overflow that the attempt shows by now; a rise is reported before it is settled.
    pub(super) fn overflow_strength(&self) -> u8 {
        // Most attempts end here, before the branch on their phases, which the processor cannot predict.
        if !self.facts.has(Fact::Contradicted) && !self.has_ignored_data() {
            return 0;
        }
        match self.phase {
            Phase::Ignored => self.after_ack.min(2) as u8,
            Phase::Reset => 2,
            Phase::Acked => u8::from(self.has_ignored_data()),
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived
            | Phase::ClientReset
            | Phase::Established => 0,
        }
    }

    /// True if the server ignored the client's data or FIN: it was retransmitted twice, or once and then the connection
    /// was reset, and nothing ever acknowledged it (DOMAIN §4, `ack-ignored`).
    pub(super) fn has_ignored_data(&self) -> bool {
        if self.facts.has(Fact::ServerAnswered) {
            return false;
        }
        self.data_retransmissions >= 2 || self.facts.has(Fact::ResetAfterIgnoredData)
    }

    /// True if the client sent data, or FIN, after its SYN.
    pub(super) fn client_sent_data(&self) -> bool {
        self.client_next.after(self.client_isn.plus(1).plus(self.syn_payload))
    }

    /// Retries and retransmissions by kind.
    pub(super) fn retries(&self) -> Retries {
        Retries {
            syn: u32::from(self.syn_retransmissions().count),
            syn_ack: u32::from(self.synack_retransmissions().count),
            after_ack: u32::from(self.after_ack),
        }
    }

    /// The rarely needed state, if the attempt has any.
    pub(super) fn cold(&self) -> Option<&ColdState> {
        self.cold.as_deref()
    }

    /// The retries of the SYN.
    pub(super) fn syn_retransmissions(&self) -> &Retransmissions {
        self.cold().map_or(&NONE, |cold| &cold.syn)
    }

    /// The retransmissions of the SYN-ACK.
    pub(super) fn synack_retransmissions(&self) -> &Retransmissions {
        self.cold().map_or(&NONE, |cold| &cold.synack)
    }

    /// Asks the cache for the cold state, if there is any.
    #[inline(always)]
    pub(super) fn prefetch_cold(&self) {
        prefetch_all(self.cold());
    }

    fn cold_mut(&mut self) -> &mut ColdState {
        self.cold.get_or_insert_default()
    }
}
