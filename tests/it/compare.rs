//! `--baseline`: what became worse or better than in an earlier report; and `--format markdown`, which shows it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::schema::Schema;
use crate::util::{Ran, capture, hsanalyze};

/// A report of a capture, in a directory of its own.
fn report(directory: &Path, format: &str, arguments: &[&OsStr]) -> PathBuf {
    let path = directory.join(format!("report.{format}"));
    let options = [OsStr::new("--format"), OsStr::new(format), OsStr::new("-o"), path.as_os_str()];
    hsanalyze(options.into_iter().chain(arguments.iter().copied())).succeed();
    path
}

/// Compares with a baseline, and fails on worse.
fn compared(baseline: &Path, format: &str, arguments: &[&OsStr]) -> Ran {
    let options = ["--fail-on", "worse", "--format", format, "--baseline"].map(OsStr::new);
    hsanalyze(options.into_iter().chain([baseline.as_os_str()]).chain(arguments.iter().copied())).run()
}

/// The result of comparing two captures, and the exit status.
fn result(before: &[&OsStr], after: &[&OsStr]) -> (Value, Option<i32>) {
    let directory = tempfile::tempdir().unwrap();
    let ran = compared(&report(directory.path(), "json", before), "json", after);
    (ran.json()["comparison"].clone(), ran.status.code())
}

fn field(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/field/{name}.pcap"))
}

#[test]
fn an_overflow_that_was_not_there_is_worse_and_its_end_is_better() {
    let (calm, overflow) = (capture("completed_echo-server"), capture("overflow_mixed-server"));
    let (worse, status) = result(&[calm.as_os_str()], &[overflow.as_os_str()]);
    assert_eq!((&worse["result"], status), (&"worse".into(), Some(1)), "{worse:#}");
    let listener = &worse["listeners"][0];
    assert_eq!(listener["server"], "10.9.0.2:7777");
    let shifts = listener["shifts"].as_array().unwrap();
    let shares: Vec<&Value> = shifts.iter().map(|shift| &shift["share"]).collect();
    assert_eq!(shares, ["failed", "cause"], "{worse:#}");
    assert_eq!((&shifts[0]["after"]["attempts"], &shifts[0]["after"]["of"]), (&50.into(), &60.into()));
    assert_eq!((&shifts[1]["cause"], &shifts[1]["rose"]), (&"accept-queue-overflow".into(), &true.into()));
    let (better, status) = result(&[overflow.as_os_str()], &[calm.as_os_str()]);
    assert_eq!((&better["result"], status), (&"better".into(), Some(0)), "{better:#}");
}

#[test]
fn the_same_capture_is_no_change_and_lines_serve_as_well_as_a_document() {
    let directory = tempfile::tempdir().unwrap();
    for path in [capture("overflow_mixed-server"), capture("refused-server"), field("flood-beside-overflow")]
    {
        let mut texts = ["json", "ndjson"].map(|format| {
            let baseline = report(directory.path(), format, &[path.as_os_str()]);
            let ran = compared(&baseline, "json", &[path.as_os_str()]);
            assert_eq!(ran.status.code(), Some(0), "{ran}");
            let mut comparison = ran.json()["comparison"].take();
            assert_eq!(comparison["result"], "unchanged", "{comparison:#}");
            comparison["baseline"].take();
            comparison["text"].take();
            comparison
        });
        assert_eq!(texts[0].take(), texts[1].take());
    }
}

