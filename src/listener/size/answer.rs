//! The answer: the backlog that would have held the load, or why there is none.

use super::load::Load;
use super::rate::{AcceptRate, FullStretch, Pace, accept_rate, count_within, full_stretches, stops, within};
use super::series::Series;
use super::simulate::{Model, Service, SimulationResult};
use super::sockets::most_of_one;
use crate::handshake::{Cause, Confidence};
use crate::packet::{Span, Timestamp};

/// Time for which arrivals outrun accepts before that is a lasting overload and no burst: longer than the client of a
/// service waits without noticing.
const OVERLOAD: Span = Span::from_secs(3);
/// Shortest time without any accept that shows an application which has stopped, and not one between two accepts.
const MIN_STOP: Span = Span::from_secs(1);
/// Shortest time after the last arrival that shows that a burst was over.
const MIN_QUIET: Span = Span::from_millis(500);
/// Largest ratio of the largest to the smallest backlog that the packets allow, unless they differ by no more than
/// [`MAX_DIFFERENCE`]. Beyond it no backlog is named.
const MAX_RATIO: f64 = 1.3;
/// Largest difference of these two backlogs that is accepted whatever their ratio.
const MAX_DIFFERENCE: u32 = 8;
/// Connections that must be seen to enter the queue before it is first full, for its limit to be estimated.
const SEEN_FILLING: usize = 3;

/// Estimate of how large the queue should have been, with the figures that it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// The accept rate while the queue was full; `None` where it was not seen.
    pub accepts: Option<AcceptRate>,
    /// Clients that arrived.
    pub arrivals: ArrivalRates,
    /// Clients that met a full queue.
    pub turned_away: u64,
    /// SYNs and ACKs that met it.
    pub drops: u64,
    /// The limit that the queue had.
    pub limit: Option<QueueLimit>,
    /// Sockets that share the port, each with such a queue; `None` where that is not known, and one is assumed.
    pub sockets: Option<u32>,
    /// SYN cookies at the listener.
    pub cookies: Cookies,
    /// The backlog, or why there is none.
    pub answer: Answer,
    /// The load over time, where the accept rate was seen and the queue emptied.
    pub series: Option<Series>,
}

/// `net.ipv4.tcp_syncookies` of the listener's host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookies {
    /// True if it is on, as is Linux' default.
    pub on: bool,
    /// Known from the kernel, the user or the packets; otherwise assumed.
    pub known: bool,
}

/// New clients a second: the mean from the first to the last, and the most in any time of that length.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ArrivalRates {
    /// Number of clients that arrived.
    pub clients: u64,
    /// Mean rate.
    pub mean: f64,
    /// Most in 0.1 s, a second.
    pub peak_tenth: f64,
    /// Most in 1 s, a second.
    pub peak_second: f64,
    /// Most in 10 s, a second.
    pub peak_ten: f64,
}

/// A queue's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimit {
    /// The connections that it may hold; one more than that makes it full.
    pub value: u32,
    /// Known, from the kernel or the user; otherwise estimated from how many entered before the first drop.
    pub known: bool,
}

/// Backlog that would have held the load, or the reason why none is named.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answer {
    /// Backlog that would have held every burst.
    Backlog {
        /// The smallest backlog that the packets make safe.
        backlog: u32,
        /// Longest wait of a connection for `accept()` with that backlog; `None` where the accept rate was not seen.
        longest_wait: Option<Span>,
    },
    /// So many more than the limit, which the packets do not show, would have held every burst.
    MoreThanLimit {
        /// Connections more than the limit.
        more: u32,
    },
    /// Nothing was accepted once the queue was full: no backlog helps.
    NothingAccepted {
        /// From the first drop to the end of what was watched.
        watched: Span,
    },
    /// More clients arrive than the application accepts, and go on doing so: no backlog helps for long.
    Outrun {
        /// Accepts a second that would have been needed.
        needed: f64,
        /// Time for which the simulated queue grew without emptying.
        over: Span,
        /// The backlog that would have held it for that long.
        held_by: u32,
    },
    /// The packets do not carry it.
    Unknown(Unknown),
}

