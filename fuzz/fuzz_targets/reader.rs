//! Arbitrary bytes as a capture in memory: pcap, pcapng, and both compressed by gzip or zstd. No reports, no files.
//!
//! Looks for panics, for packets that are not counted, and for what depends on how much is read at a time, or on the
//! compression.

#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hsanalyze::capture::{CaptureInfo, CaptureOptions, Source, SourceStatus};
use hsanalyze::packet::{Frames, LinkType, Timestamp};
use libfuzzer_sys::fuzz_target;

/// Facts about a frame.
type Known = (Timestamp, LinkType, u32, Vec<u8>);

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, bytes) = input;
    let Some((whole, info)) = read(bytes.to_vec(), usize::MAX) else { return };
    assert_eq!(info.packets, whole.len() as u64);
    assert!(info.cut <= info.damaged.is_some());
    let some = 1 + usize::from(choice >> 2);
    // Nobody compresses twice, and what is compressed twice is foreign.
    let is_compressed = bytes.starts_with(&[0x1f, 0x8b])
        || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || is_skippable(bytes);
    let (parts, again) = match choice & 3 {
        _ if is_compressed => read(bytes.to_vec(), some),
        0 => read(gzip(bytes), some),
        1 => read(zstd::encode_all(bytes, 1).expect("memory does not fail"), some),
        _ => read(bytes.to_vec(), some),
    }
    .expect("it was a capture before");
    assert!(parts == whole, "{} and {} frames", whole.len(), parts.len());
    assert_eq!((again.packets, &again.link_types), (info.packets, &info.link_types));
    assert_eq!((again.first, again.last, again.cut), (info.first, info.last, info.cut));
    // A cut changes nothing that was read before it.
    let cut = bytes.len() - usize::from(choice).min(bytes.len());
    if let Some((begin, _)) = read(bytes[..cut].to_vec(), usize::MAX) {
        assert!(whole.starts_with(&begin), "{} of {} frames", begin.len(), whole.len());
    }
});

/// The frames, `max` at a time; `None` for what is no capture, or compressed already.
fn read(bytes: Vec<u8>, max: usize) -> Option<(Vec<Known>, CaptureInfo)> {
    let (mut captures, error) =
        hsanalyze::fuzzing::captures_in_memory(bytes, &CaptureOptions::default()).ok()?;
    if error.is_some() {
        return None;
    }
    let mut known = Vec::new();
    let mut keep = |frames: Frames<'_>| {
        known.extend(frames.iter().map(|frame| (frame.at, frame.link, frame.wire_len, frame.data.to_vec())));
    };
    while captures.read(max, &mut keep) != SourceStatus::End {}
    Some((known, captures.captures().swap_remove(0)))
}

/// True if the bytes begin with a frame that zstd skips.
fn is_skippable(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0xf0 == 0x50) && bytes.get(1..4) == Some(&[0x2a, 0x4d, 0x18])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory does not fail")
}
