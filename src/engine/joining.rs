//! Joins sightings of one SYN under several addresses: its flow behind a NAT is the flow before it (DOMAIN §7).
//!
//! Owns the SYNs seen lately and the flows that were joined. Does not own what a sighting means (`handshake`). Runs where
//! points are told apart only, and looks at SYNs; other packets cost a lookup once any flow was joined.
//!
//! Two SYNs are one if their ISNs and TSvals are the same and they came within [`BY_STAMP`]: two that have nothing to do
//! with each other agree once in 2^64 pairs (5·10⁻²⁰). Without timestamps the ISN, the window and the order of options must be
//! the same within [`BY_NUMBER`]: by the ISN alone once in 2^32 pairs (2.3·10⁻¹⁰). A SYN without options joins by its
//! addresses only. Programs may send many equal SYNs: a point sees the packet once, so that what it has seen already is
//! another one, and a SYN that may be several others is none of them.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::packet::{
    CapturePoint, Direction, FlowKey, SPREAD, Seeded, Segment, Seq, Span, Timestamp, Unreachable,
};

/// A SYN with these timestamps comes no later at another point (DOMAIN §4).
const BY_STAMP: Span = Span::from_secs(130);

/// The same without timestamps.
const BY_NUMBER: Span = Span::from_secs(1);

/// SYNs of one key that are told apart; of more no other one is joined.
const EQUAL_SYNS: usize = 4;

/// Entries of a generation: the SYNs of a busy server's last minute, and the flows behind a NAT.
const GENERATION: usize = 65_536;

/// A map that forgets what was not looked up for long: once the young generation is full, the old one goes.
#[derive(Debug)]
struct Generations<V> {
    young: HashMap<u64, V, Seeded>,
    old: HashMap<u64, V, Seeded>,
}

impl<V> Default for Generations<V> {
    fn default() -> Self {
        Self { young: HashMap::default(), old: HashMap::default() }
    }
}

impl<V> Generations<V> {
    fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        if let Some(value) = self.old.remove(&key) {
            self.insert(key, value);
        }
        self.young.get_mut(&key)
    }

    fn insert(&mut self, key: u64, value: V) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    fn remove(&mut self, key: u64) {
        self.young.remove(&key);
        self.old.remove(&key);
    }

    fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }
}

/// A SYN seen lately, with the points where it was.
#[derive(Debug)]
struct SeenSyn {
    flow: FlowKey,
    hash: u64,
    /// The direction from client to server.
    outward: Direction,
    at: Timestamp,
    ip_id: Option<u16>,
    ttl: u8,
    /// Window and order of options, which no translation changes.
    shape: (u16, u64),
    points: SmallVec<[CapturePoint; 4]>,
}

/// A flow that is another one under other addresses.
#[derive(Debug)]
struct JoinedFlow {
    flow: FlowKey,
    /// The ISN of the SYN that joined it.
    isn: Seq,
    target: FlowKey,
    target_hash: u64,
    /// The direction of both that is the same differs.
    is_reversed: bool,
}

/// The flow that a packet is counted with.
#[derive(Debug, Clone, Copy)]
pub(super) struct JoinedTo {
    pub(super) hash: u64,
    flow: FlowKey,
    is_reversed: bool,
}

impl JoinedTo {
    /// The direction within the flow that the packet is counted with.
    fn direction(&self, own: Direction) -> Direction {
        if self.is_reversed { own.reverse() } else { own }
    }

    /// Puts a segment into the flow.
    pub(super) fn apply(&self, segment: &mut Segment) {
        segment.direction = self.direction(segment.direction);
        segment.flow = self.flow;
    }

    /// Puts an ICMP error into the flow.
    pub(super) fn apply_to_error(&self, error: &mut Unreachable) {
        error.direction = self.direction(error.direction);
        error.flow = self.flow;
    }
}

