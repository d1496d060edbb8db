//! ICMP errors and the packets that they quote.

use std::net::IpAddr;

use super::*;
use crate::packet::{IcmpError, Seq, Unreachable};

fn message(kind: u8, code: u8, quote: &[u8]) -> Vec<u8> {
    join(&[&[kind, code, 0, 0, 0, 0, 0, 0], quote])
}

fn v4(kind: u8, code: u8, quote: &[u8]) -> Result<Packet, Skip> {
    decode_ethernet(&ethernet(0x0800, &ipv4(1, &message(kind, code, quote))))
}

fn v6(kind: u8, code: u8, quote: &[u8]) -> Result<Packet, Skip> {
    decode_ethernet(&ethernet(0x86dd, &ipv6(58, &message(kind, code, quote))))
}

#[track_caller]
fn unreachable(packet: Result<Packet, Skip>) -> Unreachable {
    match packet {
        Ok(Packet::Unreachable(unreachable)) => unreachable,
        other => panic!("{other:?}"),
    }
}

#[test]
fn errors_tell_the_flow_and_direction_of_the_quoted_syn() {
    let syn_segment = segment(LinkType::RAW, &ipv4(6, &syn()));
    for (kind, code) in [(3, 0), (3, 1), (3, 3), (3, 13), (11, 0), (12, 0)] {
        let error = unreachable(v4(kind, code, &ipv4(6, &syn())));
        assert_eq!(error.icmp, IcmpError { v6: false, kind, code });
        assert_eq!((error.flow, error.direction), (syn_segment.flow, syn_segment.direction));
        assert_eq!(error.seq, Seq(1000));
    }
    let syn_segment = segment(LinkType::RAW, &ipv6(6, &syn()));
    for (kind, code) in [(1, 1), (1, 4), (3, 0), (4, 1)] {
        let error = unreachable(v6(kind, code, &ipv6(6, &syn())));
        assert_eq!(error.icmp, IcmpError { v6: true, kind, code });
        assert_eq!((error.flow, error.direction), (syn_segment.flow, syn_segment.direction));
    }
}

#[test]
fn eight_bytes_of_the_segment_are_enough() {
    let quote = ipv4_with(&[7, 7, 4, 0, 0, 0, 0, 0], 0, 6, &syn());
    assert_eq!(unreachable(v4(3, 1, &quote[..36])).seq, Seq(1000));
    assert_eq!(v4(3, 1, &quote[..35]), Err(Skip::Malformed));
    let quote = ipv6(60, &join(&[&[6, 0, 1, 4, 0, 0, 0, 0], &syn()]));
    assert_eq!(unreachable(v6(1, 3, &quote[..56])).seq, Seq(1000));
    assert_eq!(v6(1, 3, &quote[..55]), Err(Skip::Malformed));
}

#[test]
fn a_quoted_length_in_the_wrong_byte_order_does_no_harm() {
    let mut quote = ipv4(6, &syn());
    quote[2..4].reverse();
    unreachable(v4(3, 1, &quote));
    quote[2..4].fill(0xff);
    unreachable(v4(3, 1, &quote));
    quote[2..4].copy_from_slice(&[0, 1]);
    unreachable(v4(3, 1, &quote));
}

#[test]
fn only_errors_about_a_syn_are_used() {
    for flags in [ACK, SYN | ACK, 0x04, 0] {
        assert_eq!(v4(3, 1, &ipv4(6, &tcp(flags, &[], 0))), Err(Skip::NotTcp));
        assert_eq!(v6(1, 1, &ipv6(6, &tcp(flags, &[], 0))), Err(Skip::NotTcp));
    }
    // A SYN that offers ECN.
    unreachable(v4(3, 1, &ipv4(6, &tcp(SYN | 0xc0, &[], 0))));
}

#[test]
fn too_big_errors_count_for_any_segment() {
    let data = || tcp(ACK, &[], 1460);
    let error = unreachable(v4(3, 4, &ipv4(6, &data())));
    assert!(error.icmp.is_too_big());
    assert_eq!(error.from, IpAddr::from([10, 9, 0, 1]));
    assert!(unreachable(v6(2, 0, &ipv6(6, &data()))).icmp.is_too_big());
}

#[test]
fn advice_and_other_quotes_are_not_tcp() {
    // Source quench, redirect, echo, an empty time stamp.
    for (kind, code) in [(4, 0), (5, 1), (8, 0), (13, 0)] {
        assert_eq!(v4(kind, code, &ipv4(6, &syn())), Err(Skip::NotTcp));
    }
    // Echo, neighbour solicitation.
    for (kind, code) in [(128, 0), (135, 0)] {
        assert_eq!(v6(kind, code, &ipv6(6, &syn())), Err(Skip::NotTcp));
    }
    assert_eq!(v4(3, 3, &ipv4(17, &udp(53, &[0; 20]))), Err(Skip::NotTcp));
    assert_eq!(v4(3, 1, &ipv4_with(&[], 9, 6, &syn())), Err(Skip::NotTcp));
    assert_eq!(v6(1, 1, &ipv6(44, &join(&[&[6, 0, 0, 8, 0, 0, 0, 0], &syn()]))), Err(Skip::NotTcp));
    assert_eq!(v4(3, 1, &[0x65; 40]), Err(Skip::Malformed));
}
