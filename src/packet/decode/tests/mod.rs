//! Packets for tests: one small function per header, nested from the inside out.

mod agreement;
mod encapsulation;
mod icmp;
mod segments;
mod truncation;

use super::{Frame, decode};
use crate::packet::{Endpoint, FrameRef, LinkType, Packet, Segment, Skip, Timestamp};

const CLIENT: [u8; 4] = [10, 9, 0, 1];
const SERVER: [u8; 4] = [10, 9, 0, 2];
const CLIENT6: [u8; 16] = [0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const SERVER6: [u8; 16] = [0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Options of a Linux SYN: MSS 1460, SACK permitted, timestamps, NOP, window scale 7.
const SYN_OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0, 1, 3, 3, 7];

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn tcp(flags: u8, options: &[u8], payload: usize) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0);
    let offset = u8::try_from(5 + options.len() / 4).unwrap() << 4;
    let fixed = [0x9d, 0x38, 0x1e, 0x61, 0, 0, 3, 232, 0, 0, 7, 208, offset, flags, 0xfa, 0xf0, 0, 0, 0, 0];
    join(&[&fixed, options, &vec![0xaa; payload]])
}

fn syn() -> Vec<u8> {
    tcp(SYN, &SYN_OPTIONS, 0)
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(&[], 0, protocol, payload)
}

fn ipv4_with(options: &[u8], fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let ihl = 0x45 + u8::try_from(options.len() / 4).unwrap();
    let total = u16::try_from(20 + options.len() + payload.len()).unwrap().to_be_bytes();
    let [f0, f1] = fragment.to_be_bytes();
    let fixed = [ihl, 0, total[0], total[1], 0, 0, f0, f1, 63, protocol, 0, 0];
    join(&[&fixed, &CLIENT, &SERVER, options, payload])
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let [l0, l1] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    join(&[&[0x60, 0, 0, 0, l0, l1, next, 62], &CLIENT6, &SERVER6, payload])
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&[2; 12], &ether_type.to_be_bytes(), payload])
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    join(&[&[0xc0, 0], &port.to_be_bytes(), &length, &[0, 0], payload])
}

fn frame_of(link: LinkType, wire_len: usize, data: &[u8]) -> Frame<'_> {
    let wire_len = u32::try_from(wire_len).unwrap();
    Frame { at: Timestamp::from_nanos(7), frame: FrameRef::new(0, 1), link, wire_len, data }
}

fn decode_as(link: LinkType, data: &[u8]) -> Result<Packet, Skip> {
    decode(&frame_of(link, data.len(), data))
}

fn decode_ethernet(data: &[u8]) -> Result<Packet, Skip> {
    decode_as(LinkType::ETHERNET, data)
}

/// The segment in `data`; fails the test if there is none.
#[track_caller]
fn segment(link: LinkType, data: &[u8]) -> Segment {
    match decode_as(link, data) {
        Ok(Packet::Segment(segment)) => segment,
        other => panic!("{link}, {data:02x?}: {other:?}"),
    }
}

/// Checks that `data` holds the SYN made by [`syn`] over IPv4.
#[track_caller]
fn assert_syn_v4(link: LinkType, data: &[u8]) {
    assert_syn(link, data, Endpoint::v4(CLIENT, 40248), Endpoint::v4(SERVER, 7777), 63);
}

/// Checks that `data` holds the SYN made by [`syn`] over IPv6.
#[track_caller]
fn assert_syn_v6(link: LinkType, data: &[u8]) {
    assert_syn(link, data, Endpoint::v6(CLIENT6, 40248), Endpoint::v6(SERVER6, 7777), 62);
}

#[track_caller]
fn assert_syn(link: LinkType, data: &[u8], client: Endpoint, server: Endpoint, ttl: u8) {
    let segment = segment(link, data);
    assert_eq!(segment.flow.source(segment.direction), client);
    assert_eq!(segment.flow.destination(segment.direction), server);
    assert_eq!((segment.flags.0, segment.seq.0, segment.payload, segment.ttl), (SYN, 1000, 0, ttl));
    assert_eq!(segment.options.timestamps(), Some((256, 0)));
}
