//! Every format, byte order, clock and compression gives the same frames.

use std::fs;
use std::path::PathBuf;

use super::build::{ByteOrder, Pcap, PcapNg, gzip, zstd};
use super::{Owned, ReadResult, read};
use crate::capture::{CaptureFormat, CaptureOptions};
use crate::packet::LinkType;

const SYN: &[u8] = b"sixteen-bytes---";

fn only(outcome: &ReadResult) -> &Owned {
    assert_eq!(outcome.infos[0].damaged, None);
    assert_eq!(outcome.frames.len(), 1, "{outcome:?}");
    &outcome.frames[0]
}

#[test]
fn classic_files_in_all_layouts() {
    let cases = [
        (ByteOrder::Little, 0xa1b2_c3d4, 250_000),
        (ByteOrder::Big, 0xa1b2_c3d4, 250_000),
        (ByteOrder::Little, 0xa1b2_3c4d, 250_000_000),
        (ByteOrder::Big, 0xa1b2_3c4d, 250_000_000),
        (ByteOrder::Little, 0xa1b2_cd34, 250_000),
    ];
    for (order, magic, fraction) in cases {
        let outcome = read(&Pcap::new(order, magic, 1).record(3, fraction, 1514, SYN).bytes);
        let frame = only(&outcome);
        assert_eq!(frame.nanos, 3_250_000_000, "{order:?} {magic:#x}");
        assert_eq!((frame.wire_len, frame.link, frame.number), (1514, LinkType::ETHERNET, 1));
        assert_eq!(frame.data, SYN);
        assert_eq!(outcome.infos[0].format, Some(CaptureFormat::Pcap));
    }
}

#[test]
fn a_version_with_swapped_bytes_is_read() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let mut pcap = Pcap::new(order, 0xa1b2_c3d4, 1).record(1, 0, 16, SYN);
        pcap.bytes[4..8].copy_from_slice(&[order.u16(0x0200), order.u16(0x0400)].concat());
        assert_eq!(only(&read(&pcap.bytes)).data, SYN);
    }
}

#[test]
fn the_upper_bits_of_the_link_type_are_ignored() {
    let outcome = read(&Pcap::new(ByteOrder::Big, 0xa1b2_c3d4, 0x5400_0071).record(0, 0, 16, SYN).bytes);
    assert_eq!(only(&outcome).link, LinkType::LINUX_SLL);
}

#[test]
fn a_capture_without_packets_has_a_link_type_and_no_time() {
    let outcome = read(&Pcap::new(ByteOrder::Little, 0xa1b2_c3d4, 113).bytes);
    let info = &outcome.infos[0];
    assert_eq!(info.link_types, [LinkType::LINUX_SLL]);
    assert_eq!((info.packets, info.bytes, info.first, info.last), (0, 24, None, None));
    assert_eq!(info.damaged, None);
}

#[test]
fn an_empty_record_is_a_frame() {
    let outcome = read(&Pcap::micros().record(1, 0, 60, b"").record(2, 0, 16, SYN).bytes);
    assert_eq!(outcome.frames.len(), 2);
    assert_eq!(outcome.frames[0].wire_len, 60);
    assert_eq!(outcome.infos[0].damaged, None);
}

