//! Cut, mangled, foreign and vanishing files.

use std::io::Write;

use proptest::prelude::*;

use super::build::{ByteOrder, Pcap, PcapNg, gzip, zstd};
use super::{ReadResult, file, read, read_paths};
use crate::capture::{CaptureOptions, Captures, OpenReason, Source, SourceStatus};
use crate::packet::Frames;

fn small_pcap() -> (Vec<u8>, Vec<usize>) {
    let mut pcap = Pcap::micros();
    let mut ends = Vec::new();
    for n in 0..5u8 {
        pcap = pcap.record(u32::from(n), 7, 100, &vec![n; 20 + usize::from(n)]);
        ends.push(pcap.bytes.len());
    }
    (pcap.bytes, ends)
}

fn small_pcapng() -> (Vec<u8>, Vec<usize>) {
    let mut ng = PcapNg::new(ByteOrder::Big).interface(1, 0, &[(2, b"eth0".to_vec())]);
    let mut packets = Vec::new();
    for n in 0..5u8 {
        ng = match n {
            2 => ng.simple(20, &[n; 20]),
            3 => ng.obsolete(0, 3, 21, &[n; 21]),
            _ => ng.enhanced_with(0, u64::from(n), 100, &[n; 20], &[(1, b"note".to_vec())]),
        };
        packets.push(ng.bytes.len());
    }
    (ng.statistics(0, &[(5, 1)]).bytes, packets)
}

/// Checks that a file cut anywhere gives all frames before the cut, and reports it unless it is between two records.
fn cut_everywhere(whole: &[u8], ends: &[usize], block_ends: &[usize], header: usize) {
    let all = read(whole).frames;
    assert_eq!(all.len(), ends.len());
    for cut in 0..whole.len() {
        let outcome = read(&whole[..cut]);
        let expected = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(outcome.frames, all[..expected], "cut at {cut}");
        assert_eq!(outcome.infos[0].packets, expected as u64);
        let whole_blocks = cut >= header && (cut == header || block_ends.contains(&cut));
        assert_eq!(outcome.infos[0].damaged.is_none(), whole_blocks, "cut at {cut}: {}", outcome.damage());
    }
}

#[test]
fn classic_files_cut_anywhere() {
    let (whole, ends) = small_pcap();
    cut_everywhere(&whole, &ends, &ends, 24);
}

#[test]
fn pcapng_files_cut_anywhere() {
    let (whole, ends) = small_pcapng();
    let interface = PcapNg::new(ByteOrder::Big).interface(1, 0, &[(2, b"eth0".to_vec())]).bytes.len();
    let blocks: Vec<usize> = ends.iter().copied().chain([interface]).collect();
    cut_everywhere(&whole, &ends, &blocks, 28);
}

#[test]
fn compressed_files_cut_anywhere_keep_what_could_be_read() {
    let (whole, _) = small_pcap();
    let all = read(&whole).frames;
    for compressed in [gzip(&whole), zstd(&whole)] {
        for cut in 1..compressed.len() {
            let outcome = read(&compressed[..cut]);
            assert!(all.starts_with(&outcome.frames), "cut at {cut}");
            assert!(outcome.infos[0].damaged.is_some(), "cut at {cut}");
        }
    }
    // Large enough that a part of it can be decompressed: the data must not compress well.
    let mut pcap = Pcap::micros();
    let mut noise = 1u32;
    for n in 0..4000 {
        let data: Vec<u8> = (0..100)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            })
            .collect();
        pcap = pcap.record(n, 0, 100, &data);
    }
    let all = read(&pcap.bytes).frames;
    for (name, compressed) in [("gzip", gzip(&pcap.bytes)), ("zstd", zstd(&pcap.bytes))] {
        let outcome = read(&compressed[..compressed.len() / 2]);
        assert!(outcome.frames.len() > 500, "{name}: {}", outcome.frames.len());
        assert!(all.starts_with(&outcome.frames));
        let damage = outcome.damage();
        assert!(damage.contains(&format!("the {name} data cannot be decompressed further")), "{damage}");
        assert!(damage.contains(&format!("(after {name} decompression)")), "{damage}");
    }
}

fn complains(outcome: &ReadResult, frames: usize, place: &str, what: &str) {
    assert_eq!(outcome.frames.len(), frames);
    let damage = outcome.damage();
    assert!(damage.contains(place), "{damage}");
    assert!(damage.ends_with(what), "{damage}");
    assert!(damage.starts_with(&outcome.infos[0].path), "{damage}");
}

