//! A race for people, for programs and for spreadsheets.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::{ConnectResult, JoinedCall, Race};
use crate::handshake::{Cause, Confidence, Inference, Verdict};
use crate::packet::Span;
use crate::words::count;

/// Columns of the longest bar.
const BAR: usize = 40;

/// One connect, flat.
#[derive(Serialize)]
struct ConnectRow<'a> {
    client_port: u16,
    mode: &'static str,
    /// Seconds since the Unix epoch would lose digits as a JSON number: nanoseconds.
    started_ns: i64,
    latency: f64,
    result: &'a str,
    fate: &'static str,
    next: Option<&'a str>,
    verdict: Option<&'static str>,
    wake_up: Option<f64>,
    margin: Option<f64>,
    cause: Option<&'static str>,
    abort_on_overflow: Option<u8>,
    confidence: Option<&'static str>,
}

impl Race {
    /// Writes one JSON document; `what` says what was done, `missing` what could not be.
    ///
    /// # Errors
    ///
    /// The output's.
    pub fn write_json(&self, what: &str, missing: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
        let fates: serde_json::Map<_, _> = ConnectResult::ALL
            .map(|fate| (fate.name().to_owned(), self.count(fate).into()))
            .into_iter()
            .collect();
        let mut connects = Vec::new();
        for joined in self.joined_calls() {
            with_row(&joined, |row| connects.push(serde_json::json!(row)));
        }
        let document = serde_json::json!({
            "schema": 1,
            "tool": concat!("hsanalyze ", env!("CARGO_PKG_VERSION")),
            "what": what,
            "missing": missing,
            "dropped": self.dropped(),
            "fates": fates,
            "connects": connects,
        });
        serde_json::to_writer_pretty(&mut *out, &document)?;
        writeln!(out)
    }

    /// Writes one line per connect.
    ///
    /// # Errors
    ///
    /// The output's.
    pub fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        for joined in self.joined_calls() {
            with_row(&joined, |row| csv.serialize(row)).map_err(io::Error::from)?;
        }
        csv.flush()
    }

    /// Writes the report for people.
    ///
    /// # Errors
    ///
    /// The output's.
    pub fn write_text(&self, what: &str, missing: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{what}")?;
        if let Some(missing) = missing {
            writeln!(out, "no capture: {missing}; only what connect() and the next call said is known")?;
        }
        writeln!(out)?;
        let [alive, unproven, reset, ignored, failed] = ConnectResult::ALL.map(|fate| self.count(fate));
        let dead = reset + ignored;
        writeln!(out, "  {alive:>6}  connect() succeeded, and the connection lives")?;
        if unproven > 0 {
            writeln!(
                out,
                "  {unproven:>6}  connect() succeeded; nothing shows whether the server has the connection"
            )?;
        }
        writeln!(out, "  {dead:>6}  connect() succeeded, and the connection is dead")?;
        writeln!(out, "  {failed:>6}  connect() failed{}", self.errors())?;
        self.write_verdicts(out)?;
        self.write_causes(out)?;
        if dead > 0 {
            writeln!(
                out,
                "\n  of {} that said success, {dead} {} dead{}",
                count((alive + unproven + dead) as u64, "connect"),
                if dead == 1 { "was" } else { "were" },
                self.deaths(reset, ignored)
            )?;
        }
        let latencies: Vec<Span> = self.joined_calls().map(|joined| joined.latency()).collect();
        histogram("connect() took", &latencies, out)?;
        let margins: Vec<Span> = self.joined_calls().filter_map(|joined| joined.margin()).collect();
        histogram("the RST came after connect() returned by (negative: before)", &margins, out)?;
        match self.dropped() {
            Some(0) | None => Ok(()),
            Some(dropped) => {
                writeln!(out, "\n  the capture lost {}: verdicts may be wrong", count(dropped, "packet"))
            }
        }
    }

    fn write_verdicts(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.packets().is_none() {
            return Ok(());
        }
        let mut verdicts: BTreeMap<Option<Verdict>, usize> = BTreeMap::new();
        for joined in self.joined_calls() {
            *verdicts.entry(joined.attempt.map(|attempt| attempt.verdict)).or_default() += 1;
        }
        let words: Vec<_> = verdicts
            .into_iter()
            .map(|(verdict, count)| format!("{count} {}", verdict.map_or("without packets", Verdict::name)))
            .collect();
        writeln!(out, "\n  in the packets: {}", words.join(", "))
    }

    /// `cause: 19 accept-queue-overflow, tcp_abort_on_overflow=1 (confirmed)`.
    fn write_causes(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut causes: BTreeMap<String, usize> = BTreeMap::new();
        for attempt in self.joined_calls().filter_map(|joined| joined.attempt) {
            let Inference { cause: Some(cause), abort_on_overflow, confidence, .. } = &attempt.inference
            else {
                continue;
            };
            let abort = abort_on_overflow
                .map_or_else(String::new, |abort| format!(", tcp_abort_on_overflow={}", u8::from(abort)));
            let sure = confidence.map_or_else(String::new, |confidence| format!(" ({})", confidence.name()));
            *causes.entry(format!("{}{abort}{sure}", cause.name())).or_default() += 1;
        }
        causes.into_iter().try_for_each(|(cause, count)| writeln!(out, "  cause: {count} {cause}"))
    }

    /// `: 150 reset 0.2 ms to 0.4 ms after connect() returned, 37 ignored`.
    fn deaths(&self, reset: usize, ignored: usize) -> String {
        let mut words = Vec::new();
        if reset > 0 {
            let margins = self.joined_calls().filter(|joined| joined.result() == ConnectResult::DeadReset);
            let margins: Vec<Span> = margins.filter_map(|joined| joined.margin()).collect();
            words.push(match (margins.iter().min(), margins.iter().max()) {
                (Some(least), Some(most)) => {
                    format!("{reset} reset {least} to {most} after connect() returned")
                }
                _ => format!("{reset} reset"),
            });
        }
        if ignored > 0 {
            words.push(format!("{ignored} ignored"));
        }
        if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) }
    }

    fn errors(&self) -> String {
        let mut errors: BTreeMap<String, usize> = BTreeMap::new();
        for errno in self.joined_calls().filter_map(|joined| joined.call.result.err()) {
            *errors.entry(format!("{errno:?}")).or_default() += 1;
        }
        let words: Vec<_> = errors.into_iter().map(|(errno, count)| format!("{count} {errno}")).collect();
        if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) }
    }

    fn dropped(&self) -> Option<u64> {
        self.packets()?.summary.captures.first()?.dropped
    }
}