#[test]
fn every_interface_has_its_own_link_type_and_clock() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let offset = order.u64(100).to_vec();
        let bytes = PcapNg::new(order)
            .interface(1, 0, &[])
            .interface(113, 0, &[(9, vec![9]), (14, offset)])
            .interface(101, 0, &[(9, vec![0x80 | 4])])
            .enhanced(1, 5_000_000_007, 16, SYN)
            .enhanced(0, 5_000_007, 16, SYN)
            .enhanced_with(2, 24, 1000, SYN, &[(1, b"a comment".to_vec()), (2, vec![0; 4])])
            .bytes;
        let outcome = read(&bytes);
        assert_eq!(outcome.infos[0].damaged, None);
        let got: Vec<_> = outcome.frames.iter().map(|f| (f.nanos, f.link, f.wire_len)).collect();
        assert_eq!(
            got,
            [
                (105_000_000_007, LinkType::LINUX_SLL, 16),
                (5_000_007_000, LinkType::ETHERNET, 16),
                (1_500_000_000, LinkType::RAW, 1000),
            ],
            "{order:?}"
        );
        assert!(outcome.frames.iter().all(|f| f.data == SYN));
        let info = &outcome.infos[0];
        assert_eq!(info.link_types, [LinkType::ETHERNET, LinkType::LINUX_SLL, LinkType::RAW]);
        assert_eq!(info.first.map(|t| t.as_nanos()), Some(1_500_000_000));
        assert_eq!(info.last.map(|t| t.as_nanos()), Some(105_000_000_007));
        assert_eq!((info.packets, info.bytes), (3, bytes.len() as u64));
    }
}

#[test]
fn a_section_has_its_own_byte_order_and_interfaces() {
    let bytes = PcapNg::new(ByteOrder::Little)
        .interface(1, 0, &[])
        .enhanced(0, 1, 16, SYN)
        .section(ByteOrder::Big)
        .interface(101, 0, &[(9, vec![0])])
        .enhanced(0, 2, 16, SYN)
        .section(ByteOrder::Little)
        .interface(228, 0, &[])
        .enhanced(0, 3, 16, SYN)
        .bytes;
    let outcome = read(&bytes);
    let got: Vec<_> = outcome.frames.iter().map(|f| (f.nanos, f.link, f.number)).collect();
    assert_eq!(
        got,
        [(1_000, LinkType::ETHERNET, 1), (2_000_000_000, LinkType::RAW, 2), (3_000, LinkType::IPV4, 3)]
    );
    assert_eq!(outcome.infos[0].damaged, None);
}

#[test]
fn simple_packets_are_cut_at_the_snap_length_and_get_the_time_of_the_packet_before() {
    let bytes = PcapNg::new(ByteOrder::Big)
        .interface(1, 6, &[])
        .simple(3, b"abc")
        .enhanced(0, 7, 4, b"wxyz")
        .simple(60, b"abcdef")
        .bytes;
    let outcome = read(&bytes);
    assert_eq!(outcome.infos[0].damaged, None);
    let got: Vec<_> = outcome.frames.iter().map(|f| (f.nanos, f.wire_len, f.data.as_slice())).collect();
    assert_eq!(got, [(0, 3, &b"abc"[..]), (7_000, 4, b"wxyz"), (7_000, 60, b"abcdef")]);
    let first = outcome.infos[0].first.map(|first| first.as_nanos());
    assert_eq!((outcome.infos[0].untimed, first), (2, Some(7_000)), "what has no time is not the earliest");
}

#[test]
fn a_capture_without_times_has_no_first_one() {
    let bytes = PcapNg::new(ByteOrder::Little).interface(1, 0, &[]).simple(3, b"abc").bytes;
    let info = &read(&bytes).infos[0];
    assert_eq!((info.packets, info.untimed, info.first, info.last), (1, 1, None, None));
}

#[test]
fn obsolete_packets_are_read() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let outcome = read(&PcapNg::new(order).interface(1, 0, &[]).obsolete(0, 1 << 33, 99, b"abcde").bytes);
        let frame = only(&outcome);
        assert_eq!((frame.nanos, frame.wire_len), ((1 << 33) * 1000, 99));
        assert_eq!(frame.data, b"abcde");
    }
}

#[test]
fn drops_are_the_last_totals_of_every_interface_and_section() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let bytes = PcapNg::new(order)
            .interface(1, 0, &[])
            .interface(1, 0, &[])
            .statistics(0, &[(4, 1000)])
            .statistics(0, &[(5, 3), (7, 4)])
            .statistics(1, &[(7, 10)])
            // Statistics of an undeclared interface are not counted.
            .statistics(9, &[(7, 1_000)])
            .statistics(0, &[(5, 5), (7, 6)])
            .section(order)
            .interface(1, 0, &[])
            .statistics(0, &[(5, 100)])
            .bytes;
        assert_eq!(read(&bytes).infos[0].dropped, Some(121), "{order:?}");
    }
    let silent = PcapNg::new(ByteOrder::Little).interface(1, 0, &[]).statistics(0, &[(4, 1000)]).bytes;
    assert_eq!(read(&silent).infos[0].dropped, None);
}

