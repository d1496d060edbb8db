//! Several captures read as one, and filters.

use proptest::prelude::*;

use super::build::{ByteOrder, Pcap, PcapNg, zstd};
use super::{file, read_paths};
use crate::capture::{CaptureOptions, Captures};
use crate::packet::LinkType;

fn capture(seconds: &[u32]) -> Vec<u8> {
    seconds.iter().fold(Pcap::micros(), |pcap, s| pcap.record(*s, 0, 16, &s.to_be_bytes())).bytes
}

#[test]
fn rotated_files_are_one_capture_in_any_order() {
    let parts = [capture(&[7, 8, 9]), zstd(&capture(&[1, 2, 3])), capture(&[4, 5, 6])];
    let files: Vec<_> = parts.iter().map(|p| file(p)).collect();
    let paths: Vec<_> = files.iter().map(|f| f.path()).collect();
    let outcome = read_paths(&paths, &CaptureOptions::default(), 2);
    let got: Vec<_> = outcome.frames.iter().map(|f| (f.nanos / 1_000_000_000, f.capture, f.number)).collect();
    assert_eq!(
        got,
        [(1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 2, 1), (5, 2, 2), (6, 2, 3), (7, 0, 1), (8, 0, 2), (9, 0, 3)]
    );
}

#[test]
fn at_the_same_time_the_file_that_began_first_comes_first() {
    let files = [file(&capture(&[1, 5, 5])), file(&capture(&[5, 6])), file(&capture(&[0, 5]))];
    let paths: Vec<_> = files.iter().map(|f| f.path()).collect();
    let outcome = read_paths(&paths, &CaptureOptions::default(), 100);
    let got: Vec<_> = outcome.frames.iter().map(|f| (f.nanos / 1_000_000_000, f.capture)).collect();
    assert_eq!(got, [(0, 2), (1, 0), (5, 2), (5, 0), (5, 0), (5, 1), (6, 1)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The merge is a stable merge by the times of the next frames, whatever the batches; at the same time by the first
    /// time of a capture, then by the order given.
    #[test]
    fn merges_as_defined(
        lists in prop::collection::vec(prop::collection::vec(0..20u32, 0..12), 1..5),
        batch in 1..9usize,
    ) {
        let files: Vec<_> = lists.iter().map(|l| file(&capture(l))).collect();
        let paths: Vec<_> = files.iter().map(|f| f.path()).collect();
        let outcome = read_paths(&paths, &CaptureOptions::default(), batch);
        let mut expected = Vec::new();
        let mut next = vec![0; lists.len()];
        while let Some((time, _, i)) =
            (0..lists.len()).filter_map(|i| Some((*lists[i].get(next[i])?, lists[i][0], i))).min()
        {
            next[i] += 1;
            expected.push((i64::from(time) * 1_000_000_000, i as u16, next[i] as u64));
        }
        let got: Vec<_> = outcome.frames.iter().map(|f| (f.nanos, f.capture, f.number)).collect();
        prop_assert_eq!(got, expected);
    }
}

/// Ethernet, IPv4 without options, TCP to `port`; nothing else is filled in.
fn ethernet(port: u16) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00]);
    frame.extend(ipv4(port));
    frame
}

fn ipv4(port: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x90, 0];
    packet.extend(port.to_be_bytes());
    packet.resize(40, 0);
    packet
}

fn filtered(bytes: &[u8], filter: &str) -> super::ReadResult {
    let file = file(bytes);
    read_paths(
        &[file.path()],
        &CaptureOptions { filter: Some(filter.to_owned()), ..CaptureOptions::default() },
        100,
    )
}

#[test]
fn filters_choose_frames_and_all_are_counted() {
    let bytes = Pcap::micros().record(1, 0, 54, &ethernet(80)).record(2, 0, 54, &ethernet(443)).bytes;
    let outcome = filtered(&bytes, "tcp dst port 443");
    assert_eq!(outcome.frames.len(), 1);
    assert_eq!(outcome.frames[0].number, 2);
    assert_eq!(outcome.infos[0].packets, 2);
    assert_eq!(outcome.infos[0].damaged, None);
}

