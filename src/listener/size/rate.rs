//! The rate at which the application accepts, from what happened while the queue was full.
//!
//! At each drop the queue holds one connection more than its limit. Between two drops of one full stretch the queue
//! therefore gained as many connections as it lost: each admission stands for one `accept()`. Outside of full stretches
//! the application may have waited for connections, and admissions say nothing of what it can do.
//!
//! Two of the kernel's own samples that found the queue full are as good as two drops.

use super::known::QueueSample;
use super::load::Load;
use crate::packet::{Span, Timestamp};

/// Drops that are further apart than this many times the usual gap are two stretches: the queue may have emptied.
const USUAL_GAPS: i64 = 8;
/// Bounds of that: a burst's drops are milliseconds apart, its clients' retries a second.
const LONGEST_GAP: (Span, Span) = (Span::from_millis(100), Span::from_millis(1_500));
/// The divisor of the longest stretch below which a stretch is left out: its ends would weigh too much.
const MIN_LENGTH_SHARE: i64 = 5;
/// Fewest accepts that make a rate, unless the queue was full for [`MIN_FULL_TIME`].
const MIN_ACCEPTS: u64 = 3;
/// Time with a full queue after which few accepts show a slow application, and not a short capture.
const MIN_FULL_TIME: Span = Span::from_secs(1);
/// Most accepts that may be missing from the schedule of an even pace. An even pace shows two.
const MAX_EVEN_DEFICIT: f64 = 5.0;
/// Fewest admissions in each half of the stretches, or after the first drop, before their rates are compared.
const MIN_COMPARABLE: usize = 12;
/// Smallest ratio of these two rates that shows a change: batches and chance explain smaller ones.
const MIN_CHANGE: f64 = 1.5;

/// Pattern in which the application accepted while its queue was full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Connections one after the other, without long pauses.
    Even,
    /// Several in a row, with pauses in between.
    InBursts {
        /// The longest time for which it fell behind its own rate.
        pause: Span,
    },
    /// At one rate in the first half of that time, and at another in the second.
    Changing {
        /// Connections a second in the first half.
        first: f64,
        /// Connections a second in the second half.
        second: f64,
    },
}

/// The accept rate while the queue was full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AcceptRate {
    /// Connections a second.
    pub per_second: f64,
    /// The least that the packets allow.
    pub low: f64,
    /// The most that they allow.
    pub high: f64,
    /// Time for which the queue was seen to be full.
    pub over: Span,
    /// Connections accepted in that time.
    pub accepted: u64,
    /// Pattern of the accepts: even, in bursts, or at a rate that changed.
    pub pace: Pace,
}

/// A time in which the queue was full throughout: from a drop to a drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FullStretch {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) admissions: usize,
}

impl FullStretch {
    fn length(self) -> Span {
        self.to.since(self.from)
    }
}

/// Stretches of `load` in which its queue was full throughout, in order.
pub(super) fn full_stretches(load: &Load) -> Vec<FullStretch> {
    let Some((&first, rest)) = load.drops.split_first() else { return Vec::new() };
    let gaps = load.drops.windows(2).filter_map(gap).filter(|&gap| gap > Span::ZERO);
    let usual = Span::median(gaps.collect()).unwrap_or_default();
    let longest = usual.scaled(USUAL_GAPS, 1).clamp(LONGEST_GAP.0, LONGEST_GAP.1);
    let mut stretches = Vec::new();
    let (mut from, mut to) = (first, first);
    for &drop in rest {
        if drop.since(to) > longest {
            stretches.push((from, to));
            from = drop;
        }
        to = drop;
    }
    stretches.push((from, to));
    let full = |(from, to)| FullStretch { from, to, admissions: count_within(&load.admissions, from, to) };
    stretches.into_iter().map(full).collect()
}

/// The same, without pauses between drops in which too few clients got in to show that the queue had emptied: an
/// application that has stopped, where few arrive.
pub(super) fn stops(load: &Load, stretches: &[FullStretch]) -> Vec<FullStretch> {
    let mut stops: Vec<FullStretch> = Vec::new();
    for &stretch in stretches {
        let goes_on = stops.last_mut().filter(|stop| {
            let admitted = count_within(&load.admissions, stop.to, stretch.from) as u64;
            admitted < MIN_ACCEPTS && stretch.from.since(stop.to) <= LONGEST_GAP.1
        });
        match goes_on {
            Some(stop) => {
                stop.to = stretch.to;
                stop.admissions = count_within(&load.admissions, stop.from, stop.to);
            }
            None => stops.push(stretch),
        }
    }
    stops
}

fn gap(pair: &[Timestamp]) -> Option<Span> {
    match pair {
        [one, other] => Some(other.since(*one)),
        _ => None,
    }
}

