//! The same packets in another file format give the same report.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::util::{captures, hsanalyze, list, program, report, require_tools};

/// Removes from a report the properties of the file.
fn without_form(mut report: Value) -> Value {
    for capture in report["captures"].as_array_mut().unwrap() {
        let capture = capture.as_object_mut().unwrap();
        for key in ["path", "format", "bytes"] {
            assert!(capture.remove(key).is_some(), "a capture without '{key}': {capture:?}");
        }
    }
    report
}

/// Removes also the file and the number of each packet.
fn without_files(mut report: Value) -> Value {
    report.as_object_mut().unwrap().remove("captures");
    for attempt in report["attempts"].as_array_mut().unwrap() {
        let attempt = attempt.as_object_mut().unwrap();
        for key in ["capture", "frame"] {
            assert!(attempt.remove(key).is_some(), "an attempt without '{key}': {attempt:?}");
        }
    }
    report
}

/// Compares every bundled capture with the same capture in another form.
fn each_capture(form: impl Fn(&Path, &TempDir) -> Value) {
    for path in captures() {
        let dir = tempfile::tempdir().unwrap();
        let formed = form(&path, &dir);
        assert_eq!(without_form(report([&path])), without_form(formed), "{}", path.display());
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A converted copy of a capture, made by `editcap -F FORMAT`.
fn converted(path: &Path, dir: &TempDir, format: &str) -> PathBuf {
    let to = dir.path().join("converted");
    program("editcap", [Path::new("-F"), Path::new(format), path, &to]).succeed();
    to
}

#[test]
fn standard_input_gives_what_the_file_gives() {
    each_capture(|path, _| hsanalyze(["--format", "json", "-"]).stdin(read(path)).succeed().json());
}

#[test]
fn a_copy_written_by_tcpdump_gives_what_the_file_gives() {
    if !require_tools(&["tcpdump"]) {
        return;
    }
    each_capture(|path, _| {
        let args = [Path::new("-nr"), path, Path::new("-w"), Path::new("-")];
        let piped = program("tcpdump", args).succeed();
        hsanalyze(["--format", "json", "-"]).stdin(piped.stdout).succeed().json()
    });
}

#[test]
fn pcapng_gives_what_pcap_gives() {
    if !require_tools(&["editcap"]) {
        return;
    }
    each_capture(|path, dir| {
        let report = report([converted(path, dir, "pcapng")]);
        assert_eq!(list(&report, "captures")[0]["format"], "pcapng");
        report
    });
}

#[test]
fn nanosecond_pcap_gives_what_microsecond_pcap_gives() {
    if !require_tools(&["editcap"]) {
        return;
    }
    each_capture(|path, dir| report([converted(path, dir, "nsecpcap")]));
}

/// Recognised by content: the names of the compressed files have no suffix.
#[test]
fn compressed_files_give_what_plain_files_give() {
    if !require_tools(&["gzip", "zstd"]) {
        return;
    }
    for compressor in ["gzip", "zstd"] {
        each_capture(|path, dir| {
            let to = dir.path().join("compressed");
            fs::write(&to, program(compressor, [Path::new("-c"), path]).succeed().stdout).unwrap();
            report([to])
        });
    }
}

#[test]
fn compressed_standard_input_gives_what_the_file_gives() {
    if !require_tools(&["zstd"]) {
        return;
    }
    each_capture(|path, _| {
        let bytes = program("zstd", [Path::new("-c"), path]).succeed().stdout;
        hsanalyze(["--format", "json", "-"]).stdin(bytes).succeed().json()
    });
}

/// A capture in three files, as tcpdump rotates them: attempts span the files.
#[test]
fn three_parts_give_what_the_whole_gives() {
    if !require_tools(&["editcap"]) {
        return;
    }
    for path in captures() {
        let whole = report([&path]);
        let dir = tempfile::tempdir().unwrap();
        let parts = split(&path, &dir, whole["packets"]["total"].as_u64().unwrap().div_ceil(3));
        assert_eq!(parts.len(), 3, "{}: {parts:?}", path.display());
        let joined = report(&parts);
        assert_eq!(list(&joined, "captures").len(), 3);
        // The order of arguments must not matter: packets are merged by time.
        let reversed = report(parts.iter().rev());
        let whole = without_files(whole);
        assert_eq!(whole, without_files(joined), "{} in three parts", path.display());
        assert_eq!(whole, without_files(reversed), "{} in three parts, last part first", path.display());
    }
}

/// Splits a capture into parts of `size` packets, in order.
fn split(path: &Path, dir: &TempDir, size: u64) -> Vec<PathBuf> {
    let size = size.to_string();
    let args = [Path::new("-F"), Path::new("pcap"), Path::new("-c"), Path::new(&size), path];
    program("editcap", args.into_iter().chain([dir.path().join("part.pcap").as_path()])).succeed();
    let mut parts: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    parts.sort();
    parts
}
