//! The table of attempts, one block per server.

use std::io::{self, Write};

use super::paint::Emphasis;
use super::style::TextStyle;
use super::words::{columns, pad, wrap};
use crate::handshake::{Attempt, Connect, ConnectOutcome, Reason, Retries};
use crate::packet::{CapturePoint, Endpoint};
use crate::report::point_names::short_names;
use crate::report::wording;
use crate::words::{count, number};

const GAP: &str = "  ";

/// One row, as text; widths are set when all rows of all blocks are known.
struct AttemptRow<'a> {
    attempt: &'a Attempt,
    start: String,
    client: String,
    retries: String,
    connect: String,
    /// The points that the SYN passed, in order: `eth0>br0>veth3`.
    points: String,
}

impl<'a> AttemptRow<'a> {
    fn new(attempt: &'a Attempt, style: &TextStyle<'_>) -> Self {
        Self {
            attempt,
            start: style.clock.time(attempt.start),
            client: attempt.client.to_string(),
            retries: retries(attempt.retries),
            connect: connect(attempt.connect),
            points: String::new(),
        }
    }
}

/// Widths of the columns before the last one.
struct ColumnWidths {
    start: usize,
    client: usize,
    verdict: usize,
    retries: usize,
    connect: usize,
    /// Where points are told apart.
    points: Option<usize>,
    layout: RowLayout,
}

/// Lines that one attempt takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RowLayout {
    /// All columns.
    One,
    /// Start and client; then the others, below the client. For long IPv6 addresses.
    Two,
    /// Start and client; verdict; retries and `connect()`. For narrow terminals.
    Three,
}

