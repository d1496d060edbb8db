//! Sentences about listeners compared with their attempts: on every bundled capture and every scenario, each number in a
//! sentence is that of the attempts, no sentence contradicts an attempt's evidence, and every doubt has a name.

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

/// Evidence codes that name what else an attempt could be.
const DOUBTS: &[&str] =
    &["could-be", "otherwise", "unmodelled", "unmodelled-here", "capture-dropped", "limited-by-capture"];

/// An attempt whose confidence and doubts do not agree, in words.
fn unnamed_doubts(attempt: &Value) -> Option<String> {
    let doubts = |code: &Value| DOUBTS.iter().any(|doubt| code == doubt);
    let doubts = list(attempt, "evidence").iter().filter(|evidence| doubts(&evidence["code"])).count();
    let agrees = match attempt["confidence"].as_str() {
        Some("possible") => doubts > 0,
        Some(_) => doubts == 0,
        None => true,
    };
    (!agrees).then(|| format!("{attempt}: {doubts} doubts"))
}

/// Numbers of a sentence that are none of the listener's counts.
fn foreign_numbers(listener: &Value, attempts: &[&Value]) -> Vec<usize> {
    let diagnosis = string(listener, "diagnosis");
    // Addresses, settings and times are no counts.
    let others = Regex::new(
        r"\[?[\da-f]+([.:][\da-f]*){2,}\]?(:\d+)?|tcp_abort_on_overflow=\d|[\d.]+ (ns|µs|ms|s|min|h)\b",
    )
    .unwrap();
    let left = others.replace_all(diagnosis, "");
    let mut known: Vec<u64> = vec![attempts.len() as u64];
    known.extend(listener["verdicts"].as_object().unwrap().values().filter_map(Value::as_u64));
    known.extend(listener["unproven"].as_u64());
    known.extend(listener["scan"]["servers"].as_u64());
    let count = |is: &dyn Fn(&Value) -> bool| attempts.iter().filter(|attempt| is(attempt)).count() as u64;
    known.push(count(&|attempt| attempt["cause"] == listener["cause"]));
    for verdict in listener["verdicts"].as_object().unwrap().keys() {
        known.push(count(&|a| a["cause"] == listener["cause"] && a["verdict"] == *verdict));
    }
    known.push(count(&|attempt| !matches!(string(attempt, "verdict"), "completed" | "undetermined")));
    let numbers = Regex::new(r"\d[\d,]*").unwrap();
    let numbers = numbers.find_iter(&left).map(|found| number(found.as_str().trim_end_matches(',')));
    numbers.filter(|found| !known.contains(&(*found as u64))).collect()
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
    let bundled = bundled().into_iter().map(|path| (path, Vec::new()));
    for (path, arguments) in bundled.chain(crate::scenarios::captures()) {
        let fixed = ["--format", "json", path.to_str().unwrap()].map(str::to_owned);
        let ran = hsanalyze(fixed.into_iter().chain(arguments)).run();
        // Not `succeed`: some captures are damaged on purpose, and what could be read is reported.
        let report = ran.json();
        wrong.extend(list(&report, "attempts").iter().filter_map(unnamed_doubts));
        for listener in list(&report, "listeners") {
            let own = |attempt: &&Value| match &listener["scan"] {
                Value::Null => attempt["server"] == listener["server"],
                scan => {
                    let is_knock = attempt["cause"] == "syn-scan" || attempt["verdict"] == "undetermined";
                    attempt["client_ip"] == scan["client"] && is_knock
                }
            };
            let attempts: Vec<&Value> = list(&report, "attempts").iter().filter(own).collect();
            sentences += 1;
            let mut found = contradictions(listener, &attempts);
            let foreign = foreign_numbers(listener, &attempts);
            if !foreign.is_empty() {
                found.push(format!("{}\n  {foreign:?} are no counts", listener["diagnosis"]));
            }
            wrong.extend(found.into_iter().map(|found| format!("{}: {found}", path.display())));
        }
    }
    assert!(sentences > 500, "only {sentences} sentences were checked");
    assert!(wrong.is_empty(), "{} of {sentences}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn where_an_icmp_error_is_captured_the_way_lets_it_pass() {
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/field/mtu-icmp.pcap");
    let report = hsanalyze(["--format", "json", capture]).run().json();
    let advice = list(&list(&report, "listeners")[0], "advice");
    let fix = string(advice.last().unwrap(), "text");
    assert!(fix.starts_with("clamp the MSS on the way") && !fix.contains("fragmentation needed"), "{fix}");
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
            let retries = &attempt["retries"];
            assert!(retries["syn_ack"] == 0 || retries["syn"] != 0, "{path}: {attempt}");
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

#[test]
fn a_number_that_is_no_count_and_a_doubt_without_a_name_are_found() {
    let attempt = serde_json::json!({"client": "c", "cause": "ack-lost", "verdict": "half-open", "confidence": "possible",
        "evidence": [{"code": "could-be", "text": ""}]});
    let of = |diagnosis: &str| {
        let listener = serde_json::json!({"cause": "ack-lost", "diagnosis": diagnosis, "unproven": 0, "scan": null,
            "verdicts": {"half-open": 1, "completed": 0}});
        foreign_numbers(&listener, &[&attempt])
    };
    assert_eq!(of("ACKs to 10.0.1.1:80 are lost on the way: 1 of 1 attempt, late by 2.10 s."), [0; 0]);
    assert_eq!(of("ACKs to [fd00::1]:80 are lost on the way: 3 of 1 attempt."), [3]);
    assert_eq!(of("The ACKs of 1,500 attempts were ignored (tcp_abort_on_overflow=0)."), [1500]);
    assert_eq!(unnamed_doubts(&attempt), None);
    for confidence in ["likely", "confirmed"] {
        let mut sure = attempt.clone();
        sure["confidence"] = confidence.into();
        assert!(unnamed_doubts(&sure).is_some());
    }
    let mut alone = attempt.clone();
    alone["evidence"] = Value::Array(Vec::new());
    assert!(unnamed_doubts(&alone).is_some());
}
