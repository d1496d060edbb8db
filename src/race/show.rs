//! The text report of a race.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{ConnectResult, Race};
use crate::handshake::{Inference, Verdict};
use crate::packet::Span;
use crate::words::count;

/// Columns of the longest bar, and those before it.
const BAR: usize = 40;
const BEFORE_BAR: usize = 23;

impl Race {
    /// Writes the report for people, for a terminal of this width if there is one.
    ///
    /// # Errors
    ///
    /// The output's.
    pub fn write_text(
        &self,
        what: &str,
        missing: Option<&str>,
        terminal: Option<usize>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let width = terminal.unwrap_or(usize::MAX);
        let mut text = Vec::new();
        self.write_lines(what, missing, width.saturating_sub(BEFORE_BAR).clamp(1, BAR), &mut text)?;
        for line in String::from_utf8_lossy(&text).lines() {
            let indent = line.len() - line.trim_start().len() + 2;
            let indent = " ".repeat(indent.min(width / 2));
            let options = textwrap::Options::new(width).subsequent_indent(&indent).break_words(false);
            writeln!(out, "{}", textwrap::fill(line, options))?;
        }
        Ok(())
    }

    fn write_lines(
        &self,
        what: &str,
        missing: Option<&str>,
        bar: usize,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        writeln!(out, "{what}")?;
        if let Some(missing) = missing {
            writeln!(out, "no capture: {missing}; only what connect() and the next call said is known:")?;
            writeln!(
                out,
                "  no verdict and no cause; a connection that the server ignores is unproven, and one that its application reset \
                 is dead"
            )?;
        }
        writeln!(out)?;
        let [alive, unproven, reset, ignored, failed] = ConnectResult::ALL.map(|result| self.count(result));
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
        histogram("connect() took", &latencies, bar, out)?;
        let margins: Vec<Span> = self.joined_calls().filter_map(|joined| joined.margin()).collect();
        histogram("the RST came after connect() returned by (negative: before)", &margins, bar, out)?;
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
            let Inference { cause: Some(cause), abort_on_overflow, confidence, .. } = &*attempt.inference
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

    /// Packets that the capture lost; `None` without a capture.
    pub(crate) fn dropped(&self) -> Option<u64> {
        self.packets()?.summary.captures.first()?.dropped
    }
}

/// Draws how often which span occurred, in ranges of about the same ratio; the longest bar has so many columns.
fn histogram(title: &str, spans: &[Span], bar: usize, out: &mut dyn Write) -> io::Result<()> {
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
        let bar = "▇".repeat((count * bar).div_ceil(most));
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
        race.write_text("3 connects", Some("eth0: not allowed"), None, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut narrow = Vec::new();
        race.write_text("3 connects", Some("eth0: not allowed"), Some(40), &mut narrow).unwrap();
        let narrow = String::from_utf8(narrow).unwrap();
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert!(text.contains("no capture: eth0: not allowed"), "{text}");
        assert!(text.contains("a connection that the server ignores is unproven"), "{text}");
        assert!(text.contains("of 2 connects that said success, 1 was dead: 1 reset"), "{text}");
        assert!(text.contains("1  connect() failed: 1 ECONNREFUSED"), "{text}");
        assert!(text.contains("200 µs …      3"), "{text}");
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
