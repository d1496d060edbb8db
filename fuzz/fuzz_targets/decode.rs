//! Arbitrary bytes under every link type; `fuzz/seed` has a packet of every tunnel.
//!
//! Looks for panics, for a segment longer than the packet that it was found in, and for headers that the quick decoder reads
//! otherwise than the general one.

#![no_main]

use std::sync::LazyLock;

use hsanalyze::packet::{Frame, FrameRef, LinkType, Packet, Skip, Timestamp, decode};
use libfuzzer_sys::fuzz_target;

/// All link types with a decoder, and one without.
static LINK_TYPES: LazyLock<Vec<LinkType>> = LazyLock::new(|| {
    let decoded = (0..=u16::MAX).map(LinkType).filter(|link| link.is_decoded());
    decoded.chain([LinkType(147)]).collect()
});

fuzz_target!(|input: (u8, u32, &[u8])| {
    let (choice, wire_len, data) = input;
    let link = LINK_TYPES[usize::from(choice) % LINK_TYPES.len()];
    let frame = Frame { at: Timestamp::from_nanos(0), frame: FrameRef::new(0, 1), link, wire_len, data };
    hsanalyze::fuzzing::decoders_agree(&frame);
    let whole = decode(&frame);
    match whole {
        // An IP length field holds 16 bits; only without one does the wire length count.
        Ok(Packet::Segment(segment)) => {
            assert!(segment.payload <= wire_len.max(u32::from(u16::MAX)).max(data.len() as u32));
        }
        Ok(Packet::Unreachable(error)) => assert_eq!(error.frame, frame.frame),
        Err(skip) => assert_eq!(skip == Skip::UnsupportedLinkType, !link.is_decoded()),
    }
});
