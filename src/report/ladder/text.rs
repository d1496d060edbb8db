//! Ladders as text, for terminals of 40 columns and more.

use std::io::{self, Write};
use std::ops::Range;

use super::rows::{Ladder, LadderRow, label, time};
use crate::listener::{Message, MessageMeaning, Sender};
use crate::packet::Timestamp;
use crate::report::text::{Emphasis, TextStyle, cause, columns, connect, pad, wrap};
use crate::report::{ReportOptions, wording};

/// Columns of a time, `10.2 ms`, and a space.
const TIME: usize = 8;

/// Columns of a gap, `+10.2 ms`, and a space.
const GAP: usize = 9;

/// Columns between the lines of client and server, which hold an arrow with flags and numbers.
const LANE: usize = 25;

/// Narrowest terminal on which meanings stand beside the lane; on others they stand below.
const BESIDE: usize = 76;

/// Narrowest terminal on which gaps have a column of their own.
const GAPS: usize = 52;

/// Writes ladders, one below the other.
///
/// # Errors
///
/// The errors of `out`.
pub fn write(out: &mut impl Write, options: &ReportOptions, ladders: &[Ladder]) -> io::Result<()> {
    let first = ladders.iter().map(|ladder| ladder.attempt.start).min();
    let mut text = Vec::new();
    TextStyle::with(options, first, |style| {
        let writer = LadderWriter { style, lines: Lines::new(options.unicode) };
        ladders.iter().try_for_each(|ladder| writer.ladder(&mut text, ladder))
    })?;
    if options.unicode {
        return out.write_all(&text);
    }
    out.write_all(String::from_utf8_lossy(&text).replace('µ', "u").as_bytes())
}

/// Characters that a ladder is drawn with.
struct Lines {
    bar: char,
    line: char,
    right: char,
    left: char,
    lost: char,
}

impl Lines {
    const fn new(unicode: bool) -> Self {
        match unicode {
            true => Self { bar: '│', line: '─', right: '▶', left: '◀', lost: '┊' },
            false => Self { bar: '|', line: '-', right: '>', left: '<', lost: ':' },
        }
    }
}

struct LadderWriter<'a> {
    style: &'a TextStyle<'a>,
    lines: Lines,
}

