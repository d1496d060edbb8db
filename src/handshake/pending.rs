//! One undecided attempt: what its segments have shown so far.
//!
//! Owns the classification of a segment into an [`Event`] (sequence numbers decide, DOMAIN §4) and
//! every transition of [`Phase`]. Does not own when the attempt is decided (`tracker`), nor what
//! the record says then (`decide`).

use super::attempt::Retries;
use super::copies::Recent;
use crate::packet::{Direction, Flags, FrameRef, IcmpError, Segment, Seq, Span, Timestamp};

/// How far a handshake has come.
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

/// What a segment means to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// SYN with the attempt's ISN.
    Syn,
    /// A segment from the client that proves it saw the SYN-ACK.
    Ack,
    /// A segment from the client after its SYN, while no SYN-ACK is in the capture.
    Onward,
    /// A segment from the client whose numbers do not fit.
    ClientStray,
    /// RST from the client.
    ClientRst,
    /// SYN-ACK, the first or a repeat.
    SynAck,
    /// SYN-ACK with another server ISN: another answer, not a repeat.
    OtherSynAck,
    /// Data, FIN or an ACK beyond the SYN from the server.
    Proof,
    /// A segment from the server that proves nothing.
    ServerStray,
    /// RST with ACK that covers the SYN, or the FIN and data after it.
    RstAck,
    /// RST without ACK whose sequence number is the one the client acknowledged.
    BareRst,
}

/// Facts that the inference wants beside the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signs {
    /// The SYN is in the capture.
    pub syn_seen: bool,
    /// The SYN came after the SYN-ACK within the reordering a capture makes.
    pub syn_late: bool,
    /// The SYN carried no TCP option: no operating system sends such a SYN.
    pub syn_without_options: bool,
    /// A SYN-ACK is in the capture.
    pub synack_seen: bool,
    /// A segment from the client other than the SYN is in the capture.
    pub client_went_on: bool,
    /// The server established the connection.
    pub established: bool,
    /// SYN-ACK was repeated after the ACK, or RST answered it, before anything else did.
    pub contradicted: bool,
    /// Both ends sent SYN (RFC 9293 §3.5).
    pub simultaneous: bool,
    /// The client acknowledged a number that no SYN-ACK in the capture offered.
    pub wrong_ack: bool,
    /// The RST answered the first valid ACK.
    pub rst_to_first_ack: bool,
    /// The RST has the form of `tcp_v4_send_reset`: window 0 and no options.
    pub rst_kernel_form: bool,
    /// The RST's TTL differs from the SYN-ACK's.
    pub rst_ttl_differs: bool,
    /// SYN-ACK was repeated after the RST: the server never saw the ACK.
    pub synack_after_rst: bool,
    /// The server sent data after the RST: the RST was not its own.
    pub data_after_rst: bool,
    /// RST with ACK came from the server right after the handshake.
    pub application_reset: bool,
    /// That RST carried an open window: the sender had established the connection.
    pub rst_window_open: bool,
    /// Which of the client's segments after the SYN-ACK the RST answered, from 1.
    pub rst_answers_segment: u16,
    /// The client reset the connection after its ACK.
    pub client_aborted: bool,
    /// The server sent data or FIN.
    pub server_spoke: bool,
    /// How often the client repeated data or FIN while the server was silent.
    pub data_repeats: u16,
}

/// The times and numbers of one side's SYN or SYN-ACK.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// Time between the last two.
    pub(super) gap: Span,
    first_tsval: u32,
    last_tsval: u32,
    pub(super) repeats: u16,
    /// The option was there at all.
    timestamps: bool,
}

impl Offer {
    fn new(segment: &Segment) -> Self {
        let timestamps = segment.options.timestamps;
        let (tsval, _) = timestamps.unwrap_or_default();
        Self {
            first: segment.at,
            last: segment.at,
            gap: Span::ZERO,
            first_tsval: tsval,
            last_tsval: tsval,
            repeats: 0,
            timestamps: timestamps.is_some(),
        }
    }

