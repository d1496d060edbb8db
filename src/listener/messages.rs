//! The messages of one attempt, each with what it means for the handshake: the content of a message diagram.
//!
//! Follows the attempt's record: a SYN-ACK is a retransmission exactly where the record has its time, so that a diagram
//! never contradicts the counts beside it. Does not own the layout nor the sentences (`report`).

use std::net::IpAddr;

use smallvec::SmallVec;

use super::message_points::{SegmentOrigin, points_on_way};
use super::schedule::has_run_out;
use crate::handshake::{Attempt, Fact, Verdict, signature};
use crate::packet::{
    CapturePoint, Flags, FrameRef, IcmpError, Packet, Segment, Seq, Span, Timestamp, Unreachable,
};

/// A packet of an attempt, with the number of its duplicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Time of capture.
    pub at: Timestamp,
    /// Position of the packet in the input.
    pub frame: FrameRef,
    /// The end that sent it.
    pub sender: Sender,
    /// The sender's address where it is neither end's: a router, or a server that answers from elsewhere.
    pub other_sender: Option<IpAddr>,
    /// TCP's control bits; none for an ICMP error.
    pub flags: Flags,
    /// Sequence number from the sender's initial one, which is 0.
    pub seq: i64,
    /// Acknowledgment number from the receiver's initial sequence number; `None` without ACK.
    pub ack: Option<i64>,
    /// Bytes of payload.
    pub payload: u32,
    /// Further captures of the same packet, at a point where it was seen already.
    pub duplicates: u32,
    /// The points where it was seen, in order of capture. One that is not known where points are not told apart.
    pub seen: SmallVec<[CapturePoint; 4]>,
    /// The points of the attempt ([`points_on_way`]) that missed it; none for an ICMP error, which any router may send.
    pub unseen: SmallVec<[CapturePoint; 2]>,
    /// Meaning of the message for the handshake.
    pub meaning: MessageMeaning,
}

/// The end of a connection that sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The end that connects.
    Client,
    /// The end that is connected to, or a router on its side.
    Server,
}

/// Meaning of a message for the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageMeaning {
    /// The client's first SYN.
    Syn,
    /// The SYN again, by the client's timer.
    SynRetry {
        /// Number of the retry, from 1.
        number: u32,
        /// Retries in all.
        of: u32,
        /// True if a SYN-ACK had come before.
        after_synack: bool,
    },
    /// The first SYN-ACK.
    SynAck {
        /// Retries of the SYN before it.
        after_retries: u32,
    },
    /// A SYN-ACK that answers a retry of the SYN, and was not sent by a timer.
    SynAckToRetry,
    /// The SYN-ACK again, by the server's timer.
    SynAckRetransmission {
        /// Number of the retransmission, from 1.
        number: u32,
        /// Retransmissions in all.
        of: u32,
        /// True if the client's ACK had come before.
        after_ack: bool,
    },
    /// A SYN-ACK with another initial sequence number.
    OtherSynAck,
    /// The first ACK of the SYN-ACK: the client is connected.
    Ack,
    /// The same ACK again.
    AckAgain,
    /// An ACK of a number that the SYN-ACK did not offer.
    WrongAck,
    /// Data of the client; `retransmission` counts from 1, 0 is the first transmission.
    ClientData {
        /// Number of the retransmission.
        retransmission: u32,
        /// True if it is also the first ACK of the SYN-ACK.
        connects: bool,
    },
    /// The client's FIN.
    ClientFin {
        /// True if it was sent before.
        again: bool,
    },
    /// The client acknowledges on an established connection.
    ClientAck,
    /// The client's RST answers the SYN-ACK.
    ClientReset,
    /// The client's RST on a connection that it had finished.
    ClientAbort,
    /// The server's first segment that proves the connection.
    Established,
    /// A later segment of an established connection from the server.
    ServerSegment,
    /// The server's FIN.
    ServerFin,
    /// A segment of the server before any SYN-ACK, or with numbers of another connection.
    OldNumbers,
    /// A SYN without ACK from the server: both ends connect.
    ServerSyn,
    /// RST answers the SYN.
    Refused {
        /// True if its acknowledgment number fits the SYN.
        fits: bool,
    },
    /// RST from the server after its SYN-ACK, before any ACK: it gives the request up.
    RequestReset,
    /// A bare RST from the server after the client's ACK.
    BareReset,
    /// RST with ACK from the server after the client's ACK.
    AckReset,
    /// An ICMP error about the attempt.
    Icmp(IcmpError),
    /// A segment of the connection that something between client and server made to the server.
    BehindProxy,
}

