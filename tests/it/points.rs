//! Captures of both ends of a path: each attempt counted once, and judged no worse than by one end alone.

mod healthy;
#[cfg(all(target_os = "linux", feature = "lab"))]
pub(crate) mod lab_runs;
#[cfg(target_os = "linux")]
mod node;
mod proxied;
mod translated;
#[cfg(all(target_os = "linux", feature = "lab"))]
mod truth;
mod tunnels;

use std::collections::BTreeMap;
use std::path::PathBuf;

use etherparse::PacketBuilder;
use hsanalyze::packet::{Packet, Span, decode};
use serde_json::Value;

use crate::bundled::{RawPacket, packets};
use crate::properties::files::file;
use crate::util::{captures, list, report, string};

/// The bundled pairs, by name: the client's capture and the server's.
fn pairs() -> Vec<(String, [PathBuf; 2])> {
    let client = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix("-client.pcap")?.to_owned();
        let server = path.with_file_name(format!("{name}-server.pcap"));
        Some((name, [path.clone(), server]))
    };
    captures().iter().filter_map(client).collect()
}

/// The attempts by verdict, and the confidence of the first listener's cause.
fn judged(report: &Value) -> (BTreeMap<&str, usize>, u8) {
    let mut verdicts = BTreeMap::new();
    list(report, "attempts").iter().for_each(|a| *verdicts.entry(string(a, "verdict")).or_default() += 1);
    let confidence = match list(report, "listeners")[0]["confidence"].as_str() {
        None => 0,
        Some("possible") => 1,
        Some("likely") => 2,
        Some(_) => 3,
    };
    (verdicts, confidence)
}

#[test]
fn both_ends_are_judged_as_surely_as_the_better_one() {
    let pairs = pairs();
    assert!(pairs.len() > 15, "{} pairs", pairs.len());
    for (name, [client, server]) in pairs {
        let [by_client, by_server] = [&client, &server].map(|path| report([path]));
        let ends = [judged(&by_client), judged(&by_server)];
        let surest = ends.iter().map(|(_, confidence)| *confidence).max().unwrap();
        for files in [[&client, &server], [&server, &client]] {
            let both = report(files);
            let (verdicts, confidence) = judged(&both);
            assert!(ends.iter().any(|(of_one, _)| *of_one == verdicts), "{name}: {verdicts:?}");
            assert!(confidence >= surest, "{name}: {confidence} and not {surest}");
            assert_eq!(limit(&both, "two-clocks"), None, "{name}");
        }
    }
}

/// The text of a limit, if the report has it.
pub(crate) fn limit<'r>(report: &'r Value, code: &str) -> Option<&'r str> {
    list(report, "limits").iter().find(|limit| limit["code"] == code).map(|limit| string(limit, "text"))
}

#[test]
fn each_point_keeps_the_vantage_that_its_capture_alone_has() {
    for (name, files) in pairs() {
        let alone = files.each_ref().map(|path| report([path]));
        let both = report([&files[1], &files[0]]);
        let names = files.each_ref().map(|path| path.file_name().unwrap().to_str().unwrap());
        let mut sightings = 0;
        for attempt in list(&both, "attempts") {
            for sighting in list(attempt, "sightings") {
                let end = names.iter().position(|name| sighting["point"] == *name).unwrap();
                let same =
                    |one: &&Value| one["client"] == sighting["client"] && one["frame"] == sighting["frame"];
                let own = list(&alone[end], "attempts").iter().find(same).unwrap();
                assert_eq!(sighting["vantage"], own["vantage"], "{name}: {sighting}");
                sightings += 1;
            }
        }
        let all: usize = alone.iter().map(|report| list(report, "attempts").len()).sum();
        assert_eq!(sightings, all, "{name}");
    }
    let [client, server] =
        ["client", "server"].map(|end| crate::util::capture(&format!("overflow_drop-{end}")));
    let text = crate::util::hsanalyze([&client, &server]).succeed();
    let header = "captured at overflow_drop-client.pcap (near the client), overflow_drop-server.pcap (near the server)";
    assert!(text.text().split_whitespace().collect::<Vec<_>>().join(" ").contains(header), "{}", text.text());
}