    fn repeat(&mut self, segment: &Segment) {
        self.gap = segment.at.since(self.last);
        self.last = segment.at;
        (self.last_tsval, _) = segment.options.timestamps.unwrap_or_default();
        self.repeats = self.repeats.saturating_add(1);
    }

    /// When the packet that `answer` echoes was sent: told by TSecr (RFC 7323 §3.2), or plain where
    /// there was only one. `None` when it may be any of several.
    fn answered_by(&self, answer: &Segment) -> Option<Timestamp> {
        if self.repeats == 0 {
            return Some(self.first);
        }
        let (_, tsecr) = answer.options.timestamps.filter(|_| self.timestamps)?;
        if tsecr == self.first_tsval {
            Some(self.first)
        } else {
            (tsecr == self.last_tsval).then_some(self.last)
        }
    }
}

/// What few attempts have; kept apart to keep the others small.
#[derive(Debug, Clone, Default)]
pub(super) struct Rare {
    /// Times of repeated SYNs since the first.
    pub(super) syn_repeats: Vec<Span>,
    /// Times of repeated SYN-ACKs since the first.
    pub(super) synack_repeats: Vec<Span>,
    /// A second answer with another ISN; the client's ACK tells which one it took.
    other_answer: Option<(Seq, Timestamp)>,
    pub(super) rst_at: Option<Timestamp>,
    pub(super) ack_to_rst: Option<Span>,
    pub(super) icmp: Option<IcmpError>,
}

/// One undecided attempt.
///
/// In this order because a decided attempt that lingers is asked for the first fields only, and the
/// others need not come into the cache then.
#[derive(Debug, Clone)]
#[repr(C)]
pub(super) struct Pending {
    recent: Recent,
    pub(super) phase: Phase,
    /// The direction from client to server.
    pub(super) outward: Direction,
    pub(super) signs: Signs,
    pub(super) frame: FrameRef,
    pub(super) ordinal: u64,
    pub(super) start: Timestamp,
    pub(super) last: Timestamp,
    pub(super) client_isn: Seq,
    server_isn: Seq,
    /// Payload of the SYN (RFC 7413): a SYN-ACK may acknowledge it.
    syn_payload: u32,
    /// What the SYN-ACK acknowledged: ISN + 1, or the SYN's payload too.
    answered: Seq,
    /// What the client will send next, by what it has sent.
    client_next: Seq,
    /// The highest acknowledgment number the client has sent.
    client_ack: Seq,
    synack_ttl: u8,
    pub(super) syn: Option<Offer>,
    pub(super) synack: Option<Offer>,
    pub(super) syn_to_synack: Option<Span>,
    pub(super) synack_to_ack: Option<Span>,
    /// The client's first valid ACK.
    pub(super) ack_at: Option<Timestamp>,
    /// The client's latest segment that acknowledges the SYN-ACK.
    client_last: Timestamp,
    /// Client segments that the server's RST may answer: those after the SYN-ACK.
    client_segments: u16,
    server_rsts: u16,
    pub(super) after_ack: u16,
    rare: Option<Box<Rare>>,
    pub(super) packets: u32,
}

/// How out of order a capture may hold SYN and SYN-ACK (several queues, several interfaces).
const REORDERING: Span = Span::from_millis(50);

/// A segment whose numbers are this far past the SYN's belongs to another connection.
const PLAUSIBLE: i32 = 1 << 30;

impl Pending {
    /// An attempt opened by its SYN.
    pub(super) fn from_syn(segment: &Segment, ordinal: u64) -> Self {
        let mut attempt = Self::blank(segment, ordinal, segment.direction);
        attempt.take_syn(segment);
        attempt
    }

    /// An attempt opened by its SYN-ACK: the SYN is missing, or comes a little later.
    pub(super) fn from_synack(segment: &Segment, ordinal: u64) -> Self {
        let mut attempt = Self::blank(segment, ordinal, segment.direction.reverse());
        attempt.client_isn = segment.ack.plus(u32::MAX);
        attempt.client_next = segment.ack;
        attempt.take_synack(segment);
        attempt
    }

