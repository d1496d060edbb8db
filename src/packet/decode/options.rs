//! TCP options.

use etherparse::tcp_option;

use crate::packet::Options;

/// TCP Fast Open (RFC 7413 §4.1.1).
const KIND_FAST_OPEN: u8 = 34;
/// Shared by experiments (RFC 6994); Fast Open was one before it had its own kind.
const KIND_EXPERIMENT: u8 = 254;

/// Reads the three layouts that most segments have: nothing at all, timestamps alone as RFC 7323 appendix A
/// lays them out, and what Linux sends with SYN (`tcp_options_write`).
#[inline(always)]
pub(super) fn usual(options: &[u8]) -> Option<Options> {
    match *options {
        [] => Some(Options::default()),
        [
            tcp_option::KIND_NOOP,
            tcp_option::KIND_NOOP,
            tcp_option::KIND_TIMESTAMP,
            tcp_option::LEN_TIMESTAMP,
            v0,
            v1,
            v2,
            v3,
            e0,
            e1,
            e2,
            e3,
        ] => {
            let timestamps = (u32::from_be_bytes([v0, v1, v2, v3]), u32::from_be_bytes([e0, e1, e2, e3]));
            Some(Options { timestamps: Some(timestamps), any: true, ..Options::default() })
        }
        [
            tcp_option::KIND_MAXIMUM_SEGMENT_SIZE,
            tcp_option::LEN_MAXIMUM_SEGMENT_SIZE,
            m0,
            m1,
            tcp_option::KIND_SELECTIVE_ACK_PERMITTED,
            tcp_option::LEN_SELECTIVE_ACK_PERMITTED,
            tcp_option::KIND_TIMESTAMP,
            tcp_option::LEN_TIMESTAMP,
            v0,
            v1,
            v2,
            v3,
            e0,
            e1,
            e2,
            e3,
            tcp_option::KIND_NOOP,
            tcp_option::KIND_WINDOW_SCALE,
            tcp_option::LEN_WINDOW_SCALE,
            shift,
        ] => Some(Options {
            timestamps: Some((u32::from_be_bytes([v0, v1, v2, v3]), u32::from_be_bytes([e0, e1, e2, e3]))),
            mss: Some(u16::from_be_bytes([m0, m1])),
            window_scale: Some(shift),
            sack_permitted: true,
            any: true,
            ..Options::default()
        }),
        _ => None,
    }
}

/// Reads the options of a header from as many octets of them as were captured.
///
/// Ends quietly at the first option that the snap length cut or whose length is wrong: what stands
/// before it is still true. (etherparse's iterator ends at the first kind it does not know.) Of
/// repeated options the last stands, as on Linux (`tcp_parse_options`).
pub(super) fn parse(mut rest: &[u8]) -> Options {
    let mut options = Options { any: !rest.is_empty(), ..Options::default() };
    while let [kind, after @ ..] = rest {
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
        match (*kind, body) {
            (tcp_option::KIND_MAXIMUM_SEGMENT_SIZE, &[a, b]) => {
                options.mss = Some(u16::from_be_bytes([a, b]));
            }
            (tcp_option::KIND_WINDOW_SCALE, &[shift]) => options.window_scale = Some(shift),
            (tcp_option::KIND_SELECTIVE_ACK_PERMITTED, []) => options.sack_permitted = true,
            (tcp_option::KIND_TIMESTAMP, &[v0, v1, v2, v3, e0, e1, e2, e3]) => {
                let value = u32::from_be_bytes([v0, v1, v2, v3]);
                options.timestamps = Some((value, u32::from_be_bytes([e0, e1, e2, e3])));
            }
            // The magic number tells Fast Open from other experiments (RFC 7413 appendix B).
            (KIND_FAST_OPEN, _) | (KIND_EXPERIMENT, &[0xf9, 0x89, ..]) => options.fast_open = true,
            _ => {}
        }
        rest = following;
    }
    options
}