#[test]
fn unknown_blocks_of_any_size_are_skipped() {
    let bytes = PcapNg::new(ByteOrder::Little)
        .block(4, b"name resolution")
        .interface(1, 0, &[])
        .block(0x0bad, &vec![1; 5 << 20])
        .enhanced(0, 1, 16, SYN)
        .bytes;
    assert_eq!(only(&read(&bytes)).data, SYN);
    assert_eq!(only(&read(&zstd(&bytes))).data, SYN);
}

/// Each form of the bundled captures gives the frames of the original.
#[test]
fn bundled_captures_read_the_same_in_every_form() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures");
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "pcap") {
            continue;
        }
        let original = fs::read(&path).unwrap();
        let expected = read(&original);
        assert_eq!(expected.infos[0].damaged, None);
        assert_eq!(expected.infos[0].bytes, original.len() as u64);
        assert!(!expected.frames.is_empty());
        let mut big = Pcap::new(ByteOrder::Big, 0xa1b2_3c4d, u32::from(expected.frames[0].link.0));
        let mut ng = PcapNg::new(ByteOrder::Little).interface(expected.frames[0].link.0, 0, &[(9, vec![9])]);
        for frame in &expected.frames {
            let (sec, rest) = (frame.nanos / 1_000_000_000, frame.nanos % 1_000_000_000);
            big = big.record(sec as u32, rest as u32, frame.wire_len, &frame.data);
            ng = ng.enhanced(0, frame.nanos as u64, frame.wire_len, &frame.data);
        }
        // Parallel compressors, and `cat`, write several members into one file.
        let (head, tail) = original.split_at(original.len() / 3);
        let forms = [
            big.bytes,
            gzip(&original),
            zstd(&original),
            [gzip(head), gzip(tail)].concat(),
            [zstd(head), zstd(tail)].concat(),
            // Tapes are padded with zeros; parallel compressors begin with a skippable frame.
            [gzip(&original), vec![0; 70_000]].concat(),
            [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], &zstd(&original)[..]].concat(),
            gzip(&ng.bytes),
            ng.bytes,
        ];
        for form in forms {
            let outcome = read(&form);
            assert_eq!(outcome.infos[0].damaged, None);
            assert_eq!(outcome.frames, expected.frames, "{}", path.display());
        }
        checked += 1;
    }
    assert!(checked > 20, "the bundled captures are there");
}

#[test]
fn batches_of_any_size_give_the_same_frames() {
    let mut pcap = Pcap::micros();
    for n in 0..1000 {
        pcap = pcap.record(n, 0, 16, &SYN[..n as usize % 16]);
    }
    let file = super::file(&pcap.bytes);
    let all = super::read_paths(&[file.path()], &CaptureOptions::default(), usize::MAX);
    for batch in [1, 7, 999, 1000, 1001] {
        assert_eq!(super::read_paths(&[file.path()], &CaptureOptions::default(), batch).frames, all.frames);
    }
}

#[test]
fn files_larger_than_a_window_are_read_across_its_border() {
    let mut pcap = Pcap::micros();
    let data = vec![0x5a; 1000];
    let count = 45_000;
    for n in 0..count {
        pcap = pcap.record(n, 0, 1000, &data);
    }
    let outcome = read(&pcap.bytes);
    assert_eq!(outcome.infos[0].damaged, None);
    assert_eq!(outcome.frames.len() as u32, count);
    assert!(outcome.frames.iter().zip(0..).all(|(f, n)| f.nanos == n * 1_000_000_000 && f.data == data));
}