    fn blank(segment: &Segment, ordinal: u64, outward: Direction) -> Self {
        let mut recent = Recent::default();
        recent.is_copy(segment);
        Self {
            phase: Phase::SynSent,
            signs: Signs::default(),
            outward,
            frame: segment.frame,
            ordinal,
            start: segment.at,
            last: segment.at,
            client_isn: segment.seq,
            server_isn: Seq::default(),
            syn_payload: 0,
            answered: Seq::default(),
            client_next: Seq::default(),
            client_ack: Seq::default(),
            synack_ttl: 0,
            syn: None,
            synack: None,
            syn_to_synack: None,
            synack_to_ack: None,
            ack_at: None,
            client_last: segment.at,
            client_segments: 0,
            server_rsts: 0,
            after_ack: 0,
            rare: None,
            packets: 1,
            recent,
        }
    }

    /// Whether `segment` is a SYN of another attempt between the same endpoints.
    pub(super) fn is_replaced_by(&self, segment: &Segment) -> bool {
        if !is_syn(segment) {
            return false;
        }
        if segment.direction == self.outward {
            return segment.seq != self.client_isn;
        }
        // A SYN the other way answers ours (simultaneous open) as long as nothing else has.
        let crossing = self.phase == Phase::SynSent || self.signs.simultaneous;
        !crossing
    }

    /// Takes one segment of the flow. Returns whether it was a copy of an earlier one.
    pub(super) fn take(&mut self, segment: &Segment) -> bool {
        self.packets = self.packets.saturating_add(1);
        // An RST carries no timestamps; one for each of several client segments is no copy.
        let answers_several = segment.flags.contains(Flags::RST)
            && segment.direction != self.outward
            && self.server_rsts < self.client_segments;
        if self.recent.is_copy(segment) && !answers_several {
            return true;
        }
        self.last = self.last.max(segment.at);
        let event =
            if segment.direction == self.outward { self.of_client(segment) } else { self.of_server(segment) };
        self.phase = self.next(event, segment);
        false
    }

    /// Takes an ICMP error that quotes a segment from the client.
    pub(super) fn take_icmp(&mut self, at: Timestamp, quoted: Seq, icmp: IcmpError) {
        self.packets = self.packets.saturating_add(1);
        if quoted != self.client_isn {
            return;
        }
        match self.phase {
            Phase::SynSent => {
                self.last = self.last.max(at);
                self.phase = Phase::Unreachable;
                self.rare_mut().icmp = Some(icmp);
            }
            // The first error stands; later ones, and those after an answer, change nothing.
            Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived
            | Phase::ClientReset
            | Phase::Acked
            | Phase::Ignored
            | Phase::Reset
            | Phase::Established => {}
        }
    }

    fn of_client(&self, segment: &Segment) -> Event {
        let flags = segment.flags;
        if flags.contains(Flags::RST) {
            return Event::ClientRst;
        }
        if is_syn(segment) {
            return Event::Syn;
        }
        let begun = within(segment.seq, self.client_isn.plus(1));
        if !flags.contains(Flags::ACK) || !(begun || self.is_simultaneous_synack(segment)) {
            return Event::ClientStray;
        }
        match self.synack {
            None if self.signs.simultaneous && within(segment.ack, self.server_isn.plus(1)) => Event::Ack,
            None => Event::Onward,
            Some(_) if within(segment.ack, self.server_isn.plus(1)) => Event::Ack,
            Some(_) => match self.rare().and_then(|rare| rare.other_answer) {
                Some((isn, _)) if within(segment.ack, isn.plus(1)) => Event::Ack,
                Some(_) | None => Event::ClientStray,
            },
        }
    }

