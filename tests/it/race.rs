//! The race: real connects on the loopback of a namespace, joined to their packets.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use hsanalyze::handshake::Verdict;
use hsanalyze::kernel::Counter;
use hsanalyze::lab::{EndView, PORT, PathAddresses, Setup, Trace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::namespace::in_namespace;
use crate::schema::Schema;
use crate::util::{hsanalyze, public_copy, require_tools, wait_until_handled};

/// Runs the program in the calling thread's namespace, as its child.
fn race(target: SocketAddr, arguments: &str) -> Value {
    let target = target.to_string();
    let mut all = vec!["race", &target, "--format", "json"];
    all.extend(arguments.split_whitespace());
    let document = hsanalyze(all).succeed().json();
    Schema::default().assert_valid("race", &document);
    document
}

fn count(document: &Value, key: &str, value: impl Into<Value>) -> usize {
    let value = value.into();
    document["connects"].as_array().unwrap().iter().filter(|connect| connect[key] == value).count()
}

#[test]
fn every_connect_is_joined_to_its_packets() {
    in_namespace(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for arguments in ["-c 20 -P 8 --watch 0.1", "-c 20 -P 8 --watch 0.1 --non-blocking --send 3"] {
            let document = race(listener.local_addr().unwrap(), arguments);
            assert_eq!(document["missing"], Value::Null, "{document:#}");
            assert_eq!(document["results"]["alive"], 20, "{document:#}");
            assert_eq!(count(&document, "verdict", "completed"), 20, "{document:#}");
            for connect in document["connects"].as_array().unwrap() {
                let wake_up = connect["wake_up"].as_f64().unwrap();
                assert!((0.0..=connect["latency"].as_f64().unwrap()).contains(&wake_up), "{connect:#}");
            }
        }
    });
}

#[test]
fn refused_and_unanswered_connects_fail_with_their_errno() {
    in_namespace(|| {
        // A queue holds one connection more than its limit; nobody accepts.
        let listener = crate::namespace::listener("127.0.0.1:0", 1);
        let target = listener.local_addr().unwrap();
        let document = race(target, "-c 6 -P 1 --watch 0 --timeout 0.3");
        assert_eq!(count(&document, "errno", Value::Null), 2, "{document:#}");
        assert_eq!(count(&document, "errno", "ETIMEDOUT"), 4, "{document:#}");
        // The server runs on this machine: its kernel's count explains the silence.
        for (key, value) in [("verdict", "unanswered"), ("cause", "accept-queue-overflow")] {
            assert_eq!(count(&document, key, value), 4, "{document:#}");
        }
        assert_eq!(count(&document, "confidence", "confirmed"), 4, "{document:#}");
        drop(listener);
        let document = race(target, "-c 4");
        assert_eq!(count(&document, "errno", "ECONNREFUSED"), 4, "{document:#}");
        assert_eq!(count(&document, "verdict", "refused"), 4, "{document:#}");
    });
}

/// 64 connects to a listener with room for one, across a round trip that even a busy machine takes no longer than to
/// wake a thread.
fn overflow(setup: Setup, arguments: &str) -> (Value, Trace) {
    Setup { backlog: 128, round_trip: Duration::from_millis(50), ..setup }
        .run(|experiment| {
            experiment.fill(128)?;
            experiment.path().gather_syns(64).unwrap();
            let target = SocketAddr::new(PathAddresses::V4.far, PORT);
            // The child inherits the namespace of this thread.
            Ok(race(target, &format!("-c 64 -P 64 {arguments}")))
        })
        .unwrap()
}

#[test]
fn connects_that_lied_and_were_reset_are_found_dead() {
    in_namespace(|| {
        let (document, trace) = overflow(Setup { abort: true, ..Setup::default() }, "--watch 0.5");
        assert_eq!(trace.counters.get(Counter::ListenOverflows), Some(63));
        assert_eq!(count(&document, "verdict", "reset-after-ack"), 63, "{document:#}");
        // A busy machine may wake a connect() after the RST: that one failed at once.
        let at_once = count(&document, "errno", "ECONNRESET");
        assert!(at_once < 32, "{document:#}");
        assert_eq!(count(&document, "result", "dead-reset") + at_once, 63, "{document:#}");
        assert_eq!(count(&document, "next_errno", "ECONNRESET") + at_once, 63, "{document:#}");
        for connect in document["connects"].as_array().unwrap() {
            // The reset of a dead one comes after connect() has returned, and not much later.
            if connect["result"] == "dead-reset" {
                let margin = connect["margin"].as_f64().unwrap();
                assert!((-0.1..0.1).contains(&margin), "{connect:#}");
            }
        }
    });
}

