//! Reads the kernel's figures once a second and records them for the servers of this machine, in every network
//! namespace.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::dropped::{CapturedServers, DroppedEvents};
use super::uncaptured::UncapturedOverflows;
use crate::kernel::{
    Access, Helper, KernelError, KernelStats, ListenerInterval, Monitor, NetnsChoice, NetnsId, Owner, Owners,
    SegmentEvents, WatchedListener, WatchedNetns,
};
use crate::listener::Listeners;
use crate::packet::{Endpoint, Seeded, Span};
use crate::sandbox;
use crate::words::{count, number};

/// Shortest intervals between two searches for the owners of new sockets, each of which looks at the files of every process:
/// where one of these sockets is in trouble, and otherwise.
const LOOK_UP: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// A listener of this machine whose queue overflowed between the last two snapshots, or is still full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Overflow {
    pub(super) netns: NetnsId,
    pub(super) local: SocketAddr,
    pub(super) interval: ListenerInterval,
    /// False if its queue is still full, and nothing was dropped.
    pub(super) dropped: bool,
}

/// A listening socket of this machine, with the kernel's figures of the moment.
#[cfg(any(feature = "tui", feature = "metrics"))]
pub(super) struct QueueNow {
    #[cfg_attr(not(feature = "tui"), expect(dead_code, reason = "only the screen needs it"))]
    pub(super) netns: NetnsId,
    /// The address that clients connect to, where one was seen; else its own.
    pub(super) server: Endpoint,
    /// Without the wait in its queue.
    pub(super) stats: KernelStats,
}

/// Access to network namespaces that begin after privileges were given up.
pub(super) struct NetnsAccess {
    access: Access,
    /// A sentence on it, where such namespaces are of interest.
    note: Option<String>,
}

impl NetnsAccess {
    /// Starts the helper that keeps the privileges for it, where all namespaces are wanted and there are any to keep.
    pub(super) fn take(choice: &NetnsChoice) -> Self {
        let started = match choice {
            NetnsChoice::All if sandbox::may_enter_namespaces() => Helper::start(),
            NetnsChoice::All => {
                let note =
                    "network namespaces that begin later: no privilege to open them by (CAP_SYS_ADMIN)";
                return Self { access: Access::default(), note: Some(note.to_owned()) };
            }
            NetnsChoice::Own | NetnsChoice::Process(_) | NetnsChoice::Named(_) => {
                return Self { access: Access::default(), note: None };
            }
        };
        let (access, note) = match started {
            Ok(helper) => {
                let note = format!(
                    "network namespaces that begin later: opened by process {}, which keeps the privileges for it",
                    helper.pid()
                );
                (Access::by(helper), note)
            }
            Err(error) => {
                (Access::default(), format!("network namespaces that begin later: their helper {error}"))
            }
        };
        Self { access, note: Some(note) }
    }
}

/// The kernel's figures since the capture began. Nothing where the kernel cannot be read.
pub(super) struct KernelPoller {
    monitor: Option<Monitor>,
    /// Sentence on namespaces that begin later.
    later: Option<String>,
    failure: Option<KernelError>,
    /// The kernel's event of each dropped segment, or why there are none.
    events: Result<SegmentEvents, String>,
    dropped: DroppedEvents,
    /// Events that were lost, as last reported.
    lost: u64,
    owners: KnownOwners,
    waits: LongestWaits,
    /// The listeners of the servers that the packets show, by the addresses that their sockets are bound to.
    listeners: HashMap<Endpoint, (NetnsId, SocketAddr), Seeded>,
    uncaptured: UncapturedOverflows,
}

impl KernelPoller {
    /// Takes the first snapshots, while the program may still enter other namespaces.
    pub(super) fn new(choice: &NetnsChoice, netns: NetnsAccess, with_bpf: bool) -> Self {
        let (mut monitor, failure) = match Monitor::open(choice, netns.access) {
            Ok(monitor) => (Some(monitor), None),
            Err(error) => (None, Some(error)),
        };
        let mut owners = KnownOwners::default();
        if let Some(monitor) = &mut monitor {
            owners.update(monitor);
        }
        let events = if with_bpf {
            SegmentEvents::attach(None, false).map_err(|error| error.to_string())
        } else {
            Err("switched off".to_owned())
        };
        Self {
            monitor,
            later: netns.note,
            failure,
            events,
            owners,
            waits: LongestWaits::default(),
            listeners: HashMap::default(),
            dropped: DroppedEvents::default(),
            lost: 0,
            uncaptured: UncapturedOverflows::default(),
        }
    }

