//! Memory is bounded whatever the capture holds, and evictions are counted.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use etherparse::PacketBuilder;
use serde_json::Value;

use crate::generated::traffic::{Mix, Plan};
use crate::generated::{capture, plan};
use crate::util::{count, hsanalyze, list};

/// A flood of this many SYNs within a second: none is settled before the capture's end, 2 s later.
fn flood(syns: u64) -> Vec<u8> {
    let mix = Mix::FIVE_KINDS.parse().unwrap();
    capture(&Plan { attempts: 0, flood: syns, pace: syns, mix, ..plan() }).1
}

fn report(bytes: Vec<u8>, args: &[&str]) -> Value {
    hsanalyze(["--format", "json"].iter().chain(args).chain(&["-"])).stdin(bytes).succeed().json()
}

#[test]
fn attempts_past_the_bound_are_evicted_exactly() {
    for threads in ["1", "2", "4"] {
        let report = report(flood(20_000), &["--threads", threads, "--max-attempts", "3000"]);
        assert_eq!(count(&report, "/verdicts/undetermined"), 17_000, "{threads} threads");
        assert_eq!(count(&report, "/verdicts/unanswered"), 3_000, "{threads} threads");
        let evicted = list(&report, "attempts").iter().filter(|a| a["reason"] == "evicted").count();
        assert_eq!(evicted, 17_000, "{threads} threads");
    }
}

#[test]
fn attempts_within_the_bound_are_not_evicted() {
    let report = report(flood(20_000), &["--max-attempts", "20000"]);
    assert_eq!(count(&report, "/verdicts/unanswered"), 20_000);
}

#[test]
fn the_oldest_is_evicted_first() {
    let report = report(flood(5_000), &["--max-attempts", "1000"]);
    let reasons: Vec<bool> = list(&report, "attempts").iter().map(|a| a["reason"] == "evicted").collect();
    assert_eq!(reasons.iter().filter(|&&evicted| evicted).count(), 4_000);
    assert!(reasons.is_sorted_by(|a, b| a >= b), "attempts are listed in order of first packet");
}

/// After a flood time advances in steps to the next packet: the results and their order are the same.
#[test]
fn attempts_of_a_flood_are_decided_in_order_by_the_packet_that_follows_it() {
    let mut bytes = flood(152_000);
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    // The first record, after the file header.
    let mut late = bytes[24..24 + 16 + number(24 + 8) as usize].to_vec();
    let seconds = number(24) + 600;
    late[..4].copy_from_slice(&seconds.to_le_bytes());
    bytes.extend(late);
    let csv = |threads| {
        let args = ["--format", "csv", "--threads", threads, "--max-attempts", "150000", "-"];
        hsanalyze(args).stdin(bytes.clone()).succeed().stdout
    };
    let one = String::from_utf8(csv("1")).unwrap();
    assert!(one.as_bytes() == csv("2"), "another order on two threads");
    let lines: Vec<&str> = one.lines().skip(1).collect();
    assert_eq!(lines.len(), 152_001);
    let starts: Vec<&str> = lines[2_000..152_000].iter().map(|line| line_start(line)).collect();
    assert!(starts.is_sorted(), "whoever began first has waited longest");
}

/// The start of the attempt of a CSV line.
fn line_start(line: &str) -> &str {
    line.split(',').find(|field| field.ends_with('Z')).unwrap()
}

/// Capture of a SYN to each of ports 1 to `ports`, 1,000 a second, each from a client of its own: from one it would be a scan,
/// which is one finding.
fn syns_to_ports(ports: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        bytes.extend(field.to_le_bytes());
    }
    for port in 1..=ports {
        let syn = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([10, 1, (port >> 8) as u8, port as u8], [10, 0, 0, 2], 64)
            .tcp(40_000, port, 1, 1_024)
            .syn();
        let length = syn.size(0) as u32;
        for field in [1_790_000_000 + u32::from(port) / 1_000, u32::from(port) % 1_000, length, length] {
            bytes.extend(field.to_le_bytes());
        }
        syn.write(&mut bytes, &[]).unwrap();
    }
    bytes
}