#[test]
fn connects_that_lied_and_are_ignored_are_found_dead() {
    in_namespace(|| {
        let (document, trace) = overflow(Setup::default(), "--watch 1.5 --non-blocking");
        let server = EndView::of(&trace.server).unwrap();
        let attempts = server.packets.attempts();
        let ignored = attempts.iter().filter(|attempt| attempt.verdict == Verdict::SynackRetransmitted);
        // All that their clients sent but SYNs: the ACK, its repeats in answer to those of the SYN-ACK, and FINs.
        let segments =
            ignored.map(|attempt| attempt.packets - 2 - attempt.retries.syn - attempt.retries.syn_ack);
        let segments: u64 = segments.map(u64::from).sum();
        assert_eq!(trace.counters.get(Counter::ListenOverflows), Some(segments));
        assert!(segments >= 2 * 63, "the ACK and its repeat after 1 s at least: {segments}");
        assert_eq!(document["results"]["dead-ignored"], 63, "{document:#}");
        assert_eq!(count(&document, "verdict", "synack-retransmitted"), 63, "{document:#}");
    });
}

/// SYN cookies and a full queue: nothing is repeated, nothing reset (docs/DOMAIN.md §2 D).
#[test]
fn connects_without_a_packet_are_not_called_alive() {
    in_namespace(|| {
        let (document, _) = overflow(Setup { syncookies: 2, ..Setup::default() }, "--watch 0.5");
        assert_eq!(count(&document, "errno", Value::Null), 64, "{document:#}");
        assert_eq!(document["results"]["alive"], 1, "{document:#}");
        let unproven = count(&document, "result", "unproven");
        // A FIN that was retransmitted twice shows it.
        assert_eq!(unproven + count(&document, "result", "dead-ignored"), 63, "{document:#}");
    });
}

#[test]
fn without_packets_only_what_the_server_sends_shows_that_a_connection_is_alive() {
    if !require_tools(&["setpriv"]) {
        return;
    }
    in_namespace(|| {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let target = silent.local_addr().unwrap().to_string();
        let (_directory, program) = public_copy();
        let mut setpriv = Command::new("setpriv");
        setpriv.current_dir("/").args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        setpriv.args([
            "race",
            &target,
            "-c",
            "3",
            "--watch",
            "0.1",
            "--format",
            "json",
            "--fail-on",
            "unproven",
        ]);
        let output = setpriv.output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(document["missing"].is_string(), "{document:#}");
        assert_eq!((output.status.code(), &document["results"]["unproven"]), (Some(1), &3.into()));
    });
}

#[test]
fn interrupted_it_reports_what_was_done() {
    in_namespace(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let run = hsanalyze(["race", &target, "-c", "1000", "--interval", "0.05", "--watch", "0"]);
        let mut child = run.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The announcement comes before signals are caught; a busy machine takes a while in between.
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("making 1,000 blocking connects"), "{said}");
        wait_until_handled(&child, Signal::SIGINT);
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("; stopped after "), "{}: {text}", output.status);
    });
}

#[test]
fn an_interrupted_race_names_what_it_waits_for() {
    in_namespace(|| {
        // A queue that is full: nobody answers.
        let listener = crate::namespace::listener("127.0.0.1:0", 0);
        let target = listener.local_addr().unwrap();
        let _waiting = TcpStream::connect(target).unwrap();
        let run = hsanalyze(["race", &target.to_string(), "-c", "1", "--timeout", "30", "--watch", "2"]);
        let mut child = run.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains("making 1 blocking connect from"));
        wait_until_handled(&child, Signal::SIGINT);
        // The connect begins right after that.
        std::thread::sleep(Duration::from_millis(300));
        let pid = Pid::from_raw(child.id().cast_signed());
        kill(pid, Signal::SIGINT).unwrap();
        let said = lines.next().unwrap().unwrap();
        assert!(said.contains("are waited for, 32s at most"), "{said}");
        kill(pid, Signal::SIGINT).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGINT as i32));
    });
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for (arguments, message) in [
        (["race", "localhost"], "expected HOST:PORT"),
        (["race", "localhost:0"], "expected HOST:PORT"),
        (["race", ":80"], "expected HOST:PORT"),
    ] {
        let ran = hsanalyze(arguments).exit(2);
        assert!(ran.stderr.contains(message), "{ran}");
    }
    let ran = hsanalyze(["race", "localhost:80", "-P", "1001"]).exit(2);
    assert!(ran.stderr.contains("from 1 to 1000 is needed"), "{ran}");
    let ran = hsanalyze(["race", "localhost:80", "--timeout", "0"]).exit(2);
    assert!(ran.stderr.contains("0 s is not within 0.001 to 86400 s"), "{ran}");
}
