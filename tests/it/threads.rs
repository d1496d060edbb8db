//! The results are the same, byte for byte, whatever the number of threads.

use std::ffi::OsStr;
use std::path::Path;

use hsanalyze::handshake::Verdict;
use strum::IntoEnumIterator;

use crate::generated::traffic::Plan;
use crate::generated::{capture, plan};
use crate::util::{captures, count, hsanalyze};

/// The output of a run with this many threads.
fn output(threads: usize, format: &str, extra: &[&str], path: &Path) -> Vec<u8> {
    let threads = threads.to_string();
    let mut args = vec!["--threads", &threads, "--format", format];
    args.extend(extra);
    let args = args.into_iter().map(OsStr::new).chain([path.as_os_str()]);
    hsanalyze(args).succeed().stdout
}

/// Compares the machine-readable formats of two to five threads with those of one; returns the JSON.
#[track_caller]
fn same_for_all(extra: &[&str], path: &Path) -> serde_json::Value {
    for format in ["ndjson", "csv", "markdown", "json"] {
        let one = output(1, format, extra, path);
        for threads in 2..=5 {
            let more = output(threads, format, extra, path);
            let line = one.split(|&b| b == b'\n').zip(more.split(|&b| b == b'\n')).position(|(a, b)| a != b);
            assert!(
                one == more,
                "{format} of {} differs with {threads} threads {extra:?}: line {:?} of {} and {} bytes",
                path.display(),
                line.map(|line| line + 1),
                one.len(),
                more.len(),
            );
        }
    }
    serde_json::from_slice(&output(1, "json", extra, path)).unwrap()
}

/// Every verdict in both families, many attempts at a time, and a flood between them.
fn busy() -> Plan {
    Plan { attempts: 6_000, flood: 20_000, pace: 40_000, ipv6_percent: 40, ..plan() }
}

#[test]
fn on_every_bundled_capture() {
    for path in captures() {
        same_for_all(&[], &path);
    }
}

#[test]
fn on_a_busy_capture() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("busy.pcap");
    let (made, bytes) = capture(&busy());
    std::fs::write(&path, bytes).unwrap();
    let report = same_for_all(&[], &path);
    assert_eq!(count(&report, "/packets/total"), made.packets);
    assert_eq!(count(&report, "/verdicts/undetermined"), 0);
}

#[test]
fn when_attempts_are_evicted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("busy.pcap");
    std::fs::write(&path, capture(&busy()).1).unwrap();
    for most in ["700", "1"] {
        let report = same_for_all(&["--max-attempts", most], &path);
        assert!(count(&report, "/verdicts/undetermined") > 1_000, "--max-attempts {most} evicts nothing");
    }
}

/// The records of a pcap file with times in microseconds, each with its time.
fn records(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (record, rest) = bytes.split_at(16 + word(bytes, 8) as usize);
        records.push((u64::from(word(record, 0)) * 1_000_000 + u64::from(word(record, 4)), record.to_vec()));
        bytes = rest;
    }
    records
}

/// True if a record is an RST|ACK with sequence number 0, or an ICMP error, over Ethernet.
fn refuses(record: &[u8]) -> bool {
    let (protocol, transport) = match record[16 + 12..16 + 14] {
        [8, 0] => (record[16 + 23], 16 + 34),
        _ => (record[16 + 20], 16 + 54),
    };
    protocol != 6 || record[transport + 13] == 0x14 && record[transport + 4..transport + 8] == [0; 4]
}

#[test]
fn when_refusals_are_captured_before_their_syn() {
    /// Largest disorder that is allowed; servers take less than a millisecond to refuse.
    const EARLY: u64 = 50_000;
    let (made, bytes) = capture(&Plan { attempts: 2_000, flood: 6_000, ..busy() });
    let (header, rest) = bytes.split_at(24);
    let mut records = records(rest);
    let mut moved = 0;
    for (at, record) in records.iter_mut().filter(|(_, record)| refuses(record)) {
        *at -= EARLY;
        record[..4].copy_from_slice(&((*at / 1_000_000) as u32).to_le_bytes());
        record[4..8].copy_from_slice(&((*at % 1_000_000) as u32).to_le_bytes());
        moved += 1;
    }
    records.sort_by_key(|&(at, _)| at);
    let refused = made.attempts_of(Verdict::Refused) + made.attempts_of(Verdict::Unreachable);
    assert_eq!(moved, refused);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("early.pcap");
    let records = records.into_iter().flat_map(|(_, record)| record);
    std::fs::write(&path, header.iter().copied().chain(records).collect::<Vec<u8>>()).unwrap();
    let report = same_for_all(&[], &path);
    assert_eq!(count(&report, "/packets/midstream"), 1, "the last packet belongs to no attempt");
    for verdict in Verdict::iter() {
        assert_eq!(count(&report, &format!("/verdicts/{verdict}")), made.attempts_of(verdict), "{verdict}");
    }
}