/// Reason why the packets do not support an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// No client's SYN or ACK reached a socket that listens.
    NoArrivals,
    /// Nobody was turned away: the queue was large enough for what was seen.
    NoDrops,
    /// The capture was taken near a few clients.
    OneClientSide,
    /// The problems have another cause than a full queue.
    OtherCause(Cause),
    /// Nothing was accepted for so short a time that an application between two accepts does the same.
    TooShort {
        /// From the first drop to the last.
        full: Span,
    },
    /// The same clients are turned away at each retry while others get in: one of several sockets on the port is full.
    OneOfSeveralSockets,
    /// The capture ends while the queue is full and clients arrive.
    StillFull,
    /// The drops are too few, or too close together, to show the accept rate.
    TooFewDrops {
        /// Number of drops.
        drops: u64,
        /// Backlogs between which the packets do not decide.
        between: (u32, u32),
    },
}

/// Estimates how large the queue of `load` should have been.
#[must_use]
pub fn size(load: &Load) -> Size {
    let stretches = full_stretches(load);
    // The limit shows when cookies came into use, and the rate how many had been accepted before the queue was full.
    let rough = accept_rate(load, &stretches, load.known.limit);
    let limit = limit(load, rough.as_ref());
    let accepts = accept_rate(load, &stretches, limit.map(|limit| limit.value));
    let dropped = accepts.as_ref().filter(|_| !load.drops.is_empty());
    let wanted = dropped.map(|accepts| load.fullest_traced(accepts.service(accepts.planned())));
    let answer = answer(load, &stretches, dropped.zip(wanted.as_ref()), limit);
    let series = wanted.and_then(|wanted| Series::of(load, &wanted));
    Size {
        series,
        accepts,
        arrivals: arrival_rates(&load.arrivals),
        turned_away: load.turned_away.len() as u64,
        drops: load.drops.len() as u64,
        limit,
        sockets: load.known.sockets,
        cookies: load.cookies(),
        answer,
    }
}

impl Size {
    /// The answer, given the cause of the listener's trouble: where something else than a full queue is at least
    /// likely, no backlog is the answer.
    #[must_use]
    pub fn given_cause(self, cause: Option<Cause>, confidence: Option<Confidence>) -> Self {
        match cause {
            Some(cause)
                if cause != Cause::AcceptQueueOverflow
                    && confidence > Some(Confidence::Possible)
                    && !matches!(self.answer, Answer::Unknown(Unknown::NoArrivals | Unknown::NoDrops)) =>
            {
                Self { answer: Answer::Unknown(Unknown::OtherCause(cause)), ..self }
            }
            _ => self,
        }
    }
}

impl AcceptRate {
    /// The application in a model of the queue: at `per_second`, in batches where it was seen to pause.
    #[must_use]
    pub fn service(&self, per_second: f64) -> Service {
        let batch = match self.pace {
            Pace::InBursts { pause } => (pause.as_secs_f64() * per_second).round().max(1.0) as u32,
            Pace::Even | Pace::Changing { .. } => 1,
        };
        Service { per_second, batch }
    }

    /// The rate to plan with: the slower one where it changed.
    #[must_use]
    pub fn planned(&self) -> f64 {
        match self.pace {
            Pace::Changing { first, second } => first.min(second),
            Pace::Even | Pace::InBursts { .. } => self.per_second,
        }
    }

    /// The least and the most of [`Self::planned`] that the packets allow.
    fn bounds(&self) -> (f64, f64) {
        let share = self.planned() / self.per_second;
        (self.low * share, self.high * share)
    }
}

impl Load {
    /// SYN cookies at the listener: as known, or as Linux has them by default.
    #[must_use]
    pub fn cookies(&self) -> Cookies {
        let seen = self.cookies_seen.then_some(true);
        let known = self.known.cookies.or(seen);
        Cookies { on: known.unwrap_or(true), known: known.is_some() }
    }

