//! `hsanalyze size`: its answers on bundled captures, and on bursts that a real kernel turned away in the lab.

use std::fmt::Write as _;
use std::time::Duration;

use fastrand::Rng;
use hsanalyze::lab::{AcceptPolicy, Replay, ReplayOutcome};
use hsanalyze::listener::size::{Answer, Load, Pace, Size, Unknown, size};
use hsanalyze::race::Packets;
use serde_json::Value;

use crate::lab::lab_is_possible;
use crate::schema::Schema;
use crate::util::hsanalyze;

const MIXED: &str = "fixtures/captures/overflow_mixed-server.pcap";
const BURST: &str = "fixtures/size/burst.pcapng";

/// A burst of clients at an application that accepts evenly.
struct Burst {
    starts: Vec<Duration>,
    per_second: u32,
    backlog: u32,
}

impl Burst {
    /// A burst like those of DOMAIN §9, more clients than the queue holds.
    fn random(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (count, length) = (rng.usize(90..150), rng.f64() * 0.35 + 0.1);
        let mut starts: Vec<Duration> =
            (0..count).map(|_| Duration::from_secs_f64(rng.f64() * length)).collect();
        starts.sort_unstable();
        Self { starts, per_second: rng.u32(45..140), backlog: rng.u32(8..33) }
    }

    fn replay(&self, backlog: u32) -> ReplayOutcome {
        let replay = Replay {
            starts: self.starts.clone(),
            backlog,
            accept: AcceptPolicy::Batches(1, Duration::from_secs(1) / self.per_second),
            patience: Duration::from_secs(6),
            ..one_worker(Vec::new(), 0, AcceptPolicy::Never)
        };
        replay.run().unwrap()
    }
}

fn size_of(outcome: &ReplayOutcome) -> Size {
    let packets = Packets::of(outcome.trace.server.clone()).unwrap();
    let attempts: Vec<_> = packets.attempts().into_iter().cloned().collect();
    size(&Load::of(&attempts, None))
}

/// The smallest backlog that replays without an overflow, from one that did to one that did not.
fn smallest_clean(burst: &Burst, mut over: u32, mut clean: u32) -> u32 {
    while clean - over > 1 {
        let middle = over + (clean - over) / 2;
        if burst.replay(middle).overflows == 0 { clean = middle } else { over = middle }
    }
    clean
}

/// Clients evenly apart.
fn evenly(count: u32, apart: Duration) -> Vec<Duration> {
    (0..count).map(|n| apart * n).collect()
}

/// Replay with a single worker that accepts from a single socket.
fn one_worker(starts: Vec<Duration>, backlog: u32, accept: AcceptPolicy) -> Replay {
    Replay {
        starts,
        backlog,
        accept,
        workers: 1,
        other_sockets: 0,
        round_trip: Duration::from_millis(1),
        abort: false,
        patience: Duration::from_secs(4),
    }
}

fn replay(starts: Vec<Duration>, backlog: u32, accept: AcceptPolicy) -> Size {
    size_of(&one_worker(starts, backlog, accept).run().unwrap())
}

#[test]
fn a_stopped_server_is_told_in_one_line() {
    let ran = hsanalyze(["size", MIXED]).succeed();
    let headline = ran.text().lines().next().unwrap();
    let answer = "nothing was accepted in these 40 s: no backlog helps";
    assert_eq!(headline, format!("10.9.0.2:7777  {answer}"));
    let report = hsanalyze([MIXED]).succeed();
    assert!(report.text().contains(&format!("  size     {answer}\n")), "{report}");
    let document = hsanalyze([MIXED, "--format=json"]).succeed().json();
    assert_eq!(document["listeners"][0]["size"]["answer"], "nothing-accepted");
}

