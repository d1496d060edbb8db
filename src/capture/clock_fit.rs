//! Difference and drift of two clocks, by the segments that both captures hold.
//!
//! A SYN and its answer pass the points in opposite order, so that half the sum of both differences is the clocks', as in
//! NTP (RFC 5905 §8), if the ways take as long. That of segments that waited in no queue counts. Without any answer all of the
//! difference is the clocks'.

use crate::packet::{Span, Timestamp};

/// Segments of one direction that both captures hold: the second's time, and how much later it is than the first's.
pub(super) type ClockDifferences = Vec<(Timestamp, Span)>;

/// SYNs in two files from which on these are points of one path (DOMAIN §7).
pub(super) const COMMON_SYNS: usize = 3;

/// Stretches that are compared with one another for drift.
const STRETCHES: i64 = 32;

/// Segments of each direction in a stretch from which on it counts.
const SEGMENTS: usize = 3;

/// Shorter captures show no drift: 100 ppm are a millisecond then.
const SHORTEST: Span = Span::from_secs(10);

/// Quartz clocks drift by 100 ppm at most, corrected ones by 500 more (Linux' `MAXFREQ`); in nanoseconds a second.
const MAX_DRIFT: i64 = 1_000_000;

/// Multiple of the scatter of segments by which a drift grows over the capture at least: less may be chance.
const CLEAR: i64 = 4;

/// Times that packets take between the points; `None` if nothing answered the SYNs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ways {
    /// Of segments that waited in no queue.
    pub(super) shortest: Option<Span>,
    /// The median.
    pub(super) usual: Option<Span>,
}

/// Two clocks compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClockFit {
    /// Time by which the second's clock is ahead of the first's, at the time `since` of its own.
    pub(super) offset: Span,
    /// Time by which that grows in a second, in nanoseconds.
    pub(super) drift: i64,
    pub(super) since: Timestamp,
    pub(super) ways: Ways,
    pub(super) syns: u64,
    /// Many segments arrive before they are sent, whatever the offset.
    pub(super) is_disordered: bool,
    /// The time that the second capture covers.
    length: Span,
}

impl ClockFit {
    /// Compares clocks; `None` if too few SYNs are common to both.
    pub(super) fn of(there: ClockDifferences, back: ClockDifferences) -> Option<Self> {
        let syns = there.len();
        if syns < COMMON_SYNS {
            return None;
        }
        let times = || there.iter().map(|&(at, _)| at);
        let (since, until) = (times().min()?, times().max()?);
        let length = until.since(since);
        let drift = drift(&there, &back, since, length);
        let still = |differences: &ClockDifferences| -> Vec<Span> {
            differences
                .iter()
                .map(|&(at, difference)| difference.minus(grown(drift, at.since(since))))
                .collect()
        };
        let (there, back) = (still(&there), still(&back));
        let usual = Span::median(there.clone())?;
        let Some(usual_back) = Span::median(back.clone()) else {
            let (offset, syns) = (usual, syns as u64);
            let ways = Ways { shortest: None, usual: None };
            return Some(Self { offset, drift, since, ways, syns, is_disordered: false, length });
        };
        // Answers come later to the second capture if that is the nearer one to the client.
        let (out, home) = if usual >= usual_back { (there, back) } else { (back, there) };
        let home: Vec<Span> = home.into_iter().map(|difference| Span::ZERO.minus(difference)).collect();
        let (there, back) = (prompt(out.clone())?, prompt(home.clone())?);
        let (offset, way) = (there.minus(back).scaled(1, 2), there.plus(back).scaled(1, 2).max(Span::ZERO));
        let usual = usual.minus(usual_back).scaled(1, 2).abs();
        let ways = Ways { shortest: Some(way), usual: Some(usual) };
        let is_disordered = arrive_early(out.iter().map(|one| one.minus(offset)), way)
            || arrive_early(home.iter().map(|one| one.plus(offset)), way);
        Some(Self { offset, drift, since, ways, syns: syns as u64, is_disordered, length })
    }

    /// Nothing is known of the clocks.
    pub(super) const fn unknown(since: Timestamp) -> Self {
        let (offset, length) = (Span::ZERO, Span::ZERO);
        let ways = Ways { shortest: None, usual: None };
        Self { offset, drift: 0, since, ways, syns: 0, is_disordered: false, length }
    }

