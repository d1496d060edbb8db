//! Captures before and after an address translation, made packet by packet: what joins and what does not.

use std::path::PathBuf;

use etherparse::{PacketBuilder, TcpOptionElement};
use serde_json::Value;

use super::pcap;
use crate::util::{list, report, string};

type Address = ([u8; 4], u16);

const HOST: Address = ([198, 51, 100, 1], 8080);
const POD: Address = ([10, 0, 0, 2], 80);

/// A SYN, or another segment of a handshake.
struct Packet {
    /// Microseconds.
    at: u64,
    ends: [Address; 2],
    flags: &'static str,
    numbers: (u32, u32),
    options: Vec<TcpOptionElement>,
    ttl: u8,
}

impl Packet {
    fn bytes(&self) -> (u64, Vec<u8>) {
        let [from, to] = self.ends;
        let (seq, ack) = self.numbers;
        let ip = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from.0, to.0, self.ttl);
        let mut tcp = ip.tcp(from.1, to.1, seq, 64_240);
        tcp = if self.flags.contains('S') { tcp.syn() } else { tcp };
        tcp = if self.flags.contains('R') { tcp.rst() } else { tcp };
        tcp = if self.flags.contains('F') { tcp.fin() } else { tcp };
        tcp = if self.flags.contains('.') { tcp.ack(ack) } else { tcp };
        let mut bytes = Vec::new();
        tcp.options(&self.options).unwrap().write(&mut bytes, b"").unwrap();
        (self.at, bytes)
    }
}

/// Treatment by a path of connections between its two points.
#[derive(Clone, Copy)]
struct Path {
    /// The SYNs carry timestamps.
    stamped: bool,
    /// Each third client's first SYN is lost between the points.
    loses: bool,
    /// Added to the clients' ISNs at the second point, which leaves addresses alone; 0 translates them.
    rewrites: u32,
    /// Time of the second point's clock in a million of the first's.
    drift: u64,
    connections: u64,
}

impl Path {
    const TRANSLATED: Self = Self { stamped: true, loses: false, rewrites: 0, drift: 0, connections: 30 };

    /// The packets at the client's point and at the server's, which is 5 ms away behind a NAT of both addresses and clamps the
    /// MSS. A connection begins every two seconds.
    fn packets(self) -> [Vec<Packet>; 2] {
        let mut points = [Vec::new(), Vec::new()];
        for n in 0..self.connections {
            let begin = n * 2_000_000;
            let client = ([192, 0, 2, 1 + (n % 5) as u8], 40_000 + n as u16);
            let inside = ([10, 0, 0, 1], 20_000 + n as u16);
            let isn = 1_000_003_u32.wrapping_mul(n as u32 + 1);
            let answer = 77_000_003_u32.wrapping_mul(n as u32 + 1);
            let mut see = |point: usize, at: u64, flags: &'static str, numbers, stamp: u32| {
                let outside = point == 0 || self.rewrites > 0;
                let (ends, mss) = if outside { ([client, HOST], 1460) } else { ([inside, POD], 1380) };
                let from_server = flags == "S.";
                let ends = if from_server { [ends[1], ends[0]] } else { ends };
                let mut options = vec![TcpOptionElement::MaximumSegmentSize(mss)];
                if self.stamped {
                    // The SYN-ACK echoes the SYN that made the request.
                    options.push(TcpOptionElement::Timestamp(stamp, if from_server { stamp } else { 0 }));
                }
                let options = if flags.contains('S') { options } else { Vec::new() };
                let at = if point == 1 { at + at / 1_000_000 * self.drift } else { at };
                points[point].push(Packet { at, ends, flags, numbers, options, ttl: 64 - point as u8 });
            };
            let far = isn.wrapping_add(self.rewrites);
            let stamp = 5_000 * n as u32 + 1;
            let mut at = begin;
            see(0, at, "S", (isn, 0), stamp);
            if self.loses && n % 3 == 1 {
                at += 1_000_000;
                see(0, at, "S", (isn, 0), stamp + 1_000);
            }
            let stamp = if at == begin { stamp } else { stamp + 1_000 };
            see(1, at + 5_000, "S", (far, 0), stamp);
            see(1, at + 5_050, "S.", (answer, far.wrapping_add(1)), stamp);
            see(0, at + 10_050, "S.", (answer, isn.wrapping_add(1)), stamp);
            see(0, at + 10_100, ".", (isn.wrapping_add(1), answer.wrapping_add(1)), 0);
            see(1, at + 15_100, ".", (far.wrapping_add(1), answer.wrapping_add(1)), 0);
        }
        points
    }
}

