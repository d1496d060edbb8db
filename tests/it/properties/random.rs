//! Random attempts, made of the segments that the state machine tells apart, with numbers and timestamps as hosts send
//! them.

use etherparse::{PacketBuilder, TcpOptionElement};
use hsanalyze::packet::{Endpoint, Flags, LinkType, Packet, Segment, Seq, Span, TcpOptions, Timestamp};
use proptest::prelude::*;

use crate::bundled::RawPacket;

/// Next segment of one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Syn,
    SynAck,
    Ack,
    Data,
    Fin,
    /// With ACK, as hosts without the connection and programs that close send it.
    Rst,
    /// Without ACK, as the answer to a segment with ACK.
    BareRst,
}

/// A segment of a random attempt.
#[derive(Debug, Clone)]
struct Step {
    /// Since the one before, in microseconds.
    pause: i64,
    from_server: bool,
    kind: Kind,
    /// The segment that this end sent last comes again in its place.
    again: bool,
}

/// An attempt, or several with the same ports.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    begins: i64,
    isns: (u32, u32),
    has_timestamps: bool,
    steps: Vec<Step>,
}

/// Segments of a flow in any order.
fn step() -> impl Strategy<Value = Step> {
    let kinds = vec![Kind::Syn, Kind::SynAck, Kind::Ack, Kind::Data, Kind::Fin, Kind::Rst, Kind::BareRst];
    let sent = (any::<bool>(), prop::sample::select(kinds)).prop_map(|(from_server, kind)| match kind {
        // Which of the two it is follows from who sends it.
        Kind::Syn | Kind::SynAck => (from_server, if from_server { Kind::SynAck } else { Kind::Syn }),
        _ => (from_server, kind),
    });
    (pause(), sent, prop::bool::weighted(0.3)).prop_map(|(pause, (from_server, kind), again)| Step {
        pause,
        from_server,
        kind,
        again,
    })
}

/// Round trips, pauses of programs, and time-outs of hosts.
fn pause() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 6_000..60_000_i64, 2 => 200_000..1_500_000_i64, 2 => 1_000_000..8_000_000_i64]
}

/// A handshake to begin with, mostly whole, and then anything.
pub(crate) fn flow() -> impl Strategy<Value = Flow> {
    let begins = 0..20_000_000_i64;
    // Many just before the wrap.
    let isn = || prop_oneof![any::<u32>(), (0..6_u32).prop_map(|before| u32::MAX - before)];
    let handshake = (1..=3_usize, pause(), pause()).prop_map(|(length, first, second)| {
        let step = |pause, from_server, kind| Step { pause, from_server, kind, again: false };
        let mut steps =
            vec![step(0, false, Kind::Syn), step(first, true, Kind::SynAck), step(second, false, Kind::Ack)];
        steps.truncate(length);
        steps
    });
    let rest = prop::collection::vec(step(), 0..10);
    (begins, (isn(), isn()), any::<bool>(), handshake, rest).prop_map(
        |(begins, isns, has_timestamps, mut steps, rest)| {
            steps.extend(rest);
            Flow { begins, isns, has_timestamps, steps }
        },
    )
}

/// The same, of a client that has one connection: no SYN follows anything but a SYN or a SYN-ACK, and no host sends
/// anything after its RST.
pub(crate) fn single_attempt() -> impl Strategy<Value = Flow> {
    flow().prop_map(|mut flow| {
        let (mut went_on, mut has_other, mut has_reset) = (false, [false; 2], [false; 2]);
        flow.steps.retain_mut(|step| {
            went_on |= !matches!(step.kind, Kind::Syn | Kind::SynAck);
            // What this end sent last may be its SYN.
            step.again &= has_other[usize::from(step.from_server)];
            has_other[usize::from(step.from_server)] |= !matches!(step.kind, Kind::Syn | Kind::SynAck);
            let is_over = has_reset[usize::from(step.from_server)];
            has_reset[usize::from(step.from_server)] |=
                matches!(step.kind, Kind::Rst | Kind::BareRst) && !step.again;
            !is_over && (step.kind != Kind::Syn || !went_on)
        });
        flow
    })
}

/// A whole connection to a listener without trouble: a handshake, requests with their answers, and both ends' FINs.
pub(crate) fn healthy() -> impl Strategy<Value = Flow> {
    let isns = (any::<u32>(), any::<u32>());
    let round_trip = || 6_000..60_000_i64;
    let exchange = [(false, Kind::Data), (true, Kind::Ack), (true, Kind::Data), (false, Kind::Ack)];
    let rest = (0..4_usize, any::<bool>(), prop::collection::vec(round_trip(), 24));
    (0..20_000_000_i64, isns, any::<bool>(), rest).prop_map(
        move |(begins, isns, has_timestamps, (exchanges, closes, pauses))| {
            let mut kinds = vec![(false, Kind::Syn), (true, Kind::SynAck), (false, Kind::Ack)];
            kinds.extend(exchange.iter().cycle().take(exchanges * exchange.len()));
            if closes {
                kinds.extend([(false, Kind::Fin), (true, Kind::Fin), (false, Kind::Ack)]);
            }
            let step = |((from_server, kind), pause)| Step { pause, from_server, kind, again: false };
            let steps = kinds.into_iter().zip(pauses).map(step).collect();
            Flow { begins, isns, has_timestamps, steps }
        },
    )
}

