//! Ladders as text, for terminals of 40 columns and more.

use std::io::{self, Write};
use std::ops::Range;

use super::lanes::{Lanes, SPACE};
use super::rows::{Ladder, LadderRow, time};
use crate::listener::{Message, MessageMeaning};
use crate::packet::{Endpoint, Timestamp};
use crate::report::text::{Emphasis, TextStyle, cause, connect, pad, wrap};
use crate::report::{ReportOptions, wording};

/// Columns of a time, `10.2 ms`, and a space.
const TIME: usize = 8;

/// Columns of a gap, `+10.2 ms`, and a space.
const GAP: usize = 9;

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
        let margin = margin(style.width);
        ladders.iter().try_for_each(|ladder| {
            let lanes = Lanes::new(&ladder.points, style.width.saturating_sub(margin), options.unicode);
            LadderWriter { style, lanes }.ladder(&mut text, ladder)
        })
    })?;
    if options.unicode {
        return out.write_all(&text);
    }
    out.write_all(String::from_utf8_lossy(&text).replace('µ', "u").as_bytes())
}

/// Columns before the lanes on a terminal of this width.
const fn margin(width: usize) -> usize {
    TIME + if width >= GAPS { GAP } else { 0 }
}

struct LadderWriter<'a> {
    style: &'a TextStyle<'a>,
    lanes: Lanes,
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
        let line = format!("{}{gap}{}", pad("TIME", TIME), self.lanes.heading());
        writeln!(out, "{}", self.style.paint.apply(Emphasis::Faint, line.trim_end()))
    }

    fn has_gaps(&self) -> bool {
        self.style.width >= GAPS
    }

    fn margin(&self) -> usize {
        margin(self.style.width)
    }

    /// Columns for what stands beside the lanes.
    fn room(&self) -> usize {
        self.style.width.saturating_sub(self.margin() + self.lanes.width() + SPACE)
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
        let lane = self.lanes.message(message);
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
        if !self.lanes.beside {
            writeln!(out, "{left}")?;
            return self.below(out, emphasis, &meaning);
        }
        let margin = self.margin();
        for (index, line) in wrap(&meaning, self.room(), "", "").iter().enumerate() {
            let line =
                emphasis.map_or_else(|| line.clone(), |emphasis| self.style.paint.apply(emphasis, line));
            if index == 0 {
                writeln!(out, "{left}  {line}")?;
            } else {
                writeln!(out, "{}{}  {line}", " ".repeat(margin), self.lanes.empty())?;
            }
        }
        Ok(())
    }

    /// Repetitions that are not shown one by one: their number and their times.
    fn folded(&self, out: &mut impl Write, ladder: &Ladder, places: &Range<usize>) -> io::Result<()> {
        self.aside(out, &ladder.folded(places))
    }

    /// A remark that is no message.
    fn aside(&self, out: &mut impl Write, text: &str) -> io::Result<()> {
        let lane = self.lanes.left_out();
        let indent = " ".repeat(self.margin());
        if !self.lanes.beside {
            writeln!(out, "{indent}{lane}")?;
            return self.below(out, Some(Emphasis::Faint), text);
        }
        for line in wrap(text, self.room(), "", "") {
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

    /// The addresses that the attempt had at each point, where they are not the same everywhere.
    fn addresses(&self, out: &mut impl Write, ladder: &Ladder) -> io::Result<()> {
        let sightings = ladder.attempt.passage.iter().flat_map(|passage| &passage.sightings);
        let mut all: Vec<String> = Vec::new();
        let mut ends: Vec<(Endpoint, Endpoint)> = Vec::new();
        for sighting in sightings {
            let (client, server) = (sighting.client, sighting.server);
            ends.push((client, server));
            all.push(format!("{}: {client} > {server}", wording::point(sighting.point)));
        }
        ends.dedup();
        let mut label = "at";
        for text in all.iter().filter(|_| ends.len() > 1) {
            self.style.write_labelled(out, Emphasis::Strong, "  ", label, text)?;
            label = "";
        }
        Ok(())
    }

    /// Evidence, what was ruled out, and the result of the client's `connect()`.
    fn conclusion(&self, out: &mut impl Write, ladder: &Ladder) -> io::Result<()> {
        self.addresses(out, ladder)?;
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