/// Halves of one capture, by the client's port: they differ by chance only.
#[test]
fn halves_of_one_capture_are_no_change() {
    for (name, port) in [("late-burst", 8080), ("listener-reload", 8080)] {
        let half = |bit: u8| {
            format!("(dst port {port} and tcp[1] & 2 = {bit}) or (src port {port} and tcp[3] & 2 = {bit})")
        };
        let path = field(name);
        let (one, other) = (half(0), half(2));
        let arguments = |filter| [OsStr::new("-f"), OsStr::new(filter), path.as_os_str()];
        let (comparison, status) = result(&arguments(one.as_str()), &arguments(other.as_str()));
        let judged = comparison["listeners"][0]["before"]["judged"].as_u64();
        assert!(judged.is_some_and(|judged| judged > 0), "{name}: {comparison:#}");
        assert_eq!((&comparison["result"], status), (&"unchanged".into(), Some(0)), "{name}: {comparison:#}");
    }
}

#[test]
fn servers_of_one_side_only_cannot_pass() {
    let directory = tempfile::tempdir().unwrap();
    let baseline = report(directory.path(), "json", &[capture("completed_echo-server").as_os_str()]);
    let other = field("listener-reload");
    let ran = compared(&baseline, "json", &[other.as_os_str()]);
    assert_eq!(ran.status.code(), Some(2), "{ran}");
    assert!(ran.stderr.contains("no server has attempts in both"), "{ran}");
    let comparison = &ran.json()["comparison"];
    assert_eq!((&comparison["result"], &comparison["counts"]["new"]), (&Value::Null, &1.into()));
    assert_eq!(comparison["counts"]["gone"], 1);
    // Without the word it is no error, and said.
    let ran = hsanalyze([OsStr::new("--baseline"), baseline.as_os_str(), other.as_os_str()]).succeed();
    assert!(ran.text().contains("1 server is new, 1 server is gone"), "{ran}");
}

