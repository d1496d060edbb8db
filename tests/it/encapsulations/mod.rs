//! Every encapsulation that is decoded: the same packets as tshark finds, cuts at every byte, and ordinary UDP on the
//! ports of tunnels.

mod build;
mod samples;
mod undecoded;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hsanalyze::packet::{Endpoint, Frame, FrameRef, LinkType, Packet, Segment, Skip, Timestamp, decode};

use crate::util::{count, program, report, require_tools};
use build::{CLIENT, CLIENT6, Inner, SERVER, SERVER_PORT, SERVER6, TCP_FIXED};
use samples::{ALL, ETHERNET, Sample};

/// An encapsulated packet, and the endpoints to be found in it.
struct Sent {
    data: Vec<u8>,
    from: Endpoint,
    to: Endpoint,
    v6: bool,
    /// Length of the TCP options at the end of `data`, and of what the encapsulation puts after them.
    options: usize,
}

/// The packets of a sample: handshakes over IPv4 and IPv6, and on Ethernet the same with an outer VLAN tag.
fn packets(sample: &Sample, index: usize) -> Vec<Sent> {
    let mut sent = Vec::new();
    let base = 40_000 + 4 * u16::try_from(index).unwrap();
    for (v6, port) in [(false, base), (true, base + 1)] {
        let client = if v6 { Endpoint::v6(CLIENT6, port) } else { Endpoint::v4(CLIENT, port) };
        let server = if v6 { Endpoint::v6(SERVER6, SERVER_PORT) } else { Endpoint::v4(SERVER, SERVER_PORT) };
        for inner in Inner::handshake(v6, port) {
            let (from, to) = if inner.from_client { (client, server) } else { (server, client) };
            let data = (sample.wrap)(&inner);
            let trailer = data.windows(inner.ip.len()).rev().position(|part| part == inner.ip).unwrap();
            let options = inner.ip.len() - if v6 { 40 } else { 20 } - TCP_FIXED + trailer;
            sent.push(Sent { data, from, to, v6, options });
        }
    }
    sent
}

/// The same packets with a VLAN tag behind the outer addresses.
fn tagged(sample: &Sample, index: usize) -> Vec<Sent> {
    let with_vlan = |sent: Sent| Sent { data: build::with_vlan(&sent.data), ..sent };
    packets(sample, index).into_iter().map(with_vlan).filter(|_| sample.link == ETHERNET).collect()
}

fn decode_cut(link: u16, data: &[u8], captured: usize) -> Result<Packet, Skip> {
    let wire_len = u32::try_from(data.len()).unwrap();
    decode(&Frame {
        at: Timestamp::default(),
        frame: FrameRef::new(0, 1),
        link: LinkType(link),
        wire_len,
        data: &data[..captured],
    })
}

#[track_caller]
fn assert_found(name: &str, sent: &Sent, found: Result<Packet, Skip>) -> Segment {
    let Ok(Packet::Segment(segment)) = found else {
        panic!("{name}: {found:?} in {:02x?}", sent.data);
    };
    let ends = (segment.flow.source(segment.direction), segment.flow.destination(segment.direction));
    assert_eq!(ends, (sent.from, sent.to), "{name}");
    assert_eq!(segment.payload, 0, "{name}");
    segment
}

fn each(mut check: impl FnMut(&Sample, &Sent)) {
    for (index, sample) in ALL.iter().enumerate() {
        packets(sample, index).iter().chain(&tagged(sample, index)).for_each(|sent| check(sample, sent));
    }
}

#[test]
fn the_inner_connection_is_found() {
    each(|sample, sent| {
        let segment = assert_found(sample.name, sent, decode_cut(sample.link, &sent.data, sent.data.len()));
        assert_eq!(segment.options.timestamps().is_some(), sent.options >= 20, "{}", sample.name);
    });
}