impl MessageMeaning {
    /// True if the message shows that something is wrong.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        match self {
            Self::SynRetry { .. }
            | Self::SynAckRetransmission { .. }
            | Self::OtherSynAck
            | Self::WrongAck
            | Self::ClientData { retransmission: 1.., .. }
            | Self::ClientFin { again: true }
            | Self::ClientReset
            | Self::OldNumbers
            | Self::Refused { .. }
            | Self::RequestReset
            | Self::BareReset
            | Self::AckReset
            | Self::Icmp(_) => true,
            Self::Syn
            | Self::SynAck { .. }
            | Self::SynAckToRetry
            | Self::Ack
            | Self::AckAgain
            | Self::ClientData { .. }
            | Self::ClientFin { .. }
            | Self::ClientAck
            | Self::ClientAbort
            | Self::Established
            | Self::ServerSegment
            | Self::ServerFin
            | Self::ServerSyn
            | Self::BehindProxy => false,
        }
    }
}

/// End of an attempt that its messages do not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilentEnd {
    /// The server's retransmissions ran out after the client's ACK.
    RequestExpired,
    /// No further packet for this time, to the end of the capture.
    Silent(Span),
}

/// The end of an attempt whose last message leaves it open.
#[must_use]
pub fn ending(attempt: &Attempt) -> Option<SilentEnd> {
    /// A shorter silence is that between two segments of any handshake.
    const MIN_SILENCE: Span = Span::from_millis(100);
    match attempt.verdict {
        Verdict::SynackRetransmitted if has_run_out(attempt) => Some(SilentEnd::RequestExpired),
        Verdict::SynackRetransmitted | Verdict::AckIgnored | Verdict::Unanswered | Verdict::HalfOpen => {
            attempt.silence.filter(|&silence| silence >= MIN_SILENCE).map(SilentEnd::Silent)
        }
        Verdict::Completed
        | Verdict::CompletedLate
        | Verdict::ResetAfterAck
        | Verdict::Refused
        | Verdict::Unreachable
        | Verdict::ClientReset
        | Verdict::Undetermined => None,
    }
}

/// The messages of an attempt, from its packets in the order of the input.
#[must_use]
pub fn messages(attempt: &Attempt, packets: impl IntoIterator<Item = Packet>) -> Vec<Message> {
    let mut reader = MessageReader::new(attempt);
    for packet in packets {
        match packet {
            Packet::Segment(segment) => reader.segment(&segment),
            Packet::Unreachable(error) => reader.icmp(&error),
        }
    }
    let points = points_on_way(attempt);
    let (syn_retries, synack_retransmissions) = (reader.syn_retries, reader.synack_retransmissions);
    for message in &mut reader.messages {
        // Of an attempt that goes on its record has fewer than there are packets by now.
        match &mut message.meaning {
            MessageMeaning::SynRetry { of, .. } => *of = (*of).max(syn_retries),
            MessageMeaning::SynAckRetransmission { of, .. } => *of = (*of).max(synack_retransmissions),
            _ => {}
        }
        // The last packet of an attempt that goes on may be on its way still.
        let is_underway = attempt.silence == Some(Span::ZERO) && message.at >= attempt.end;
        if !is_underway && !matches!(message.meaning, MessageMeaning::Icmp(_)) {
            let missing = points.iter().filter(|point| !message.seen.contains(point));
            message.unseen = missing.copied().collect();
        }
    }
    reader.messages
}

/// Time after an attempt's last packet in which a duplicate of it may be captured.
const AFTERWARDS: Span = Span::from_millis(1);

/// An ICMP error comes no later at another point.
const SAME_ERROR: Span = Span::from_secs(1);

