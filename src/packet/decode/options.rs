//! TCP options.

use etherparse::tcp_option;

use crate::packet::{OptionLayout, Seq, TcpOptions};

/// Parses the three layouts of most segments: no options; timestamps alone, in the layout of RFC 7323
/// appendix A; and the options of a Linux SYN (`tcp_options_write`).
#[inline(always)]
pub(super) fn usual(options: &[u8]) -> Option<TcpOptions> {
    const NOOP: u8 = tcp_option::KIND_NOOP;
    const TIMESTAMP: [u8; 2] = [tcp_option::KIND_TIMESTAMP, tcp_option::LEN_TIMESTAMP];
    const MSS: [u8; 2] = [tcp_option::KIND_MAXIMUM_SEGMENT_SIZE, tcp_option::LEN_MAXIMUM_SEGMENT_SIZE];
    const SACK: [u8; 2] = [tcp_option::KIND_SELECTIVE_ACK_PERMITTED, tcp_option::LEN_SELECTIVE_ACK_PERMITTED];
    const SCALE: [u8; 2] = [tcp_option::KIND_WINDOW_SCALE, tcp_option::LEN_WINDOW_SCALE];
    let (Some(&[a, b, c, d, e, f, g, h]), Some(&[w, x, y, z])) =
        (options.first_chunk(), options.last_chunk())
    else {
        return options.is_empty().then_some(TcpOptions::NONE);
    };
    // Compares with both layouts without branches: which of the two a segment has is hard to predict.
    let word = u32::from_le_bytes;
    let unlike = |found: [u8; 4], [a, b]: [u8; 2], [c, d]: [u8; 2]| word(found) ^ word([a, b, c, d]);
    let plain = unlike([a, b, c, d], [NOOP; 2], TIMESTAMP) | (options.len() ^ (4 + TIMESTAMPS)) as u32;
    let syn = unlike([a, b, c, d], MSS, [0; 2]) & word([u8::MAX, u8::MAX, 0, 0])
        | unlike([e, f, g, h], SACK, TIMESTAMP)
        | unlike([w, x, y, z], [NOOP, SCALE[0]], [SCALE[1], 0]) & word([u8::MAX, u8::MAX, u8::MAX, 0])
        | (options.len() ^ (12 + TIMESTAMPS)) as u32;
    if plain.min(syn) != 0 {
        return None;
    }
    let (start, layout) = if syn == 0 { (8, OptionLayout::LINUX_SYN) } else { (4, OptionLayout::TIMESTAMPS) };
    let (tsval, tsecr) = read(options.get(start..start + TIMESTAMPS)?)?;
    Some(TcpOptions::others(layout).stamped(tsval, tsecr))
}

/// Length of TSval and TSecr in bytes.
const TIMESTAMPS: usize = 8;

/// Reads TSval and TSecr, if the length is right.
#[inline(always)]
fn read(body: &[u8]) -> Option<(u32, u32)> {
    let &[v0, v1, v2, v3, e0, e1, e2, e3] = body else { return None };
    Some((u32::from_be_bytes([v0, v1, v2, v3]), u32::from_be_bytes([e0, e1, e2, e3])))
}

/// Parses the options of a header, as far as they were captured.
///
/// Stops without an error at an option that the snap length cut or whose length is wrong; those before
/// it count. (etherparse's iterator stops at the first unknown kind.) If an option occurs twice, the last
/// one counts, as on Linux (`tcp_parse_options`).
///
/// `ack` is the header's acknowledgment number, which SACK blocks are compared with.
#[inline(never)]
pub(super) fn parse(mut rest: &[u8], ack: Seq) -> TcpOptions {
    let mut options = TcpOptions::NONE;
    let mut layout = if rest.is_empty() { OptionLayout::NONE } else { OptionLayout::UNKNOWN };
    while let [kind, after @ ..] = rest {
        layout = layout.then(*kind);
        if *kind == tcp_option::KIND_NOOP {
            rest = after;
            continue;
        }
        if *kind == tcp_option::KIND_END {
            break;
        }
        let Some(length) = after.first() else { break };
        let Some((option, following)) = rest.split_at_checked(usize::from(*length)) else { break };
        // The length counts kind and length themselves; one below two is wrong.
        let [_, _, body @ ..] = option else { break };
        if *kind == tcp_option::KIND_TIMESTAMP
            && let Some((tsval, tsecr)) = read(body)
        {
            options = options.stamped(tsval, tsecr);
        } else if *kind == tcp_option::KIND_SELECTIVE_ACK
            && let Some((left, right)) = body.first_chunk().and_then(|block: &[u8; 8]| read(block))
            && Seq(left).after(ack)
        {
            options = options.sacked(right.wrapping_sub(left));
        }
        rest = following;
    }
    options.laid_out(layout)
}
