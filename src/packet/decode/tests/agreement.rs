//! The fast path and the general path give the same result: for the bundled captures, and for generated
//! packets with changed bytes, cuts anywhere and any wire length.

use proptest::prelude::*;

use super::super::agreement::agree;
use super::*;

/// Calls `each` with the packets of a classic pcap file (microseconds, little endian, Ethernet).
fn packets(file: &[u8], mut each: impl FnMut(&Frame<'_>)) {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    assert_eq!((word(&file[..4]), word(&file[20..24])), (0xa1b2_c3d4, 1));
    let mut rest = &file[24..];
    while !rest.is_empty() {
        let captured = word(&rest[8..12]) as usize;
        let wire_len = word(&rest[12..16]) as usize;
        each(&frame_of(LinkType::ETHERNET, wire_len, &rest[16..16 + captured]));
        rest = &rest[16 + captured..];
    }
}

#[test]
fn on_every_bundled_capture() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/captures");
    let (mut files, mut fast, mut segments) = (0, 0, 0);
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "pcap") {
            continue;
        }
        files += 1;
        packets(&std::fs::read(&path).unwrap(), |frame| {
            fast += usize::from(agree(frame));
            segments += usize::from(matches!(decode(frame), Ok(Packet::Segment(_))));
        });
    }
    assert!(files > 0 && segments > 0);
    // Captured by tcpdump on Ethernet, so nothing should need the general path.
    assert_eq!(fast, segments);
}

/// A packet similar to the common stacks: correct in most fields, so that mutations reach all branches.
fn near_common() -> impl Strategy<Value = Vec<u8>> {
    let options = prop_oneof![
        Just(vec![]),
        Just(vec![1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]),
        Just(SYN_OPTIONS.to_vec()),
        proptest::collection::vec(any::<[u8; 4]>(), 0..=10).prop_map(|words| words.concat()),
    ];
    let protocol = prop_oneof![8 => Just(6u8), 1 => any::<u8>()];
    let fragment = prop_oneof![8 => Just(0u16), 2 => Just(0x4000), 1 => Just(0x2000), 1 => any::<u16>()];
    let shape = (any::<bool>(), any::<bool>(), protocol, fragment, 0..80usize);
    (any::<u8>(), options, shape).prop_map(
        |(flags, options, (v6, ip_options, protocol, fragment, payload))| {
            let segment = tcp(flags, &options, payload);
            if v6 {
                ethernet(0x86dd, &ipv6(protocol, &segment))
            } else {
                let ip_options = if ip_options { &[1; 4][..] } else { &[] };
                ethernet(0x0800, &ipv4_with(ip_options, fragment, protocol, &segment))
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn on_generated_packets_damaged_and_cut(
        packet in near_common(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        kept in any::<proptest::sample::Index>(),
        cut in any::<bool>(),
        padding in 0..20usize,
        wire_len in prop_oneof![Just(None), any::<u32>().prop_map(Some)],
    ) {
        let mut data = packet;
        data.resize(data.len() + padding, 0);
        for (place, value) in damage {
            let place = place.index(data.len().min(80));
            data[place] = value;
        }
        let whole = data.len();
        if cut {
            data.truncate(kept.index(whole + 1));
        }
        let frame = frame_of(LinkType::ETHERNET, whole, &data);
        agree(&Frame { wire_len: wire_len.unwrap_or(frame.wire_len), ..frame });
    }
}
