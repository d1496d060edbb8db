//! The lab: real overflows in namespaces of its own, every verdict held against the kernel's counters.

use std::fs;
use std::io::{self, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use hsanalyze::lab::Namespace;
use serde_json::Value;

use crate::util::{Run, hsanalyze};

/// Whether the lab can be had here. Where not, says so loudly; CI sets HSANALYZE_REQUIRE_ROOT, under which
/// that is a failure.
fn lab_is_possible(test: &str) -> bool {
    let tried = thread::spawn(|| Namespace::enter().map(|_| ())).join().unwrap();
    let device = fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    let missing = match (tried, device) {
        (Ok(()), Ok(_)) => return true,
        (Err(error), _) => error.to_string(),
        (_, Err(error)) => format!("/dev/net/tun: {error}"),
    };
    assert!(std::env::var_os("HSANALYZE_REQUIRE_ROOT").is_none(), "{missing}");
    // Not by eprintln!, which the test harness keeps to itself when a test passes.
    let _ = writeln!(io::stderr(), "SKIPPED: {test}: {missing}");
    false
}

fn lab(arguments: &str) -> Run {
    hsanalyze(std::iter::once("lab").chain(arguments.split_whitespace()))
}

/// The rows that disagree, with the counters beside them.
fn agrees(document: &Value) {
    for scenario in document["scenarios"].as_array().unwrap() {
        let rows = scenario["rows"].as_array().unwrap();
        assert!(!rows.is_empty(), "{scenario}");
        let differ: Vec<_> = rows.iter().filter(|row| row["agree"] != true).collect();
        assert!(
            differ.is_empty(),
            "{}: {differ:#?}\ncounters: {:#}",
            scenario["scenario"],
            scenario["counters"]
        );
    }
}

fn row<'a>(document: &'a Value, subject: &str) -> &'a str {
    let rows = document["scenarios"][0]["rows"].as_array().unwrap();
    let found = rows.iter().find(|row| row["subject"] == subject);
    found.unwrap_or_else(|| panic!("no row {subject:?} in {rows:#?}"))["kernel"].as_str().unwrap()
}

#[test]
fn queues_fill_to_one_past_their_limit() {
    if lab_is_possible("queues_fill_to_one_past_their_limit") {
        let document = lab("queue --format json").succeed().json();
        agrees(&document);
        assert_eq!(row(&document, "Recv-Q/Send-Q when one more came, listen(64)"), "17/16");
    }
}

#[test]
fn every_reset_connect_is_reported_and_counted_over_either_protocol() {
    if lab_is_possible("every_reset_connect_is_reported_and_counted_over_either_protocol") {
        for arguments in
            ["reset --clients 64 --rtt 2 --format json", "reset --ipv6 --clients 64 --format json"]
        {
            let document = lab(arguments).succeed().json();
            agrees(&document);
            assert_eq!(row(&document, "connect() succeeded, next call failed, 0 octets sent"), "63");
            assert_eq!(document["scenarios"][0]["counters"]["0 octets sent at once"]["ListenOverflows"], 63);
        }
    }
}

#[test]
fn scenarios_that_wait_for_timers_agree_side_by_side() {
    if lab_is_possible("scenarios_that_wait_for_timers_agree_side_by_side") {
        let scenarios =
            ["drop --synack-retries 1", "cookies", "ack-loss", "recover", "defer-accept", "syn-drop"];
        thread::scope(|scope| {
            for scenario in scenarios {
                scope.spawn(move || agrees(&lab(&format!("{scenario} --format json")).succeed().json()));
            }
        });
    }
}

#[test]
fn the_offline_analysis_of_the_packets_gives_what_the_lab_saw() {
    if !lab_is_possible("the_offline_analysis_of_the_packets_gives_what_the_lab_saw") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lab.pcapng");
    let name = path.to_str().unwrap();
    let arguments =
        format!("--backlog 32 --clients 16 --abort 1 --watch 0.5 --rtt 4 --format json -w {name}");
    let document = lab(&arguments).succeed().json();
    agrees(&document);
    let overflows = document["scenarios"][0]["counters"]["all"]["ListenOverflows"].as_u64().unwrap();
    assert_eq!(overflows, 15);
    // Both capture points are in one file, so that every packet is there twice, half a round trip apart.
    let report = hsanalyze(["--format", "json", name]).succeed().json();
    assert_eq!(report["captures"][0]["format"], "pcapng");
    assert_eq!(report["captures"][0]["damaged"], Value::Null);
    assert_eq!(report["verdicts"]["reset-after-ack"], overflows, "{:#}", report["verdicts"]);
    assert_eq!(report["listeners"][0]["abort_on_overflow"], 1);
}

#[test]
fn killed_in_the_middle_it_leaves_no_process_and_no_namespace() {
    if !lab_is_possible("killed_in_the_middle_it_leaves_no_process_and_no_namespace") {
        return;
    }
    let mut child = lab("drop").command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let inside = wait_for(|| foreign_namespace(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    // A namespace lives as long as a thread in it; none may be left anywhere.
    let holders: Vec<_> = processes().filter(|&pid| namespaces(pid).any(|inode| inode == inside)).collect();
    assert!(holders.is_empty(), "namespace {inside} is still held by {holders:?}");
}

#[test]
fn wrong_settings_are_refused_before_anything_is_touched() {
    for (arguments, message) in [
        ("--rtt 5000", "not within 0 to 900 ms"),
        ("--clients 1", "1 is not in 2..=1000"),
        ("drop --abort 1", "cannot be used with"),
        ("nonsense", "possible values: queue, drop, reset, race"),
    ] {
        let ran = lab(arguments).exit(2);
        assert!(ran.stderr.contains(message), "{ran}");
    }
}

/// The network namespace of a thread of `pid` that is not the main thread's.
fn foreign_namespace(pid: u32) -> Option<u64> {
    let home = namespace(&format!("/proc/{pid}/ns/net"))?;
    namespaces(pid).find(|&inode| inode != home)
}

fn namespaces(pid: u32) -> impl Iterator<Item = u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| namespace(&format!("{}/ns/net", task.path().display())))
}

fn namespace(path: &str) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    Some(fs::metadata(path).ok()?.ino())
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "waited 10 s in vain");
        thread::sleep(Duration::from_millis(5));
    }
}
