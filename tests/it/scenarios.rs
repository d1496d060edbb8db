//! Scenarios: packets written down in `fixtures/scenarios/*.toml`, made into real captures, given to
//! the real program, and its JSON compared with what the rules of the domain say.
//!
//! Written from the rules, not from the program, so that the two check each other.

mod build;
mod compare;
mod notation;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use build::Frame;
use compare::Differences;
use notation::{Misdated, Scenario, Suite, Zero, nanos};

/// One test for each file, and one that no file is without its test.
macro_rules! suites {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { run_suite(&file_stem(stringify!($name))); })*

        #[test]
        fn every_file_is_run() {
            let listed = [$(file_stem(stringify!($name))),*];
            let mut found: Vec<String> = fs::read_dir(directory())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
                .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            found.sort();
            assert_eq!(found, listed);
        }
    };
}

suites!(
    attempts,
    causes,
    claims,
    connect,
    copies,
    crossings,
    doubts,
    examples,
    gaps,
    ignored,
    late,
    listeners,
    lookalikes_ack,
    lookalikes_reset,
    misdated,
    near_misses,
    older_connections,
    other_senders,
    overflow,
    repeats,
    resets,
    undetermined,
    unestablished,
    unproven,
    vantage,
);

/// A test's name has underscores where its file's has hyphens.
fn file_stem(test: &str) -> String {
    test.replace('_', "-")
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios")
}

/// The captures of all scenarios, written anew, each with the arguments that it is analysed with.
pub(crate) fn captures() -> Vec<(PathBuf, Vec<String>)> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scenarios-all");
    fs::create_dir_all(&folder).expect("a directory for the captures");
    let mut captures = Vec::new();
    for file in fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let suite: Suite = toml::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        for (index, scenario) in suite.scenario.into_iter().enumerate() {
            let stem = file.file_stem().unwrap().to_string_lossy();
            let capture = folder.join(format!("{stem}-{index:03}.pcap"));
            fs::write(&capture, build::pcap(&build::frames(&scenario).unwrap())).unwrap();
            captures.push((capture, scenario.args));
        }
    }
    captures
}

fn run_suite(name: &str) {
    let file = directory().join(format!("{name}.toml"));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let suite: Suite = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let captures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scenarios").join(name);
    fs::create_dir_all(&captures).expect("a directory for the captures");
    let mut failures = String::new();
    for (index, scenario) in suite.scenario.iter().enumerate() {
        let capture = captures.join(format!("{index:02}.pcap"));
        if let Err(failure) = run(scenario, &capture).and_then(|()| bundle(scenario, &capture)) {
            let _ = writeln!(failures, "\n{}: {}\n{failure}", file.display(), scenario.name);
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// Compares the capture with the bundled example that the scenario is, or writes that where `UPDATE_DOCS` is set.
fn bundle(scenario: &Scenario, capture: &Path) -> Result<(), String> {
    let Some(name) = &scenario.example else { return Ok(()) };
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/examples").join(name);
    let made = fs::read(capture).expect("the capture that was written");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&bundled, &made).expect("room for the example");
    }
    match fs::read(&bundled) {
        Ok(bytes) if bytes == made => Ok(()),
        Ok(_) => Err(format!("{} differs from the scenario; UPDATE_DOCS=1 writes it", bundled.display())),
        Err(error) => Err(format!("{}: {error}; UPDATE_DOCS=1 writes it", bundled.display())),
    }
}

/// Runs one scenario, leaving its capture for who wants to look; the error is everything one needs to
/// understand it.
fn run(scenario: &Scenario, capture: &Path) -> Result<(), String> {
    let frames = build::frames(scenario).map_err(|error| error.to_string())?;
    check(scenario, &frames, capture)?;
    for &misdated in &scenario.misdated {
        let places = match misdated {
            Misdated::By(_) => 0..frames.len(),
            Misdated::FirstAtZero(Zero::Zero) => 0..1,
        };
        for place in places {
            let mut frames = frames.clone();
            let frame = &mut frames[place];
            frame.at = match misdated {
                Misdated::By(seconds) => frame.at + nanos(seconds),
                Misdated::FirstAtZero(Zero::Zero) => -build::EPOCH * 1_000_000_000,
            };
            check(scenario, &frames, capture)?;
        }
    }
    Ok(())
}

/// Writes the frames, and compares the answer to them with the one that is expected.
fn check(scenario: &Scenario, frames: &[Frame], capture: &Path) -> Result<(), String> {
    fs::write(capture, build::pcap(frames)).expect("room for the capture");

    let mut command = Command::new(env!("CARGO_BIN_EXE_hsanalyze"));
    command.args(["--format", "json"]).args(&scenario.args).arg(capture);
    let output = command.output().expect("the program starts");
    let failure = |problem: &str| report(scenario, frames, &command, problem, &output.stderr);
    if !output.status.success() {
        return Err(failure(&format!("the program ended with {}", output.status)));
    }
    let answer: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| failure(&format!("standard output is no JSON document: {error}")))?;

    let mut differences = Differences::default();
    compare::attempts(&scenario.attempt, &answer, scenario.v6, &mut differences);
    compare::listeners(&scenario.listener, &answer, scenario.v6, &mut differences);
    compare::counts(&scenario.counts, &answer, &mut differences);
    if differences.0.is_empty() { Ok(()) } else { Err(failure(&differences.0.join("\n"))) }
}