/// SYNs seen lately, and flows that were joined.
#[derive(Debug, Default)]
pub(super) struct FlowJoiner {
    syns: Generations<SmallVec<[SeenSyn; 1]>>,
    joined: Generations<JoinedFlow>,
    /// The latest SYN of each flow.
    latest: Generations<LatestSyn>,
    /// SYNs that have another ISN at a second point.
    renumbered: u64,
}

/// The latest SYN of a flow with timestamps.
#[derive(Debug)]
struct LatestSyn {
    flow: FlowKey,
    point: CapturePoint,
    at: Timestamp,
    isn: Seq,
    stamps: u64,
}

/// The hash of a flow with other numbers than the one with this hash, at this point.
fn renumbered_at(hash: u64, point: CapturePoint) -> u64 {
    hash ^ u64::from(point.number() | 1 << 15).wrapping_mul(SPREAD)
}

impl FlowJoiner {
    /// True if any flow was joined with another.
    pub(super) fn has_joined(&self) -> bool {
        !self.joined.is_empty()
    }

    /// SYNs that have another ISN at a second point: a proxy or a firewall rewrites it, and the rest of the connection has other
    /// numbers there.
    pub(super) const fn renumbered(&self) -> u64 {
        self.renumbered
    }

    /// The flow that a packet of this flow at this point is counted with, if that is another one.
    pub(super) fn find(&mut self, flow: &FlowKey, point: CapturePoint, hash: u64) -> Option<JoinedTo> {
        if !self.has_joined() {
            return None;
        }
        let numbered = (self.renumbered > 0).then(|| self.found(flow, renumbered_at(hash, point))).flatten();
        numbered.or_else(|| self.found(flow, hash))
    }

    fn found(&mut self, flow: &FlowKey, key: u64) -> Option<JoinedTo> {
        let joined = self.joined.get_mut(key).filter(|joined| joined.flow == *flow)?;
        let &mut JoinedFlow { target, target_hash, is_reversed, .. } = joined;
        Some(JoinedTo { hash: target_hash, flow: target, is_reversed })
    }

    /// Takes a SYN; gives the flow that it is counted with, if that is another one.
    pub(super) fn take_syn(&mut self, syn: &Segment, hash: u64) -> Option<JoinedTo> {
        let before = self.joined.get_mut(hash).filter(|joined| joined.flow == syn.flow);
        if before.is_some_and(|joined| joined.isn == syn.seq) {
            return self.found(&syn.flow, hash);
        }
        if let Some(numbered) = self.take_renumbered(syn, hash) {
            return Some(numbered);
        }
        let Some(key) = key(syn) else {
            self.joined.remove(hash);
            return None;
        };
        let window = if syn.options.stamps() == 0 { BY_NUMBER } else { BY_STAMP };
        let Some(seen) = self.syns.get_mut(key) else {
            self.joined.remove(hash);
            self.syns.insert(key, SmallVec::from_iter([SeenSyn::new(syn, hash)]));
            return None;
        };
        seen.retain(|seen| syn.at.since(seen.at).abs() <= window);
        let joined = join(seen, syn, hash);
        match &joined {
            Some(joined) => {
                let joined = JoinedFlow {
                    flow: syn.flow,
                    isn: syn.seq,
                    target: joined.flow,
                    target_hash: joined.hash,
                    is_reversed: joined.is_reversed,
                };
                self.joined.insert(hash, joined);
            }
            None => self.joined.remove(hash),
        }
        joined
    }
}

impl FlowJoiner {
    /// Takes a SYN that has the addresses and timestamps of another point's, and another ISN: two connections.
    fn take_renumbered(&mut self, syn: &Segment, hash: u64) -> Option<JoinedTo> {
        let (point, stamps) = (syn.frame.point(), syn.options.stamps());
        if stamps == 0 || !point.is_single() {
            return None;
        }
        let key = renumbered_at(hash, point);
        let known = self.joined.get_mut(key).filter(|joined| joined.flow == syn.flow);
        if known.is_some_and(|known| known.isn == syn.seq) {
            return self.found(&syn.flow, key);
        }
        let latest = self.latest.get_mut(hash).filter(|latest| latest.flow == syn.flow);
        let other = latest.is_some_and(|latest| {
            latest.stamps == stamps
                && latest.isn != syn.seq
                && latest.point != point
                && syn.at.since(latest.at).abs() <= BY_STAMP
        });
        if !other {
            self.joined.remove(key);
            let latest = LatestSyn { flow: syn.flow, point, at: syn.at, isn: syn.seq, stamps };
            self.latest.insert(hash, latest);
            return None;
        }
        self.renumbered += 1;
        let (target, target_hash) = (syn.flow.renumbered(), key);
        let joined = JoinedFlow { flow: syn.flow, isn: syn.seq, target, target_hash, is_reversed: false };
        self.joined.insert(key, joined);
        self.found(&syn.flow, key)
    }
}