/// A packet cut inside its headers is truncated; cut in the TCP options, it loses nothing else.
#[test]
fn cuts_are_counted_as_truncated() {
    each(|sample, sent| {
        let (name, needed) = (sample.name, sent.data.len() - sent.options);
        for captured in 0..needed {
            let found = decode_cut(sample.link, &sent.data, captured);
            assert_eq!(found, Err(Skip::Truncated), "{name} after {captured} of {:02x?}", sent.data);
        }
        for captured in needed..sent.data.len() {
            assert_found(name, sent, decode_cut(sample.link, &sent.data, captured));
        }
    });
}

/// Without a wire length that says what is missing, such a packet is counted under some other reason.
#[test]
fn cuts_without_a_wire_length_are_no_segments() {
    each(|sample, sent| {
        let needed = sent.data.len() - sent.options;
        for captured in 0..needed {
            let data = &sent.data[..captured];
            let found = decode_cut(sample.link, data, captured);
            assert!(found.is_err(), "{} after {captured}: {found:?}", sample.name);
        }
    });
}

/// Damage to headers causes no panic, and every packet is a segment, an ICMP error or counted.
#[test]
fn damage_is_harmless() {
    let mut random = fastrand::Rng::with_seed(11);
    each(|sample, sent| {
        for _ in 0..50 {
            let mut data = sent.data.clone();
            for _ in 0..random.usize(1..4) {
                let place = random.usize(..data.len());
                data[place] = random.u8(..);
            }
            let captured = random.usize(..=data.len());
            let found = decode_cut(sample.link, &data, captured);
            assert_ne!(found, Err(Skip::UnsupportedLinkType), "{}", sample.name);
        }
    });
}

/// Headers that announce themselves, as long as a packet can be, end the walk and not the stack.
#[test]
fn chains_are_bounded() {
    let nsh = [0x0f, 0xc2, 2, 4, 0, 0, 1, 255].repeat(8000);
    let chains = [
        build::ethernet(0x894f, &nsh),
        build::ethernet(0x8100, &[0, 5, 0x81, 0].repeat(16_000)),
        build::ethernet(0x6558, &build::ethernet(0x6558, &[]).repeat(4000)),
        build::ethernet(0x8847, &[0; 64_000]),
    ];
    for data in chains {
        let found = decode_cut(ETHERNET, &data, data.len());
        assert_eq!(found, Err(Skip::Malformed));
    }
}

/// Ordinary UDP is not taken for a tunnel, on whichever side the port is.
#[test]
fn ordinary_udp_is_no_tunnel() {
    const PORTS: [u16; 11] = [1701, 2152, 3544, 4341, 4789, 8472, 4790, 5247, 6081, 6635, 37008];
    let mut random = fastrand::Rng::with_seed(7);
    let dns = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x07example\x03com\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01";
    let mut payloads = vec![
        vec![],
        vec![0; 60],
        vec![0xff; 60],
        b"<13>Nov 29 09:00:00 host program: text".to_vec(),
        dns.to_vec(),
    ];
    payloads.extend((0..2000).map(|_| {
        let length = random.usize(1..200);
        std::iter::repeat_with(|| random.u8(..)).take(length).collect()
    }));
    for (port, payload) in
        PORTS.into_iter().flat_map(|port| payloads.iter().map(move |payload| (port, payload)))
    {
        let mut frame = build::to_port(port, payload);
        assert_eq!(decode_cut(ETHERNET, &frame, frame.len()), Err(Skip::NotTcp), "{port}: {payload:02x?}");
        // From that port: a client's that was given it.
        frame[34..38].rotate_left(2);
        assert_eq!(decode_cut(ETHERNET, &frame, frame.len()), Err(Skip::NotTcp), "{port}: {payload:02x?}");
    }
}

