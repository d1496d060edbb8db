//! The table for people, and the sentences below it.

use std::io::{self, Write};

use colored::{Color, ColoredString, Colorize};
use comfy_table::{CellAlignment, Table, presets};

use super::{QueueRow, Queues, QueuesOptions, address};
use crate::kernel::{Counter, LimitFrom, Sysctls};
use crate::printable::printable;

/// Columns of the fill bar.
const BAR: usize = 8;

/// From this fill on a queue is worth a warning: a burst of a third of what waits would overflow it.
const NEARLY_FULL: f64 = 0.75;

/// Most full listeners that are explained one by one; the others are in the table. On a screen one stands for all: the
/// table needs the lines.
const EXPLAINED: usize = 3;
const EXPLAINED_ON_SCREEN: usize = 1;

/// Emphasis of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineTone {
    Alarm,
    Warning,
    Heading,
    Plain,
}

pub(super) fn write(out: &mut impl Write, queues: &Queues<'_>, options: &QueuesOptions) -> io::Result<()> {
    let explained = if options.screen.is_some() { EXPLAINED_ON_SCREEN } else { EXPLAINED };
    let mut below = explanations(queues, options.width, explained);
    below.push((LineTone::Plain, String::new()));
    below.extend(sysctls(&queues.watch.latest().sysctls, options.width));
    below.push((LineTone::Plain, String::new()));
    below.extend(counters(queues, options.width));
    let mut lines = vec![headline(queues, options)];
    if !queues.rows.is_empty() {
        // Two lines above the rows besides their header, one for what does not fit. Full ones come before all words.
        let room = options.screen.map(|(lines, _)| {
            let most = lines.saturating_sub(4).max(1);
            most.saturating_sub(below.len()).max(full(&queues.rows).clamp(1, most))
        });
        lines.push((LineTone::Plain, String::new()));
        lines.extend(table(queues, room.unwrap_or(usize::MAX)));
    }
    lines.extend(below);
    let (most, columns) = options.screen.unwrap_or((usize::MAX, usize::MAX));
    for (tone, line) in lines.iter().take(most) {
        let line: String = line.trim_end().chars().take(columns).collect();
        writeln!(out, "{}", paint(&line, *tone, options.colour))?;
    }
    Ok(())
}

fn paint(line: &str, tone: LineTone, colour: bool) -> ColoredString {
    if !colour || line.is_empty() {
        return ColoredString::from(line);
    }
    // The caller has decided; the environment is not asked again.
    colored::control::set_override(true);
    match tone {
        LineTone::Alarm => line.color(Color::Red).bold(),
        LineTone::Warning => line.color(Color::Yellow),
        LineTone::Heading => line.bold(),
        LineTone::Plain => ColoredString::from(line),
    }
}

/// Number of full sockets.
fn full(rows: &[QueueRow<'_>]) -> usize {
    rows.iter().filter(|row| row.socket.is_full()).count()
}

fn headline(queues: &Queues<'_>, options: &QueuesOptions) -> (LineTone, String) {
    let full = full(&queues.rows);
    let what = match (queues.rows.len(), full) {
        (0, _) => "no TCP listener in this network namespace".to_owned(),
        (1, 0) => "1 listener, not full".to_owned(),
        (1, _) => "1 listener, FULL".to_owned(),
        (many, 0) => format!("{many} listeners, none full"),
        (many, full) => format!("{many} listeners, {full} FULL"),
    };
    let tone = if full > 0 { LineTone::Alarm } else { LineTone::Heading };
    let Some(span) = queues.span() else { return (tone, what) };
    let time = jiff::Timestamp::from_nanosecond(i128::from(queues.at().as_nanos())).unwrap_or_default();
    let time = options.zone.to_datetime(time).strftime("%H:%M:%S").to_string();
    (tone, format!("{what}   {time}, changes in {span}"))
}

/// The table's lines, at most `room` sockets of it.
fn table(queues: &Queues<'_>, room: usize) -> Vec<(LineTone, String)> {
    let watching = queues.span().is_some();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec!["LISTENER", "FILL", "RECV-Q", "SEND-Q", "DROPS"];
    header.extend(watching.then_some("DROPS/S"));
    header.extend(["LIMIT BY", "OWNER"]);
    table.set_header(header);
    for row in queues.rows.iter().take(room) {
        let mut cells = vec![
            address(row.socket.local, row.device.as_deref()),
            bar(row),
            row.socket.recv_q.to_string(),
            row.socket.send_q.to_string(),
            or_unknown(row.socket.drops),
        ];
        cells.extend(watching.then(|| rate(row, queues)));
        cells.extend([limit(row.limit_from).to_owned(), owner(row)]);
        table.add_row(cells);
    }
    let numbers = if watching { 2..6 } else { 2..5 };
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let tones = std::iter::once(LineTone::Heading).chain(queues.rows.iter().map(tone));
    let mut lines: Vec<_> = tones.zip(table.lines()).collect();
    if let Some(more) = queues.rows.len().checked_sub(room).filter(|&more| more > 0) {
        let how = match full(queues.rows.get(room..).unwrap_or_default()) {
            0 => "less full".to_owned(),
            full => format!("{full} of them full"),
        };
        lines.push((LineTone::Plain, format!("… and {more} more, {how}")));
    }
    lines
}

fn tone(row: &QueueRow<'_>) -> LineTone {
    if row.socket.is_full() {
        LineTone::Alarm
    } else if row.socket.fill() >= NEARLY_FULL || row.grown.is_some_and(|drops| drops > 0) {
        LineTone::Warning
    } else {
        LineTone::Plain
    }
}

/// Fill bar: empty only when nothing waits, whole only when the queue is full.
fn bar(row: &QueueRow<'_>) -> String {
    if row.socket.is_full() {
        return "██FULL██".to_owned();
    }
    let cells = (row.socket.fill() * BAR as f64).round() as usize;
    let cells = cells.clamp(usize::from(row.socket.recv_q > 0), BAR - 1);
    format!("{}{}", "█".repeat(cells), "░".repeat(BAR - cells))
}

fn or_unknown(value: Option<u32>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| value.to_string())
}

