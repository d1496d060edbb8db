//! Field cases: captures of troubles that people met, with what must hold of the output (fixtures/field/README.md).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::RegexBuilder;
use serde::Deserialize;
use serde_json::Value;

use crate::util::{hsanalyze, list, string};

/// Entry of `cases.json`. A key that is absent is not checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    file: Files,
    story: String,
    #[serde(default)]
    args: Vec<String>,
    attempts: Option<Count>,
    #[serde(default)]
    verdicts: BTreeMap<String, Count>,
    delay: Option<f64>,
    causes: Option<Vec<Option<String>>>,
    confidence: Option<Vec<Option<String>>>,
    abort: Option<Vec<Option<u64>>>,
    #[serde(default)]
    never: Vec<(String, String)>,
    #[serde(default)]
    affected: BTreeMap<String, Count>,
    #[serde(default)]
    retries: BTreeMap<String, Count>,
    #[serde(default)]
    text: Vec<String>,
    #[serde(default)]
    not_text: Vec<String>,
}

/// Capture of a case, or several that are read together.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Files {
    One(String),
    Several(Vec<String>),
}

/// An exact count, or the least and the most.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Count {
    Exactly(u64),
    Between(u64, u64),
}

impl Count {
    fn contains(&self, n: u64) -> bool {
        match *self {
            Self::Exactly(wanted) => n == wanted,
            Self::Between(least, most) => (least..=most).contains(&n),
        }
    }
}

/// Both outputs of a case, and what was found wrong with them.
struct Check<'a> {
    case: &'a Case,
    report: Value,
    /// The text report in one line.
    text: String,
    wrong: Vec<String>,
}

