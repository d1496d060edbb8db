//! The sightings of an attempt while it is undecided: which of its segments passed which point, and when.
//!
//! Owns the recognition of a segment at a second point, and of one that came late there. Does not own what the finished sightings
//! say (`passage`).

use smallvec::SmallVec;

use super::passage::{OwnFlow, Passage, SegmentKind, Sighting, UnseenSegment, is_past};
use super::retransmissions::SHORTEST_TIMER;
use super::round_trips::{ClientSeen, RoundTrips};
use crate::packet::{CapturePoint, PathOrder, SPREAD, Segment, Span, Timestamp};

/// Sightings of an undecided attempt.
#[derive(Debug, Clone)]
pub(super) struct SightingLog {
    /// Time of the first segment.
    begin: Timestamp,
    places: SmallVec<[LoggedPlace; 2]>,
    sent: SmallVec<[SentSegment; 8]>,
    /// Places where a segment of the client's other than a SYN was seen since the latest SYN-ACK.
    reached: u8,
    /// A place lies behind a proxy.
    has_proxy: bool,
    is_partial: bool,
    /// A segment of the client's came late, which the server had missed when it repeated its SYN-ACK.
    came_late: bool,
    /// SYN-ACKs that the server repeated although the client's ACK should have come, and had not: it is lost, or late.
    missed: u16,
    /// Time by which the client had sent what should have come before the latest of these.
    missed_since: Timestamp,
    /// The longest time that a segment took from one place to another.
    longest_transit: Span,
}

/// A point with the addresses that the attempt has there.
#[derive(Debug, Clone)]
struct LoggedPlace {
    sighting: Sighting,
    trips: RoundTrips,
}

impl LoggedPlace {
    fn client_seen(&self) -> Option<ClientSeen> {
        let [acks, data] = [SegmentKind::Ack, SegmentKind::Data].map(|kind| self.sighting.passed(kind).times);
        let either = || acks.into_iter().chain(data);
        Some(ClientSeen {
            ack: either().map(|(first, _)| first).min(),
            data: data.map(|(first, _)| first),
            last: either().map(|(_, last)| last).max()?,
            round_trip: self.trips.least_server(),
        })
    }
}

/// A segment that was sent once and seen at one or several places.
#[derive(Debug, Clone, Copy)]
struct SentSegment {
    signature: u32,
    kind: SegmentKind,
    /// A bit for each of `places`.
    places: u8,
    /// Time at the first of them, in microseconds since `begin`, for 71 minutes: no attempt waits as long for it.
    since: u32,
}

/// Segments of one attempt that are compared between points.
const SENT: usize = 64;

/// Places of one attempt.
const PLACES: usize = u8::BITS as usize;

/// Longest wait for segments that come late, of an attempt that is settled else: as long as most retransmissions on a path with
/// delays of seconds take.
const LONGEST_WAIT: Span = Span::from_secs(5);