/// The report of both points' captures, the second's clock set ahead by so many seconds.
fn analysed(points: [Vec<Packet>; 2], ahead: u64, reversed: bool) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let mut files: Vec<PathBuf> = Vec::new();
    for (packets, (name, ahead)) in points.iter().zip([("near.pcap", 0), ("far.pcap", ahead)]) {
        let packets = packets.iter().map(Packet::bytes).map(|(at, bytes)| (at + ahead * 1_000_000, bytes));
        let path = directory.path().join(name);
        std::fs::write(&path, pcap(packets.collect())).unwrap();
        files.push(path);
    }
    if reversed {
        files.reverse();
    }
    report(files)
}

fn has_evidence(attempt: &Value, code: &str) -> bool {
    list(attempt, "evidence").iter().any(|evidence| evidence["code"] == code)
}

#[test]
fn connections_through_a_nat_are_counted_once_by_any_clock_and_order() {
    for (ahead, drift) in [(0, 0), (3, 100), (86_400, 100)] {
        for reversed in [false, true] {
            let report = analysed(Path { drift, ..Path::TRANSLATED }.packets(), ahead, reversed);
            assert_eq!(report["verdicts"]["completed"], 30, "{ahead} s ahead");
            for attempt in list(&report, "attempts") {
                assert!(string(attempt, "client").starts_with("192.0.2."), "{attempt}");
                assert_eq!(attempt["server"], "10.0.0.2:80");
                let points: Vec<&str> =
                    list(attempt, "sightings").iter().map(|sighting| string(sighting, "point")).collect();
                assert_eq!(points, ["near.pcap", "far.pcap"]);
                assert!(
                    attempt["timing"]["connect"].as_f64().is_some_and(|connect| connect < 0.02),
                    "{attempt}"
                );
            }
        }
    }
}