impl<'a> Check<'a> {
    /// Runs the program twice. If it printed no document, returns its error message.
    fn run(case: &'a Case) -> Result<Self, String> {
        let names = match &case.file {
            Files::One(name) => std::slice::from_ref(name),
            Files::Several(names) => names,
        };
        let paths: Vec<PathBuf> = names.iter().map(|name| field_dir().join(name)).collect();
        let run = |options: &[&str]| {
            let mut args: Vec<_> = options.iter().map(Into::into).collect();
            args.extend(case.args.iter().map(Into::into));
            args.extend(paths.iter().map(|path| path.clone().into_os_string()));
            hsanalyze::<std::ffi::OsString>(args).run()
        };
        let document = run(&["--format", "json", "--all"]);
        let report = serde_json::from_slice(&document.stdout)
            .map_err(|_| format!("no JSON, {}: {}", document.status, document.stderr.trim()))?;
        let printed = String::from_utf8_lossy(&run(&["--color", "never"]).stdout).into_owned();
        let text = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { case, report, text, wrong: Vec::new() })
    }

    /// Notes what is wrong unless `holds`.
    fn expect(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(otherwise());
        }
    }

    fn count(&mut self, what: &str, n: u64, wanted: &Count) {
        self.expect(wanted.contains(n), || format!("{n} {what}, not {wanted:?}"));
    }

    fn attempts(&self) -> &[Value] {
        list(&self.report, "attempts")
    }

    fn check_attempts(&mut self) {
        let case = self.case;
        if let Some(wanted) = &case.attempts {
            self.count("attempts", self.attempts().len() as u64, wanted);
        }
        for (verdict, wanted) in &case.verdicts {
            self.count(verdict, self.report["verdicts"][verdict].as_u64().unwrap_or(0), wanted);
        }
        for (cause, wanted) in &case.affected {
            let n = self.attempts().iter().filter(|attempt| attempt["cause"] == **cause).count();
            self.count(&format!("attempts with cause {cause}"), n as u64, wanted);
        }
        for (kind, wanted) in &case.retries {
            let retries = |attempt: &Value| attempt["retries"][kind].as_u64();
            let sum = self.attempts().iter().map(|attempt| retries(attempt).unwrap_or(0)).sum();
            self.count(&format!("{kind} retries"), sum, wanted);
        }
        if let Some(least) = case.delay {
            let late = self.attempts().iter().filter(|attempt| attempt["verdict"] == "completed-late");
            let delays = late.map(|attempt| attempt["timing"]["delay"].as_f64().unwrap_or(0.0));
            let shortest = delays.fold(f64::INFINITY, f64::min);
            self.expect(shortest >= least, || format!("a delay of {shortest} s, not {least} s or more"));
        }
    }

    /// The listener with most problems; of several with as many, one that has a cause. `Null` where there is none.
    fn worst_listener(&self) -> Value {
        let problems = |listener: &Value| {
            let counts = listener["verdicts"].as_object().unwrap().iter();
            let problems =
                counts.filter(|(verdict, _)| !matches!(verdict.as_str(), "completed" | "undetermined"));
            problems.map(|(_, n)| n.as_u64().unwrap()).sum::<u64>()
        };
        let rank = |listener: &&Value| (problems(listener), !listener["cause"].is_null());
        // The first of equals, where `max_by_key` takes the last.
        list(&self.report, "listeners").iter().rev().max_by_key(rank).cloned().unwrap_or_default()
    }

    fn check_worst_listener(&mut self) {
        let case = self.case;
        let worst = self.worst_listener();
        let mut one_of = |key: &str, wanted: Option<Vec<Value>>| {
            let Some(wanted) = wanted else { return };
            self.expect(wanted.contains(&worst[key]), || {
                let wanted: Vec<_> = wanted.iter().map(Value::to_string).collect();
                format!("{key} {}, not {}", worst[key], wanted.join(" or "))
            });
        };
        let texts = |wanted: &Vec<Option<String>>| wanted.iter().map(|w| w.clone().into()).collect();
        one_of("cause", case.causes.as_ref().map(texts));
        one_of("confidence", case.confidence.as_ref().map(texts));
        one_of("abort_on_overflow", case.abort.as_ref().map(|w| w.iter().map(|&w| w.into()).collect()));
    }

    fn check_claims(&mut self) {
        for (cause, least) in &self.case.never {
            let claims =
                |record: &&Value| record["cause"] == **cause && rank(&record["confidence"]) >= rank_of(least);
            let claim = self.attempts().iter().chain(list(&self.report, "listeners")).find(claims);
            let confidence = claim.map(|record| string(record, "confidence").to_owned());
            self.expect(confidence.is_none(), || {
                format!("claims {cause} ({})", confidence.unwrap_or_default())
            });
        }
    }

    fn check_text(&mut self) {
        let matched = |pattern: &String, text: &str| {
            let regex = RegexBuilder::new(pattern).case_insensitive(true).build().unwrap();
            regex.find(text).map(|found| found.as_str().to_owned())
        };
        for pattern in &self.case.text {
            let found = matched(pattern, &self.text);
            self.expect(found.is_some(), || format!("the text lacks /{pattern}/"));
        }
        for pattern in &self.case.not_text {
            let found = matched(pattern, &self.text);
            self.expect(found.is_none(), || format!("the text has \"{}\"", found.unwrap_or_default()));
        }
    }
}

/// The order of confidences. A record without a cause has none.
fn rank(confidence: &Value) -> u8 {
    confidence.as_str().map_or(0, rank_of)
}

fn rank_of(confidence: &str) -> u8 {
    match confidence {
        "possible" => 1,
        "likely" => 2,
        "confirmed" => 3,
        other => panic!("no confidence is called '{other}'"),
    }
}

fn field_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/field")
}

fn cases() -> Vec<Case> {
    serde_json::from_str(&fs::read_to_string(field_dir().join("cases.json")).unwrap()).unwrap()
}

/// Failures of a case, in words; empty if there are none.
fn failures(case: &Case) -> Vec<String> {
    let mut check = match Check::run(case) {
        Ok(check) => check,
        Err(error) => return vec![error],
    };
    check.check_attempts();
    check.check_worst_listener();
    check.check_claims();
    check.check_text();
    check.wrong
}

#[test]
fn every_field_case_is_as_it_should_be() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        let failures = failures(case);
        if !failures.is_empty() {
            wrong.push(format!("{}: {}\n    {}", case.id, failures.join("; "), case.story));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
