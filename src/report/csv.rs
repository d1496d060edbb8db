//! `--format csv`: the attempts, flat, one row each in order of decision, under one header row.

use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};

use super::record::{Rfc3339, sysctl};
use super::wording;
use crate::handshake::{Attempt, Cause, Confidence, Errno, Vantage};
use crate::packet::Span;

/// The header row: the names of the JSON output, nested ones joined with `_`.
pub const COLUMNS: [&str; 25] = [
    "client",
    "server",
    "capture",
    "frame",
    "start",
    "verdict",
    "reason",
    "cause",
    "abort_on_overflow",
    "confidence",
    "evidence",
    "established",
    "retries_syn",
    "retries_syn_ack",
    "retries_after_ack",
    "retry_at",
    "timing_syn_to_synack",
    "timing_synack_to_ack",
    "timing_ack_to_rst",
    "timing_duration",
    "vantage",
    "connect_outcome",
    "connect_errno",
    "connect_window",
    "packets",
];

/// Writes rows of [`COLUMNS`]. Null is an empty field; several pieces of evidence are joined with
/// `"; "`, several repeat times with a space.
pub(super) struct Rows<W: Write> {
    rows: csv::Writer<W>,
    field: String,
}

impl<W: Write> Rows<W> {
    /// Writes the header row.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub(super) fn begin(out: W) -> io::Result<Self> {
        let mut rows = csv::Writer::from_writer(out);
        rows.write_record(COLUMNS).map_err(io_error)?;
        Ok(Self { rows, field: String::new() })
    }

    /// Writes one attempt.
    ///
    /// # Errors
    ///
    /// Those of the writer underneath.
    pub(super) fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        let Attempt { retries, timing, connect, inference, .. } = attempt;
        self.field(attempt.client)?;
        self.field(attempt.server)?;
        self.field(attempt.frame.capture())?;
        self.field(attempt.frame.number())?;
        self.field(Rfc3339(attempt.start))?;
        self.field(attempt.verdict.name())?;
        self.optional(attempt.reason)?;
        self.optional(inference.cause.map(Cause::name))?;
        self.optional(sysctl(inference.abort_on_overflow))?;
        self.optional(inference.confidence.map(Confidence::name))?;
        let evidence: Vec<_> =
            inference.evidence.iter().map(|&evidence| wording::evidence(evidence)).collect();
        self.field(Joined(&evidence, "; "))?;
        self.optional(attempt.established)?;
        self.field(retries.syn)?;
        self.field(retries.syn_ack)?;
        self.field(retries.after_ack)?;
        let repeats: Vec<f64> = attempt.retry_at.iter().map(|span| span.as_secs_f64()).collect();
        self.field(Joined(&repeats, " "))?;
        self.optional(timing.syn_to_synack.map(Span::as_secs_f64))?;
        self.optional(timing.synack_to_ack.map(Span::as_secs_f64))?;
        self.optional(timing.ack_to_rst.map(Span::as_secs_f64))?;
        self.field(timing.duration.as_secs_f64())?;
        self.optional(attempt.vantage.map(Vantage::name))?;
        self.field(connect.outcome.name())?;
        self.optional(connect.errno.map(Errno::name))?;
        self.optional(connect.window.map(Span::as_secs_f64))?;
        self.field(attempt.packets)?;
        self.rows.write_record(None::<&[u8]>).map_err(io_error)
    }

    /// Hands everything written so far to the writer underneath.
    ///
    /// # Errors
    ///
    /// Those of the writer underneath.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.rows.flush()
    }

    fn field(&mut self, value: impl Display) -> io::Result<()> {
        self.field.clear();
        write!(self.field, "{value}").map_err(io::Error::other)?;
        self.rows.write_field(&self.field).map_err(io_error)
    }

    fn optional(&mut self, value: Option<impl Display>) -> io::Result<()> {
        match value {
            Some(value) => self.field(value),
            None => self.rows.write_field("").map_err(io_error),
        }
    }
}

/// Keeps the kind of an I/O error (a closed pipe must stay one), which `io::Error::from` loses.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("csv: {other:?}")),
    }
}

struct Joined<'a, T>(&'a [T], &'static str);

impl<T: Display> Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(self.1)?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}
