//! `--follow`: a capture file that is read while it grows.

use std::fs::{self, File};
use std::io::Write;
use std::thread;
use std::time::Duration;

use super::run::{Capture, PROGRAM, command};
use crate::namespace::wait_up_to;
use crate::util::{capture, hsanalyze, report};

/// Starts the program on a file that grows.
fn follow(path: &std::path::Path, arguments: &[&str]) -> Capture {
    let mut program = command(PROGRAM);
    program.arg("--follow").arg(path).args(arguments);
    Capture::begin_with(program, "following")
}

#[test]
fn a_file_is_analysed_as_it_grows_and_the_same_in_the_end() {
    let whole = fs::read(capture("overflow_mixed-server")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("grows.pcap");
    let mut file = File::create(&path).unwrap();
    // Not even a file header yet.
    file.write_all(&whole[..10]).unwrap();
    let writer = thread::spawn(move || {
        // Ends of records and of pieces do not coincide.
        for piece in whole[10..].chunks(7_001) {
            thread::sleep(Duration::from_millis(100));
            file.write_all(piece).unwrap();
        }
    });
    let running = follow(&path, &["--format", "ndjson"]);
    writer.join().unwrap();
    let packets = report([capture("overflow_mixed-server")])["packets"]["total"].clone();
    wait_up_to(Duration::from_secs(20), "an episode begins", || running.stdout().contains("\"begun\""));
    thread::sleep(Duration::from_secs(1));
    let ended = running.stop();
    let summary = &ended.objects("summary")[0];
    assert_eq!(summary["packets"]["total"], packets, "{ended}");
    let listener = &ended.objects("listener")[0];
    assert_eq!(listener["cause"], "accept-queue-overflow", "{ended}");
    assert_eq!(listener["verdicts"]["unanswered"], 47, "{ended}");
}

#[test]
fn a_file_that_is_replaced_or_cut_ends_with_the_reason() {
    let whole = fs::read(capture("overflow_mixed-server")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("grows.pcap");
    fs::write(&path, &whole).unwrap();
    let running = follow(&path, &[]);
    thread::sleep(Duration::from_millis(1_500));
    fs::write(directory.path().join("next"), &whole).unwrap();
    fs::rename(directory.path().join("next"), &path).unwrap();
    let ended = running.ends(2);
    assert!(ended.stderr.contains("another file took its place while it was followed"), "{ended}");
    let running = follow(&path, &[]);
    thread::sleep(Duration::from_millis(1_500));
    File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    let ended = running.ends(2);
    assert!(ended.stderr.contains("it was cut while it was followed"), "{ended}");
}

#[test]
fn what_cannot_be_followed_is_an_error() {
    for (file, message) in [
        ("/nonexistent.pcap", "not found"),
        ("/dev/null", "is no regular file"),
        (env!("CARGO_BIN_EXE_hsanalyze"), "an ELF executable"),
    ] {
        let ran = hsanalyze(["--follow", file]).exit(2);
        assert!(ran.stderr.contains(message), "{ran}");
    }
}

#[test]
fn a_live_run_lists_the_attempts_of_these_causes() {
    let path = capture("overflow_mixed-server");
    let chosen = follow(&path, &["--format", "ndjson", "--cause", "accept-queue-overflow"]);
    wait_up_to(Duration::from_secs(20), "an episode begins", || chosen.stdout().contains("\"begun\""));
    let ended = chosen.stop();
    let listed = [ended.objects("attempt"), ended.objects("provisional")].concat();
    assert!(listed.len() > 40, "{ended}");
    assert!(listed.iter().all(|attempt| attempt["cause"] == "accept-queue-overflow"), "{ended}");
    let none = follow(&path, &["-v", "--cause", "port-closed", "--duration", "3"]).stop();
    let text = &none.stdout;
    assert!(text.contains("No attempt to list has the verdicts and causes asked for."), "{none}");
    assert!(text.contains("50 of 60 attempts went wrong"), "counts are of all: {none}");
    assert!(!text.contains("connect() "), "{none}");
}