impl SightingLog {
    /// The sightings of an attempt that this segment begins.
    pub(super) fn begin(segment: &Segment, from_client: bool, own: Option<OwnFlow>) -> Box<Self> {
        let mut log = Box::new(Self {
            begin: segment.at,
            places: SmallVec::new(),
            sent: SmallVec::new(),
            reached: 0,
            has_proxy: false,
            is_partial: false,
            came_late: false,
            missed: 0,
            missed_since: Timestamp::default(),
            longest_transit: Span::ZERO,
        });
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
                self.arrive(elsewhere, bit, segment);
                true
            }
            None if known => return true,
            None if self.sent.len() >= SENT => {
                self.is_partial = true;
                return duplicate;
            }
            None => {
                let since = segment.at.since(self.begin).max(Span::ZERO).as_nanos() / 1_000;
                let since = u32::try_from(since).unwrap_or(u32::MAX);
                self.sent.push(SentSegment { signature, kind, places: bit, since });
                duplicate
            }
        };
        if let Some(place) = self.places.get_mut(place) {
            place.sighting.add(kind, segment);
            place.trips.take(kind, segment);
        }
        again
    }

    /// Takes the arrival of a segment at a further place.
    fn arrive(&mut self, sent: usize, bit: u8, segment: &Segment) {
        let (asked, begin) = (self.asked(), self.begin);
        let Some(sent) = self.sent.get_mut(sent) else { return };
        sent.places |= bit;
        let sent_at = sent.at(begin);
        let transit = segment.at.since(sent_at).abs();
        // Without timestamps or an IP ID it may be the next retransmission.
        let is_the_same = segment.options.stamps() != 0 || segment.own_ip_id().is_some();
        if is_the_same || transit < SHORTEST_TIMER {
            self.longest_transit = self.longest_transit.max(transit);
        }
        let was_missed = self.missed > 0 && sent.acknowledges() && sent_at <= self.missed_since;
        self.came_late |= was_missed && asked & !sent.places == 0;
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
            && self.places.iter().any(|place| place.sighting.has(SegmentKind::SynAck))
            && self.places.get(place).is_some_and(|place| !place.sighting.has(SegmentKind::Syn))
            && !is_known();
        let Some(LoggedPlace { sighting, trips }) = self.places.get_mut(place) else { return false };
        sighting.is_behind_proxy |= begins && sighting.point.is_single();
        if sighting.is_behind_proxy {
            sighting.add(kind, segment);
            trips.take(kind, segment);
            self.has_proxy = true;
        }
        sighting.is_behind_proxy
    }

    fn place(&mut self, segment: &Segment, from_client: bool, own: Option<OwnFlow>) -> Option<usize> {
        let own = own.unwrap_or(OwnFlow { flow: segment.flow, direction: segment.direction });
        let outward = if from_client { own.direction } else { own.direction.reverse() };
        let ends = (own.flow.source(outward), own.flow.destination(outward));
        let point = segment.frame.point();
        let known = self.places.iter().position(|place| place.sighting.is(point, ends));
        if known.is_some() || self.places.len() >= PLACES {
            return known;
        }
        self.places
            .push(LoggedPlace { sighting: Sighting::new(segment.frame, ends), trips: RoundTrips::default() });
        Some(self.places.len() - 1)
    }

    /// The places where the client's SYN was seen, as bits.
    fn asked(&self) -> u8 {
        let asked = self.places.iter().enumerate().filter(|(_, place)| place.sighting.has(SegmentKind::Syn));
        asked.fold(0, |all, (place, _)| all | 1 << place)
    }

    /// True if since the latest SYN-ACK a segment of the client's other than a SYN was seen wherever its SYN was.
    pub(super) fn has_client_passed(&self) -> bool {
        self.asked() & !self.reached == 0
    }

    /// The same, for the SYN-ACK that is being taken; begins anew.
    pub(super) fn take_client_passed(&mut self) -> bool {
        let passed = self.has_client_passed();
        self.reached = 0;
        passed
    }

    /// Times of the client's segments after the SYN-ACK at this point, if it is one of several and saw any.
    pub(super) fn client_seen(&self, point: CapturePoint) -> Option<ClientSeen> {
        let is_here = |place: &&LoggedPlace| self.places.len() > 1 && place.sighting.point == point;
        let seen = self.places.iter().filter(is_here).filter_map(LoggedPlace::client_seen);
        seen.max_by_key(|seen| seen.last)
    }

    /// The server repeated its SYN-ACK although what the client had sent by this time should have come, and it had not.
    pub(super) fn miss_ack(&mut self, sent_by: Timestamp) {
        self.missed = self.missed.saturating_add(1);
        self.missed_since = sent_by;
    }

    /// The number of repeated SYN-ACKs that missed what has come by now: late, and not lost.
    pub(super) fn take_late(&mut self) -> u16 {
        if std::mem::take(&mut self.came_late) { std::mem::take(&mut self.missed) } else { 0 }
    }

    /// True if the client's first ACK may still come to a place that the SYN passed, or what a repeated SYN-ACK missed: it is
    /// not under way for longer than other segments were.
    pub(super) fn awaits_client(&self, now: Timestamp) -> bool {
        let is_complete =
            |place: &LoggedPlace| place.trips.has_ack() || !place.sighting.has(SegmentKind::Syn);
        if self.missed == 0 && self.places.iter().all(is_complete) {
            return false;
        }
        let asked = self.asked();
        let is_missing = |sent: &&SentSegment| sent.acknowledges() && asked & !sent.places != 0;
        let missing = self.sent.iter().filter(is_missing).map(|sent| sent.at(self.begin));
        let awaited = match self.missed {
            0 => missing.min(),
            _ => missing.filter(|&sent| sent <= self.missed_since).max(),
        };
        let may_come = |waited: Span| waited <= LONGEST_WAIT && !is_past(waited, self.longest_transit);
        awaited.is_some_and(|sent| may_come(now.since(sent)))
    }

    /// The sightings in order of the way, with all segments that passed until this time.
    pub(super) fn passage(&self, path: &PathOrder, until: Timestamp) -> Box<Passage> {
        let mut order: SmallVec<[(usize, &LoggedPlace); PLACES]> = SmallVec::new();
        for (at, place) in self.places.iter().enumerate() {
            // Places seen first come first where nothing tells.
            let before = order.iter().position(|(_, other)| place.sighting.is_before(&other.sighting, path));
            order.insert(before.unwrap_or(order.len()), (at, place));
        }
        let asked = self.asked();
        let in_order = |places: u8| {
            let held = order.iter().enumerate().filter(|(_, (place, _))| places >> place & 1 == 1);
            held.fold(0, |all, (at, _)| all | 1 << at)
        };
        let unseen = self.sent.iter().filter(|sent| asked & !sent.places != 0);
        let unseen = unseen.map(|sent| UnseenSegment {
            kind: sent.kind,
            sent: sent.at(self.begin),
            seen: in_order(sent.places),
        });
        let unseen = unseen.collect();
        let sightings: Vec<Sighting> = order.into_iter().map(|(_, place)| place.finished()).collect();
        let others = sightings.iter().any(|sighting| !sighting.point.is_single());
        let is_partial = self.is_partial || others;
        Box::new(Passage { sightings, unseen, longest_transit: self.longest_transit, until, is_partial })
    }
}

