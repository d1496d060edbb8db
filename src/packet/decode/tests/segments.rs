//! The fields of a segment: flags, lengths, options, fragments, and contradictory headers.

use super::*;
use crate::packet::{Flags, OptionLayout, Seq, TcpOptions};

#[test]
fn all_fields_of_a_segment() {
    let data = ethernet(0x0800, &ipv4(6, &tcp(ACK | 0x08, &[], 11)));
    let segment = segment(LinkType::ETHERNET, &data);
    assert_eq!(segment.at, Timestamp::from_nanos(7));
    assert_eq!(segment.frame, FrameRef::new(0, 1));
    assert_eq!(segment.flags, Flags::ACK.union(Flags::PSH));
    assert_eq!((segment.seq, segment.ack), (Seq(1000), Seq(2000)));
    assert_eq!((segment.payload, segment.window, segment.ttl), (11, 64240, 63));
    assert_eq!(segment.options, TcpOptions::default());
}

#[test]
fn every_combination_of_flags_is_kept() {
    for flags in 0..=u8::MAX {
        let data = ethernet(0x86dd, &ipv6(6, &tcp(flags, &[], 0)));
        assert_eq!(segment(LinkType::ETHERNET, &data).flags, Flags(flags));
    }
}

#[test]
fn both_directions_have_one_flow() {
    let there = segment(LinkType::RAW, &ipv4(6, &syn()));
    let mut reply = ipv4(6, &tcp(SYN | ACK, &[], 0));
    reply[12..16].copy_from_slice(&SERVER);
    reply[16..20].copy_from_slice(&CLIENT);
    reply[20..24].rotate_left(2);
    let back = segment(LinkType::RAW, &reply);
    assert_eq!(there.flow, back.flow);
    assert_eq!(there.direction, back.direction.reverse());
}

fn options(bytes: &[u8]) -> TcpOptions {
    segment(LinkType::RAW, &ipv4(6, &tcp(SYN, bytes, 0))).options
}

#[test]
fn options_of_a_syn() {
    assert_eq!(options(&SYN_OPTIONS).timestamps(), Some((256, 0)));
    assert_eq!(options(&SYN_OPTIONS).layout(), OptionLayout::LINUX_SYN);
    assert_eq!(options(&[]), TcpOptions::NONE);
}