#[test]
fn an_ack_that_vanished_between_two_points_was_lost_there() {
    let [client, server] = ["client", "server"].map(|end| crate::util::capture(&format!("ack_lost-{end}")));
    let report = report([client, server]);
    for attempt in list(&report, "attempts") {
        assert_eq!(attempt["cause"], "ack-lost", "{attempt}");
        assert_eq!(attempt["confidence"], "confirmed", "{attempt}");
    }
}

#[test]
fn an_ack_is_not_confirmed_as_lost_where_another_attempt_shows_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let joined = ["client", "server"].map(|end| {
        let mut all = packets(&crate::util::capture(&format!("completed_echo-{end}")));
        // The first data of a client, which the server acknowledges all the same.
        let is_data = |packet: &RawPacket| matches!(decode(&packet.frame(1)), Ok(Packet::Segment(segment)) if segment.payload > 0);
        let missing = all.iter().position(is_data).unwrap();
        all.remove(missing);
        let lost = packets(&crate::util::capture(&format!("ack_lost-{end}")));
        let by = all[0].at.since(lost[0].at).plus(Span::from_secs(60));
        all.extend(lost.into_iter().map(|packet| RawPacket { at: packet.at.plus(by), ..packet }));
        let path = directory.path().join(format!("{end}.pcap"));
        std::fs::write(&path, file(&all)).unwrap();
        path
    });
    let report = report(joined);
    let lost: Vec<_> =
        list(&report, "attempts").iter().filter(|attempt| attempt["cause"] == "ack-lost").collect();
    assert!(!lost.is_empty(), "{report}");
    for attempt in lost {
        assert_eq!(attempt["confidence"], "likely", "{attempt}");
    }
}

/// A capture of Ethernet and IPv4 without the packets of one client.
fn without(path: &PathBuf, port: u16) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let (header, mut rest) = bytes.split_at(24);
    let mut kept = header.to_vec();
    while rest.len() > 16 {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let (record, behind) = rest.split_at(16 + length);
        let ports = &record[16 + 14 + 20..][..4];
        if !ports.chunks(2).any(|one| one == port.to_be_bytes()) {
            kept.extend(record);
        }
        rest = behind;
    }
    kept
}

#[test]
fn the_table_has_a_column_of_points_where_it_fits_or_attempts_differ_in_them() {
    let [client, server] = ["client", "server"].map(|end| crate::util::capture(&format!("ack_lost-{end}")));
    let both = report([&client, &server]);
    let port = list(&both, "attempts")[0]["client_port"].as_u64().unwrap() as u16;
    let directory = tempfile::tempdir().unwrap();
    let lacking = directory.path().join("ack_lost-server.pcap");
    std::fs::write(&lacking, without(&server, port)).unwrap();
    let text = |server: &PathBuf| crate::util::hsanalyze([&client, server]).succeed().text().to_owned();
    assert!(!text(&server).contains("POINTS"), "all are the same, which the first lines say");
    let differ = text(&lacking);
    assert!(differ.contains("POINTS") && differ.contains("client>server"), "{differ}");
    assert!(differ.lines().all(|line| line.chars().count() <= 80), "{differ}");
}

#[test]
fn a_pipe_beside_another_capture_is_said_not_to_be_compared() {
    let [client, server] = ["client", "server"].map(|end| crate::util::capture(&format!("ack_lost-{end}")));
    let bytes = std::fs::read(&server).unwrap();
    let piped = |bytes: Vec<u8>| {
        let arguments = ["--format=json", client.to_str().unwrap(), "-"];
        crate::util::hsanalyze(arguments).stdin(bytes).succeed().json()
    };
    for (report, attempts) in [(piped(bytes), 8), (piped(with_clock(&server, 300)), 16)] {
        let text = limit(&report, "not-compared").unwrap_or_else(|| panic!("{}", report["limits"]));
        assert!(text.starts_with("- can be read once only") && text.contains("130 s"), "{text}");
        assert_eq!(list(&report, "attempts").len(), attempts, "beyond 130 s none is joined");
    }
    let files = report([&client, &server]);
    assert_eq!(limit(&files, "not-compared"), None);
}

