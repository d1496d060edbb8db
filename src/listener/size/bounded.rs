//! The load on a listener in bounded memory: for reports, where it is clear only at the end whose queue overflowed.
//!
//! Of few clients every time is kept, so that the answer is the one of `hsanalyze size`. Of more it counts in bins of
//! time: the newest ones are fine, and so are those near drops; older ones are joined, so that a long quiet time costs
//! little and a burst keeps its shape.

use super::answer::{Size, size};
use super::known::KnownQueue;
use super::load::{Event, Load, Traits, events};
use crate::handshake::Attempt;
use crate::packet::{Span, Timestamp};

/// Bins that are kept at most: 20 KiB of a listener with very many clients, 40 bytes of one with one.
const BINS: usize = 512;
/// Length of a new bin: a few accepts of a busy server.
const FINE: Span = Span::from_millis(2);
/// Most doublings of that length, one each time that drops fill all bins: a long overload needs no milliseconds.
const MAX_DOUBLINGS: u32 = 4;
/// Distance from a drop within which bins keep their length: a burst and the time before it.
const FINE_NEAR_DROP: Span = Span::from_secs(1);
/// Age up to which bins keep their length: their drops show when the clients' retries have been answered.
const FINE_AGE: Span = Span::from_millis(1_500);
/// Events of which every time is kept: 16 KiB.
const MAX_EXACT: usize = 1024;
/// Round trips that the typical one of more clients is taken from.
const ROUND_TRIPS: usize = 31;
/// Most arrivals from which an answer is computed; a longer load is cut after them.
const MAX_ARRIVALS: usize = 10_000;
/// Time before the first drop that belongs to the load.
const LEAD_TIME: Span = Span::from_secs(10);

/// Arrivals, admissions and drops of one listener, counted in bins.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::listener) struct BoundedLoad {
    /// In order of time; they do not overlap.
    bins: Vec<Counts>,
    /// Every event, as long as they are at most [`MAX_EXACT`]; then none.
    exact: Vec<(Timestamp, Event)>,
    events: usize,
    traits: Traits,
    round_trips: Vec<Span>,
    until: Option<Timestamp>,
    drops: u64,
    late: u64,
    /// Number of times that the length of a new bin was doubled, at most [`MAX_DOUBLINGS`].
    coarser: u32,
    /// The place of the bin that was used last: most events of an attempt are in one.
    latest: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    from: Timestamp,
    to: Timestamp,
    arrivals: u32,
    admissions: u32,
    unproven: u32,
    drops: u32,
    ignored: u32,
    turned_away: u32,
}

impl BoundedLoad {
    /// Adds a settled attempt.
    pub(in crate::listener) fn add(&mut self, attempt: &Attempt) {
        let late = events(attempt, |event, at| {
            self.events += 1;
            if self.events <= MAX_EXACT {
                self.exact.push((at, event));
            }
            let bin = self.bin(at);
            match event {
                Event::Arrival => bin.arrivals += 1,
                Event::Admission => bin.admissions += 1,
                Event::Unproven => bin.unproven += 1,
                Event::Ignored => bin.ignored += 1,
                Event::Drop => {
                    bin.drops += 1;
                    self.drops += 1;
                }
                Event::TurnedAway => bin.turned_away += 1,
            }
        });
        self.late += u64::from(late);
        if self.events > MAX_EXACT {
            self.exact = Vec::new();
            self.round_trips.truncate(ROUND_TRIPS);
        }
        if self.events <= MAX_EXACT || self.round_trips.len() < ROUND_TRIPS {
            self.round_trips.extend(attempt.timing.synack_to_ack);
        }
        self.traits.add(attempt);
        self.until = self.until.max(Some(attempt.end));
    }

    /// Estimate of how large the queue should have been, given the kernel's figures of it, watched until `end` or the
    /// last packet of an attempt; `None` where nothing was dropped.
    pub(in crate::listener) fn size(&self, known: KnownQueue, end: Option<Timestamp>) -> Option<Size> {
        (self.drops > 0).then(|| {
            let mut load = if self.events <= MAX_EXACT { self.exact_load(end) } else { self.load() };
            load.round_trip = Span::median(self.round_trips.clone()).unwrap_or_default();
            self.traits.apply(&mut load);
            let begin = load.arrivals.first().copied().unwrap_or_default();
            let before = known.samples.partition_point(|sample| sample.at <= begin);
            let last = before.checked_sub(1).and_then(|last| known.samples.get(last));
            let waiting = last.filter(|_| known.queues() == 1).map_or(0, |sample| sample.waiting);
            size(&Load { waiting, known, ..load })
        })
    }

    /// The bin of `at`.
    fn bin(&mut self, at: Timestamp) -> &mut Counts {
        let mut index = self.place(at);
        if self.bins.get(index).is_none_or(|bin| at < bin.from) {
            if self.bins.len() >= BINS {
                self.join();
                index = self.place(at);
            }
            if self.bins.get(index).is_none_or(|bin| at < bin.from) {
                self.bins.insert(index, self.fine(index, at));
            }
        }
        self.latest = index;
        &mut self.bins[index]
    }