/// The number of an end's next byte, the segment that it sent last, and that segment's TSval.
struct End {
    next: Seq,
    last: Option<(Flags, Seq, u32)>,
    tsval: u32,
}

impl Flow {
    /// The same without pauses that last longer than the first time-out of a host.
    pub(crate) fn without_silence(mut self) -> Self {
        self.steps.iter_mut().for_each(|step| step.pause = step.pause.min(1_500_000));
        self
    }

    /// The segments between this client and the server.
    fn segments(&self, client: Endpoint, server: Endpoint) -> Vec<Segment> {
        let mut at = Timestamp::from_nanos(1_700_000_000_000_000_000).plus(Span::from_micros(self.begins));
        let isns = [Seq(self.isns.0), Seq(self.isns.1)];
        let mut ends = isns.map(|isn| End { next: isn, last: None, tsval: 0 });
        let mut segments = Vec::new();
        for (count, step) in (0_u16..).zip(&self.steps) {
            at = at.plus(Span::from_micros(step.pause));
            let [sender, other] = if step.from_server { [1, 0] } else { [0, 1] };
            let (flags, seq, payload) = match ends[sender].last {
                Some(last) if step.again => last,
                _ => {
                    let next = ends[sender].next;
                    match step.kind {
                        Kind::Syn => (Flags::SYN, isns[0], 0),
                        Kind::SynAck => (Flags::SYN.union(Flags::ACK), isns[1], 0),
                        Kind::Ack => (Flags::ACK, next, 0),
                        Kind::Data => (Flags::ACK, next, 100),
                        Kind::Fin => (Flags::FIN.union(Flags::ACK), next, 0),
                        Kind::Rst => (Flags::RST.union(Flags::ACK), next, 0),
                        Kind::BareRst => (Flags::RST, next, 0),
                    }
                }
            };
            let takes = u32::from(flags.intersects(Flags::SYN.union(Flags::FIN))) + payload;
            let end = seq.plus(takes);
            if end.after(ends[sender].next) {
                ends[sender].next = end;
            }
            ends[sender].last = Some((flags, seq, payload));
            let ack = if flags.contains(Flags::ACK) { ends[other].next } else { Seq(0) };
            let (from, to) = if step.from_server { (server, client) } else { (client, server) };
            let mut segment = Segment::new(at, from, to, flags, seq, ack);
            segment.payload = payload;
            if flags.contains(Flags::RST) {
                // No host puts timestamps on it, and Linux no IP ID.
            } else if self.has_timestamps {
                // A clock of a millisecond at each end, and the other's as the latest segment had it.
                let clock = (at.as_nanos() / 1_000_000) as u32;
                segment.options = TcpOptions::with_timestamps(clock, ends[other].tsval);
                ends[sender].tsval = clock;
            } else {
                segment.ip_id = 7_000 + count;
            }
            segments.push(segment);
        }
        segments
    }
}

/// The frames of flows to one server.
pub(crate) fn frames(flows: &[Flow]) -> Vec<RawPacket> {
    let segments = packets(flows, 10).into_iter().filter_map(|packet| match packet {
        Packet::Segment(segment) => Some(frame(&segment)),
        Packet::Unreachable(_) => None,
    });
    segments.collect()
}

/// The packets of flows to one server, in order of time. Their clients have addresses beginning with `network`.
pub(crate) fn packets(flows: &[Flow], network: u8) -> Vec<Packet> {
    let server = Endpoint::v4([network, 255, 0, 1], 443);
    let mut segments = Vec::new();
    for (flow, port) in flows.iter().zip(40_000 + u16::from(network)..) {
        let client = Endpoint::v4([network, 0, 0, (port % 3) as u8], port);
        segments.extend(flow.segments(client, server));
    }
    segments.sort_by_key(|segment| segment.at);
    segments.into_iter().map(Packet::Segment).collect()
}

/// The segment as a frame of Ethernet.
pub(crate) fn frame(segment: &Segment) -> RawPacket {
    let (from, to) = (segment.flow.source(segment.direction), segment.flow.destination(segment.direction));
    let (std::net::IpAddr::V4(source), std::net::IpAddr::V4(destination)) = (from.ip(), to.ip()) else {
        panic!("random attempts have IPv4 addresses");
    };
    let mut packet = PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(source.octets(), destination.octets(), segment.ttl)
        .tcp(from.port(), to.port(), segment.seq.0, segment.window);
    let has = |flag: Flags| segment.flags.contains(flag);
    if has(Flags::SYN) {
        packet = packet.syn();
    }
    if has(Flags::ACK) {
        packet = packet.ack(segment.ack.0);
    }
    if has(Flags::FIN) {
        packet = packet.fin();
    }
    if has(Flags::RST) {
        packet = packet.rst();
    }
    if let Some((value, echo)) = segment.options.timestamps() {
        packet = packet.options(&[TcpOptionElement::Timestamp(value, echo)]).unwrap();
    }
    let payload = vec![0; segment.payload as usize];
    let mut data = Vec::new();
    packet.write(&mut data, &payload).unwrap();
    // The builder has none: bytes 18 and 19, and the checksum before the addresses.
    data[18..20].copy_from_slice(&segment.ip_id.to_be_bytes());
    RawPacket { at: segment.at, link: LinkType::ETHERNET, wire_len: data.len() as u32, data }
}