#[test]
fn the_usual_timestamp_layout_and_any_other_say_the_same() {
    let stamps = |bytes: &[u8]| options(bytes).timestamps();
    let usual = stamps(&[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(usual, Some((0x0102_0304, 0x0506_0708)));
    assert_eq!(usual, stamps(&[8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]));
    assert_eq!(usual, stamps(&[8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]));
    // Of two the last stands.
    assert_eq!(usual, stamps(&join(&[&[8, 10, 9, 9, 9, 9, 9, 9, 9, 9, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]])));
}

#[test]
fn unknown_options_are_stepped_over_and_damaged_ones_end_the_walk() {
    const TIMESTAMPS: [u8; 10] = [8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    let known = Some((1, 2));
    // Multipath TCP, MSS, Fast Open, then timestamps.
    assert_eq!(options(&join(&[&[30, 4, 0, 1, 2, 4, 5, 180, 34, 2], &TIMESTAMPS])).timestamps(), known);
    // Lengths of zero, of one, past the end; and timestamps of a wrong length.
    for damaged in [[1, 1, 30, 0, 8, 10], [1, 1, 30, 1, 8, 10], [1, 1, 30, 9, 8, 10], [8, 6, 5, 1, 1, 1]] {
        assert_eq!(options(&join(&[&TIMESTAMPS, &damaged])).timestamps(), known);
    }
    for damaged in [[30, 0], [30, 1], [30, 99], [0, 0]] {
        assert_eq!(options(&join(&[&damaged, &TIMESTAMPS])).timestamps(), None, "{damaged:?}");
    }
}

#[test]
fn a_sack_block_counts_beyond_the_acknowledgment_number_only() {
    let header = segment(LinkType::RAW, &ipv4(6, &tcp(ACK, &[], 0)));
    let block =
        |left: u32| join(&[&[1, 1, 5, 10], &left.to_be_bytes(), &left.wrapping_add(99).to_be_bytes()]);
    let beyond = options(&block(header.ack.plus(1).0));
    assert_eq!((beyond.has_sacked(), beyond.sacked_bytes()), (true, 99));
    assert!(!options(&block(header.ack.plus(u32::MAX).0)).has_sacked(), "a D-SACK");
}

#[test]
fn padding_is_not_payload() {
    let mut data = ethernet(0x0800, &ipv4(6, &tcp(ACK, &[], 2)));
    data.resize(60, 0);
    assert_eq!(segment(LinkType::ETHERNET, &data).payload, 2);
    let mut data = ethernet(0x86dd, &ipv6(6, &tcp(ACK, &[], 2)));
    data.resize(90, 0);
    assert_eq!(segment(LinkType::ETHERNET, &data).payload, 2);
}

#[test]
fn offloaded_segments_without_a_length_take_the_wire_length() {
    let mut v4 = ethernet(0x0800, &ipv4(6, &tcp(ACK, &[], 100)));
    v4[16..18].fill(0);
    let mut v6 = ethernet(0x86dd, &ipv6(6, &tcp(ACK, &[], 100)));
    v6[18..20].fill(0);
    for (data, headers) in [(v4, 54), (v6, 74)] {
        match decode(&frame_of(LinkType::ETHERNET, 100_000, &data)) {
            Ok(Packet::Segment(segment)) => assert_eq!(segment.payload, 100_000 - headers),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn ip_options_and_extension_headers_are_stepped_over() {
    let authentication = [6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
    assert_syn_v4(LinkType::RAW, &ipv4_with(&[7, 7, 4, 0, 0, 0, 0, 0], 0, 6, &syn()));
    assert_syn_v4(LinkType::RAW, &ipv4(51, &join(&[&authentication, &syn()])));
    let hop_by_hop = [43, 0, 1, 4, 0, 0, 0, 0];
    let routing = [60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let destination = [44, 0, 1, 4, 0, 0, 0, 0];
    let atomic_fragment = [51, 0, 0, 0, 0, 0, 0, 9];
    let all = join(&[&hop_by_hop, &routing, &destination, &atomic_fragment, &authentication, &syn()]);
    assert_syn_v6(LinkType::RAW, &ipv6(0, &all));
}

#[test]
fn first_fragments_are_used_and_later_ones_counted() {
    const MORE: u16 = 0x2000;
    let data = tcp(ACK, &[], 12);
    assert_eq!(segment(LinkType::RAW, &ipv4_with(&[], MORE, 6, &data)).payload, 12);
    let tiny = ipv4_with(&[], MORE, 6, &data[..16]);
    assert_eq!(decode_as(LinkType::RAW, &tiny), Err(Skip::Fragment));
    let later = ipv4_with(&[], MORE | 2, 6, &data);
    assert_eq!(decode_as(LinkType::RAW, &later), Err(Skip::Fragment));
    // The options may go on in the next fragment.
    let options_cut = ipv4_with(&[], MORE, 6, &syn()[..24]);
    let first = segment(LinkType::RAW, &options_cut);
    assert_eq!((first.options.timestamps(), first.payload), (None, 0));
    assert!(first.options.any());

    let v6 =
        |offset_and_more: u8, data: &[u8]| ipv6(44, &join(&[&[6, 0, 0, offset_and_more, 0, 0, 0, 9], data]));
    assert_eq!(segment(LinkType::RAW, &v6(1, &data)).payload, 12);
    assert_eq!(decode_as(LinkType::RAW, &v6(1, &data[..16])), Err(Skip::Fragment));
    assert_eq!(decode_as(LinkType::RAW, &v6(8, &data)), Err(Skip::Fragment));
}

#[test]
fn headers_that_contradict_themselves_are_malformed() {
    let sound = ipv4(6, &syn());
    let with = |at: usize, value: u8| {
        let mut data = sound.clone();
        data[at] = value;
        decode_as(LinkType::IPV4, &data)
    };
    assert_eq!(with(0, 0x44), Err(Skip::Malformed), "header length below 20");
    assert_eq!(with(0, 0x65), Err(Skip::Malformed), "version 6 where 4 was announced");
    assert_eq!(with(3, 19), Err(Skip::Malformed), "total length below the header's");
    assert_eq!(with(3, 39), Err(Skip::Malformed), "no room for the TCP header");
    assert_eq!(with(32, 0x40), Err(Skip::Malformed), "data offset below 5");
    assert_eq!(with(32, 0xb0), Err(Skip::Malformed), "data offset past the datagram");
    let mut v6 = ipv6(6, &syn());
    v6[5] = 19;
    assert_eq!(decode_as(LinkType::IPV6, &v6), Err(Skip::Malformed), "no room for the TCP header");
}

#[test]
fn other_protocols_are_counted_as_what_they_are() {
    assert_eq!(decode_ethernet(&ethernet(0x0800, &ipv4(17, &udp(53, &[0; 30])))), Err(Skip::NotTcp));
    assert_eq!(decode_ethernet(&ethernet(0x86dd, &ipv6(59, &[]))), Err(Skip::NotTcp));
    assert_eq!(decode_ethernet(&ethernet(0x0800, &ipv4(132, &syn()))), Err(Skip::NotTcp));
    // ARP, LLDP, 802.3 with LLC, 802.3 with SNAP of Cisco's.
    assert_eq!(decode_ethernet(&ethernet(0x0806, &[0; 46])), Err(Skip::NotIp));
    assert_eq!(decode_ethernet(&ethernet(0x88cc, &[0; 46])), Err(Skip::NotIp));
    assert_eq!(decode_ethernet(&ethernet(38, &[0x42; 46])), Err(Skip::NotIp));
    let snap = join(&[&[0xaa, 0xaa, 3, 0, 0, 0x0c, 8, 0], &ipv4(6, &syn())]);
    assert_eq!(decode_ethernet(&ethernet(68, &snap)), Err(Skip::NotIp));
}