fn rate(row: &QueueRow<'_>, queues: &Queues<'_>) -> String {
    match (row.grown, queues.span().map(|span| span.as_secs_f64())) {
        (Some(grown), Some(seconds)) if seconds > 0.0 => format!("{:.1}", f64::from(grown) / seconds),
        _ => "?".to_owned(),
    }
}

const fn limit(from: Option<LimitFrom>) -> &'static str {
    match from {
        Some(LimitFrom::Listen) => "listen()",
        Some(LimitFrom::Somaxconn) => "somaxconn",
        None => "?",
    }
}

fn owner(row: &QueueRow<'_>) -> String {
    match row.owner {
        None => "? (not permitted)".to_owned(),
        Some([]) => "-".to_owned(),
        Some([only]) => format!("{}[{}]", printable(&only.command), only.pid),
        Some([first, others @ ..]) => {
            format!("{}[{}] +{}", printable(&first.command), first.pid, others.len())
        }
    }
}

/// Explanations of full queues, with advice, and remarks on what could not be read.
fn explanations(queues: &Queues<'_>, width: usize, explained: usize) -> Vec<(LineTone, String)> {
    let mut lines = Vec::new();
    let sysctls = &queues.watch.latest().sysctls;
    let full: Vec<&QueueRow<'_>> = queues.rows.iter().filter(|row| row.socket.is_full()).collect();
    for row in full.iter().take(explained) {
        lines.push((LineTone::Plain, String::new()));
        let name = address(row.socket.local, row.device.as_deref());
        lines.push((LineTone::Alarm, format!("{name}   ACCEPT QUEUE FULL")));
        lines.extend(labelled("now", &meaning(row, sysctls), width));
        lines.extend(labelled("fix", &advice(row, sysctls), width));
    }
    let dropped =
        queues.rows.iter().filter(|row| !row.socket.is_full() && row.socket.drops > Some(0)).count();
    let unknown = queues.rows.iter().filter(|row| row.owner.is_none()).count();
    let mut notes = Vec::new();
    if dropped > 0 && queues.span().is_none() {
        let who = if dropped == 1 { "1 listener that is" } else { "listeners that are" };
        notes.push(format!(
            "DROPS: {who} not full now dropped packets earlier; a queue that is full for moments \
             does that. `hsanalyze listeners --watch` shows whether it still happens."
        ));
    }
    if unknown > 0 {
        let processes = queues.owners.unreadable();
        let plural = if processes == 1 { "" } else { "es" };
        notes.push(format!(
            "OWNER: the files of {processes} process{plural} are not ours to see; run as root (or with CAP_SYS_PTRACE) to name \
             them."
        ));
    }
    for note in notes {
        lines.push((LineTone::Plain, String::new()));
        lines.extend(
            textwrap::wrap(&note, width).into_iter().map(|line| (LineTone::Plain, line.into_owned())),
        );
    }
    lines
}

fn labelled(label: &str, text: &str, width: usize) -> Vec<(LineTone, String)> {
    let first = format!("  {label:<6} ");
    let options = textwrap::Options::new(width).initial_indent(&first).subsequent_indent("         ");
    textwrap::wrap(text, options).into_iter().map(|line| (LineTone::Plain, line.into_owned())).collect()
}

fn meaning(row: &QueueRow<'_>, sysctls: &Sysctls) -> String {
    let (waiting, limit) = (row.socket.recv_q, row.socket.send_q);
    let wait = if waiting == 1 { "connection waits" } else { "connections wait" };
    let handshake = match sysctls.abort_on_overflow() {
        Some(true) => {
            "tcp_abort_on_overflow=1: handshakes that were under way are reset, after connect() may have succeeded"
        }
        Some(false) => {
            "tcp_abort_on_overflow=0: the last ACK of handshakes that were under way is ignored, while their clients \
             believe that they are connected"
        }
        None => "handshakes that were under way are ignored or reset",
    };
    format!(
        "{waiting} {wait} for accept(), more than the limit of {limit}. SYNs of new clients get no answer. \
         {handshake}."
    )
}

