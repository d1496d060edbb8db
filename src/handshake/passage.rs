//! The passage of an attempt by several points: which of its segments were seen where, and under which addresses
//! (DOMAIN §7).
//!
//! Owns the comparison of points: a segment that passed one and not the next was lost between them. Does not own how flows
//! under several addresses are joined (`engine`), nor what a loss means (`listener`).

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use strum::{EnumCount, EnumIter, IntoEnumIterator, IntoStaticStr};

use crate::packet::{
    CapturePoint, Direction, Endpoint, Flags, FlowKey, FrameRef, PathOrder, SPREAD, Segment, Seq, Span,
    Timestamp,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumCount, EnumIter, IntoStaticStr)]
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
    fn of(segment: &Segment, from_client: bool) -> Self {
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

    fn is(&self, point: CapturePoint, (client, server): (Endpoint, Endpoint)) -> bool {
        self.point == point && self.client == client && self.server == server
    }

    fn add(&mut self, kind: SegmentKind, segment: &Segment) {
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
    fn is_before(&self, other: &Self, path: &PathOrder) -> bool {
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

/// All sightings of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// In order of the way from client to server.
    pub sightings: Vec<Sighting>,
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
        self.sightings.iter().filter(|sighting| sighting.has(SegmentKind::Syn) && !sighting.is_behind_proxy)
    }

    /// The SYN-ACKs of a proxy: they passed the client's point, and the server's saw no SYN until they were answered.
    #[must_use]
    pub fn answered_between(&self) -> Option<SegmentLoss> {
        let near = self.on_path().next_back()?;
        let far = self.sightings.iter().find(|sighting| sighting.is_behind_proxy)?;
        self.loss(SegmentKind::SynAck, near.passed(SegmentKind::SynAck).packets, far, near)
    }

    /// Each two points that follow one another on the SYN's way, the one nearer to the client first.
    fn neighbours(&self) -> impl DoubleEndedIterator<Item = (&Sighting, &Sighting)> {
        let path: SmallVec<[&Sighting; 4]> = self.on_path().collect();
        let pairs: SmallVec<[(&Sighting, &Sighting); 4]> =
            path.iter().copied().zip(path.iter().copied().skip(1)).collect();
        pairs.into_iter()
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

    /// True if segments of a loss would have reached the next point by now: the attempt, with the `silence` after its last
    /// packet (`None`: for longer than any retransmission takes), was watched for longer than others took, or the last one of
    /// their kind did arrive.
    #[must_use]
    pub fn is_final(&self, loss: &SegmentLoss, silence: Option<Span>) -> bool {
        /// For jitter, besides the same time again.
        const SLACK: Span = Span::from_millis(5);
        let Some(silence) = silence else { return true };
        let at = |point| self.sightings.iter().find(|sighting| sighting.point == point);
        let (Some(from), Some(to)) = (at(loss.from), at(loss.to)) else { return true };
        let Some((_, sent)) = from.passed(loss.kind).times else { return true };
        // All but data are sent again after a time-out only.
        let is_last_here = to.passed(loss.kind).times.is_some_and(|(_, last)| last >= sent);
        if is_last_here && loss.kind != SegmentKind::Data {
            return true;
        }
        let transits = SegmentKind::iter().filter_map(|kind| {
            let (there, here) = (to.passed(kind).times?, from.passed(kind).times?);
            Some(there.0.since(here.0).abs().max(there.1.since(here.1).abs()))
        });
        let longest = transits.max().unwrap_or(Span::ZERO);
        let times = self.sightings.iter().flat_map(|sighting| sighting.passed.iter());
        let end = times.filter_map(|passed| Some(passed.times?.1)).max().unwrap_or(sent);
        end.since(sent).plus(silence) > longest.scaled(2, 1).plus(SLACK)
    }

    /// True if the server had sent its RST when the client's first data came to the point nearest to it: the client had
    /// sent it before.
    #[must_use]
    pub fn is_reset_before_data(&self) -> bool {
        let last = self.on_path().next_back();
        let reset =
            last.and_then(|last| Some((last.first(SegmentKind::ServerRst)?, last.first(SegmentKind::Data))));
        reset.is_some_and(|(reset, data)| data.is_none_or(|data| reset < data))
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

/// Sightings of an undecided attempt.
#[derive(Debug, Clone)]
pub(super) struct SightingLog {
    sightings: SmallVec<[Sighting; 2]>,
    sent: SmallVec<[SentSegment; 8]>,
    /// Places where a segment of the client's other than a SYN was seen since the latest SYN-ACK.
    reached: u8,
    /// A place lies behind a proxy.
    has_proxy: bool,
    is_partial: bool,
}

/// A segment that was sent once and seen at one or several places.
#[derive(Debug, Clone, Copy)]
struct SentSegment {
    signature: u32,
    kind: SegmentKind,
    /// A bit for each place in `sightings`.
    places: u8,
}

/// Segments of one attempt that are compared between points.
const SENT: usize = 64;

/// Places of one attempt.
const PLACES: usize = u8::BITS as usize;

impl SightingLog {
    /// The sightings of an attempt that this segment begins.
    pub(super) fn begin(segment: &Segment, from_client: bool, own: Option<OwnFlow>) -> Box<Self> {
        let (sightings, sent) = (SmallVec::new(), SmallVec::new());
        let mut log = Box::new(Self { sightings, sent, reached: 0, has_proxy: false, is_partial: false });
        log.see(segment, from_client, own, false);
        log
    }

    /// Takes a segment. Returns true if it was seen before, at another place or as a `duplicate` at this one.
    pub(super) fn see(
        &mut self,
        segment: &Segment,
        from_client: bool,
        own: Option<OwnFlow>,
        duplicate: bool,
    ) -> bool {
        let Some(place) = self.place(segment, from_client, own) else {
            self.is_partial = true;
            return duplicate;
        };
        let (kind, bit) = (SegmentKind::of(segment, from_client), 1 << place);
        match kind {
            SegmentKind::Syn | SegmentKind::Reply | SegmentKind::ServerRst | SegmentKind::SynAck => {}
            SegmentKind::Ack | SegmentKind::Data | SegmentKind::ClientRst => self.reached |= bit,
        }
        let signature = signature(segment);
        let alike = |sent: &SentSegment| sent.kind == kind && sent.signature == signature;
        let is_here = |sent: &SentSegment| sent.places & bit != 0;
        let known = duplicate && self.sent.iter().any(alike);
        let again = match self.sent.iter().rposition(|sent| alike(sent) && !is_here(sent)) {
            Some(elsewhere) => {
                self.sent[elsewhere].places |= bit;
                true
            }
            None if known => return true,
            None if self.sent.len() >= SENT => {
                self.is_partial = true;
                return duplicate;
            }
            None => {
                self.sent.push(SentSegment { signature, kind, places: bit });
                duplicate
            }
        };
        if let Some(sighting) = self.sightings.get_mut(place) {
            sighting.add(kind, segment);
        }
        again
    }

    /// Takes a segment of the connection that a proxy made to the server, which has other numbers: its SYN is another one
    /// than the client's, and came to its place first after the client had gone on elsewhere. False if it is none.
    pub(super) fn take_behind_proxy(
        &mut self,
        segment: &Segment,
        from_client: bool,
        own: Option<OwnFlow>,
    ) -> bool {
        let kind = SegmentKind::of(segment, from_client);
        if kind != SegmentKind::Syn && !self.has_proxy {
            return false;
        }
        let Some(place) = self.place(segment, from_client, own) else { return false };
        let signature = signature(segment);
        let is_known = || self.sent.iter().any(|sent| sent.kind == kind && sent.signature == signature);
        let begins = kind == SegmentKind::Syn
            && self.reached != 0
            && segment.options.stamps() != 0
            && self.sightings.iter().any(|sighting| sighting.has(SegmentKind::SynAck))
            && self.sightings.get(place).is_some_and(|sighting| !sighting.has(SegmentKind::Syn))
            && !is_known();
        let Some(sighting) = self.sightings.get_mut(place) else { return false };
        sighting.is_behind_proxy |= begins && sighting.point.is_single();
        if sighting.is_behind_proxy {
            sighting.add(kind, segment);
            self.has_proxy = true;
        }
        sighting.is_behind_proxy
    }

    fn place(&mut self, segment: &Segment, from_client: bool, own: Option<OwnFlow>) -> Option<usize> {
        let own = own.unwrap_or(OwnFlow { flow: segment.flow, direction: segment.direction });
        let outward = if from_client { own.direction } else { own.direction.reverse() };
        let (client, server) = (own.flow.source(outward), own.flow.destination(outward));
        let point = segment.frame.point();
        let known = self.sightings.iter().position(|sighting| sighting.is(point, (client, server)));
        if known.is_some() || self.sightings.len() >= PLACES {
            return known;
        }
        self.sightings.push(Sighting {
            point,
            client,
            server,
            frame: segment.frame,
            syn_ttl: 0,
            passed: [PassedSegments::default(); SegmentKind::COUNT],
            data_end: None,
            is_behind_proxy: false,
        });
        Some(self.sightings.len() - 1)
    }

    /// True if since the latest SYN-ACK a segment of the client's other than a SYN was seen wherever its SYN was.
    pub(super) fn has_client_passed(&self) -> bool {
        let asked = self.sightings.iter().enumerate().filter(|(_, sighting)| sighting.has(SegmentKind::Syn));
        asked.map(|(place, _)| 1 << place).all(|bit: u8| self.reached & bit != 0)
    }

    /// The same, for the SYN-ACK that is being taken; begins anew.
    pub(super) fn take_client_passed(&mut self) -> bool {
        let passed = self.has_client_passed();
        self.reached = 0;
        passed
    }

    /// The sightings in order of the way.
    pub(super) fn passage(&self, path: &PathOrder) -> Box<Passage> {
        let mut sightings: Vec<Sighting> = Vec::with_capacity(self.sightings.len());
        for sighting in &self.sightings {
            // Those seen first come first where nothing tells.
            let before = sightings.iter().position(|other| sighting.is_before(other, path));
            sightings.insert(before.unwrap_or(sightings.len()), sighting.clone());
        }
        let others = sightings.iter().any(|sighting| !sighting.point.is_single());
        Box::new(Passage { sightings, is_partial: self.is_partial || others })
    }
}

/// Folds what points see alike of a segment: numbers, length and timestamps, and without these the IP ID. Not the window:
/// some firewalls change it.
pub(crate) fn signature(segment: &Segment) -> u32 {
    let mix = |hash: u64, value: u64| (hash.rotate_left(23) ^ value).wrapping_mul(SPREAD);
    let stamps = segment.options.stamps();
    let id = if stamps == 0 { segment.own_ip_id().unwrap_or(0) } else { 0 };
    let numbers = u64::from(segment.seq.0) << 32 | u64::from(segment.ack.0);
    let shape = u64::from(segment.payload) << 32 ^ u64::from(id) << 8 ^ u64::from(segment.flags.0);
    (mix(mix(mix(1, numbers), stamps), shape) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 9], 40_000);
    const HOST: ([u8; 4], u16) = ([198, 51, 100, 1], 8080);
    const POD: ([u8; 4], u16) = ([10, 0, 0, 2], 80);

    fn end((address, port): ([u8; 4], u16)) -> Endpoint {
        Endpoint::v4(address, port)
    }

    /// A segment at a point: time in milliseconds, flags, numbers.
    fn segment(
        point: &str,
        millis: i64,
        server: ([u8; 4], u16),
        flags: Flags,
        seq: u32,
        ack: u32,
    ) -> Segment {
        let at = Timestamp::default().plus(Span::from_millis(millis));
        let from_server = flags.contains(Flags::SYN.union(Flags::ACK));
        let (from, to) = if from_server { (server, CLIENT) } else { (CLIENT, server) };
        let mut segment = Segment::new(at, end(from), end(to), flags, Seq(seq), Seq(ack));
        segment.frame = FrameRef::new(0, 1).at_point(CapturePoint::named(point));
        segment
    }

    fn log(segments: &[Segment]) -> SightingLog {
        let from_client = |segment: &Segment| !segment.flags.contains(Flags::SYN.union(Flags::ACK));
        let (first, rest) = segments.split_first().unwrap();
        let mut log = SightingLog::begin(first, from_client(first), None);
        for segment in rest {
            log.see(segment, from_client(segment), None, false);
        }
        *log
    }

    fn names(passage: &Passage) -> Vec<&str> {
        passage.sightings.iter().map(|sighting| sighting.point.name()).collect()
    }

    #[test]
    fn points_are_in_order_of_the_way() {
        let synack = Flags::SYN.union(Flags::ACK);
        // The clock of the far point is behind; its TTL tells all the same.
        let mut far = segment("far", -5, POD, Flags::SYN, 7, 0);
        far.ttl = 63;
        let mut log =
            log(&[far, segment("near", 0, HOST, Flags::SYN, 7, 0), segment("far", 1, POD, synack, 9, 8)]);
        let passage = log.passage(&PathOrder::default());
        assert_eq!(names(&passage), ["near", "far"]);
        assert_eq!(passage.ends(), Some((end(CLIENT), end(POD))));
        assert_eq!(passage.sightings[1].passed(SegmentKind::SynAck).packets, 1);
        let given = PathOrder::new(&["far", "near"].map(CapturePoint::named)).unwrap();
        assert_eq!(names(&log.passage(&given)), ["far", "near"]);
        assert!(
            log.see(&segment("near", 2, HOST, synack, 9, 8), false, None, false),
            "seen at the other point"
        );
    }

    #[test]
    fn a_retry_that_passed_one_point_only_is_lost_after_it() {
        let stamped = |point: &str, millis, tsval| {
            let mut syn = segment(point, millis, HOST, Flags::SYN, 7, 0);
            syn.options = crate::packet::TcpOptions::with_timestamps(tsval, 0);
            syn
        };
        let log = log(&[stamped("near", 0, 1), stamped("near", 1000, 2), stamped("far", 1005, 2)]);
        let loss = log.passage(&PathOrder::default()).lost(SegmentKind::Syn).unwrap();
        assert_eq!((loss.packets, loss.from.name(), loss.to.name()), (1, "near", "far"));
        assert!(loss.within_host, "both are of one capture");
    }

    #[test]
    fn without_timestamps_each_transmission_passes_a_point_once() {
        let syn = |point, millis| segment(point, millis, HOST, Flags::SYN, 7, 0);
        let mut log = log(&[syn("near", 0)]);
        assert!(log.see(&syn("far", 300), true, None, false), "however late");
        assert!(!log.see(&syn("near", 1000), true, None, false), "a retry");
        assert!(log.see(&syn("far", 1300), true, None, false));
        assert_eq!(log.passage(&PathOrder::default()).lost(SegmentKind::Syn), None);
    }

    #[test]
    fn a_synack_is_lost_on_its_way_back() {
        let synack = Flags::SYN.union(Flags::ACK);
        let log = log(&[
            segment("near", 0, HOST, Flags::SYN, 7, 0),
            segment("far", 1, HOST, Flags::SYN, 7, 0),
            segment("far", 2, HOST, synack, 9, 8),
        ]);
        let loss = log.passage(&PathOrder::default()).lost(SegmentKind::SynAck).unwrap();
        assert_eq!((loss.from.name(), loss.to.name()), ("far", "near"));
        assert!(!log.has_client_passed());
    }

    #[test]
    fn an_answer_from_another_address_at_the_clients_point_is_a_nat_that_is_not_undone() {
        let synack = Flags::SYN.union(Flags::ACK);
        let seen = |answer| {
            let log = log(&[
                segment("eth0", 0, HOST, Flags::SYN, 7, 0),
                segment("veth", 1, POD, Flags::SYN, 7, 0),
                segment("veth", 2, POD, synack, 9, 8),
                segment("eth0", 3, answer, synack, 9, 8),
            ]);
            log.passage(&PathOrder::default()).answered_from()
        };
        assert_eq!(seen(POD), Some(end(POD)));
        assert_eq!(seen(HOST), None);
    }
}
