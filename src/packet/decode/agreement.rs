//! The check that both ways of decoding agree, for tests and fuzzing.

use super::{
    Frame, Glimpse, HEADERS, Packet, decode, general, glimpse_ipv4, glimpse_ipv6, usual_ipv4, usual_ipv6,
};

/// Checks one frame; returns true if the fast path decoded it.
pub(crate) fn agree(frame: &Frame<'_>) -> bool {
    let whole = general(frame).map_err(|unused| unused.reason);
    assert_eq!(decode(frame), whole, "{:02x?}", frame.data);
    let glimpse = glimpse_ipv4(frame).or_else(|| glimpse_ipv6(frame));
    if let Some(Glimpse { flow, flags }) = glimpse {
        // The headers alone, followed by other bytes, decode to the same segment later.
        let mut headers = frame.data.to_vec();
        headers.resize(HEADERS, 0xff);
        let stack = usual_ipv4(&headers).or_else(|| usual_ipv6(&headers));
        let later = stack.map(|stack| stack.segment(frame.at, frame.frame, true));
        assert_eq!(later.map(Packet::Segment), whole.ok(), "{:02x?}", frame.data);
        assert_eq!(later.map(|segment| (segment.flow, segment.flags)), Some((flow, flags)));
    }
    glimpse.is_some()
}