/// State of a handshake as its messages are read.
struct MessageReader<'a> {
    attempt: &'a Attempt,
    messages: Vec<Message>,
    /// The segment of each message, and whether the client sent it, to recognise further captures by.
    segments: Vec<Option<(Segment, bool)>>,
    /// The server's initial sequence number, and the time of its first SYN-ACK.
    synack: Option<(Seq, Timestamp)>,
    /// The same of the latest SYN-ACK with another number.
    other_synack: Option<(Seq, Timestamp)>,
    syn_retries: u32,
    synack_retransmissions: u32,
    acked: bool,
    established: bool,
    /// The end of the client's data so far, from its initial sequence number, and retransmissions of it.
    sent: i64,
    data_retransmissions: u32,
    client_fin: bool,
}

impl<'a> MessageReader<'a> {
    fn new(attempt: &'a Attempt) -> Self {
        Self {
            attempt,
            messages: Vec::new(),
            segments: Vec::new(),
            synack: None,
            other_synack: None,
            syn_retries: 0,
            synack_retransmissions: 0,
            acked: false,
            established: false,
            sent: 1,
            data_retransmissions: 0,
            client_fin: false,
        }
    }

    fn icmp(&mut self, error: &Unreachable) {
        let (point, meaning) = (error.frame.point(), MessageMeaning::Icmp(error.icmp));
        let other_sender = Some(error.from).filter(|&from| from != self.attempt.server.ip());
        let seen_elsewhere = self.messages.iter_mut().rev().find(|message| {
            (message.meaning, message.other_sender) == (meaning, other_sender)
                && point.is_single()
                && !message.seen.contains(&point)
                && error.at.since(message.at).abs() <= SAME_ERROR
        });
        if let Some(message) = seen_elsewhere {
            message.seen.push(point);
            return;
        }
        self.segments.push(None);
        self.messages.push(Message {
            at: error.at,
            frame: error.frame,
            sender: Sender::Server,
            other_sender,
            flags: Flags::default(),
            seq: 0,
            ack: None,
            payload: 0,
            duplicates: 0,
            seen: SmallVec::from_iter([point]),
            unseen: SmallVec::new(),
            meaning,
        });
    }

    fn segment(&mut self, segment: &Segment) {
        let point = segment.frame.point();
        let source = segment.flow.source(segment.direction);
        let origin = SegmentOrigin::of(self.attempt, segment);
        let from_client = origin.map_or(source == self.attempt.client, |origin| origin.is_clients);
        if let Some(place) = self.known(segment, from_client) {
            if let Some(message) = self.messages.get_mut(place) {
                match message.seen.contains(&point) {
                    true => message.duplicates += 1,
                    false => message.seen.push(point),
                }
            }
            return;
        }
        if origin.is_some() && segment.at > self.attempt.end.plus(AFTERWARDS) {
            // Kept for the sightings of the attempt's last packets; this one is a later packet.
            return;
        }
        let to_other = segment.flow.destination(segment.direction) != self.attempt.server;
        if origin.is_none() && from_client && to_other && segment.flags.contains(Flags::SYN) {
            // The same SYN behind an address translation: another sighting, not another message.
            return;
        }
        let (seq, ack) = self.relative(segment, from_client);
        let meaning = if origin.is_some_and(|origin| origin.is_behind_proxy) {
            MessageMeaning::BehindProxy
        } else if from_client {
            self.client_segment(segment, seq, ack)
        } else {
            self.server_segment(segment, ack)
        };
        // The first SYN-ACK sets the numbers that it is shown by.
        let (seq, ack) = self.relative(segment, from_client);
        let is_asked = from_client || origin.is_some_and(|origin| origin.was_asked);
        self.segments.push(Some((*segment, from_client)));
        self.messages.push(Message {
            at: segment.at,
            frame: segment.frame,
            sender: if from_client { Sender::Client } else { Sender::Server },
            other_sender: Some(source.ip()).filter(|&ip| !is_asked && ip != self.attempt.server.ip()),
            flags: segment.flags,
            seq,
            ack: ack.filter(|_| segment.flags.contains(Flags::ACK)),
            payload: segment.payload,
            duplicates: 0,
            seen: SmallVec::from_iter([point]),
            unseen: SmallVec::new(),
            meaning,
        });
    }

