//! The lines of a ladder's ends or points, and the lanes between them that hold the arrows.

use super::rows::label;
use crate::listener::{Message, Sender};
use crate::packet::CapturePoint;
use crate::report::point_names::{fit, short_names};
use crate::report::text::{columns, pad};

/// Columns of a lane that holds an arrow with flags and numbers.
const LANE: usize = 25;

/// The same with fewer numbers.
const SHORT_LANE: usize = 18;

/// Columns of a further lane where there is no room for more: an arrow with flags.
const FURTHER_LANE: usize = 13;

/// Fewest columns for meanings beside the lanes; else they stand below.
const MEANING: usize = 30;

/// Columns between the lanes and the meanings.
pub(super) const SPACE: usize = 2;

/// Characters that a ladder is drawn with.
struct Characters {
    bar: char,
    /// A bar that an arrow goes through.
    crossed: char,
    line: char,
    right: char,
    left: char,
    /// The end of an arrow that did not reach the next point.
    stop: char,
    /// A bar beside which packets are left out.
    gap: char,
    unicode: bool,
}

impl Characters {
    const fn new(unicode: bool) -> Self {
        match unicode {
            true => Self {
                bar: '│',
                crossed: '┼',
                line: '─',
                right: '▶',
                left: '◀',
                stop: '╳',
                gap: '┊',
                unicode,
            },
            false => Self {
                bar: '|',
                crossed: '+',
                line: '-',
                right: '>',
                left: '<',
                stop: 'x',
                gap: ':',
                unicode,
            },
        }
    }
}

/// The lines and lanes of one ladder.
pub(super) struct Lanes {
    characters: Characters,
    /// The points whose lines are drawn; none for client and server.
    points: Vec<CapturePoint>,
    names: Vec<String>,
    /// Columns of the lanes, from the client's.
    lanes: Vec<usize>,
    /// Meanings stand beside the lanes.
    pub(super) beside: bool,
}

/// Part of an arrow in one lane.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LanePart {
    Empty,
    /// The whole lane, to the point or through it.
    Whole {
        arrives: bool,
    },
    /// The beginning: the message did not reach the next point.
    Stops,
    /// The end: the message was not seen at the point before.
    Begins,
}

impl Lanes {
    /// Lanes for these points in so many columns: of more points than there is room for, the first and the last.
    pub(super) fn new(points: &[CapturePoint], room: usize, unicode: bool) -> Self {
        let characters = Characters::new(unicode);
        if points.len() < 2 {
            let names = ["CLIENT", "SERVER"].map(str::to_owned).to_vec();
            return Self::of(characters, Vec::new(), names, room).unwrap_or_else(Self::ends);
        }
        let names = short_names(points);
        Self::of(characters, points.to_vec(), names.clone(), room).unwrap_or_else(|characters| {
            let points = points.first().into_iter().chain(points.last()).copied().collect();
            let names = names.first().into_iter().chain(names.last()).cloned().collect();
            Self { points, names, ..Self::ends(characters) }
        })
    }

    /// Lanes that fit beside or above the meanings, the widest first.
    fn of(
        characters: Characters,
        points: Vec<CapturePoint>,
        names: Vec<String>,
        room: usize,
    ) -> Result<Self, Characters> {
        let further = names.len().saturating_sub(2);
        let total = |(first, others): (usize, usize)| names.len() + first + others * further;
        let wide = [(LANE, LANE), (LANE, FURTHER_LANE)];
        let beside = wide.into_iter().find(|&lanes| total(lanes) + SPACE + MEANING <= room);
        let narrow = wide.into_iter().chain([(SHORT_LANE, FURTHER_LANE)]);
        let below = || narrow.into_iter().find(|&lanes| total(lanes) <= room);
        let Some((first, others)) = beside.or_else(below) else { return Err(characters) };
        let lanes = std::iter::once(first).chain(std::iter::repeat_n(others, further)).collect();
        Ok(Self { characters, points, names, lanes, beside: beside.is_some() })
    }

    /// Client and server, with what has to fit everywhere.
    fn ends(characters: Characters) -> Self {
        let names = ["CLIENT", "SERVER"].map(str::to_owned).to_vec();
        Self { characters, points: Vec::new(), names, lanes: vec![LANE], beside: false }
    }

    /// Columns of all lines and lanes.
    pub(super) fn width(&self) -> usize {
        self.lanes.iter().sum::<usize>() + self.lanes.len() + 1
    }

    /// The names above the lines.
    pub(super) fn heading(&self) -> String {
        let Characters { unicode, .. } = self.characters;
        let last = self.names.len().saturating_sub(1);
        let mut heading = String::new();
        let mut bar = 0;
        for (place, name) in self.names.iter().enumerate() {
            let before = place.checked_sub(1).and_then(|lane| self.lanes.get(lane)).copied();
            let after = self.lanes.get(place).copied();
            // Half of each lane belongs to either side.
            let room = match (before, after) {
                (Some(before), Some(after)) => before.min(after),
                (one, other) => one.or(other).unwrap_or(LANE).div_ceil(2),
            };
            let name = fit(name, room, unicode);
            let width = columns(&name);
            let begin = match place {
                0 => 0,
                place if place == last => (bar + 1_usize).saturating_sub(width),
                _ => (bar + 1).saturating_sub(width.div_ceil(2)),
            };
            heading = format!("{}{name}", pad(&heading, begin));
            bar += 1 + after.unwrap_or(0);
        }
        heading
    }

