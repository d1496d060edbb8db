//! Reads a report that `--format json` or `ndjson` made, as the baseline of a comparison.
//!
//! Attempts are skipped as they are read, and a report has a bounded number of listeners, limits and causes, each with bounded
//! texts: so memory is bounded, too, whoever made the file.

mod bounded;

use std::fmt;
use std::io::{BufReader, Read};
use std::net::SocketAddr;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use self::bounded::{BoundedList, BoundedTexts, HeldBytes};
use super::SCHEMA;
use crate::listener::comparison::{Baseline, ComparedCause, ComparedFigures};
use crate::listener::{Listeners, Percentiles};
use crate::packet::{Endpoint, Span};

/// More attempts than any capture has. Counts up to this are exact in floating point.
const MOST_ATTEMPTS: u64 = 1 << 40;

/// A file that is no report to compare with, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The report was read up to this place, where something is not as in a report.
    #[error("line {line}, column {column}: {what}")]
    Content {
        /// The fault.
        what: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1; 0 at the end of a line.
        column: usize,
    },
    /// It contradicts itself.
    #[error("{0}")]
    Whole(String),
    /// It ends before the report does.
    #[error("it ends before the report does")]
    Incomplete,
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<serde_json::Error> for BaselineError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() {
            return Self::Io(error.into());
        }
        if error.is_eof() {
            return Self::Incomplete;
        }
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        if line == 0 {
            return Self::Whole(text);
        }
        let place = format!(" at line {line} column {column}");
        Self::Content { what: text.strip_suffix(&place).unwrap_or(&text).to_owned(), line, column }
    }
}

/// Reads a report. `name` is what the comparison calls it.
///
/// # Errors
///
/// It cannot be read, or is no complete report of this schema.
pub fn read_baseline(name: &str, input: impl Read) -> Result<Baseline, BaselineError> {
    let mut baseline = Baseline { name: name.to_owned(), ..Baseline::default() };
    let mut complete = false;
    for part in serde_json::Deserializer::from_reader(BoundedTexts::new(BufReader::new(input)))
        .into_iter::<BaselinePart>()
    {
        let part = match part {
            Ok(_) if complete => Err(serde_json::Error::custom("something follows after the report")),
            part => part,
        };
        match part? {
            BaselinePart::Other => {}
            BaselinePart::Listener(entry) => add(&mut baseline, entry)?,
            BaselinePart::Overview(overview) => {
                complete = true;
                baseline.tool = overview.tool;
                baseline.limits = overview.limits.0.into_iter().map(|limit| limit.text).collect();
                overview.listeners.0.into_iter().try_for_each(|entry| add(&mut baseline, entry))?;
            }
        }
    }
    if complete { Ok(baseline) } else { Err(BaselineError::Incomplete) }
}

fn add(baseline: &mut Baseline, entry: ListenerEntry) -> Result<(), serde_json::Error> {
    // Those without an address are scans, or the sum of the listeners past the bound.
    let Some(server) = entry.server else { return Ok(()) };
    if baseline.listeners.len() == Listeners::DEFAULT_LIMIT {
        return Err(serde_json::Error::custom("more listeners than a report has"));
    }
    match baseline.listeners.insert(server, entry.figures) {
        None => Ok(()),
        Some(_) => Err(serde_json::Error::custom(format!("the listener {server} is listed twice"))),
    }
}

/// A document of `json`, or a line of `ndjson`.
enum BaselinePart {
    /// A line that is not needed.
    Other,
    /// The line of a listener.
    Listener(ListenerEntry),
    /// The whole document, or the last line.
    Overview(Overview),
}

/// Totals of a document, or of the last line.
#[derive(Default)]
struct Overview {
    tool: String,
    limits: BoundedList<LimitEntry>,
    listeners: BoundedList<ListenerEntry>,
}

#[derive(Deserialize)]
struct LimitEntry {
    text: String,
}

impl HeldBytes for LimitEntry {
    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.text.len()
    }
}

