//! Every format, from the same hand-made analyses.

use std::io::{self, ErrorKind, Write};

use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::Value;
use strum::IntoEnumIterator;

use super::samples::{self, Sample};
use super::*;
use crate::engine::LimitCode;
use crate::handshake::{
    Cause, Confidence, ConnectOutcome, Errno, EvidenceCode, Reason, SharedInference, Unproven, Vantage,
    Verdict,
};
use crate::listener::{AttemptFilter, ListenerEvidenceCode, VerdictSet};
use crate::packet::{Span, Timestamp};

fn render(sample: &Sample, options: ReportOptions) -> String {
    let (summary, attempts) = sample;
    let mut bytes = Vec::new();
    let mut reporter = Reporter::new(options, &mut bytes).unwrap();
    for attempt in attempts {
        reporter.attempt(attempt).unwrap();
    }
    reporter.finish(summary, &samples::listeners(attempts), None).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn text(sample: &Sample) -> String {
    render(sample, ReportOptions::default())
}

fn verbose(sample: &Sample) -> String {
    render(sample, ReportOptions { verbosity: Verbosity::Verbose, ..ReportOptions::default() })
}

fn format(sample: &Sample, format: ReportFormat) -> String {
    render(sample, ReportOptions { format, ..ReportOptions::default() })
}

fn all_samples() -> [Sample; 6] {
    [
        samples::healthy(),
        samples::overflow_mixed(),
        samples::refused(),
        samples::damaged(),
        samples::ipv6(),
        samples::midstream(),
    ]
}

#[test]
fn a_healthy_capture_takes_three_lines() {
    let report = text(&samples::healthy());
    assert_eq!(report.lines().count(), 3, "{report}");
    insta::assert_snapshot!("text_healthy", report);
}

#[test]
fn text_shows_what_is_wrong() {
    insta::assert_snapshot!("text_overflow_mixed", text(&samples::overflow_mixed()));
    insta::assert_snapshot!("text_refused", text(&samples::refused()));
    insta::assert_snapshot!("text_damaged", text(&samples::damaged()));
    insta::assert_snapshot!("text_ipv6", text(&samples::ipv6()));
    insta::assert_snapshot!("text_midstream", text(&samples::midstream()));
}

#[test]
fn the_same_advice_is_given_once() {
    let (mut summary, attempts) = samples::overflow_mixed();
    let mut other = summary.listeners[0].clone();
    other.server = Some("10.9.0.2:7778".parse::<std::net::SocketAddr>().unwrap().into());
    summary.listeners.push(other);
    let report = text(&(summary.clone(), attempts.clone()));
    assert!(report.contains("advice   as for 10.9.0.2:7777"), "{report}");
    assert_eq!(report.matches("ss -ltnm").count(), 1, "{report}");
    summary.listeners[1].advice.pop();
    let report = text(&(summary, attempts));
    assert!(report.contains("check    as for 10.9.0.2:7777"), "{report}");
    assert_eq!(report.matches("ss -ltnm").count(), 1, "{report}");
}

#[test]
fn verbose_text_gives_the_reasons() {
    insta::assert_snapshot!("text_refused_verbose", verbose(&samples::refused()));
    insta::assert_snapshot!("text_damaged_verbose", verbose(&samples::damaged()));
    insta::assert_snapshot!("text_ipv6_verbose", verbose(&samples::ipv6()));
}

#[test]
fn quiet_text_has_only_problems() {
    let quiet =
        |sample| render(&sample, ReportOptions { verbosity: Verbosity::Quiet, ..ReportOptions::default() });
    assert_eq!(quiet(samples::healthy()), "");
    assert_eq!(quiet(samples::midstream()), "");
    insta::assert_snapshot!("text_refused_quiet", quiet(samples::refused()));
}

#[test]
fn text_fits_eighty_columns() {
    for sample in all_samples() {
        for report in [text(&sample), verbose(&sample)] {
            for line in report.lines() {
                assert!(line.chars().count() <= 80, "{line}");
                assert_eq!(line, line.trim_end(), "no blanks at the end");
            }
        }
    }
}

/// The narrowest width: only names and addresses, which must stay whole, may be longer.
#[test]
fn text_fits_forty_columns() {
    let (summary, attempts) = samples::overflow_mixed();
    let options = ReportOptions { width: 40, ..ReportOptions::default() };
    let report = render(&(summary, attempts), options);
    for line in report.lines() {
        assert!(line.chars().count() <= 40, "{line}");
    }
    insta::assert_snapshot!("text_forty_columns", report);
}

#[test]
fn text_lists_what_was_asked_for() {
    let sample = samples::overflow_mixed();
    let rows = |options: ReportOptions| {
        let report = render(&sample, options);
        report.lines().filter(|line| line.contains("  10.9.0.1:")).count()
    };
    let only = |verdict| AttemptFilter { verdicts: Some(VerdictSet::of(&[verdict])), causes: None };
    assert_eq!(rows(ReportOptions::default()), ReportOptions::WORST);
    assert_eq!(rows(ReportOptions { all: true, ..ReportOptions::default() }), 60);
    let repeated = only(Verdict::SynackRetransmitted);
    assert_eq!(rows(ReportOptions { listed: repeated, ..ReportOptions::default() }), 3);
    let completed = only(Verdict::Completed);
    assert_eq!(rows(ReportOptions { all: true, listed: completed, ..ReportOptions::default() }), 10);
}

#[test]
fn colour_adds_escapes_and_nothing_else() {
    let sample = samples::overflow_mixed();
    let coloured = render(&sample, ReportOptions { colour: true, ..ReportOptions::default() });
    assert!(coloured.contains("\u{1b}[1;31m"), "alarms are red");
    let mut plain = String::new();
    let mut in_escape = false;
    for c in coloured.chars() {
        match c {
            '\u{1b}' => in_escape = true,
            'm' if in_escape => in_escape = false,
            c if !in_escape => plain.push(c),
            _ => {}
        }
    }
    assert_eq!(plain, text(&sample));
}

#[test]
fn packets_without_times_are_doubt() {
    let mut sample = samples::healthy();
    sample.0.captures[0].untimed = 3;
    let report = text(&sample);
    assert!(
        report.contains("\n20 attempts completed; without a usable clock nothing more can be told."),
        "{report}"
    );
    assert!(report.contains("\nuntimed  3 packets of "), "{report}");
    let json: Value = serde_json::from_str(&format(&sample, ReportFormat::Json)).unwrap();
    assert_eq!((&json["captures"][0]["untimed"], &json["limits"][0]["code"]), (&3.into(), &"untimed".into()));
}

#[test]
fn text_shows_local_time() {
    let zone = TimeZone::fixed(jiff::tz::offset(-5));
    let report = render(&samples::healthy(), ReportOptions { zone, ..ReportOptions::default() });
    assert!(report.contains("2026-11-22 20:46:47 -05"), "{report}");
}

#[test]
fn a_zone_read_from_its_file_is_the_one_that_jiff_finds_by_name() {
    let same = |mine: &TimeZone, other: &TimeZone| {
        for month in 0..24 {
            let time = jiff::Timestamp::from_second(1_767_225_600 + month * 2_629_746).unwrap();
            let (mine, other) = (mine.to_offset_info(time), other.to_offset_info(time));
            assert_eq!(
                (mine.offset(), mine.abbreviation()),
                (other.offset(), other.abbreviation()),
                "{time}"
            );
        }
    };
    same(&local_zone(), &TimeZone::system());
    let name = "America/New_York";
    match zone_of(&format!("/usr/share/zoneinfo/{name}")) {
        Some(zone) => same(&zone, &TimeZone::get(name).unwrap()),
        None => writeln!(io::stderr(), "SKIPPED: {name} cannot be read here").unwrap(),
    }
    assert!(zone_of("/dev/null").is_none());
}

#[test]
fn machine_readable_formats() {
    insta::assert_snapshot!("json_refused", format(&samples::refused(), ReportFormat::Json));
    insta::assert_snapshot!("json_damaged", format(&samples::damaged(), ReportFormat::Json));
    insta::assert_snapshot!("ndjson_ipv6", format(&samples::ipv6(), ReportFormat::NdJson));
    insta::assert_snapshot!("csv_refused", format(&samples::refused(), ReportFormat::Csv));
    insta::assert_snapshot!("csv_ipv6", format(&samples::ipv6(), ReportFormat::Csv));
    insta::assert_snapshot!("csv_midstream", format(&samples::midstream(), ReportFormat::Csv));
}

/// Panics with the reasons unless `value` is as the schema's `definition` says.
#[track_caller]
fn assert_valid(definition: &str, value: &Value) {
    let mut schema: Value = serde_json::from_str(include_str!("../../docs/schema-2.json")).unwrap();
    schema.as_object_mut().unwrap().remove("anyOf");
    schema["$ref"] = format!("#/$defs/{definition}").into();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
}

#[test]
fn json_matches_the_schema() {
    for sample in all_samples() {
        let document: Value = serde_json::from_str(&format(&sample, ReportFormat::Json)).unwrap();
        assert_valid("analysis", &document);
        assert_eq!(document["tool"], TOOL);
        assert_eq!(document["listeners"].as_array().unwrap().len(), sample.0.listeners.len());
        assert_eq!(document["attempts"].as_array().unwrap().len(), sample.1.len());
        for line in format(&sample, ReportFormat::NdJson).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_valid(line["type"].as_str().unwrap(), &line);
        }
    }
}

