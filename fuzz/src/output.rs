//! Reports in every format, and what each of them must be.

use hsanalyze::engine::{Sink, Summary};
use hsanalyze::handshake::Attempt;
use hsanalyze::listener::Listeners;
use hsanalyze::listener::comparison::BaselineComparison;
use hsanalyze::report::{ReportFormat, ReportOptions, Reporter, Verbosity, read_baseline};

/// The formats of a report that is text.
pub const FORMATS: [ReportFormat; 5] =
    [ReportFormat::Text, ReportFormat::Markdown, ReportFormat::Json, ReportFormat::NdJson, ReportFormat::Csv];

/// Form of a report, by the bits of a number.
#[must_use]
pub fn options(format: ReportFormat, choice: u8) -> ReportOptions {
    ReportOptions {
        format,
        all: choice & 2 != 0,
        verbosity: [Verbosity::Normal, Verbosity::Verbose, Verbosity::Quiet, Verbosity::Verbose]
            [usize::from(choice >> 2) % 4],
        unicode: choice & 0x10 != 0,
        width: [0, 20, 80, 300][usize::from(choice >> 5) % 4],
        ..ReportOptions::default()
    }
}

/// The report of an analysis.
///
/// # Panics
///
/// The output is no UTF-8.
#[must_use]
pub fn report(
    options: ReportOptions,
    attempts: &[Attempt],
    summary: &Summary,
    listeners: &Listeners,
    comparison: Option<&BaselineComparison<'_>>,
) -> String {
    let mut out = Vec::new();
    let mut reporter = Reporter::new(options, &mut out).expect("memory does not fail");
    for attempt in attempts {
        reporter.attempt(attempt).expect("memory does not fail");
    }
    reporter.finish(summary, listeners, comparison).expect("memory does not fail");
    text(out)
}

/// The bytes of an output as text.
///
/// # Panics
///
/// The outputs are no UTF-8.
#[must_use]
pub fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("reports are UTF-8")
}

/// No character drives a terminal.
///
/// # Panics
///
/// One does.
pub fn assert_safe(text: &str) {
    assert_eq!(hsanalyze::fuzzing::unsafe_character(text), None, "{text:?}");
}

/// The output is what its format says, and a later analysis can be compared with it.
///
/// # Panics
///
/// The output is not of its format.
pub fn check(format: ReportFormat, text: &str) {
    assert_safe(text);
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).map(drop);
    match format {
        ReportFormat::Json => parsed(text).expect("JSON"),
        ReportFormat::NdJson => text.lines().try_for_each(parsed).expect("a document per line"),
        ReportFormat::Csv => {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            assert!(reader.records().all(|record| record.is_ok()), "{text}");
        }
        _ => {}
    }
    if matches!(format, ReportFormat::Json | ReportFormat::NdJson) {
        read_baseline("earlier", text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    }
}
