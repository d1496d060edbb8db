//! All listeners of an analysis: every finding is recorded with its listener, and gets its inference.

use std::cmp::Reverse;
use std::net::IpAddr;

use indexmap::IndexMap;
use smallvec::SmallVec;

use super::capture_limits::{Coverages, LimitSets};
use super::conclude::conclude;
use super::dropped_segments::KernelDrop;
use super::hypotheses::{self, Case, SharedFacts, SiblingDrops};
use super::observed::{Observed, dropped_between, dropped_syns, is_in_vain};
use super::paths::Paths;
use super::point_routes::PointRoutes;
use super::record::{Record, is_open_case};
use super::scan::Scans;
use super::sightings::Sightings;
use super::totals::Totals;
use super::{Listener, Tally};
use crate::handshake::{Attempt, Cause, ExpectedEnds, Fact, Finding, Inference, Unproven, Verdict};
use crate::kernel::{KernelStats, ListenerInterval};
use crate::packet::{CaptureSet, Endpoint, Period, Seeded, Timestamp};

/// All listeners of an analysis, bounded in number.
#[derive(Debug, Clone)]
pub struct Listeners {
    records: IndexMap<Endpoint, Record, Seeded>,
    /// The server of the latest attempt, and the place of its record: many attempts in a row are to one.
    latest: Option<(Endpoint, usize)>,
    /// The places of the listeners of each host, the first [`MAX_SIBLINGS`].
    hosts: IndexMap<IpAddr, SmallVec<[u32; 2]>, Seeded>,
    pub(super) paths: Paths,
    routes: PointRoutes,
    limit: usize,
    /// The attempts that count: those that begin within.
    counted: Period,
    /// Attempts outside of it.
    outside: u64,
    /// The tallies of all listeners past the limit.
    rest: Record,
    verdicts: Tally,
    limits: LimitSets,
    coverage: Coverages,
    /// `None` while it delivers.
    sightings: Option<Box<Sightings>>,
    /// Attempts kept whose cause may still change.
    cases: usize,
}

/// The moment at which the causes of attempts are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CausesWanted {
    /// At once, when an attempt is recorded, with what is known by then.
    AtOnce,
    /// At the end, when everything is known: [`Listeners::infer`] gives them then.
    AtEnd,
}

/// Most listeners of one host that are compared with one another.
const MAX_SIBLINGS: usize = 16;

/// Most attempts kept, over all listeners, whose cause may still change: about 8 MiB. Further ones keep the cause
/// inferred when they were settled.
const MAX_OPEN_CASES: usize = 16_384;

/// The same for one listener: a flood of one leaves room for the others.
const CASES_OF_ONE: usize = 4096;

/// Refused attempts of one listener that are kept: a scan knocks at each port once or twice.
const REFUSALS_OF_ONE: usize = 4;

/// Attempts kept, over all listeners, up to which refused ones of a client that seems to scan are kept, too.
const MAX_REFUSALS: usize = MAX_OPEN_CASES / 2;

impl Listeners {
    /// Bound on the listeners that are kept, by default. A port scan has a million of them; at about 1 KiB each
    /// these take 8 MiB.
    pub const DEFAULT_LIMIT: usize = 8192;