/// Seed 9 of the table in docs/SIZE.md: 126 clients in 0.28 s, 69 accepts a second, a backlog of 14; 106 is the smallest that
/// replays clean.
#[test]
fn a_burst_gets_the_backlog_that_the_kernel_needed() {
    let document = hsanalyze(["size", BURST, "--format=json"]).succeed().json();
    Schema::default().assert_valid("size_document", &document);
    let size = &document["size"];
    assert_eq!((&size["answer"], &size["limit"]["value"]), (&"backlog".into(), &14.into()));
    let backlog = size["backlog"].as_u64().unwrap();
    assert!((106..=112).contains(&backlog), "{backlog}");
    let rate = size["accepts"]["per_second"].as_f64().unwrap();
    assert!((64.0..74.0).contains(&rate), "{rate}");
    // Some silent clients got a repeat and others that were silent for as long did not: the listener does not defer, so
    // the report is sure of the overflow, and gives the size.
    let report = hsanalyze([BURST, "--format=json"]).succeed().json();
    let listener = &report["listeners"][0];
    assert_eq!(listener["confidence"], "likely");
    assert_eq!(listener["size"]["backlog"], size["backlog"]);
}

#[test]
fn every_form_is_valid() {
    let mut schema = Schema::default();
    for arguments in [&["size", MIXED][..], &["size", MIXED, "--accept-rate=50", "--backlog=64,128"]] {
        let json = hsanalyze(arguments.iter().chain(&["--format=json"])).succeed();
        let document: Value = serde_json::from_str(json.text()).unwrap();
        schema.assert_valid("size_document", &document);
    }
    let csv = hsanalyze(["size", MIXED, "--accept-rate=50", "--backlog=64", "--format=csv"]).succeed();
    assert!(csv.text().starts_with("backlog,is_limit,is_answer,overflows,"));
    assert_eq!(csv.text().lines().count(), 3, "{}", csv.text());
}

#[test]
fn a_drawing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("load.svg");
    hsanalyze(["size", MIXED, "--accept-rate=50", "-o", path.to_str().unwrap()]).succeed();
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("<svg"));
}

#[test]
fn a_server_that_is_not_there_is_named_with_those_that_are() {
    let ran = hsanalyze(["size", MIXED, "--server=10.9.0.2:80"]).exit(2);
    assert!(ran.stderr.contains("the servers in them: 10.9.0.2:7777"), "{ran}");
}

#[test]
fn a_replay_stands_beside_the_prediction() {
    if !lab_is_possible("a_replay_stands_beside_the_prediction") {
        return;
    }
    let arguments = ["size", MIXED, "--limit=8", "--accept-rate=40", "--replay", "--format=json"];
    let document = hsanalyze(arguments).succeed().json();
    Schema::default().assert_valid("size_document", &document);
    let rows = document["candidates"].as_array().unwrap();
    let replayed = |role: &str| {
        let row = rows.iter().find(|row| row[role] == true).unwrap();
        (row["overflows"].as_u64().unwrap(), row["replay"]["overflows"].as_u64().unwrap())
    };
    let ((before, real), (after, held)) = (replayed("is_limit"), replayed("is_answer"));
    assert!(before > 20 && real > 20, "{before} predicted, {real} counted");
    // Of a machine that is busy with other tests, no more is asked.
    assert!(after == 0 && held < real / 4, "{held} of {real}");
}

#[test]
fn four_troubles_get_four_answers() {
    if !lab_is_possible("four_troubles_get_four_answers") {
        return;
    }
    // Nobody accepts.
    let stopped = replay(evenly(40, Duration::from_millis(5)), 8, AcceptPolicy::Never);
    assert!(matches!(stopped.answer, Answer::NothingAccepted { .. }), "{stopped:?}");
    // 220 clients a second, for 5 s; 200 are accepted.
    let steady = evenly(1_100, Duration::from_micros(4_545));
    let slow = replay(steady, 16, AcceptPolicy::Batches(1, Duration::from_millis(5)));
    assert!(matches!(slow.answer, Answer::Outrun { .. }), "{slow:?}");
    // Accepted at once, but for the first 0.4 s.
    let early = evenly(100, Duration::from_millis(5));
    let paused = replay(early, 16, AcceptPolicy::After(Duration::from_millis(400)));
    let more = match paused.answer {
        Answer::MoreThanLimit { more } => more + 16,
        Answer::Backlog { backlog, .. } => backlog,
        _ => panic!("{paused:?}"),
    };
    assert!((70..=100).contains(&more), "80 came meanwhile: {paused:?}");
    // 120 clients at once; 100 a second are accepted.
    let burst = evenly(120, Duration::from_millis(2));
    let held = replay(burst, 16, AcceptPolicy::Batches(1, Duration::from_millis(10)));
    let Answer::Backlog { backlog, .. } = held.answer else { panic!("{held:?}") };
    assert!((80..=115).contains(&backlog), "{held:?}");
}

