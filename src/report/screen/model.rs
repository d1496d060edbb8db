//! The figures that the screen shows.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::handshake::Attempt;
use crate::kernel::NetnsId;
use crate::listener::{EpisodeReport, EpisodeState};
use crate::packet::{Endpoint, Timestamp};
use crate::report::status::LiveCounts;

/// Most problem attempts that are shown: the latest.
pub const MAX_ATTEMPTS: usize = 256;

/// Most episodes that are shown, those that are over included.
const MAX_EPISODES: usize = 64;

/// Seconds whose overflow rates are kept: a minute, and more on a wide terminal.
const HISTORY: usize = 120;

/// A listener of this machine by its namespace and the address that its socket is bound to; any other server by the
/// address that clients connect to.
pub type ListenerKey = (Option<NetnsId>, Endpoint);

/// The figures of one listener at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerNow {
    /// Its identity.
    pub key: ListenerKey,
    /// The address that clients connect to, where one was seen.
    pub server: Endpoint,
    /// The process that listens: `nginx[71]`.
    pub owner: Option<String>,
    /// Connections that wait in its fullest accept queue; `None` where the kernel is not this machine's.
    pub waiting: Option<u32>,
    /// The limit of that queue; `None` where it may not be read.
    pub limit: Option<u32>,
    /// Packets that it dropped since the run began, by the kernel's count.
    pub drops: Option<u64>,
    /// Attempts to it that went wrong.
    pub problems: u64,
}

impl ListenerNow {
    /// Share of the queue that is taken, 1 and more when it is full.
    pub(super) fn fill(&self) -> f64 {
        match (self.waiting, self.limit) {
            // Linux admits one more than the limit.
            (Some(waiting), Some(limit)) => f64::from(waiting) / f64::from(limit.max(1)),
            (Some(waiting), None) if waiting > 0 => 0.5,
            _ => 0.0,
        }
    }

    /// True if the queue takes no more connections.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.zip(self.limit).is_some_and(|(waiting, limit)| waiting > limit)
    }

    /// Counter whose growth is the overflow rate: the kernel's drops, else problem attempts.
    const fn troubles(&self) -> u64 {
        match self.drops {
            Some(drops) => drops,
            None => self.problems,
        }
    }
}

/// A listener with its recent past.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ListenerRow {
    pub(super) now: ListenerNow,
    /// Drops a second (problem attempts, where the kernel does not count) in each of the latest seconds, the last one last.
    pub(super) rates: VecDeque<u64>,
}

impl ListenerRow {
    /// Drops in the last second.
    pub(super) fn rate(&self) -> u64 {
        self.rates.back().copied().unwrap_or(0)
    }
}

/// An attempt of the feed.
#[derive(Debug, Clone)]
pub(super) struct FeedRow {
    pub(super) attempt: Attempt,
    /// False while it may still change.
    pub(super) settled: bool,
}

/// The figures of a moment.
#[derive(Debug, Clone)]
pub struct ScreenNow {
    /// Time of the run so far.
    pub elapsed: Duration,
    /// Counts of the whole run.
    pub counts: LiveCounts,
    /// Listeners of this machine, and servers that packets show.
    pub listeners: Vec<ListenerNow>,
}

/// Everything that the screen may show.
#[derive(Debug, Clone, Default)]
pub struct ScreenModel {
    pub(super) input: String,
    pub(super) elapsed: Duration,
    /// Time since the moment before.
    pub(super) span: Duration,
    pub(super) counts: LiveCounts,
    pub(super) before: LiveCounts,
    pub(super) listeners: Vec<ListenerRow>,
    /// The latest first, but those that go on before those that are over.
    pub(super) episodes: Vec<EpisodeReport>,
    /// The latest first.
    pub(super) feed: VecDeque<FeedRow>,
    /// Problem attempts that are not settled and not to be listed: their positions in the input, and their servers.
    unlisted: VecDeque<(u64, Endpoint)>,
    /// The latest message about the run itself, and when it came.
    pub(super) notice: Option<(Timestamp, String)>,
}

impl ScreenModel {
    /// A model of a run on `input` that has seen nothing.
    #[must_use]
    pub fn new(input: &str) -> Self {
        Self { input: input.to_owned(), ..Self::default() }
    }