    /// The message that a segment was seen as before: at another point, which each transmission passes once, or at this one.
    fn known(&self, segment: &Segment, from_client: bool) -> Option<usize> {
        let point = segment.frame.point();
        let alike = |known: &Option<(Segment, bool)>| {
            known.is_some_and(|(known, sender)| {
                sender == from_client
                    && known.flags == segment.flags
                    && signature(&known) == signature(segment)
            })
        };
        let is_elsewhere = |message: &Message| !message.seen.contains(&point);
        let elsewhere = || {
            let mut all = self.segments.iter().zip(&self.messages);
            all.rposition(|(known, message)| alike(known) && is_elsewhere(message))
        };
        let elsewhere = point.is_single().then(elsewhere).flatten();
        let is_duplicate = |known: &Option<(Segment, bool)>| {
            known.is_some_and(|(known, sender)| {
                sender == from_client && is_duplicate(&known, segment, self.attempt)
            })
        };
        elsewhere.or_else(|| match self.is_timed(segment) {
            true => None,
            false => self.segments.iter().rposition(is_duplicate),
        })
    }

    /// Sequence and acknowledgment number from the initial ones.
    fn relative(&self, segment: &Segment, from_client: bool) -> (i64, Option<i64>) {
        let client = Some(self.attempt.client_isn);
        let server = self.synack.map(|(isn, _)| isn);
        let (own, other) = if from_client { (client, server) } else { (server, client) };
        let from = |number: Seq, base: Option<Seq>| i64::from(number.offset_from(base.unwrap_or(number)));
        let ack = other.map(|base| from(segment.ack, Some(base)));
        (from(segment.seq, own), ack)
    }

    /// Place of a retry or retransmission in the record's times, if it is one.
    fn timed(times: &[Span], first: Timestamp, at: Timestamp) -> Option<usize> {
        times.iter().position(|&time| first.plus(time) == at)
    }

    /// True if the record counts the segment as a retry or a retransmission.
    fn is_timed(&self, segment: &Segment) -> bool {
        let attempt = self.attempt;
        match (segment.flags.contains(Flags::SYN), segment.flags.contains(Flags::ACK), self.synack) {
            (true, false, _) => Self::timed(&attempt.syn_retry_at, attempt.start, segment.at).is_some(),
            (true, true, Some((_, first))) => Self::timed(&attempt.retry_at, first, segment.at).is_some(),
            _ => false,
        }
    }

    fn client_segment(&mut self, segment: &Segment, seq: i64, ack: Option<i64>) -> MessageMeaning {
        let flags = segment.flags;
        if flags.contains(Flags::RST) {
            return if self.acked { MessageMeaning::ClientAbort } else { MessageMeaning::ClientReset };
        }
        if flags.contains(Flags::SYN) {
            return self.client_syn(segment);
        }
        if self.attempt.verdict == Verdict::Unanswered {
            return MessageMeaning::OldNumbers;
        }
        let end = seq + i64::from(segment.payload);
        if ack != Some(1) && !self.established && self.synack.is_some() && !self.acked {
            let taken = self.other_synack.filter(|&(isn, _)| segment.ack == isn.plus(1));
            if taken.is_none() {
                return MessageMeaning::WrongAck;
            }
            // The record's times are those of the SYN-ACK that the client took.
            self.synack = taken;
        }
        let connects = !std::mem::replace(&mut self.acked, true);
        if flags.contains(Flags::FIN) {
            let again = std::mem::replace(&mut self.client_fin, true);
            self.sent = self.sent.max(end);
            return MessageMeaning::ClientFin { again };
        }
        if segment.payload > 0 {
            let again = end <= self.sent;
            self.data_retransmissions += u32::from(again);
            self.sent = self.sent.max(end);
            let retransmission = if again { self.data_retransmissions } else { 0 };
            return MessageMeaning::ClientData { retransmission, connects };
        }
        match (connects, self.established) {
            (true, _) => MessageMeaning::Ack,
            (false, true) => MessageMeaning::ClientAck,
            (false, false) => MessageMeaning::AckAgain,
        }
    }

    fn client_syn(&mut self, segment: &Segment) -> MessageMeaning {
        let is_first = !self.messages.iter().any(|message| message.meaning == MessageMeaning::Syn);
        if is_first && segment.at <= self.attempt.start {
            return MessageMeaning::Syn;
        }
        let of = self.attempt.retries.syn.max(1);
        let most = if self.is_later(segment) { u32::MAX } else { of };
        self.syn_retries = (self.syn_retries + 1).min(most);
        MessageMeaning::SynRetry { number: self.syn_retries, of, after_synack: self.synack.is_some() }
    }

