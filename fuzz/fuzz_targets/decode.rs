//! Arbitrary bytes under every link type: `cargo +nightly fuzz run decode`.
//!
//! Looks for panics, and for a segment longer than the packet that it was found in.

#![no_main]

use hsanalyze::packet::{Frame, FrameRef, LinkType, Packet, Skip, Timestamp, decode};
use libfuzzer_sys::fuzz_target;

/// All link types with a decoder, and one without.
const LINK_TYPES: [LinkType; 12] = [
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
];

fuzz_target!(|input: (u8, u32, &[u8])| {
    let (choice, wire_len, data) = input;
    let link = LINK_TYPES[usize::from(choice) % LINK_TYPES.len()];
    let frame = Frame { at: Timestamp::from_nanos(0), frame: FrameRef::new(0, 1), link, wire_len, data };
    match decode(&frame) {
        // An IP length field holds 16 bits; only without one does the wire length count.
        Ok(Packet::Segment(segment)) => {
            assert!(segment.payload <= wire_len.max(u32::from(u16::MAX)).max(data.len() as u32));
        }
        Ok(Packet::Unreachable(error)) => assert_eq!(error.frame, frame.frame),
        Err(skip) => assert_eq!(skip == Skip::UnsupportedLinkType, link.name().is_none()),
    }
});
