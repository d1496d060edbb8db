//! Captures of both ends of a path: each attempt counted once, and judged no worse than by one end alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::util::{captures, list, report, string};

/// The bundled pairs, by name: the client's capture and the server's.
fn pairs() -> Vec<(String, [PathBuf; 2])> {
    let client = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix("-client.pcap")?.to_owned();
        let server = path.with_file_name(format!("{name}-server.pcap"));
        Some((name, [path.clone(), server]))
    };
    captures().iter().filter_map(client).collect()
}

/// The attempts by verdict, and the confidence of the first listener's cause.
fn judged(report: &Value) -> (BTreeMap<&str, usize>, u8) {
    let mut verdicts = BTreeMap::new();
    list(report, "attempts").iter().for_each(|a| *verdicts.entry(string(a, "verdict")).or_default() += 1);
    let confidence = match list(report, "listeners")[0]["confidence"].as_str() {
        None => 0,
        Some("possible") => 1,
        Some("likely") => 2,
        Some(_) => 3,
    };
    (verdicts, confidence)
}

#[test]
fn both_ends_are_judged_as_surely_as_the_better_one() {
    let pairs = pairs();
    assert!(pairs.len() > 15, "{} pairs", pairs.len());
    for (name, [client, server]) in pairs {
        let [by_client, by_server] = [&client, &server].map(|path| report([path]));
        let ends = [judged(&by_client), judged(&by_server)];
        let surest = ends.iter().map(|(_, confidence)| *confidence).max().unwrap();
        for files in [[&client, &server], [&server, &client]] {
            let both = report(files);
            let (verdicts, confidence) = judged(&both);
            assert!(ends.iter().any(|(of_one, _)| *of_one == verdicts), "{name}: {verdicts:?}");
            assert!(confidence >= surest, "{name}: {confidence} and not {surest}");
            assert_eq!(limit(&both, "two-clocks"), None, "{name}");
        }
    }
}

/// The text of a limit, if the report has it.
fn limit<'r>(report: &'r Value, code: &str) -> Option<&'r str> {
    list(report, "limits").iter().find(|limit| limit["code"] == code).map(|limit| string(limit, "text"))
}

#[test]
fn an_ack_that_vanished_between_two_points_was_lost_there() {
    let [client, server] = ["client", "server"].map(|end| crate::util::capture(&format!("ack_lost-{end}")));
    let report = report([client, server]);
    for attempt in list(&report, "attempts") {
        assert_eq!(attempt["cause"], "ack-lost", "{attempt}");
        assert_eq!(attempt["confidence"], "confirmed", "{attempt}");
    }
}

#[test]
fn a_long_way_is_no_second_clock() {
    let [client, server] = ["client", "server"].map(|end| crate::util::capture(&format!("high_rtt-{end}")));
    let report = report([client, server]);
    assert!(limit(&report, "two-points").is_some_and(|text| text.contains("700 ms apart")), "{report}");
    for attempt in list(&report, "attempts") {
        assert!(attempt["timing"]["connect"].as_f64().is_some_and(|connect| connect > 1.4), "{attempt}");
    }
}
