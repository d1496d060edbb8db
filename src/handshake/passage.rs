//! The passage of an attempt by several points: which of its segments were seen where, and under which addresses
//! (DOMAIN §7).
//!
//! Owns the comparison of points: a segment that passed one and not the next was lost between them. Does not own how flows
//! under several addresses are joined (`engine`), nor what a loss means (`listener`).

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use strum::{EnumCount, EnumIter, IntoStaticStr};

use super::verdict::Vantage;
use crate::packet::{
    CapturePoint, Direction, Endpoint, Flags, FlowKey, FrameRef, PathOrder, Segment, Seq, Span, Timestamp,
};

/// The addresses under which a packet was captured, where it is counted with another flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnFlow {
    /// The flow.
    pub flow: FlowKey,
    /// The packet's direction within it.
    pub direction: Direction,
}

/// Kinds of segments that are compared between points.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, EnumCount, EnumIter, IntoStaticStr, Serialize, Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[repr(u8)]
pub enum SegmentKind {
    /// The client's SYN.
    Syn,
    /// The server's SYN-ACK.
    SynAck,
    /// An ACK of the client's without data.
    Ack,
    /// Data or FIN from the client.
    Data,
    /// Any other segment of the server's.
    Reply,
    /// RST from the client.
    ClientRst,
    /// RST from the server.
    ServerRst,
}

impl SegmentKind {
    pub(super) fn of(segment: &Segment, from_client: bool) -> Self {
        let has = |flags: Flags| segment.flags.contains(flags);
        match from_client {
            true if has(Flags::SYN) => Self::Syn,
            true if has(Flags::RST) => Self::ClientRst,
            true if segment.payload > 0 || has(Flags::FIN) => Self::Data,
            true => Self::Ack,
            false if has(Flags::SYN.union(Flags::ACK)) => Self::SynAck,
            false if has(Flags::RST) => Self::ServerRst,
            false => Self::Reply,
        }
    }

    /// True if the client sends it.
    #[must_use]
    pub const fn is_from_client(self) -> bool {
        match self {
            Self::Syn | Self::Ack | Self::Data | Self::ClientRst => true,
            Self::SynAck | Self::Reply | Self::ServerRst => false,
        }
    }
}

/// Segments of one kind that passed a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PassedSegments {
    /// Their number, duplicates at the same point excluded.
    pub packets: u16,
    /// Times of the first and the last; `None` if there is none.
    pub times: Option<(Timestamp, Timestamp)>,
}

/// An attempt as one point saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The point.
    pub point: CapturePoint,
    /// The client's address there.
    pub client: Endpoint,
    /// The server's address there.
    pub server: Endpoint,
    /// The attempt's first packet there.
    pub frame: FrameRef,
    /// Place on the path, as the timing there shows it: what this point's capture alone would say.
    pub vantage: Option<Vantage>,
    /// SYN-ACKs that were repeated here after a segment of the client's had come.
    pub(super) after_ack: u16,
    /// TTL of its first SYN there; 0 without one.
    syn_ttl: u8,
    passed: [PassedSegments; SegmentKind::COUNT],
    /// The end of the client's data that passed.
    data_end: Option<Seq>,
    /// True if the SYN came here first once the client's was answered elsewhere: something between answered, and connected to the
    /// server itself.
    pub is_behind_proxy: bool,
}

impl Sighting {
    /// The segments of this kind that passed.
    #[must_use]
    pub const fn passed(&self, kind: SegmentKind) -> PassedSegments {
        self.passed[kind as usize]
    }

    /// True if a segment of this kind passed.
    #[must_use]
    pub const fn has(&self, kind: SegmentKind) -> bool {
        self.passed(kind).packets > 0
    }

    /// True if the client's SYN passed here, and no proxy's.
    const fn is_on_path(&self) -> bool {
        self.has(SegmentKind::Syn) && !self.is_behind_proxy
    }

    /// All segments that passed.
    fn packets(&self) -> usize {
        self.passed.iter().map(|passed| usize::from(passed.packets)).sum()
    }

    /// An attempt between these ends, whose first packet there is this frame, and nothing passed yet.
    pub(super) fn new(frame: FrameRef, (client, server): (Endpoint, Endpoint)) -> Self {
        Self {
            point: frame.point(),
            client,
            server,
            frame,
            vantage: None,
            after_ack: 0,
            syn_ttl: 0,
            passed: [PassedSegments::default(); SegmentKind::COUNT],
            data_end: None,
            is_behind_proxy: false,
        }
    }