impl<'de> Deserialize<'de> for BaselinePart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PartVisitor)
    }
}

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = BaselinePart;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a report of hsanalyze in the format json or ndjson")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BaselinePart, A::Error> {
        let first: Option<String> = map.next_key()?;
        if first.as_deref() != Some("type") {
            return overview(first, map, true).map(BaselinePart::Overview);
        }
        let kind: String = map.next_value()?;
        match kind.as_str() {
            "listener" => {
                ListenerEntry::deserialize(MapAccessDeserializer::new(map)).map(BaselinePart::Listener)
            }
            "summary" => {
                let first = map.next_key()?;
                overview(first, map, false).map(BaselinePart::Overview)
            }
            "attempt" | "provisional" | "episode" | "comparison" => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(BaselinePart::Other)
            }
            _ => Err(A::Error::custom(format!("no line of a report of captures has the type '{kind}'"))),
        }
    }
}

/// Reads the rest of a document, whose first name is given.
fn overview<'de, A: MapAccess<'de>>(
    first: Option<String>,
    mut map: A,
    with_listeners: bool,
) -> Result<Overview, A::Error> {
    let mut overview = Overview::default();
    let (mut schema, mut listeners) = (false, false);
    let mut name = first;
    while let Some(known) = name {
        match known.as_str() {
            "schema" => {
                check_schema(map.next_value()?)?;
                schema = true;
            }
            "tool" => overview.tool = map.next_value()?,
            "limits" => overview.limits = map.next_value()?,
            "listeners" if with_listeners && schema => {
                overview.listeners = map.next_value()?;
                listeners = true;
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        name = map.next_key()?;
    }
    if !schema {
        return Err(A::Error::custom("no report of hsanalyze: it has no 'schema'"));
    }
    if with_listeners && !listeners {
        return Err(A::Error::custom("no report of captures: it has no 'listeners'"));
    }
    Ok(overview)
}

fn check_schema<E: Error>(schema: u64) -> Result<(), E> {
    if schema == u64::from(SCHEMA) {
        return Ok(());
    }
    Err(E::custom(format!(
        "a report of schema {schema}, and this version reads schema {SCHEMA}: analyse the earlier capture anew"
    )))
}

/// A listener of a report.
#[derive(Deserialize)]
#[serde(try_from = "RawListener")]
struct ListenerEntry {
    server: Option<Endpoint>,
    figures: ComparedFigures,
}

impl HeldBytes for ListenerEntry {
    fn held_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(self.figures.causes.as_slice())
    }
}

/// The members of a listener's record that are compared.
#[derive(Deserialize)]
struct RawListener {
    server: Option<String>,
    attempts: u64,
    verdicts: RawVerdicts,
    failed: u64,
    late: u64,
    causes: BoundedList<RawCause>,
    connect_time: Option<RawPercentiles>,
}

/// The verdict that tells how many attempts the shares are parts of.
#[derive(Deserialize)]
struct RawVerdicts {
    undetermined: Option<u64>,
}

#[derive(Deserialize)]
struct RawCause {
    cause: String,
    confidence: String,
    attempts: u64,
}

impl HeldBytes for RawCause {
    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.cause.len() + self.confidence.len()
    }
}

#[derive(Deserialize)]
struct RawPercentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl TryFrom<RawListener> for ListenerEntry {
    type Error = String;

