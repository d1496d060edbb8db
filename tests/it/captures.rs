//! The bundled captures of real kernels against `expected.json`.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use serde_json::Value;

use crate::util::{capture, captures, captures_dir, count, hsanalyze, list, report, string};

/// So many attempts of a capture look like this. What is not given is not compared; `null` is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    count: usize,
    verdict: String,
    after_ack: u64,
    #[serde(default, deserialize_with = "given")]
    cause: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    confidence: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    abort_on_overflow: Option<Value>,
}

/// Keeps a `null` apart from a key that is absent.
fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

impl Expected {
    fn matches(&self, attempt: &Value) -> bool {
        let same = |key: &str, wanted: &Option<Value>| wanted.as_ref().is_none_or(|w| attempt[key] == *w);
        string(attempt, "verdict") == self.verdict
            && count(attempt, "/retries/after_ack") == self.after_ack
            && same("cause", &self.cause)
            && same("confidence", &self.confidence)
            && same("abort_on_overflow", &self.abort_on_overflow)
    }
}

fn expected() -> BTreeMap<String, Vec<Expected>> {
    let text = fs::read_to_string(captures_dir().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Fields of an attempt that `expected.json` may name.
fn summary(attempt: &Value) -> String {
    let keys = ["client", "verdict", "cause", "confidence", "abort_on_overflow", "retries"];
    keys.map(|k| format!("{k} {}", attempt[k])).join(", ")
}

/// Where the attempts differ from what is expected of them, in words; empty where they do not.
fn differences(expected: &[Expected], attempts: &[Value]) -> Vec<String> {
    let mut found = vec![0; expected.len()];
    let mut differences = Vec::new();
    for attempt in attempts {
        match expected.iter().position(|e| e.matches(attempt)) {
            Some(i) => found[i] += 1,
            None => differences.push(format!("not expected: {}", summary(attempt))),
        }
    }
    for (entry, found) in expected.iter().zip(found) {
        if found != entry.count {
            differences.push(format!("{found} instead of {entry:?}"));
        }
    }
    differences
}

#[test]
fn every_capture_gives_exactly_what_is_expected() {
    let mut expected = expected();
    let mut wrong = Vec::new();
    for path in captures() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let entries = expected.remove(&name).unwrap_or_else(|| panic!("expected.json lacks {name}"));
        let report = report([&path]);
        wrong.extend(differences(&entries, list(&report, "attempts")).iter().map(|d| format!("{name}: {d}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(expected.is_empty(), "expected.json speaks of captures that are not there: {expected:?}");
}

#[test]
fn the_tallies_agree_with_the_attempts() {
    for path in captures() {
        let report = report([&path]);
        let attempts = list(&report, "attempts");
        let mut tally = BTreeMap::<&str, u64>::new();
        attempts.iter().for_each(|a| *tally.entry(string(a, "verdict")).or_default() += 1);
        let verdicts = report["verdicts"].as_object().unwrap();
        assert_eq!(verdicts.len(), 11, "{}: every verdict, zeros included: {verdicts:?}", path.display());
        for (verdict, n) in verdicts {
            let n = n.as_u64().unwrap();
            assert_eq!(n, tally.get(verdict.as_str()).copied().unwrap_or(0), "{}: {verdict}", path.display());
        }
        let listeners = list(&report, "listeners").iter().map(|l| count(l, "/attempts")).sum::<u64>();
        assert_eq!(listeners, attempts.len() as u64, "{}: attempts over all listeners", path.display());
    }
}

/// The listener's own line must name the setting, in words and in the field.
#[test]
fn the_listener_names_the_overflow_and_its_setting() {
    for (name, abort) in [("overflow_drop-server", 0), ("overflow_reset-server", 1)] {
        let report = report([capture(name)]);
        let [listener] = list(&report, "listeners") else { panic!("{name}: one listener: {report}") };
        assert_eq!(listener["cause"], "accept-queue-overflow", "{name}: {listener}");
        assert_eq!(listener["abort_on_overflow"], abort, "{name}: {listener}");
        assert_eq!(listener["confidence"], "likely", "{name}: {listener}");
        let diagnosis = string(listener, "diagnosis");
        let setting = format!("tcp_abort_on_overflow={abort}");
        assert!(diagnosis.contains(&setting), "{name}: the diagnosis does not say {setting}: {diagnosis}");
    }
}

#[test]
fn look_alikes_raise_no_overflow() {
    let alike = [
        "defer_accept_late_data-server",
        "defer_accept_late_data-client",
        "ack_firewalled_reset-server",
        "ack_firewalled_reset-client",
        "app_reset-server",
        "app_reset-client",
        "high_rtt-server",
        "high_rtt-client",
        "duplicated-server",
        "duplicated-client",
        "ack_lost-server",
    ];
    for name in alike {
        let report = report([capture(name)]);
        for record in list(&report, "attempts").iter().chain(list(&report, "listeners")) {
            assert_ne!(record["cause"], "accept-queue-overflow", "{name}: {record}");
        }
    }
}

#[test]
fn the_text_of_a_mixed_overflow_names_its_three_faces() {
    let ran = hsanalyze([capture("overflow_mixed-server")]).succeed();
    let text = ran.text().to_lowercase();
    for word in
        ["10.9.0.2:7777", "overflow", "tcp_abort_on_overflow=0", "retransmitted", "unanswered", "completed"]
    {
        assert!(text.contains(word), "no '{word}' in the text\n{ran}");
    }
}