    /// The place of the first bin that ends after `at`: mostly the last one, or the one after it.
    fn place(&self, at: Timestamp) -> usize {
        if self.bins.get(self.latest).is_some_and(|bin| bin.from <= at && at < bin.to) {
            return self.latest;
        }
        match self.bins.as_slice() {
            [.., last] if last.to <= at => self.bins.len(),
            [.., last] if last.from <= at => self.bins.len() - 1,
            bins => bins.partition_point(|bin| bin.to <= at),
        }
    }

    /// A new bin around `at`, between the bins before and after `index`.
    fn fine(&self, index: usize, at: Timestamp) -> Counts {
        let length = FINE.scaled(1 << self.coarser, 1);
        let slot = at.as_nanos().div_euclid(length.as_nanos());
        let from = Timestamp::from_nanos(slot.saturating_mul(length.as_nanos()));
        let before = index.checked_sub(1).and_then(|before| self.bins.get(before));
        let after = self.bins.get(index);
        Counts {
            from: before.map_or(from, |bin| bin.to.max(from)),
            to: after.map_or(from.plus(length), |bin| bin.from.min(from.plus(length))),
            arrivals: 0,
            admissions: 0,
            unproven: 0,
            drops: 0,
            ignored: 0,
            turned_away: 0,
        }
    }

    /// Makes room: joins old bins far from drops, and, where that is not enough, every two.
    fn join(&mut self) {
        let newest = self.bins.last().map(|bin| bin.to).unwrap_or_default();
        let drops: Vec<Timestamp> =
            self.bins.iter().filter(|bin| bin.drops > 0).map(|bin| bin.from).collect();
        // The first drop at or after the bin; bins and drops are in order of time.
        let mut next = 0;
        let is_far = |bin: &Counts| {
            next += drops[next..].iter().take_while(|&&drop| drop < bin.from).count();
            let near = |drop: &&Timestamp| {
                drop.since(bin.to) < FINE_NEAR_DROP && bin.from.since(**drop) < FINE_NEAR_DROP
            };
            let before = next.checked_sub(1).and_then(|before| drops.get(before));
            newest.since(bin.to) > FINE_AGE && !before.iter().any(near) && !drops.get(next).iter().any(near)
        };
        let far: Vec<bool> = self.bins.iter().map(is_far).collect();
        self.join_pairs(|place| far[place - 1] && far[place]);
        if self.bins.len() > BINS * 3 / 4 {
            self.join_pairs(|_| true);
            self.coarser = MAX_DOUBLINGS.min(self.coarser + 1);
        }
    }

    /// Joins each bin for whose place `joins` is true with the one before it; a bin takes part in one join at most.
    fn join_pairs(&mut self, joins: impl Fn(usize) -> bool) {
        let mut joined: Vec<Counts> = Vec::with_capacity(BINS);
        let mut single = false;
        for (place, bin) in self.bins.drain(..).enumerate() {
            match joined.last_mut() {
                Some(last) if single && joins(place) => {
                    last.to = bin.to;
                    last.arrivals += bin.arrivals;
                    last.admissions += bin.admissions;
                    last.unproven += bin.unproven;
                    last.drops += bin.drops;
                    last.ignored += bin.ignored;
                    last.turned_away += bin.turned_away;
                    single = false;
                }
                _ => {
                    joined.push(bin);
                    single = true;
                }
            }
        }
        self.bins = joined;
    }

    /// The load around its drops; what happened in a bin is spread over it.
    fn load(&self) -> Load {
        let first = self.bins.iter().find(|bin| bin.drops > 0).map(|bin| bin.from).unwrap_or_default();
        let mut load = Load { until: self.until, late: self.late, ..Load::default() };
        for bin in self.bins.iter().filter(|bin| first.since(bin.to) <= LEAD_TIME) {
            let room = MAX_ARRIVALS.saturating_sub(load.arrivals.len());
            let part = bin.first_arrivals(u32::try_from(room).unwrap_or(u32::MAX));
            load.add(&part);
            if part.to < bin.to {
                load.until = Some(part.to);
                break;
            }
        }
        load
    }

    /// The load by the times of all events.
    fn exact_load(&self, end: Option<Timestamp>) -> Load {
        let mut load = Load { until: self.until.max(end), late: self.late, ..Load::default() };
        self.exact.iter().for_each(|&(at, event)| load.push(event, at));
        load.sort();
        load
    }
}

impl Counts {
    /// The first part of the bin, in which this many clients arrived, if its events are spread evenly.
    fn first_arrivals(&self, most: u32) -> Self {
        if self.arrivals <= most {
            return *self;
        }
        let share = |count: u32| (u64::from(count) * u64::from(most) / u64::from(self.arrivals)) as u32;
        let width = self.to.since(self.from).scaled(i64::from(most), i64::from(self.arrivals));
        Self {
            from: self.from,
            to: self.from.plus(width),
            arrivals: most,
            admissions: share(self.admissions),
            unproven: share(self.unproven),
            drops: share(self.drops),
            ignored: share(self.ignored),
            turned_away: share(self.turned_away),
        }
    }
}