    /// The lines beside which nothing happens.
    pub(super) fn empty(&self) -> String {
        self.lines(self.characters.bar)
    }

    /// The lines beside packets that are not drawn.
    pub(super) fn left_out(&self) -> String {
        self.lines(self.characters.gap)
    }

    fn lines(&self, bar: char) -> String {
        let lanes = self.lanes.iter().map(|&lane| format!("{}{bar}", " ".repeat(lane)));
        std::iter::once(bar.to_string()).chain(lanes).collect()
    }

    /// The lines with the arrow of a message: `│── SYN seq=0 ──▶│`.
    pub(super) fn message(&self, message: &Message) -> String {
        let seen: Vec<bool> = (0..=self.lanes.len()).map(|place| self.was_seen(message, place)).collect();
        let parts = parts(&seen, message.sender);
        let has_label = |lane: &usize| parts.get(*lane).is_some_and(|&part| part != LanePart::Empty);
        let width = |lane: &usize| self.lanes.get(*lane).copied().unwrap_or_default();
        // The widest lane of the arrow has the label; of several the client's.
        let labelled = (0..parts.len()).rev().filter(has_label).max_by_key(width);
        let Characters { bar, crossed, .. } = self.characters;
        let mut text = bar.to_string();
        for (lane, (&part, &width)) in parts.iter().zip(&self.lanes).enumerate() {
            let room = width.saturating_sub(5 + usize::from(part != LanePart::Whole { arrives: true }));
            let label = (labelled == Some(lane)).then(|| label(message, room));
            text.push_str(&self.arrow(
                part,
                message.sender,
                width,
                label.filter(|text| columns(text) <= room),
            ));
            let is_through = |lane: usize| matches!(parts.get(lane), Some(LanePart::Whole { .. }));
            let through =
                is_through(lane) && is_through(lane + 1) && !seen.get(lane + 1).copied().unwrap_or(true);
            text.push(if through { crossed } else { bar });
        }
        text
    }

    /// True if the message was seen at this line, as far as is known; also where points are not told apart.
    fn was_seen(&self, message: &Message, place: usize) -> bool {
        self.points.get(place).is_none_or(|point| !message.unseen.contains(point))
    }

    /// A part of an arrow in a lane of this width.
    fn arrow(&self, part: LanePart, sender: Sender, width: usize, label: Option<String>) -> String {
        let Characters { line, right, left, stop, .. } = self.characters;
        let head = match (part, sender) {
            (LanePart::Empty, _) => return " ".repeat(width),
            (LanePart::Whole { arrives: false }, _) => line.to_string(),
            (LanePart::Whole { arrives: true } | LanePart::Begins, Sender::Client) => right.to_string(),
            (LanePart::Whole { arrives: true } | LanePart::Begins, Sender::Server) => left.to_string(),
            (LanePart::Stops, Sender::Client) => format!("{stop} "),
            (LanePart::Stops, Sender::Server) => format!(" {stop}"),
        };
        let tail = if part == LanePart::Begins { " " } else { "" };
        let label = label.map(|label| format!(" {label} ")).unwrap_or_default();
        let free = width.saturating_sub(columns(&label) + columns(&head) + tail.len());
        let (short, long) = (free / 2, free - free / 2);
        let dashes = |number: usize| line.to_string().repeat(number);
        match (sender, part) {
            // The origin is not known.
            (Sender::Client, LanePart::Begins) => {
                format!("{}{label}{}{head}", " ".repeat(short + 1), dashes(long))
            }
            (Sender::Server, LanePart::Begins) => {
                format!("{head}{}{label}{}", dashes(long), " ".repeat(short + 1))
            }
            (Sender::Client, _) => format!("{}{label}{}{head}", dashes(short), dashes(long)),
            (Sender::Server, _) => format!("{head}{}{label}{}", dashes(long), dashes(short)),
        }
    }
}

/// The parts of an arrow in each lane, by the lines where its message was seen.
fn parts(seen: &[bool], sender: Sender) -> Vec<LanePart> {
    // A segment seen between lines that are not drawn had come from its sender.
    let origin = if sender == Sender::Client { 0 } else { seen.len().saturating_sub(1) };
    let first = seen.iter().position(|&seen| seen).unwrap_or(origin);
    let last = seen.iter().rposition(|&seen| seen).unwrap_or(origin);
    let of_lane = |lane: usize| {
        // The line to which the arrow points.
        let target = if sender == Sender::Client { lane + 1 } else { lane };
        let (enters, leaves) = match sender {
            Sender::Client => (lane + 1 == first, lane == last),
            Sender::Server => (lane == last, lane + 1 == first),
        };
        match (enters, leaves) {
            _ if (first..last).contains(&lane) => {
                LanePart::Whole { arrives: seen.get(target).copied().unwrap_or(false) }
            }
            (true, _) => LanePart::Begins,
            (_, true) => LanePart::Stops,
            (false, false) => LanePart::Empty,
        }
    };
    (0..seen.len().saturating_sub(1)).map(of_lane).collect()
}
