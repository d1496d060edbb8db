//! Counts by second, bounded in number.

use crate::packet::Timestamp;

/// Events by second; in order of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct PerSecond(Vec<(i64, u32)>);

/// Most seconds kept; past that each two neighbours become one.
const MAX_SECONDS: usize = 512;

impl PerSecond {
    /// Counts an event; in any order.
    pub(in crate::listener) fn add(&mut self, at: Timestamp) {
        let second = at.second();
        // Most events are of the latest second.
        if let Some((last, events)) = self.0.last_mut()
            && *last == second
        {
            *events += 1;
            return;
        }
        match self.0.binary_search_by_key(&second, |&(second, _)| second) {
            Ok(place) => self.0[place].1 += 1,
            Err(place) => self.0.insert(place, (second, 1)),
        }
        if self.0.len() > MAX_SECONDS {
            let merged = self.0.chunks(2).filter_map(|pair| {
                let sum = pair.iter().map(|&(_, events)| events).sum();
                pair.last().map(|&(second, _)| (second, sum))
            });
            self.0 = merged.collect();
        }
    }

    /// True if there was no event.
    pub(in crate::listener) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Events from one time to another, by whole seconds.
    pub(in crate::listener) fn between(&self, from: Timestamp, to: Timestamp) -> u32 {
        let begin = self.0.partition_point(|&(at, _)| at < from.second());
        let end = self.0.partition_point(|&(at, _)| at <= to.second());
        self.0.get(begin..end).unwrap_or_default().iter().map(|&(_, events)| events).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Span;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(0).plus(Span::from_secs(seconds))
    }

    #[test]
    fn events_in_any_order_are_counted_and_bounded() {
        let mut events = PerSecond::default();
        [5, 1, 3, 3].into_iter().for_each(|second| events.add(at(second)));
        assert_eq!((events.between(at(1), at(3)), events.between(at(4), at(9))), (3, 1));
        (0..5_000).for_each(|second| events.add(at(second)));
        assert!(events.0.len() <= MAX_SECONDS);
        assert_eq!(events.between(at(-1), at(5_000)), 5_004);
    }
}