impl SentSegment {
    /// Time at its first place, of a log that begins then.
    fn at(&self, begin: Timestamp) -> Timestamp {
        begin.plus(Span::from_micros(self.since.into()))
    }

    /// True if it acknowledges the SYN-ACK.
    fn acknowledges(&self) -> bool {
        matches!(self.kind, SegmentKind::Ack | SegmentKind::Data)
    }
}

impl LoggedPlace {
    /// The sighting with what its round trips show.
    fn finished(&self) -> Sighting {
        let mut sighting = self.sighting.clone();
        sighting.vantage = self.trips.vantage([sighting.client.ip(), sighting.server.ip()]);
        sighting.after_ack = self.trips.after_ack();
        sighting
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
    use crate::handshake::verdict::Vantage;
    use crate::packet::{CapturePoint, Endpoint, Flags, FrameRef, Seq};

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
        let passage = log.passage(&PathOrder::default(), Timestamp::default());
        assert_eq!(names(&passage), ["near", "far"]);
        assert_eq!(passage.ends(), Some((end(CLIENT), end(POD))));
        assert_eq!(passage.sightings[1].passed(SegmentKind::SynAck).packets, 1);
        let given = PathOrder::new(&["far", "near"].map(CapturePoint::named)).unwrap();
        assert_eq!(names(&log.passage(&given, Timestamp::default())), ["far", "near"]);
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
        let loss = log.passage(&PathOrder::default(), Timestamp::default()).lost(SegmentKind::Syn).unwrap();
        assert_eq!((loss.packets, loss.from.name(), loss.to.name()), (1, "near", "far"));
        assert!(loss.within_host, "both are of one capture");
    }

    #[test]
    fn points_that_no_segment_passed_both_of_are_parallel() {
        let stamped = |point: &str, millis, flags, (seq, ack), tsval| {
            let mut segment = segment(point, millis, HOST, flags, seq, ack);
            segment.options = crate::packet::TcpOptions::with_timestamps(tsval, 0);
            segment
        };
        let synack = Flags::SYN.union(Flags::ACK);
        let mut sent = vec![
            stamped("eth0", 0, Flags::SYN, (7, 0), 1),
            stamped("eth1", 1000, Flags::SYN, (7, 0), 2),
            stamped("eth1", 1001, synack, (9, 8), 3),
        ];
        let passage = |sent: &[Segment]| log(sent).passage(&PathOrder::default(), Timestamp::default());
        assert_eq!(passage(&sent).neighbours().count(), 0);
        assert_eq!(passage(&sent).lost(SegmentKind::SynAck), None);
        sent.push(stamped("eth1", 1002, Flags::SYN, (7, 0), 1));
        assert!(passage(&sent).lost(SegmentKind::SynAck).is_some(), "the first SYN passed both");
    }

    #[test]
    fn an_rst_came_before_data_only_where_a_point_saw_that() {
        let mut data = segment("near", 2, HOST, Flags::ACK, 8, 10);
        data.payload = 5;
        let rst = segment("far", 3, HOST, Flags::SYN.union(Flags::ACK), 9, 8);
        let rst = Segment { flags: Flags::RST.union(Flags::ACK), ..rst };
        let is_before = |sent: &[Segment]| {
            let (syn, far) =
                (segment("near", 0, HOST, Flags::SYN, 7, 0), segment("far", 1, HOST, Flags::SYN, 7, 0));
            let mut log = log(&[syn, far]);
            sent.iter().for_each(|one| _ = log.see(one, !one.flags.contains(Flags::RST), None, false));
            log.passage(&PathOrder::default(), Timestamp::default()).is_reset_before_data()
        };
        assert!(is_before(&[data, rst]), "the data is still under way");
        assert!(!is_before(&[rst]), "no data is in the capture");
    }