    /// The client's SYN-ACK of a simultaneous open repeats its ISN.
    fn is_simultaneous_synack(&self, segment: &Segment) -> bool {
        self.signs.simultaneous && segment.flags.contains(Flags::SYN) && segment.seq == self.client_isn
    }

    fn of_server(&self, segment: &Segment) -> Event {
        let flags = segment.flags;
        let covers = self.covers_syn(segment.ack);
        if flags.contains(Flags::RST) {
            return self.of_server_rst(segment);
        }
        if flags.contains(Flags::SYN) {
            return match (flags.contains(Flags::ACK), self.synack) {
                (false, _) => Event::SynAck,
                (true, _) if !covers => Event::ServerStray,
                (true, None) if self.signs.simultaneous && segment.seq != self.server_isn => {
                    Event::OtherSynAck
                }
                (true, Some(_)) if segment.seq != self.server_isn => Event::OtherSynAck,
                (true, _) => Event::SynAck,
            };
        }
        if !flags.contains(Flags::ACK) || !self.continues(segment) {
            return Event::ServerStray;
        }
        let speaks = segment.payload > 0 || flags.contains(Flags::FIN);
        let beyond = segment.ack.after(self.acknowledged());
        if speaks || beyond { Event::Proof } else { Event::ServerStray }
    }

    fn of_server_rst(&self, segment: &Segment) -> Event {
        if segment.flags.contains(Flags::ACK) {
            // Covers the SYN, or something the client sent since.
            return if within(segment.ack, self.client_isn.plus(1)) {
                Event::RstAck
            } else {
                Event::ServerStray
            };
        }
        let answers_ack = self.ack_at.is_some()
            && segment.seq.at_or_after(self.server_isn.plus(1))
            && self.client_ack.at_or_after(segment.seq);
        if answers_ack { Event::BareRst } else { Event::ServerStray }
    }

    /// Whether an acknowledgment number answers the SYN: ISN + 1, up to its payload more.
    fn covers_syn(&self, ack: Seq) -> bool {
        let past = ack.offset_from(self.client_isn.plus(1));
        past >= 0 && u32::try_from(past).is_ok_and(|past| past <= self.syn_payload)
    }

    /// Whether a server segment carries on from this attempt's numbers, and not from those of an
    /// older connection between the same ports.
    fn continues(&self, segment: &Segment) -> bool {
        let knows_client = within(segment.ack, self.client_isn.plus(1));
        match self.synack {
            Some(_) => knows_client && within(segment.seq, self.server_isn.plus(1)),
            // Without the SYN-ACK only what the client is known to have sent can be trusted.
            None => knows_client && self.client_next.at_or_after(segment.ack),
        }
    }

    /// What the server had acknowledged with its SYN-ACK; more than that proves the ACK arrived.
    fn acknowledged(&self) -> Seq {
        // A simultaneous open's first answer is a plain SYN, and one out of the capture is unknown.
        let known = self.synack.is_some() && !self.signs.simultaneous;
        if known { self.answered } else { self.client_isn.plus(1).plus(self.syn_payload) }
    }

    fn next(&mut self, event: Event, segment: &Segment) -> Phase {
        match event {
            Event::Syn => self.on_syn(segment),
            Event::SynAck => self.on_synack(segment),
            Event::OtherSynAck => self.on_other_synack(segment),
            Event::Ack => self.on_ack(segment),
            Event::Onward => self.on_onward(segment),
            Event::ClientStray => self.on_client_stray(segment),
            Event::ClientRst => self.on_client_rst(segment),
            Event::Proof => self.on_proof(segment),
            Event::ServerStray => self.phase,
            Event::RstAck => self.on_rst_ack(segment),
            Event::BareRst => self.on_bare_rst(segment),
        }
    }