fn report(scenario: &Scenario, frames: &[Frame], command: &Command, problem: &str, stderr: &[u8]) -> String {
    /// A burst's packets are all alike.
    const SHOWN: usize = 60;
    let mut text = format!("{problem}\nwhy: {}\n{command:?}\n", scenario.why.trim());
    for (index, frame) in frames.iter().take(SHOWN).enumerate() {
        let _ = writeln!(text, "  {:3}  {:13.6}  {}", index + 1, frame.at as f64 / 1e9, frame.text);
    }
    if let Some(more) = frames.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} packets more");
    }
    if !stderr.is_empty() {
        let _ = writeln!(text, "stderr: {}", String::from_utf8_lossy(stderr).trim_end());
    }
    text
}

#[test]
fn a_scenario_rejects_what_it_does_not_know() {
    let parse = |text: &str| toml::from_str::<Suite>(text).map(|_| ()).unwrap_err().to_string();
    let head = "[[scenario]]\nname = 'n'\nwhy = 'w'\n";
    for (key, toml) in [
        ("pakets", format!("{head}pakets = ''")),
        ("verdikt", format!("{head}[[scenario.attempt]]\nverdikt = 'completed'")),
        ("sin", format!("{head}[[scenario.attempt]]\nretries = {{ sin = 1 }}")),
        ("diagnose", format!("{head}[[scenario.listener]]\nserver = 'S'\ndiagnose = []")),
        ("coppies", format!("{head}counts = {{ coppies = 1 }}")),
    ] {
        assert!(parse(&toml).contains(&format!("unknown field `{key}`")), "{toml}");
    }
}

#[test]
fn a_packet_line_rejects_what_it_does_not_know() {
    let reason = |line: &str| notation::script(line).unwrap_err().to_string();
    assert!(reason("0 C > S S mss=5").contains("unknown field 'mss=5'"));
    assert!(reason("0 C > S Q").contains("'Q' are no flags"));
    assert!(reason("0 C > Z S").contains("'Z' is no endpoint"));
    assert!(reason("soon C > S S").contains("'soon' is no time"));
    assert!(reason("0 C S S").contains("want: TIME FROM > TO"));
    assert!(reason("0 copy win=1").contains("copy takes ttl=N"));
}

#[test]
fn a_comparison_names_what_differs_and_nothing_else() {
    let suite: Suite = toml::from_str(
        r#"
        [[scenario]]
        name = "n"
        why = "w"
        counts = { duplicates = 1 }
        [[scenario.attempt]]
        client = "C"
        verdict = "reset-after-ack"
        reason = "null"
        cause = "accept-queue-overflow"
        retry_at = [1.0]
        connect = { outcome = "raced", window = 0.01 }
        [[scenario.listener]]
        server = "S"
        diagnosis = ["accept queue"]
        "#,
    )
    .unwrap();
    let scenario = &suite.scenario[0];
    let answer = serde_json::json!({
        "attempts": [{
            "client": "10.0.0.1:40000", "server": "10.0.1.1:80", "verdict": "reset-after-ack", "reason": null,
            "cause": "accept-queue-overflow", "abort_on_overflow": 1, "confidence": "likely", "evidence": ["RST"],
            "retries": {"syn": 0, "syn_ack": 1, "after_ack": 0}, "retry_at": [1.00001],
            "connect": {"outcome": "raced", "errno": null, "window": 0.01},
        }],
        "listeners": [{"server": "10.0.1.1:80", "diagnosis": "Its accept-queue overflows."}],
        "packets": {"duplicates": 1},
        "verdicts": {"completed": 0, "reset-after-ack": 1},
    });
    let differences = |answer: &Value| {
        let mut differences = Differences::default();
        compare::attempts(&scenario.attempt, answer, false, &mut differences);
        compare::listeners(&scenario.listener, answer, false, &mut differences);
        compare::counts(&scenario.counts, answer, &mut differences);
        differences.0
    };
    assert_eq!(differences(&answer), Vec::<String>::new());
    for (field, wrong, named) in [
        ("/attempts/0/client", "10.0.0.1:40001".into(), "client"),
        ("/attempts/0/verdict", "completed".into(), "verdict"),
        ("/attempts/0/reason", "evicted".into(), "reason"),
        ("/attempts/0/retry_at/0", 1.1.into(), "retry_at"),
        ("/attempts/0/connect/window", Value::Null, "connect/window"),
        ("/attempts/0/confidence", "confirmed".into(), "packets alone confirm nothing"),
        ("/attempts/0/retries/after_ack", 2.into(), "after_ack are some of syn_ack"),
        ("/listeners/0/diagnosis", "All is well.".into(), "speaks of 'accept queue'"),
        ("/packets/duplicates", 0.into(), "duplicates"),
        ("/verdicts/completed", 1.into(), "the tallies add up to the attempts"),
    ] {
        let mut answer = answer.clone();
        *answer.pointer_mut(field).unwrap() = wrong;
        let found = differences(&answer);
        assert!(matches!(found.as_slice(), [one] if one.contains(named)), "{field}: {found:?}");
    }
    let mut more = answer.clone();
    more["attempts"] = Value::Array(Vec::new());
    assert!(differences(&more)[0].contains("expected 1, are 0"));
}
