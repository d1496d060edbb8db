//! Packets with comments for Wireshark, and the plugin that shows verdicts beside packets.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::util::{Run, capture, captures, hsanalyze, list, program, report, require_tools, string};

const PLUGIN: &str = "contrib/wireshark/hsanalyze.lua";

/// Rows of these fields, one for each packet.
fn rows(path: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let fields = fields.iter().flat_map(|field| ["-e", field]);
    let arguments = ["-n", "-r", path.to_str().unwrap(), "-T", "fields", "-E", "occurrence=l"];
    let ran = program("tshark", arguments.into_iter().chain(fields)).succeed();
    ran.text().lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Writes the packets of a capture; returns the file's path.
fn written(directory: &Path, input: &Path, more: &[&str]) -> PathBuf {
    let path = directory.join("written.pcapng");
    let arguments = [input.to_str().unwrap(), "--write", path.to_str().unwrap()];
    hsanalyze(arguments.iter().chain(more)).succeed();
    path
}

/// The verdicts of a report's problem attempts, by client and time.
fn problems(report: &Value) -> BTreeMap<(String, String), Value> {
    let attempts = list(report, "attempts").iter();
    let problems = attempts.filter(|a| a["verdict"] != "completed" && a["verdict"] != "undetermined");
    let key = |a: &Value| (string(a, "client").to_owned(), string(a, "start").to_owned());
    problems.map(|a| (key(a), a["verdict"].clone())).collect()
}

#[test]
fn tshark_reads_each_written_packet_as_it_was_with_its_comment() {
    if !require_tools(&["tshark"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    const FIELDS: [&str; 5] = ["frame.time_epoch", "frame.len", "tcp.srcport", "tcp.seq_raw", "tcp.flags"];
    let mut packets = 0;
    for input in captures() {
        let path = written(directory.path(), &input, &["--all"]);
        let original = rows(&input, &FIELDS);
        let fields: Vec<&str> = FIELDS.into_iter().chain(["frame.comment"]).collect();
        for row in rows(&path, &fields) {
            let (comment, packet) = row.split_last().unwrap();
            let (number, meaning) =
                comment.strip_prefix("frame ").and_then(|rest| rest.split_once(": ")).unwrap();
            let frame: usize = number.parse().unwrap();
            assert_eq!(packet, original[frame - 1], "{}: {comment}", input.display());
            assert!(!meaning.is_empty());
            packets += 1;
        }
    }
    assert!(packets > 3_000, "{packets}");
}

#[test]
fn the_written_problems_are_the_problems_of_the_capture() {
    let directory = tempfile::tempdir().unwrap();
    for input in captures() {
        let before = problems(&report([&input]));
        let path = written(directory.path(), &input, &[]);
        if before.is_empty() {
            continue;
        }
        let after = report([&path]);
        assert_eq!(problems(&after), before, "{}", input.display());
        let all = list(&after, "attempts").len();
        assert_eq!(all, before.len(), "{}: no others", input.display());
    }
}

#[test]
fn comments_say_what_the_diagrams_say_and_the_files_has_the_verdicts() {
    if !require_tools(&["tshark", "capinfos"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = written(directory.path(), &capture("overflow_mixed-server"), &[]);
    let comments: Vec<String> = rows(&path, &["frame.comment"]).into_iter().map(|row| row.concat()).collect();
    let count = |part: &str| comments.iter().filter(|comment| comment.contains(part)).count();
    assert_eq!(count("10.9.0.2:7777: synack-retransmitted, a full accept queue (likely)"), 3);
    assert_eq!(count("10.9.0.2:7777: unanswered, a full accept queue (likely)"), 47);
    assert_eq!(count(": SYN-ACK again: retransmission 3 of 5, the ACK above was ignored"), 3);
    assert_eq!(count("retry 2 of 9"), 47, "{comments:#?}");
    let info = program("capinfos", ["-k", path.to_str().unwrap()]).succeed();
    let section = "packets of 50 of 60 attempts in ";
    assert!(info.text().contains(section), "{info}");
    let line =
        "10.9.0.2:7777: a full accept queue (likely): 10 completed, 3 synack-retransmitted, 47 unanswered";
    assert!(info.text().contains(line), "{info}");
}

/// Of two points the packets of both are there, on an interface each; the second sighting of a packet says so.
#[test]
fn two_points_are_two_interfaces() {
    if !require_tools(&["tshark"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let client = capture("overflow_mixed-client");
    let path = written(directory.path(), &capture("overflow_mixed-server"), &[client.to_str().unwrap()]);
    let rows = rows(&path, &["frame.interface_name", "frame.comment"]);
    for point in ["overflow_mixed-server.pcap", "overflow_mixed-client.pcap"] {
        let own: Vec<_> = rows.iter().filter(|row| row[0].ends_with(point)).collect();
        assert!(own.len() > 400, "{point}: {}", own.len());
    }
    let synacks = rows.iter().filter(|row| row[1].contains(": captured again: the server's kernel answers"));
    assert!(synacks.count() >= 3);
    assert!(!rows.iter().any(|row| row[1].ends_with(": captured again")), "each has its meaning");
}

#[test]
fn a_pipe_gives_the_same_packets_as_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let input = capture("overflow_mixed-server");
    let from_file = fs::read(written(directory.path(), &input, &[])).unwrap();
    let path = directory.path().join("piped.pcapng");
    let arguments = ["-", "--write", path.to_str().unwrap()];
    hsanalyze(arguments).stdin(fs::read(&input).unwrap()).succeed();
    let piped = fs::read(&path).unwrap();
    // The section and the interface have the name of the input.
    let packets = |bytes: &[u8]| {
        let first = bytes.windows(4).position(|word| word == 6_u32.to_le_bytes()).unwrap();
        bytes[first..].to_vec()
    };
    assert_eq!(packets(&piped), packets(&from_file));
}

#[test]
fn the_attempts_to_write_are_chosen_as_those_to_show() {
    let directory = tempfile::tempdir().unwrap();
    let input = capture("overflow_mixed-server");
    let attempts = |more: &[&str]| {
        let path = written(directory.path(), &input, more);
        list(&report([&path]), "attempts").len()
    };
    assert_eq!(attempts(&["--all"]), 60);
    assert_eq!(attempts(&["--verdict", "synack-retransmitted"]), 3);
    assert_eq!(attempts(&["--attempt", "10.9.0.1:35374"]), 1);
    assert_eq!(attempts(&["--ladder", "--verdict", "completed"]), 10);
    // Without problems there are no packets; the comment still says so.
    let healthy = written(directory.path(), &capture("completed_echo-server"), &[]);
    assert_eq!(list(&report([&healthy]), "attempts").len(), 0);
}

#[test]
fn packets_are_not_written_over_an_input_or_the_report() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("in.pcap");
    fs::copy(capture("overflow_mixed-server"), &input).unwrap();
    let before = fs::read(&input).unwrap();
    let (input, other) = (input.to_str().unwrap(), directory.path().join("out"));
    let other = other.to_str().unwrap();
    let refused = |run: Run, reason: &str| {
        let ran = run.exit(2);
        assert!(ran.stderr.contains(reason), "{ran}");
    };
    refused(hsanalyze([input, "--write", input]), "it is one of the captures to analyse");
    refused(hsanalyze([input, "--write", other, "-o", other]), "each needs a file of its own");
    refused(hsanalyze([input, "--write", "-"]), "standard output has the report");
    refused(hsanalyze([input, "--write", "/nowhere/out.pcapng"]), "cannot write /nowhere/out.pcapng");
    assert_eq!(fs::read(input).unwrap(), before);
}

/// The plugin's columns for each packet of a capture, from a report in this format.
fn columns(directory: &Path, input: &Path, format: &str) -> Vec<Vec<String>> {
    let report = directory.join("report");
    let (input, report) = (input.to_str().unwrap(), report.to_str().unwrap());
    hsanalyze(["--format", format, "-o", report, input]).succeed();
    let script = format!("lua_script:{PLUGIN}");
    const FIELDS: [&str; 6] = ["ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "verdict", "problem"];
    let fields = FIELDS.iter().flat_map(|&field| {
        let own = matches!(field, "verdict" | "problem");
        ["-e".to_owned(), if own { format!("hsanalyze.{field}") } else { field.to_owned() }]
    });
    let arguments = ["-n", "-X", &script, "-r", input, "-T", "fields", "-E", "occurrence=l"];
    let variable = format!("HSANALYZE_REPORT={report}");
    let arguments = [&variable, "tshark"].map(String::from).into_iter().chain(arguments.map(String::from));
    let ran = program("env", arguments.chain(fields)).succeed();
    assert!(!ran.stderr.contains("Lua"), "{ran}");
    ran.text().lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn the_plugin_shows_the_verdict_of_each_packets_attempt() {
    if !require_tools(&["tshark"]) {
        return;
    }
    if !program("tshark", ["-v"]).succeed().text().contains("with Lua") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["overflow_mixed-server", "overflow_reset-server", "syn_scan-client", "rejected_icmp-client"]
    {
        let input = capture(name);
        let report = report([&input]);
        let verdicts: BTreeMap<String, String> = list(&report, "attempts")
            .iter()
            .map(|a| {
                let key = format!("{} {}", string(a, "client"), string(a, "server"));
                (key, string(a, "verdict").to_owned())
            })
            .collect();
        let by_format = ["ndjson", "json"].map(|format| columns(directory.path(), &input, format));
        assert_eq!(
            by_format[0].iter().map(|row| &row[4]).collect::<Vec<_>>(),
            by_format[1].iter().map(|row| &row[4]).collect::<Vec<_>>()
        );
        let mut seen = 0;
        for row in &by_format[1] {
            let [from, from_port, to, to_port, verdict, problem] = row.as_slice() else { panic!("{row:?}") };
            let (from, to) = (format!("{from}:{from_port}"), format!("{to}:{to_port}"));
            let expected =
                verdicts.get(&format!("{from} {to}")).or_else(|| verdicts.get(&format!("{to} {from}")));
            assert_eq!(expected.map_or("", String::as_str), verdict, "{name}: {row:?}");
            let harmless = matches!(verdict.as_str(), "completed" | "undetermined");
            if expected.is_some() {
                assert_eq!(problem == "1", !harmless, "{name}: {row:?}");
                seen += 1;
            }
        }
        assert!(seen > 10, "{name}: {seen}");
    }
}