fn with_row<T>(joined: &JoinedCall<'_>, use_row: impl FnOnce(&ConnectRow<'_>) -> T) -> T {
    let name = |errno: nix::errno::Errno| format!("{errno:?}");
    let result = joined.call.result.map_or_else(name, |()| "success".to_owned());
    let next = joined.call.death().map(name);
    let inference = joined.attempt.map(|attempt| &attempt.inference);
    use_row(&ConnectRow {
        client_port: joined.call.port,
        mode: joined.call.mode.name(),
        started_ns: joined.call.started.as_nanos(),
        latency: joined.latency().as_secs_f64(),
        result: &result,
        fate: joined.result().name(),
        next: next.as_deref(),
        verdict: joined.attempt.map(|attempt| attempt.verdict.name()),
        wake_up: joined.wake_up().map(Span::as_secs_f64),
        margin: joined.margin().map(Span::as_secs_f64),
        cause: inference.and_then(|inference| inference.cause).map(Cause::name),
        abort_on_overflow: inference.and_then(|inference| inference.abort_on_overflow).map(u8::from),
        confidence: inference.and_then(|inference| inference.confidence).map(Confidence::name),
    })
}

/// Draws how often which span occurred, in ranges of about the same ratio.
fn histogram(title: &str, spans: &[Span], out: &mut dyn Write) -> io::Result<()> {
    if spans.is_empty() {
        return Ok(());
    }
    let mut ranges: BTreeMap<i64, usize> = BTreeMap::new();
    for span in spans {
        *ranges.entry(floor(span.as_nanos())).or_default() += 1;
    }
    let most = ranges.values().copied().max().unwrap_or(1);
    writeln!(out, "\n  {title}")?;
    for (from, count) in ranges {
        let bar = "▇".repeat((count * BAR).div_ceil(most));
        writeln!(out, "  {:>10} …  {count:>5}  {bar}", Span::from_nanos(from).to_string())?;
    }
    Ok(())
}

/// The start of a span's range: the 1, 2 or 5 times a power of ten below it, in whole microseconds, with
/// its sign.
fn floor(nanos: i64) -> i64 {
    let micros = nanos.unsigned_abs() / 1_000;
    let power = 10_u64.pow(micros.checked_ilog10().unwrap_or(0));
    let step = match micros / power {
        0 => 0,
        1 => 1,
        2..5 => 2,
        _ => 5,
    };
    i64::try_from(step * power * 1_000).unwrap_or(i64::MAX) * nanos.signum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Timestamp;
    use crate::race::{AfterConnect, Call, WaitMode};
    use nix::errno::Errno;

    fn call(port: u16, result: Result<(), Errno>, death: Option<Errno>) -> Call {
        let next = AfterConnect { sent: None, woken: None, received: None, error: death };
        Call {
            port,
            mode: WaitMode::Blocking,
            started: Timestamp::from_nanos(1_000),
            returned: Timestamp::from_nanos(300_000 + 1_000),
            result,
            next: result.is_ok().then_some(next),
        }
    }

    #[test]
    fn without_packets_the_client_s_word_is_reported_and_the_lack_named() {
        let calls = vec![
            call(1, Ok(()), None),
            call(2, Ok(()), Some(Errno::ECONNRESET)),
            call(3, Err(Errno::ECONNREFUSED), None),
        ];
        let race = Race::new(calls, None);
        let mut text = Vec::new();
        race.write_text("3 connects", Some("eth0: not allowed"), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("no capture: eth0: not allowed"), "{text}");
        assert!(text.contains("of 2 connects that said success, 1 was dead: 1 reset"), "{text}");
        assert!(text.contains("1  connect() failed: 1 ECONNREFUSED"), "{text}");
        assert!(text.contains("200 µs …      3"), "{text}");

        let mut csv = Vec::new();
        race.write_csv(&mut csv).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        assert_eq!(csv.lines().nth(2), Some("2,blocking,1000,0.0003,success,dead-reset,ECONNRESET,,,,,,"));

        let mut json = Vec::new();
        race.write_json("3 connects", None, &mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["fates"]["dead-reset"], 1);
        assert_eq!(json["connects"][2]["result"], "ECONNREFUSED");
    }

    #[test]
    fn ranges_are_round_and_keep_the_sign() {
        assert_eq!(
            [0, 999, 1_000, 3_999, 4_999_999, -75_000].map(floor),
            [0, 0, 1_000, 2_000, 2_000_000, -50_000]
        );
        assert_eq!(floor(i64::MAX), 5_000_000_000_000_000_000);
    }
}
