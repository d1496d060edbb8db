//! Episodes of a live capture: each is reported when it begins, every ten seconds while it goes on, and when it ended.
//!
//! Owns which problems are one episode while it lasts, in bounded memory. The episodes of the final report are the
//! listeners' own (`listener`): those know every cause that later attempts show.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::kernel::{KernelPoller, Overflow};
use crate::handshake::{Attempt, Cause, Confidence, Verdict};
use crate::kernel::NetnsId;
use crate::listener::{EPISODE_GAP, Episode, EpisodeReport, EpisodeState, Tally, is_trouble};
use crate::packet::{Endpoint, Seeded, Span, Timestamp};
#[cfg(feature = "metrics")]
use crate::report::metrics::OngoingEpisode;

/// Interval between two reports of an episode that goes on.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Most episodes at a time; a scan of all ports, once known as one, is a single episode.
const MAX_OPEN: usize = 4096;

/// Most undecided attempts that are remembered as counted; of a flood's others only the number is.
const MAX_COUNTED: usize = 131_072;

/// The place that an episode belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum EpisodePlace {
    /// A listener of this machine, by the address that its socket is bound to.
    Listener(NetnsId, SocketAddr),
    /// Any other server.
    Server(Endpoint),
    /// A client that scans: its servers have one episode together.
    Scanner(IpAddr),
}

type Kind = (EpisodePlace, Option<Cause>);

/// An attempt that is a problem by now, or was one before it was settled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Problem {
    ordinal: u64,
    client: Endpoint,
    server: Endpoint,
    verdict: Verdict,
    cause: Option<Cause>,
    confidence: Option<Confidence>,
    start: Timestamp,
    end: Timestamp,
    settled: bool,
    /// False for a settled attempt that turned out well.
    is_trouble: bool,
}

impl Problem {
    pub(super) fn new(attempt: &Attempt, settled: bool) -> Self {
        Self {
            ordinal: attempt.ordinal,
            client: attempt.client,
            server: attempt.server,
            verdict: attempt.verdict,
            cause: attempt.inference.cause,
            confidence: attempt.inference.confidence,
            start: attempt.start,
            end: attempt.end,
            settled,
            is_trouble: is_trouble(attempt, &attempt.inference),
        }
    }

    /// False for a settled attempt that turned out well.
    pub(super) const fn is_trouble(&self) -> bool {
        self.is_trouble
    }

    /// Time of the problem: an attempt may be settled long after its last packet.
    fn seen(&self, now: Instant, wall: Timestamp) -> Instant {
        let age = wall.since(self.end).clamp(Span::ZERO, EPISODE_GAP).as_nanos().unsigned_abs();
        let age = if self.settled { Duration::from_nanos(age) } else { Duration::ZERO };
        now.checked_sub(age).unwrap_or(now)
    }

    fn place(&self, kernel: &KernelPoller) -> EpisodePlace {
        if self.cause == Some(Cause::SynScan) {
            return EpisodePlace::Scanner(self.client.ip());
        }
        kernel
            .listener_of(self.server)
            .map_or(EpisodePlace::Server(self.server), |(netns, local)| EpisodePlace::Listener(netns, local))
    }
}

/// An episode that is not over.
#[derive(Debug)]
struct OpenEpisode {
    kind: Kind,
    server: Endpoint,
    /// The only client that has had this trouble; `None` where there are several, or the kernel alone counted it.
    client: Option<IpAddr>,
    episode: Episode,
    begun: Instant,
    /// Time of the latest problem.
    seen: Instant,
    /// Time of the latest report, with the drops until then; `None` before the first.
    reported: Option<(Instant, Option<u64>)>,
    /// True if its cause became known or confirmed since.
    news: bool,
    /// Undecided attempts that were counted and are not remembered.
    unremembered: u64,
    /// The listener's drops before it began.
    drops_before: Option<u64>,
}

