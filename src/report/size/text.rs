//! The answer in full, for people.

use std::io::{self, Write};

use super::{Replayed, SizeReport, draw_text};
use crate::handshake::{Cause, Confidence};
use crate::listener::size::{Answer, Candidate, Size, WhatIf};
use crate::report::text::wrap;
use crate::report::wording;
use crate::words::{count, number, verb};

/// Columns before the text of a labelled line.
const LABEL: usize = 14;

/// Writes the report, in lines of at most `width` columns.
///
/// # Errors
///
/// Those of `out`.
pub fn write_text(report: &SizeReport, width: usize, out: &mut impl Write) -> io::Result<()> {
    let SizeReport { server, size, .. } = report;
    let headline = format!("{server}  {}{}", doubt(report), wording::size_answer(size));
    wrap(&headline, width, "", "  ").into_iter().try_for_each(|line| writeln!(out, "{line}"))?;
    for (label, text) in lines(report) {
        let first = format!("  {label:<indent$}", indent = LABEL - 2);
        let rest = " ".repeat(LABEL);
        wrap(&text, width, &first, &rest).into_iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    if !report.candidates.is_empty() {
        writeln!(out)?;
        write_candidates(report, width, out)?;
    }
    if !report.replays.is_empty() {
        writeln!(out)?;
        write_replays(report, width, out)?;
    }
    if let Some(series) = &report.series {
        let limit = size.limit.map(|limit| limit.value);
        write!(out, "\n{}", draw_text(series, limit, report.load.known.queues(), width))?;
    }
    Ok(())
}

/// The condition before an answer that rests on a full queue which nothing proves; empty where that is proven, and before
/// an answer that does not rest on it.
fn doubt(report: &SizeReport) -> &'static str {
    let Some(listener) = &report.listener else { return "" };
    let overflow = listener.cause == Some(Cause::AcceptQueueOverflow);
    let proven = overflow && listener.confidence > Some(Confidence::Possible);
    match report.size.answer {
        _ if proven => "",
        Answer::Unknown(_) => "",
        _ if overflow => "if its accept queue was full, which is only possible: ",
        _ => "if its accept queue was full, which these packets do not show: ",
    }
}

/// The labelled lines below the headline.
fn lines(report: &SizeReport) -> Vec<(&'static str, String)> {
    let size = &report.size;
    let mut lines = Vec::new();
    if let Some(accepts) = &size.accepts {
        lines.push(("accepts", wording::accept_rate(accepts)));
    }
    lines.push(("arrivals", wording::arrivals(&size.arrivals)));
    if size.drops > 0 {
        let packets = verb(size.drops, "SYN or ACK", "SYNs and ACKs");
        let clients = count(size.turned_away, "client");
        lines.push(("dropped", format!("{} {packets}, of {clients}", number(size.drops))));
    }
    if report.what_if.changes_application() {
        lines.push(("what if", what_if(report)));
    }
    if size.drops > 0 {
        lines.extend(sockets(size));
        if !size.cookies.on {
            let text = "off: the SYN queue has the same limit, and drops SYNs when it is full";
            lines.push(("SYN cookies", text.to_owned()));
        }
    }
    if !report.others.is_empty() {
        let names: Vec<String> = report.others.iter().take(5).map(ToString::to_string).collect();
        let text = format!("{} dropped SYNs and ACKs too: --server", names.join(", "));
        lines.push(("others", text));
    }
    lines
}

/// The line about the sockets that share the port; none where it is known to be one.
fn sockets(size: &Size) -> Option<(&'static str, String)> {
    let text = match size.sockets {
        Some(1) => return None,
        Some(sockets) => format!(
            "{sockets} share the port (SO_REUSEPORT), each with a queue of its own; chance gives each its clients, and \
             the worst of ten such chances is planned for"
        ),
        None => {
            "one is assumed; of several on one port (SO_REUSEPORT) each has a queue of its own: --sockets N"
                .to_owned()
        }
    };
    Some(("sockets", text))
}

