//! The report for people: headline, table, explanations, sysctls and counters.

use std::io::{self, Write};

use colored::{Color, ColoredString, Colorize};
use comfy_table::{CellAlignment, Table, presets};

use super::explain::explanations;
use super::line::{LineTone, QueueLine};
use super::table::table;
use super::{NetnsQueues, Queues, QueuesOptions};
use crate::kernel::{Counter, Sysctls};
use crate::words::count;

pub(super) fn write(out: &mut impl Write, queues: &Queues<'_>, options: &QueuesOptions) -> io::Result<()> {
    let mut below = explanations(queues, options);
    let explained = below.len();
    for of in shown_in_full(queues, options) {
        below.push((LineTone::Plain, String::new()));
        if !of.netns.own {
            below.push((LineTone::Heading, format!("NETWORK NAMESPACE   {}", of.netns)));
        }
        below.extend(sysctls(&of.watch.latest().sysctls, options.width));
        below.push((LineTone::Plain, String::new()));
        below.extend(counters(of, options));
    }
    let (most_lines, columns) = options.screen.unwrap_or((usize::MAX, usize::MAX));
    // A table on a terminal that is not redrawn loses columns, but no line is cut.
    let table_width = options.terminal.unwrap_or(columns);
    let mut lines = vec![headline(queues, options)];
    if !queues.rows.is_empty() {
        // Two lines above the rows besides their header, one for what does not fit. Full ones come before all
        // sentences, and others before counters, up to half of the screen.
        let most_rows = options.screen.map(|(lines, _)| {
            let most = lines.saturating_sub(4).max(1);
            let full = queues.full().clamp(1, most);
            most.saturating_sub(below.len()).max(full).max(most.saturating_sub(explained).min(most / 2))
        });
        lines.push((LineTone::Plain, String::new()));
        lines.extend(table(queues, most_rows.unwrap_or(usize::MAX), table_width));
    }
    lines.extend(below);
    for (tone, line) in lines.iter().take(most_lines) {
        let line: String = line.trim_end().chars().take(columns).collect();
        writeln!(out, "{}", paint(&line, *tone, options.colour))?;
    }
    Ok(())
}

fn paint(line: &str, tone: LineTone, colour: bool) -> ColoredString {
    if !colour || line.is_empty() {
        return ColoredString::from(line);
    }
    // The caller has decided; the environment is not consulted again.
    colored::control::set_override(true);
    match tone {
        LineTone::Alarm => line.color(Color::Red).bold(),
        LineTone::Warning => line.color(Color::Yellow),
        LineTone::Heading => line.bold(),
        LineTone::Plain => ColoredString::from(line),
    }
}

/// Namespaces whose sysctls and counters are shown: the own one, or the only one; with -v all with listeners.
fn shown_in_full<'a>(queues: &Queues<'a>, options: &QueuesOptions) -> Vec<&'a NetnsQueues<'a>> {
    let only = queues.namespaces.len() == 1;
    let listens = |of: &NetnsQueues<'_>| !of.watch.latest().sockets.is_empty();
    queues.namespaces.iter().filter(|of| of.netns.own || only || options.verbose && listens(of)).collect()
}

fn headline(queues: &Queues<'_>, options: &QueuesOptions) -> QueueLine {
    let full = queues.full();
    let several = queues.namespaces.len() > 1;
    // Without a limit nobody knows if a queue is full.
    let unknown = queues.rows.iter().filter(|row| row.socket.send_q.is_none()).count();
    let what = match (queues.rows.len(), full) {
        (0, _) if several => format!("no TCP listener in {} network namespaces", queues.namespaces.len()),
        (0, _) => "no TCP listener in this network namespace".to_owned(),
        (1, 0) if unknown > 0 => "1 listener, its limit is not known".to_owned(),
        (1, 0) => "1 listener, not full".to_owned(),
        (1, _) => "1 listener, FULL".to_owned(),
        (many, 0) if unknown == many => format!("{many} listeners, their limits are not known"),
        (many, 0) if unknown > 0 => {
            format!("{many} listeners, none full of {} with a known limit", many - unknown)
        }
        (many, 0) => format!("{many} listeners, none full"),
        (many, full) => format!("{many} listeners, {full} FULL"),
    };
    let places = if several && !queues.rows.is_empty() {
        format!(", {}", count(queues.namespaces.len() as u64, "network namespace"))
    } else {
        String::new()
    };
    let tone = if full > 0 { LineTone::Alarm } else { LineTone::Heading };
    let Some(span) = queues.span() else { return (tone, shortened(format!("{what}{places}"), options)) };
    let time = jiff::Timestamp::from_nanosecond(i128::from(queues.at().as_nanos())).unwrap_or_default();
    let time = options.zone.to_datetime(time).strftime("%H:%M:%S").to_string();
    (tone, shortened(format!("{what}{places}   {time}, changes in {span}"), options))
}

