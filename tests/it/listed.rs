//! `--verdict` and `--cause`: every output lists the attempts that fit, and no others.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::util::{capture, hsanalyze, list};

/// Captures whose listeners differ in their causes.
fn inputs() -> [String; 3] {
    ["overflow_mixed-server", "refused-server", "syn_scan-server"]
        .map(|name| capture(name).to_str().unwrap().to_owned())
}

/// Choices by verdict and by cause, and what an attempt that fits has.
type Choice = (&'static [&'static str], fn(&str, &str, &str) -> bool);

const CHOICES: [Choice; 5] = [
    (&["--cause", "accept-queue-overflow"], |_, cause, _| cause == "accept-queue-overflow"),
    (&["--cause", "port-closed,syn-scan"], |_, cause, _| cause == "port-closed" || cause == "syn-scan"),
    (&["--cause", "accept-queue-overflow:confirmed"], |_, cause, sure| {
        cause == "accept-queue-overflow" && sure == "confirmed"
    }),
    (&["--cause", "accept-queue-overflow:likely", "--verdict", "synack-retransmitted,refused"], {
        |verdict, cause, sure| {
            cause == "accept-queue-overflow" && sure == "likely" && verdict == "synack-retransmitted"
        }
    }),
    (&["--cause", "filtered"], |_, cause, _| cause == "filtered"),
];

fn text<'a>(attempt: &'a Value, key: &str) -> &'a str {
    attempt[key].as_str().unwrap_or_default()
}

/// The clients of these attempts that fit.
fn fitting(attempts: &[Value], fits: fn(&str, &str, &str) -> bool) -> BTreeSet<String> {
    let fits = |a: &&Value| fits(text(a, "verdict"), text(a, "cause"), text(a, "confidence"));
    attempts.iter().filter(fits).map(|attempt| text(attempt, "client").to_owned()).collect()
}

/// The attempts of a report, as they are listed in this format.
fn run(format: &str, choice: &[&str]) -> String {
    let inputs = inputs();
    let inputs = inputs.iter().map(String::as_str);
    let arguments = ["--format", format].into_iter().chain(choice.iter().copied()).chain(inputs);
    hsanalyze(arguments).succeed().text().to_owned()
}

/// The attempts of an ndjson report.
fn lines(report: &str) -> Vec<Value> {
    let lines = report.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["type"] == "attempt").collect()
}

/// The clients in the lines of a list: those that begin with a time.
fn clients_of(report: &str) -> BTreeSet<String> {
    let rows = report.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let is_time = words.next()?.split(':').count() == 3;
        words.next().filter(|word| is_time && word.contains(':')).map(str::to_owned)
    });
    rows.collect()
}

#[test]
fn every_format_lists_the_attempts_that_fit() {
    let json: Value = serde_json::from_str(&run("json", &[])).unwrap();
    let known_then = lines(&run("ndjson", &[]));
    let mut listed_any = 0;
    for (choice, fits) in CHOICES {
        let expected = fitting(list(&json, "attempts"), fits);
        listed_any += usize::from(!expected.is_empty());
        let chosen: Value = serde_json::from_str(&run("json", choice)).unwrap();
        assert_eq!(fitting(list(&chosen, "attempts"), |_, _, _| true), expected, "{choice:?}");
        assert_eq!(chosen["verdicts"], json["verdicts"], "counts are of all");
        assert_eq!(chosen["listeners"], json["listeners"]);
        let text = run("text", &[choice, &["--all"]].concat());
        assert_eq!(clients_of(&text), expected, "{choice:?}\n{text}");
        assert_eq!(text.contains("No attempt to list has"), expected.is_empty(), "{text}");

        let expected = fitting(&known_then, fits);
        let chosen = lines(&run("ndjson", choice));
        assert_eq!(fitting(&chosen, |_, _, _| true), expected, "{choice:?}");
        let rows = run("csv", choice);
        let rows: BTreeSet<&str> = rows.lines().skip(1).filter_map(|row| row.split(',').next()).collect();
        assert_eq!(rows, expected.iter().map(String::as_str).collect(), "{choice:?}");
    }
    assert_eq!(listed_any, 3, "some choices list something, and some nothing");
}

#[test]
fn what_shows_packets_has_the_attempts_that_fit() {
    let json: Value = serde_json::from_str(&run("json", &[])).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (page, packets) = (directory.path().join("page.html"), directory.path().join("packets.pcapng"));
    for (choice, fits) in CHOICES {
        let expected = fitting(list(&json, "attempts"), fits);
        let files = ["--report", page.to_str().unwrap(), "--write", packets.to_str().unwrap(), "--ladder=60"];
        let ladders = run("text", &[choice, &files].concat());
        let heads = ladders.lines().filter(|line| line.contains(" > ") && line.contains(", frame "));
        let heads: BTreeSet<String> =
            heads.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect();
        assert_eq!(heads, expected, "{choice:?}\n{ladders}");
        let html = fs::read_to_string(&page).unwrap();
        let data = html.split_once("id=\"data\"").unwrap().1;
        let data = &data[data.find('{').unwrap()..data.find("</script").unwrap()];
        let data: Value = serde_json::from_str(data).unwrap();
        let rows = list(&data, "attempts").iter().map(|row| row[1].as_str().unwrap().to_owned());
        assert_eq!(rows.collect::<BTreeSet<_>>(), expected, "{choice:?}");
        assert!(html.contains("the attempts with the verdicts and causes that were asked for"));
        let written = hsanalyze(["--format", "json", packets.to_str().unwrap()]).succeed().json();
        assert_eq!(fitting(list(&written, "attempts"), |_, _, _| true), expected, "{choice:?}");
    }
}

/// A pipe cannot be read twice: its packets are kept by what is known when an attempt is settled.
#[test]
fn a_pipe_lists_and_keeps_the_attempts_that_fit() {
    let directory = tempfile::tempdir().unwrap();
    let packets = directory.path().join("packets.pcapng");
    let arguments = ["-", "--all", "--cause", "accept-queue-overflow", "--write", packets.to_str().unwrap()];
    let bytes = fs::read(capture("overflow_mixed-server")).unwrap();
    let ran = hsanalyze(arguments).stdin(bytes).succeed();
    assert_eq!(clients_of(ran.text()).len(), 50, "{ran}");
    let written = hsanalyze(["--format", "json", packets.to_str().unwrap()]).succeed().json();
    assert_eq!(list(&written, "attempts").len(), 50);
}

/// Other outputs need no cause before the end.
#[test]
fn the_packets_of_a_pipe_are_chosen_beside_any_format() {
    let directory = tempfile::tempdir().unwrap();
    let packets = directory.path().join("packets.pcapng");
    let bytes = fs::read(capture("overflow_mixed-server")).unwrap();
    for format in ["json", "markdown", "csv"] {
        let arguments = ["--format", format, "-", "--cause", "accept-queue-overflow", "--write"];
        hsanalyze(arguments.into_iter().chain(packets.to_str())).stdin(bytes.clone()).succeed();
        let written = hsanalyze(["--format", "json", packets.to_str().unwrap()]).succeed().json();
        assert_eq!(list(&written, "attempts").len(), 50, "{format}");
    }
}