#[test]
fn filters_are_compiled_for_each_link_type() {
    let ng = PcapNg::new(ByteOrder::Little)
        .interface(1, 0, &[])
        .interface(101, 0, &[])
        .interface(228, 0, &[])
        .interface(12, 0, &[])
        .interface(14, 0, &[]);
    let ng = ng.enhanced(0, 1, 54, &ethernet(80)).enhanced(0, 2, 54, &ethernet(81));
    let ng = (1..5).fold(ng, |ng, i| ng.enhanced(i, 3, 40, &ipv4(80)).enhanced(i, 4, 40, &ipv4(81)));
    let outcome = filtered(&ng.bytes, "tcp port 80");
    let links: Vec<u16> = outcome.frames.iter().map(|f| f.link.0).collect();
    assert_eq!(links, [1, 101, 228, 12, 14]);
    assert!(outcome.frames.iter().all(|f| f.number % 2 == 1));
    assert_eq!(outcome.infos[0].damaged, None);
}

#[test]
fn filters_on_length_use_the_length_on_the_wire() {
    let bytes = Pcap::micros().record(1, 0, 1514, &ethernet(80)).record(2, 0, 60, &ethernet(80)).bytes;
    assert_eq!(filtered(&bytes, "greater 1000").frames.len(), 1);
}

#[test]
fn a_filter_that_cannot_be_compiled_has_a_reason() {
    let file = file(&capture(&[1]));
    let options = CaptureOptions { filter: Some("tcp prot 80".to_owned()), ..CaptureOptions::default() };
    let error = Captures::open(&[file.path()], &options).unwrap_err().to_string();
    assert!(error.starts_with("filter 'tcp prot 80' for link type EN10MB: libpcap: "), "{error}");
    assert!(error.contains("syntax error") && error.contains("quote it"), "{error}");
    let options = CaptureOptions { filter: Some("tcp\0".to_owned()), ..CaptureOptions::default() };
    assert!(Captures::open(&[file.path()], &options).is_err());
}

#[test]
fn a_later_link_type_without_such_a_filter_is_damage_and_the_rest_is_read() {
    let bytes = PcapNg::new(ByteOrder::Little)
        .interface(1, 0, &[])
        .interface(101, 0, &[])
        .enhanced(0, 1, 54, &ethernet(80))
        .enhanced(1, 2, 40, &ipv4(80))
        .enhanced(1, 3, 40, &ipv4(80))
        .enhanced(0, 4, 54, &ethernet(80))
        .bytes;
    let outcome = filtered(&bytes, "ether src 0:0:0:0:0:0");
    let numbers: Vec<u64> = outcome.frames.iter().map(|f| f.number).collect();
    assert_eq!(numbers, [1, 4]);
    assert_eq!(outcome.infos[0].packets, 4);
    assert_eq!(outcome.infos[0].link_types, [LinkType::ETHERNET, LinkType::RAW]);
    let damage = outcome.damage();
    assert!(damage.contains("for link type RAW") && !damage.contains("not read"), "{damage}");
}

#[test]
fn a_link_type_that_cannot_be_decoded_matches_nothing() {
    for links in [[249, 1], [1, 249]] {
        let ng = links.iter().fold(PcapNg::new(ByteOrder::Little), |ng, &link| ng.interface(link, 0, &[]));
        let ng = (0..2).fold(ng, |ng, i| ng.enhanced(i, 1, 54, &ethernet(80)));
        let outcome = filtered(&ng.bytes, "tcp port 80");
        assert_eq!(outcome.frames.iter().map(|f| f.link).collect::<Vec<_>>(), [LinkType::ETHERNET]);
        assert_eq!((outcome.infos[0].packets, &outcome.infos[0].damaged), (2, &None));
        let file = file(&ng.bytes);
        let wrong = CaptureOptions { filter: Some("tcp prot 80".to_owned()), ..CaptureOptions::default() };
        assert!(Captures::open(&[file.path()], &wrong).is_err(), "{links:?}");
    }
}

#[test]
fn filters_match_the_address_families_of_every_system_in_either_byte_order() {
    let mut v6 = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
    v6.extend([0; 32]);
    v6.extend([0, 9, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 9, 0, 0, 0, 0]);
    for (family, packet) in [(2u32, &ipv4(80)), (24, &v6), (28, &v6), (30, &v6)] {
        for (link, order) in
            [(0, u32::to_le_bytes as fn(u32) -> [u8; 4]), (0, u32::to_be_bytes), (108, u32::to_be_bytes)]
        {
            let frame = [&order(family), &packet[..]].concat();
            let length = frame.len() as u32;
            let ng = PcapNg::new(ByteOrder::Little).interface(link, 0, &[]).enhanced(0, 1, length, &frame);
            for (filter, taken) in
                [("tcp port 80", 1), ("not port 22", 1), ("not tcp", 0), ("not port 80", 0)]
            {
                assert_eq!(filtered(&ng.bytes, filter).frames.len(), taken, "{filter} {family} {link}");
            }
        }
    }
}
