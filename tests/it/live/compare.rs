//! A live capture compared with an earlier one: did the larger backlog help?

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::run::{Capture, Ended};
use crate::namespace::{in_namespace, listener, start_connect};

/// The reports of 40 clients that connect to a listener which accepts nothing.
fn burst(backlog: i32, arguments: &[&str], code: i32) -> Ended {
    let base = ["-i", "lo", "--no-bpf", "--netns", "self", "-Z", "root"];
    let capture = Capture::start(
        &base.into_iter().chain(arguments.iter().copied()).chain(["port", "7520"]).collect::<Vec<_>>(),
    );
    let victim = listener("127.0.0.1:7520", backlog);
    let clients: Vec<_> = (0..40).map(|_| start_connect(victim.local_addr().unwrap())).collect();
    // Two retries of a dropped SYN, after 1 and 3 s on any kernel.
    thread::sleep(Duration::from_millis(3_400));
    capture.signal(Signal::SIGTERM);
    let ended = capture.ends(code);
    drop(clients);
    ended
}

#[test]
fn a_larger_backlog_is_better_and_a_smaller_one_worse() {
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let names = ["small.json", "large.json"].map(|name| directory.path().join(name));
        let [small, large] = names.each_ref().map(|path| path.to_str().unwrap());
        burst(4, &["--format", "json", "-o", small], 0);
        let better =
            burst(100, &["--format", "json", "--baseline", small, "--fail-on", "worse", "-o", large], 0);
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(large).unwrap()).unwrap();
        assert_eq!(report["comparison"]["result"], "better", "{better}\n{:#}", report["comparison"]);
        let worse = burst(4, &["--baseline", large, "--fail-on", "worse"], 1);
        assert!(worse.stdout.contains("accept queue overflow is new"), "{worse}");
    });
}