    fn try_from(raw: RawListener) -> Result<Self, String> {
        let RawListener { server, attempts, verdicts, failed, late, causes, connect_time } = raw;
        let endpoint = |text: String| match text.parse::<SocketAddr>() {
            Ok(address) => Ok(Endpoint::from(address)),
            Err(_) => Err(format!("'{text}' is no address and port of a server")),
        };
        if attempts > MOST_ATTEMPTS {
            return Err(format!("{attempts} attempts are more than any capture has"));
        }
        let undetermined = verdicts.undetermined.ok_or("no verdict 'undetermined'")?;
        let judged = attempts.checked_sub(undetermined).ok_or("more undetermined attempts than attempts")?;
        if failed.checked_add(late).is_none_or(|troubled| troubled > attempts) {
            return Err(format!("{failed} failed and {late} late, of {attempts} attempts"));
        }
        let causes = causes.0.into_iter().map(|raw| cause(raw, attempts)).collect::<Result<_, String>>()?;
        Ok(Self {
            server: server.map(endpoint).transpose()?,
            figures: ComparedFigures {
                attempts,
                judged,
                failed,
                late,
                causes,
                connect_time: connect_time.map(Percentiles::from),
            },
        })
    }
}

fn cause(raw: RawCause, attempts: u64) -> Result<ComparedCause, String> {
    let cause = raw.cause.parse().map_err(|_| format!("unknown cause '{}'", raw.cause))?;
    let confidence =
        raw.confidence.parse().map_err(|_| format!("unknown confidence '{}'", raw.confidence))?;
    if raw.attempts > attempts {
        return Err(format!("{} of {attempts} attempts have the cause '{}'", raw.attempts, raw.cause));
    }
    Ok(ComparedCause { cause, confidence, attempts: raw.attempts })
}

impl From<RawPercentiles> for Percentiles {
    fn from(RawPercentiles { p50, p90, p99, max }: RawPercentiles) -> Self {
        Self { p50: span(p50), p90: span(p90), p99: span(p99), max: span(max) }
    }
}