#[test]
fn listeners_past_the_bound_share_a_line() {
    const KEPT: usize = hsanalyze::listener::Listeners::DEFAULT_LIMIT;
    let ports = KEPT as u16 + 1_500;
    let report = report(syns_to_ports(ports), &[]);
    let listeners = list(&report, "listeners");
    assert_eq!(listeners.len(), KEPT + 1);
    let (rest, kept) = listeners.split_last().unwrap();
    assert!(kept.iter().all(|l| l["server"].is_string() && count(l, "/attempts") == 1));
    assert!(rest["server"].is_null(), "{rest}");
    assert_eq!(count(rest, "/attempts"), 1_500);
    // The text report has it too, after the worst of the others.
    let ran = hsanalyze(["-"]).stdin(syns_to_ports(ports)).succeed();
    let text = ran.text();
    // The 1,000 attempts of the last second are undetermined, and all of their listeners are kept: unanswered
    // attempts are held back for an answer under another address, and reach the table later.
    assert!(text.contains(", at 7,192 servers and more."), "{text}");
    assert!(text.contains("... 7,182 servers more with problems: --all"), "{text}");
    assert!(text.contains("\nother servers  "), "{text}");
    assert!(text.contains("  1,500 of 1,500 attempts went wrong"), "{text}");
}

/// The highest sample of a run's anonymous memory, in KiB; `None` where the system does not report it: the test is then
/// skipped.
pub(crate) fn peak_anonymous(format: &str, paths: &[&Path]) -> Option<u64> {
    if !Path::new("/proc/self/status").exists() {
        let test = thread::current().name().unwrap_or("a test").to_owned();
        // Not eprintln!, whose output the harness shows for failing tests only.
        let mut stderr = io::stderr();
        writeln!(stderr, "SKIPPED: {test}: there is no /proc to tell a process's memory").unwrap();
        return None;
    }
    let paths = paths.iter().map(|path| path.to_str().unwrap());
    // Tables are written into a directory.
    let directory = tempfile::tempdir().unwrap();
    let tables = ["-o", directory.path().to_str().unwrap()];
    let output = if format == "parquet" { &tables[..] } else { &[] };
    let options = ["--threads", "2", "--format", format].into_iter().chain(output.iter().copied());
    let run = hsanalyze(options.chain(paths));
    let mut child = run.command().stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let exit = loop {
        if let Some(exit) = child.try_wait().unwrap() {
            break exit;
        }
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let now = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(now.unwrap_or(0));
        thread::sleep(Duration::from_millis(2));
    };
    assert!(exit.success(), "{run}: {exit}");
    assert!(peak > 0, "{run} was never seen running");
    Some(peak)
}

type Packet = etherparse::PacketBuilderStep<etherparse::TcpHeader>;

/// A capture of packets, each with its time in nanoseconds.
fn timed(packets: impl IntoIterator<Item = (u64, Packet)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        bytes.extend(field.to_le_bytes());
    }
    for (at, packet) in packets {
        let length = packet.size(0) as u32;
        let (seconds, nanos) = (1_790_000_000 + at / 1_000_000_000, at % 1_000_000_000);
        for field in [seconds as u32, nanos as u32, length, length] {
            bytes.extend(field.to_le_bytes());
        }
        packet.write(&mut bytes, &[]).unwrap();
    }
    bytes
}

/// A segment from the client with this number, or to it.
fn segment(flow: u32, outward: bool, seq: u32) -> Packet {
    let client = [11, (flow >> 16) as u8, (flow >> 8) as u8, flow as u8];
    let ((from, source), (to, destination)) = match outward {
        true => ((client, 40_000), ([10, 0, 0, 2], 80)),
        false => (([10, 0, 0, 2], 80), (client, 40_000)),
    };
    let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
    ethernet.ipv4(from, to, 64).tcp(source, destination, seq, 1_024)
}

#[test]
fn forgotten_flows_depend_on_neither_the_seed_nor_the_threads() {
    // Packets for three checks of the remembered-flow count, and some more.
    let (flows, again) = (400_000_u32, 3_000);
    let refused = (0..flows).flat_map(|flow| {
        let at = u64::from(flow) * 100_000;
        [(at, segment(flow, true, 1).syn()), (at + 1_000, segment(flow, false, 0).rst().ack(2))]
    });
    let late = (0..again).map(|flow| (60_000_000_000, segment(flow, true, 2).ack(7)));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("many.pcap");
    fs::write(&path, timed(refused.chain(late))).unwrap();
    for threads in ["1", "1", "3"] {
        let args = ["--format", "ndjson", "--threads", threads, path.to_str().unwrap()];
        let output = hsanalyze(args).succeed();
        let last = output.stdout.trim_ascii_end().rsplit(|&byte| byte == b'\n').next().unwrap();
        let summary: Value = serde_json::from_slice(last).unwrap();
        assert_eq!(count(&summary, "/verdicts/refused"), u64::from(flows), "{threads} threads");
        assert_eq!(count(&summary, "/packets/midstream"), u64::from(again), "{threads} threads");
    }
}