impl Load {
    /// Adds what happened in a bin.
    fn add(&mut self, bin: &Counts) {
        // The first drop of all comes after what filled the queue, in its bin too.
        let middle = bin.from.plus(bin.to.since(bin.from).scaled(1, 2));
        spread(bin.arrivals, bin.from, bin.to, &mut self.arrivals);
        spread(bin.admissions, bin.from, middle, &mut self.admissions);
        spread(bin.unproven, bin.from, middle, &mut self.unproven);
        spread(bin.drops, middle, bin.to, &mut self.drops);
        spread(bin.ignored, middle, bin.to, &mut self.ignored);
        spread(bin.turned_away, middle, bin.to, &mut self.turned_away);
    }
}

/// Adds this many times, evenly spread between `from` and `to`.
fn spread(count: u32, from: Timestamp, to: Timestamp, times: &mut Vec<Timestamp>) {
    let width = to.since(from);
    let middle = |n: u32| width.scaled(i64::from(2 * n + 1), i64::from(2 * count));
    times.extend((0..count).map(|n| from.plus(middle(n))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::size::{Answer, Model, RETRIES_LINEAR, Service};
    use crate::report::samples;

    fn bounded(load: &Load) -> BoundedLoad {
        let mut bounded = BoundedLoad {
            until: load.until,
            drops: load.drops.len() as u64,
            late: load.late,
            events: MAX_EXACT + 1,
            ..BoundedLoad::default()
        };
        // In the order in which attempts settle, which is not that of their times.
        load.drops.iter().for_each(|&at| bounded.bin(at).drops += 1);
        load.turned_away.iter().for_each(|&at| bounded.bin(at).turned_away += 1);
        load.arrivals.iter().for_each(|&at| bounded.bin(at).arrivals += 1);
        load.admissions.iter().for_each(|&at| bounded.bin(at).admissions += 1);
        bounded
    }

    /// Clients this far apart, in milliseconds, from `from` on.
    fn clients(from: i64, count: i64, apart: i64) -> impl Iterator<Item = Timestamp> {
        (0..count).map(move |n| Timestamp::from_nanos(0).plus(Span::from_millis(from + n * apart)))
    }

    #[test]
    fn a_burst_after_an_hour_keeps_its_answer() {
        let quiet = clients(0, 36_000, 100);
        let arrivals: Vec<Timestamp> = quiet.chain(clients(3_600_000, 130, 2)).collect();
        let load = Load { arrivals, retries: RETRIES_LINEAR.to_vec(), ..Load::default() };
        let service = Service { per_second: 100.0, batch: 1 };
        let load = Model { cookies: false, ..load.model(service, Some(16)) }.observe();
        let load = Load { until: load.arrivals.last().map(|last| last.plus(Span::from_secs(9))), ..load };
        let bounded = bounded(&load);
        assert!(bounded.bins.len() <= BINS);
        assert_eq!(bounded.bins.iter().map(|bin| bin.arrivals).sum::<u32>(), 36_130);
        assert!(bounded.bins.windows(2).all(|pair| pair[0].to <= pair[1].from));
        let (exact, rough) = (size(&load).answer, bounded.size(KnownQueue::default(), None).unwrap().answer);
        let backlog = |answer| match answer {
            Answer::Backlog { backlog, .. } => f64::from(backlog),
            other => panic!("{other:?}"),
        };
        assert!((backlog(rough) / backlog(exact) - 1.0).abs() < 0.05, "{rough:?} {exact:?}");
    }

    #[test]
    fn a_long_overload_fits_too() {
        let mut bounded = BoundedLoad::default();
        for at in clients(0, 100_000, 7) {
            bounded.bin(at).arrivals += 1;
            bounded.bin(at).drops += 1;
        }
        assert!(bounded.bins.len() <= BINS);
        assert_eq!(bounded.bins.iter().map(|bin| bin.drops).sum::<u32>(), 100_000);
    }

    #[test]
    fn few_clients_have_the_answer_of_all_times() {
        let attempts = samples::overflow_mixed().1;
        let mut bounded = BoundedLoad::default();
        attempts.iter().for_each(|attempt| bounded.add(attempt));
        assert_eq!(bounded.size(KnownQueue::default(), None), Some(size(&Load::of(&attempts, None))));
    }

    #[test]
    fn nothing_dropped_has_no_size() {
        let mut bounded = BoundedLoad::default();
        samples::healthy().1.iter().for_each(|attempt| bounded.add(attempt));
        assert_eq!(bounded.size(KnownQueue::default(), None), None);
        samples::overflow_mixed().1.iter().for_each(|attempt| bounded.add(attempt));
        assert!(bounded.size(KnownQueue::default(), None).is_some());
    }
}
