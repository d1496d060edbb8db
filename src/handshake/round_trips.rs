//! The round trips of a handshake at one of several points, and the point's place on the path that they show.
//!
//! Owns what a capture of this point alone would show of them: the steps are those of `pending`, which takes the segments of all points
//! as one.

use std::net::IpAddr;

use super::passage::SegmentKind;
use super::retransmissions::{HandshakeSegment, NONE, Retransmissions};
use super::verdict::Vantage;
use crate::packet::{Segment, Span, Timestamp};

/// The SYN or SYN-ACK of one side at a point, and its retransmissions, which few attempts have.
#[derive(Debug, Clone, Default)]
struct Transmissions {
    first: Option<HandshakeSegment>,
    again: Option<Box<Retransmissions>>,
}

impl Transmissions {
    fn again(&self) -> &Retransmissions {
        self.again.as_deref().unwrap_or(&NONE)
    }

    /// Takes one; returns true if it is the first.
    fn take(&mut self, segment: &Segment) -> bool {
        match self.first {
            Some(first) => self.again.get_or_insert_default().add(&first, segment),
            None => self.first = Some(HandshakeSegment::new(segment)),
        }
        self.again.is_none()
    }

    /// Time from the transmission that a segment answers to the answer.
    fn answered_by(&self, answer: &Segment) -> Option<Span> {
        let (_, sent): (u8, Timestamp) = self.first?.echoed_by(self.again(), answer)?;
        Some(answer.at.since(sent))
    }

    /// True if the segment came too soon after the latest for a timer.
    fn is_doubled(&self, segment: &Segment) -> bool {
        self.first.is_some_and(|first| first.is_doubled(self.again(), segment))
    }
}

/// Times of the client's segments after the SYN-ACK, which the server's may answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientSeen {
    /// The first that acknowledges the SYN-ACK.
    pub(super) ack: Option<Timestamp>,
    /// The first data or FIN.
    pub(super) data: Option<Timestamp>,
    /// The latest.
    pub(super) last: Timestamp,
    /// The shortest time from a SYN to the SYN-ACK that may answer it, by the same clock.
    pub(super) round_trip: Option<Span>,
}

impl ClientSeen {
    /// True if the first of them carried data: a kernel acknowledges the SYN-ACK at once, so that the capture may lack that ACK.
    pub(super) fn begins_with_data(&self) -> bool {
        self.ack.is_some() && self.ack == self.data
    }
}

/// The round trips of a handshake at one point.
#[derive(Debug, Clone, Default)]
pub(super) struct RoundTrips {
    syn: Transmissions,
    synack: Transmissions,
    /// From the SYN to the SYN-ACK that answers it.
    server: Option<Span>,
    /// From the SYN-ACK to the ACK that answers it.
    client: Option<Span>,
    has_ack: bool,
    /// A segment of the client's came since the latest SYN-ACK.
    has_client: bool,
    /// SYN-ACKs that were repeated after one had come.
    after_ack: u16,
}

impl RoundTrips {
    /// Takes a segment that passed the point.
    pub(super) fn take(&mut self, kind: SegmentKind, segment: &Segment) {
        match kind {
            SegmentKind::Syn => _ = self.syn.take(segment),
            SegmentKind::SynAck => self.take_synack(segment),
            SegmentKind::Ack | SegmentKind::Data => {
                self.has_client = true;
                if !self.has_ack && self.synack.first.is_some() {
                    self.has_ack = true;
                    self.client = self.synack.answered_by(segment);
                }
            }
            SegmentKind::Reply | SegmentKind::ClientRst | SegmentKind::ServerRst => {}
        }
    }

    fn take_synack(&mut self, segment: &Segment) {
        let asked_once = self.syn.first.is_some() && self.syn.again.is_none();
        if asked_once && self.synack.is_doubled(segment) {
            return;
        }
        let answer = self.syn.answered_by(segment);
        if self.synack.take(segment) {
            self.server = answer;
        } else {
            self.after_ack = self.after_ack.saturating_add(u16::from(self.has_client));
        }
        self.has_client = false;
    }

    /// True if the client acknowledged the SYN-ACK here.
    pub(super) const fn has_ack(&self) -> bool {
        self.has_ack
    }

    /// The shortest time from a SYN to the SYN-ACK that may answer it, if that is known.
    pub(super) fn least_server(&self) -> Option<Span> {
        let synack = self.synack.first.filter(|_| self.server.is_some())?;
        Some(self.syn.first?.latest_before(self.syn.again(), synack.first))
    }

    /// SYN-ACKs that were repeated after a segment of the client's had come here.
    pub(super) const fn after_ack(&self) -> u16 {
        self.after_ack
    }

    /// The point's place on the path between these addresses.
    pub(super) fn vantage(&self, ends: [IpAddr; 2]) -> Option<Vantage> {
        Vantage::by_round_trips(self.server, self.client, ends)
    }
}
