//! Random attempts, made of the segments that the state machine tells apart, with numbers and timestamps as hosts send
//! them.

use hsanalyze::packet::{Endpoint, Flags, Packet, Segment, Seq, Span, TcpOptions, Timestamp};
use proptest::prelude::*;

/// Next segment of one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Syn,
    SynAck,
    Ack,
    Data,
    Fin,
    Rst,
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
    let kinds = vec![Kind::Syn, Kind::SynAck, Kind::Ack, Kind::Data, Kind::Fin, Kind::Rst];
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
            has_reset[usize::from(step.from_server)] |= step.kind == Kind::Rst && !step.again;
            !is_over && (step.kind != Kind::Syn || !went_on)
        });
        flow
    })
}

/// The number of an end's next byte, and the segment that it sent last.
struct End {
    next: Seq,
    last: Option<(Flags, Seq, u32)>,
}

impl Flow {
    /// The segments between this client and the server.
    fn segments(&self, client: Endpoint, server: Endpoint) -> Vec<Segment> {
        let mut at = Timestamp::from_nanos(1_700_000_000_000_000_000).plus(Span::from_micros(self.begins));
        let isns = [Seq(self.isns.0), Seq(self.isns.1)];
        let mut ends = isns.map(|isn| End { next: isn, last: None });
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
                segment.options = TcpOptions::with_timestamps(clock, clock.wrapping_sub(1));
            } else {
                segment.ip_id = 7_000 + count;
            }
            segments.push(segment);
        }
        segments
    }
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