impl ColumnWidths {
    /// The widths that take the fewest lines: the points' column gives way first, by shorter names, or altogether where all
    /// attempts passed the same points.
    fn fitting(rows: &mut [AttemptRow<'_>], width: usize) -> Self {
        let without = Self::of(rows, width);
        let all = rows.iter().flat_map(|row| passed(row.attempt));
        let mut points: Vec<CapturePoint> = Vec::new();
        for point in all {
            if !points.contains(&point) {
                points.push(point);
            }
        }
        let whole: Vec<String> = points.iter().copied().map(wording::point).collect();
        let mut last = None;
        for names in [whole, short_names(&points)] {
            for row in rows.iter_mut() {
                let place = |point| points.iter().position(|&known| known == point);
                let name = |point| place(point).and_then(|place| names.get(place));
                let mut passed: Vec<&str> =
                    passed(row.attempt).filter_map(name).map(String::as_str).collect();
                passed.dedup();
                row.points = passed.join(">");
            }
            let widths = Self::of(rows, width);
            let fits = match widths.layout {
                RowLayout::One | RowLayout::Two => true,
                RowLayout::Three => widths.last_line() <= width,
            };
            if fits && widths.layout == without.layout {
                return widths;
            }
            let differ = rows.iter().any(|row| Some(&row.points) != rows.first().map(|first| &first.points));
            last = Some(widths).filter(|_| fits && differ);
        }
        if let Some(widths) = last {
            return widths;
        }
        rows.iter_mut().for_each(|row| row.points.clear());
        without
    }

    /// Columns of the last of three lines.
    fn last_line(&self) -> usize {
        let points = self.points.map_or(0, |points| points + GAP.len());
        GAP.len() + self.retries + GAP.len() + self.connect + points
    }

    fn of(rows: &[AttemptRow<'_>], width: usize) -> Self {
        let widest = |header: &str, cell: &dyn Fn(&AttemptRow<'_>) -> usize| {
            rows.iter().map(cell).fold(columns(header), usize::max)
        };
        let start = widest("START", &|row| columns(&row.start));
        let client = widest("CLIENT", &|row| columns(&row.client));
        let verdict = widest("VERDICT", &|row| columns(row.attempt.verdict.name()));
        let retries = widest("RETRIES", &|row| columns(&row.retries));
        let connect = widest("CONNECT()", &|row| columns(&row.connect));
        let several = rows.iter().any(|row| !row.points.is_empty());
        let points = several.then(|| widest("POINTS", &|row| columns(&row.points)));
        let others =
            verdict + retries + connect + 2 * GAP.len() + points.map_or(0, |points| points + GAP.len());
        let layout = if start + client + others + 2 * GAP.len() <= width {
            RowLayout::One
        } else if start + GAP.len() + others <= width {
            RowLayout::Two
        } else {
            RowLayout::Three
        };
        Self { start, client, verdict, retries, connect, points, layout }
    }

    fn line(&self, [start, client, verdict, retries, connect, points]: [&str; 6]) -> (String, String) {
        let before = format!("{}{GAP}", pad(start, self.start));
        let between = match self.layout {
            RowLayout::One => " ".repeat(self.client.saturating_sub(columns(client)) + GAP.len()),
            RowLayout::Two => format!("\n{}{GAP}", " ".repeat(self.start)),
            RowLayout::Three => format!("\n{GAP}"),
        };
        let verdict = match self.layout {
            RowLayout::One | RowLayout::Two => format!("{}{GAP}", pad(verdict, self.verdict)),
            RowLayout::Three => format!("{verdict}\n{GAP}"),
        };
        let connect = match self.points {
            Some(_) => format!("{}{GAP}{points}", pad(connect, self.connect)),
            None => connect.to_owned(),
        };
        let right = format!("{verdict}{}{GAP}{connect}", pad(retries, self.retries));
        (format!("{before}{client}{between}"), right)
    }
}

/// Writes the table of `attempts`, which are grouped by server. Some were worth listing but did not fit: how many,
/// and what shows them.
pub(super) fn write(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    attempts: &[Attempt],
    (left_out, option): (u64, &str),
) -> io::Result<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<AttemptRow<'_>> =
        attempts.iter().map(|attempt| AttemptRow::new(attempt, style)).collect();
    let widths = ColumnWidths::fitting(&mut rows, style.width);
    let (left, right) = widths.line(["START", "CLIENT", "VERDICT", "RETRIES", "CONNECT()", "POINTS"]);
    writeln!(out)?;
    writeln!(out, "{}", style.paint.apply(Emphasis::Strong, &format!("{left}{right}")))?;
    let several_servers = attempts.iter().any(|a| Some(a.server) != attempts.first().map(|b| b.server));
    let mut server: Option<Endpoint> = None;
    for row in &rows {
        if several_servers && server != Some(row.attempt.server) {
            server = Some(row.attempt.server);
            writeln!(out, "to {}", row.attempt.server)?;
        }
        write_row(out, style, &widths, row)?;
        if style.verbose {
            write_details(out, style, &widths, row.attempt)?;
        }
    }
    if left_out > 0 {
        let more = format!("{}{GAP}{} more: {option}", pad("...", widths.start), number(left_out));
        writeln!(out, "{}", style.paint.apply(Emphasis::Faint, &more))?;
    }
    Ok(())
}

fn write_row(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    widths: &ColumnWidths,
    row: &AttemptRow<'_>,
) -> io::Result<()> {
    let verdict = row.attempt.verdict;
    let (left, right) =
        widths.line([&row.start, &row.client, verdict.name(), &row.retries, &row.connect, &row.points]);
    let emphasis = style.attempt_emphasis(row.attempt);
    // Only the verdict is coloured; it is the first word of the right part.
    let rest = right.strip_prefix(verdict.name()).unwrap_or_default();
    writeln!(out, "{left}{}{}", style.paint.apply(emphasis, verdict.name()), rest.trim_end())
}

/// The lines that `-v` adds under a row.
fn write_details(
    out: &mut impl Write,
    style: &TextStyle<'_>,
    widths: &ColumnWidths,
    attempt: &Attempt,
) -> io::Result<()> {
    let indent = " ".repeat(widths.start + GAP.len());
    let deeper = format!("{indent}{GAP}");
    let mut lines = vec![packets(attempt, style)];
    lines.extend(timing(attempt));
    lines.extend(attempt.reason.map(|reason| format!("reason: {}", reason_words(reason))));
    lines.extend(attempt.icmp.map(|icmp| format!("reason: {}", wording::icmp_name(icmp.error))));
    if attempt.is_syn_missing() {
        lines.push("its SYN is not in the capture: SYN-ACK opened it".to_owned());
    }
    lines.extend(asked(attempt).map(|asked| format!("the client asked {asked}")));
    lines.extend(cause(attempt).map(|cause| format!("cause: {cause}")));
    lines.extend(
        attempt.inference.evidence.iter().map(|&evidence| format!("- {}", wording::evidence(evidence))),
    );
    for text in lines {
        for line in wrap(&text, style.width, &indent, &deeper) {
            writeln!(out, "{}", style.paint.apply(Emphasis::Faint, &line))?;
        }
    }
    Ok(())
}

fn packets(attempt: &Attempt, style: &TextStyle<'_>) -> String {
    let place = match style.several_captures {
        true => format!("packet {} of capture {}", attempt.frame.number(), attempt.frame.capture()),
        false => format!("packet {}", attempt.frame.number()),
    };
    let total = count(attempt.packets.into(), "packet");
    format!("{total} in {}, the first is {place}", super::clock::length(attempt.timing.duration))
}

/// `SYN-ACK after 5.10 ms, ACK 20.0 µs later; SYN-ACK repeated at 1.01 3.03 s`.
fn timing(attempt: &Attempt) -> Option<String> {
    let timing = attempt.timing;
    let mut parts = Vec::new();
    parts.extend(timing.syn_to_synack.map(|span| format!("SYN-ACK after {span}")));
    parts.extend(timing.synack_to_ack.map(|span| format!("ACK {span} later")));
    parts.extend(timing.ack_to_rst.map(|span| format!("RST {span} after the client's last segment")));
    parts.extend(schedule(attempt).map(|(what, times)| format!("{what} repeated at {times}")));
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The segment that was repeated, the SYN-ACK if both were, and when: `("SYN-ACK", "1.01 3.03 7.07 15.2 31.3 s")`.
pub(super) fn schedule(attempt: &Attempt) -> Option<(&'static str, String)> {
    let (what, times) = match (attempt.retry_at.as_slice(), attempt.syn_retry_at.as_slice()) {
        ([], []) => return None,
        ([], syn) => ("SYN", syn),
        (syn_ack, _) => ("SYN-ACK", syn_ack),
    };
    Some((what, wording::retry_times(times)))
}

/// `accept-queue-overflow, tcp_abort_on_overflow=0 (likely)`.
pub(in crate::report) fn cause(attempt: &Attempt) -> Option<String> {
    let inference = &attempt.inference;
    let mut text = inference.cause?.name().to_owned();
    if let Some(abort) = inference.abort_on_overflow {
        text.push_str(&format!(", tcp_abort_on_overflow={}", u8::from(abort)));
    }
    if let Some(confidence) = inference.confidence {
        text.push_str(&format!(" ({})", confidence.name()));
    }
    Some(text)
}

/// The address that the client asked, where its answer left under another one.
fn asked(attempt: &Attempt) -> Option<Endpoint> {
    let first = attempt.passage.as_deref()?.sightings.first()?.server;
    (attempt.answered_from.is_some() && first != attempt.server).then_some(first)
}

fn reason_words(reason: Reason) -> &'static str {
    match reason {
        Reason::CaptureCut => "the capture ends too soon after its last packet",
        Reason::NoBareAcks => "no bare ACK is in the capture",
        Reason::OneSided => "only one direction is in the capture",
        Reason::Evicted => "it was given up to bound memory (--max-attempts)",
    }
}

/// `syn 9`, `syn-ack 5`, both, or `-`.
pub(super) fn retries(retries: Retries) -> String {
    match (retries.syn, retries.syn_ack) {
        (0, 0) => "-".to_owned(),
        (syn, 0) => format!("syn {syn}"),
        (0, syn_ack) => format!("syn-ack {syn_ack}"),
        (syn, syn_ack) => format!("syn {syn}, syn-ack {syn_ack}"),
    }
}

/// The points that the SYN passed, in order. None where points are not told apart.
fn passed(attempt: &Attempt) -> impl Iterator<Item = CapturePoint> {
    attempt.passage.iter().flat_map(|passage| passage.on_path()).map(|sighting| sighting.point)
}

/// Result of the client's `connect()`: an errno where there is one.
pub(in crate::report) fn connect(connect: Connect) -> String {
    match (connect.outcome, connect.errno, connect.window) {
        (ConnectOutcome::Failed, Some(errno), _) => errno.name().to_owned(),
        (ConnectOutcome::Raced, _, Some(window)) => format!("raced {window}"),
        (outcome, _, _) => outcome.name().to_owned(),
    }
}