    /// True if the attempt's record was made before the segment came.
    fn is_later(&self, segment: &Segment) -> bool {
        segment.at > self.attempt.end.plus(AFTERWARDS)
    }

    /// True if the latest message is a retry of the SYN.
    fn follows_syn_retry(&self) -> bool {
        let latest = self.messages.last().map(|message| message.meaning);
        matches!(latest, Some(MessageMeaning::SynRetry { .. }))
    }

    fn server_segment(&mut self, segment: &Segment, ack: Option<i64>) -> MessageMeaning {
        let flags = segment.flags;
        if flags.contains(Flags::SYN) {
            return self.server_syn(segment);
        }
        if flags.contains(Flags::RST) {
            return match (self.acked, flags.contains(Flags::ACK)) {
                (true, false) => MessageMeaning::BareReset,
                (true, true) => MessageMeaning::AckReset,
                (false, _) if self.synack.is_some() && self.attempt.verdict != Verdict::Refused => {
                    MessageMeaning::RequestReset
                }
                (false, _) => MessageMeaning::Refused { fits: ack.is_some_and(|ack| ack >= 1) },
            };
        }
        let Some((isn, _)) = self.synack else { return MessageMeaning::OldNumbers };
        /// Largest window of TCP, with scaling (RFC 7323 §2.3).
        const WINDOW: i32 = 1 << 30;
        if !(0..WINDOW).contains(&segment.seq.offset_from(isn)) {
            return MessageMeaning::OldNumbers;
        }
        if flags.contains(Flags::FIN) {
            self.established = true;
            return MessageMeaning::ServerFin;
        }
        let proves = segment.payload > 0 || ack.is_some_and(|ack| ack > 1);
        if proves && !self.established {
            self.established = true;
            return MessageMeaning::Established;
        }
        MessageMeaning::ServerSegment
    }

    fn server_syn(&mut self, segment: &Segment) -> MessageMeaning {
        if !segment.flags.contains(Flags::ACK) {
            return MessageMeaning::ServerSyn;
        }
        let Some((isn, first)) = self.synack else {
            self.synack = Some((segment.seq, segment.at));
            return MessageMeaning::SynAck { after_retries: self.syn_retries };
        };
        if segment.seq != isn {
            self.other_synack = Some((segment.seq, segment.at));
            return MessageMeaning::OtherSynAck;
        }
        let of = self.attempt.retries.syn_ack;
        let times = &self.attempt.retry_at;
        let number = match Self::timed(times, first, segment.at) {
            Some(place) => place as u32 + 1,
            // The record keeps the times of the first retransmissions only.
            None if times.len() < of as usize && self.synack_retransmissions as usize >= times.len() => {
                (self.synack_retransmissions + 1).min(of)
            }
            None if self.is_later(segment) && !self.follows_syn_retry() => self.synack_retransmissions + 1,
            None => return MessageMeaning::SynAckToRetry,
        };
        self.synack_retransmissions = number;
        MessageMeaning::SynAckRetransmission { number, of, after_ack: self.acked }
    }
}

/// True if `segment` is the packet of `known`, captured again.
fn is_duplicate(known: &Segment, segment: &Segment, attempt: &Attempt) -> bool {
    /// The windows of the tracker (`handshake/duplicates.rs`).
    const BY_STAMP: Span = Span::from_secs(130);
    const BY_STILL_CLOCK: Span = Span::from_millis(100);
    const BY_TIME: Span = Span::from_millis(5);
    let same = |s: &Segment| (s.flags, s.seq, s.ack, s.payload, s.window, s.ip_id, s.options.timestamps());
    let window = match segment.options.timestamps() {
        Some((tsval, _)) if tsval != 0 && attempt.facts.has(Fact::ClockStill) => BY_STILL_CLOCK,
        Some((tsval, _)) if tsval != 0 => BY_STAMP,
        Some(_) | None if segment.own_ip_id().is_some() => BY_STAMP,
        Some(_) | None => BY_TIME,
    };
    same(known) == same(segment) && segment.at.since(known.at).abs() <= window
}