    /// True if the difference of clocks may change the order of packets at the two points.
    pub(super) fn needs_correction(&self) -> bool {
        /// Packets are stamped no more evenly.
        const EVEN: Span = Span::from_micros(10);
        /// A longer way than this is rare.
        const LONG_WAY: Span = Span::from_millis(100);
        let harmless = self.ways.shortest.map_or(LONG_WAY, |way| way.scaled(1, 4).max(EVEN));
        let at_end = self.offset.plus(grown(self.drift, self.length));
        self.offset.abs() > harmless || at_end.abs() > harmless
    }
}

/// The difference of segments that waited in no queue: the least but for a tenth, which may have been misdated, or be another
/// transmission. Few segments do not show that: then their median.
fn prompt(mut differences: Vec<Span>) -> Option<Span> {
    const SHARE: usize = 10;
    let place = differences.len() / SHARE;
    if place == 0 {
        return Span::median(differences);
    }
    Some(*differences.select_nth_unstable(place).1)
}

/// True if more than a tenth of packets, by how late they are, arrive before they were sent on a way that takes so long.
fn arrive_early(late: impl ExactSizeIterator<Item = Span>, way: Span) -> bool {
    /// Clocks that are corrected meanwhile, and packets that are stamped late, are off by less.
    const TOLERANCE: Span = Span::from_millis(1);
    let all = late.len();
    let least = Span::ZERO.minus(TOLERANCE.max(way.scaled(1, 2)));
    late.filter(|&late| late < least).count() * 10 > all
}

/// Drift in nanoseconds a second: the median of the slopes between stretches (Theil and Sen), which single stretches with
/// full queues on one way do not change. Zero where too few stretches show it.
fn drift(there: &ClockDifferences, back: &ClockDifferences, since: Timestamp, length: Span) -> i64 {
    if length < SHORTEST {
        return 0;
    }
    let stretch = |at: Timestamp| {
        let part = i128::from(at.since(since).as_nanos()) * i128::from(STRETCHES);
        (part / i128::from(length.as_nanos().max(1))).clamp(0, i128::from(STRETCHES - 1)) as usize
    };
    let mut stretches = vec![(ClockDifferences::new(), Vec::<Span>::new()); STRETCHES as usize];
    for &(at, difference) in there {
        if let Some((there, _)) = stretches.get_mut(stretch(at)) {
            there.push((at, difference));
        }
    }
    for &(at, difference) in back {
        if let Some((_, back)) = stretches.get_mut(stretch(at)) {
            back.push(difference);
        }
    }
    let offsets =
        stretches.into_iter().filter(|(there, back)| there.len() >= SEGMENTS && back.len() >= SEGMENTS);
    let mut scatters = Vec::new();
    let offsets = offsets.filter_map(|(there, back)| {
        let middle = Span::median(there.iter().map(|&(at, _)| at.since(since)).collect())?;
        let there: Vec<Span> = there.into_iter().map(|(_, difference)| difference).collect();
        scatters.extend(scatter(&there).max(scatter(&back)));
        Some((middle, Span::median(there)?.plus(Span::median(back)?).scaled(1, 2)))
    });
    let offsets: Vec<(Span, Span)> = offsets.collect();
    let slope = |&(early, before): &(Span, Span), &(late, after): &(Span, Span)| {
        let time = i128::from(late.minus(early).as_nanos());
        let grown = i128::from(after.minus(before).as_nanos()) * 1_000_000_000;
        (time > 0).then(|| Span::from_nanos(i64::try_from(grown / time).unwrap_or(0)))
    };
    let slopes = offsets
        .iter()
        .enumerate()
        .flat_map(|(place, early)| offsets.iter().skip(place + 1).filter_map(move |late| slope(early, late)));
    let slope = Span::median(slopes.collect()).map_or(0, Span::as_nanos);
    // Without the drift half of the differences is left at most, or it is none.
    let left = |slope: i64| {
        let still = || offsets.iter().map(|&(at, offset)| offset.minus(grown(slope, at)));
        let middle = Span::median(still().collect())?;
        Span::median(still().map(|offset| offset.minus(middle).abs()).collect())
    };
    let is_drift = left(slope).zip(left(0)).is_some_and(|(with, without)| with.scaled(2, 1) < without);
    // Segments that take now longer and now shorter move the medians of stretches, too.
    let is_clear = grown(slope, length).abs() > Span::median(scatters).unwrap_or_default().scaled(CLEAR, 1);
    if is_drift && is_clear && slope.abs() <= MAX_DRIFT { slope } else { 0 }
}

