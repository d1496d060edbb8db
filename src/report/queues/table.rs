//! The table of listeners, as wide as the terminal allows.

use comfy_table::{CellAlignment, Table, presets};

use super::line::{LineTone, QueueLine};
use super::{QueueRow, Queues};
use crate::kernel::LimitFrom;
use crate::printable::printable;

/// Columns of the fill bar, and of the narrow one.
const BAR: usize = 8;
const NARROW_BAR: usize = 4;

/// From this fill on a queue is worth a warning: a burst of a third of what waits would overflow it.
const NEARLY_FULL: f64 = 0.75;

/// The columns, in order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueueColumn {
    Listener,
    Fill,
    RecvQ,
    SendQ,
    /// RECV-Q/SEND-Q.
    Queue,
    Drops,
    Rate,
    LimitBy,
    Owner,
    Netns,
}

/// The columns with their forms.
#[derive(Debug, Clone)]
struct Columns {
    columns: Vec<QueueColumn>,
    bar: usize,
    /// Without the container's number.
    short_owner: bool,
}

/// A step towards a narrower table.
#[derive(Debug, Clone, Copy)]
enum Narrowing {
    Bar,
    Leave(QueueColumn),
    ShortOwner,
    OneQueue,
}

/// The steps for a narrow screen, the least loss first: who listens, its queue and what it drops stay.
const NARROWING: [Narrowing; 8] = [
    Narrowing::Bar,
    Narrowing::Leave(QueueColumn::LimitBy),
    Narrowing::ShortOwner,
    Narrowing::Leave(QueueColumn::Drops),
    Narrowing::OneQueue,
    Narrowing::Leave(QueueColumn::Fill),
    Narrowing::Leave(QueueColumn::Netns),
    Narrowing::Leave(QueueColumn::Owner),
];

impl Columns {
    fn of(queues: &Queues<'_>) -> Self {
        let mut columns = vec![
            QueueColumn::Listener,
            QueueColumn::Fill,
            QueueColumn::RecvQ,
            QueueColumn::SendQ,
            QueueColumn::Drops,
        ];
        columns.extend(queues.span().map(|_| QueueColumn::Rate));
        columns.extend([QueueColumn::LimitBy, QueueColumn::Owner]);
        columns.extend(queues.has_several().then_some(QueueColumn::Netns));
        Self { columns, bar: BAR, short_owner: false }
    }

    fn narrow(&mut self, step: Narrowing) {
        match step {
            Narrowing::Bar => self.bar = NARROW_BAR,
            // The only drops of a table without rates.
            Narrowing::Leave(QueueColumn::Drops) if !self.columns.contains(&QueueColumn::Rate) => {}
            Narrowing::Leave(left) => self.columns.retain(|column| *column != left),
            Narrowing::ShortOwner => self.short_owner = true,
            Narrowing::OneQueue => {
                self.columns.retain(|column| *column != QueueColumn::SendQ);
                for column in &mut self.columns {
                    if *column == QueueColumn::RecvQ {
                        *column = QueueColumn::Queue;
                    }
                }
            }
        }
    }
}

impl QueueColumn {
    const fn title(self) -> &'static str {
        match self {
            Self::Listener => "LISTENER",
            Self::Fill => "FILL",
            Self::RecvQ => "RECV-Q",
            Self::SendQ => "SEND-Q",
            Self::Queue => "QUEUE",
            Self::Drops => "DROPS",
            Self::Rate => "DROPS/S",
            Self::LimitBy => "LIMIT BY",
            Self::Owner => "OWNER",
            Self::Netns => "NETNS",
        }
    }

    const fn is_number(self) -> bool {
        matches!(self, Self::RecvQ | Self::SendQ | Self::Queue | Self::Drops | Self::Rate)
    }

    fn cell(self, row: &QueueRow<'_>, layout: &Columns) -> String {
        match self {
            Self::Listener => row.address(),
            Self::Fill => bar(row, layout.bar),
            Self::RecvQ => row.socket.recv_q.to_string(),
            Self::SendQ => or_unknown(row.socket.send_q),
            Self::Queue => format!("{}/{}", row.socket.recv_q, or_unknown(row.socket.send_q)),
            Self::Drops => or_unknown(row.socket.drops),
            Self::Rate => rate(row),
            Self::LimitBy => limit(row.limit_from).to_owned(),
            Self::Owner => owner(row, layout.short_owner),
            Self::Netns => row.netns.to_string(),
        }
    }
}

/// The table's lines, at most `most` sockets of it, within `width` columns as far as the needed columns allow.
pub(super) fn table(queues: &Queues<'_>, most: usize, width: usize) -> Vec<QueueLine> {
    let mut layout = Columns::of(queues);
    let mut lines = draw(queues, most, &layout);
    for step in NARROWING {
        if lines.iter().all(|line| line.chars().count() <= width) {
            break;
        }
        layout.narrow(step);
        lines = draw(queues, most, &layout);
    }
    let tones = std::iter::once(LineTone::Heading).chain(queues.rows.iter().map(tone));
    let mut lines: Vec<QueueLine> = tones.zip(lines).collect();
    if let Some(more) = queues.rows.len().checked_sub(most).filter(|&more| more > 0) {
        let rest = queues.rows.get(most..).unwrap_or_default();
        let how = match rest.iter().filter(|row| row.socket.is_full()).count() {
            0 => "less full".to_owned(),
            full => format!("{full} of them full"),
        };
        lines.push((LineTone::Plain, format!("… and {more} more, {how}")));
    }
    lines
}

fn draw(queues: &Queues<'_>, most: usize, layout: &Columns) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(layout.columns.iter().map(|column| column.title()));
    for row in queues.rows.iter().take(most) {
        table.add_row(layout.columns.iter().map(|column| column.cell(row, layout)));
    }
    for (column, drawn) in layout.columns.iter().zip(table.column_iter_mut()) {
        drawn.set_padding((0, 2));
        if column.is_number() {
            drawn.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
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
fn bar(row: &QueueRow<'_>, width: usize) -> String {
    if row.socket.send_q.is_none() {
        return "?".to_owned();
    }
    if row.socket.is_full() {
        let side = "█".repeat(width.saturating_sub(4) / 2);
        return format!("{side}FULL{side}");
    }
    let cells = (row.socket.fill() * width as f64).round() as usize;
    let cells = cells.clamp(usize::from(row.socket.recv_q > 0), width - 1);
    format!("{}{}", "█".repeat(cells), "░".repeat(width - cells))
}

fn or_unknown(value: Option<u32>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| value.to_string())
}

fn rate(row: &QueueRow<'_>) -> String {
    let seconds = row.watch.interval().map(|interval| interval.span.as_secs_f64());
    match (row.grown, seconds) {
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

/// `nginx[811] +2 docker 3f2a1b0c9d8e`, with the state of a process that cannot accept.
fn owner(row: &QueueRow<'_>, short: bool) -> String {
    let (first, others) = match row.owner {
        None => return "? (not permitted)".to_owned(),
        Some([]) => return "-".to_owned(),
        Some([first, others @ ..]) => (first, others.len()),
    };
    let mut text = format!("{}[{}]", printable(&first.command), first.pid);
    if first.state.is_halted() {
        text += &format!(" {}", first.state.name());
    }
    if others > 0 {
        text += &format!(" +{others}");
    }
    if let Some(container) = first.container.as_ref().filter(|_| !short) {
        text += &format!(" {}", printable(&container.to_string()));
    }
    text
}