/// Every name that the program may write, in the order of the program.
#[test]
fn the_schema_lists_every_name() {
    fn names<T: IntoEnumIterator + Into<&'static str>>() -> Value {
        T::iter().map(Into::into).collect::<Vec<&str>>().into()
    }
    let schema: Value = serde_json::from_str(include_str!("../../docs/schema-2.json")).unwrap();
    let listed = |path: &str| {
        let mut names = schema.pointer(&format!("/$defs/{path}/enum")).unwrap().clone();
        names.as_array_mut().unwrap().retain(|name| !name.is_null());
        names
    };
    assert_eq!(listed("verdict"), names::<Verdict>());
    assert_eq!(listed("cause"), names::<Cause>());
    assert_eq!(listed("confidence"), names::<Confidence>());
    assert_eq!(listed("evidence_code"), names::<EvidenceCode>());
    let mut own = names::<ListenerEvidenceCode>();
    // `OfAttempts` is output under the code of the attempts' evidence, and has no code of its own.
    own.as_array_mut().unwrap().retain(|name| name != <&str>::from(ListenerEvidenceCode::OfAttempts));
    assert_eq!(listed("listener_evidence_code"), own);
    assert_eq!(listed("limit_code"), names::<LimitCode>());
    assert_eq!(listed("attempt/properties/reason"), names::<Reason>());
    assert_eq!(listed("attempt/properties/unproven"), names::<Unproven>());
    assert_eq!(listed("attempt/properties/vantage"), names::<Vantage>());
    assert_eq!(listed("connect/properties/outcome"), names::<ConnectOutcome>());
    assert_eq!(listed("connect/properties/errno"), names::<Errno>());
}