    /// Takes the figures of a moment.
    pub fn update(&mut self, now: ScreenNow) {
        let span = now.elapsed.saturating_sub(self.elapsed);
        let mut known: HashMap<ListenerKey, ListenerRow> =
            self.listeners.drain(..).map(|row| (row.now.key, row)).collect();
        let follow = |listener: ListenerNow| {
            let before = known.remove(&listener.key);
            let grown =
                before.as_ref().map_or(0, |row| listener.troubles().saturating_sub(row.now.troubles()));
            let mut rates = before.map_or_else(VecDeque::new, |row| row.rates);
            rates.push_back(per_second(grown, span));
            rates.drain(..rates.len().saturating_sub(HISTORY));
            ListenerRow { now: listener, rates }
        };
        self.listeners = now.listeners.into_iter().map(follow).collect();
        self.before = std::mem::replace(&mut self.counts, now.counts);
        self.elapsed = now.elapsed;
        self.span = span;
    }

    /// Takes an attempt: one that is known by then is replaced, another leads the feed.
    pub fn attempt(&mut self, attempt: &Attempt, settled: bool) {
        // An attempt that is listed now may not have been before: its cause has become known.
        self.unlisted.retain(|&(ordinal, _)| ordinal != attempt.ordinal);
        let row = FeedRow { attempt: attempt.clone(), settled };
        let known = self.feed.iter_mut().find(|known| known.attempt.ordinal == attempt.ordinal);
        if let Some(known) = known {
            *known = row;
            return;
        }
        if attempt.verdict.is_problem() || settled {
            self.feed.push_front(row);
            self.feed.truncate(MAX_ATTEMPTS);
        }
    }

    /// Counts an attempt that is not to be listed as long as it is not settled: then it is in the other counts.
    pub fn unlisted(&mut self, attempt: &Attempt, settled: bool) {
        self.unlisted.retain(|&(ordinal, _)| ordinal != attempt.ordinal);
        if !settled && attempt.verdict.is_problem() {
            self.unlisted.push_front((attempt.ordinal, attempt.server));
            self.unlisted.truncate(MAX_ATTEMPTS);
        }
    }

    /// Takes an episode as it begins, goes on or ends.
    pub fn episode(&mut self, report: &EpisodeReport) {
        if let Some(known) = self.place_of(report) {
            self.episodes.remove(known);
        }
        self.episodes.insert(0, report.clone());
        self.episodes.sort_by_key(|episode| {
            (episode.state == EpisodeState::Ended, std::cmp::Reverse(episode.episode.from))
        });
        self.episodes.truncate(MAX_EPISODES);
    }

    /// Takes the figures of an open episode between its reports.
    pub fn episode_now(&mut self, now: &EpisodeReport) {
        let known = self.place_of(now);
        if let Some(known) = known.and_then(|place| self.episodes.get_mut(place)) {
            known.episode = now.episode.clone();
            known.drops = now.drops;
        }
    }

    /// The place of the episode that `later` reports again. One whose cause was not known is it only where none has this
    /// cause: the server may have that trouble besides.
    fn place_of(&self, later: &EpisodeReport) -> Option<usize> {
        let place = |cause| {
            let known = |known: &EpisodeReport| is_same(known, later) && known.episode.cause == cause;
            self.episodes.iter().position(known)
        };
        place(later.episode.cause).or_else(|| place(None))
    }

    /// Takes a message about the run itself.
    pub fn notice(&mut self, at: Timestamp, text: &str) {
        self.notice = Some((at, text.to_owned()));
    }

    /// Attempts to a server that are not settled yet, of the latest.
    #[must_use]
    pub fn unsettled_to(&self, server: Endpoint) -> u64 {
        self.unsettled().filter(|&of| of == server).count() as u64
    }

    /// The servers of the latest attempts that are not settled yet, listed or not.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = Endpoint> {
        let listed = self.feed.iter().filter(|row| !row.settled).map(|row| row.attempt.server);
        listed.chain(self.unlisted.iter().map(|&(_, server)| server))
    }

    /// The attempt at this position of the input, if it is still in the feed.
    #[must_use]
    pub fn attempt_at(&self, ordinal: u64) -> Option<&Attempt> {
        self.feed.iter().map(|row| &row.attempt).find(|attempt| attempt.ordinal == ordinal)
    }
}

/// True if `later` reports an episode of the same server that was not over.
fn is_same(known: &EpisodeReport, later: &EpisodeReport) -> bool {
    known.state != EpisodeState::Ended
        && later.state != EpisodeState::Begun
        && (known.server, known.scanner) == (later.server, later.scanner)
}

/// `grown` in this time, by the second.
pub(super) fn per_second(grown: u64, span: Duration) -> u64 {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    grown.saturating_mul(1_000).checked_div(millis).unwrap_or(0)
}