/// Seconds as a span; what is out of range becomes the nearest that is in it.
#[expect(clippy::cast_possible_truncation, reason = "a conversion from floating point saturates")]
fn span(seconds: f64) -> Span {
    Span::from_nanos((seconds * 1e9).round() as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(text: &str) -> String {
        read_baseline("b.json", text.as_bytes()).unwrap_err().to_string()
    }

    fn listener(changes: &[(&str, serde_json::Value)]) -> String {
        let mut listener = serde_json::json!({
            "server": "10.0.0.1:80", "attempts": 9, "verdicts": {"completed": 7, "undetermined": 1},
            "failed": 1, "late": 1, "connect_time": null,
            "causes": [{"cause": "port-closed", "confidence": "likely", "attempts": 1}],
        });
        for (name, value) in changes {
            listener[*name] = value.clone();
        }
        listener.to_string()
    }

    fn document(listeners: &[String]) -> String {
        format!(r#"{{"schema":2,"tool":"t","limits":[],"listeners":[{}]}}"#, listeners.join(","))
    }

    #[test]
    fn a_document_and_its_lines_say_the_same() {
        let document = document(&[listener(&[])]);
        let line = listener(&[]).replacen('{', r#"{"type":"listener","#, 1);
        let lines = format!(
            "{{\"type\":\"attempt\",\"attempts\":[]}}\n{line}\n{{\"type\":\"summary\",\"schema\":2,\"tool\":\"t\"}}\n"
        );
        let read = |text: &str| read_baseline("b.json", text.as_bytes()).unwrap();
        assert_eq!(read(&document), read(&lines));
        let figures = read(&document).listeners.into_values().next().unwrap();
        assert_eq!((figures.attempts, figures.judged, figures.failed, figures.late), (9, 8, 1, 1));
        assert_eq!(figures.causes.len(), 1);
    }

    #[test]
    fn what_is_no_report_is_named_with_its_place() {
        assert_eq!(fault(""), "it ends before the report does");
        assert_eq!(fault(r#"{"schema":2,"#), "it ends before the report does");
        assert!(fault("[]").contains("invalid type: sequence, expected a report of hsanalyze"));
        assert!(fault("no\n").starts_with("line 1, column 2: "));
        assert!(fault("{}").ends_with("no report of hsanalyze: it has no 'schema'"));
        assert!(fault(r#"{"schema":2,"queues":[]}"#).contains("it has no 'listeners'"));
        assert!(
            fault(r#"{"schema":1,"listeners":[]}"#).contains("schema 1, and this version reads schema 2")
        );
        assert!(fault(r#"{"type":"race"}"#).contains("'race'"));
        assert_eq!(fault(r#"{"type":"attempt"}"#), "it ends before the report does");
        assert!(fault(&format!("{0}{0}", document(&[]))).contains("something follows"));
    }

    #[test]
    fn figures_that_cannot_be_are_refused() {
        let with = |name: &str, value: serde_json::Value| fault(&document(&[listener(&[(name, value)])]));
        assert!(with("server", "somewhere".into()).contains("'somewhere' is no address"));
        assert!(with("failed", 9.into()).contains("9 failed and 1 late, of 9 attempts"));
        assert!(with("failed", u64::MAX.into()).contains("of 9 attempts"));
        assert!(with("attempts", (-1).into()).contains("invalid value"));
        assert!(with("attempts", u64::MAX.into()).contains("more than any capture has"));
        assert!(with("verdicts", serde_json::json!({})).contains("no verdict 'undetermined'"));
        assert!(with("verdicts", serde_json::json!({"undetermined": 10})).contains("more undetermined"));
        let cause = |cause: &str, confidence: &str, attempts: u64| {
            with(
                "causes",
                serde_json::json!([{"cause": cause, "confidence": confidence, "attempts": attempts}]),
            )
        };
        assert!(cause("magic", "likely", 1).contains("unknown cause 'magic'"));
        assert!(cause("filtered", "sure", 1).contains("unknown confidence 'sure'"));
        assert!(cause("filtered", "likely", 10).contains("10 of 9 attempts"));
        assert!(fault(&document(&[listener(&[]), listener(&[])])).contains("listed twice"));
    }

    #[test]
    fn a_report_of_all_listeners_that_are_kept_apart_is_read_and_no_larger_one() {
        let at = |port: usize| listener(&[("server", format!("10.0.0.1:{port}").into())]);
        let most: Vec<String> = (1..=Listeners::DEFAULT_LIMIT).map(at).collect();
        let read = read_baseline("b.json", document(&most).as_bytes()).unwrap();
        assert_eq!(read.listeners.len(), Listeners::DEFAULT_LIMIT);
        let more = [most, vec![at(Listeners::DEFAULT_LIMIT + 1)]].concat();
        assert_eq!(fault(&document(&more)), "more listeners than a report has");
        assert_eq!(
            fault(&(more.join("\n").replace("{\"attempts", "{\"type\":\"listener\",\"attempts"))),
            "more listeners than a report has"
        );
    }

    #[test]
    fn what_is_held_of_a_report_is_bounded() {
        let limits = format!(
            "{{\"schema\":2,\"limits\":[{{\"text\":\"x\"}}{}]}}",
            ",{\"text\":\"y\"}".repeat(1 << 19)
        );
        assert!(fault(&limits).contains("more than a report has in one list"), "{}", fault(&limits));
        let cause = serde_json::json!({"cause": "port-closed", "confidence": "likely", "attempts": 1});
        let causes: serde_json::Value = vec![cause; 1 << 18].into();
        assert!(fault(&document(&[listener(&[("causes", causes)])])).contains("in one list"));
        // Also where the text is not needed, or a name.
        let text = "x\\\"".repeat(1 << 16);
        for report in [
            format!("{{\"schema\":2,\"tool\":\"{text}\"}}"),
            format!("{{\"{text}\":1}}"),
            format!("{{\"type\":\"attempt\",\"a\":\"{text}\"}}"),
        ] {
            assert!(fault(&report).contains("a text is longer than any of a report"), "{}", fault(&report));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_baseline("b.json", bytes.as_slice());
        }

        #[test]
        fn a_damaged_report_is_read_or_refused(at in 0_usize..300, byte: u8, end in 0_usize..400) {
            let mut bytes = document(&[listener(&[])]).into_bytes();
            bytes.truncate(end);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _ = read_baseline("b.json", bytes.as_slice());
        }
    }
}