#[test]
fn damage_has_a_place_and_a_reason() {
    let (whole, ends) = small_pcap();
    let outcome = read(&whole[..ends[1] + 7]);
    let place = format!(": packet 3 at byte {}: ", ends[1]);
    complains(&outcome, 2, &place, "the capture ends after 7 of the 16 bytes of its record header");
    let outcome = read(&whole[..ends[1] + 30]);
    complains(&outcome, 2, &place, "the capture ends after 30 of the 38 bytes of its record");

    let mut hostile = whole.clone();
    hostile[ends[1] + 8..ends[1] + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let what = "its captured length is 4294967295; expected at most 1048576";
    complains(&read(&hostile), 2, &place, what);
}

#[test]
fn zeros_after_the_end_are_damage_and_no_records() {
    let what = "(space that was allocated and never written, or lost in a crash)";
    let zeros = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len() + 4096, 0);
        read(&bytes)
    };
    let (whole, ends) = small_pcap();
    complains(&zeros(whole), ends.len(), &format!(" at byte {}: ", ends[ends.len() - 1]), what);
    let modified = Pcap::new(ByteOrder::Little, 0xa1b2_cd34, 1).record(5, 0, 4, b"abcd");
    complains(&zeros(modified.bytes), 1, ": packet 2 at byte 52: ", what);
    // A record of zeros but for its extra fields.
    let odd = Pcap::new(ByteOrder::Little, 0xa1b2_cd34, 1).record(0, 0, 0, b"").record(5, 0, 4, b"abcd");
    complains(&read(&odd.bytes), 0, ": packet 1 at byte 24: ", what);
    let (whole, ends) = small_pcapng();
    let place = format!(" at byte {}: ", whole.len());
    complains(&zeros(whole), ends.len(), &place, what);
}

#[test]
fn a_zstd_window_that_is_too_large_is_refused_with_advice() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(&small_pcap().0).unwrap();
    let outcome = read(&encoder.finish().unwrap());
    assert!(outcome.damage().ends_with("; unpack it first: zstd -d --long=31"), "{}", outcome.damage());
}

#[test]
fn hostile_blocks_are_damage() {
    let (whole, ends) = small_pcapng();
    let patched = |at: usize, value: u32| {
        let mut bytes = whole.clone();
        bytes[ends[0] + at..ends[0] + at + 4].copy_from_slice(&value.to_be_bytes());
        read(&bytes)
    };
    let len = (ends[1] - ends[0]) as u32;
    let place = format!(": packet 2 at byte {}: ", ends[0]);
    let cases = [
        (4, 8, "block type 0x00000006 has length 8; expected a multiple of 4, at least 32".to_owned()),
        (4, 62, "block type 0x00000006 has length 62; expected a multiple of 4, at least 32".to_owned()),
        (4, 0xffff_fffc, "block type 0x00000006 has length 4294967292; expected at most 2097152".to_owned()),
        (8, 9, "it belongs to interface 9, but the section has declared 1 so far".to_owned()),
        (
            len as usize - 4,
            len + 4,
            format!(
                "the block's length is {len} at its beginning and {} at its end; expected the same",
                len + 4
            ),
        ),
        (
            20,
            u32::MAX,
            format!(
                "the block holds {} bytes of packet and options, but its captured length is 4294967295",
                len - 32
            ),
        ),
        (
            20,
            len - 31,
            format!(
                "the block holds {} bytes of packet and options, but its captured length is {}",
                len - 32,
                len - 31
            ),
        ),
    ];
    for (at, value, what) in cases {
        complains(&patched(at, value), 1, &place, &what);
    }
    let orphan = PcapNg::new(ByteOrder::Little).simple(3, b"abc").bytes;
    complains(
        &read(&orphan),
        0,
        "packet 1 at byte 28",
        "it belongs to interface 0, but the section has declared 0 so far",
    );
    let mut version = PcapNg::new(ByteOrder::Little).bytes;
    version[12] = 7;
    complains(&read(&version), 0, "packet 1 at byte 0", "the section is of pcapng version 7.0; expected 1.x");
    let mut mark = PcapNg::new(ByteOrder::Little).bytes;
    mark[8] = 0;
    complains(&read(&mark), 0, "packet 1", "mark is [00, 3c, 2b, 1a]; expected 1a 2b 3c 4d or its reverse");
}

#[test]
fn a_long_interface_list_is_refused_before_it_fills_the_memory() {
    let mut ng = PcapNg::new(ByteOrder::Little);
    for n in 0..70_000u32 {
        ng = ng.interface(n as u16, 0, &[]);
    }
    let outcome = read(&ng.bytes);
    assert!(outcome.damage().ends_with("the section declares more than 65536 interfaces"));
    assert_eq!(outcome.infos[0].link_types.len(), 256);
}