/// The median of how far these are from their median.
fn scatter(differences: &[Span]) -> Option<Span> {
    let middle = Span::median(differences.to_vec())?;
    Span::median(differences.iter().map(|difference| difference.minus(middle).abs()).collect())
}

fn grown(drift: i64, since: Span) -> Span {
    let grown = i128::from(since.as_nanos()) * i128::from(drift) / 1_000_000_000;
    Span::from_nanos(i64::try_from(grown).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Differences between clocks of which the second is 3 s ahead and gains 100 µs a second, over an hour, of a way of 5 ms; every
    /// seventh packet waits in a queue.
    fn differences(way: i64) -> ClockDifferences {
        let one = |second: i64| {
            let at = Timestamp::from_nanos(1_790_000_000_000_000_000).plus(Span::from_secs(second));
            let queue = if second % 7 == 0 { Span::from_millis(30 * way.signum()) } else { Span::ZERO };
            let gained = Span::from_micros(100 * second);
            (at, Span::from_secs(3).plus(gained).plus(Span::from_millis(way)).plus(queue))
        };
        (0..3600).map(one).collect()
    }

    #[test]
    fn offset_and_drift_follow_from_both_directions() {
        let fit = ClockFit::of(differences(5), differences(-5)).unwrap();
        assert!((fit.drift - 100_000).abs() < 200, "{fit:?}");
        assert!(fit.offset.minus(Span::from_secs(3)).abs() < Span::from_millis(1), "{fit:?}");
        assert!(fit.ways.usual.unwrap().minus(Span::from_millis(5)).abs() < Span::from_millis(1), "{fit:?}");
        assert!(fit.needs_correction());
    }

    #[test]
    fn segments_that_take_now_longer_and_now_shorter_are_no_drift() {
        // Six stretches of 90 s hold a few segments each, whose times differ by more than their medians.
        let jitter = |way: i64| {
            let one = |n: i64| {
                let at = Timestamp::from_nanos(1_790_000_000_000_000_000)
                    .plus(Span::from_millis(n / 4 * 18_000 + n % 4 * 100));
                let waits = Span::from_micros(n * 50 + n % 4 * 300).scaled(way.signum(), 1);
                (at, Span::from_millis(way).plus(waits).plus(Span::from_micros(n / 4 * 60)))
            };
            (0..24).map(one).collect()
        };
        assert_eq!(ClockFit::of(jitter(20), jitter(-20)).unwrap().drift, 0);
    }

    #[test]
    fn queues_on_one_way_do_not_change_the_offset() {
        let queued = |way: i64| {
            differences(way).into_iter().enumerate().map(move |(n, (at, difference))| {
                let waits = way > 0 && n % 6 != 0;
                (at, difference.plus(Span::from_millis(if waits { 40 } else { 0 })))
            })
        };
        for (there, back) in [(5, -5), (-5, 5)] {
            let fit = ClockFit::of(queued(there).collect(), queued(back).collect()).unwrap();
            assert!(fit.offset.minus(Span::from_secs(3)).abs() < Span::from_millis(1), "{fit:?}");
            assert!(
                fit.ways.shortest.unwrap().minus(Span::from_millis(5)).abs() < Span::from_millis(1),
                "{fit:?}"
            );
            assert!(!fit.is_disordered, "{fit:?}");
        }
    }

    #[test]
    fn a_clock_that_was_set_meanwhile_is_noticed() {
        let set = |way| {
            let step = |(n, (at, difference)): (usize, (Timestamp, Span))| {
                let by = if n >= 3_000 { Span::from_secs(2) } else { Span::ZERO };
                (at, difference.minus(by))
            };
            differences(way).into_iter().enumerate().map(step).collect::<Vec<_>>()
        };
        for way in [5, -5] {
            assert!(!ClockFit::of(differences(way), differences(-way)).unwrap().is_disordered, "{way}");
            assert!(ClockFit::of(set(way), set(-way)).unwrap().is_disordered, "{way}");
        }
    }

    #[test]
    fn too_few_segments_show_no_drift_and_fewer_no_offset() {
        let few =
            |segments: usize, way| differences(way).into_iter().step_by(3600 / segments).collect::<Vec<_>>();
        assert_eq!(ClockFit::of(few(8, 5), few(8, -5)).unwrap().drift, 0);
        assert_eq!(ClockFit::of(differences(5)[..2].to_vec(), differences(-5)), None);
    }
}