    /// True if this is the point, with these addresses.
    pub(super) fn is(&self, point: CapturePoint, (client, server): (Endpoint, Endpoint)) -> bool {
        self.point == point && self.client == client && self.server == server
    }

    /// Adds a segment that passed.
    pub(super) fn add(&mut self, kind: SegmentKind, segment: &Segment) {
        let at = segment.at;
        let passed = &mut self.passed[kind as usize];
        passed.packets = passed.packets.saturating_add(1);
        let (first, last) = passed.times.unwrap_or((at, at));
        passed.times = Some((first.min(at), last.max(at)));
        match kind {
            SegmentKind::Syn if passed.packets == 1 => self.syn_ttl = segment.ttl,
            SegmentKind::Data => {
                let end = segment.seq.plus(segment.payload);
                let further = self.data_end.is_none_or(|known| end.after(known));
                self.data_end = if further { Some(end) } else { self.data_end };
            }
            _ => {}
        }
    }

    fn first(&self, kind: SegmentKind) -> Option<Timestamp> {
        self.passed(kind).times.map(|(first, _)| first)
    }

    /// Time by which the attempt's packets came earlier here than at another point on their way to the server: of the SYN, else of
    /// what both saw.
    fn ahead_of(&self, other: &Self) -> Option<Span> {
        let between = |kind: SegmentKind| {
            let ahead = other.first(kind)?.since(self.first(kind)?);
            Some(if kind.is_from_client() { ahead } else { Span::ZERO.minus(ahead) })
        };
        [SegmentKind::Syn, SegmentKind::Ack, SegmentKind::Data, SegmentKind::SynAck]
            .into_iter()
            .find_map(between)
    }

    /// True if packets from the client pass this point before the other.
    pub(super) fn is_before(&self, other: &Self, path: &PathOrder) -> bool {
        if let Some((own, others)) = path.place(self.point).zip(path.place(other.point))
            && own != others
        {
            return own < others;
        }
        if self.syn_ttl > 0 && other.syn_ttl > 0 && self.syn_ttl != other.syn_ttl {
            return self.syn_ttl > other.syn_ttl;
        }
        self.ahead_of(other).is_some_and(|ahead| ahead > Span::ZERO)
    }
}

/// Segments that passed one point and not the next one on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentLoss {
    /// Their kind.
    pub kind: SegmentKind,
    /// Their number; of data 1, whatever is missing.
    pub packets: u16,
    /// The last point that they passed.
    pub from: CapturePoint,
    /// The point that they did not reach.
    pub to: CapturePoint,
    /// Both are interfaces of one capture, and so of one host.
    pub within_host: bool,
}

/// A segment that was not seen at all points which the SYN passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnseenSegment {
    pub(super) kind: SegmentKind,
    /// Time at the first point that it passed.
    pub(super) sent: Timestamp,
    /// A bit for each sighting that has it.
    pub(super) seen: u8,
}

/// True if a segment that has been under way for so long does not come any more, where the slowest took this time.
pub(super) fn is_past(under_way: Span, longest: Span) -> bool {
    /// For jitter, besides the same time again.
    const SLACK: Span = Span::from_millis(5);
    under_way > longest.scaled(2, 1).plus(SLACK)
}

/// All sightings of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// In order of the way from client to server.
    pub sightings: Vec<Sighting>,
    /// Segments that were not seen wherever the SYN was.
    pub(super) unseen: Vec<UnseenSegment>,
    /// The longest time that a segment took from one of its points to another.
    pub longest_transit: Span,
    /// Time until which its segments would have been seen.
    pub(super) until: Timestamp,
    /// Not all segments and points could be kept, so that none is known to be missing.
    pub is_partial: bool,
}

impl Passage {
    /// The client's address where it was seen nearest to the client, and the server's nearest to the server.
    #[must_use]
    pub fn ends(&self) -> Option<(Endpoint, Endpoint)> {
        let mut asked = self.sightings.iter().filter(|sighting| sighting.has(SegmentKind::Syn));
        let first = asked.next().or(self.sightings.first())?;
        let last = asked.next_back().unwrap_or(first);
        Some((first.client, last.server))
    }

    /// The points that the client's SYN passed, in order.
    pub fn on_path(&self) -> impl DoubleEndedIterator<Item = &Sighting> {
        self.sightings.iter().filter(|sighting| sighting.is_on_path())
    }

