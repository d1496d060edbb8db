//! Successive snapshots of the kernel's figures, and their growth per listener.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::stats::{KernelStats, SocketReplaced, overflowed};
use super::{Counter, Counters, ListenSocket, ListenerInterval, Netns, Snapshot};
use crate::packet::{Span, Timestamp};

/// Most remembered listeners that are gone, of those whose queue was in trouble.
///
/// Bounds a run of weeks on a machine whose programs listen on ever new ports.
const MAX_GONE: usize = 1024;

/// Time for which it is remembered when a listener was seen last: a server that restarts listens again within it.
const RESTART: Span = Span::from_secs(60);

/// Key of a listener: address, port and interface. Several sockets may share it (SO_REUSEPORT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct BoundAddress {
    local: SocketAddr,
    device: Option<u32>,
}

impl BoundAddress {
    const fn of(socket: &ListenSocket) -> Self {
        Self { local: socket.local, device: socket.device }
    }
}

/// Figures of the sockets on one [`BoundAddress`], over all snapshots.
#[derive(Debug, Clone)]
struct BoundHistory {
    /// The fullest of the sockets, when last seen.
    socket: ListenSocket,
    /// Number of sockets, when last seen.
    sockets: usize,
    /// Number of those sockets that were full, when last seen.
    sockets_full: usize,
    /// The most of them that one snapshot found full.
    sockets_full_max: usize,
    /// Growth of all their drop counts; `None` when the kernel gives none.
    drops: Option<u64>,
    /// True if a socket was closed while queues overflowed: its last drops are not known.
    lost: bool,
    recv_q_max: u32,
    /// Time from which on each snapshot found connections waiting.
    waiting_since: Option<Timestamp>,
    full_seen: bool,
    /// From the start of the first interval in which they certainly overflowed to the end of the last.
    overflowed_within: Option<(Timestamp, Timestamp)>,
    replaced: Option<SocketReplaced>,
    /// Cookies of the sockets, when last seen, and at the snapshot before that.
    cookies: [Vec<u64>; 2],
    /// Number of the last snapshot that had it, and its time.
    seen: u64,
    seen_at: Timestamp,
}

impl BoundHistory {
    fn in_trouble(&self) -> bool {
        self.full_seen || self.drops.is_some_and(|drops| drops > 0)
    }

    /// Notes a snapshot that has it, all of whose sockets have been recorded.
    fn seen_at(&mut self, at: Timestamp) {
        let [latest, before] = &self.cookies;
        if !before.is_empty() && !before.iter().any(|cookie| latest.contains(cookie)) {
            self.replaced = Some(SocketReplaced { from: self.seen_at, until: at });
        }
        self.seen_at = at;
    }
}

/// Follows the kernel's figures from snapshot to snapshot, in bounded memory.
#[derive(Debug, Clone)]
pub struct Watch {
    started: Timestamp,
    start: Counters,
    latest: Snapshot,
    /// Growth between the last two snapshots: of counters, and of drops by socket cookie.
    interval: Option<Interval>,
    histories: HashMap<BoundAddress, BoundHistory>,
    /// Listeners that are gone without trouble, each with the time when it was seen last.
    gone: HashMap<BoundAddress, Timestamp>,
    /// The listeners that certainly overflowed between the last two snapshots.
    overflowing: Vec<SocketAddr>,
    samples: u64,
}

/// Difference of the last two snapshots.
#[derive(Debug, Clone)]
pub struct Interval {
    from: Timestamp,
    /// The time between them.
    pub span: Span,
    /// Growth of the namespace's counters.
    pub counters: Counters,
    drops: HashMap<u64, u32>,
    /// Addresses where a socket was closed: its last drops are not known.
    lost: HashSet<BoundAddress>,
}

impl Interval {
    /// Packets that `socket` dropped between the two snapshots; `None` when the kernel does not count.
    #[must_use]
    pub fn drops(&self, socket: &ListenSocket) -> Option<u32> {
        self.drops.get(&socket.cookie).copied()
    }
}