#[test]
fn a_long_way_is_no_second_clock() {
    let [client, server] = ["client", "server"].map(|end| crate::util::capture(&format!("high_rtt-{end}")));
    let report = report([client, server]);
    assert!(limit(&report, "two-points").is_some_and(|text| text.contains("700 ms apart")), "{report}");
    for attempt in list(&report, "attempts") {
        assert!(attempt["timing"]["connect"].as_f64().is_some_and(|connect| connect > 1.4), "{attempt}");
    }
}

/// A capture with the clock set ahead by so many seconds.
fn with_clock(path: &PathBuf, seconds: i32) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    let mut at = 24;
    while let Some(header) = bytes.get_mut(at..at + 16) {
        let (second, rest) = header.split_first_chunk_mut::<4>().unwrap();
        *second = u32::from_le_bytes(*second).wrapping_add_signed(seconds).to_le_bytes();
        at += 16 + u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
    }
    bytes
}

#[test]
fn clocks_of_both_ends_are_put_right() {
    let dir = tempfile::tempdir().unwrap();
    for (name, files) in pairs() {
        let same = report([&files[0], &files[1]]);
        for seconds in [3, -3, 86_400, -86_400] {
            let server = dir.path().join("server.pcap");
            std::fs::write(&server, with_clock(&files[1], seconds)).unwrap();
            for order in [[&files[0], &server], [&server, &files[0]]] {
                let shifted = report(order);
                assert_eq!(judged(&shifted), judged(&same), "{name}: {seconds} s");
                assert!(limit(&shifted, "clock-corrected").is_some(), "{name}: {seconds} s");
            }
        }
    }
}

/// A packet of the nth connection, without timestamps.
fn plain_packet(n: u16, from_client: bool, flags: &str, (seq, ack): (u32, u32), data: &[u8]) -> Vec<u8> {
    let client = ([10, 0, 0, 1 + (n % 5) as u8], 40_000 + n);
    let server = ([10, 0, 1, 1], 80);
    let (from, to) = if from_client { (client, server) } else { (server, client) };
    let ip = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from.0, to.0, 64);
    let is_reset = flags.contains('R');
    let mut tcp = ip.tcp(from.1, to.1, seq, if is_reset { 0 } else { 64_240 });
    tcp = if is_reset { tcp.rst() } else { tcp };
    tcp = if flags.contains('S') { tcp.syn() } else { tcp };
    tcp = if flags.contains('.') { tcp.ack(ack) } else { tcp };
    let mut bytes = Vec::new();
    tcp.write(&mut bytes, data).unwrap();
    bytes
}

/// The ISNs of the nth connection.
fn isns(n: u16) -> (u32, u32) {
    (1_000 * u32::from(n), 50_000 * u32::from(n))
}

/// The nth connection near the server, healthy, as packets with their time in microseconds.
fn plain_connection(n: u16, begin: u64) -> Vec<(u64, Vec<u8>)> {
    let (isn, answer) = isns(n);
    let packet = |at, from_client, flags, numbers, data: &[u8]| {
        (begin + at, plain_packet(n, from_client, flags, numbers, data))
    };
    vec![
        packet(0, true, "S", (isn, 0), b""),
        packet(100, false, "S.", (answer, isn + 1), b""),
        packet(1_000, true, ".", (isn + 1, answer + 1), b""),
        packet(1_500, true, ".", (isn + 1, answer + 1), b"hello"),
        packet(1_600, false, ".", (answer + 1, isn + 6), b""),
        packet(2_000, false, ".", (answer + 1, isn + 6), b"world"),
        packet(3_000, true, ".", (isn + 6, answer + 6), b""),
    ]
}

/// Healthy connections without timestamps, as packets with their time in microseconds.
fn plain_connections() -> Vec<(u64, Vec<u8>)> {
    (0..20_u16).flat_map(|n| plain_connection(n, u64::from(n) * 70_000)).collect()
}

/// Ten healthy connections, one after the other.
fn connections_in_a_row() -> Vec<(u64, Vec<u8>)> {
    (0..10_u16).flat_map(|n| plain_connection(n, 1_000 + u64::from(n) * 500_000)).collect()
}

