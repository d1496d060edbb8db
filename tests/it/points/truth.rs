//! The lab's recordings of both ends, whose path knows every segment that it lost, delayed or doubled: the truth that joined
//! verdicts are held against.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use hsanalyze::capture::Recording;
use hsanalyze::lab::{
    AcceptPolicy, LabClients, PathFate, PathFault, PathSegment, Setup, Trace, TreatedSegment,
};
use hsanalyze::packet::Timestamp;
use hsanalyze::race::{Probe, WaitMode};
use serde_json::Value;

use crate::util::{lab_is_possible, list, report};

/// Drift of the second clock: 100 µs a second.
const DRIFT: i64 = 100_000;

/// Longer than the timers of SYN and SYN-ACK.
const VERY_LATE: Duration = Duration::from_millis(1_200);

fn clients(count: usize) -> LabClients {
    LabClients {
        count,
        mode: WaitMode::Blocking,
        timeout: Duration::from_secs(5),
        send: 0,
        // A lost segment is repeated after a second.
        watch: Duration::from_millis(1_600),
        probe: Probe::Send,
    }
}

/// Writes a recording as a pcap file with nanoseconds, by a clock that is so many seconds ahead and drifts by so much.
fn write(path: &Path, recording: &Recording, ahead: i64, drift: i64) {
    let mut bytes: Vec<u8> =
        [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 101].map(u32::to_le_bytes).concat();
    let mut begin: Option<Timestamp> = None;
    for frame in recording.frames() {
        let since = frame.at.since(*begin.get_or_insert(frame.at)).as_nanos();
        let gained = i128::from(since) * i128::from(drift) / 1_000_000_000;
        let at = frame.at.as_nanos() + ahead * 1_000_000_000 + i64::try_from(gained).unwrap();
        let (seconds, nanos) = (at / 1_000_000_000, at % 1_000_000_000);
        let length = frame.data.len() as u32;
        bytes.extend([seconds as u32, nanos as u32, length, length].map(u32::to_le_bytes).concat());
        bytes.extend(frame.data);
    }
    std::fs::write(path, bytes).unwrap();
}

/// The joined attempts by the client's port, with the server's clock so many seconds ahead.
fn joined(trace: &Trace, ahead: i64, reversed: bool) -> BTreeMap<u16, Value> {
    let directory = tempfile::tempdir().unwrap();
    let mut files = ["client.pcap", "server.pcap"].map(|name| directory.path().join(name));
    write(&files[0], &trace.client, 0, 0);
    write(&files[1], &trace.server, ahead, if ahead == 0 { 0 } else { DRIFT });
    if reversed {
        files.reverse();
    }
    let report = report(files);
    let attempts = list(&report, "attempts");
    let by_port: BTreeMap<u16, Value> = attempts
        .iter()
        .map(|attempt| (attempt["client_port"].as_u64().unwrap() as u16, attempt.clone()))
        .collect();
    assert_eq!(by_port.len(), attempts.len(), "each client's attempt once");
    by_port
}

/// Holds every attempt against what the path did to its segments.
fn hold_against(trace: &Trace, count: usize, healthy: &str) {
    for (ahead, reversed) in [(0, false), (3, true), (-86_400, false), (86_400, true)] {
        let attempts = joined(trace, ahead, reversed);
        assert_eq!(attempts.len(), count, "{ahead} s ahead");
        for (port, attempt) in &attempts {
            let of_port = |treated: &&TreatedSegment| treated.client_port == *port;
            let treated = trace.treated.iter().find(of_port);
            let expected = match treated.map(|treated| (treated.fate, treated.segment)) {
                Some((PathFate::Lost, PathSegment::Syn)) => ("completed-late", Some("syn-lost")),
                Some((PathFate::Lost, PathSegment::SynAck)) => ("completed-late", Some("synack-lost")),
                Some((PathFate::Lost, PathSegment::Ack)) => ("synack-retransmitted", Some("ack-lost")),
                Some((PathFate::Delayed(VERY_LATE), PathSegment::SynAck)) => ("completed-late", None),
                Some((PathFate::Delayed(_) | PathFate::Doubled, _)) | None => (healthy, None),
            };
            let judged = (attempt["verdict"].as_str().unwrap(), attempt["cause"].as_str());
            let is_lost = judged.1.is_some_and(|cause| cause.ends_with("-lost"));
            match expected {
                (_, Some(_)) => assert_eq!(judged, expected, "{ahead} s ahead: {treated:?}: {attempt}"),
                (verdict, None) => {
                    assert!(judged.0 == verdict && !is_lost, "{ahead} s ahead: {treated:?}: {attempt}");
                }
            }
        }
    }
}

fn fault(segment: PathSegment, handshake: u64, fate: PathFate) -> PathFault {
    PathFault { segment, handshake, fate }
}

#[test]
fn joined_verdicts_are_what_the_path_did() {
    if !lab_is_possible("joined_verdicts_are_what_the_path_did") {
        return;
    }
    let faults = [PathSegment::Syn, PathSegment::SynAck, PathSegment::Ack].into_iter().zip([4, 8, 12]);
    let faults = faults.flat_map(|(segment, after)| {
        let late = PathFate::Delayed(Duration::from_millis(150));
        [(1, PathFate::Lost), (2, late), (3, PathFate::Doubled)]
            .map(|(number, fate)| fault(segment, after + number, fate))
    });
    // Later than the first repeat: server and client have missed these, and nothing is lost.
    let very_late = [(PathSegment::Ack, 17), (PathSegment::SynAck, 18)]
        .map(|(segment, handshake)| fault(segment, handshake, PathFate::Delayed(VERY_LATE)));
    let setup = Setup {
        backlog: 64,
        round_trip: Duration::from_millis(10),
        faults: faults.chain(very_late).collect(),
        ..Setup::default()
    };
    // A full queue beside losses: what the server ignored was not lost.
    let full = Setup {
        backlog: 8,
        round_trip: Duration::from_millis(10),
        faults: vec![PathFault::lost_ack(12)],
        ..Setup::default()
    };
    let run = |setup: &Setup, count: usize, accepts: bool| {
        let (_, trace) = setup
            .run(|experiment| {
                if accepts {
                    experiment.serve(AcceptPolicy::After(Duration::ZERO))?;
                    // Both ends have captured for a while before anything is lost.
                    let first =
                        experiment.start(LabClients { watch: Duration::from_millis(50), ..clients(2) })?;
                    experiment.collect(first)?;
                } else {
                    experiment.fill(8)?;
                }
                let running = experiment.start_together(clients(count))?;
                experiment.collect(running)?;
                std::thread::sleep(Duration::from_millis(300));
                Ok(())
            })
            .unwrap();
        trace
    };
    std::thread::scope(|scope| {
        let healthy = scope.spawn(|| run(&setup, 20, true));
        let full = scope.spawn(|| run(&full, 6, false));
        let trace = healthy.join().unwrap();
        assert_eq!(trace.treated.len(), 11, "{:?}", trace.treated);
        hold_against(&trace, 22, "completed");
        let trace = full.join().unwrap();
        assert_eq!(trace.treated.len(), 1, "{:?}", trace.treated);
        let attempts = joined(&trace, 3, false);
        for attempt in attempts.values() {
            let lost = attempt["cause"].as_str().is_some_and(|cause| cause.ends_with("-lost"));
            assert!(!lost, "the queue was full for all of them: {attempt}");
        }
    });
}