/// The headline as it fits.
fn shortened(line: String, options: &QueuesOptions) -> String {
    let columns = options.screen.map(|(_, columns)| columns).or(options.terminal);
    let is_too_long = columns.is_some_and(|columns| line.chars().count() > columns);
    if is_too_long { line.replace("network namespaces", "netns") } else { line }
}

fn sysctls(sysctls: &Sysctls, width: usize) -> Vec<QueueLine> {
    let settings: Vec<String> = sysctls
        .iter()
        .map(|(name, value)| {
            let name = name.trim_start_matches("net.ipv4.").trim_start_matches("net.core.");
            // A no-break space keeps name and value on one line.
            format!("{name}\u{a0}{}", value.map_or_else(|| "?".to_owned(), |value| value.to_string()))
        })
        .collect();
    let options = textwrap::Options::new(width).initial_indent("SYSCTLS   ").subsequent_indent("          ");
    let settings = settings.join("  ");
    let lines = textwrap::wrap(&settings, options);
    lines.into_iter().map(|line| (LineTone::Plain, line.replace('\u{a0}', " "))).collect()
}

/// The counters that have counted, with what they mean; ListenOverflows and ListenDrops always.
fn counters(of: &NetnsQueues<'_>, options: &QueuesOptions) -> Vec<QueueLine> {
    let width = options.width;
    let totals = &of.watch.latest().counters;
    let growth = of.watch.interval().map(|interval| interval.counters);
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
    let rows = tones.into_iter().zip(table.lines());
    let mut lines: Vec<QueueLine> =
        rows.flat_map(|(tone, row)| fitting(row, tone, options.terminal)).collect();
    if !missing.is_empty() {
        let options = textwrap::Options::new(width).subsequent_indent("  ");
        let missing = format!("not in this kernel: {}", missing.join(" "));
        let wrapped = textwrap::wrap(&missing, options);
        lines.extend(wrapped.into_iter().map(|line| (LineTone::Plain, line.into_owned())));
    }
    lines
}

/// A row of the table of counters in one line, or with its last cell below it where the terminal is too narrow.
fn fitting(row: String, tone: LineTone, terminal: Option<usize>) -> Vec<QueueLine> {
    let row = row.trim_end();
    // The last cell stands behind a number, or behind the title of one.
    let last = row.rfind("  ").map(|gap| gap + 2);
    match (terminal, last) {
        (Some(width), Some(last)) if row.chars().count() > width => {
            let (figures, meaning) = row.split_at(last);
            let options = textwrap::Options::new(width).initial_indent("  ").subsequent_indent("  ");
            let below = textwrap::wrap(meaning, options).into_iter().map(|line| (tone, line.into_owned()));
            std::iter::once((tone, figures.trim_end().to_owned())).chain(below).collect()
        }
        _ => vec![(tone, row.to_owned())],
    }
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
        Counter::PassiveOpens => "connections that completed at listeners",
        Counter::PawsActive => "SYN-ACKs with an old time stamp",
        Counter::PawsEstab => "segments with an old time stamp",
        Counter::PawsOldAck => "old ACKs, tolerated",
        Counter::PawsTimewait => "SYNs with an old time stamp, in TIME-WAIT",
    }
}
