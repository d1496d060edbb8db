//! The part of a load that made its longest queue: what a replay repeats.

use super::load::Load;
use super::simulate::Service;
use crate::packet::{Span, Timestamp};

impl Load {
    /// Arrivals from the last time that nobody would have waited before the longest queue to the time at which that has
    /// emptied, with an application that accepts like `service` from a queue that never fills.
    ///
    /// Of more clients than `most`, or of more time than `longest`, those up to the longest queue come first.
    #[must_use]
    pub fn worst_stretch(&self, service: Service, most: usize, longest: Span) -> &[Timestamp] {
        let arrivals = self.arrivals.as_slice();
        let queue = self.fullest_traced(service);
        let (Some(grows), Some(peak)) = (queue.grows_from, queue.longest_at) else { return &[] };
        let emptied = queue.lengths.iter().find(|&&(at, length)| at > peak && length == 0).map(|&(at, _)| at);
        let index = |at: Timestamp| arrivals.partition_point(|&arrival| arrival <= at);
        let from = grows.max(peak.minus(longest));
        let begin = arrivals.partition_point(|&arrival| arrival < from).max(index(peak).saturating_sub(most));
        let Some(&first) = arrivals.get(begin) else { return &[] };
        let last = first.plus(longest);
        let until = emptied.map_or(last, |emptied| emptied.min(last));
        arrivals.get(begin..index(until).min(begin.saturating_add(most))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_nanos(0).plus(Span::from_millis(millis))
    }

    const SERVICE: Service = Service { per_second: 100.0, batch: 1 };

    /// An hour of ten clients a second, and 130 more within 0.3 s in the middle of it.
    fn load() -> Load {
        let mut arrivals: Vec<Timestamp> = (0..36_000).map(|n| at(n * 100)).collect();
        arrivals.extend((0..130).map(|n| at(1_800_000 + n * 2)));
        arrivals.sort_unstable();
        Load { arrivals, ..Load::default() }
    }

    #[test]
    fn a_burst_in_an_hour_is_the_worst_stretch() {
        let load = load();
        let stretch = load.worst_stretch(SERVICE, 5_000, Span::from_secs(60));
        assert!((130..160).contains(&stretch.len()), "{}", stretch.len());
        assert_eq!(stretch.first(), Some(&at(1_800_000)));
        let alone = Load { arrivals: stretch.to_vec(), ..Load::default() };
        assert_eq!(alone.fullest(SERVICE).longest, load.fullest(SERVICE).longest);
    }

    #[test]
    fn of_too_much_the_part_before_the_longest_queue_remains() {
        let load = load();
        let stretch = load.worst_stretch(SERVICE, 50, Span::from_secs(60));
        assert_eq!(stretch.len(), 50);
        let peak = load.fullest(SERVICE).longest_at.unwrap();
        assert!(stretch.last().is_some_and(|&last| peak.since(last) < Span::from_millis(10)));
        // An application that has stopped never empties its queue.
        let stopped = Service { per_second: 0.0, batch: 1 };
        let stretch = load.worst_stretch(stopped, 5_000, Span::from_secs(60));
        assert!(stretch.last().unwrap().since(stretch[0]) <= Span::from_secs(60));
        assert!(Load::default().worst_stretch(SERVICE, 5_000, Span::from_secs(60)).is_empty());
    }
}