impl OpenEpisode {
    fn extend(&mut self, from: Timestamp, until: Timestamp, confidence: Option<Confidence>, now: Instant) {
        let episode = &mut self.episode;
        episode.from = episode.from.min(from);
        episode.until = episode.until.max(until);
        self.news |= confidence == Some(Confidence::Confirmed) && episode.confidence != confidence;
        episode.confidence = episode.confidence.max(confidence);
        self.seen = self.seen.max(now);
    }

    /// The client whose scan it is.
    fn scanner(&self) -> Option<IpAddr> {
        match self.kind.0 {
            EpisodePlace::Scanner(client) => Some(client),
            EpisodePlace::Listener(..) | EpisodePlace::Server(_) => None,
        }
    }

    /// Packets dropped since it began, of all that the listener has dropped by now.
    fn drops(&self, total: Option<u64>) -> Option<u64> {
        total.zip(self.drops_before).map(|(total, before)| total.saturating_sub(before))
    }

    /// The state to report now, if any.
    fn state(&self, now: Instant) -> Option<EpisodeState> {
        let rest = Duration::from_nanos(EPISODE_GAP.as_nanos().unsigned_abs());
        match self.reported {
            None => Some(EpisodeState::Begun),
            Some(_) if now - self.seen > rest => Some(EpisodeState::Ended),
            Some((last, _)) if self.news || now - last >= REPORT_INTERVAL => Some(EpisodeState::Ongoing),
            Some(_) => None,
        }
    }
}

/// All episodes that are not over.
#[derive(Debug, Default)]
pub(super) struct LiveEpisodes {
    open: HashMap<u64, OpenEpisode, Seeded>,
    by_kind: HashMap<Kind, u64, Seeded>,
    next: u64,
    /// The episode and verdict of undecided attempts that were counted, by their position in the input.
    counted: HashMap<u64, (u64, Verdict), Seeded>,
}

impl LiveEpisodes {
    /// Takes the problems of the second before `wall`, and what the kernel counted in it. Returns what is to be reported.
    pub(super) fn tick(
        &mut self,
        problems: impl IntoIterator<Item = Problem>,
        kernel: &mut KernelPoller,
        wall: Timestamp,
    ) -> Vec<EpisodeReport> {
        let now = Instant::now();
        for overflow in kernel.overflows() {
            self.count_overflow(overflow, kernel, now);
        }
        for problem in problems {
            self.count(&problem, kernel, now, wall);
        }
        self.report(kernel, now)
    }

    /// True if the undecided attempt at this position of the input was counted.
    pub(super) fn counts(&self, ordinal: u64) -> bool {
        self.counted.contains_key(&ordinal)
    }

    fn count_overflow(&mut self, overflow: Overflow, kernel: &KernelPoller, now: Instant) {
        let kind = (EpisodePlace::Listener(overflow.netns, overflow.local), Some(Cause::AcceptQueueOverflow));
        let server = kernel.server_of(overflow.netns, overflow.local);
        if !overflow.dropped && !self.by_kind.contains_key(&kind) {
            return;
        }
        if let Some(open) = self.open(kind, (server, None), overflow.interval.from, kernel, now) {
            open.client = None;
            open.extend(overflow.interval.from, overflow.interval.until, Some(Confidence::Confirmed), now);
        }
    }

    fn count(&mut self, problem: &Problem, kernel: &KernelPoller, now: Instant, wall: Timestamp) {
        if let Some(&(id, verdict)) = self.counted.get(&problem.ordinal) {
            self.recount(problem, id, verdict, now);
            return;
        }
        if !problem.is_trouble {
            return;
        }
        let kind = (problem.place(kernel), problem.cause);
        let may_remember = self.counted.len() < MAX_COUNTED;
        let parties = (problem.server, Some(problem.client.ip()));
        let Some(open) = self.open(kind, parties, problem.start, kernel, now) else { return };
        open.client = open.client.filter(|&client| client == problem.client.ip());
        if problem.settled && open.unremembered > 0 {
            // Already counted, before the attempt was settled.
            open.unremembered -= 1;
            return;
        }
        open.episode.verdicts.add(problem.verdict);
        open.extend(problem.start, problem.end, problem.confidence, problem.seen(now, wall));
        if problem.settled {
            return;
        }
        if may_remember {
            let id = self.by_kind.get(&kind).copied();
            self.counted.extend(id.map(|id| (problem.ordinal, (id, problem.verdict))));
        } else {
            open.unremembered += 1;
        }
    }