    /// No listeners yet; at most `limit` will be kept apart.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            records: IndexMap::default(),
            latest: None,
            hosts: IndexMap::default(),
            paths: Paths::default(),
            routes: PointRoutes::default(),
            limit,
            counted: Period::default(),
            outside: 0,
            rest: Record::default(),
            verdicts: Tally::default(),
            limits: LimitSets { uncounted: CaptureSet::ALL, ..LimitSets::default() },
            coverage: Coverages::default(),
            sightings: None,
            cases: 0,
        }
    }

    /// Sets which attempts count: those that begin within the period; all, unless it is set.
    pub fn set_counted(&mut self, counted: Period) {
        self.counted = counted;
    }

    /// True if the attempt counts. One that does not must not be recorded; see [`Self::observe`].
    #[must_use]
    pub fn counts(&self, attempt: &Attempt) -> bool {
        self.counted.contains(attempt.start)
    }

    /// Attempts that do not count.
    #[must_use]
    pub fn outside(&self) -> u64 {
        self.outside
    }

    /// Takes note that the capture lost packets: from now on absence proves less.
    pub fn capture_dropped(&mut self) {
        self.limits.drops = CaptureSet::ALL;
    }

    /// The attempts that are held back until it is known that they are sightings of others.
    pub fn sightings(&mut self) -> &mut Sightings {
        self.sightings.get_or_insert_default()
    }

    /// Delivers attempts by `deliver`, which gets what is held back and all else.
    pub(crate) fn deliver_by<T>(&mut self, deliver: impl FnOnce(&mut Sightings, &mut Self) -> T) -> T {
        let mut sightings = self.sightings.take().unwrap_or_default();
        let result = deliver(&mut sightings, self);
        self.sightings = Some(sightings);
        result
    }

    /// Sets what the capture cannot support, as far as is known by now; single gaps are known from the attempts.
    pub fn set_limits(&mut self, limits: LimitSets) {
        let LimitSets { drops, uncounted, .. } = self.limits;
        let some_gaps = self.coverage.some_gaps();
        self.limits = LimitSets { drops: limits.drops.union(drops), uncounted, some_gaps, ..limits };
    }

    /// Sets which captures do not count what they drop; all until it is known.
    pub fn set_uncounted(&mut self, uncounted: CaptureSet) {
        self.limits.uncounted = uncounted;
    }

    /// Limits of the capture, as last set.
    #[must_use]
    pub fn limits(&self) -> LimitSets {
        self.limits
    }

    /// Counts of settled attempts that show how complete the capture is.
    #[must_use]
    pub fn coverage(&self) -> Coverages {
        self.coverage
    }

    /// The servers that are kept apart.
    pub fn servers(&self) -> impl Iterator<Item = Endpoint> + '_ {
        self.records.keys().copied()
    }

    /// Settled attempts of each server that is kept apart, by verdict.
    pub fn tallies(&self) -> impl Iterator<Item = (Endpoint, &Tally)> {
        self.records.iter().map(|(&server, record)| (server, &record.verdicts))
    }

    /// Records the kernel's figures of a server on this machine, with those since they were last recorded. Servers that
    /// nobody has connected to are left alone.
    pub fn record_kernel(&mut self, server: Endpoint, stats: KernelStats, interval: ListenerInterval) {
        if let Some(record) = self.records.get_mut(&server)
            && let Some((from, until)) = record.kernel.record(stats, interval)
        {
            record.settled.episodes.add_counted(from, until);
        }
    }

    /// Records the latest figures of a server whose socket was closed: what it counted until then stands. `whole` is the
    /// time since the first snapshot, for a server that was not recorded while it listened.
    pub fn record_closed(&mut self, server: Endpoint, stats: KernelStats, whole: ListenerInterval) {
        let Some(record) = self.records.get_mut(&server) else { return };
        if record.kernel.stats().is_some() {
            record.kernel.update(stats);
        } else if let Some((from, until)) = record.kernel.record(stats, whole) {
            record.settled.episodes.add_counted(from, until);
        }
    }

    /// Records the overflows of a listener on this machine that no captured client used, at the end of an input: the kernel's
    /// figures, and the intervals in which it counted them. A server with attempts has had its figures before.
    pub fn record_uncaptured(
        &mut self,
        server: Endpoint,
        stats: &KernelStats,
        overflowed: &[ListenerInterval],
    ) {
        if self.records.contains_key(&server) || self.place_of(server).is_none() {
            return;
        }
        for &interval in overflowed {
            self.record_kernel(server, stats.clone(), interval);
        }
    }

    /// Records a segment between `client` and `server` that the kernel dropped. False if nothing is known of that server
    /// yet: its first attempt may still be undecided.
    pub fn record_dropped(&mut self, server: Endpoint, client: Endpoint, segment: KernelDrop) -> bool {
        let record = self.records.get_mut(&server);
        record.map(|record| record.kernel.record_dropped(client, segment)).is_some()
    }

    /// Records an ICMP error that calls a segment of a server's too big, on a connection that is settled.
    pub(crate) fn record_oversized(&mut self, error: &Attempt) {
        if self.counts(error)
            && let Some(record) = self.records.get_mut(&error.server)
        {
            record.observed.oversized.see(error);
        }
    }

    /// Prefetches what a finding that comes soon will need.
    #[inline(always)]
    pub(crate) fn expect(&self, soon: Option<ExpectedEnds>) {
        if let Some(ExpectedEnds { client, server }) = soon {
            self.paths.prefetch(client, server);
        }
    }

    /// Tallies the finding, and infers what it means, as known by now.
    pub fn record(&mut self, finding: &mut Finding) {
        self.record_for(finding, CausesWanted::AtOnce);
    }

    /// Tallies the finding. Infers what it means where that is wanted at once, or cannot be done at the end.
    pub fn record_for(&mut self, Finding { attempt, settled, .. }: &mut Finding, wanted: CausesWanted) {
        if attempt.is_refusal_alone() {
            return;
        }
        let place = self.place_of(attempt.server);
        let at_once = wanted == CausesWanted::AtOnce;
        if !*settled {
            self.paths.decide_delay(attempt);
            self.record_at(place).observed.see_provisional(attempt);
            self.paths.see_provisional(attempt);
            if at_once {
                attempt.inference = self.infer_at(place, attempt).into();
            }
            return;
        }
        if self.continues_flood(place, attempt) {
            return;
        }
        let observed = &self.record_at(place).observed;
        let is_of_flood = observed.is_of_flood(attempt);
        attempt.client_finishes = match attempt.verdict {
            Verdict::Unanswered => observed.finishers.has(attempt.client.ip(), attempt.start),
            Verdict::HalfOpen => self.paths.has_finisher(attempt),
            _ => false,
        };
        self.paths.see(attempt, is_of_flood);
        if is_in_vain(attempt) && !is_of_flood {
            self.look_back(attempt.client);
        }
        self.routes.see(attempt);
        if is_beside_overflow(attempt, place.and_then(|place| Some(self.records.get_index(place)?.1))) {
            attempt.unproven = Some(Unproven::ListenerOverflows);
        }
        self.verdicts.add(attempt.verdict);
        self.coverage.add(attempt);
        // The first ports that a scan knocks at are not known for a scan's yet, nor those of a client that will try each again.
        let refused = attempt.verdict == Verdict::Refused
            && attempt.retries.syn == 0
            && (self.paths.failed_listeners(attempt.client) < hypotheses::MANY_PORTS
                || self.cases < MAX_REFUSALS && !attempt.facts.has(Fact::SynWithoutOptions));
        let most = if refused { REFUSALS_OF_ONE } else { CASES_OF_ONE };
        let may_keep = self.cases < MAX_OPEN_CASES && place.is_some() && (refused || is_open_case(attempt));
        let record = self.record_at(place);
        record.add(attempt);
        if may_keep && record.cases.len() < most {
            record.cases.push(Box::new(attempt.clone()));
            self.cases += 1;
            if at_once {
                attempt.inference = self.infer_at(place, attempt).into();
            }
        } else {
            attempt.inference = self.infer_at(place, attempt).into();
            let limits = self.limits;
            self.record_at(place).settle(attempt, limits);
        }
    }

    /// Takes what an attempt that does not count shows of its listener and its path: a server that answered before the first
    /// attempt that counts does answer.
    pub fn observe(&mut self, attempt: &mut Attempt) {
        /// The part of the listeners that such attempts may take up.
        const SHARE: usize = 2;
        if attempt.is_refusal_alone() {
            return;
        }
        self.outside += 1;
        let known = self.records.contains_key(&attempt.server) || self.records.len() < self.limit / SHARE;
        let Some(place) = known.then(|| self.place_of(attempt.server)).flatten() else { return };
        let observed = &self.record_at(Some(place)).observed;
        let is_of_flood = observed.is_of_flood(attempt);
        self.paths.see(attempt, is_of_flood);
        self.routes.see(attempt);
        self.record_at(Some(place)).observed.see(attempt);
    }

    /// Takes note of the listeners that served clients before one of them had failed at as many as a scan knocks at. All at once: a scan
    /// from many addresses has many such clients.
    fn look_back(&mut self, client: Endpoint) {
        if self.paths.must_know_served(client, hypotheses::MANY_PORTS) {
            let served = self.records.iter().flat_map(|(&server, record)| {
                record.observed.finishers.clients().map(move |client| (client, server))
            });
            self.paths.know_served(served);
        }
    }

    /// Records one more SYN of a flood, if it is like those before it and nothing else is known of its client: it is counted,
    /// and nothing is kept of it. False if it is another attempt, which is not recorded then.
    #[inline(always)]
    fn continues_flood(&mut self, place: Option<usize>, attempt: &mut Attempt) -> bool {
        let Some((_, record)) = place.and_then(|place| self.records.get_index_mut(place)) else {
            return false;
        };
        if record.flood_run.is_none() || !self.paths.is_new(attempt) {
            return false;
        }
        let continues = record.add_to_flood(attempt, &self.limits);
        if continues {
            self.verdicts.add(attempt.verdict);
            self.coverage.add(attempt);
        }
        continues
    }

    /// The place of a server's record; `None` for those past the limit, which share one.
    fn place_of(&mut self, server: Endpoint) -> Option<usize> {
        if let Some((latest, place)) = self.latest
            && latest == server
        {
            return Some(place);
        }
        let place = self.records.get_index_of(&server).or_else(|| self.open_record(server))?;
        self.latest = Some((server, place));
        Some(place)
    }

    /// Makes a record for a server that has none; `None` past the limit.
    fn open_record(&mut self, server: Endpoint) -> Option<usize> {
        if self.records.len() >= self.limit {
            return None;
        }
        let (place, _) = self.records.insert_full(server, Record::default());
        let siblings = self.hosts.entry(server.ip()).or_default();
        if siblings.len() < MAX_SIBLINGS {
            siblings.push(place as u32);
        }
        Some(place)
    }

    fn record_at(&mut self, place: Option<usize>) -> &mut Record {
        let record = place.and_then(|place| self.records.get_index_mut(place));
        record.map_or(&mut self.rest, |(_, record)| record)
    }

    /// The meaning of an attempt by all that is known now.
    #[must_use]
    pub fn infer(&self, attempt: &Attempt) -> Inference {
        self.infer_at(self.records.get_index_of(&attempt.server), attempt)
    }

    /// True if more may be known of a settled attempt now than when it was recorded: the kernel's figures, or what later
    /// attempts show, as long as those of its listener are kept for that.
    #[must_use]
    pub fn may_know_more(&self, attempt: &Attempt) -> bool {
        let record = self.records.get(&attempt.server);
        record.is_some_and(|record| record.cases.len() < CASES_OF_ONE || !record.kernel.is_empty())
    }

    /// The meaning of an attempt to the listener at this place.
    fn infer_at(&self, place: Option<usize>, attempt: &Attempt) -> Inference {
        if explains_itself(attempt) {
            return Inference::default();
        }
        let record = place.and_then(|place| self.records.get_index(place));
        let record = record.map_or(&self.rest, |(_, record)| record);
        let (from, to) = (attempt.start, attempt.end);
        let repeats = record.retries.after_ack.max(attempt.retries.after_ack.into());
        hypotheses::infer(&Case {
            attempt,
            own: &record.observed,
            paths: &self.paths,
            siblings_dropping: &|| self.siblings_dropping(attempt),
            limits: self.limits.of(attempt.frame),
            kernel_history: &record.kernel,
            kernel: record.kernel.evidence_of(attempt, repeats),
            kernel_events: record.kernel.events(from, to, repeats),
            dropped: record.kernel.dropped(attempt),
            points: self.routes.evidence(attempt, &self.limits),
            found: SharedFacts::default(),
        })
    }

    /// Fate of the SYNs to other listeners of the host when this one left some unanswered.
    fn siblings_dropping(&self, attempt: &Attempt) -> SiblingDrops {
        let mut sum = SiblingDrops::default();
        let Some((from, to)) = dropped_between(attempt) else { return sum };
        let Some(siblings) = self.hosts.get(&attempt.server.ip()) else { return sum };
        let own = self.records.get(&attempt.server).map(|record| &record.observed.drops);
        let own = own.and_then(|drops| Some((drops, drops.at(from, to)?)));
        let (begin, end) = own.map_or((from, to), |(_, mine)| (mine.from, mine.to));
        let others = siblings.iter().filter_map(|&place| self.records.get_index(place as usize));
        for (server, record) in others {
            let Observed { prompt: 1.., drops, .. } = &record.observed else { continue };
            if *server == attempt.server {
                continue;
            }
            sum.answered += drops.answered_between(begin, end);
            let Some(stretch) = drops.at(from, to) else { continue };
            let together = own.is_some_and(|(own, mine)| own.is_like(mine, (drops, stretch)));
            sum.listeners += 1;
            sum.together += u32::from(together);
            sum.clustered =
                sum.clustered || drops.answered_in_cluster(stretch, dropped_syns(attempt).next()).is_some();
        }
        sum
    }

    /// Totals of a record's attempts; the causes of those it keeps are inferred by all that is known now.
    fn totals(&self, place: usize, record: &Record) -> Totals {
        let mut totals = record.settled_totals();
        for attempt in &record.cases {
            totals.add(attempt, &self.infer_at(Some(place), attempt));
        }
        totals
    }

    /// Attempts by verdict.
    #[must_use]
    pub fn verdicts(&self) -> Tally {
        self.verdicts
    }

    /// All listeners, the worst first: those that overflow, then all else that is broken, then what their programs
    /// meant; among these by problems, and by address. Listeners without attempts follow, and the folded line comes last.
    /// `end` is when the input ended: an episode that has not been over for long by then may go on.
    #[must_use]
    pub fn listeners(&self, end: Option<Timestamp>) -> Vec<Listener> {
        let mut scans = Scans::default();
        let counted = self.records.iter().enumerate().filter(|(_, (_, record))| {
            record.verdicts.total() > 0 || self.counted == Period::default() || !record.kernel.is_empty()
        });
        let alone = counted.filter_map(|(place, (&server, record))| {
            let totals = scans.take(server, record, self.totals(place, record))?;
            Some(conclude(Some(server), record, &totals, end))
        });
        let mut listeners: Vec<Listener> = alone.collect();
        listeners.extend(scans.listeners(end));
        listeners.sort_by_cached_key(|listener| {
            let problems = listener.problems();
            let rank = match listener.cause {
                // Of one that no captured client used only the kernel's count is known.
                Some(_) if listener.verdicts.total() == 0 => 4,
                Some(Cause::AcceptQueueOverflow) => 0,
                Some(cause) if cause.is_intended() => 2,
                None if problems == 0 => 3,
                Some(_) | None => 1,
            };
            (rank, Reverse(problems), listener.server)
        });
        if self.rest.verdicts.total() > 0 {
            listeners.push(conclude(None, &self.rest, &self.rest.settled, end));
        }
        listeners
    }
}

/// True if a completed attempt is unproven because other attempts show that its listener's queue was surely full when
/// its ACK came. The lack of SYN-ACK repeats proves nothing then: a full queue that ignores data, or answers by SYN
/// cookies, repeats nothing.
fn is_beside_overflow(attempt: &Attempt, record: Option<&Record>) -> bool {
    let unproven =
        attempt.verdict.is_completed() && attempt.unproven.is_none() && !attempt.facts.has(Fact::Established);
    record.zip(attempt.acked).filter(|_| unproven).is_some_and(|(record, acked)| {
        let observed = &record.observed;
        observed.marks.others(observed, attempt, (acked, acked)) == Some(true)
    })
}

/// True for a handshake that went well, with nothing odd about it: there is no cause to weigh.
fn explains_itself(attempt: &Attempt) -> bool {
    attempt.verdict == Verdict::Completed
        && attempt.established == Some(true)
        && attempt.reset.is_none()
        && !attempt.facts.has_any(hypotheses::ODD)
        && !attempt.is_delay_unclear()
        && !attempt.has_stalled_by_data()
        && attempt.answered_between().is_none()
}
