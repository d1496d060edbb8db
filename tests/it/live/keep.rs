//! `-w`: packets kept in files.

use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use nix::sys::signal::Signal;

use super::run::{self, Capture, PROGRAM, command};
use super::wire::Wire;
use crate::namespace::{in_namespace, wait_for};

#[test]
fn packets_are_kept_and_files_rotate() {
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kept.pcap");
        let mut wire = Wire::new();
        let capture =
            Capture::start(&["-i", wire.name, "--format", "json", "-w", path.to_str().unwrap(), "-C", "1"]);
        (0..6_000).for_each(|n| wire.attempt(n, "completed"));
        thread::sleep(Duration::from_millis(500));
        let report = capture.stop().json();
        assert_eq!(report["packets"]["total"], 30_000);
        let files: Vec<_> = ["", "1", "2"].iter().map(|n| format!("{}{n}", path.display())).collect();
        assert!(fs::metadata(&files[0]).unwrap().len() > 1_000_000);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), files.len());
        let again = run::run(command(PROGRAM), &["--format", "json", &files[0], &files[1], &files[2]]).json();
        assert_eq!(again["packets"]["total"], 30_000);
        assert_eq!(again["verdicts"], report["verdicts"]);
    });
}

#[test]
fn files_rotate_by_time_and_together_hold_every_packet() {
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let mut wire = Wire::new();
        // One file a second, named by the second; by the year, so that all get one name; no more than two.
        let keep = |name: &str, more: &[&str]| {
            let path = directory.path().join(name);
            let mut arguments =
                vec!["-i", "near", "--format", "json", "-w", path.to_str().unwrap(), "-G", "1"];
            arguments.extend(more);
            Capture::start(&arguments)
        };
        let captures = [keep("by-second-%s", &[]), keep("by-year-%Y", &[]), keep("two-%s", &["-W", "2"])];
        let mut n = 0;
        // Four files: a packet begins the next one when it is a second younger than the first of the last.
        for pause in [1_100, 1_100, 1_100, 600] {
            (0..10).for_each(|more| wire.attempt(n + more, "completed"));
            n += 10;
            thread::sleep(Duration::from_millis(pause));
        }
        let reports = captures.map(|capture| capture.stop().json());
        for report in &reports {
            assert_eq!(report["packets"]["total"], 200, "analysed, whatever is kept");
        }
        for (name, files, packets) in [("by-second-", 4, 200), ("by-year-", 4, 200), ("two-", 2, 100)] {
            let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
            let kept: Vec<String> = names
                .iter()
                .filter(|file| file.starts_with(name))
                .map(|file| directory.path().join(file).display().to_string())
                .collect();
            assert_eq!(kept.len(), files, "{names:?}");
            let arguments = ["--format", "json"].into_iter().chain(kept.iter().map(String::as_str));
            let again = run::run(command(PROGRAM), &arguments.collect::<Vec<_>>()).json();
            assert_eq!(again["packets"]["total"], packets, "{names:?}");
            assert_eq!(again["verdicts"]["completed"], packets / 5);
            for capture in again["captures"].as_array().unwrap() {
                assert_eq!(capture["packets"], 50, "{}: one burst a file", capture["path"]);
            }
        }
    });
}

#[test]
fn a_full_disk_is_reported_once_and_the_analysis_goes_on() {
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().display();
        let mut wire = Wire::new();
        // A file system of 64 KiB that only the program and its ancestors of this test see.
        let script = format!(
            "mount -t tmpfs -o size=64k none {place} && exec {PROGRAM} -i near --format json -w {place}/kept.pcap"
        );
        let mut command: Command = command("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        let capture = Capture::begin(command);
        (0..2_000).for_each(|n| wire.attempt(n, "completed"));
        wait_for("it is reported", || capture.stderr().contains("No space left on device"));
        (2_000..3_000).for_each(|n| wire.attempt(n, "completed"));
        thread::sleep(Duration::from_millis(500));
        capture.signal(Signal::SIGTERM);
        let ended = capture.ends(2);
        assert_eq!(ended.stderr.matches("No space left on device").count(), 1, "{ended}");
        assert!(ended.stderr.contains("packets are no longer saved"), "{ended}");
        assert_eq!(ended.json()["verdicts"]["completed"], 3_000);
    });
}
