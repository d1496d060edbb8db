//! The distribution of a time in bounded memory: exact for few values, in logarithmic buckets for more.

use crate::packet::Span;

/// Most values that are kept exactly.
const MAX_EXACT_VALUES: usize = 64;

/// Buckets for each doubling: a value is known to an eighth.
const PER_DOUBLING: u32 = 8;

/// The first bucket holds all up to 2^10 ns, about a microsecond; the last one all from 2^40 ns on, 18 minutes.
const FIRST: u32 = 10;
const BUCKETS: usize = ((40 - FIRST) * PER_DOUBLING) as usize;

/// The distribution of a time over a listener's attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles {
    /// Half of the attempts took no longer.
    pub p50: Span,
    /// Nine in ten took no longer.
    pub p90: Span,
    /// 99 in 100 took no longer.
    pub p99: Span,
    /// The longest.
    pub max: Span,
}

/// The distribution of a time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Histogram {
    /// The values, as long as they are few.
    exact: Vec<Span>,
    /// Number of values by bucket; `None` as long as all values fit into `exact`.
    buckets: Option<Box<[u32; BUCKETS]>>,
    max: Span,
}

impl Histogram {
    /// Adds a value that was measured.
    pub(super) fn add(&mut self, value: Option<Span>) {
        let Some(value) = value else { return };
        self.max = self.max.max(value);
        if let Some(buckets) = &mut self.buckets {
            count(buckets, value);
        } else if self.exact.len() < MAX_EXACT_VALUES {
            self.exact.push(value);
        } else {
            let mut buckets = Box::new([0; BUCKETS]);
            std::mem::take(&mut self.exact).into_iter().for_each(|value| count(&mut buckets, value));
            count(&mut buckets, value);
            self.buckets = Some(buckets);
        }
    }

    /// The percentiles, if there is any value. In buckets they are upper bounds, at most an eighth too high.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let mut sorted = self.exact.clone();
        sorted.sort_unstable();
        let total = match &self.buckets {
            Some(buckets) => buckets.iter().map(|&n| u64::from(n)).sum(),
            None => sorted.len() as u64,
        };
        if total == 0 {
            return None;
        }
        let rank = |percent: u64| (total * percent).div_ceil(100).max(1);
        let at = |percent: u64| match &self.buckets {
            Some(buckets) => upper_bound(buckets, rank(percent)).min(self.max),
            None => sorted.get(rank(percent) as usize - 1).copied().unwrap_or(self.max),
        };
        Some(Percentiles { p50: at(50), p90: at(90), p99: at(99), max: self.max })
    }
}

fn count(buckets: &mut [u32; BUCKETS], value: Span) {
    if let Some(bucket) = buckets.get_mut(bucket(value)) {
        *bucket = bucket.saturating_add(1);
    }
}

fn bucket(value: Span) -> usize {
    let nanos = u64::try_from(value.as_nanos()).unwrap_or(0).max(1 << FIRST);
    let doublings = nanos.ilog2();
    // The three bits below the highest one.
    let eighth = (nanos >> (doublings - 3)) & 7;
    (((doublings - FIRST) * PER_DOUBLING) as usize + eighth as usize).min(BUCKETS - 1)
}

/// The upper bound of the bucket that holds the value of this rank, from 1.
fn upper_bound(buckets: &[u32; BUCKETS], rank: u64) -> Span {
    let mut below = 0;
    let holds = |&n: &u32| {
        below += u64::from(n);
        below >= rank
    };
    let place = buckets.iter().position(holds).unwrap_or(BUCKETS - 1) as u64;
    let (doublings, eighth) = (place / u64::from(PER_DOUBLING), place % u64::from(PER_DOUBLING));
    let bound = (8 + eighth + 1) << (u64::from(FIRST) + doublings - 3);
    Span::from_nanos(i64::try_from(bound).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = i64>) -> Option<Percentiles> {
        let mut histogram = Histogram::default();
        values.into_iter().for_each(|nanos| histogram.add(Some(Span::from_nanos(nanos))));
        histogram.percentiles()
    }

    #[test]
    fn few_values_are_exact() {
        assert_eq!(of([]), None);
        let [one, three] = [1, 3].map(Span::from_secs);
        let one_of_four = of([1, 1, 1, 3].map(|s| s * 1_000_000_000)).unwrap();
        assert_eq!((one_of_four.p50, one_of_four.p90, one_of_four.max), (one, three, three));
    }

    #[test]
    fn many_values_are_known_to_an_eighth() {
        let percentiles = of((1..=10_000).map(|n| n * 1_000_000)).unwrap();
        for (is, exact) in [
            (percentiles.p50, 5_000),
            (percentiles.p90, 9_000),
            (percentiles.p99, 9_900),
            (percentiles.max, 10_000),
        ] {
            let exact = Span::from_millis(exact);
            assert!(is >= exact && is <= exact.plus(exact.scaled(1, 8)), "{is} for {exact}");
        }
    }

    #[test]
    fn the_ends_of_the_range_share_the_outer_buckets() {
        let all = of([i64::MIN, 0, 1, i64::MAX].into_iter().cycle().take(100)).unwrap();
        assert_eq!(all.max, Span::from_nanos(i64::MAX));
        assert!(all.p50 < Span::from_micros(2));
    }
}
