//! Arbitrary segments through the state machine and the listeners.
//!
//! Looks for panics, for packets that count twice, and for verdicts that depend on times, names or sequence numbers.

#![no_main]

use hsanalyze_fuzz::{check_invariance, packets};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: ([u8; 8], &[u8])| {
    let ([seconds, high, low, ports, shift @ ..], bytes) = input;
    let packets = packets(bytes, &[]);
    let masks = (u32::from_be_bytes([high, 0, ports, low]), u16::from_be_bytes([low, ports]));
    // Past the wrap of a 32-bit count of microseconds, and back to before the epoch.
    let seconds = i64::from(seconds as i8) * 20_000_003;
    check_invariance(&packets, seconds, masks, u32::from_be_bytes(shift));
});