fn what_if(report: &SizeReport) -> String {
    let WhatIf { workers, .. } = &report.what_if;
    let rate = report.service.map_or(0.0, |service| service.per_second);
    let mut text = format!("{} accepts a second", wording::rate(rate));
    if let Some(workers) = workers {
        text.push_str(&format!(", of {}", count((*workers).into(), "worker")));
    }
    if let Some(answer) = report.candidates.iter().find(|candidate| candidate.is_answer) {
        text.push_str(&format!(": a backlog of {} would have held all", number(answer.backlog.into())));
    }
    text
}

/// The table of backlogs.
fn write_candidates(report: &SizeReport, width: usize, out: &mut impl Write) -> io::Result<()> {
    let row = |candidate: &Candidate| {
        let Candidate { backlog, outcome, .. } = candidate;
        let wait = if outcome.accepted > 0 { outcome.longest_wait.to_string() } else { "-".to_owned() };
        [
            number((*backlog).into()),
            number(outcome.overflows),
            number(outcome.late),
            number(outcome.lost),
            number(outcome.longest.into()),
            wait,
            role(candidate).to_owned(),
        ]
    };
    let header = ["BACKLOG", "OVERFLOWS", "LATE", "LOST", "QUEUE", "WAIT", ""].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(header).chain(report.candidates.iter().map(row)).collect();
    let caption = "simulated, with these arrivals; the drops above were observed";
    wrap(caption, width, "  ", "  ").into_iter().try_for_each(|line| writeln!(out, "{line}"))?;
    write_table(&rows, &[4, 2, 5], width, out)
}

/// The table of replays: what this kernel counted, beside the prediction for the same clients.
fn write_replays(report: &SizeReport, width: usize, out: &mut impl Write) -> io::Result<()> {
    let replays = &report.replays;
    let (clients, all) = (replays.first().map_or(0, |replay| replay.clients), report.size.arrivals.clients);
    let part = if clients < all { format!("the worst stretch of {}", number(all)) } else { "all".to_owned() };
    let behind = replays.iter().map(|replay| replay.behind).max().unwrap_or_default();
    let text = format!(
        "replayed against this machine's kernel: {}, {part}; none started more than {behind} late",
        count(clients, "client")
    );
    wrap(&text, width, "  ", "  ").into_iter().try_for_each(|line| writeln!(out, "{line}"))?;
    let row = |replay: &Replayed| {
        let predicted = &replay.predicted;
        [
            number(replay.backlog.into()),
            number(predicted.overflows),
            number(replay.overflows),
            number(predicted.late),
            number(replay.late),
            number(predicted.lost),
            number(replay.lost),
        ]
    };
    let header = ["BACKLOG", "OVERFLOWS", "COUNTED", "LATE", "COUNTED", "LOST", "COUNTED"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(header).chain(replays.iter().map(row)).collect();
    write_table(&rows, &[5, 6, 3, 4], width, out)
}

/// Writes rows of equal length, the last column to the left where it has no header. Columns in `spare` are left out in this
/// order until the rest is no wider than `width`.
fn write_table<const N: usize>(
    rows: &[[String; N]],
    spare: &[usize],
    width: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    const GAP: usize = 2;
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    let mut shown: Vec<usize> = (0..N).collect();
    let total = |shown: &[usize]| shown.iter().map(|&column| GAP + widths[column]).sum::<usize>();
    for left_out in spare {
        if total(&shown) > width {
            shown.retain(|column| column != left_out);
        }
    }
    let named = |column: usize| rows.first().is_some_and(|header| !header[column].is_empty());
    for row in rows {
        let cells = shown.iter().map(|&column| match named(column) {
            true => format!("{:GAP$}{:>width$}", "", row[column], width = widths[column]),
            false => format!("{:GAP$}{}", "", row[column]),
        });
        writeln!(out, "{}", cells.collect::<String>().trim_end())?;
    }
    Ok(())
}

fn role(candidate: &Candidate) -> &'static str {
    match (candidate.is_limit, candidate.is_answer) {
        (_, true) => "holds all",
        (true, false) => "its limit",
        (false, false) => "",
    }
}
