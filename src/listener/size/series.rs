//! Arrivals, admissions, drops and the queue wanted, over time: what a plot shows.

use super::load::Load;
use super::rate::count_within;
use super::simulate::SimulationResult;
use crate::packet::{Span, Timestamp};

/// Bins of a series: as many as a terminal has columns of dots.
const BINS: i64 = 140;
/// Shown beyond the time in which the queue grew and emptied, as a share of it.
const MARGIN: i64 = 8;

/// A load in equal parts of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Start of the first bin.
    pub from: Timestamp,
    /// Length of a bin.
    pub width: Span,
    /// The bins.
    pub bins: Vec<Bin>,
}

/// Counts of one of the equal parts of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bin {
    /// First SYNs.
    pub arrivals: u32,
    /// Connections that got into the queue.
    pub admissions: u32,
    /// SYNs and ACKs that met a full queue.
    pub drops: u32,
    /// The longest queue that all clients would have made, none turned away: of several sockets, at the fullest.
    pub wanted: u32,
}

impl Series {
    /// The part of `load` in which the longest queue that it would have made ([`Load::fullest_traced`]) grew and emptied.
    /// `None` where nothing was dropped, or the queue never empties.
    #[must_use]
    pub fn of(load: &Load, outcome: &SimulationResult) -> Option<Self> {
        load.drops.first()?;
        let (grows, peak) = (outcome.grows_from?, outcome.longest_at?);
        let emptied = outcome.lengths.iter().find(|&&(at, length)| at > peak && length == 0)?.0;
        let margin = emptied.since(grows).scaled(1, MARGIN);
        let from = grows.plus(Span::ZERO.minus(margin));
        let width = Span::from_nanos((emptied.plus(margin).since(from).as_nanos() / BINS).max(1_000));
        let mut series = Self { from, width, bins: Vec::new() };
        let mut lengths = outcome.lengths.iter().peekable();
        let mut length = 0;
        for bin in 0..=BINS {
            let begin = from.plus(width.scaled(bin, 1));
            // Both ends of a bin are counted as the simulation has them: after `begin`, and at `end`.
            let end = begin.plus(width);
            let mut wanted = length;
            while let Some(&&(at, now)) = lengths.peek()
                && at <= end
            {
                wanted = if at <= begin { now } else { wanted.max(now) };
                length = now;
                lengths.next();
            }
            let count = |times: &[Timestamp]| count_within(times, begin, end) as u32;
            series.bins.push(Bin {
                arrivals: count(&load.arrivals),
                admissions: count(&load.admissions),
                drops: count(&load.drops),
                wanted,
            });
        }
        Some(series)
    }

    /// The middle of a bin, in seconds from the start of the series.
    #[must_use]
    pub fn seconds(&self, bin: usize) -> f64 {
        (bin as f64 + 0.5) * self.width.as_secs_f64()
    }
}
