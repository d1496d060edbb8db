//! Segments from bytes: eight for each, so that a change of one byte changes one segment.

use hsanalyze::packet::{
    CapturePoint, Endpoint, Flags, FlowKey, FrameRef, IcmpError, Packet, Segment, Seq, Span, TcpOptions,
    Timestamp, Unreachable,
};

/// Bytes of a segment: ends, flags, numbers from the ISNs, payload, pause (two), clock.
pub const BYTES: usize = 8;

/// Most segments of an input.
const MOST: usize = 256;

/// The ISNs of both ends by flow: in the middle, before the wrap, and at 0.
const ISNS: [(u32, u32); 4] =
    [(1_000, 7_000), (0xffff_fffe, 0xffff_ff00), (0, 0x8000_0000), (0x7fff_fff0, 0)];

/// The packets that these bytes describe, captured at some of these points.
#[must_use]
pub fn packets(bytes: &[u8], points: &[CapturePoint]) -> Vec<Packet> {
    let mut at = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let segments = bytes.chunks_exact(BYTES).take(MOST).zip(1..).filter_map(|(bytes, number)| {
        let &[ends, flags, seq, ack, payload, pause, unit, clock] = bytes else { return None };
        at = at.plus(span(pause, unit));
        let frame = FrameRef::new(0, number);
        let point = points.get(usize::from(ends >> 6) % points.len().max(1));
        let frame = point.map_or(frame, |point| frame.at_point(*point));
        Some(packet(at, frame, [ends, flags, seq, ack, payload, clock]))
    });
    segments.collect()
}

/// A pause in units from a microsecond to ten seconds; a few go back.
fn span(pause: u8, unit: u8) -> Span {
    let units = [1, 50, 1_000, 5_000, 20_000, 200_000, 1_000_000, 10_000_000];
    let micros = i64::from(pause) * units[usize::from(unit & 7)];
    if unit > 250 { Span::from_micros(-micros.min(60_000)) } else { Span::from_micros(micros) }
}

fn packet(at: Timestamp, frame: FrameRef, [ends, flags, seq, ack, payload, clock]: [u8; 6]) -> Packet {
    let flow = ends & 3;
    let from_server = ends & 4 != 0;
    let client = Endpoint::v4([10, 0, 0, 1 + (flow & 1)], 40_000 + u16::from(ends >> 3 & 1));
    let server = match ends & 0x10 {
        0 => Endpoint::v4([10, 1, 0, 1], if flow & 2 == 0 { 80 } else { 443 }),
        _ => Endpoint::v4([10, 1, 0, 2], 80),
    };
    let (client_isn, server_isn) = ISNS[usize::from(flow)];
    let (own, other) = if from_server { (server_isn, client_isn) } else { (client_isn, server_isn) };
    let (from, to) = if from_server { (server, client) } else { (client, server) };
    if flags >= 0xf0 {
        let (flow, direction) = FlowKey::new(from, to);
        let icmp = IcmpError { v6: false, kind: 3, code: flags & 0xf };
        let router = [10, 9, 9, ends];
        let seq = number_near(own, seq);
        return Packet::Unreachable(Unreachable {
            at,
            frame,
            from: router.into(),
            flow,
            direction,
            seq,
            icmp,
        });
    }
    let flags = Flags(flags & 0x3f);
    let ack = if flags.contains(Flags::ACK) { number_near(other, ack) } else { Seq(0) };
    let mut segment = Segment::new(at, from, to, flags, number_near(own, seq), ack);
    segment.frame = frame;
    segment.payload = match payload {
        0..=0x7f => 0,
        other => u32::from(other & 0x7f) * 12,
    };
    segment.ttl = if payload & 1 == 0 { 64 } else { 57 };
    segment.window = if payload & 2 == 0 { 64_240 } else { 0 };
    if ends & 0x20 != 0 {
        segment.options = TcpOptions::with_timestamps(u32::from(clock) * 9, u32::from(clock ^ ends) * 9);
    } else {
        segment.ip_id = u16::from(clock) << 4 | frame.number() as u16 & 0xf;
    }
    Packet::Segment(segment)
}

/// A number at the ISN, by the byte's distance from 0; far off for the ends of its range.
fn number_near(isn: u32, distance: u8) -> Seq {
    Seq(match distance as i8 {
        i8::MIN => isn.wrapping_add(0x8000_0000),
        i8::MAX => isn.wrapping_add(70_000),
        near @ 100.. => isn.wrapping_add(near as u32 * 12),
        near => isn.wrapping_add_signed(i32::from(near)),
    })
}