fn advice(row: &QueueRow<'_>, sysctls: &Sysctls) -> String {
    let who = match row.owner {
        Some([first, ..]) => printable(&first.command),
        Some([]) | None => "the program".into(),
    };
    let limit = row.socket.send_q;
    let raise = match (row.limit_from, sysctls.somaxconn) {
        (Some(LimitFrom::Somaxconn), _) => format!(
            "raise net.core.somaxconn above {limit} together with the backlog that {who} gives to listen(), then restart it: \
             the limit is set at listen()"
        ),
        (Some(LimitFrom::Listen), Some(somaxconn)) if somaxconn > limit => format!(
            "give listen() a backlog above {limit} in {who}'s configuration and restart it (net.core.somaxconn allows \
             {somaxconn})"
        ),
        (Some(LimitFrom::Listen) | None, _) => format!(
            "give listen() a backlog above {limit} in {who}'s configuration, with net.core.somaxconn at least as high, and \
             restart it"
        ),
    };
    format!("make {who} accept faster; or, if it only falls behind for moments, {raise}.")
}

fn sysctls(sysctls: &Sysctls, width: usize) -> Vec<(LineTone, String)> {
    let words: Vec<String> = sysctls
        .iter()
        .map(|(name, value)| {
            let name = name.trim_start_matches("net.ipv4.").trim_start_matches("net.core.");
            // A no-break space keeps name and value on one line.
            format!("{name}\u{a0}{}", value.map_or_else(|| "?".to_owned(), |value| value.to_string()))
        })
        .collect();
    let options = textwrap::Options::new(width).initial_indent("SYSCTLS   ").subsequent_indent("          ");
    let words = words.join("  ");
    let lines = textwrap::wrap(&words, options);
    lines.into_iter().map(|line| (LineTone::Plain, line.replace('\u{a0}', " "))).collect()
}

/// The counters that have counted, with what they mean; ListenOverflows and ListenDrops always.
fn counters(queues: &Queues<'_>, width: usize) -> Vec<(LineTone, String)> {
    let totals = &queues.watch.latest().counters;
    let growth = queues.watch.interval().map(|interval| interval.counters);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec!["COUNTER", "TOTAL"];
    header.extend(growth.map(|_| "CHANGE"));
    header.push("OF THIS NETWORK NAMESPACE");
    table.set_header(header);
    let mut tones = vec![LineTone::Heading];
    let mut missing = Vec::new();
    for counter in Counter::ALL {
        let Some(total) = totals.get(counter) else {
            missing.push(counter.name());
            continue;
        };
        let always = matches!(counter, Counter::ListenOverflows | Counter::ListenDrops);
        if total == 0 && !always {
            continue;
        }
        let grown = growth.and_then(|growth| growth.get(counter)).unwrap_or(0);
        let mut cells = vec![counter.name().to_owned(), total.to_string()];
        cells.extend(growth.map(|_| if grown == 0 { "-".to_owned() } else { format!("+{grown}") }));
        cells.push(what_it_counts(counter).to_owned());
        table.add_row(cells);
        tones.push(if always && grown > 0 { LineTone::Warning } else { LineTone::Plain });
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index == 1 || index == 2 && growth.is_some() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut lines: Vec<_> = tones.into_iter().zip(table.lines()).collect();
    if !missing.is_empty() {
        let options = textwrap::Options::new(width).subsequent_indent("  ");
        let missing = format!("not in this kernel: {}", missing.join(" "));
        lines.extend(
            textwrap::wrap(&missing, options).into_iter().map(|line| (LineTone::Plain, line.into_owned())),
        );
    }
    lines
}

const fn what_it_counts(counter: Counter) -> &'static str {
    match counter {
        Counter::ListenOverflows => "SYNs, ACKs and data that met a full accept queue",
        Counter::ListenDrops => "dropped by listeners, for that or another reason",
        Counter::TcpReqQFullDrop => "SYNs dropped: SYN queue full, cookies off",
        Counter::TcpReqQFullDoCookies => "SYNs answered by cookie: SYN queue full",
        Counter::SyncookiesSent => "SYN cookies sent",
        Counter::SyncookiesRecv => "valid SYN cookies that came back",
        Counter::SyncookiesFailed => "ACKs without a valid cookie, late ones too",
        Counter::EmbryonicRsts => "handshakes reset before they completed",
        Counter::TcpDeferAcceptDrop => "ACKs held back by TCP_DEFER_ACCEPT",
        Counter::TcpSynRetrans => "SYNs and SYN-ACKs sent again",
        Counter::OutRsts => "resets sent",
    }
}
