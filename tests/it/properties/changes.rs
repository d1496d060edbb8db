//! Changes of a capture that leave its attempts what they are.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hsanalyze::packet::{Endpoint, Flags, FlowKey, Packet, Segment, Seq, Span};

use super::track::time;

/// A packet, and its position in the capture that was changed; none where a change added it.
pub(super) type Traced = (Packet, Option<u64>);

/// All packets later by this much, or earlier.
pub(crate) fn shift_time(packets: &[Packet], by: Span) -> Vec<Packet> {
    let later = |packet: &Packet| match *packet {
        Packet::Segment(segment) => Packet::Segment(Segment { at: segment.at.plus(by), ..segment }),
        Packet::Unreachable(mut error) => {
            error.at = error.at.plus(by);
            Packet::Unreachable(error)
        }
    };
    packets.iter().map(later).collect()
}

/// True if a host with a connection numbers an RST with ACK 0, by chance. That is the number of hosts without one.
pub(super) fn has_ambiguous_reset(packets: &[Packet]) -> bool {
    packets.iter().any(|packet| match packet {
        Packet::Segment(segment) => {
            segment.flags.contains(Flags::RST.union(Flags::ACK)) && segment.seq == Seq(0)
        }
        Packet::Unreachable(_) => false,
    })
}

/// All sequence numbers higher by this much, modulo 2^32.
pub(super) fn shift_numbers(packets: &[Packet], by: u32) -> Vec<Packet> {
    let sender = |segment: &Segment| {
        (segment.flow.source(segment.direction), segment.flow.destination(segment.direction))
    };
    let connected: BTreeSet<_> = packets
        .iter()
        .filter_map(|packet| match packet {
            Packet::Segment(segment) => segment.flags.contains(Flags::SYN).then(|| sender(segment)),
            Packet::Unreachable(_) => None,
        })
        .collect();
    let higher = |packet: &Packet| match *packet {
        Packet::Segment(mut segment) => {
            // A host without a connection has no numbers: its RST with ACK has number 0 (RFC 9293 §3.10.7.1).
            let numberless = segment.flags.contains(Flags::RST.union(Flags::ACK))
                && segment.seq == Seq(0)
                && !connected.contains(&sender(&segment));
            if !numberless {
                segment.seq = segment.seq.plus(by);
            }
            if segment.flags.contains(Flags::ACK) {
                segment.ack = segment.ack.plus(by);
            }
            Packet::Segment(segment)
        }
        Packet::Unreachable(mut error) => {
            error.seq = error.seq.plus(by);
            Packet::Unreachable(error)
        }
    };
    packets.iter().map(higher).collect()
}

/// All addresses and ports under other names: the bits of the masks inverted. Loopback addresses stay that, and no other
/// becomes one: they mean that both ends are on one host.
pub(crate) fn rename(packets: &[Packet], (addresses, ports): (u32, u16)) -> Vec<Packet> {
    const WITHIN_NETWORK: u32 = 0x00ff_ffff;
    let endpoint = |end: Endpoint| {
        let port = end.port() ^ ports;
        match end.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => {
                Endpoint::v4((ip.to_bits() ^ addresses & WITHIN_NETWORK).to_be_bytes(), port)
            }
            IpAddr::V4(ip) => {
                let mask = addresses & (1 << 31 | WITHIN_NETWORK);
                Endpoint::v4((ip.to_bits() ^ mask).to_be_bytes(), port)
            }
            IpAddr::V6(ip) if ip.is_loopback() => Endpoint::v6(ip.octets(), port),
            IpAddr::V6(ip) => Endpoint::v6((ip.to_bits() ^ u128::from(addresses)).to_be_bytes(), port),
        }
    };
    let renamed = |packet: &Packet| match *packet {
        Packet::Segment(mut segment) => {
            let (source, destination) =
                (segment.flow.source(segment.direction), segment.flow.destination(segment.direction));
            (segment.flow, segment.direction) = FlowKey::new(endpoint(source), endpoint(destination));
            Packet::Segment(segment)
        }
        Packet::Unreachable(mut error) => {
            let (source, destination) =
                (error.flow.source(error.direction), error.flow.destination(error.direction));
            (error.flow, error.direction) = FlowKey::new(endpoint(source), endpoint(destination));
            error.from = endpoint(match error.from {
                IpAddr::V4(ip) => Endpoint::v4(ip.octets(), 0),
                IpAddr::V6(ip) => Endpoint::v6(ip.octets(), 0),
            })
            .ip();
            Packet::Unreachable(error)
        }
    };
    packets.iter().map(renamed).collect()
}

/// Each packet with its own position.
pub(super) fn traced(packets: &[Packet]) -> Vec<Traced> {
    packets.iter().copied().zip((0..).map(Some)).collect()
}

/// Two captures as one, in order of time; at the same time the packets of the first come first. A packet that is out
/// of order stays behind the one before it.
pub(super) fn merge(first: &[Traced], second: &[Traced]) -> Vec<Traced> {
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let mut rest = second.iter().peekable();
    for packet in first {
        while let Some(other) = rest.next_if(|(other, _)| time(other) < time(&packet.0)) {
            merged.push(*other);
        }
        merged.push(*packet);
    }
    merged.extend(rest);
    merged
}

/// Each packet captured again, this much later.
pub(super) fn copies(packets: &[Packet], after: impl Fn(&Packet) -> Span) -> Vec<Traced> {
    let again = |packet: &Packet| {
        let later = shift_time(std::slice::from_ref(packet), after(packet));
        later.first().map(|copy| (*copy, None))
    };
    let mut copies: Vec<Traced> = packets.iter().filter_map(again).collect();
    copies.sort_by_key(|(copy, _)| time(copy));
    merge(&traced(packets), &copies)
}

/// The capture without the packet at this position.
pub(super) fn without(packets: &[Packet], dropped: usize) -> Vec<Packet> {
    let others = packets.iter().enumerate().filter(|&(place, _)| place != dropped);
    others.map(|(_, packet)| *packet).collect()
}

/// The capture with the packet at this position and the next one in each other's place, and at each other's time.
pub(super) fn swapped(packets: &[Packet], place: usize) -> Vec<Packet> {
    let mut packets = packets.to_vec();
    if let Some([first, second]) = packets.get_mut(place..place + 2) {
        let (early, late) = (time(first), time(second));
        std::mem::swap(first, second);
        for (packet, at) in [(first, early), (second, late)] {
            match packet {
                Packet::Segment(segment) => segment.at = at,
                Packet::Unreachable(error) => error.at = at,
            }
        }
    }
    packets
}
