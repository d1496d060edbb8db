//! Arbitrary bytes as what the kernel writes: netlink datagrams, records of the BPF program, files of `/proc` and
//! `/sys`, programs.
//!
//! Looks for panics, and for answers that are longer than their input.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, bytes) = input;
    hsanalyze::fuzzing::parse_kernel(choice, bytes);
});