    /// Corrects the count of an attempt that was counted before. Settled it is no newer problem for that, but an undecided one
    /// has been retried in vain.
    fn recount(&mut self, problem: &Problem, id: u64, verdict: Verdict, now: Instant) {
        if let Some(open) = self.open.get_mut(&id) {
            open.episode.verdicts.remove(verdict);
            if problem.is_trouble {
                open.episode.verdicts.add(problem.verdict);
            }
            if problem.is_trouble && !problem.settled {
                open.extend(problem.start, problem.end, problem.confidence, now);
            }
        }
        if problem.settled {
            self.counted.remove(&problem.ordinal);
        } else {
            self.counted.insert(problem.ordinal, (id, problem.verdict));
        }
    }

    /// The open episode of this kind; a new one, where there is none and its number is not at the bound. Trouble of the
    /// same place that began a moment ago without a known cause is this: its cause has become known.
    fn open(
        &mut self,
        kind: Kind,
        (server, client): (Endpoint, Option<IpAddr>),
        from: Timestamp,
        kernel: &KernelPoller,
        now: Instant,
    ) -> Option<&mut OpenEpisode> {
        let (place, cause) = kind;
        let unexplained = self.by_kind.get(&(place, None)).copied().filter(|_| cause.is_some());
        if !self.by_kind.contains_key(&kind)
            && let Some(id) = unexplained
            && let Some(open) = self.open.get_mut(&id)
            && now - open.begun < REPORT_INTERVAL
        {
            open.kind = kind;
            open.episode.cause = cause;
            open.news = true;
            self.by_kind.remove(&(place, None));
            self.by_kind.insert(kind, id);
        }
        if let Some(id) = self.by_kind.get(&kind) {
            return self.open.get_mut(id);
        }
        if self.open.len() >= MAX_OPEN {
            return None;
        }
        let episode =
            Episode { cause, confidence: None, from, until: from, ongoing: true, verdicts: Tally::default() };
        let drops_before = match place {
            EpisodePlace::Listener(netns, local) => kernel.drops_before(netns, local),
            EpisodePlace::Server(_) | EpisodePlace::Scanner(_) => None,
        };
        let open = OpenEpisode {
            kind,
            server,
            client,
            episode,
            begun: now,
            seen: now,
            reported: None,
            news: false,
            unremembered: 0,
            drops_before,
        };
        let id = self.next;
        self.next += 1;
        self.by_kind.insert(kind, id);
        self.open.insert(id, open);
        if let EpisodePlace::Scanner(scanner) = place {
            self.fold_into_scan(id, scanner);
        }
        self.open.get_mut(&id)
    }

    /// Makes the trouble that this client alone had at single servers part of its scan: it was not known for one when it
    /// knocked there.
    fn fold_into_scan(&mut self, scan: u64, scanner: IpAddr) {
        let is_its = |open: &OpenEpisode| {
            let single = !matches!(open.kind.0, EpisodePlace::Scanner(_));
            let knocked = matches!(open.kind.1, None | Some(Cause::PortClosed | Cause::Filtered));
            single && knocked && open.client == Some(scanner)
        };
        let folded: Vec<OpenEpisode> =
            self.open.extract_if(|_, open| is_its(open)).map(|(_, open)| open).collect();
        let Some(whole) = self.open.get_mut(&scan) else { return };
        let mut ids: HashSet<u64> = HashSet::new();
        for open in folded {
            ids.extend(self.by_kind.remove(&open.kind));
            whole.episode.from = whole.episode.from.min(open.episode.from);
            whole.episode.verdicts.merge(&open.episode.verdicts);
            whole.unremembered += open.unremembered;
        }
        let moved = self.counted.values_mut().filter(|(id, _)| ids.contains(id));
        moved.for_each(|(id, _)| *id = scan);
    }

