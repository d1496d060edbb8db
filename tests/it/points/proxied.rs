//! Something between client and server that answers SYNs itself: a SYN proxy, or a balancer without a backend.

use etherparse::{PacketBuilder, TcpOptionElement};
use serde_json::Value;

use super::pcap;
use crate::util::{list, report};

const SERVER: ([u8; 4], u16) = ([198, 51, 100, 1], 80);

/// Ways that a connection goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To the server and back.
    Direct,
    /// The proxy answers; once it has the client's ACK it connects to the server with the client's address and number.
    Proxied,
    /// The proxy answers, and has no server: the client's data is never acknowledged.
    Abandoned,
}

/// The packets of the client's point and the server's, with times in microseconds.
fn packets(ways: &[Way]) -> [Vec<(u64, Vec<u8>)>; 2] {
    let mut points = [Vec::new(), Vec::new()];
    for (n, &way) in ways.iter().enumerate() {
        let client = ([192, 0, 2, 1 + (n % 5) as u8], 40_000 + n as u16);
        let begin = n as u64 * 300_000;
        let isn = 1_000_003 * (n as u32 + 1);
        let (proxy, server) =
            (77_000_003_u32.wrapping_mul(n as u32 + 1), 99_000_007_u32.wrapping_mul(n as u32 + 1));
        let mut see =
            |point: usize, at: u64, flags: &str, (seq, ack): (u32, u32), stamps: (u32, u32), data: &[u8]| {
                let from_client = ack == 0 || ack != isn + 1 && ack != isn + 6;
                let (from, to) = if from_client { (client, SERVER) } else { (SERVER, client) };
                let mut tcp = PacketBuilder::ethernet2([2; 6], [4; 6])
                    .ipv4(from.0, to.0, if from_client { 64 - point as u8 } else { 60 + point as u8 })
                    .tcp(from.1, to.1, seq, 64_240);
                tcp = if flags.contains('S') { tcp.syn() } else { tcp };
                tcp = if flags.contains('.') { tcp.ack(ack) } else { tcp };
                let tcp = tcp.options(&[TcpOptionElement::Timestamp(stamps.0, stamps.1)]).unwrap();
                let mut bytes = Vec::new();
                tcp.write(&mut bytes, data).unwrap();
                points[point].push((begin + at, bytes));
            };
        let stamp = 1_000 + (begin / 1_000) as u32;
        if way == Way::Direct {
            for (point, there, back) in [(0, 0, 10_000), (1, 5_000, 5_100)] {
                see(point, there, "S", (isn, 0), (stamp, 0), b"");
                see(point, back, "S.", (server, isn + 1), (5, stamp), b"");
                see(point, there + 10_100, ".", (isn + 1, server + 1), (stamp + 10, 5), b"hello");
                see(point, back + 10_300, ".", (server + 1, isn + 6), (25, stamp + 10), b"w");
            }
            continue;
        }
        see(0, 0, "S", (isn, 0), (stamp, 0), b"");
        see(0, 4_000, "S.", (proxy, isn + 1), (5, stamp), b"");
        see(0, 4_100, ".", (isn + 1, proxy + 1), (stamp + 4, 5), b"");
        see(0, 4_200, ".", (isn + 1, proxy + 1), (stamp + 4, 5), b"hello");
        if way == Way::Proxied {
            see(1, 9_000, "S", (isn, 0), (stamp + 4, 0), b"");
            see(1, 9_100, "S.", (server, isn + 1), (9, stamp + 4), b"");
            see(1, 11_100, ".", (isn + 1, server + 1), (stamp + 4, 9), b"hello");
            see(1, 11_300, ".", (server + 1, isn + 6), (25, stamp + 4), b"w");
            see(0, 16_300, ".", (proxy + 1, isn + 6), (25, stamp + 4), b"w");
        } else {
            for later in [210_000, 630_000, 1_400_000, 3_100_000] {
                let stamp = stamp + 4 + (later / 1_000) as u32;
                see(0, 4_200 + later, ".", (isn + 1, proxy + 1), (stamp, 5), b"hello");
            }
        }
    }
    points
}

fn analysed(points: [Vec<(u64, Vec<u8>)>; 2]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let files = ["near", "far"].map(|name| directory.path().join(name));
    for (packets, path) in points.into_iter().zip(&files) {
        std::fs::write(path, pcap(packets)).unwrap();
    }
    report(files)
}

/// True if the attempt's evidence is a SYN-ACK that was made between the points.
fn is_answered_between(attempt: &Value) -> bool {
    list(attempt, "evidence").iter().any(|evidence| {
        evidence["code"] == "made-between"
            && evidence["text"]
                .as_str()
                .is_some_and(|text| text.starts_with("a SYN-ACK was captured at near"))
    })
}

fn says(report: &Value, code: &str) -> bool {
    list(report, "limits").iter().any(|limit| limit["code"] == code)
}

#[test]
fn a_proxy_that_answers_for_the_server_is_named() {
    let report = analysed(packets(&[Way::Proxied; 20]));
    assert_eq!(report["verdicts"]["completed"], 20);
    for attempt in list(&report, "attempts") {
        assert!(is_answered_between(attempt), "{attempt}");
        assert_eq!((&attempt["cause"], &attempt["retries"]["syn"]), (&Value::Null, &0.into()), "{attempt}");
    }
    assert!(says(&report, "answered-between"), "{}", report["limits"]);
}

#[test]
fn what_a_proxy_answered_is_no_full_queue_of_the_server() {
    let mut ways = [Way::Direct, Way::Abandoned].repeat(8);
    ways.extend([Way::Direct; 16]);
    let report = analysed(packets(&ways));
    let ignored: Vec<&Value> =
        list(&report, "attempts").iter().filter(|attempt| attempt["verdict"] == "ack-ignored").collect();
    assert_eq!(ignored.len(), 8);
    for attempt in ignored {
        assert!(is_answered_between(attempt), "{attempt}");
        let excluded: Vec<&Value> = list(attempt, "ruled_out").iter().map(|one| &one["cause"]).collect();
        assert!(excluded.contains(&&"accept-queue-overflow".into()), "{attempt}");
        assert_eq!(attempt["cause"], Value::Null);
    }
    let sentence = &list(&report, "listeners")[0]["diagnosis"];
    assert!(
        sentence.as_str().is_some_and(|text| text.contains("came from something between near and far")),
        "{sentence}"
    );
}

#[test]
fn connections_that_go_round_the_second_point_are_not_answered_between() {
    // Those of the other points of a balancer are established, and never pass this one.
    let mut ways = [Way::Direct, Way::Proxied].repeat(8);
    ways.extend([Way::Direct; 4]);
    let [near, mut far] = packets(&ways);
    let odd = |at: u64| (at / 300_000) % 2 == 1 && at < 16 * 300_000;
    far.retain(|&(at, _)| !odd(at));
    let report = analysed([near, far]);
    assert_eq!(report["verdicts"]["completed"], 20);
    assert!(!list(&report, "attempts").iter().any(is_answered_between));
}