    fn on_syn(&mut self, segment: &Segment) -> Phase {
        match self.syn {
            Some(_) => self.repeat_syn(segment),
            None => self.take_syn(segment),
        }
        match self.phase {
            Phase::SynSent | Phase::Refused | Phase::Unreachable | Phase::SynReceived => self.phase,
            // What looked like the client going on was something older: it repeats its SYN.
            Phase::AnswerUnseen => Phase::SynSent,
            // The SYN crossed the answer, or the capture holds them out of order.
            Phase::ClientReset | Phase::Acked | Phase::Ignored | Phase::Reset | Phase::Established => {
                self.phase
            }
        }
    }

    fn take_syn(&mut self, segment: &Segment) {
        self.signs.syn_seen = self.synack.is_none() || segment.at.since(self.start) <= REORDERING;
        self.signs.syn_late = self.synack.is_some() && self.signs.syn_seen;
        self.signs.syn_without_options = !segment.options.any;
        self.syn = Some(Offer::new(segment));
        self.syn_payload = segment.payload;
        let next = segment.seq.plus(1).plus(segment.payload);
        if self.synack.is_none() || next.after(self.client_next) {
            self.client_next = next;
        }
    }

    fn repeat_syn(&mut self, segment: &Segment) {
        let Some(syn) = &mut self.syn else { return };
        syn.repeat(segment);
        let after = segment.at.since(syn.first);
        keep(&mut self.rare_mut().syn_repeats, after);
    }

