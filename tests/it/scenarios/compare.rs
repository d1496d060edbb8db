//! Expectations of a scenario, and differences of an answer from them.
//!
//! Only the fields that a scenario names are compared, but for the invariants that hold for every
//! answer. In a scenario the word `"null"` stands for JSON's null, which TOML lacks.

use serde::Deserialize;
use serde_json::Value;

use super::notation::Endpoint;

/// Expected fields of `count` attempts that follow each other by first packet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attempt {
    #[serde(default = "one")]
    count: usize,
    client: Option<String>,
    server: Option<String>,
    frame: Option<Value>,
    verdict: Option<Value>,
    reason: Option<Value>,
    cause: Option<Value>,
    /// A cause that it must not have, where more than one other is defensible.
    not_cause: Option<Value>,
    /// Words that the evidence holds.
    evidence: Option<String>,
    /// Words that it does not.
    not_evidence: Option<String>,
    abort_on_overflow: Option<Value>,
    confidence: Option<Value>,
    /// A confidence that it must not have, where less and none are both right.
    not_confidence: Option<Value>,
    established: Option<Value>,
    retries: Option<Retries>,
    retry_at: Option<Value>,
    syn_retry_at: Option<Value>,
    syn_missing: Option<Value>,
    icmp: Option<Icmp>,
    timing: Option<Timing>,
    unproven: Option<Value>,
    vantage: Option<Value>,
    connect: Option<Connect>,
    /// Seconds that a time may be off.
    #[serde(default = "tolerance")]
    within: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retries {
    syn: Option<Value>,
    syn_ack: Option<Value>,
    after_ack: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Icmp {
    r#type: Value,
    code: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Timing {
    connect: Option<Value>,
    delay: Option<Value>,
    stall: Option<Value>,
    syn_to_synack: Option<Value>,
    synack_to_ack: Option<Value>,
    ack_to_rst: Option<Value>,
    duration: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Connect {
    outcome: Option<Value>,
    errno: Option<Value>,
    window: Option<Value>,
}

/// Expected fields of one listener.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    server: String,
    attempts: Option<Value>,
    cause: Option<Value>,
    not_cause: Option<Value>,
    abort_on_overflow: Option<Value>,
    confidence: Option<Value>,
    /// Words that no piece of evidence holds.
    not_evidence: Option<String>,
    /// Words that the diagnosis holds, in any case, hyphens as spaces.
    #[serde(default)]
    diagnosis: Vec<String>,
}

/// Expected packet counts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counts {
    total: Option<Value>,
    tcp: Option<Value>,
    duplicates: Option<Value>,
    midstream: Option<Value>,
    #[serde(default)]
    skipped: std::collections::BTreeMap<String, Value>,
}

const fn one() -> usize {
    1
}

/// A tenth of a millisecond: rounding on the way to JSON is far below, any wrong packet far above.
const fn tolerance() -> f64 {
    0.0001
}

/// Everything in which an answer is not as expected, one line each.
#[derive(Debug, Default)]
pub(super) struct Differences(pub(super) Vec<String>);

impl Differences {
    fn check(&mut self, place: &str, field: &str, expected: Option<&Value>, actual: &Value, within: f64) {
        let Some(expected) = expected else { return };
        if !same(expected, actual, within) {
            self.0.push(format!("{place}: {field}: expected {expected}, is {actual}"));
        }
    }

    fn require(&mut self, place: &str, holds: bool, rule: &str) {
        if !holds {
            self.0.push(format!("{place}: breaks the rule: {rule}"));
        }
    }
}

fn same(expected: &Value, actual: &Value, within: f64) -> bool {
    match (expected, actual) {
        (Value::String(word), Value::Null) => word == "null",
        (Value::Number(expected), Value::Number(actual)) => match (expected.as_f64(), actual.as_f64()) {
            (Some(expected), Some(actual)) => (expected - actual).abs() <= within,
            _ => false,
        },
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| same(e, a, within))
        }
        _ => expected == actual,
    }
}

/// Compares the attempts of an answer with those expected: all of them, in order.
pub(super) fn attempts(expected: &[Attempt], answer: &Value, v6: bool, differences: &mut Differences) {
    let none = Vec::new();
    let actual = answer["attempts"].as_array().unwrap_or(&none);
    let wanted: usize = expected.iter().map(|attempt| attempt.count).sum();
    if actual.len() != wanted {
        differences.0.push(format!("attempts: expected {wanted}, are {}", actual.len()));
    }
    let each = expected.iter().flat_map(|attempt| std::iter::repeat_n(attempt, attempt.count));
    for (index, (expected, actual)) in each.zip(actual).enumerate() {
        let place = format!("attempt {index} ({})", actual["client"].as_str().unwrap_or("without client"));
        expected.compare(&place, actual, v6, differences);
    }
    for (index, attempt) in actual.iter().enumerate() {
        invariants(&format!("attempt {index}"), attempt, differences);
    }
}

