//! Packets cut after any byte: no panic, and the right reason.

use proptest::prelude::*;

use super::*;
use crate::packet::Checksum;

/// Decodes `data` with its full wire length, but captured only up to `captured` bytes.
fn cut(link: LinkType, data: &[u8], captured: usize) -> Result<Packet, Skip> {
    decode(&frame_of(link, data.len(), &data[..captured]))
}

/// Cuts `data`, which ends with [`syn`], after any byte.
fn cut_everywhere(link: LinkType, data: &[u8]) {
    let whole = segment(link, data);
    let fixed_end = data.len() - SYN_OPTIONS.len();
    for captured in 0..fixed_end {
        assert_eq!(cut(link, data, captured), Err(Skip::Truncated), "{link} after {captured}");
    }
    for captured in fixed_end..data.len() {
        let Ok(Packet::Segment(mut part)) = cut(link, data, captured) else {
            panic!("{link} after {captured}: {:?}", cut(link, data, captured));
        };
        let kept = captured - fixed_end;
        assert!(part.options.any());
        assert_eq!(part.options.timestamps(), (kept >= 16).then_some((256, 0)));
        part.options = whole.options;
        // It covers the options.
        assert_eq!(part.checksum, Checksum::Unverified);
        part.checksum = whole.checksum;
        assert_eq!(part, whole);
    }
}

#[test]
fn cuts_before_the_options_are_truncated_and_later_ones_lose_options_only() {
    cut_everywhere(LinkType::ETHERNET, &ethernet(0x0800, &ipv4(6, &syn())));
    cut_everywhere(LinkType::ETHERNET, &ethernet(0x86dd, &ipv6(6, &syn())));
    cut_everywhere(LinkType::ETHERNET, &ethernet(0x8100, &join(&[&[0, 5, 8, 0], &ipv4(6, &syn())])));
    cut_everywhere(LinkType::RAW, &ipv4_with(&[1; 8], 0, 6, &syn()));
    cut_everywhere(LinkType::RAW, &ipv6(0, &join(&[&[6, 0, 1, 4, 0, 0, 0, 0], &syn()])));
    cut_everywhere(LinkType::NULL, &join(&[&[2, 0, 0, 0], &ipv4(6, &syn())]));
    cut_everywhere(LinkType::PPP, &join(&[&[0xff, 3, 0, 0x21], &ipv4(6, &syn())]));
    cut_everywhere(LinkType::LINUX_SLL2, &join(&[&[8, 0], &[0; 18], &ipv4(6, &syn())]));
    cut_everywhere(LinkType::RAW, &ipv4(47, &join(&[&[0x20, 0, 8, 0, 0, 0, 0, 1], &ipv4(6, &syn())])));
}

#[test]
fn fifty_four_bytes_give_everything_but_options() {
    let data = ethernet(0x0800, &ipv4(6, &tcp(ACK, &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], 1000)));
    let Ok(Packet::Segment(part)) = cut(LinkType::ETHERNET, &data, 54) else { panic!() };
    assert_eq!(
        (part.payload, part.flags.0, part.options.any(), part.options.timestamps()),
        (1000, ACK, true, None)
    );
}

#[test]
fn a_wire_length_adjusted_to_the_cut_does_not_make_a_packet_malformed() {
    let data = ethernet(0x0800, &ipv4(6, &tcp(ACK, &[], 1000)));
    assert_eq!(segment(LinkType::ETHERNET, &data[..60]).payload, 1000);
    assert_eq!(decode_ethernet(&data[..50]), Err(Skip::Truncated));
}

#[test]
fn frames_that_end_inside_a_header_are_malformed() {
    assert_eq!(decode_ethernet(&[2; 10]), Err(Skip::Malformed));
    assert_eq!(decode_ethernet(&ethernet(0x0800, &[0x45; 12])), Err(Skip::Malformed));
    assert_eq!(decode_as(LinkType::RAW, &[]), Err(Skip::Malformed));
}

#[test]
fn icmp_errors_are_cut_like_segments() {
    let quote = ipv4(6, &syn());
    let data = ipv4(1, &join(&[&[3, 1, 0, 0, 0, 0, 0, 0], &quote]));
    for captured in 28..56 {
        assert_eq!(cut(LinkType::RAW, &data, captured), Err(Skip::Truncated), "after {captured}");
    }
    for captured in 56..data.len() {
        assert!(matches!(cut(LinkType::RAW, &data, captured), Ok(Packet::Unreachable(_))), "{captured}");
    }
}

/// Every link type with a decoder, and one without.
fn link_types() -> impl Strategy<Value = LinkType> {
    proptest::sample::select(vec![
        LinkType::NULL,
        LinkType::ETHERNET,
        LinkType::PPP,
        LinkType::RAW_12,
        LinkType::RAW_14,
        LinkType::RAW,
        LinkType::LOOP,
        LinkType::LINUX_SLL,
        LinkType::IPV4,
        LinkType::IPV6,
        LinkType::LINUX_SLL2,
        LinkType(147),
    ])
}

proptest! {
    #[test]
    fn arbitrary_bytes_decode_to_something_consistent(
        link in link_types(),
        data in proptest::collection::vec(any::<u8>(), 0..200),
        wire_len in any::<u32>(),
    ) {
        let frame = Frame { wire_len, ..frame_of(link, 0, &data) };
        match decode(&frame) {
            Ok(Packet::Segment(segment)) => prop_assert_eq!(segment.frame, frame.frame),
            Ok(Packet::Unreachable(error)) => prop_assert_eq!(error.frame, frame.frame),
            Err(skip) => prop_assert_eq!(skip == Skip::UnsupportedLinkType, !link.is_decoded()),
        }
    }
}
