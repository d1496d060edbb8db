//! Packets of problem attempts, written at the end of a live capture.

use std::thread;
use std::time::Duration;

use super::run::Capture;
use crate::kernel::overflow_at_the_ack;
use crate::namespace::{in_namespace, listener};
use crate::util::{hsanalyze, list, report};

#[test]
fn problem_packets_are_written_when_the_capture_ends() {
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("problems.pcapng");
        let name = path.to_str().unwrap();
        let capture = Capture::start(&["-i", "lo", "--write", name, "port", "7511"]);
        let victim = listener("127.0.0.1:7511", 4);
        let clients = overflow_at_the_ack(&victim, 4, 3);
        thread::sleep(Duration::from_millis(3_500));
        let ended = capture.stop();
        assert!(ended.stdout.contains("127.0.0.1:7511  ACCEPT QUEUE OVERFLOWS"), "{ended}");
        let written = report([&path]);
        let attempts = list(&written, "attempts");
        assert_eq!(attempts.len(), 2, "{written:#}");
        assert!(attempts.iter().all(|attempt| attempt["verdict"] == "synack-retransmitted"), "{written:#}");
        drop(clients);
    });
}

#[test]
fn the_written_packets_and_the_saved_ones_need_files_of_their_own() {
    let arguments = ["-i", "lo", "-w", "/tmp/both.pcapng", "--write", "/tmp/both.pcapng"];
    let ran = hsanalyze(arguments).exit(2);
    assert!(ran.stderr.contains("-w and --write both name /tmp/both.pcapng"), "{ran}");
}
