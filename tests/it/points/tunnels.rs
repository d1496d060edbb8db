//! A node that captures packets inside a tunnel and as the tunnel carries them: each connection counts once.

use etherparse::PacketBuilder;

use super::{pcap, plain_connections};
use crate::util::{list, report, string};

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// Wraps an Ethernet frame as a tunnel between two nodes carries it.
type Wrap = fn(&[u8]) -> Vec<u8>;

/// The tunnels, by name.
const TUNNELS: [(&str, Wrap); 4] = [
    ("vxlan", |frame| {
        let mut bytes = Vec::new();
        // Flags and network 7.
        let payload = [&[8, 0, 0, 0, 0, 0, 7, 0], frame].concat();
        outer().udp(40_000, 4789).write(&mut bytes, &payload).unwrap();
        bytes
    }),
    ("geneve", |frame| {
        let mut bytes = Vec::new();
        let payload = [&[0, 0, 0x65, 0x58, 0, 0, 7, 0], frame].concat();
        outer().udp(40_000, 6081).write(&mut bytes, &payload).unwrap();
        bytes
    }),
    ("ipip", |frame| in_protocol(4, &[], frame)),
    ("gre", |frame| in_protocol(47, &[0, 0, 8, 0], frame)),
];

fn outer() -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ethernet2([6; 6], [8; 6]).ipv4([203, 0, 113, 1], [203, 0, 113, 2], 64)
}

/// The packet of a frame behind an IP header of this protocol, and a header of the tunnel's.
fn in_protocol(protocol: u8, header: &[u8], frame: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let payload = [header, &frame[ETHERNET..]].concat();
    outer().write(&mut bytes, protocol.into(), &payload).unwrap();
    bytes
}

/// Connections inside the tunnel, and 40 µs later outside, where the way to the server goes on.
fn both_sides(wrap: Wrap) -> [Vec<(u64, Vec<u8>)>; 2] {
    let inside = plain_connections();
    let from_server = |frame: &[u8]| frame[ETHERNET + 20..][..2] == 80_u16.to_be_bytes();
    let outside = inside.iter().map(|(at, frame)| {
        let at = if from_server(frame) { at - 40 } else { at + 40 };
        (at, wrap(frame))
    });
    let outside = outside.collect();
    [inside, outside]
}

#[test]
fn inside_and_outside_of_a_tunnel_are_one_connection() {
    let directory = tempfile::tempdir().unwrap();
    for (tunnel, wrap) in TUNNELS {
        let [inside, outside] = both_sides(wrap);
        let files = [("inside.pcap", &inside), ("outside.pcap", &outside)].map(|(name, packets)| {
            let path = directory.path().join(name);
            std::fs::write(&path, pcap(packets.clone())).unwrap();
            path
        });
        let one = directory.path().join("node.pcap");
        std::fs::write(&one, pcap([inside, outside].concat())).unwrap();
        for (paths, points) in [(files.to_vec(), 2), (vec![one], 0)] {
            let report = report(&paths);
            assert_eq!(list(&report, "attempts").len(), 20, "{tunnel}, {} files", paths.len());
            for attempt in list(&report, "attempts") {
                assert_eq!(attempt["verdict"], "completed", "{tunnel}: {attempt}");
                let retries = &attempt["retries"];
                assert_eq!((&retries["syn"], &retries["syn_ack"]), (&0.into(), &0.into()), "{tunnel}");
                let seen: Vec<&str> =
                    list(attempt, "sightings").iter().map(|sighting| string(sighting, "point")).collect();
                assert_eq!(seen.len(), points, "{tunnel}: {attempt}");
                assert!(seen.is_empty() || seen == ["inside.pcap", "outside.pcap"], "{tunnel}: {seen:?}");
            }
        }
    }
}
