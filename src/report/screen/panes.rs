//! The panes of the screen, row by row.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::bars::{bar, sparkline};
use super::lines::ScreenStyle;
use super::model::{FeedRow, ListenerRow, ScreenModel, per_second};
use super::view::ScreenView;
use crate::handshake::{Attempt, Confidence};
use crate::listener::{EpisodeReport, EpisodeState};
use crate::printable::printable;
use crate::report::text::{Emphasis, attempt_emphasis, columns, emphasis_of, length, pad};
use crate::report::wording;
use crate::words::{count, number};

/// Columns between two columns of a table.
const GAP: usize = 2;

/// Columns of a queue's bar.
const BAR: usize = 8;

/// Narrowest terminal on which episodes have all their figures.
const WIDE: usize = 100;

/// A row of a table: cells with their styles, and widths that all rows share.
type Cells = Vec<(String, Style)>;

/// A table: the heading, and rows. Columns are as wide as their widest cell; the last one has the rest.
pub(super) fn table(
    style: &ScreenStyle,
    heading: &[&str],
    rows: &[Cells],
    right: &[usize],
) -> Vec<Line<'static>> {
    let faint = style.of(Emphasis::Faint);
    let has_unicode = style.unicode;
    let heading: Cells = heading.iter().map(|&name| (name.to_owned(), faint)).collect();
    let all: Vec<&Cells> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|cells| cells.get(column)).map(|(text, _)| columns(text)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &&Cells| {
        let spans = cells.iter().zip(&widths).enumerate().map(|(column, ((text, style), &width))| {
            let text = match (right.contains(&column), column + 1 == widths.len()) {
                (true, _) => format!("{}{text}", " ".repeat(width.saturating_sub(columns(text)))),
                (false, true) => text.clone(),
                (false, false) => pad(text, width),
            };
            // The one character of a span that not every terminal has.
            let text = if has_unicode { text } else { text.replace('µ', "u") };
            let gap = if column + 1 == widths.len() { 0 } else { GAP };
            Span::styled(format!("{text}{}", " ".repeat(gap)), *style)
        });
        Line::from_iter(spans)
    };
    all.iter().map(line).collect()
}

/// The first line: what is captured, since when, and how much.
pub(super) fn status(style: &ScreenStyle, model: &ScreenModel, view: &ScreenView) -> Line<'static> {
    let (now, before) = (model.counts, model.before);
    let rate = |now: u64, before: u64| number(per_second(now.saturating_sub(before), model.span));
    let seconds = model.elapsed.as_secs();
    let elapsed = format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let mut spans = vec![
        Span::styled(printable(&model.input).into_owned(), style.of(Emphasis::Strong)),
        Span::raw(format!("  {elapsed}")),
    ];
    if view.frozen.is_some() {
        spans.push(Span::styled("  PAUSED", style.of(Emphasis::Warning)));
    }
    let problems = now.problems + model.unsettled().count() as u64;
    let emphasis = if problems > 0 { style.of(Emphasis::Warning) } else { Style::new() };
    spans.push(Span::styled(format!("  {}", count(problems, "problem")), emphasis));
    spans.push(Span::raw(format!(
        "  {}, {} undecided  {} packets/s",
        count(now.attempts + now.undecided, "attempt"),
        number(now.undecided),
        rate(now.packets, before.packets),
    )));
    if now.dropped.total() > 0 {
        let lost = format!("  capture lost {}", count(now.dropped.total(), "packet"));
        spans.push(Span::styled(lost, style.of(Emphasis::Alarm)));
    }
    Line::from(spans)
}

/// The listeners: how full their queues are, and what they drop.
pub(super) fn listeners(style: &ScreenStyle, rows: &[&ListenerRow], width: usize) -> Vec<Line<'static>> {
    let has_queues = rows.iter().any(|row| row.now.waiting.is_some());
    // A minute fits from 170 columns on.
    let history = if width >= WIDE { (width / 2).saturating_sub(24).clamp(14, 60) } else { 10 };
    let rows: Vec<Cells> = rows.iter().map(|row| listener(style, row, has_queues, history)).collect();
    let rates = match (width >= WIDE, has_queues) {
        (true, true) => "DROPS A SECOND",
        (true, false) => "PROBLEMS A SECOND",
        (false, _) => "",
    };
    let heading = ["LISTENER", "QUEUE", "", "DROPS", "/S", rates, "PROBLEMS", "PROCESS"];
    // On a narrow terminal what says most, and nothing of the rest.
    let shown: &[usize] = match (has_queues, width) {
        (true, 72..) => &[0, 1, 2, 3, 4, 5, 6, 7],
        (true, 50..) => &[0, 1, 3, 4, 5],
        (true, _) => &[0, 1, 3, 4],
        (false, 50..) => &[0, 4, 5, 6],
        (false, _) => &[0, 4, 6],
    };
    let chosen = |cells: &Cells| shown.iter().filter_map(|&at| cells.get(at).cloned()).collect();
    let rows: Vec<Cells> = rows.iter().map(chosen).collect();
    let heading: Vec<&str> = shown.iter().filter_map(|&at| heading.get(at).copied()).collect();
    let right: Vec<usize> = (0..shown.len()).filter(|&at| [1, 3, 4, 6].contains(&shown[at])).collect();
    table(style, &heading, &rows, &right)
}