    /// Model of this load on a single queue with this limit; `None` for a queue that never fills.
    #[must_use]
    pub fn model(&self, service: Service, limit: Option<u32>) -> Model<'_> {
        Model {
            arrivals: &self.arrivals,
            service,
            limit,
            waiting: self.waiting,
            retries: &self.retries,
            one_host: self.one_host,
            round_trip: self.round_trip,
            cookies: self.cookies().on,
            abort: self.abort,
        }
    }
}

/// The answer, given the accept rate where it was seen, with the queue that none turned away would have made.
fn answer(
    load: &Load,
    stretches: &[FullStretch],
    wanted: Option<(&AcceptRate, &SimulationResult)>,
    limit: Option<QueueLimit>,
) -> Answer {
    let (Some(&first), Some(&last)) = (load.drops.first(), load.drops.last()) else {
        let none = load.arrivals.is_empty() && load.admissions.is_empty();
        return Answer::Unknown(if none { Unknown::NoArrivals } else { Unknown::NoDrops });
    };
    if load.one_client_side {
        return Answer::Unknown(Unknown::OneClientSide);
    }
    let until = load.until.unwrap_or(last).max(last);
    let admitted_since = load.admissions.iter().any(|&at| at > first);
    if !admitted_since {
        let full = last.since(first);
        return match full >= MIN_STOP {
            true => Answer::NothingAccepted { watched: until.since(first) },
            false => Answer::Unknown(Unknown::TooShort { full }),
        };
    }
    if is_one_of_several(load, first, last) {
        return Answer::Unknown(Unknown::OneOfSeveralSockets);
    }
    match wanted {
        Some((accepts, likely)) => by_rate(load, accepts, likely, until),
        None => without_rate(load, stretches, limit),
    }
}

/// True if the full queue is one of several on the port (SO_REUSEPORT), and the others are not full. A client's retries
/// go to the same socket as its first SYN: none of those turned away gets in, while a good share of new clients does.
/// With a single queue, retries and first SYNs have the same chance.
fn is_one_of_several(load: &Load, first: Timestamp, last: Timestamp) -> bool {
    /// Fewest vain retries that chance does not explain: of a queue that takes [`ADMITTED_SHARE`], one series in
    /// seventy.
    const MIN_RETRIES: usize = 12;
    /// The share of new clients that gets in meanwhile.
    const ADMITTED_SHARE: f64 = 0.3;
    let retries = load.drops.len().saturating_sub(load.turned_away.len());
    let arrived = count_within(&load.arrivals, first, last);
    let admitted = count_within(&load.admissions, first, last);
    load.late == 0
        && retries >= MIN_RETRIES
        && admitted as f64 >= ADMITTED_SHARE * arrived as f64
        && admitted >= MIN_RETRIES
}

/// The answer where the accept rate was seen.
fn by_rate(load: &Load, accepts: &AcceptRate, likely: &SimulationResult, until: Timestamp) -> Answer {
    if let Some(outrun) = outrun(load, likely) {
        return outrun;
    }
    let ended = load.arrivals.last().is_none_or(|&last| until.since(last) >= MIN_QUIET);
    if !ended && likely.longest_at.is_some_and(|at| until.since(at) < MIN_QUIET) {
        return Answer::Unknown(Unknown::StillFull);
    }
    let (low, high) = accepts.bounds();
    let [most, least] = [low, high].map(|rate| load.fullest(accepts.service(rate)));
    let close = most.longest.saturating_sub(least.longest) <= MAX_DIFFERENCE;
    if !close && f64::from(most.longest) > MAX_RATIO * f64::from(least.longest) {
        let (drops, between) = (load.drops.len() as u64, (least.longest, most.longest));
        return Answer::Unknown(Unknown::TooFewDrops { drops, between });
    }
    // Without cookies the SYN queue, which has the same limit, must hold all that shake hands at once.
    let requests = if load.cookies().on { 0 } else { most.most_requests };
    Answer::Backlog { backlog: most.longest.max(requests), longest_wait: Some(most.longest_wait) }
}