#[test]
fn foreign_files_are_named_and_the_others_are_read() {
    let (whole, ends) = small_pcap();
    let good = file(&whole);
    let empty = file(b"");
    let elf = file(b"\x7fELF\x02\x01\x01");
    let short = file(&whole[..10]);
    let nested = file(&gzip(b"hello, world"));
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pcap");
    let paths = [empty.path(), elf.path(), good.path(), short.path(), nested.path(), folder.path(), &missing];
    let outcome = read_paths(&paths, &CaptureOptions::default(), 100);
    assert_eq!(outcome.frames.len(), ends.len());
    assert!(outcome.frames.iter().all(|f| f.capture == 2), "the index is that of the user's list");
    let messages: Vec<String> = outcome.errors.iter().map(|e| e.reason.to_string()).collect();
    assert_eq!(
        messages,
        [
            "is empty; expected a capture",
            "is not a capture: begins with 7f 45 4c 46 (an ELF executable); expected the magic number of pcap or pcapng",
            "ends after 10 of the 24 bytes of the pcap file header",
            "is not a capture: the gzip data in it begins with 68 65 6c 6c; expected the magic number of pcap or pcapng",
            "is a directory; expected a capture file",
            "not found",
        ]
    );
    assert!(matches!(outcome.errors[5].reason, OpenReason::Missing));
    for (info, path) in outcome.infos.iter().zip(paths) {
        assert_eq!(info.path, path.display().to_string());
        assert_eq!(info.format.is_none(), info.damaged.is_some());
    }
}

/// Two windows full of records; enough that a part of it is not mapped when the file shrinks.
fn large() -> Vec<u8> {
    let mut pcap = Pcap::micros();
    for n in 0..40_000 {
        pcap = pcap.record(n + 1, 0, 1000, &[0x5a; 1000]);
    }
    pcap.bytes
}

#[test]
fn a_file_that_shrinks_while_it_is_read_ends_there() {
    // Inside the window, at a page's border and not; and before what was already read.
    for left in [4096 * 200, 4096 * 200 + 2000, 5000] {
        let file = file(&large());
        let (mut captures, _) = Captures::open(&[file.path()], &CaptureOptions::default()).unwrap();
        assert_eq!(captures.read(100, &mut |_| {}), SourceStatus::More);
        file.as_file().set_len(left).unwrap();
        let mut zeros = 0;
        let mut count = |frames: Frames<'_>| {
            zeros += frames.iter().filter(|f| f.data.first() != Some(&0x5a)).count();
        };
        while captures.read(100, &mut count) != SourceStatus::End {}
        assert!(zeros <= 1, "at most the record that was cut: {zeros}");
        let info = &captures.captures()[0];
        let damage = info.damaged.as_deref().unwrap();
        assert!(damage.contains(&format!("the file was cut to {left} bytes while it was read")), "{damage}");
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_is_read_to_its_end() {
    let (whole, ends) = small_pcap();
    let mut file = file(&whole[..ends[2] + 9]);
    let (mut captures, _) = Captures::open(&[file.path()], &CaptureOptions::default()).unwrap();
    let mut count = 0;
    assert_eq!(captures.read(3, &mut |frames| count += frames.len()), SourceStatus::More);
    file.write_all(&whole[ends[2] + 9..]).unwrap();
    assert_eq!(captures.read(100, &mut |frames| count += frames.len()), SourceStatus::End);
    assert_eq!(count, ends.len());
    assert_eq!(captures.captures()[0].damaged, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Reading ends, and counts what it handed over, whatever the content of the file.
    #[test]
    fn mangled_captures_never_panic(
        ng in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        form in 0..3u8,
    ) {
        let mut bytes = if ng { small_pcapng().0 } else { small_pcap().0 };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() - cut.index(40));
        let bytes = match form {
            0 => bytes,
            1 => gzip(&bytes),
            _ => zstd(&bytes),
        };
        let outcome = read(&bytes);
        prop_assert_eq!(outcome.frames.len() as u64, outcome.infos[0].packets);
        prop_assert!(outcome.infos[0].bytes <= 1000);
    }

    #[test]
    fn noise_after_a_header_never_panics(ng in any::<bool>(), noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = if ng { PcapNg::new(ByteOrder::Little).interface(1, 0, &[]).bytes } else { Pcap::micros().bytes };
        bytes.extend(noise);
        let outcome = read(&bytes);
        prop_assert_eq!(outcome.frames.len() as u64, outcome.infos[0].packets);
    }
}