#[test]
fn json_is_in_order_of_first_packet_with_final_causes() {
    let (summary, mut attempts) = samples::refused();
    let in_order: Vec<String> = attempts.iter().map(|a| a.client.to_string()).collect();
    let listeners = samples::listeners(&attempts);
    attempts.reverse();
    attempts.iter_mut().for_each(|attempt| attempt.inference = SharedInference::default());
    let mut bytes = Vec::new();
    let options = ReportOptions { format: ReportFormat::Json, ..ReportOptions::default() };
    let mut reporter = Reporter::new(options, &mut bytes).unwrap();
    attempts.iter().for_each(|attempt| reporter.attempt(attempt).unwrap());
    reporter.finish(&summary, &listeners, None).unwrap();
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    let listed = document["attempts"].as_array().unwrap();
    let clients: Vec<&str> = listed.iter().map(|a| a["client"].as_str().unwrap()).collect();
    assert_eq!(clients, in_order);
    let causes = |cause: &str| listed.iter().filter(|attempt| attempt["cause"] == cause).count();
    assert_eq!((causes("port-closed"), causes("filtered")), (4, 2));
}

#[test]
fn each_ndjson_line_begins_with_its_kind() {
    for sample in all_samples() {
        let kinds: Vec<String> = format(&sample, ReportFormat::NdJson)
            .lines()
            .map(|line| {
                let value: Value = serde_json::from_str(line).unwrap();
                let kind = value["type"].as_str().unwrap().to_owned();
                assert!(line.starts_with(&format!("{{\"type\":\"{kind}\"")), "{line}");
                kind
            })
            .collect();
        let mut expected = vec!["attempt"; sample.1.len()];
        expected.extend(vec!["listener"; sample.0.listeners.len()]);
        expected.push("summary");
        assert_eq!(kinds, expected);
    }
}

