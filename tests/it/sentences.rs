//! Sentences about listeners compared with their attempts: on every bundled capture, each number in a sentence is
//! that of the attempts, and no sentence contradicts an attempt's evidence.

use std::fs;
use std::path::PathBuf;

use regex_lite::Regex;
use serde_json::Value;

use crate::util::{hsanalyze, list, string};

/// Evidence codes of a segment that came back, if not one that the client could take.
const ANSWERS: &[&str] =
    &["older-numbers", "older-numbers-reset", "answered-from", "two-isns", "rst-wrong-ack"];

fn bundled() -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folders = ["captures", "field", "lab", "size"].map(|folder| root.join(folder));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng")).collect();
    paths.sort();
    paths
}

fn number(text: &str) -> usize {
    text.replace(',', "").parse().unwrap()
}

/// Contradictions between a listener's sentence and its attempts, in words.
fn contradictions(listener: &Value, attempts: &[&Value]) -> Vec<String> {
    let diagnosis = string(listener, "diagnosis");
    let share = Regex::new(r"([\d,]+) of ([\d,]+) attempts?\b").unwrap();
    let mut wrong = Vec::new();
    for found in share.captures_iter(diagnosis) {
        let (some, all) = (number(&found[1]), number(&found[2]));
        if all != attempts.len() {
            wrong.push(format!("it has {} attempts", attempts.len()));
        }
        let explained = attempts.iter().filter(|attempt| attempt["cause"] == listener["cause"]).count();
        if !listener["cause"].is_null() && some != explained {
            wrong.push(format!("its cause explains {explained} attempts"));
        }
    }
    let part =
        Regex::new(r"(?:ACKs?|SYNs?) of ([\d,]+) attempts?\b|([\d,]+) connections? (?:was|were) reset")
            .unwrap();
    let verdict = |name: &str| attempts.iter().filter(|attempt| attempt["verdict"] == name).count();
    for found in part.captures_iter(diagnosis) {
        let some = number(found.get(1).or(found.get(2)).unwrap().as_str());
        let known =
            ["synack-retransmitted", "ack-ignored", "reset-after-ack", "unanswered", "completed-late"];
        let possible: usize = known.iter().map(|name| verdict(name)).sum();
        if some > possible {
            wrong.push(format!("only {possible} attempts have such a verdict"));
        }
    }
    if Regex::new("nothing answered|answered no client|got nothing back").unwrap().is_match(diagnosis) {
        let evidence = |attempt: &&&Value| {
            list(attempt, "evidence").iter().any(|evidence| ANSWERS.contains(&string(evidence, "code")))
        };
        wrong.extend(
            attempts.iter().find(evidence).map(|attempt| format!("{} got an answer", attempt["client"])),
        );
    }
    if diagnosis.contains("completed every handshake") {
        let completed = verdict("completed");
        let judged = attempts.len() - verdict("undetermined");
        if completed != judged {
            wrong.push(format!("{completed} of {judged} completed"));
        }
    }
    wrong.into_iter().map(|wrong| format!("{diagnosis}\n  {wrong}")).collect()
}

#[test]
fn sentences_follow_from_the_attempts() {
    let (mut sentences, mut wrong) = (0, Vec::new());
    for path in bundled() {
        let ran = hsanalyze(["--format", "json", path.to_str().unwrap()]).run();
        // Not `succeed`: some captures are damaged on purpose, and what could be read is reported.
        let report = ran.json();
        for listener in list(&report, "listeners") {
            let own = |attempt: &&Value| attempt["server"] == listener["server"];
            let attempts: Vec<&Value> = list(&report, "attempts").iter().filter(own).collect();
            sentences += 1;
            let found = contradictions(listener, &attempts);
            wrong.extend(found.into_iter().map(|found| format!("{}: {found}", path.display())));
        }
    }
    assert!(sentences > 80, "only {sentences} sentences were checked");
    assert!(wrong.is_empty(), "{} of {sentences}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn nothing_wrong_never_stands_over_a_wait_or_a_doubt() {
    let mut said = 0;
    for path in bundled() {
        let path = path.to_str().unwrap();
        if !hsanalyze([path]).run().text().contains("Nothing wrong") {
            continue;
        }
        said += 1;
        for attempt in list(&hsanalyze(["--format", "json", path]).run().json(), "attempts") {
            let timing = &attempt["timing"];
            let waited = timing["connect"].as_f64().is_some_and(|connect| connect >= 1.0);
            let stands = attempt["verdict"] == "completed" || attempt["verdict"] == "undetermined";
            assert!(stands && !waited, "{path}: {attempt}");
            assert!(timing["stall"].is_null() && attempt["unproven"].is_null(), "{path}: {attempt}");
        }
    }
    assert!(said > 5, "only {said} captures are well");
}

#[test]
fn a_contradiction_is_found() {
    let attempt = |verdict: &str, code: &str| {
        serde_json::json!({"client": "c", "server": "s", "cause": null, "verdict": verdict,
            "evidence": [{"code": code, "text": ""}]})
    };
    let attempts = [attempt("unanswered", "older-numbers"), attempt("completed", "x")];
    let attempts: Vec<&Value> = attempts.iter().collect();
    let wrong = |diagnosis: &str| {
        let listener = serde_json::json!({"cause": null, "diagnosis": diagnosis});
        contradictions(&listener, &attempts).len()
    };
    assert_eq!(wrong("1 of 2 attempts to s did not complete."), 0);
    assert_eq!(wrong("1 of 3 attempts to s did not complete."), 1);
    assert_eq!(wrong("The ACKs of 7 attempts were ignored."), 1);
    assert_eq!(wrong("s answered no client."), 1);
    assert_eq!(wrong("s completed every handshake."), 1);
}