    /// A poller that reads nothing.
    pub(super) fn without_kernel() -> Self {
        Self {
            monitor: None,
            later: None,
            failure: None,
            events: Err(String::new()),
            dropped: DroppedEvents::default(),
            lost: 0,
            owners: KnownOwners::default(),
            waits: LongestWaits::default(),
            listeners: HashMap::default(),
            uncaptured: UncapturedOverflows::default(),
        }
    }

    /// Namespaces and figures that are read, and those that could not be, in sentences.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.monitor.as_ref().map(Monitor::notes).unwrap_or_default();
        notes.extend(self.later.clone());
        notes.push(match &self.events {
            Ok(_) => "the kernel's events of dropped segments (BPF): read".to_owned(),
            Err(reason) => format!("the kernel's events of dropped segments (BPF): not read: {reason}"),
        });
        notes
    }

    /// Takes snapshots and records them in `listeners`. Returns the error, once, when the kernel cannot be read any
    /// more.
    pub(super) fn poll(&mut self, listeners: &mut Listeners) -> Option<KernelError> {
        if let Some(monitor) = &mut self.monitor {
            if let Err(error) = monitor.sample() {
                self.monitor = None;
                return Some(error);
            }
            self.owners.update(monitor);
            self.waits.clear();
            let found = record(monitor, &self.owners.found, &mut self.waits, listeners);
            if let Ok(events) = &mut self.events {
                self.dropped.record(events.drain(), &found.places, listeners);
            }
            self.listeners = found.listeners;
            self.see_uncaptured();
        }
        self.failure.take()
    }

    /// Keeps the overflows of listeners that no captured client uses.
    fn see_uncaptured(&mut self) {
        self.uncaptured.see_used(self.listeners.values().copied());
        for overflow in self.overflows().into_iter().filter(|overflow| overflow.dropped) {
            let place = (overflow.netns, overflow.local);
            if self.uncaptured.is_used(place) {
                continue;
            }
            let server = self.server_of(overflow.netns, overflow.local);
            let Some(stats) = self.figures(overflow.netns, overflow.local) else { continue };
            self.uncaptured.add(place, server, stats, overflow.interval);
        }
    }

    /// Records the overflows of listeners that no captured client used, at the end of the run.
    pub(super) fn record_uncaptured(&mut self, listeners: &mut Listeners) {
        let uncaptured = std::mem::take(&mut self.uncaptured);
        uncaptured.record(listeners, |(netns, local)| self.figures(netns, local));
    }

    /// Namespaces that were found since the last call, and what cannot be read of them, in sentences.
    pub(super) fn news(&mut self) -> Vec<String> {
        self.monitor.as_mut().map(Monitor::news).unwrap_or_default()
    }

    /// Events of dropped segments that were lost since the last call, in a sentence; `None` if none were.
    pub(super) fn lost_events(&mut self) -> Option<String> {
        let lost = self.events.as_ref().map_or(0, SegmentEvents::lost);
        let more = lost.checked_sub(self.lost).filter(|&more| more > 0)?;
        self.lost = lost;
        Some(format!(
            "the kernel dropped segments faster than they could be read: {} lost, {} since the start; attempts that they \
             belong to are judged by counts and packets",
            count(more, "event"),
            number(lost)
        ))
    }

    /// The listeners whose queues overflowed between the last two snapshots, or are full.
    pub(super) fn overflows(&self) -> Vec<Overflow> {
        let namespaces = self.monitor.iter().flat_map(Monitor::namespaces);
        let troubled = namespaces.flat_map(|followed| {
            let full = followed.watch.latest().sockets.iter().filter(|socket| socket.is_full());
            let dropped = followed.watch.overflowing();
            let locals: HashSet<SocketAddr> =
                dropped.iter().copied().chain(full.map(|socket| socket.local)).collect();
            locals.into_iter().filter_map(|local| {
                let interval = followed.watch.listener_interval(local)?;
                Some(Overflow {
                    netns: followed.netns.id,
                    local,
                    interval,
                    dropped: dropped.contains(&local),
                })
            })
        });
        troubled.collect()
    }

    /// The listener that gets the packets to `server`: its namespace, and the address that its socket is bound to.
    pub(super) fn listener_of(&self, server: Endpoint) -> Option<(NetnsId, SocketAddr)> {
        self.listeners.get(&server).copied()
    }

    /// The server that clients of a listener were seen to address; the listener's own address, where none was.
    pub(super) fn server_of(&self, netns: NetnsId, local: SocketAddr) -> Endpoint {
        let servers = self.listeners.iter().filter(|&(_, &listener)| listener == (netns, local));
        let own = || {
            let followed = self.monitor.as_ref().and_then(|monitor| monitor.netns(netns));
            followed.map_or(local, |followed| followed.reachable(local)).into()
        };
        servers.map(|(&server, _)| server).min().unwrap_or_else(own)
    }

    /// Packets that a listener had dropped before the latest snapshot; `None` where the kernel does not count.
    pub(super) fn drops_before(&self, netns: NetnsId, local: SocketAddr) -> Option<u64> {
        let listener = self.monitor.as_ref()?.netns(netns)?.watch.listener(local)?;
        let since = listener.interval().and_then(|interval| interval.drops).unwrap_or(0);
        Some(listener.stats().drops?.saturating_sub(since))
    }

    /// Packets that a listener has dropped since the capture began.
    #[cfg(feature = "tui")]
    pub(super) fn drops_of(&self, netns: NetnsId, local: SocketAddr) -> Option<u64> {
        self.monitor.as_ref()?.netns(netns)?.watch.listener(local)?.stats().drops
    }

    /// The listeners of all namespaces with the servers that the packets show, if any; only so many, the fullest first.
    #[cfg(any(feature = "tui", feature = "metrics"))]
    pub(super) fn queues(&self, most: usize) -> Vec<QueueNow> {
        let mut servers: HashMap<(NetnsId, SocketAddr), Endpoint> = HashMap::new();
        for (&server, &listener) in &self.listeners {
            let known = servers.entry(listener).or_insert(server);
            *known = (*known).min(server);
        }
        let namespaces = self.monitor.iter().flat_map(Monitor::namespaces);
        let mut sockets: Vec<_> = namespaces
            .flat_map(|followed| followed.watch.latest().sockets.iter().map(move |socket| (followed, socket)))
            .collect();
        sockets.sort_by(|(_, a), (_, b)| {
            b.fill()
                .total_cmp(&a.fill())
                .then_with(|| b.drops.cmp(&a.drops))
                .then_with(|| a.local.cmp(&b.local))
        });
        let mut seen = HashSet::new();
        let first =
            sockets.into_iter().filter(|(followed, socket)| seen.insert((followed.netns.id, socket.local)));
        let figures = first.take(most).filter_map(|(followed, socket)| {
            let stats = followed.stats(followed.watch.listener(socket.local)?, &self.owners.found);
            let (netns, local) = (followed.netns.id, socket.local);
            let server = servers.get(&(netns, local)).copied().unwrap_or_else(|| local.into());
            Some(QueueNow { netns, server, stats })
        });
        figures.collect()
    }

    /// The latest figures of a listener.
    pub(super) fn figures(&mut self, netns: NetnsId, local: SocketAddr) -> Option<KernelStats> {
        let monitor = self.monitor.as_ref()?;
        let followed = monitor.netns(netns)?;
        let listener = followed.watch.listener(local)?;
        let published = monitor.published(followed.reachable(local));
        let stats = figures(followed, listener, &self.owners.found, &mut self.waits);
        Some(KernelStats { published, ..stats })
    }

    /// The fullest queue of all namespaces: connections that wait, and how many may; nothing where all are empty.
    pub(super) fn worst_queue(&self) -> Option<(u32, Option<u32>)> {
        let namespaces = self.monitor.iter().flat_map(Monitor::namespaces);
        let sockets = namespaces.flat_map(|followed| &followed.watch.latest().sockets);
        let waiting = sockets.filter(|socket| socket.recv_q > 0);
        let worst = waiting.max_by(|one, other| one.fill().total_cmp(&other.fill()))?;
        Some((worst.recv_q, worst.send_q))
    }

    /// Packets that the listeners of all namespaces dropped since the capture began.
    pub(super) fn drops(&self) -> u64 {
        let namespaces = self.monitor.iter().flat_map(Monitor::namespaces);
        namespaces.map(|followed| followed.watch.drops()).sum()
    }
}