#[test]
fn applications_that_do_not_accept_evenly_are_named() {
    if !lab_is_possible("applications_that_do_not_accept_evenly_are_named") {
        return;
    }
    let steady = |seconds: u32| evenly(300 * seconds, Duration::from_micros(3_333));
    // 25 in a row, four times a second.
    let batches = replay(steady(1), 32, AcceptPolicy::Batches(25, Duration::from_millis(250)));
    let pace = batches.accepts.unwrap().pace;
    assert!(matches!(pace, Pace::InBursts { pause } if pause.as_secs_f64() > 0.1), "{batches:?}");
    // 200 a second at first, then 50.
    let (first, then) = (Duration::from_millis(5), Duration::from_millis(20));
    let tired = AcceptPolicy::Changing { first, after: Duration::from_millis(1_000), then };
    let tired = replay(steady(2), 16, tired);
    let pace = tired.accepts.unwrap().pace;
    assert!(matches!(pace, Pace::Changing { first, second } if first > 1.5 * second), "{tired:?}");
    // Four workers at 25 a second are one at 100.
    let burst = evenly(120, Duration::from_millis(2));
    let every = AcceptPolicy::Batches(1, Duration::from_millis(40));
    let four = Replay { workers: 4, ..one_worker(burst, 16, every) };
    let four = size_of(&four.run().unwrap());
    assert!(
        matches!(four.answer, Answer::Backlog { backlog, .. } if (75..=120).contains(&backlog)),
        "{four:?}"
    );
    // Four sockets on one port; nobody accepts from one of them.
    let one = Replay { other_sockets: 3, ..one_worker(steady(2), 8, AcceptPolicy::Never) };
    let one = size_of(&one.run().unwrap());
    assert_eq!(one.answer, Answer::Unknown(Unknown::OneOfSeveralSockets), "{one:?}");
}

/// The experiment behind the table in docs/SIZE.md: `SEEDS=30 cargo test --test it thirty_bursts -- --ignored --nocapture`.
#[test]
#[ignore = "takes ten minutes, and a machine with nothing else to do"]
fn thirty_bursts() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(30);
    let (mut given, mut clean, mut small, mut close) = (0, 0, 0, 0);
    for seed in 1..=seeds {
        let burst = Burst::random(seed);
        let first = burst.replay(burst.backlog);
        let found = size_of(&first);
        let mut row = format!(
            "| {seed} | {} in {:.2} s | {} | {} | {} |",
            burst.starts.len(),
            burst.starts.last().unwrap().as_secs_f64(),
            burst.per_second,
            burst.backlog,
            first.overflows
        );
        let rate =
            found.accepts.map_or_else(|| "-".to_owned(), |accepts| format!("{:.1}", accepts.per_second));
        let Answer::Backlog { backlog, .. } = found.answer else {
            println!("{row} {rate} | {:?} | | | |", found.answer);
            continue;
        };
        given += 1;
        let with = burst.replay(backlog).overflows;
        let less = burst.replay(backlog * 8 / 10).overflows;
        let least = smallest_clean(&burst, burst.backlog, backlog.max(burst.starts.len() as u32));
        clean += u32::from(with == 0);
        small += u32::from(less > 0);
        close += u32::from(
            f64::from(backlog) <= f64::from(least) * 1.15 && f64::from(backlog) >= f64::from(least) * 0.85,
        );
        write!(row, " {rate} | {backlog} | {with} | {less} | {least} |").unwrap();
        println!("{row}");
    }
    println!(
        "given {given}, clean {clean}, too small at 80 % {small}, within 15 % of the smallest {close}, of {seeds}"
    );
}