/// All cells of a listener.
fn listener(style: &ScreenStyle, row: &ListenerRow, has_queues: bool, history: usize) -> Cells {
    let now = &row.now;
    let alarm = style.of(Emphasis::Alarm);
    let alarm_if = |trouble: bool| if trouble { alarm } else { Style::new() };
    let limit = now.limit.map_or_else(String::new, |limit| format!("/{limit}"));
    let queue = now.waiting.map_or_else(|| "-".to_owned(), |waiting| format!("{waiting}{limit}"));
    let fill = now.limit.map_or_else(String::new, |_| bar(now.fill(), BAR, style.unicode));
    let of_fill = if now.is_full() { alarm } else { style.of(Emphasis::Good) };
    let drops = now.drops.map_or_else(|| "-".to_owned(), number);
    let rates = if has_queues && now.drops.is_none() { String::new() } else { number(row.rate()) };
    vec![
        (now.server.to_string(), alarm_if(now.is_full() || row.rate() > 0)),
        (queue, alarm_if(now.is_full())),
        (fill, of_fill),
        (drops, Style::new()),
        (rates, alarm_if(row.rate() > 0)),
        (sparkline(&row.rates, history, style.unicode), alarm),
        (number(now.problems), Style::new()),
        (now.owner.clone().unwrap_or_default(), style.of(Emphasis::Faint)),
    ]
}

/// The episodes: since when, for how long, how much, where and what.
pub(super) fn episodes(style: &ScreenStyle, rows: &[&EpisodeReport], width: usize) -> Vec<Line<'static>> {
    let wide = width >= WIDE;
    let cells = |report: &&EpisodeReport| {
        let episode = &report.episode;
        let (state, emphasis) = match report.state {
            EpisodeState::Begun => ("begins", emphasis_of(episode.cause)),
            EpisodeState::Ongoing => ("goes on", emphasis_of(episode.cause)),
            EpisodeState::Ended => ("ended", Emphasis::Faint),
        };
        let server = match report.scanner {
            Some(client) => format!("{client} > {}...", report.server),
            None => report.server.to_string(),
        };
        let drops = report.drops.map_or_else(|| "-".to_owned(), number);
        let lasted = length(episode.until.since(episode.from));
        let faint =
            if report.state == EpisodeState::Ended { style.of(Emphasis::Faint) } else { Style::new() };
        let figures = [(lasted, faint), (drops, faint)].into_iter().filter(|_| wide);
        let mut cells = vec![(style.time(episode.from), faint), (state.to_owned(), style.of(emphasis))];
        cells.extend(figures);
        cells.extend([
            (number(episode.verdicts.problems()), faint),
            (server, faint),
            (wording::episode(episode.cause, episode.confidence), style.of(emphasis)),
        ]);
        cells
    };
    let rows: Vec<Cells> = rows.iter().map(cells).collect();
    match wide {
        true => {
            let heading = ["SINCE", "EPISODE", "FOR", "DROPS", "ATTEMPTS", "SERVER", "TROUBLE"];
            table(style, &heading, &rows, &[2, 3, 4])
        }
        false => {
            let heading = ["SINCE", "EPISODE", "ATTEMPTS", "SERVER", "TROUBLE"];
            table(style, &heading, &rows, &[2])
        }
    }
}

/// The problem attempts; the selected one is marked.
pub(super) fn feed(style: &ScreenStyle, rows: &[&FeedRow], selected: Option<u64>) -> Vec<Line<'static>> {
    // One server for all of them is in the pane's title.
    let server = sole_server(rows);
    let cells = |row: &&FeedRow| {
        let attempt = &row.attempt;
        let so_far = if row.settled { "" } else { " so far" };
        let emphasis = style.of(attempt_emphasis(attempt));
        let mut cells =
            vec![(style.time(attempt.start), Style::new()), (attempt.client.to_string(), Style::new())];
        if server.is_none() {
            cells.push((attempt.server.to_string(), Style::new()));
        }
        cells.push((format!("{}{so_far}", attempt.verdict), emphasis));
        cells.push((cause_words(attempt), Style::new()));
        cells
    };
    let rows_of_cells: Vec<Cells> = rows.iter().map(cells).collect();
    let heading: &[&str] = match server {
        Some(_) => &["START", "CLIENT", "VERDICT", "CAUSE"],
        None => &["START", "CLIENT", "SERVER", "VERDICT", "CAUSE"],
    };
    let mut lines = table(style, heading, &rows_of_cells, &[]);
    for (line, row) in lines.iter_mut().skip(1).zip(rows) {
        if selected == Some(row.attempt.ordinal) {
            line.style = line.style.add_modifier(Modifier::REVERSED);
        }
    }
    lines
}

/// `accept-queue-overflow (likely)`.
fn cause_words(attempt: &Attempt) -> String {
    let Some(cause) = attempt.inference.cause else { return String::new() };
    let confidence = attempt.inference.confidence.map_or("", Confidence::name);
    format!("{} ({confidence})", cause.name())
}

/// The server of all these attempts, if it is one.
pub(super) fn sole_server(rows: &[&FeedRow]) -> Option<crate::packet::Endpoint> {
    let first = rows.first()?.attempt.server;
    rows.iter().all(|row| row.attempt.server == first).then_some(first)
}