/// Most sockets that are gone whose owners are remembered, for the report at the end.
const MAX_GONE_OWNERS: usize = 8192;

/// Owners of the sockets seen so far: looked up once each, while that is still permitted.
#[derive(Default)]
struct KnownOwners {
    found: Owners,
    looked_up: HashSet<u64>,
    last: Option<Instant>,
}

impl KnownOwners {
    fn update(&mut self, monitor: &mut Monitor) {
        let (in_trouble, otherwise) = LOOK_UP;
        let elapsed = self.last.map_or(Duration::MAX, |last| last.elapsed());
        if elapsed < in_trouble {
            return;
        }
        let namespaces = monitor.namespaces().iter();
        let sockets = namespaces.flat_map(|followed| {
            followed.watch.latest().sockets.iter().map(move |socket| (&followed.watch, socket))
        });
        let (mut inodes, mut new, mut troubled) = (HashSet::new(), Vec::new(), false);
        for (watch, socket) in sockets {
            inodes.insert(socket.inode);
            if !self.looked_up.contains(&socket.inode) {
                new.push(socket.inode);
                troubled |= socket.is_full() || watch.overflowing().contains(&socket.local);
            }
        }
        if new.is_empty() || !troubled && elapsed < otherwise {
            return;
        }
        self.found.extend(monitor.owners(&new));
        if self.found.len() > inodes.len() + MAX_GONE_OWNERS {
            self.found.retain(|inode| inodes.contains(&inode));
        }
        self.last = Some(Instant::now());
        self.looked_up = inodes;
    }
}

