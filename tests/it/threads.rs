//! The results are the same, byte for byte, whatever the number of threads.

use std::ffi::OsStr;
use std::path::Path;

use crate::generated::traffic::Plan;
use crate::generated::{capture, plan};
use crate::util::{captures, count, hsanalyze};

/// What a run with so many threads prints.
fn output(threads: usize, format: &str, extra: &[&str], path: &Path) -> Vec<u8> {
    let threads = threads.to_string();
    let mut args = vec!["--threads", &threads, "--format", format];
    args.extend(extra);
    let args = args.into_iter().map(OsStr::new).chain([path.as_os_str()]);
    hsanalyze(args).succeed().stdout
}

/// Compares the machine-readable formats of two to five threads with those of one; gives the JSON.
#[track_caller]
fn same_for_all(extra: &[&str], path: &Path) -> serde_json::Value {
    for format in ["ndjson", "csv", "json"] {
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