    /// The open episodes as they are now, between their reports. Figures of the kernel are left out.
    #[cfg(feature = "tui")]
    pub(super) fn open_now(&self, kernel: &KernelPoller) -> Vec<EpisodeReport> {
        let open = self.open.values().filter(|open| open.reported.is_some());
        let now = open.map(|open| {
            let total = match open.kind.0 {
                EpisodePlace::Listener(netns, local) => kernel.drops_of(netns, local),
                EpisodePlace::Server(_) | EpisodePlace::Scanner(_) => None,
            };
            EpisodeReport {
                state: EpisodeState::Ongoing,
                server: open.server,
                scanner: open.scanner(),
                episode: open.episode.clone(),
                drops: open.drops(total),
                drops_per_second: None,
                kernel: None,
            }
        });
        now.collect()
    }

    /// The episodes that go on: their servers, none of a scan, and their causes.
    #[cfg(feature = "metrics")]
    pub(super) fn ongoing(&self) -> impl Iterator<Item = OngoingEpisode> {
        let open = self.open.values().filter(|open| open.reported.is_some());
        open.map(|open| OngoingEpisode {
            server: open.scanner().is_none().then_some(open.server),
            cause: open.kind.1,
        })
    }

    /// Reports that are due, in order of the episodes' beginnings. Those that ended are forgotten.
    fn report(&mut self, kernel: &mut KernelPoller, now: Instant) -> Vec<EpisodeReport> {
        let mut due: Vec<(u64, EpisodeState)> =
            self.open.iter().filter_map(|(&id, open)| Some((id, open.state(now)?))).collect();
        due.sort_unstable_by_key(|&(id, _)| id);
        let mut reports = Vec::with_capacity(due.len());
        for (id, state) in due {
            let Some(open) = self.open.get_mut(&id) else { continue };
            reports.push(report_of(open, state, kernel, now));
            if state == EpisodeState::Ended {
                self.by_kind.remove(&open.kind);
                self.open.remove(&id);
            }
        }
        if !reports.is_empty() {
            let open = &self.open;
            // An attempt is settled up to two minutes after its episode.
            if self.counted.len() >= MAX_COUNTED / 2 {
                self.counted.retain(|_, (id, _)| open.contains_key(id));
            }
        }
        reports
    }
}