    /// Place of the points on the path. It is near the server if the last one is, and the client's segments reached that before so
    /// many SYN-ACKs were repeated: it has seen what the others have. Else it is that of the first.
    #[must_use]
    pub(super) fn vantage(&self, after_ack: u16) -> Option<Vantage> {
        let (first, last) = (self.on_path().next()?, self.on_path().next_back()?);
        let is_near = last.vantage == Some(Vantage::Server) && last.after_ack >= after_ack;
        if is_near { last.vantage } else { first.vantage }
    }

    /// The SYN-ACKs of a proxy: they passed the client's point, and the server's saw no SYN until they were answered.
    #[must_use]
    pub fn answered_between(&self) -> Option<SegmentLoss> {
        let near = self.on_path().next_back()?;
        let far = self.sightings.iter().find(|sighting| sighting.is_behind_proxy)?;
        self.loss(SegmentKind::SynAck, near.passed(SegmentKind::SynAck).packets, far, near)
    }

    /// Each two points that follow one another on the SYN's way, the one nearer to the client first. A segment passed both: over
    /// parallel ways, as of a bond that shares out packets, none does.
    pub fn neighbours(&self) -> impl DoubleEndedIterator<Item = (&Sighting, &Sighting)> {
        let path = self.sightings.iter().enumerate().filter(|(_, sighting)| sighting.is_on_path());
        let next = path.clone().skip(1);
        let pairs = path.zip(next).filter(|((one, _), (other, _))| self.share_segment(*one, *other));
        let pairs: SmallVec<[(&Sighting, &Sighting); 4]> =
            pairs.map(|((_, near), (_, far))| (near, far)).collect();
        pairs.into_iter()
    }

    /// True if a segment was seen at both of these sightings, which the SYN passed.
    fn share_segment(&self, one: usize, other: usize) -> bool {
        let has = |seen: u8, place: usize| seen >> place & 1 == 1;
        let unseen = || self.unseen.iter().filter(|unseen| has(unseen.seen, one));
        let packets = self.sightings.get(one).map_or(0, Sighting::packets);
        unseen().any(|unseen| has(unseen.seen, other)) || packets > unseen().count()
    }

    /// So many segments that passed one point and not the other; `None` if there are none, or that is not sure.
    fn loss(&self, kind: SegmentKind, packets: u16, from: &Sighting, to: &Sighting) -> Option<SegmentLoss> {
        let within_host = from.frame.capture() == to.frame.capture();
        let loss = SegmentLoss { kind, packets, from: from.point, to: to.point, within_host };
        Some(loss).filter(|loss| loss.packets > 0 && loss.from != loss.to && !self.is_partial)
    }

    /// The first loss of segments of this kind between two points that the SYN passed.
    #[must_use]
    pub fn lost(&self, kind: SegmentKind) -> Option<SegmentLoss> {
        let between = |from: &Sighting, to: &Sighting| {
            let packets = match kind {
                SegmentKind::Data => {
                    let end = from.data_end?;
                    u16::from(to.data_end.is_none_or(|reached| end.after(reached)))
                }
                _ => from.passed(kind).packets.saturating_sub(to.passed(kind).packets),
            };
            self.loss(kind, packets, from, to)
        };
        if kind.is_from_client() {
            return self.neighbours().find_map(|(near, far)| between(near, far));
        }
        self.neighbours().rev().find_map(|(near, far)| between(far, near))
    }

    /// The part of a loss whose segments would have reached the next point by now, where others took up to so long on this way.
    #[must_use]
    pub fn lost_for_good(&self, loss: SegmentLoss, longest: Span) -> Option<SegmentLoss> {
        let longest = self.longest_transit.max(longest);
        let is_lost = |sent: Timestamp| is_past(self.until.since(sent), longest);
        let place = |point| self.sightings.iter().position(|sighting| sighting.point == point);
        // Data is compared by its numbers: all that was sent again is missing, too.
        if loss.kind != SegmentKind::Data
            && let Some((from, to)) = place(loss.from).zip(place(loss.to))
        {
            let lost = self.unseen(loss.kind, from, to).filter(|&sent| is_lost(sent)).count();
            let packets = loss.packets.min(u16::try_from(lost).unwrap_or(u16::MAX));
            return Some(SegmentLoss { packets, ..loss }).filter(|loss| loss.packets > 0);
        }
        let times = place(loss.from).and_then(|from| self.sightings.get(from)?.passed(loss.kind).times);
        let sent = times.map(|(first, last)| if loss.kind == SegmentKind::Data { last } else { first });
        Some(loss).filter(|_| sent.is_none_or(is_lost))
    }