/// The captures of all samples, one for each link type, with what was sent in each.
fn captures(wanted: impl Fn(&Sample) -> bool) -> Vec<(u16, Vec<(&'static str, Sent)>)> {
    let mut captures: Vec<(u16, Vec<(&'static str, Sent)>)> = Vec::new();
    for (index, sample) in ALL.iter().enumerate().filter(|(_, sample)| wanted(sample)) {
        let at = captures.iter().position(|(link, _)| *link == sample.link).unwrap_or_else(|| {
            captures.push((sample.link, Vec::new()));
            captures.len() - 1
        });
        let sent = packets(sample, index).into_iter().chain(tagged(sample, index));
        captures[at].1.extend(sent.map(|sent| (sample.name, sent)));
    }
    captures
}

/// Writes a capture of these frames, and returns its path.
fn write_capture(directory: &Path, link: u16, frames: &[Vec<u8>]) -> PathBuf {
    let path = directory.join(format!("{link}.pcap"));
    fs::write(&path, build::pcap(link, frames)).unwrap();
    path
}

fn write(directory: &Path, link: u16, sent: &[(&'static str, Sent)]) -> PathBuf {
    let frames: Vec<_> = sent.iter().map(|(_, sent)| sent.data.clone()).collect();
    write_capture(directory, link, &frames)
}

#[test]
fn tshark_finds_the_same_connections() {
    if !require_tools(&["tshark"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (link, sent) in captures(|sample| sample.tshark) {
        let path = write(directory.path(), link, &sent);
        let fields = [
            "frame.number",
            "ip.src",
            "ip.dst",
            "ipv6.src",
            "ipv6.dst",
            "tcp.srcport",
            "tcp.dstport",
            "frame.protocols",
        ];
        // The innermost of each.
        let mut args = vec!["-n", "-r", path.to_str().unwrap(), "-T", "fields", "-E", "occurrence=l"];
        args.extend(fields.iter().flat_map(|field| ["-e", field]));
        let ran = program("tshark", args).succeed();
        let lines: Vec<&str> = ran.text().lines().collect();
        assert_eq!(lines.len(), sent.len(), "{ran}");
        for ((name, sent), line) in sent.iter().zip(lines) {
            let field: Vec<&str> = line.split('\t').collect();
            let addresses = if sent.v6 { [field[3], field[4]] } else { [field[1], field[2]] };
            let endpoint = |address: &str, port: &str| -> Option<Endpoint> {
                Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?).into())
            };
            let theirs = (endpoint(addresses[0], field[5]), endpoint(addresses[1], field[6]));
            assert_eq!(theirs, (Some(sent.from), Some(sent.to)), "{name}, by tshark: {line}");
        }
    }
}

/// The whole program finds every handshake.
#[test]
fn every_handshake_is_in_the_report() {
    let directory = tempfile::tempdir().unwrap();
    for (link, sent) in captures(|_| true) {
        // The handshakes behind a VLAN tag are the same connections once more.
        let path = write(directory.path(), link, &sent);
        let report = report([&path]);
        assert_eq!(count(&report, "/packets/tcp"), sent.len() as u64, "link type {link}");
    }
}

/// Writes the samples as input of the fuzz target `decode`, for `fuzz/seed`.
#[test]
#[ignore = "writes files: fuzz/seed runs it"]
fn write_seeds() {
    let directory = std::env::var_os("SEEDS").expect("SEEDS names the directory");
    // The target chooses a link type by its place among those with a decoder.
    let place = |link: u16| (0..link).filter(|&lower| LinkType(lower).is_decoded()).count();
    for (index, sample) in ALL.iter().enumerate() {
        for (number, sent) in packets(sample, index).iter().enumerate() {
            let choice = u8::try_from(place(sample.link)).unwrap();
            let wire_len = u32::try_from(sent.data.len()).unwrap();
            let seed = [&[choice][..], &wire_len.to_le_bytes(), &sent.data].concat();
            fs::write(Path::new(&directory).join(format!("{}-{number}", sample.name)), seed).unwrap();
        }
    }
}