impl Watch {
    /// Starts from a first snapshot: what its sockets dropped before does not count.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        let mut watch = Self {
            started: first.at,
            start: first.counters,
            latest: first,
            interval: None,
            histories: HashMap::new(),
            gone: HashMap::new(),
            overflowing: Vec::new(),
            samples: 1,
        };
        watch.record(&HashMap::new(), true);
        watch
    }

    /// Adds a later snapshot.
    pub fn push(&mut self, sample: Snapshot) {
        let before: HashMap<u64, u32> =
            self.latest.sockets.iter().filter_map(|socket| Some((socket.cookie, socket.drops?))).collect();
        let earlier = std::mem::replace(&mut self.latest, sample);
        self.samples += 1;
        // A socket that is new has counted from 0 since the snapshot before.
        let drops = self.latest.sockets.iter().filter_map(|socket| {
            let counted = before.get(&socket.cookie).copied().unwrap_or(0);
            Some((socket.cookie, socket.drops?.wrapping_sub(counted)))
        });
        let drops: HashMap<u64, u32> = drops.collect();
        let counters = self.latest.counters.delta(&earlier.counters);
        let gone = earlier.sockets.iter().filter(|socket| !drops.contains_key(&socket.cookie));
        let lost: HashSet<BoundAddress> = gone.map(BoundAddress::of).collect();
        self.record(&drops, false);
        if counters.get(Counter::ListenOverflows) != Some(0) {
            for bound in &lost {
                self.histories.entry(*bound).and_modify(|history| history.lost = true);
            }
        }
        self.interval = Some(Interval {
            from: earlier.at,
            span: self.latest.at.since(earlier.at),
            counters,
            drops,
            lost,
        });
        self.overflowing = self.find_overflowing();
        for history in self.histories.values_mut() {
            if self.overflowing.contains(&history.socket.local) {
                let from = history.overflowed_within.map_or(earlier.at, |(from, _)| from);
                history.overflowed_within = Some((from, self.latest.at));
            }
        }
        self.forget();
    }

    /// Ends it, with the namespace: no socket listens any more, and what they dropped since the latest snapshot is not known.
    pub(super) fn end(&mut self) {
        self.samples += 1;
        self.latest.sockets.clear();
        self.interval = None;
        self.overflowing.clear();
        self.histories.values_mut().for_each(|history| history.lost = true);
    }

    /// Joins the latest snapshot to the histories; `drops` is the growth by cookie.
    fn record(&mut self, drops: &HashMap<u64, u32>, first: bool) {
        for socket in &self.latest.sockets {
            let grown = match socket.drops {
                Some(_) if first => Some(0),
                Some(_) => Some(drops.get(&socket.cookie).copied().map_or(0, u64::from)),
                None => None,
            };
            let bound = BoundAddress::of(socket);
            let last_seen = self.gone.remove(&bound);
            let last_seen = last_seen.filter(|&from| self.latest.at.since(from) <= RESTART);
            let history = self.histories.entry(bound).or_insert_with(|| BoundHistory {
                socket: socket.clone(),
                sockets: 0,
                sockets_full: 0,
                sockets_full_max: 0,
                drops: Some(0),
                lost: false,
                recv_q_max: 0,
                waiting_since: None,
                full_seen: false,
                overflowed_within: None,
                replaced: last_seen.map(|from| SocketReplaced { from, until: self.latest.at }),
                cookies: [Vec::new(), Vec::new()],
                seen: 0,
                seen_at: self.latest.at,
            });
            if history.seen != self.samples {
                history.seen = self.samples;
                history.cookies.swap(0, 1);
                history.cookies[0].clear();
                history.sockets = 0;
                history.sockets_full = 0;
                history.socket = socket.clone();
            } else if socket.fill() > history.socket.fill() {
                history.socket = socket.clone();
            }
            history.cookies[0].push(socket.cookie);
            history.sockets += 1;
            history.sockets_full += usize::from(socket.is_full());
            history.sockets_full_max = history.sockets_full_max.max(history.sockets_full);
            history.drops = history.drops.zip(grown).map(|(sum, more)| sum.saturating_add(more));
            history.recv_q_max = history.recv_q_max.max(socket.recv_q);
            history.full_seen |= socket.is_full();
        }
        for history in self.histories.values_mut() {
            if history.seen == self.samples {
                history.seen_at(self.latest.at);
            }
            let waits = history.seen == self.samples && history.socket.recv_q > 0;
            let since = history.waiting_since.unwrap_or(self.latest.at);
            history.waiting_since = waits.then_some(since);
        }
    }

    /// Drops the histories of listeners that are gone, but for the latest [`MAX_GONE`] that had trouble.
    fn forget(&mut self) {
        let now = self.samples;
        for (bound, history) in
            self.histories.extract_if(|_, history| history.seen != now && !history.in_trouble())
        {
            self.gone.insert(bound, history.seen_at);
        }
        self.gone.retain(|_, seen_at| self.latest.at.since(*seen_at) <= RESTART);
        if self.gone.len() > MAX_GONE {
            self.gone.clear();
        }
        let mut gone: Vec<u64> =
            self.histories.values().map(|history| history.seen).filter(|&seen| seen != now).collect();
        if gone.len() > MAX_GONE {
            gone.sort_unstable_by(|a, b| b.cmp(a));
            let oldest = gone.get(MAX_GONE).copied().unwrap_or(0);
            self.histories.retain(|_, history| history.seen > oldest);
        }
    }

    /// The latest snapshot.
    #[must_use]
    pub const fn latest(&self) -> &Snapshot {
        &self.latest
    }

    /// Difference of the last two snapshots; `None` after the first.
    #[must_use]
    pub const fn interval(&self) -> Option<&Interval> {
        self.interval.as_ref()
    }

    /// Packets that all listeners dropped since the first snapshot, of those that are remembered.
    #[must_use]
    pub fn drops(&self) -> u64 {
        self.histories.values().filter_map(|history| history.drops).sum()
    }

    /// Growth of the namespace's counters since the first snapshot.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.latest.counters.delta(&self.start)
    }

    /// Figures of the listener on `server` between the last two snapshots; see [`WatchedListener::interval`].
    #[must_use]
    pub fn listener_interval(&self, server: SocketAddr) -> Option<ListenerInterval> {
        self.listener(server)?.interval()
    }

    /// True if the listener on `server` overflowed between the last two snapshots.
    fn overflowed_lately(&self, server: SocketAddr) -> Option<bool> {
        self.listener_interval(server)?.overflowed
    }

    /// The listeners whose queues certainly overflowed between the last two snapshots, whoever connected to them.
    #[must_use]
    pub fn overflowing(&self) -> &[SocketAddr] {
        &self.overflowing
    }

    fn find_overflowing(&self) -> Vec<SocketAddr> {
        let Some(interval) = &self.interval else { return Vec::new() };
        if interval.counters.get(Counter::ListenOverflows).unwrap_or(0) == 0 {
            return Vec::new();
        }
        let dropped = |socket: &&ListenSocket| interval.drops(socket).is_some_and(|drops| drops > 0);
        let mut listeners: Vec<SocketAddr> =
            self.latest.sockets.iter().filter(dropped).map(|socket| socket.local).collect();
        listeners.sort_unstable();
        listeners.dedup();
        listeners.retain(|&local| self.overflowed_lately(local) == Some(true));
        listeners
    }

    /// The listener on `server`, an address that clients connect to.
    ///
    /// Ask only for servers that run here (`LocalAddresses::contains`): a socket on any address matches every server
    /// with its port. `None` when no socket listened there at any snapshot that is remembered: the server runs in
    /// another network namespace, or its listener came and went between two snapshots.
    #[must_use]
    pub fn listener(&self, server: SocketAddr) -> Option<WatchedListener<'_>> {
        let history = self.closest(server, |_| true)?;
        Some(WatchedListener { watch: self, server, history })
    }

    /// The history, of those for which `of` is true, whose socket matches `server` most closely.
    fn closest(&self, server: SocketAddr, of: impl Fn(&BoundHistory) -> bool) -> Option<&BoundHistory> {
        let histories = self.histories.values().filter(|history| of(history));
        let matching = histories.filter_map(|history| Some((history.socket.matches(server)?, history)));
        let closest =
            matching.max_by_key(|(closeness, history)| (*closeness, history.seen, history.recv_q_max))?;
        Some(closest.1)
    }

    /// Figures of the listener on `server` since the first snapshot; see [`Self::listener`].
    #[must_use]
    pub fn stats(&self, server: SocketAddr) -> Option<KernelStats> {
        self.listener(server).map(|listener| listener.stats())
    }
}

