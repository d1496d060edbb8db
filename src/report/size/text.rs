//! The answer in full, for people.

use std::io::{self, Write};

use super::{SizeReport, draw_text};
use crate::handshake::{Cause, Confidence};
use crate::listener::size::{Candidate, WhatIf};
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
    let headline = format!("{server}  {}", wording::size_answer(size));
    wrap(&headline, width, "", "  ").into_iter().try_for_each(|line| writeln!(out, "{line}"))?;
    for (label, text) in lines(report) {
        let first = format!("  {label:<indent$}", indent = LABEL - 2);
        let rest = " ".repeat(LABEL);
        wrap(&text, width, &first, &rest).into_iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    if !report.candidates.is_empty() {
        writeln!(out)?;
        write_candidates(report, out)?;
    }
    if let Some(series) = &report.series {
        write!(out, "\n{}", draw_text(series, size.limit.map(|limit| limit.value)))?;
    }
    Ok(())
}

/// The labelled lines below the headline.
fn lines(report: &SizeReport) -> Vec<(&'static str, String)> {
    let size = &report.size;
    let mut lines = Vec::new();
    if let Some(listener) = &report.listener {
        let overflow = listener.cause == Some(Cause::AcceptQueueOverflow);
        if !overflow || listener.confidence <= Some(Confidence::Possible) {
            let doubt =
                "the packets do not prove that the accept queue was full; what follows is true if it was";
            lines.push(("doubt", doubt.to_owned()));
        }
    }
    if let Some(accepts) = &size.accepts {
        lines.push(("accepts", wording::accept_rate(accepts)));
    }
    lines.push(("arrivals", wording::arrivals(&size.arrivals)));
    let drops = format!("{} {}", number(size.drops), verb(size.drops, "SYN or ACK", "SYNs and ACKs"));
    lines.push(("turned away", format!("{}, {drops} of theirs", count(size.turned_away, "client"))));
    if report.what_if.changes_application() {
        lines.push(("what if", what_if(report)));
    }
    if !report.candidates.is_empty() || report.series.is_some() {
        let sockets = "of several sockets on one port (SO_REUSEPORT) each has a queue of its own, and each is \
                       given its share of these clients";
        lines.push(("one queue", sockets.to_owned()));
    }
    if !report.others.is_empty() {
        let names: Vec<String> = report.others.iter().take(5).map(ToString::to_string).collect();
        let text = format!("{} turned clients away too: --server", names.join(", "));
        lines.push(("others", text));
    }
    lines
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

/// The table of backlogs; columns for a replay only where there is one.
fn write_candidates(report: &SizeReport, out: &mut impl Write) -> io::Result<()> {
    let replayed = !report.replays.is_empty();
    write!(
        out,
        "  {:>8}  {:<9}  {:>9}  {:>7}  {:>7}  {:>7}  {:>9}",
        "BACKLOG", "", "OVERFLOWS", "LATE", "LOST", "QUEUE", "WAIT"
    )?;
    writeln!(out, "{}", if replayed { "   REPLAYED: OVERFLOWS, LATE, LOST" } else { "" })?;
    for candidate in &report.candidates {
        let Candidate { backlog, outcome, .. } = candidate;
        let wait = if outcome.accepted > 0 { outcome.longest_wait.to_string() } else { "-".to_owned() };
        let row = format!(
            "  {:>8}  {:<9}  {:>9}  {:>7}  {:>7}  {:>7}  {:>9}",
            number((*backlog).into()),
            role(candidate),
            number(outcome.overflows),
            number(outcome.late),
            number(outcome.lost),
            number(outcome.longest.into()),
            wait
        );
        let replay = report.replays.iter().find(|replay| replay.backlog == *backlog);
        let replay = replay.map_or_else(String::new, |replay| {
            format!("{:>22} {:>5} {:>5}", number(replay.overflows), number(replay.late), number(replay.lost))
        });
        writeln!(out, "{}", format!("{row}{replay}").trim_end())?;
    }
    if let Some(behind) = report.replays.iter().map(|replay| replay.behind).max() {
        writeln!(out, "  replayed against this machine's kernel; no client started more than {behind} late")?;
    }
    Ok(())
}

fn role(candidate: &Candidate) -> &'static str {
    match (candidate.is_limit, candidate.is_answer) {
        (_, true) => "holds all",
        (true, false) => "as it was",
        (false, false) => "",
    }
}