impl Attempt {
    fn compare(&self, place: &str, actual: &Value, v6: bool, differences: &mut Differences) {
        let client = self.client.as_deref().map(|name| address(name, v6));
        let server = self.server.as_deref().map(|name| address(name, v6));
        let Self { retries, timing, connect, icmp, .. } = self;
        let fields = [
            ("/client", client.as_ref()),
            ("/server", server.as_ref()),
            ("/frame", self.frame.as_ref()),
            ("/verdict", self.verdict.as_ref()),
            ("/reason", self.reason.as_ref()),
            ("/cause", self.cause.as_ref()),
            ("/abort_on_overflow", self.abort_on_overflow.as_ref()),
            ("/confidence", self.confidence.as_ref()),
            ("/established", self.established.as_ref()),
            ("/retries/syn", retries.as_ref().and_then(|r| r.syn.as_ref())),
            ("/retries/syn_ack", retries.as_ref().and_then(|r| r.syn_ack.as_ref())),
            ("/retries/after_ack", retries.as_ref().and_then(|r| r.after_ack.as_ref())),
            ("/retry_at", self.retry_at.as_ref()),
            ("/syn_retry_at", self.syn_retry_at.as_ref()),
            ("/syn_missing", self.syn_missing.as_ref()),
            ("/icmp/type", icmp.as_ref().map(|icmp| &icmp.r#type)),
            ("/icmp/code", icmp.as_ref().map(|icmp| &icmp.code)),
            ("/unproven", self.unproven.as_ref()),
            ("/timing/connect", timing.as_ref().and_then(|t| t.connect.as_ref())),
            ("/timing/delay", timing.as_ref().and_then(|t| t.delay.as_ref())),
            ("/timing/stall", timing.as_ref().and_then(|t| t.stall.as_ref())),
            ("/timing/syn_to_synack", timing.as_ref().and_then(|t| t.syn_to_synack.as_ref())),
            ("/timing/synack_to_ack", timing.as_ref().and_then(|t| t.synack_to_ack.as_ref())),
            ("/timing/ack_to_rst", timing.as_ref().and_then(|t| t.ack_to_rst.as_ref())),
            ("/timing/duration", timing.as_ref().and_then(|t| t.duration.as_ref())),
            ("/vantage", self.vantage.as_ref()),
            ("/connect/outcome", connect.as_ref().and_then(|c| c.outcome.as_ref())),
            ("/connect/errno", connect.as_ref().and_then(|c| c.errno.as_ref())),
            ("/connect/window", connect.as_ref().and_then(|c| c.window.as_ref())),
        ];
        for (field, expected) in fields {
            let value = actual.pointer(field).unwrap_or(&Value::Null);
            differences.check(place, &field[1..], expected, value, self.within);
        }
        if let Some(cause) = &self.not_cause {
            differences.require(place, actual["cause"] != *cause, &format!("the cause is not {cause}"));
        }
        if let Some(confidence) = &self.not_confidence {
            let less = actual["confidence"] != *confidence;
            differences.require(place, less, &format!("the confidence is not {confidence}"));
        }
        if let Some(words) = &self.evidence {
            let said = actual["evidence"].to_string();
            differences.require(place, said.contains(words), &format!("evidence says {words:?}"));
        }
        without(self.not_evidence.as_deref(), place, actual, differences);
    }
}

/// Whether the evidence is without these words.
fn without(words: Option<&str>, place: &str, actual: &Value, differences: &mut Differences) {
    if let Some(words) = words {
        let said = actual["evidence"].to_string();
        differences.require(place, !said.contains(words), &format!("no evidence says {words:?}"));
    }
}

/// Checks that hold for every attempt of every answer.
fn invariants(place: &str, attempt: &Value, differences: &mut Differences) {
    let retries = |kind: &str| attempt["retries"][kind].as_u64().unwrap_or(0);
    let times = attempt["retry_at"].as_array().map_or(0, Vec::len) as u64;
    let evidence = attempt["evidence"].as_array().map_or(0, Vec::len);
    let outcome = attempt["connect"]["outcome"].as_str();
    let undetermined = attempt["verdict"] == "undetermined";
    let late = attempt["verdict"] == "completed-late";
    let span = |kind: &str| attempt["timing"][kind].as_f64();
    let in_connect = span("delay").zip(span("connect")).is_none_or(|(delay, connect)| delay <= connect);
    let syn_times = attempt["syn_retry_at"].as_array().map_or(0, Vec::len) as u64;
    let rules = [
        (
            attempt["cause"].is_null() == attempt["confidence"].is_null(),
            "a cause always carries a confidence",
        ),
        (attempt["confidence"] != "confirmed", "packets alone confirm nothing"),
        (attempt["confidence"] != "possible" || evidence > 0, "evidence says what else it could be"),
        (
            attempt["abort_on_overflow"].is_null() || attempt["cause"] == "accept-queue-overflow",
            "only an overflow tells tcp_abort_on_overflow",
        ),
        (retries("after_ack") <= retries("syn_ack"), "after_ack are some of syn_ack"),
        (retries("syn_ack") == 0 || times == retries("syn_ack").min(16), "retry_at has every SYN-ACK repeat"),
        (syn_times == retries("syn").min(16), "syn_retry_at has every SYN retry"),
        (!late || span("delay") != Some(0.0), "who connected late has a delay"),
        (in_connect, "the delay is a part of the connect time"),
        (outcome.is_some(), "connect has an outcome"),
        (outcome == Some("failed") || attempt["connect"]["errno"].is_null(), "only a failure has an errno"),
        (outcome == Some("raced") || attempt["connect"]["window"].is_null(), "only a race has a window"),
        (!undetermined || !attempt["reason"].is_null(), "undetermined says why"),
    ];
    for (holds, rule) in rules {
        differences.require(place, holds, rule);
    }
}

/// Compares the listeners that are named.
pub(super) fn listeners(expected: &[Listener], answer: &Value, v6: bool, differences: &mut Differences) {
    let none = Vec::new();
    let actual = answer["listeners"].as_array().unwrap_or(&none);
    for listener in expected {
        let server = address(&listener.server, v6);
        let place = format!("listener {server}");
        match actual.iter().find(|record| record["server"] == server) {
            Some(record) => listener.compare(&place, record, differences),
            None => differences.0.push(format!("{place}: is not in the answer")),
        }
    }
}

impl Listener {
    fn compare(&self, place: &str, actual: &Value, differences: &mut Differences) {
        let fields = [
            ("attempts", &self.attempts),
            ("cause", &self.cause),
            ("abort_on_overflow", &self.abort_on_overflow),
            ("confidence", &self.confidence),
        ];
        for (field, expected) in fields {
            differences.check(place, field, expected.as_ref(), &actual[field], 0.0);
        }
        if let Some(cause) = &self.not_cause {
            differences.require(place, actual["cause"] != *cause, &format!("the cause is not {cause}"));
        }
        without(self.not_evidence.as_deref(), place, actual, differences);
        let said = actual["diagnosis"].as_str().unwrap_or_default();
        let plain = said.to_lowercase().replace('-', " ");
        for word in &self.diagnosis {
            differences.require(place, plain.contains(word), &format!("'{said}' speaks of '{word}'"));
        }
    }
}

/// Compares the counts that are named, and those that must add up.
pub(super) fn counts(expected: &Counts, answer: &Value, differences: &mut Differences) {
    let actual = &answer["packets"];
    let fields = [
        ("total", &expected.total),
        ("tcp", &expected.tcp),
        ("duplicates", &expected.duplicates),
        ("midstream", &expected.midstream),
    ];
    for (field, expected) in fields {
        differences.check("packets", field, expected.as_ref(), &actual[field], 0.0);
    }
    for (reason, expected) in &expected.skipped {
        differences.check("packets skipped", reason, Some(expected), &actual["skipped"][reason], 0.0);
    }
    let verdicts = answer["verdicts"].as_object();
    let tally: u64 = verdicts.into_iter().flat_map(|tally| tally.values()).filter_map(Value::as_u64).sum();
    let attempts = answer["attempts"].as_array().map_or(0, Vec::len) as u64;
    differences.require("verdicts", tally == attempts, "the tallies add up to the attempts");
}

fn address(endpoint: &str, v6: bool) -> Value {
    let endpoint: Endpoint = endpoint.parse().expect("an endpoint such as C:40001");
    Value::String(endpoint.socket(v6).to_string())
}