pub(crate) fn pcap(mut packets: Vec<(u64, Vec<u8>)>) -> Vec<u8> {
    packets.sort_by_key(|&(at, _)| at);
    let mut bytes: Vec<u8> = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1].map(u32::to_le_bytes).concat();
    for (at, data) in packets {
        let length = data.len() as u32;
        let header = [1_790_000_000 + (at / 1_000_000) as u32, (at % 1_000_000) as u32, length, length];
        bytes.extend(header.map(u32::to_le_bytes).concat());
        bytes.extend(data);
    }
    bytes
}

/// The same packets at the client, 400 µs away from the server.
fn at_client(packets: &[(u64, Vec<u8>)]) -> Vec<(u64, Vec<u8>)> {
    let from_client = |data: &[u8]| data[14 + 20 + 2..][..2] == 80_u16.to_be_bytes();
    let earlier =
        |(at, data): &(u64, Vec<u8>)| (if from_client(data) { at - 400 } else { at + 400 }, data.clone());
    packets.iter().map(earlier).collect()
}

#[test]
fn data_that_vanished_between_two_points_was_lost_there() {
    const LOST: u16 = 99;
    let mut server = connections_in_a_row();
    server.extend(plain_connection(LOST, 10_000).into_iter().take(3));
    let mut client = at_client(&server);
    let (isn, answer) = isns(LOST);
    let data = plain_packet(LOST, true, ".", (isn + 1, answer + 1), b"hello");
    client.extend([0, 200_000, 600_000, 1_400_000].map(|later| (11_200 + later, data.clone())));
    let directory = tempfile::tempdir().unwrap();
    let files = ["client.pcap", "server.pcap"].map(|name| directory.path().join(name));
    std::fs::write(&files[0], pcap(client)).unwrap();
    std::fs::write(&files[1], pcap(server)).unwrap();
    for order in [[&files[0], &files[1]], [&files[1], &files[0]]] {
        let report = report(order);
        assert_eq!(list(&report, "attempts").len(), 11, "{report}");
        let with_cause = list(&report, "attempts").iter().filter(|attempt| !attempt["cause"].is_null());
        let with_cause: Vec<&Value> = with_cause.collect();
        assert_eq!(with_cause.len(), 1, "{with_cause:?}");
        let lost = with_cause[0];
        assert_eq!((&lost["verdict"], &lost["cause"]), (&"ack-ignored".into(), &"ack-lost".into()));
        assert_eq!(lost["confidence"], "likely", "nobody counted drops");
        let text = string(&list(lost, "evidence")[0], "text");
        assert!(text.contains("passed client.pcap and did not reach server.pcap"), "{text}");
    }
}

/// The path held the ACK up for longer than the server takes to answer, and data left the client just before the RST came.
#[test]
fn an_rst_answers_the_ack_that_came_to_the_server_last() {
    const HELD_UP: u16 = 99;
    let mut server = connections_in_a_row();
    let mut client = at_client(&server);
    let (isn, answer) = isns(HELD_UP);
    let packet =
        |from_client, flags, numbers, data: &[u8]| plain_packet(HELD_UP, from_client, flags, numbers, data);
    for (at_client, at_server, packet) in [
        (8_600, 10_000, packet(true, "S", (isn, 0), b"")),
        (11_500, 10_100, packet(false, "S.", (answer, isn + 1), b"")),
        (11_600, 33_000, packet(true, ".", (isn + 1, answer + 1), b"")),
        (34_450, 33_050, packet(false, "R", (answer + 1, 0), b"")),
        (33_900, 35_300, packet(true, ".", (isn + 1, answer + 1), b"hello")),
    ] {
        client.push((at_client, packet.clone()));
        server.push((at_server, packet));
    }
    let directory = tempfile::tempdir().unwrap();
    let files = ["client.pcap", "server.pcap"].map(|name| directory.path().join(name));
    std::fs::write(&files[0], pcap(client)).unwrap();
    std::fs::write(&files[1], pcap(server)).unwrap();
    let reset = |report: &Value| {
        let attempts = list(report, "attempts");
        attempts.iter().find(|attempt| attempt["verdict"] == "reset-after-ack").unwrap().clone()
    };
    for order in [[&files[0], &files[1]], [&files[1], &files[0]]] {
        let reset = reset(&report(order));
        assert_eq!(reset["cause"], "accept-queue-overflow", "{reset}");
        assert_eq!(list(&reset, "evidence")[0]["code"], "rst-answers-first-ack", "{reset}");
    }
    // From the client alone it may answer the ACK late, so that nothing shows a firewall.
    let alone = reset(&report([&files[0]]));
    assert_eq!(list(&alone, "evidence")[0]["code"], "rst-answers-later-segment", "{alone}");
    assert_ne!(alone["cause"], "firewall-reset", "{alone}");
}