impl LadderWriter<'_> {
    fn ladder(&self, out: &mut impl Write, ladder: &Ladder) -> io::Result<()> {
        writeln!(out)?;
        self.heading(out, ladder)?;
        if ladder.messages.is_empty() {
            return self.indented(
                out,
                Emphasis::Faint,
                "its packets are not kept, or not in the capture any more",
            );
        }
        self.columns(out)?;
        let mut before: Option<Timestamp> = None;
        for row in &ladder.rows {
            match row {
                LadderRow::Message(place) => {
                    let Some(message) = ladder.message(*place) else { continue };
                    self.message(out, ladder, message, before)?;
                    before = Some(message.at);
                }
                LadderRow::Folded(places) => {
                    self.folded(out, ladder, places)?;
                    before = ladder.message(places.end - 1).map(|message| message.at).or(before);
                }
                LadderRow::LeftOut(packets) => {
                    self.aside(out, &wording::left_out(*packets))?;
                }
            }
        }
        if let Some(ending) = ladder.ending {
            self.aside(out, &wording::ending(ending))?;
        }
        self.conclusion(out, ladder)
    }

    /// `10.9.0.1:35374 > 10.9.0.2:7777  synack-retransmitted, accept-queue-overflow ... (likely)`.
    fn heading(&self, out: &mut impl Write, ladder: &Ladder) -> io::Result<()> {
        let attempt = &ladder.attempt;
        let names = format!("{} > {}", attempt.client, attempt.server);
        let start = self.style.clock.time(attempt.start);
        for line in
            wrap(&format!("{names}  {start}, frame {}", attempt.frame.number()), self.style.width, "", "  ")
        {
            writeln!(out, "{}", self.style.paint.apply(Emphasis::Strong, &line))?;
        }
        let emphasis = self.style.attempt_emphasis(attempt);
        let mut text = attempt.verdict.name().to_owned();
        if let Some(cause) = cause(attempt) {
            text.push_str(&format!(", {cause}"));
        }
        self.indented(out, emphasis, &text)
    }

    fn columns(&self, out: &mut impl Write) -> io::Result<()> {
        let gap = if self.has_gaps() { pad("GAP", GAP) } else { String::new() };
        let lane = format!("{}SERVER", pad("CLIENT", LANE + 2 - "SERVER".len()));
        let line = format!("{}{gap}{lane}", pad("TIME", TIME));
        writeln!(out, "{}", self.style.paint.apply(Emphasis::Faint, line.trim_end()))
    }

    fn has_gaps(&self) -> bool {
        self.style.width >= GAPS
    }

    /// Columns before the lane.
    fn margin(&self) -> usize {
        TIME + if self.has_gaps() { GAP } else { 0 }
    }

    fn message(
        &self,
        out: &mut impl Write,
        ladder: &Ladder,
        message: &Message,
        before: Option<Timestamp>,
    ) -> io::Result<()> {
        let emphasis = self.emphasis(ladder, message.meaning);
        let offset = time(message.at.since(ladder.attempt.start));
        let gap = before.map(|before| message.at.since(before)).filter(|gap| gap.as_nanos() != 0);
        let gap = gap.map(|gap| format!("+{}", time(gap)).replace("+-", "-")).unwrap_or_default();
        let lane = format!("{0}{1}{0}", self.lines.bar, self.arrow(message));
        let lane = emphasis.map_or_else(|| lane.clone(), |emphasis| self.style.paint.apply(emphasis, &lane));
        let mut meaning = wording::message(message, &ladder.attempt);
        if self.style.verbose {
            meaning = format!("frame {}: {meaning}", message.frame.number());
        }
        if !self.has_gaps() && !gap.is_empty() {
            meaning = format!("{gap} {meaning}");
        }
        let gaps = if self.has_gaps() { pad(&gap, GAP) } else { String::new() };
        let left = format!("{}{gaps}{lane}", pad(&offset, TIME));
        if self.style.width < BESIDE {
            writeln!(out, "{left}")?;
            return self.below(out, emphasis, &meaning);
        }
        let margin = self.margin();
        let room = self.style.width - margin - LANE - 4;
        for (index, line) in wrap(&meaning, room, "", "").iter().enumerate() {
            let line =
                emphasis.map_or_else(|| line.clone(), |emphasis| self.style.paint.apply(emphasis, line));
            if index == 0 {
                writeln!(out, "{left}  {line}")?;
            } else {
                writeln!(out, "{}{}  {line}", " ".repeat(margin), self.empty_lane())?;
            }
        }
        Ok(())
    }

    /// `├── SYN seq=0 ──▶`, between the two bars.
    fn arrow(&self, message: &Message) -> String {
        let Lines { line, right, left, .. } = self.lines;
        let label = label(message, LANE - 5);
        let free = LANE - 3 - columns(&label);
        let (short, long) = (free / 2, free - free / 2);
        let dashes = |number: usize| line.to_string().repeat(number);
        match message.sender {
            Sender::Client => format!("{} {label} {}{right}", dashes(short), dashes(long)),
            Sender::Server => format!("{left}{} {label} {}", dashes(long), dashes(short)),
        }
    }

    fn empty_lane(&self) -> String {
        format!("{0}{1}{0}", self.lines.bar, " ".repeat(LANE))
    }

    /// Repetitions that are not shown one by one: their number and their times.
    fn folded(&self, out: &mut impl Write, ladder: &Ladder, places: &Range<usize>) -> io::Result<()> {
        self.aside(out, &ladder.folded(places))
    }

    /// A remark that is no message.
    fn aside(&self, out: &mut impl Write, text: &str) -> io::Result<()> {
        let margin = self.margin();
        let lane = format!("{0}{1}{0}", self.lines.lost, " ".repeat(LANE));
        let indent = " ".repeat(margin);
        if self.style.width < BESIDE {
            writeln!(out, "{indent}{lane}")?;
            return self.below(out, Some(Emphasis::Faint), text);
        }
        for line in wrap(text, self.style.width - margin - LANE - 4, "", "") {
            writeln!(out, "{indent}{lane}  {}", self.style.paint.apply(Emphasis::Faint, &line))?;
        }
        Ok(())
    }

    fn below(&self, out: &mut impl Write, emphasis: Option<Emphasis>, text: &str) -> io::Result<()> {
        for line in wrap(text, self.style.width, "    ", "    ") {
            let line =
                emphasis.map_or_else(|| line.clone(), |emphasis| self.style.paint.apply(emphasis, &line));
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    fn indented(&self, out: &mut impl Write, emphasis: Emphasis, text: &str) -> io::Result<()> {
        for line in wrap(text, self.style.width, "  ", "    ") {
            writeln!(out, "{}", self.style.paint.apply(emphasis, &line))?;
        }
        Ok(())
    }

    /// Evidence, what was ruled out, and the result of the client's `connect()`.
    fn conclusion(&self, out: &mut impl Write, ladder: &Ladder) -> io::Result<()> {
        let inference = &ladder.attempt.inference;
        let mut label = "why";
        for &evidence in &inference.evidence {
            self.style.write_labelled(out, Emphasis::Strong, "  ", label, &wording::evidence(evidence))?;
            label = "";
        }
        let mut label = "not";
        for &ruled_out in &inference.ruled_out {
            self.style.write_labelled(
                out,
                Emphasis::Strong,
                "  ",
                label,
                &wording::ruled_out(ruled_out, 1),
            )?;
            label = "";
        }
        let connect = format!("connect() {}", connect(ladder.attempt.connect));
        self.style.write_labelled(out, Emphasis::Strong, "  ", "client", &connect)
    }

    fn emphasis(&self, ladder: &Ladder, meaning: MessageMeaning) -> Option<Emphasis> {
        match meaning {
            MessageMeaning::Established => Some(Emphasis::Good),
            meaning if meaning.is_trouble() => Some(self.style.attempt_emphasis(&ladder.attempt)),
            _ => None,
        }
    }
}