    fn on_synack(&mut self, segment: &Segment) -> Phase {
        if self.synack.is_some() {
            return self.on_synack_repeat(segment);
        }
        let without_ack = !segment.flags.contains(Flags::ACK);
        self.signs.simultaneous |= without_ack;
        self.take_synack(segment);
        match self.phase {
            Phase::AnswerUnseen if self.client_ack == segment.seq.plus(1) => {
                // The capture holds the ACK before the SYN-ACK.
                self.ack_at = Some(self.client_last);
                Phase::Acked
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

    fn take_synack(&mut self, segment: &Segment) {
        self.server_isn = segment.seq;
        self.answered = segment.ack;
        self.synack_ttl = segment.ttl;
        self.signs.synack_seen = true;
        self.synack = Some(Offer::new(segment));
        self.syn_to_synack =
            self.syn.and_then(|syn| syn.answered_by(segment)).map(|sent| segment.at.since(sent));
    }

    fn on_synack_repeat(&mut self, segment: &Segment) -> Phase {
        let Some(synack) = &mut self.synack else { return self.phase };
        synack.repeat(segment);
        let after = segment.at.since(synack.first);
        keep(&mut self.rare_mut().synack_repeats, after);
        let ignored_ack = self.is_after_ack(segment.at);
        match self.phase {
            Phase::Acked if ignored_ack => {
                self.after_ack = self.after_ack.saturating_add(1);
                self.signs.contradicted = true;
                Phase::Ignored
            }
            Phase::Ignored => {
                self.after_ack = self.after_ack.saturating_add(1);
                Phase::Ignored
            }
            Phase::Reset => {
                self.after_ack = self.after_ack.saturating_add(u16::from(ignored_ack));
                self.signs.synack_after_rst = true;
                Phase::Reset
            }
            Phase::SynSent | Phase::Refused | Phase::Unreachable | Phase::AnswerUnseen => Phase::SynReceived,
            Phase::SynReceived | Phase::ClientReset | Phase::Acked | Phase::Established => self.phase,
        }
    }

    /// Whether the server should have had the ACK when it sent the SYN-ACK seen at `at`: a repeat
    /// that crosses the ACK arrives sooner after it than the server-side round trip.
    fn is_after_ack(&self, at: Timestamp) -> bool {
        // Without the SYN the round trip is unknown; no timer repeats sooner than this (RFC 6298 §2.1
        // asks for one second, Linux' shortest is 0.2 s).
        const UNKNOWN_ROUND_TRIP: Span = Span::from_millis(200);
        let Some(ack_at) = self.ack_at else { return false };
        let round_trip = match (self.syn_to_synack, self.syn, self.synack) {
            (Some(known), _, _) => known,
            // Which SYN was answered is unknown: take the longest round trip it can be.
            (None, Some(syn), Some(synack)) => synack.first.since(syn.first),
            (None, _, _) => UNKNOWN_ROUND_TRIP,
        };
        // A sixteenth and a millisecond for jitter.
        let window = round_trip.plus(round_trip.scaled(1, 16)).plus(Span::from_millis(1));
        // A SYN that was repeated draws an answer of its own, one round trip later.
        let answers_syn = self.syn.is_some_and(|syn| syn.repeats > 0 && at.since(syn.last) < window);
        at.since(ack_at) >= window && !answers_syn
    }

    fn on_other_synack(&mut self, segment: &Segment) -> Phase {
        match self.phase {
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived => {
                self.rare_mut().other_answer = Some((segment.seq, segment.at));
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
                self.synack_to_ack = self
                    .synack
                    .and_then(|offer| offer.answered_by(segment))
                    .map(|sent| segment.at.since(sent));
                if self.signs.established { Phase::Established } else { Phase::Acked }
            }
            Phase::ClientReset | Phase::Acked | Phase::Ignored | Phase::Reset | Phase::Established => {
                self.ack_at = self.ack_at.or(Some(segment.at));
                self.phase
            }
        }
    }

    /// The client's ACK tells which of two answers it took.
    fn adopt_answer(&mut self, segment: &Segment) {
        let Some((isn, at)) = self.rare.as_mut().and_then(|rare| rare.other_answer.take()) else { return };
        if !within(segment.ack, self.server_isn.plus(1)) {
            self.server_isn = isn;
            self.synack_to_ack = Some(segment.at.since(at));
            if let Some(synack) = &mut self.synack {
                synack.first = at;
                synack.last = at;
                synack.repeats = 0;
            }
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
        self.signs.client_went_on = true;
        self.client_segments = self.client_segments.saturating_add(1);
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
        } else if matches!(self.phase, Phase::Acked | Phase::Ignored | Phase::Reset) {
            self.signs.data_repeats = self.signs.data_repeats.saturating_add(1);
        }
    }

    fn on_client_stray(&mut self, segment: &Segment) -> Phase {
        let wrong = self.synack.is_some() && segment.flags.contains(Flags::ACK) && self.ack_at.is_none();
        self.signs.wrong_ack |= wrong;
        self.phase
    }

    fn on_client_rst(&mut self, segment: &Segment) -> Phase {
        let answers = segment.seq == self.client_isn.plus(1)
            || segment.flags.contains(Flags::ACK) && within(segment.ack, self.server_isn.plus(1));
        match self.phase {
            // Before any SYN-ACK it answers a challenge ACK of an older connection (RFC 5961 §4).
            Phase::SynSent | Phase::Refused | Phase::Unreachable | Phase::AnswerUnseen => self.phase,
            Phase::SynReceived if answers => {
                self.signs.client_went_on = true;
                Phase::ClientReset
            }
            Phase::SynReceived | Phase::ClientReset => self.phase,
            Phase::Acked | Phase::Ignored | Phase::Reset | Phase::Established => {
                self.signs.client_aborted = true;
                self.phase
            }
        }
    }

    fn on_proof(&mut self, segment: &Segment) -> Phase {
        let spoke = segment.payload > 0 || segment.flags.contains(Flags::FIN);
        self.signs.server_spoke |= spoke;
        match self.phase {
            Phase::Reset => {
                self.signs.data_after_rst = true;
                Phase::Reset
            }
            Phase::ClientReset => Phase::ClientReset,
            // Refused and unreachable were somebody else's words; the server goes on.
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived => {
                self.signs.established = true;
                // Fast Open lets the server speak before the ACK (RFC 7413 §4.2): keep waiting for it.
                if self.signs.client_went_on || self.syn_payload == 0 {
                    Phase::Established
                } else {
                    self.phase
                }
            }
            Phase::Acked | Phase::Ignored | Phase::Established => {
                self.signs.established = true;
                Phase::Established
            }
        }
    }

    fn on_rst_ack(&mut self, segment: &Segment) -> Phase {
        match self.phase {
            Phase::SynSent | Phase::Refused if self.covers_syn(segment.ack) => {
                self.rare_mut().rst_at.get_or_insert(segment.at);
                Phase::Refused
            }
            Phase::Acked | Phase::Ignored | Phase::Established => {
                self.note_rst(segment);
                self.signs.rst_window_open = segment.window != 0;
                self.signs.application_reset |= !self.signs.server_spoke && !self.signs.client_aborted;
                self.signs.established |= segment.ack.after(self.acknowledged());
                Phase::Established
            }
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived
            | Phase::ClientReset
            | Phase::Reset => self.phase,
        }
    }

    fn on_bare_rst(&mut self, segment: &Segment) -> Phase {
        self.server_rsts = self.server_rsts.saturating_add(1);
        match self.phase {
            Phase::Acked => {
                self.note_rst(segment);
                self.signs.contradicted = true;
                self.signs.rst_answers_segment = self.client_segments;
                self.signs.rst_to_first_ack = self.rst_answers_first_ack(segment);
                self.signs.rst_kernel_form = segment.window == 0 && !segment.options.any;
                self.signs.rst_ttl_differs = segment.ttl != self.synack_ttl;
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
        let round_trip = self.syn_to_synack.unwrap_or(Span::ZERO);
        // Twice the round trip and 200 ms: Linux' shortest retransmission time-out comes later.
        let soon = round_trip.scaled(2, 1).plus(Span::from_millis(200));
        self.client_segments == 1 || self.ack_at.is_some_and(|ack| segment.at.since(ack) <= soon)
    }

    fn note_rst(&mut self, segment: &Segment) {
        let after = segment.at.since(self.client_last);
        let rare = self.rare_mut();
        rare.rst_at.get_or_insert(segment.at);
        rare.ack_to_rst.get_or_insert(after);
    }

    /// Whether `segment` is a copy of one that was taken.
    pub(super) fn is_copy(&mut self, segment: &Segment) -> bool {
        self.recent.is_copy(segment)
    }

    /// How strongly the attempt shows an overflow by now; a rise is worth telling before the end.
    pub(super) fn overflow_signs(&self) -> u8 {
        match self.phase {
            Phase::Ignored => self.after_ack.min(2) as u8,
            Phase::Reset => 2,
            Phase::Acked => self.signs.data_repeats.min(2) as u8 / 2,
            Phase::SynSent
            | Phase::Refused
            | Phase::Unreachable
            | Phase::AnswerUnseen
            | Phase::SynReceived
            | Phase::ClientReset
            | Phase::Established => 0,
        }
    }

    /// Repeats by kind.
    pub(super) fn retries(&self) -> Retries {
        Retries {
            syn: self.syn.map_or(0, |syn| u32::from(syn.repeats)),
            syn_ack: self.synack.map_or(0, |synack| u32::from(synack.repeats)),
            after_ack: u32::from(self.after_ack),
        }
    }

    /// What this attempt has that few have.
    pub(super) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

fn keep(times: &mut Vec<Span>, time: Span) {
    if times.len() < Retries::TIMES_KEPT {
        times.push(time);
    }
}

/// Whether `number` is `base` or plausibly later.
fn within(number: Seq, base: Seq) -> bool {
    (0..PLAUSIBLE).contains(&number.offset_from(base))
}

/// SYN without ACK (and without RST and FIN, which no stack sends with it).
pub(super) fn is_syn(segment: &Segment) -> bool {
    segment.flags.contains(Flags::SYN)
        && !segment.flags.intersects(Flags::ACK.union(Flags::RST).union(Flags::FIN))
}

/// SYN and ACK together.
pub(super) fn is_synack(segment: &Segment) -> bool {
    segment.flags.contains(Flags::SYN.union(Flags::ACK)) && !segment.flags.contains(Flags::RST)
}