/// The accept rate that the drops show, or the kernel's samples where they saw the queue full for longer. `None` where they
/// show no accept, or no time, or an application that had stopped.
///
/// `limit` is that of the queue, as far as it is known yet.
pub(super) fn accept_rate(load: &Load, stretches: &[FullStretch], limit: Option<u32>) -> Option<AcceptRate> {
    let by_drops = rate_by_drops(load, stretches, limit).filter(|rate| !is_of_a_stop(load, rate));
    let by_samples = rate_by_samples(load);
    match (by_drops, by_samples) {
        (Some(by_drops), Some(by_samples)) if by_samples.over > by_drops.over => {
            // Samples once a second show nothing of bursts.
            Some(AcceptRate { pace: by_drops.pace, ..by_samples })
        }
        (Some(by_drops), _) => Some(by_drops),
        (None, by_samples) => by_samples,
    }
}

/// True if the rate is that of an application which had stopped, and went on: once the queue had been full, far more clients
/// got in than it allows, and each needs an `accept()`.
fn is_of_a_stop(load: &Load, rate: &AcceptRate) -> bool {
    let (Some(&first), Some(&last)) = (load.drops.first(), load.admissions.last()) else { return false };
    let admitted = |times: &[Timestamp]| count_within(times, first, last);
    // Of a handshake by a SYN cookie that nothing proves the ACK may have met the full queue.
    let accepted = admitted(&load.admissions).saturating_sub(admitted(&load.unproven));
    let seconds = last.since(first).as_secs_f64();
    accepted >= MIN_COMPARABLE && accepted as f64 > MIN_CHANGE * rate.high * seconds
}

/// The accept rate between each two samples that found the queue full, if it cannot have emptied in between.
fn rate_by_samples(load: &Load) -> Option<AcceptRate> {
    let (limit, samples) = load.known.single_queue()?;
    let full = |pair: &&[QueueSample]| pair.iter().all(|sample| sample.waiting >= limit);
    let (mut accepted, mut over, mut pairs) = (0_u64, Span::ZERO, 0_u32);
    for pair in samples.windows(2).filter(full) {
        let [one, other] = pair else { continue };
        let seen = count_within(&load.admissions, one.at, other.at) as u64;
        // Both are at least what got in: packets also show ACKs of cookies that were ignored, and the kernel counts what
        // other listeners got.
        let admitted = other.opened.map_or(seen, |opened| opened.min(seen));
        if admitted > u64::from(limit) && count_within(&load.drops, one.at, other.at) == 0 {
            continue;
        }
        accepted += (admitted + u64::from(one.waiting)).saturating_sub(other.waiting.into());
        over = over.plus(other.at.since(one.at));
        pairs += 1;
    }
    rate(accepted, over, pairs as usize, Pace::Even)
}

/// The accept rate that these stretches show: before SYN cookies came into use, if that is enough. Otherwise it may be lower
/// by all admissions that nothing proves.
fn rate_by_drops(load: &Load, stretches: &[FullStretch], limit: Option<u32>) -> Option<AcceptRate> {
    let new: Vec<FullStretch> =
        stretches.iter().filter_map(|stretch| of_new_clients(load, stretch)).collect();
    let stretches = if new.iter().any(|stretch| stretch.length() > Span::ZERO) { &new } else { stretches };
    let limit = limit.filter(|_| load.cookies().on);
    let Some(cookies) = limit.and_then(|limit| cookies_from(load, limit)) else {
        return rate_within(load, stretches);
    };
    let before = |stretch: &FullStretch| until(load, stretch, cookies);
    let certain: Vec<FullStretch> = stretches.iter().filter_map(before).collect();
    rate_within(load, &certain).or_else(|| {
        let all = rate_within(load, stretches)?;
        let doubtful = load.unproven.iter().filter(|&&at| at >= cookies);
        let doubtful = doubtful.filter(|&&at| stretches.iter().any(|s| s.from < at && at <= s.to)).count();
        Some(AcceptRate { low: (all.low - doubtful as f64 / all.over.as_secs_f64()).max(0.0), ..all })
    })
}

/// The accept rate of these stretches.
fn rate_within(load: &Load, stretches: &[FullStretch]) -> Option<AcceptRate> {
    let longest = stretches.iter().map(|stretch| stretch.length()).max()?;
    let used: Vec<FullStretch> = stretches
        .iter()
        .copied()
        .filter(|stretch| {
            stretch.length() > Span::ZERO && stretch.length().scaled(MIN_LENGTH_SHARE, 1) >= longest
        })
        .collect();
    let over = used.iter().fold(Span::ZERO, |sum, stretch| sum.plus(stretch.length()));
    let accepted: usize = used.iter().map(|stretch| stretch.admissions).sum();
    let mut rate = rate(accepted as u64, over, used.len(), Pace::Even)?;
    rate.pace = pace(load, &used, rate.per_second);
    Some(rate)
}