fn report_of(
    open: &mut OpenEpisode,
    state: EpisodeState,
    kernel: &mut KernelPoller,
    now: Instant,
) -> EpisodeReport {
    let stats = match open.kind.0 {
        EpisodePlace::Listener(netns, local) => kernel.figures(netns, local),
        EpisodePlace::Server(_) | EpisodePlace::Scanner(_) => None,
    };
    let total = stats.as_ref().and_then(|stats| stats.drops);
    let drops = open.drops(total);
    let before = open.reported.and_then(|(at, drops)| Some((at, drops?)));
    let drops_per_second = drops.zip(before).map(|(drops, (at, before))| {
        let seconds = (now - at).as_secs_f64().max(0.001);
        drops.saturating_sub(before) as f64 / seconds
    });
    open.reported = Some((now, drops));
    open.news = false;
    EpisodeReport {
        state,
        server: open.server,
        scanner: open.scanner(),
        episode: Episode { ongoing: state != EpisodeState::Ended, ..open.episode.clone() },
        drops,
        drops_per_second,
        kernel: stats,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::report::samples;

    fn unanswered(ordinal: u64, cause: Option<Cause>, settled: bool) -> Problem {
        let attempts = samples::overflow_mixed().1;
        let attempt = attempts.iter().find(|attempt| attempt.verdict == Verdict::Unanswered).unwrap();
        let confidence = cause.map(|_| Confidence::Likely);
        Problem { ordinal, cause, confidence, ..Problem::new(attempt, settled) }
    }

    fn tick(episodes: &mut LiveEpisodes, problems: Vec<Problem>) -> Vec<(EpisodeState, Option<Cause>, u64)> {
        let reports = episodes.tick(problems, &mut KernelPoller::without_kernel(), clock::now());
        let summed = |report: &EpisodeReport| {
            (report.state, report.episode.cause, report.episode.verdicts.get(Verdict::Unanswered))
        };
        reports.iter().map(summed).collect()
    }

    #[test]
    fn an_attempt_counts_once_however_often_it_is_reported() {
        let mut episodes = LiveEpisodes::default();
        let first = tick(&mut episodes, vec![unanswered(1, None, false), unanswered(2, None, false)]);
        assert_eq!(first, [(EpisodeState::Begun, None, 2)]);
        assert_eq!(tick(&mut episodes, vec![unanswered(1, None, false), unanswered(1, None, true)]), []);
        let completed = Problem { is_trouble: false, ..unanswered(2, None, true) };
        assert_eq!(tick(&mut episodes, vec![completed]), []);
        let open = episodes.open.values().next().unwrap();
        assert_eq!(open.episode.verdicts.get(Verdict::Unanswered), 1, "the other turned out well");
        assert!(episodes.counted.is_empty());
    }

    #[test]
    fn trouble_whose_cause_becomes_known_is_no_second_episode() {
        let mut episodes = LiveEpisodes::default();
        assert_eq!(tick(&mut episodes, vec![unanswered(1, None, false)]), [(EpisodeState::Begun, None, 1)]);
        let cause = Some(Cause::AcceptQueueOverflow);
        let known = tick(&mut episodes, vec![unanswered(2, cause, false)]);
        assert_eq!(known, [(EpisodeState::Ongoing, cause, 2)]);
        let other = Some(Cause::PortClosed);
        assert_eq!(
            tick(&mut episodes, vec![unanswered(3, other, false)]),
            [(EpisodeState::Begun, other, 1)],
            "another kind of trouble"
        );
    }

    #[test]
    fn a_scan_of_many_servers_is_one_episode() {
        let mut episodes = LiveEpisodes::default();
        let scan = |port| Problem {
            server: Endpoint::v4([10, 0, 0, 1], port),
            ..unanswered(port.into(), Some(Cause::SynScan), true)
        };
        let reports = tick(&mut episodes, (1..2_000).map(scan).collect());
        assert_eq!(reports, [(EpisodeState::Begun, Some(Cause::SynScan), 1_999)]);
    }

    #[test]
    fn the_first_ports_of_a_slow_scan_become_part_of_it() {
        let mut episodes = LiveEpisodes::default();
        let knock = |port: u16, client: u8, cause| Problem {
            server: Endpoint::v4([10, 0, 0, 1], port),
            client: Endpoint::v4([10, 0, 1, client], 4000 + port),
            ..unanswered(u64::from(client) << 16 | u64::from(port), cause, true)
        };
        let closed = Some(Cause::PortClosed);
        let first = tick(
            &mut episodes,
            vec![knock(1, 1, None), knock(2, 1, closed), knock(3, 1, closed), knock(3, 2, closed)],
        );
        assert_eq!(first.len(), 3, "{first:?}");
        let scan = Some(Cause::SynScan);
        let known = tick(&mut episodes, (4..50).map(|port| knock(port, 1, scan)).collect());
        assert_eq!(
            known,
            [(EpisodeState::Begun, scan, 48)],
            "but not the port at which another client knocks"
        );
        assert_eq!(episodes.open.len(), 2);
        assert_eq!(episodes.by_kind.len(), 2);
    }
}