/// Longest waits in the accept queues of a port, by namespace, each looked up once after a snapshot.
type LongestWaits = HashMap<(NetnsId, u16), Option<Span>>;

/// Figures of a listener, with the longest wait in its queues while one of them is full or seems stuck.
fn figures(
    followed: &WatchedNetns,
    listener: WatchedListener<'_>,
    owners: &Owners,
    waits: &mut LongestWaits,
) -> KernelStats {
    let mut stats = followed.stats(listener, owners);
    // The kernel walks all connections for it: only while the answer matters.
    if stats.sockets_full > 0 || listener.waiting_for() >= KernelStats::STUCK {
        let port = stats.local.port();
        let wait = waits.entry((followed.netns.id, port)).or_insert_with(|| followed.longest_wait(port));
        stats.longest_wait = *wait;
        // Whoever stopped it did so after its socket was looked up.
        stats.owner.iter_mut().for_each(Owner::update_state);
    }
    stats
}

/// The listeners of the servers that the packets show.
#[derive(Default)]
struct KernelListeners {
    places: CapturedServers,
    listeners: HashMap<Endpoint, (NetnsId, SocketAddr), Seeded>,
}

/// Records the figures of every server whose listener is in one of the namespaces.
fn record(
    monitor: &Monitor,
    owners: &Owners,
    waits: &mut LongestWaits,
    listeners: &mut Listeners,
) -> KernelListeners {
    let mut found = KernelListeners::default();
    let own = monitor.namespaces().iter().find(|followed| followed.netns.own);
    found.places.own_netns = own.and_then(inode);
    let servers: Vec<_> = listeners.servers().collect();
    for server in servers {
        let address = SocketAddr::new(server.ip(), server.port());
        let Some((followed, local, listener)) = monitor.find(address) else { continue };
        found.places.insert(inode(followed), local, server);
        found.listeners.insert(server, (followed.netns.id, listener.socket().local));
        let published = monitor.published(local).filter(|&published| published != address);
        let stats = KernelStats { published, ..figures(followed, listener, owners, waits) };
        match listener.interval() {
            Some(interval) => listeners.record_kernel(server, stats, interval),
            None => listeners.record_closed(server, stats, listener.whole()),
        }
    }
    found
}

/// The inode of a namespace, as events have it; `None` where it may not be read.
fn inode(followed: &WatchedNetns) -> Option<u32> {
    followed.netns.inode.and_then(|inode| u32::try_from(inode).ok())
}