/// Answer for arrivals that outran accepts for [`OVERLOAD`] or longer: a longer queue only postpones their drops.
/// `None` if they did not.
fn outrun(load: &Load, queue: &SimulationResult) -> Option<Answer> {
    let (from, to) = (queue.grows_from?, queue.longest_at?);
    let over = to.since(from);
    let arrived = count_within(&load.arrivals, from, to);
    (over >= OVERLOAD).then(|| Answer::Outrun {
        needed: arrived as f64 / over.as_secs_f64(),
        over,
        held_by: queue.longest,
    })
}

/// The answer where the queue was full for too short a time to see an accept. The application accepted none of the
/// clients in that time, so all of those turned away would have waited besides those that the queue held.
fn without_rate(load: &Load, stretches: &[FullStretch], limit: Option<QueueLimit>) -> Answer {
    let turned_away = |stretch: &FullStretch| within(&load.turned_away, stretch.from, stretch.to).len();
    let worst = stops(load, stretches).iter().map(turned_away).max().unwrap_or(0);
    let more = most_of_one(u32::try_from(worst).unwrap_or(u32::MAX), load.known.queues());
    if more == 0 {
        // Only retries were dropped: those of clients that arrived before the capture began.
        return Answer::Unknown(Unknown::StillFull);
    }
    match limit {
        // The full queue holds one more than the limit.
        Some(limit) => Answer::Backlog {
            backlog: limit.value.saturating_add(1).saturating_add(more),
            longest_wait: None,
        },
        None => Answer::MoreThanLimit { more: more.saturating_add(1) },
    }
}

/// The limit: what is known, or one less than the longest queue that those who got in before the first drop can have
/// made. Later ones do not count: of many retries at one instant, some seem to have got in that did not.
fn limit(load: &Load, accepts: Option<&AcceptRate>) -> Option<QueueLimit> {
    if let Some(value) = load.known.limit {
        return Some(QueueLimit { value, known: true });
    }
    if load.known.queues() > 1 {
        // Packets do not show which of the queues filled first.
        return None;
    }
    let (accepts, &first) = (accepts?, load.drops.first()?);
    let before = load.admissions.partition_point(|&at| at <= first);
    if before < SEEN_FILLING {
        return None;
    }
    let admitted = Model {
        arrivals: load.admissions.get(..before).unwrap_or_default(),
        round_trip: Span::ZERO,
        cookies: true,
        ..load.model(Service { per_second: accepts.per_second, batch: 1 }, None)
    };
    let value = admitted.run().longest.saturating_sub(1);
    Some(QueueLimit { value, known: false })
}

fn arrival_rates(arrivals: &[Timestamp]) -> ArrivalRates {
    let (Some(&first), Some(&last)) = (arrivals.first(), arrivals.last()) else {
        return ArrivalRates::default();
    };
    let seconds = last.since(first).as_secs_f64();
    ArrivalRates {
        clients: arrivals.len() as u64,
        mean: if seconds > 0.0 { arrivals.len() as f64 / seconds } else { 0.0 },
        peak_tenth: peak(arrivals, Span::from_millis(100)),
        peak_second: peak(arrivals, Span::from_secs(1)),
        peak_ten: peak(arrivals, Span::from_secs(10)),
    }
}

/// The most arrivals in any time of this length, a second.
fn peak(arrivals: &[Timestamp], window: Span) -> f64 {
    let mut from = 0;
    let mut most = 0;
    for (index, at) in arrivals.iter().enumerate() {
        while arrivals.get(from).is_some_and(|&first| at.since(first) >= window) {
            from += 1;
        }
        most = most.max(index + 1 - from);
    }
    most as f64 / window.as_secs_f64()
}