impl SeenSyn {
    fn new(syn: &Segment, hash: u64) -> Self {
        Self {
            flow: syn.flow,
            hash,
            outward: syn.direction,
            at: syn.at,
            ip_id: syn.own_ip_id(),
            ttl: syn.ttl,
            shape: shape(syn),
            points: SmallVec::from_iter([syn.frame.point()]),
        }
    }

    /// True if it may be this SYN under other addresses.
    ///
    /// A point sees a packet once, but where addresses are translated between two interfaces that one point stands for.
    fn may_be(&self, syn: &Segment) -> bool {
        let point = syn.frame.point();
        let new = point.is_single() && !self.points.contains(&point);
        new || self.is_same_packet(syn) && syn.at.since(self.at).abs() <= BY_NUMBER
    }

    /// True if it is the same packet by its IP ID; without one, if it comes from the same client with the same timestamps, window
    /// and options, and was forwarded meanwhile, which lowers the TTL. A program that sends equal SYNs to several servers gives
    /// them one TTL, or, as scanners with random ones, no timestamps.
    fn is_same_packet(&self, syn: &Segment) -> bool {
        match (self.ip_id, syn.own_ip_id()) {
            (Some(one), Some(other)) => one == other,
            (None, None) => {
                syn.options.stamps() != 0
                    && self.shares_client(syn)
                    && self.shape == shape(syn)
                    && syn.ttl != self.ttl
            }
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn see_at(&mut self, point: CapturePoint) {
        if !self.points.contains(&point) {
            self.points.push(point);
        }
    }

    fn shares_client(&self, syn: &Segment) -> bool {
        self.flow.source(self.outward) == syn.flow.source(syn.direction)
    }

    fn shares_server(&self, syn: &Segment) -> bool {
        self.flow.destination(self.outward) == syn.flow.destination(syn.direction)
    }
}

/// Finds the one SYN that `syn` is under other addresses. Adds it if it is none of them.
fn join(seen: &mut SmallVec<[SeenSyn; 1]>, syn: &Segment, hash: u64) -> Option<JoinedTo> {
    let point = syn.frame.point();
    if let Some(own) = seen.iter_mut().find(|seen| seen.flow == syn.flow) {
        own.see_at(point);
        own.at = syn.at;
        return None;
    }
    let only = |test: &dyn Fn(&SeenSyn) -> bool| {
        let mut fitting = seen.iter().enumerate().filter(|(_, seen)| seen.may_be(syn) && test(seen));
        let first = fitting.next().map(|(place, _)| place);
        first.filter(|_| fitting.next().is_none())
    };
    let place = (seen.len() < EQUAL_SYNS)
        .then(|| {
            only(&|_| true)
                .or_else(|| only(&|seen| seen.shares_client(syn)))
                .or_else(|| only(&|seen| seen.shares_server(syn)))
        })
        .flatten();
    let Some(one) = place.and_then(|place| seen.get_mut(place)) else {
        if seen.len() < EQUAL_SYNS {
            seen.push(SeenSyn::new(syn, hash));
        }
        return None;
    };
    one.see_at(point);
    Some(JoinedTo { hash: one.hash, flow: one.flow, is_reversed: one.outward != syn.direction })
}

fn shape(syn: &Segment) -> (u16, u64) {
    (syn.window, syn.options.layout().bits())
}

/// A key of the fields that a SYN has alike at all points; `None` if these are too few.
fn key(syn: &Segment) -> Option<u64> {
    let own = match syn.options.stamps() {
        0 if !syn.options.any() => return None,
        0 => syn.options.layout().bits() << 16 | u64::from(syn.window),
        stamps => stamps,
    };
    Some((own.wrapping_mul(SPREAD).rotate_left(29) ^ u64::from(syn.seq.0)).wrapping_mul(SPREAD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Endpoint, Flags, FlowHasher, FrameRef, TcpOptions};

    struct Joining {
        joiner: FlowJoiner,
        hasher: FlowHasher,
    }

    const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 9], 40_000);
    const HOST: ([u8; 4], u16) = ([198, 51, 100, 1], 8080);
    const POD: ([u8; 4], u16) = ([10, 0, 0, 2], 80);

    fn syn(
        point: &str,
        millis: i64,
        (client, server): (([u8; 4], u16), ([u8; 4], u16)),
        isn: u32,
    ) -> Segment {
        let at = Timestamp::default().plus(Span::from_millis(millis));
        let [client, server] = [client, server].map(|(address, port)| Endpoint::v4(address, port));
        let mut syn = Segment::new(at, client, server, Flags::SYN, Seq(isn), Seq(0));
        syn.frame = FrameRef::new(0, 1).at_point(CapturePoint::named(point));
        syn.options = TcpOptions::with_timestamps(77, 0);
        syn
    }

    impl Joining {
        fn new() -> Self {
            Self { joiner: FlowJoiner::default(), hasher: FlowHasher::default() }
        }

        /// The server that a SYN is counted with, if it is another one's sighting.
        fn take(&mut self, syn: Segment) -> Option<Endpoint> {
            let hash = self.hasher.hash(&syn.flow);
            let joined = self.joiner.take_syn(&syn, hash)?;
            let mut moved = syn;
            joined.apply(&mut moved);
            assert_eq!(joined.hash, self.hasher.hash(&moved.flow));
            Some(moved.flow.destination(moved.direction))
        }
    }

    fn host() -> Option<Endpoint> {
        Some(Endpoint::v4(HOST.0, HOST.1))
    }

    #[test]
    fn a_syn_behind_a_nat_is_the_one_before_it() {
        let mut joining = Joining::new();
        assert_eq!(joining.take(syn("eth0", 0, (CLIENT, HOST), 5)), None);
        assert_eq!(joining.take(syn("veth", 1, (CLIENT, POD), 5)), host());
        let masqueraded = ([10, 0, 0, 1], 1025);
        assert_eq!(joining.take(syn("far", 9, (masqueraded, POD), 5)), host(), "both ends are other ones");
        let retry = |point: &str, millis, ends| {
            let mut retry = syn(point, millis, ends, 5);
            retry.options = TcpOptions::with_timestamps(1077, 0);
            retry
        };
        assert_eq!(joining.take(retry("eth0", 1000, (CLIENT, HOST))), None);
        assert_eq!(joining.take(retry("veth", 1001, (CLIENT, POD))), host());
        assert_eq!(joining.take(syn("veth", 2000, (CLIENT, POD), 6)), None, "its ports are used anew");
        let pod = syn("veth", 0, (CLIENT, POD), 5);
        assert!(joining.joiner.find(&pod.flow, pod.frame.point(), joining.hasher.hash(&pod.flow)).is_none());
    }

    #[test]
    fn a_rewritten_isn_makes_two_connections() {
        let mut joiner = FlowJoiner::default();
        let [near, far] = [("near", 5), ("far", 9)].map(|(point, isn)| syn(point, 0, (CLIENT, HOST), isn));
        assert!(joiner.take_syn(&near, 1).is_none());
        let joined = joiner.take_syn(&far, 1).unwrap();
        let mut moved = far;
        joined.apply(&mut moved);
        assert!(moved.flow != far.flow && joined.hash != 1);
        assert_eq!(moved.flow.destination(moved.direction), far.flow.destination(far.direction));
        assert!(joiner.find(&far.flow, far.frame.point(), 1).is_some());
        assert!(joiner.find(&far.flow, near.frame.point(), 1).is_none());
        assert_eq!(joiner.renumbered(), 1);
    }

    #[test]
    fn equal_syns_of_a_flood_are_no_sightings() {
        let mut joining = Joining::new();
        for n in 0..100 {
            let client = ([192, 0, 2, n], 40_000);
            assert_eq!(joining.take(syn("eth0", n.into(), (client, HOST), 5)), None);
            assert_eq!(joining.take(syn("veth", n.into(), (client, HOST), 5)), None);
        }
        assert!(!joining.joiner.has_joined());
    }

    #[test]
    fn without_timestamps_a_second_is_all_and_without_options_nothing_is() {
        let plain = |point: &str, millis, ends, options| Segment { options, ..syn(point, millis, ends, 5) };
        let others = TcpOptions::OTHERS;
        let mut joining = Joining::new();
        joining.take(plain("eth0", 0, (CLIENT, HOST), others));
        assert_eq!(joining.take(plain("veth", 999, (CLIENT, POD), others)), host());
        let mut joining = Joining::new();
        joining.take(plain("eth0", 0, (CLIENT, HOST), others));
        assert_eq!(joining.take(plain("veth", 1001, (CLIENT, POD), others)), None);
        let mut joining = Joining::new();
        joining.take(plain("eth0", 0, (CLIENT, HOST), TcpOptions::NONE));
        assert_eq!(joining.take(plain("veth", 1, (CLIENT, POD), TcpOptions::NONE)), None);
    }

    #[test]
    fn at_one_point_only_the_same_packet_is_a_sighting() {
        let packet = |millis, ends, ip_id| Segment { ip_id, ..syn("any", millis, ends, 5) };
        let mut joining = Joining::new();
        joining.take(packet(0, (CLIENT, HOST), 4711));
        assert_eq!(joining.take(packet(1, (CLIENT, POD), 4711)), host());
        let mut joining = Joining::new();
        joining.take(packet(0, (CLIENT, HOST), 4711));
        assert_eq!(joining.take(packet(1, (CLIENT, POD), 4712)), None);
    }

    #[test]
    fn without_ip_ids_a_forwarded_syn_of_the_same_client_is_a_sighting() {
        let packet = |millis, ends, ttl| Segment { ip_id: 0, ttl, ..syn("any", millis, ends, 5) };
        let second = |syn| {
            let mut joining = Joining::new();
            joining.take(packet(0, (CLIENT, HOST), 64));
            joining.take(syn)
        };
        assert_eq!(second(packet(1, (CLIENT, POD), 63)), host());
        assert_eq!(second(packet(1, (CLIENT, POD), 64)), None, "a program that asks several servers");
        assert_eq!(second(packet(1001, (CLIENT, POD), 63)), None, "too late");
        assert_eq!(second(packet(1, (([192, 0, 2, 8], 40_000), POD), 63)), None, "another client");
        assert_eq!(second(Segment { window: 9, ..packet(1, (CLIENT, POD), 63) }), None, "another window");
        let plain = Segment { options: TcpOptions::OTHERS, ..packet(0, (CLIENT, HOST), 64) };
        let mut joining = Joining::new();
        joining.take(plain);
        let moved = packet(1, (CLIENT, POD), 63);
        assert_eq!(joining.take(Segment { options: plain.options, ..moved }), None, "no timestamps");
    }

    #[test]
    fn a_syn_that_may_be_several_others_is_none_of_them() {
        let mut joining = Joining::new();
        let [one, two, three] = [1, 2, 3].map(|n| ([192, 0, 2, n], 40_000));
        joining.take(syn("eth0", 0, (one, HOST), 5));
        joining.take(syn("eth0", 1, (two, HOST), 5));
        assert_eq!(joining.take(syn("veth", 2, (three, POD), 5)), None);
        assert_eq!(joining.take(syn("veth", 3, (two, POD), 5)), host(), "this one has its client");
    }
}