#[test]
fn every_format_shows_the_comparison_as_the_schema_says() {
    let directory = tempfile::tempdir().unwrap();
    let baseline = report(directory.path(), "json", &[capture("completed_echo-server").as_os_str()]);
    let after = capture("overflow_mixed-server");
    let shown = |format: &str| compared(&baseline, format, &[after.as_os_str()]).text().to_owned();
    let mut schema = Schema::default();
    schema.assert_valid("analysis", &serde_json::from_str(&shown("json")).unwrap());
    let lines: Vec<Value> = shown("ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let comparison = lines.iter().find(|line| line["type"] == "comparison").unwrap();
    schema.assert_valid("comparison", comparison);
    for format in ["text", "markdown"] {
        let text = shown(format);
        for words in ["Worse than", "accept queue overflow is new: 50 of 60 attempts", "10.9.0.2:7777"] {
            assert!(text.contains(words), "{format} does not say '{words}':\n{text}");
        }
    }
    assert!(shown("markdown").contains("| `10.9.0.2:7777` | worse | 20 → 60 | 0 % → 83.3 % |"));
    // The report of a comparison is a report like any other.
    for format in ["json", "ndjson"] {
        let path = directory.path().join("of-a-comparison");
        fs::write(&path, shown(format)).unwrap();
        assert_eq!(compared(&path, "json", &[after.as_os_str()]).status.code(), Some(0), "{format}");
    }
    let quiet = |path: &Path, format: &str| {
        let options = ["-q", "--format", format, "--baseline"].map(OsStr::new);
        hsanalyze(options.into_iter().chain([baseline.as_os_str(), path.as_os_str()])).succeed()
    };
    assert!(quiet(&after, "text").text().starts_with("Worse than"));
    assert_eq!(quiet(&capture("completed_echo-server"), "text").text(), "");
}

#[test]
fn markdown_needs_no_baseline() {
    let ran = hsanalyze(["--format=markdown", "fixtures/captures/overflow_mixed-server.pcap"]).succeed();
    insta::assert_snapshot!("markdown", ran.text());
}

#[test]
fn what_is_no_report_is_an_error_with_file_and_place() {
    let directory = tempfile::tempdir().unwrap();
    let after = capture("refused-server");
    let whole = fs::read(report(directory.path(), "json", &[after.as_os_str()])).unwrap();
    let lines = fs::read(report(directory.path(), "ndjson", &[after.as_os_str()])).unwrap();
    let path = directory.path().join("baseline");
    let rejected = |bytes: &[u8], words: &[&str]| {
        fs::write(&path, bytes).unwrap();
        let ran = compared(&path, "text", &[after.as_os_str()]);
        assert_eq!(ran.status.code(), Some(2), "{ran}");
        assert!(ran.stdout.is_empty() && !ran.stderr.contains("panicked"), "{ran}");
        for word in [path.to_str().unwrap()].iter().chain(words) {
            assert!(ran.stderr.contains(word), "the message does not say '{word}'\n{ran}");
        }
    };
    rejected(b"", &["ends before the report does"]);
    rejected(&whole[..whole.len() / 2], &["ends before the report does"]);
    let last = lines[..lines.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap();
    rejected(&lines[..=last], &["ends before the report does"]);
    rejected(&fs::read(&after).unwrap(), &["line 1, column"]);
    let older = String::from_utf8(whole.clone()).unwrap().replacen("\"schema\":2", "\"schema\":1", 1);
    rejected(older.as_bytes(), &["line 1, column 12", "schema 1", "analyse the earlier capture anew"]);
    let strange = String::from_utf8(whole.clone()).unwrap().replace("port-closed", "\\u001b[31m");
    rejected(strange.as_bytes(), &["unknown cause", "line"]);
    rejected(&[whole.as_slice(), b"{}"].concat(), &["no 'schema'"]);
    let size = hsanalyze([OsStr::new("size"), OsStr::new("--format=json"), after.as_os_str()]).run();
    rejected(&size.stdout, &["no report of captures"]);
    fs::remove_file(&path).unwrap();
    let ran = compared(&path, "text", &[after.as_os_str()]);
    assert!(ran.status.code() == Some(2) && ran.stderr.contains("not found"), "{ran}");
}

/// Each byte of a baseline in turn is replaced: an error or a comparison, and never a panic.
#[test]
fn no_baseline_makes_it_panic() {
    let directory = tempfile::tempdir().unwrap();
    let after = capture("ack_lost-server");
    let whole = fs::read(report(directory.path(), "json", &[after.as_os_str()])).unwrap();
    let path = directory.path().join("baseline");
    let listeners = String::from_utf8_lossy(&whole).find("\"listeners\"").unwrap();
    for at in (0..60).map(|step| listeners + step * 13) {
        let mut bytes = whole.clone();
        let Some(byte) = bytes.get_mut(at) else { break };
        *byte = if at % 2 == 0 { b'9' } else { b'"' };
        fs::write(&path, &bytes).unwrap();
        let ran = compared(&path, "text", &[after.as_os_str()]);
        assert!(matches!(ran.status.code(), Some(0..=2)) && !ran.stderr.contains("panicked"), "{ran}");
    }
}

#[test]
fn a_comparison_that_cannot_be_meant_is_refused() {
    let after = capture("refused-server");
    let directory = tempfile::tempdir().unwrap();
    let baseline = report(directory.path(), "json", &[after.as_os_str()]);
    let refused = |options: &[&str], words: &str| {
        let arguments = options.iter().map(OsStr::new).chain([after.as_os_str()]);
        let ran = hsanalyze(arguments).exit(2);
        assert!(ran.stdout.is_empty() && ran.stderr.contains(words), "{ran}");
    };
    let name = baseline.to_str().unwrap();
    refused(&["--fail-on", "worse"], "--baseline FILE");
    refused(&["--fail-on", "worse:likely", "--baseline", name], "'worse' has no confidence");
    refused(&["--format", "csv", "--baseline", name], "csv shows no comparison");
    refused(&["--baseline", name, "-o", name], "it is the baseline");
    refused(&["--baseline", name, "--report", name], "it is the baseline");
    let csv = compared(&baseline, "csv", &[after.as_os_str()]);
    assert_eq!(csv.status.code(), Some(0), "{csv}");
}