    /// Time at which the first segment of a loss passed the last point that it did.
    #[must_use]
    pub fn lost_since(&self, loss: &SegmentLoss) -> Option<Timestamp> {
        let place = |point| self.sightings.iter().position(|sighting| sighting.point == point);
        let (from, to) = (place(loss.from)?, place(loss.to)?);
        let (_, last) = self.sightings.get(from)?.passed(loss.kind).times?;
        Some(self.unseen(loss.kind, from, to).min().unwrap_or(last))
    }

    /// True if what the client sent before a repeated SYN-ACK, and did not reach the server's point by then, would have come
    /// since.
    #[must_use]
    pub fn is_ack_final(&self, longest: Span) -> bool {
        let mut on_path = self.sightings.iter().enumerate().filter(|(_, one)| one.has(SegmentKind::Syn));
        let (Some((from, _)), Some((to, _))) = (on_path.next(), on_path.next_back()) else { return true };
        let sent = self.unseen(SegmentKind::Ack, from, to).min();
        sent.is_none_or(|sent| is_past(self.until.since(sent), self.longest_transit.max(longest)))
    }

    /// True if every segment of this kind that was seen at all was seen at all points which the SYN passed; `None` where there is
    /// one such point only, or none of the segments.
    #[must_use]
    pub fn has_passed(&self, kind: SegmentKind) -> Option<bool> {
        let (mut path, unseen) = (self.on_path(), self.unseen.iter().any(|one| one.kind == kind));
        let several = self.on_path().nth(1).is_some() && !self.is_partial;
        (several && path.all(|sighting| sighting.has(kind) || unseen)).then_some(!unseen)
    }

    /// Times at which segments of this kind were sent that were seen at one place and not at the other.
    fn unseen(&self, kind: SegmentKind, from: usize, to: usize) -> impl Iterator<Item = Timestamp> {
        let has = |seen: u8, place: usize| seen >> place & 1 == 1;
        let is_missing =
            move |one: &&UnseenSegment| one.kind == kind && has(one.seen, from) && !has(one.seen, to);
        self.unseen.iter().filter(is_missing).map(|one| one.sent)
    }

    /// True if the server had sent its RST when the client's first data came to the point nearest to it: the client had
    /// sent it before. Data that no point saw may be missing from the capture.
    #[must_use]
    pub fn is_reset_before_data(&self) -> bool {
        let Some(last) = self.on_path().next_back() else { return false };
        let sent = self.on_path().any(|point| point.has(SegmentKind::Data));
        last.first(SegmentKind::ServerRst)
            .is_some_and(|reset| last.first(SegmentKind::Data).map_or(sent, |data| reset < data))
    }

    /// Time from the SYN to its SYN-ACK at the point nearest to the server.
    #[must_use]
    pub fn server_round_trip(&self) -> Option<Span> {
        let last = self.on_path().next_back()?;
        let answered = last.first(SegmentKind::SynAck)?.since(last.first(SegmentKind::Syn)?);
        Some(answered).filter(|&answered| answered >= Span::ZERO)
    }

    /// Segments of the server's that passed a point, and not the one before it on their way: something between sent them.
    #[must_use]
    pub fn made_between(&self, kind: SegmentKind) -> Option<SegmentLoss> {
        self.neighbours().filter(|(_, far)| !far.has(kind)).find_map(|(near, far)| {
            // On their way these come from the far point.
            self.loss(kind, near.passed(kind).packets, far, near)
        })
    }

    /// The address from which the SYN was answered at the client's first point, if that is not the address which it asked: a
    /// NAT that is undone on one way only.
    #[must_use]
    pub fn answered_from(&self) -> Option<Endpoint> {
        let answers =
            |sighting: &Sighting| sighting.has(SegmentKind::SynAck) || sighting.has(SegmentKind::ServerRst);
        let asked = self.on_path().next().filter(|asked| !answers(asked))?;
        let other = self.sightings.iter().find(|other| {
            let untranslated = !other.has(SegmentKind::Syn) || other.has(SegmentKind::ClientRst);
            other.point == asked.point && other.server != asked.server && answers(other) && untranslated
        });
        other.map(|other| other.server)
    }
}