#[test]
fn memory_does_not_grow_while_time_stands_still() {
    let directory = tempfile::tempdir().unwrap();
    let still = |flows: u32| {
        let completed = (0..flows).flat_map(|flow| {
            let [syn, ack, fin] = [100, 101, 101].map(|seq| segment(flow, true, seq));
            let [answer, announced] = [500, 501].map(|seq| segment(flow, false, seq));
            let announced = announced.fin().ack(102);
            [syn.syn(), answer.syn().ack(101), ack.ack(501), fin.fin().ack(501), announced]
                .map(|one| (0, one))
        });
        let path = directory.path().join(format!("{flows}.pcap"));
        fs::write(&path, timed(completed)).unwrap();
        path
    };
    assert_steady("text", &still(PAST_REMEMBERED), &still(PAST_REMEMBERED * 5 / 2));
}

/// Attempts of a capture past which memory is flat: more than decided flows are remembered, 98,304 and those of one shard
/// more. With as many again and a half, one that kept 16 bytes of each would take 4.6 MB more.
const PAST_REMEMBERED: u32 = 192_000;

/// Demands that an analysis of the longer capture takes at most 4 MiB more, and 48 MiB.
fn assert_steady(format: &str, short: &Path, longer: &Path) {
    assert_bounded(format, short, longer, 4 * 1024, 48);
}

/// The same with another bound, in MiB.
fn assert_bounded(format: &str, short: &Path, longer: &Path, most: u64, whole: u64) {
    // Sampling may miss the peak of a short run on a busy machine: one of three runs has to be steady.
    let steady = |growth: &u64| *growth <= most;
    let mut growth = Vec::new();
    while growth.len() < 3 && !growth.iter().any(steady) {
        let (Some(first), Some(second)) =
            (peak_anonymous(format, &[short]), peak_anonymous(format, &[longer]))
        else {
            return;
        };
        assert!(second <= whole * 1024, "{format}: {second} KiB");
        growth.push(second.saturating_sub(first));
    }
    assert!(growth.iter().any(steady), "{format}: the longer capture takes {growth:?} KiB more");
}

/// Longer than any attempt is undecided (163 s for a SYN-ACK retransmitted up to the limit), so that the memory of the
/// first stretch is that of any later one. Up to 16,384 attempts whose cause may still change are among it.
fn long(attempts: u32) -> Plan {
    Plan { attempts: attempts.into(), pace: 400, ..plan() }
}

#[test]
fn memory_does_not_grow_with_the_capture() {
    let directory = tempfile::tempdir().unwrap();
    let (short, longer) = (directory.path().join("short.pcap"), directory.path().join("longer.pcap"));
    fs::write(&short, capture(&long(PAST_REMEMBERED)).1).unwrap();
    fs::write(&longer, capture(&long(PAST_REMEMBERED * 5 / 2)).1).unwrap();
    for format in ["text", "ndjson", "csv", "markdown"] {
        assert_steady(format, &short, &longer);
    }
}

/// Attempts past a bound wait in a temporary file to be listed in order; and a text of all lists a number of them.
#[test]
fn listing_all_attempts_takes_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |flows: u32| {
        let packets = (0..flows).flat_map(|flow| {
            let at = u64::from(flow) * 100_000;
            [(at, segment(flow, true, 1).syn()), (at + 1_000, segment(flow, false, 0).rst().ack(2))]
        });
        let path = directory.path().join(format!("{flows}.pcap"));
        fs::write(&path, timed(packets)).unwrap();
        path
    };
    let (short, longer) = (refused(80_000), refused(240_000));
    // 160,000 attempts more, which took 80 MiB in memory. The hashes of decided flows are remembered, and runs of the file
    // are read in parts.
    assert_bounded("json", &short, &longer, 24 * 1024, 140);
    // A group of rows is in memory, 32,768 of them.
    #[cfg(feature = "parquet")]
    assert_bounded("parquet", &short, &longer, 24 * 1024, 140);
    let report = hsanalyze(["--format", "json", longer.to_str().unwrap()]).succeed().json();
    let frames: Vec<u64> = list(&report, "attempts").iter().map(|attempt| count(attempt, "/frame")).collect();
    assert!(frames.iter().copied().eq((0..240_000).map(|attempt| 1 + 2 * attempt)));
    assert!(list(&report, "attempts").iter().all(|attempt| attempt["cause"] == "port-closed"));
    let text = hsanalyze(["--all", longer.to_str().unwrap()]).succeed();
    assert!(text.text().ends_with("140,000 more: --format csv, json or ndjson\n"));
}
