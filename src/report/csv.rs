//! `--format csv`: the attempts, flat, one row each in order of decision, under one header row.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

use super::record::{Rfc3339, sysctl};
use super::wording;
use crate::handshake::{Attempt, Cause, Confidence, Errno, Reason, Unproven, Vantage};
use crate::packet::Span;

/// The header row: the names of the JSON output, nested ones joined with `_`.
pub const COLUMNS: [&str; 41] = [
    "client",
    "client_ip",
    "client_port",
    "server",
    "server_ip",
    "server_port",
    "capture",
    "frame",
    "start",
    "verdict",
    "reason",
    "syn_missing",
    "icmp_type",
    "icmp_code",
    "icmp_from",
    "unproven",
    "cause",
    "abort_on_overflow",
    "confidence",
    "evidence_code",
    "evidence_text",
    "ruled_out_cause",
    "established",
    "retries_syn",
    "retries_syn_ack",
    "retries_after_ack",
    "retry_at",
    "syn_retry_at",
    "timing_connect",
    "timing_delay",
    "timing_stall",
    "timing_syn_to_synack",
    "timing_synack_to_ack",
    "timing_ack_to_rst",
    "timing_duration",
    "vantage",
    "connect_outcome",
    "connect_errno",
    "connect_window",
    "history",
    "packets",
];

/// Writes rows of [`COLUMNS`]. Null is an empty field.
pub(super) struct CsvRows<W: Write> {
    rows: csv::Writer<W>,
    field: String,
}

impl<W: Write> CsvRows<W> {
    /// Writes the header row.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub(super) fn begin(out: W) -> io::Result<Self> {
        let mut rows = csv::Writer::from_writer(out);
        rows.write_record(COLUMNS).map_err(io_error)?;
        Ok(Self { rows, field: String::new() })
    }

    /// Writes one attempt.
    ///
    /// # Errors
    ///
    /// The errors of the writer underneath.
    pub(super) fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        let Attempt { retries, timing, connect, inference, .. } = attempt;
        self.field(attempt.client)?;
        self.field(attempt.client.ip())?;
        self.field(attempt.client.port())?;
        self.field(attempt.server)?;
        self.field(attempt.server.ip())?;
        self.field(attempt.server.port())?;
        self.field(attempt.frame.capture())?;
        self.field(attempt.frame.number())?;
        self.field(Rfc3339(attempt.start))?;
        self.field(attempt.verdict.name())?;
        self.optional(attempt.reason.map(Reason::name))?;
        self.field(attempt.is_syn_missing())?;
        self.optional(attempt.icmp.map(|icmp| icmp.error.kind))?;
        self.optional(attempt.icmp.map(|icmp| icmp.error.code))?;
        self.optional(attempt.icmp.map(|icmp| icmp.from))?;
        self.optional(attempt.unproven.map(Unproven::name))?;
        self.optional(inference.cause.map(Cause::name))?;
        self.optional(sysctl(inference.abort_on_overflow))?;
        self.optional(inference.confidence.map(Confidence::name))?;
        self.joined(inference.evidence.iter().map(|evidence| evidence.code()))?;
        self.joined(inference.evidence.iter().map(|&evidence| wording::evidence(evidence)))?;
        self.joined(inference.ruled_out.iter().map(|ruled_out| ruled_out.cause.name()))?;
        self.optional(attempt.established)?;
        self.field(retries.syn)?;
        self.field(retries.syn_ack)?;
        self.field(retries.after_ack)?;
        self.times(&attempt.retry_at)?;
        self.times(&attempt.syn_retry_at)?;
        let spans = [timing.connect, timing.delay, timing.stall];
        let round_trips = [timing.syn_to_synack, timing.synack_to_ack, timing.ack_to_rst];
        for span in spans.into_iter().chain(round_trips) {
            self.optional(span.map(Span::as_secs_f64))?;
        }
        self.field(timing.duration.as_secs_f64())?;
        self.optional(attempt.vantage.map(Vantage::name))?;
        self.field(connect.outcome.name())?;
        self.optional(connect.errno.map(Errno::name))?;
        self.optional(connect.window.map(Span::as_secs_f64))?;
        self.field(attempt.history)?;
        self.field(attempt.packets)?;
        self.rows.write_record(None::<&[u8]>).map_err(io_error)
    }

    /// Hands everything written so far to the writer underneath.
    ///
    /// # Errors
    ///
    /// The errors of the writer underneath.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.rows.flush()
    }

    fn field(&mut self, value: impl Display) -> io::Result<()> {
        self.field.clear();
        write!(self.field, "{value}").map_err(io::Error::other)?;
        self.rows.write_field(&self.field).map_err(io_error)
    }

    /// Several values in one field, joined with `"; "`.
    fn joined(&mut self, values: impl Iterator<Item = impl Display>) -> io::Result<()> {
        self.field.clear();
        for (index, value) in values.enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(self.field, "{separator}{value}").map_err(io::Error::other)?;
        }
        self.rows.write_field(&self.field).map_err(io_error)
    }

    /// Times in seconds, in brackets: a list to DuckDB (`retry_at::DOUBLE[]`), and text to all who guess types, also where
    /// there is only one.
    fn times(&mut self, times: &[Span]) -> io::Result<()> {
        let seconds: Vec<f64> = times.iter().map(|span| span.as_secs_f64()).collect();
        self.field(format_args!("{seconds:?}"))
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