#[test]
fn one_capture_of_both_sides_of_a_published_port_counts_each_connection_once() {
    for stamped in [true, false] {
        let [before, mut behind] = Path { stamped, ..Path::TRANSLATED }.packets();
        for packet in &mut behind {
            for (address, port) in packet.ends.iter_mut().filter(|(_, port)| *port >= 20_000) {
                let n = *port - 20_000;
                (*address, *port) = ([192, 0, 2, 1 + (n % 5) as u8], 40_000 + n);
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.pcap");
        let packets = before.iter().filter(|packet| packet.flags == "S").chain(&behind);
        let analysed = |packets: Vec<&Packet>| {
            std::fs::write(&path, pcap(packets.into_iter().map(Packet::bytes).collect())).unwrap();
            report([&path])
        };
        let only_syns = analysed(packets.clone().filter(|packet| packet.flags == "S").collect());
        let attempts = list(&only_syns, "attempts").len();
        assert_eq!(only_syns["verdicts"]["undetermined"], attempts, "neither point has answers, {stamped}");
        let report = analysed(packets.collect());
        // By the ISN alone equal SYNs of a scanner would be one connection.
        assert_eq!(list(&report, "attempts").len(), if stamped { 30 } else { 60 }, "{stamped}");
        assert_eq!(report["verdicts"]["completed"], 30, "{stamped}");
    }
}

#[test]
fn a_syn_that_passed_one_point_only_made_its_client_late() {
    let report = analysed(Path { loses: true, ..Path::TRANSLATED }.packets(), 3, false);
    let late = list(&report, "attempts").iter().filter(|attempt| attempt["verdict"] == "completed-late");
    let late: Vec<&Value> = late.collect();
    assert_eq!(late.len(), 10);
    for attempt in late {
        assert_eq!(attempt["cause"], "syn-lost", "{attempt}");
        assert!(has_evidence(attempt, "lost-between"), "{attempt}");
    }
    assert_eq!(list(&report, "attempts").len(), 30);
}

/// Verdicts of attempts with trouble, and whether a loss between the points is said to be its cause, where the second point did
/// not see these connections at all.
fn troubled_without(hidden: impl Fn(u64) -> bool, is_dead: bool) -> Vec<(String, bool)> {
    let [mut near, mut far] = Path { loses: true, ..Path::TRANSLATED }.packets();
    far.retain(|packet| !hidden(packet.at / 2_000_000));
    near.retain(|packet| !(is_dead && hidden(packet.at / 2_000_000) && packet.flags != "S"));
    // The server's data establishes the others, and the SYNs of a dead one are repeated for long.
    for points in [&mut near, &mut far] {
        let acks = points.iter().filter(|packet| packet.flags == ".");
        let data = acks.map(|ack| Packet {
            at: ack.at + 20_000,
            ends: [ack.ends[1], ack.ends[0]],
            flags: "F.",
            numbers: (ack.numbers.1, ack.numbers.0),
            options: Vec::new(),
            ttl: 64,
        });
        let data: Vec<Packet> = data.collect();
        points.extend(data);
    }
    let first = near.iter().filter(|packet| is_dead && packet.flags == "S" && hidden(packet.at / 2_000_000));
    let later = |option: &TcpOptionElement| match *option {
        TcpOptionElement::Timestamp(stamp, echo) => TcpOptionElement::Timestamp(stamp + 7_000, echo),
        ref other => other.clone(),
    };
    let retries = first.map(|syn| Packet {
        at: syn.at + 7_000_000,
        options: syn.options.iter().map(later).collect(),
        ..*syn
    });
    let retries: Vec<Packet> = retries.collect();
    near.extend(retries);
    let report = analysed([near, far], 0, false);
    let attempts = list(&report, "attempts").iter();
    let wrong = attempts.filter(|attempt| attempt["verdict"] != "completed");
    let lost = |attempt: &Value| has_evidence(attempt, "lost-between") || attempt["cause"] == "filtered";
    wrong.map(|attempt| (string(attempt, "verdict").to_owned(), lost(attempt))).collect()
}

#[test]
fn syns_are_not_lost_where_connections_of_the_server_go_round_the_second_point() {
    // To another server, which was not captured.
    let troubled = troubled_without(|n| n % 2 == 1, false);
    assert_eq!(troubled, vec![("completed-late".to_owned(), false); 10]);
}

#[test]
fn syns_are_not_lost_while_the_second_point_was_not_captured() {
    let troubled = troubled_without(|n| (5..15).contains(&n), false);
    assert_eq!(troubled, vec![("completed-late".to_owned(), false); 10]);
}

#[test]
fn a_translation_to_a_dead_server_is_no_loss() {
    let troubled = troubled_without(|n| n % 5 == 2, true);
    let unanswered: Vec<_> = troubled.into_iter().filter(|(verdict, _)| verdict == "unanswered").collect();
    assert_eq!(unanswered, vec![("unanswered".to_owned(), false); 6], "SYNs of others pass meanwhile");
}

#[test]
fn rewritten_sequence_numbers_make_two_connections_which_is_said() {
    for ahead in [0, 3] {
        let report = analysed(Path { rewrites: 77, ..Path::TRANSLATED }.packets(), ahead, false);
        assert_eq!(report["verdicts"]["completed"], 60, "{ahead} s ahead");
        let said = list(&report, "limits").iter().any(|limit| limit["code"] == "renumbered");
        assert!(said, "{}", report["limits"]);
    }
}

#[test]
fn without_timestamps_syns_join_within_a_second() {
    let points = Path { stamped: false, ..Path::TRANSLATED }.packets();
    // Nothing tells the offset of clocks then: both captures have one.
    let directory = tempfile::tempdir().unwrap();
    let mut arguments = Vec::new();
    for (packets, name) in points.iter().zip(["near", "far"]) {
        let path = directory.path().join(name);
        std::fs::write(&path, pcap(packets.iter().map(Packet::bytes).collect())).unwrap();
        arguments.extend(["--point".to_owned(), format!("{name}={}", path.display())]);
        arguments.push(path.to_str().unwrap().to_owned());
    }
    let report = report(&arguments);
    assert_eq!(report["verdicts"]["completed"], 30);
    assert_eq!(list(&report, "attempts").len(), 30);
}

/// The text of a limit.
fn limit(report: &Value, code: &str) -> Option<String> {
    let limits = list(report, "limits");
    limits.iter().find(|limit| limit["code"] == code).map(|limit| string(limit, "text").to_owned())
}

#[test]
fn clocks_of_points_that_share_too_few_syns_are_unknown() {
    let points = Path { connections: 2, ..Path::TRANSLATED }.packets();
    let directory = tempfile::tempdir().unwrap();
    let mut arguments = vec!["--path".to_owned(), "near,middle,far".to_owned()];
    for (packets, name) in points.iter().zip(["near", "far"]) {
        let path = directory.path().join(name);
        std::fs::write(&path, pcap(packets.iter().map(Packet::bytes).collect())).unwrap();
        arguments.extend(["--point".to_owned(), format!("{name}={}", path.display())]);
        arguments.push(path.to_str().unwrap().to_owned());
    }
    let ran =
        crate::util::hsanalyze(["--format", "json"].map(str::to_owned).iter().chain(&arguments)).succeed();
    let report: Value = serde_json::from_str(ran.text()).unwrap();
    let text = limit(&report, "clock-unknown").unwrap_or_else(|| panic!("{}", report["limits"]));
    assert!(text.starts_with("2 SYNs are common to ") && text.contains("too few"), "{text}");
    assert_eq!(list(&report, "attempts").len(), 2, "joined all the same");
    let warning = "warning: --path middle: no point has this name; there are near, far";
    assert!(ran.stderr.contains(warning), "{ran}");
    let named = arguments.iter().filter(|argument| !argument.starts_with('/'));
    let named = crate::util::hsanalyze([&"--format".to_owned(), &"json".to_owned()].into_iter().chain(named));
    assert_eq!(
        list(&named.succeed().json(), "attempts"),
        list(&report, "attempts"),
        "no file but the points'"
    );
    let other = ["--point", "pod=elsewhere.pcap"].map(str::to_owned);
    let ran = crate::util::hsanalyze(other.iter().chain(&arguments)).succeed();
    let warning = "warning: --point pod: elsewhere.pcap is none of the captures, as they are given";
    assert!(ran.stderr.contains(warning), "{ran}");
}

#[test]
fn nothing_is_lost_by_a_clock_that_was_set_meanwhile() {
    let mut points = Path { loses: true, connections: 60, ..Path::TRANSLATED }.packets();
    for packet in points[1].iter_mut().filter(|packet| packet.at > 80_000_000) {
        packet.at -= 2_500_000;
    }
    points[1].sort_by_key(|packet| packet.at);
    let report = analysed(points, 0, false);
    let text = limit(&report, "clock-unknown").unwrap_or_else(|| panic!("{}", report["limits"]));
    assert!(text.contains("would have arrived before they were sent"), "{text}");
    let lost = |attempt: &&Value| has_evidence(attempt, "lost-between");
    assert_eq!(list(&report, "attempts").iter().filter(lost).count(), 0);
}

#[test]
fn equal_syns_of_a_flood_are_counted_each() {
    let flood = |point: u8| {
        let syn = move |n: u64| {
            let source = ([192, 0, (n >> 8) as u8, n as u8], 40_000);
            let options = vec![TcpOptionElement::MaximumSegmentSize(1460), TcpOptionElement::Timestamp(7, 0)];
            let at = n * 1_000 + 300 * u64::from(point);
            Packet { at, ends: [source, HOST], flags: "S", numbers: (5, 0), options, ttl: 64 - point }
        };
        (0..2_000).map(syn).collect::<Vec<_>>()
    };
    for points in [[flood(0), flood(1)], [flood(0), Vec::new()]] {
        let report = analysed(points, 0, false);
        let total: u64 = report["verdicts"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        assert_eq!(total, 2_000);
    }
}

#[test]
fn an_rst_that_the_server_never_sent_was_made_on_the_way() {
    let mut points = Path::TRANSLATED.packets();
    for n in 0..3 {
        let (at, isn) = (10_500_000 + n * 300_000, 700_000_001 + n as u32);
        let client = ([192, 0, 2, 9], 50_000 + n as u16);
        let syn =
            vec![TcpOptionElement::MaximumSegmentSize(1460), TcpOptionElement::Timestamp(n as u32 + 9, 0)];
        let (ends, numbers) = ([client, HOST], (isn, 0));
        points[0].push(Packet { at, ends, flags: "S", numbers, options: syn, ttl: 64 });
        let (ends, numbers) = ([HOST, client], (0, isn.wrapping_add(1)));
        points[0].push(Packet { at: at + 4_000, ends, flags: "R.", numbers, options: Vec::new(), ttl: 61 });
    }
    points[0].sort_by_key(|packet| packet.at);
    let report = analysed(points, 0, false);
    let refused: Vec<&Value> =
        list(&report, "attempts").iter().filter(|attempt| attempt["verdict"] == "refused").collect();
    assert_eq!(refused.len(), 3, "{report}");
    for attempt in refused {
        assert_eq!(attempt["cause"], "firewall-reset", "{attempt}");
        assert!(has_evidence(attempt, "made-between"), "{attempt}");
    }
}