/// The first admission that may be none: nothing proves it, and the SYN queue was full, so that its SYN was answered with a
/// cookie. Linux ignores the ACK of such a handshake without a trace when the accept queue is full.
fn cookies_from(load: &Load, limit: u32) -> Option<Timestamp> {
    let requests = |at: Timestamp| {
        // A request whose ACK was ignored is kept until its SYN-ACK is sent again, and longer.
        let kept = count_within(&load.ignored, at.minus(Span::from_secs(1)), at);
        kept + count_within(&load.arrivals, at.minus(load.round_trip), at)
    };
    load.unproven.iter().copied().find(|&at| requests(at) >= limit as usize)
}

/// The part of a stretch before `end`, to its last drop.
fn until(load: &Load, stretch: &FullStretch, end: Timestamp) -> Option<FullStretch> {
    let last = *within(&load.drops, stretch.from, stretch.to.min(end)).last()?;
    let admissions = count_within(&load.admissions, stretch.from, last);
    Some(FullStretch { from: stretch.from, to: last, admissions })
}

/// The rate of so many accepts in this time, which is in so many parts; `None` of too few.
fn rate(accepted: u64, over: Span, parts: usize, pace: Pace) -> Option<AcceptRate> {
    if accepted == 0 || over <= Span::ZERO || accepted < MIN_ACCEPTS && over < MIN_FULL_TIME {
        return None;
    }
    let seconds = over.as_secs_f64();
    let accepts = accepted as f64;
    // A part may begin just after an accept and end just before one, or the other way round; these errors add up as
    // independent ones do.
    let error = (parts as f64).sqrt();
    Some(AcceptRate {
        per_second: accepts / seconds,
        low: (accepts - error).max(0.0) / seconds,
        high: (accepts + error) / seconds,
        over,
        accepted,
        pace,
    })
}

/// The part of a stretch in which clients were turned away for the first time. Their retries come many at one instant, as
/// the kernel's timers have it; so many requests at once make Linux answer with SYN cookies, and an ignored ACK of those
/// looks like a handshake that completed.
fn of_new_clients(load: &Load, stretch: &FullStretch) -> Option<FullStretch> {
    let new = within(&load.turned_away, stretch.from, stretch.to);
    let (&from, &to) = new.first().zip(new.last())?;
    Some(FullStretch { from, to, admissions: count_within(&load.admissions, from, to) })
}

fn pace(load: &Load, used: &[FullStretch], per_second: f64) -> Pace {
    let half = used.iter().fold(Span::ZERO, |sum, stretch| sum.plus(stretch.length())).scaled(1, 2);
    let (first, second) = halves(load, used, half);
    if first.min(second) >= MIN_COMPARABLE {
        let seconds = half.as_secs_f64();
        let rates = (first as f64 / seconds, second as f64 / seconds);
        if rates.0.max(rates.1) > MIN_CHANGE * rates.0.min(rates.1) {
            return Pace::Changing { first: rates.0, second: rates.1 };
        }
    }
    let pause = used.iter().map(|&stretch| behind(load, stretch, per_second)).max().unwrap_or_default();
    if pause.as_secs_f64() * per_second > MAX_EVEN_DEFICIT { Pace::InBursts { pause } } else { Pace::Even }
}

/// Admissions in the first and in the second half of the time in `used`.
fn halves(load: &Load, used: &[FullStretch], half: Span) -> (usize, usize) {
    let mut left = half;
    let (mut first, mut second) = (0, 0);
    for stretch in used {
        let middle = stretch.from.plus(left.min(stretch.length()));
        first += count_within(&load.admissions, stretch.from, middle);
        second += count_within(&load.admissions, middle, stretch.to);
        left = left.minus(stretch.length()).max(Span::ZERO);
    }
    (first, second)
}

/// The longest time for which the application fell behind an even pace of `per_second`.
fn behind(load: &Load, stretch: FullStretch, per_second: f64) -> Span {
    let due = |accepted: usize| Span::from_nanos((accepted as f64 / per_second * 1e9) as i64);
    let from = load.admissions.partition_point(|&at| at <= stretch.from);
    let within = load.admissions.iter().skip(from).take_while(|&&at| at <= stretch.to);
    let (mut least, mut worst) = (Span::ZERO, Span::ZERO);
    for (accepted, &at) in within.enumerate() {
        worst = worst.max(at.since(stretch.from).minus(due(accepted)).minus(least));
        least = least.min(at.since(stretch.from).minus(due(accepted + 1)));
    }
    worst.max(stretch.length().minus(due(stretch.admissions)).minus(least))
}

/// Part of these times, which are in order, that lies not before `from` and not after `to`.
pub(super) fn within(times: &[Timestamp], from: Timestamp, to: Timestamp) -> &[Timestamp] {
    let begin = times.partition_point(|&at| at < from);
    let end = times.partition_point(|&at| at <= to);
    times.get(begin..end).unwrap_or_default()
}

/// Number of these times that lie after `from` and not after `to`. They must be in order.
pub(super) fn count_within(times: &[Timestamp], from: Timestamp, to: Timestamp) -> usize {
    times.partition_point(|&at| at <= to).saturating_sub(times.partition_point(|&at| at <= from))
}
