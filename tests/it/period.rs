//! `--begin` and `--end`: parts of a capture that are analysed apart have together the attempts of the whole.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::util::{hsanalyze, list};

const CAPTURE: &str = "fixtures/captures/overflow_mixed-server.pcap";

fn attempts(period: &[&str]) -> Vec<Value> {
    let report = hsanalyze([period, &["--format", "json", CAPTURE]].concat()).succeed().json();
    let counted: u64 = report["verdicts"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    let attempts = list(&report, "attempts").to_vec();
    assert_eq!(counted, attempts.len() as u64, "what is not listed is not counted");
    attempts
}

/// Verdicts and causes by an attempt's first packet.
fn meanings(attempts: &[Value]) -> BTreeMap<u64, String> {
    let meaning = |one: &Value| ["verdict", "cause", "confidence"].map(|key| one[key].to_string()).join(" ");
    attempts.iter().map(|one| (one["frame"].as_u64().unwrap(), meaning(one))).collect()
}

#[test]
fn each_attempt_counts_in_the_part_in_which_its_first_packet_lies() {
    let whole = attempts(&[]);
    let starts: Vec<String> = whole.iter().map(|one| one["start"].as_str().unwrap().to_owned()).collect();
    for place in [1, whole.len() / 2, whole.len() - 1] {
        let border = starts[place].as_str();
        let (before, after) = (attempts(&["--end", border]), attempts(&["--begin", border]));
        assert_eq!((before.len(), after.len()), (place, whole.len() - place), "{border}");
        assert_eq!(meanings(&[before, after].concat()), meanings(&whole), "others mean the same outside");
    }
    assert!(attempts(&["--begin", "2100-01-01"]).is_empty());
    let ran = hsanalyze(["--begin", "2100-01-01", CAPTURE]).succeed();
    assert!(ran.text().contains("No attempt begins in the time given; 60 begin outside of it."), "{ran}");
    let one = ["--begin", &starts[3], "--end", &starts[4]];
    assert_eq!(attempts(&one).len(), 1);
}

#[test]
fn wrong_times_are_refused() {
    let said = hsanalyze(["--begin", "noon", CAPTURE]).exit(2).stderr;
    assert!(said.contains("a time is such as 2026-11-29T10:00:00Z"), "{said}");
    let said = hsanalyze(["--begin", "2", "--end", "1", CAPTURE]).exit(2).stderr;
    assert!(said.contains("--begin is not before --end"), "{said}");
    let said = hsanalyze(["-i", "lo", "--begin", "2"]).exit(2).stderr;
    assert!(said.contains("--begin and --end are for files"), "{said}");
}
