//! Counts by second, or by equal parts of one, bounded in number.

use std::ops::Range;

use crate::packet::{Span, Timestamp};

/// Parts of a second by which SYNs are counted: a queue may be full for some tenths of a second, between many that are answered.
pub(super) const PARTS_OF_SECOND: usize = 8;

/// Length of such a part.
pub(super) const PART: Span = Span::from_millis(1_000 / PARTS_OF_SECOND as i64);

/// Events by second, those of each second in so many parts; in order of time.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::listener) struct PerSecond<const PARTS: usize = 1>(Vec<(i64, [u32; PARTS])>);

/// Most seconds kept; past that each two neighbours become one.
const MAX_SECONDS: usize = 512;

impl<const PARTS: usize> Default for PerSecond<PARTS> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<const PARTS: usize> PerSecond<PARTS> {
    /// The part of its second that holds this time.
    const fn part(at: Timestamp) -> usize {
        const SECOND: i64 = 1_000_000_000;
        (at.as_nanos().rem_euclid(SECOND) * PARTS as i64 / SECOND) as usize
    }

    /// Counts an event; in any order.
    pub(in crate::listener) fn add(&mut self, at: Timestamp) {
        let (second, part) = (at.second(), Self::part(at));
        // Most events are of the latest second.
        if let Some((last, events)) = self.0.last_mut()
            && *last == second
        {
            events[part] += 1;
            return;
        }
        match self.0.binary_search_by_key(&second, |&(second, _)| second) {
            Ok(place) => self.0[place].1[part] += 1,
            Err(place) => {
                let mut events = [0; PARTS];
                events[part] = 1;
                self.0.insert(place, (second, events));
            }
        }
        if self.0.len() > MAX_SECONDS {
            let merged = self.0.chunks(2).filter_map(|pair| {
                let sum = |part| pair.iter().map(|(_, events)| events[part]).sum();
                pair.last().map(|&(second, _)| (second, std::array::from_fn(sum)))
            });
            self.0 = merged.collect();
        }
    }

    /// True if there was no event.
    pub(in crate::listener) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Events from one time to another, by whole seconds.
    pub(in crate::listener) fn between_seconds(&self, from: Timestamp, to: Timestamp) -> u32 {
        self.seconds(from, to).iter().flat_map(|(_, events)| events).sum()
    }

    /// Events of the second with the most, of those from one time to another.
    pub(in crate::listener) fn most_in_second(&self, from: Timestamp, to: Timestamp) -> u32 {
        self.seconds(from, to).iter().map(|(_, events)| events.iter().sum()).max().unwrap_or_default()
    }

    /// Events from one time to another, by whole parts.
    pub(in crate::listener) fn between(&self, from: Timestamp, to: Timestamp) -> u32 {
        let seconds = self.seconds(from, to);
        // Whole seconds are summed up at once, and what lies before and after taken off.
        let all: u32 = seconds.iter().map(|(_, events)| events.iter().sum::<u32>()).sum();
        let part_of = |end: Option<&(i64, [u32; PARTS])>, at: Timestamp, parts: fn(usize) -> Range<usize>| {
            let events = end.filter(|(second, _)| *second == at.second()).map(|(_, events)| events);
            let parts = events.and_then(|events| events.get(parts(Self::part(at))));
            parts.unwrap_or_default().iter().sum::<u32>()
        };
        let before = part_of(seconds.first(), from, |first| 0..first);
        let after = part_of(seconds.last(), to, |last| last + 1..PARTS);
        all.saturating_sub(before + after)
    }

    /// The seconds from that of one time to that of another.
    fn seconds(&self, from: Timestamp, to: Timestamp) -> &[(i64, [u32; PARTS])] {
        let begin = self.0.partition_point(|&(at, _)| at < from.second());
        let end = self.0.partition_point(|&(at, _)| at <= to.second());
        self.0.get(begin..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(0).plus(Span::from_secs(seconds))
    }

    #[test]
    fn events_in_any_order_are_counted_and_bounded() {
        let mut events: PerSecond = PerSecond::default();
        [5, 1, 3, 3].into_iter().for_each(|second| events.add(at(second)));
        assert_eq!((events.between(at(1), at(3)), events.between(at(4), at(9))), (3, 1));
        (0..5_000).for_each(|second| events.add(at(second)));
        assert!(events.0.len() <= MAX_SECONDS);
        assert_eq!(events.between(at(-1), at(5_000)), 5_004);
    }

    #[test]
    fn parts_of_a_second_are_counted_apart() {
        let mut events = PerSecond::<8>::default();
        let at = |millis| Timestamp::from_nanos(0).plus(Span::from_millis(millis));
        [1_000, 1_124, 1_125, 1_999, 2_000, 2_400].into_iter().for_each(|millis| events.add(at(millis)));
        let counts = [(1_000, 1_999), (1_200, 1_300), (1_300, 1_300), (1_900, 2_100), (1_700, 1_200)];
        assert_eq!(counts.map(|(from, to)| events.between(at(from), at(to))), [4, 1, 0, 2, 0]);
        assert_eq!(events.between_seconds(at(1_500), at(1_600)), 4);
    }
}