/// The listener of one server, found once in a [`Watch`] for all its figures.
#[derive(Debug, Clone, Copy)]
pub struct WatchedListener<'a> {
    watch: &'a Watch,
    server: SocketAddr,
    /// The closest one, which may be gone.
    history: &'a BoundHistory,
}

impl WatchedListener<'_> {
    /// The fullest of its sockets, at the latest snapshot that had it.
    #[must_use]
    pub const fn socket(&self) -> &ListenSocket {
        &self.history.socket
    }

    /// Time for which each snapshot found connections waiting in its fullest queue.
    #[must_use]
    pub fn waiting_for(&self) -> Span {
        self.history.waiting_since.map_or(Span::ZERO, |since| self.watch.latest.at.since(since))
    }

    /// The listener's figures since the first snapshot.
    #[must_use]
    pub fn stats(&self) -> KernelStats {
        let Self { watch, history, .. } = *self;
        let socket = &history.socket;
        let sysctls = watch.latest.sysctls;
        KernelStats {
            local: socket.local,
            published: None,
            sockets: history.sockets,
            sockets_full: history.sockets_full,
            sockets_full_max: history.sockets_full_max,
            listening: history.seen == watch.samples,
            span: watch.latest.at.since(watch.started),
            samples: watch.samples,
            recv_q: socket.recv_q,
            send_q: socket.send_q,
            longest_wait: None,
            recv_q_max: history.recv_q_max,
            full_seen: history.full_seen,
            overflowed_within: history.overflowed_within,
            replaced: history.replaced,
            drops: history.drops.filter(|&drops| !history.lost || drops > 0),
            limit_from: sysctls.somaxconn.and_then(|somaxconn| socket.limit_from(somaxconn)),
            somaxconn: sysctls.somaxconn,
            abort_on_overflow: sysctls.abort_on_overflow(),
            synack_retries: sysctls.tcp_synack_retries,
            syncookies: sysctls.tcp_syncookies.map(|value| value != 0),
            netns: Netns { own: true, ..Netns::default() },
            owner: None,
            namespace: watch.counters(),
        }
    }

    /// The address that it is bound to in the latest snapshot; where it is gone, that of the next closest listener.
    fn bound(&self) -> Option<SocketAddr> {
        let is_present = |history: &BoundHistory| history.seen == self.watch.samples;
        let present = if is_present(self.history) {
            Some(self.history)
        } else {
            self.watch.closest(self.server, is_present)
        };
        present.map(|history| history.socket.local)
    }

    /// The listener's figures since the first snapshot as one interval, for one whose socket was closed.
    #[must_use]
    pub fn whole(&self) -> ListenerInterval {
        let (stats, until) = (self.stats(), self.watch.latest.at);
        ListenerInterval {
            from: self.watch.started,
            until,
            drops: stats.drops,
            // Not kept over all the time.
            others_drops: None,
            // The socket is gone, and its queue with it.
            waiting: 0,
            full: stats.full_seen,
            overflowed: stats.overflowed(),
            counters: stats.namespace,
        }
    }

    /// The listener's figures between the last two snapshots.
    ///
    /// `None` after the first snapshot, and where no socket listens there any more.
    #[must_use]
    pub fn interval(&self) -> Option<ListenerInterval> {
        let watch = self.watch;
        let interval = watch.interval.as_ref()?;
        let bound = self.bound()?;
        let (own, others): (Vec<&ListenSocket>, Vec<&ListenSocket>) =
            watch.latest.sockets.iter().partition(|socket| socket.local == bound);
        let drops = |sockets: &[&ListenSocket]| {
            sockets.iter().map(|socket| interval.drops(socket).map(u64::from)).sum::<Option<u64>>()
        };
        // Drops of a closed socket would come on top.
        let whole = !interval.lost.iter().any(|lost| lost.local == bound);
        let own_drops = drops(&own).filter(|&drops| whole || drops > 0);
        let full = own.iter().any(|socket| socket.is_full());
        Some(ListenerInterval {
            from: interval.from,
            until: watch.latest.at,
            drops: own_drops,
            others_drops: drops(&others).filter(|_| interval.lost.iter().all(|lost| lost.local == bound)),
            waiting: own.iter().map(|socket| socket.recv_q).max().unwrap_or(0),
            full,
            overflowed: overflowed(&interval.counters, own_drops, full),
            counters: interval.counters,
        })
    }
}

/// Difference of two snapshots for one listener, around an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerDelta {
    /// Figures of the listener.
    pub stats: KernelStats,
    /// The same as an interval.
    pub interval: ListenerInterval,
}

impl ListenerDelta {
    /// The difference for the listener on `server`; `None` where no socket listens there at the end.
    #[must_use]
    pub fn between(first: Snapshot, last: Snapshot, server: SocketAddr) -> Option<Self> {
        let mut watch = Watch::new(first);
        watch.push(last);
        let listener = watch.listener(server)?;
        Some(Self { stats: listener.stats(), interval: listener.interval()? })
    }
}

#[cfg(test)]
mod tests;