/// A SYN-ACK was held up on the way, and data left just before the RST, which comes in time for the ACK by the listener's
/// other round trips.
#[test]
fn an_rst_after_a_slow_synack_and_data_shows_no_firewall() {
    const HELD_UP: u16 = 99;
    let mut client = at_client(&connections_in_a_row());
    let (isn, answer) = isns(HELD_UP);
    let packet =
        |from_client, flags, numbers, data: &[u8]| plain_packet(HELD_UP, from_client, flags, numbers, data);
    client.extend([
        (10_000, packet(true, "S", (isn, 0), b"")),
        (22_000, packet(false, "S.", (answer, isn + 1), b"")),
        (22_100, packet(true, ".", (isn + 1, answer + 1), b"")),
        (24_000, packet(true, ".", (isn + 1, answer + 1), b"hello")),
        (24_020, packet(false, "R", (answer + 1, 0), b"")),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("client.pcap");
    std::fs::write(&file, pcap(client)).unwrap();
    let report = report([&file]);
    let reset = list(&report, "attempts").iter().find(|attempt| attempt["verdict"] == "reset-after-ack");
    let reset = reset.unwrap();
    assert_eq!(list(reset, "evidence")[0]["code"], "rst-answers-first-ack", "{reset}");
    assert_eq!(reset["cause"], "accept-queue-overflow", "{reset}");
}

#[test]
fn a_capture_that_holds_everything_twice_has_no_more_attempts() {
    let dir = tempfile::tempdir().unwrap();
    for later in [30_000, 120_000] {
        let once = plain_connections();
        let again = once.iter().map(|(at, data)| (at + later, data.clone())).collect();
        let path = dir.path().join("twice.pcap");
        std::fs::write(&path, pcap([once, again].concat())).unwrap();
        let report = report([&path]);
        assert_eq!(list(&report, "attempts").len(), 20, "{later} \u{b5}s later");
        for attempt in list(&report, "attempts") {
            assert_eq!(attempt["verdict"], "completed", "{attempt}");
            assert_eq!(attempt["retries"]["syn"], 0, "{attempt}");
            assert_eq!(attempt["retries"]["syn_ack"], 0, "{attempt}");
        }
    }
}

#[test]
fn a_limit_is_that_of_its_own_capture() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let filtered = root.join("field/flags-filter.pcap");
    let alone = report([&filtered]);
    let scan = crate::util::capture("syn_scan-server");
    for files in [[&scan, &filtered], [&filtered, &scan]] {
        let both = report(files);
        assert!(
            limit(&both, "no-bare-acks").is_some_and(|text| text.contains("flags-filter.pcap")),
            "{both}"
        );
        assert_eq!(both["verdicts"]["undetermined"], alone["verdicts"]["undetermined"]);
        let causes: Vec<&Value> = list(&both, "listeners").iter().map(|l| &l["confidence"]).collect();
        assert!(
            causes.iter().any(|confidence| **confidence == "likely"),
            "the scan is in the other: {causes:?}"
        );
    }
    // An ACK that the filter left out is not lost on the way.
    let both = report([&crate::util::capture("overflow_drop-client"), &filtered]);
    let lost = |attempt: &&Value| attempt["cause"] == "ack-lost";
    assert_eq!(list(&both, "attempts").iter().filter(lost).count(), 0);
}