    #[test]
    fn without_timestamps_each_transmission_passes_a_point_once() {
        let syn = |point, millis| segment(point, millis, HOST, Flags::SYN, 7, 0);
        let mut log = log(&[syn("near", 0)]);
        assert!(log.see(&syn("far", 300), true, None, false), "however late");
        assert!(!log.see(&syn("near", 1000), true, None, false), "a retry");
        assert!(log.see(&syn("far", 1300), true, None, false));
        assert_eq!(log.passage(&PathOrder::default(), Timestamp::default()).lost(SegmentKind::Syn), None);
    }

    #[test]
    fn a_synack_is_lost_on_its_way_back() {
        let synack = Flags::SYN.union(Flags::ACK);
        let log = log(&[
            segment("near", 0, HOST, Flags::SYN, 7, 0),
            segment("far", 1, HOST, Flags::SYN, 7, 0),
            segment("far", 2, HOST, synack, 9, 8),
        ]);
        let loss =
            log.passage(&PathOrder::default(), Timestamp::default()).lost(SegmentKind::SynAck).unwrap();
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
            log.passage(&PathOrder::default(), Timestamp::default()).answered_from()
        };
        assert_eq!(seen(POD), Some(end(POD)));
        assert_eq!(seen(HOST), None);
    }

    /// An ACK that passed `near` and had not come to `far` when the server repeated its SYN-ACK, a second later.
    fn missed() -> SightingLog {
        let synack = Flags::SYN.union(Flags::ACK);
        let mut log = log(&[
            segment("near", 0, HOST, Flags::SYN, 7, 0),
            segment("far", 150, HOST, Flags::SYN, 7, 0),
            segment("far", 150, HOST, synack, 9, 8),
            segment("near", 300, HOST, synack, 9, 8),
            segment("near", 301, HOST, Flags::ACK, 8, 10),
        ]);
        assert!(!log.take_client_passed());
        log.miss_ack(Timestamp::default().plus(Span::from_millis(600)));
        log
    }

    #[test]
    fn what_comes_after_the_repeat_that_missed_it_is_late_and_not_lost() {
        let mut log = missed();
        let at = |millis| Timestamp::default().plus(Span::from_millis(millis));
        // SYN and SYN-ACK took 150 ms.
        assert!(log.awaits_client(at(600)));
        assert!(!log.awaits_client(at(610)), "twice as long, and slack");
        let is_final = |log: &SightingLog, until, usual| {
            let passage = log.passage(&PathOrder::default(), at(until));
            let loss = passage.lost(SegmentKind::Ack).unwrap();
            let usual = Span::from_millis(usual);
            let is_final = passage.lost_for_good(loss, usual).is_some();
            assert_eq!(is_final, passage.is_ack_final(usual), "until {until}");
            is_final
        };
        assert!(!is_final(&log, 600, 0));
        assert!(is_final(&log, 610, 0));
        assert!(!is_final(&log, 610, 600), "others take longer");
        assert_eq!(log.take_late(), 0);
        assert!(log.see(&segment("far", 605, HOST, Flags::ACK, 8, 10), true, None, false));
        assert_eq!((log.take_late(), log.take_late()), (1, 0));
        assert_eq!(log.passage(&PathOrder::default(), at(610)).lost(SegmentKind::Ack), None);
        assert!(!log.awaits_client(at(606)));
    }

    #[test]
    fn an_ack_that_answers_the_repeat_is_not_the_one_that_it_missed() {
        let mut log = missed();
        let mut answer = segment("near", 1_600, HOST, Flags::ACK, 8, 10);
        answer.ip_id = 5;
        assert!(!log.see(&answer, true, None, false));
        answer.frame = FrameRef::new(0, 2).at_point(CapturePoint::named("far"));
        answer.at = answer.at.plus(Span::from_millis(300));
        assert!(log.see(&answer, true, None, false));
        assert_eq!(log.take_late(), 0);
    }

    #[test]
    fn each_point_has_its_own_vantage() {
        let vantages = missed().passage(&PathOrder::default(), Timestamp::default());
        let vantages: Vec<_> = vantages.sightings.iter().map(|sighting| sighting.vantage).collect();
        assert_eq!(vantages, [Some(Vantage::Client), None], "no ACK came to the far one");
    }
}
