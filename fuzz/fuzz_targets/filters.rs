//! Arbitrary packets through BPF filters, and arbitrary words as arguments: every option's own parser is behind them.
//!
//! Looks for panics, and for a filter that takes a packet of nothing.

#![no_main]

use std::cell::RefCell;
use std::sync::LazyLock;

use hsanalyze::capture::Filter;
use hsanalyze::command::Condition;
use hsanalyze::fuzzing::filter;
use hsanalyze::packet::{Frame, FrameRef, LinkType, Timestamp};
use libfuzzer_sys::fuzz_target;

/// Filters that reach into packets: tests of lengths, of variable offsets, of bytes, and of link layers.
const EXPRESSIONS: [&str; 8] = [
    "tcp port 80",
    "tcp[tcpflags] & (tcp-syn|tcp-ack) != 0",
    "ip[8] < 64 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)",
    "vlan and tcp",
    "ip6 and tcp",
    "ether[0:4] = 0x01020304",
    "host 10.9.0.1 or net 10.0.0.0/8",
    "greater 100 and not less 60",
];

/// All link types with a decoder, and one without.
static LINK_TYPES: LazyLock<Vec<LinkType>> = LazyLock::new(|| {
    let decoded = (0..=u16::MAX).map(LinkType).filter(|link| link.is_decoded());
    decoded.chain([LinkType(147)]).collect()
});

thread_local! {
    static FILTERS: RefCell<Vec<Filter>> = RefCell::new(EXPRESSIONS.map(filter).into());
}

fuzz_target!(|input: (u8, u8, u32, &[u8])| {
    let (choice, link, wire_len, data) = input;
    let text = || String::from_utf8_lossy(data);
    match choice >> 4 {
        // Seldom: clap takes long for each run.
        0 => {
            let text = text();
            let words = std::iter::once("hsanalyze").chain(text.split('\n').take(16));
            _ = hsanalyze::cli::parse(words);
        }
        1 => {
            let text = text();
            if let Ok(condition) = text.parse::<Condition>() {
                assert_eq!(condition.to_string(), text);
            }
        }
        _ => {
            let link = LINK_TYPES[usize::from(link) % LINK_TYPES.len()];
            let at = Timestamp::from_nanos(0);
            let frame = Frame { at, frame: FrameRef::new(0, 1), link, wire_len, data };
            FILTERS.with_borrow_mut(|filters| {
                for filter in filters {
                    if let Ok(true) = filter.matches(&frame) {
                        assert!(wire_len > 0 || !data.is_empty());
                    }
                }
            });
        }
    }
});