#[test]
fn the_verdict_filter_restricts_attempts_but_not_tallies() {
    let verdicts = Some(VerdictSet::from_iter([Verdict::SynackRetransmitted]));
    let listed = AttemptFilter { verdicts, causes: None };
    let sample = samples::overflow_mixed();
    let restricted = |format| render(&sample, ReportOptions { format, listed, ..ReportOptions::default() });
    let document: Value = serde_json::from_str(&restricted(ReportFormat::Json)).unwrap();
    assert_eq!(document["attempts"].as_array().unwrap().len(), 3);
    assert_eq!(document["verdicts"]["unanswered"], 47);
    assert_eq!(restricted(ReportFormat::NdJson).lines().count(), 3 + 1 + 1);
    assert_eq!(restricted(ReportFormat::Csv).lines().count(), 1 + 3);
}

/// A pipe whose reader has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn a_closed_pipe_stays_a_closed_pipe() {
    for format in [
        ReportFormat::Text,
        ReportFormat::Json,
        ReportFormat::NdJson,
        ReportFormat::Csv,
        ReportFormat::Markdown,
    ] {
        let (summary, attempts) = samples::overflow_mixed();
        let run = || -> io::Result<()> {
            let mut reporter = Reporter::new(ReportOptions { format, ..ReportOptions::default() }, Closed)?;
            for attempt in &attempts {
                reporter.attempt(attempt)?;
            }
            reporter.finish(&summary, &samples::listeners(&attempts), None)
        };
        assert_eq!(run().unwrap_err().kind(), ErrorKind::BrokenPipe, "{format:?}");
    }
}

proptest! {
    /// Whatever the numbers, JSON and CSV give them back to the nanosecond.
    #[test]
    fn numbers_survive(nanos in 0..4_000_000_i64 * 1_000_000_000, start in any::<i64>(), packets in any::<u32>()) {
        let (summary, mut attempts) = samples::refused();
        attempts.truncate(1);
        attempts[0].timing.duration = Span::from_nanos(nanos);
        attempts[0].start = Timestamp::from_nanos(start);
        attempts[0].packets = packets;
        let sample = (summary, attempts);

        let document: Value = serde_json::from_str(&format(&sample, ReportFormat::Json)).unwrap();
        let attempt = &document["attempts"][0];
        prop_assert_eq!(&attempt["packets"], packets);
        let duration = attempt["timing"]["duration"].as_f64().unwrap();
        prop_assert_eq!((duration * 1e9).round() as i64, nanos);
        let time: jiff::Timestamp = attempt["start"].as_str().unwrap().parse().unwrap();
        prop_assert_eq!(time.as_nanosecond(), i128::from(sample.1[0].start.as_nanos()));
        prop_assert_eq!(attempt["start"].as_str().unwrap().len(), "2026-11-23T01:46:47.055149000Z".len());

        let rows = format(&sample, ReportFormat::Csv);
        let mut reader = ::csv::Reader::from_reader(rows.as_bytes());
        prop_assert_eq!(reader.headers().unwrap(), &COLUMNS[..]);
        let row = reader.records().next().unwrap().unwrap();
        prop_assert_eq!(row.len(), COLUMNS.len());
        let column = |name| &row[COLUMNS.iter().position(|c| *c == name).unwrap()];
        prop_assert_eq!(column("packets"), packets.to_string());
        let seconds: f64 = column("timing_duration").parse().unwrap();
        prop_assert_eq!((seconds * 1e9).round() as i64, nanos);
    }
}
