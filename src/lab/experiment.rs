//! One experiment: a namespace with a path, a listener and clients in it, and what the kernel counted.
//!
//! Owns the order in which the parts are set up and taken down. Does not own what is tried
//! (`scenario`) nor what the packets mean (`handshake`).

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::Socket;

use super::events::{DropEvents, EventCounter};
use super::listener::{AcceptPolicy, LabListener};
use super::namespace::{Namespace, NamespaceError};
use super::network::{Network, NetworkError};
use super::path::{LabPath, PathAddresses, PathFault, PathRecord, PathSetup, TreatedSegment};
use super::tun::{Tun, TunError};
use crate::capture::Recording;
use crate::kernel::{Counters, KernelError, ListenSocket, ListenerDelta, Snapshot, Sysctls, listen_sockets};
use crate::race::{Call, ConnectPlan, Probe, WaitMode, connect};

/// The listener's port.
pub const PORT: u16 = 7777;
/// Packets that the TUN device may queue before it drops: far more than one burst of 1,000 clients.
const QUEUE: u32 = 20_000;
/// Stack of a client's thread: it makes a handful of system calls.
const STACK: usize = 64 * 1024;
/// Longest time until the path is at rest: some of the longest round trips.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// Interval between two looks at a condition: at first, and in the long run.
const POLL_INTERVALS: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(20));

/// Making an experiment failed. The kernel's behaviour is never an error.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// No namespace, or no setting in it.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// No TUN device.
    #[error(transparent)]
    Tun(#[from] TunError),
    /// No address or route.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The kernel's queues cannot be read.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A socket or thread failed.
    #[error("{what}: {source}")]
    Io {
        /// The failed step.
        what: &'static str,
        /// The error of the system call.
        source: io::Error,
    },
    /// The experiment did not get where it must be before it can begin.
    #[error("{0}")]
    Stuck(String),
}

/// Adds what was being done to an I/O error.
pub(super) fn doing(what: &'static str) -> impl Fn(io::Error) -> LabError {
    move |source| LabError::Io { what, source }
}

/// The namespace's settings and the listener's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// IPv6 instead of IPv4.
    pub v6: bool,
    /// The backlog given to `listen()`.
    pub backlog: u32,
    /// `net.core.somaxconn`; the kernel's default where `None`.
    pub somaxconn: Option<u32>,
    /// `net.ipv4.tcp_abort_on_overflow`.
    pub abort: bool,
    /// `net.ipv4.tcp_syncookies`: 0, 1 or 2.
    pub syncookies: u8,
    /// `net.ipv4.tcp_synack_retries`; the kernel's default where `None`.
    pub synack_retries: Option<u8>,
    /// `net.ipv4.tcp_syn_retries`; the kernel's default where `None`.
    pub syn_retries: Option<u8>,
    /// Seconds of TCP_DEFER_ACCEPT.
    pub defer_accept: Option<u32>,
    /// The path's round trip.
    pub round_trip: Duration,
    /// Segments that the path loses, delays or doubles.
    pub faults: Vec<PathFault>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            v6: false,
            backlog: 16,
            somaxconn: None,
            abort: false,
            // Without cookies a full SYN queue drops, so that what overflows is known beforehand.
            syncookies: 0,
            synack_retries: None,
            syn_retries: None,
            defer_accept: None,
            round_trip: Duration::from_millis(2),
            faults: Vec::new(),
        }
    }
}

/// Clients that start together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabClients {
    /// Number of clients.
    pub count: usize,
    /// Blocking or not.
    pub mode: WaitMode,
    /// Time-out of `connect()`.
    pub timeout: Duration,
    /// Bytes each sends once connected.
    pub send: usize,
    /// Time each watches its connection.
    pub watch: Duration,
    /// Operation with which each ends.
    pub probe: Probe,
}

/// Clients under way.
#[derive(Debug)]
pub struct Running(Vec<JoinHandle<io::Result<(Call, Socket)>>>);

/// Result of an experiment: the packets and the kernel's counts.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Packets at the client's end.
    pub client: Recording,
    /// Packets at the server's end.
    pub server: Recording,
    /// Packets that the path lost on purpose.
    pub lost: u64,
    /// Segments that the path lost, delayed or doubled.
    pub treated: Vec<TreatedSegment>,
    /// The longest time that a packet took from end to end.
    pub slowest: Duration,
    /// Growth of the namespace's counters.
    pub counters: Counters,
    /// Kernel figures of the listener.
    pub delta: Option<ListenerDelta>,
    /// The kernel's events of dropped segments.
    pub events: DropEvents,
    /// The namespace's settings.
    pub sysctls: Sysctls,
}

/// A running experiment, inside its namespace's thread.
#[derive(Debug)]
pub struct Experiment {
    // In order of destruction: clients before the path.
    kept: Vec<Socket>,
    listener: LabListener,
    path: LabPath,
    first: Snapshot,
    events: EventCounter,
    ends: PathAddresses,
    /// Keeps the experiment on its thread.
    _namespace: Namespace,
}

impl Setup {
    /// Runs `body` in a fresh namespace and takes everything down again.
    ///
    /// # Errors
    ///
    /// [`LabError`], from setting up or from `body`.
    pub fn run<T: Send>(
        &self,
        body: impl FnOnce(&mut Experiment) -> Result<T, LabError> + Send,
    ) -> Result<(T, Trace), LabError> {
        std::thread::scope(|scope| {
            let inside =
                std::thread::Builder::new().name("experiment".to_owned()).spawn_scoped(scope, || {
                    let mut experiment = self.set_up()?;
                    let result = body(&mut experiment)?;
                    Ok((result, experiment.finish()?))
                });
            match inside.map_err(doing("start a thread"))?.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn set_up(&self) -> Result<Experiment, LabError> {
        let namespace = Namespace::enter()?;
        self.set_sysctls(&namespace)?;
        let ends = if self.v6 { PathAddresses::V6 } else { PathAddresses::V4 };
        let tun = Tun::create()?;
        // Otherwise the interface greets the path with router solicitations and listener reports.
        namespace.set_sysctl(&format!("net.ipv6.conf.{}.addr_gen_mode", tun.name()), "1")?;
        let mut network = Network::open()?;
        let loopback = network.index("lo")?;
        network.up(loopback, None)?;
        let device = network.index(tun.name())?;
        network.add_address(device, ends.near)?;
        network.up(device, Some(QUEUE))?;
        network.add_route(device, ends.far)?;

        let path = PathSetup { round_trip: self.round_trip, faults: self.faults.clone(), server_port: PORT };
        let path = LabPath::open(tun, path).map_err(doing("open the path"))?;
        let address = SocketAddr::new(ends.near, PORT);
        let listener =
            LabListener::open(address, self.backlog, self.defer_accept).map_err(doing("listen"))?;
        let events = EventCounter::start(namespace.inode());
        let first = Snapshot::take()?;
        Ok(Experiment { kept: Vec::new(), listener, path, first, events, ends, _namespace: namespace })
    }

    fn set_sysctls(&self, namespace: &Namespace) -> Result<(), LabError> {
        let set = |name, value: Option<String>| match value {
            Some(value) => namespace.set_sysctl(name, &value),
            None => Ok(()),
        };
        set("net.core.somaxconn", self.somaxconn.map(|n| n.to_string()))?;
        set("net.ipv4.tcp_abort_on_overflow", Some(u8::from(self.abort).to_string()))?;
        set("net.ipv4.tcp_syncookies", Some(self.syncookies.to_string()))?;
        set("net.ipv4.tcp_synack_retries", self.synack_retries.map(|n| n.to_string()))?;
        set("net.ipv4.tcp_syn_retries", self.syn_retries.map(|n| n.to_string()))?;
        // Each connection stands for itself: no round trip or window learnt from the one before.
        set("net.ipv4.tcp_no_metrics_save", Some("1".to_owned()))?;
        Ok(())
    }
}

impl Experiment {
    /// The path, for its gates.
    #[must_use]
    pub const fn path(&self) -> &LabPath {
        &self.path
    }

    /// The addresses of the path's ends.
    pub(super) const fn ends(&self) -> PathAddresses {
        self.ends
    }

    /// Keeps a client open until the experiment ends, so that no FIN of its is in the capture.
    pub(super) fn keep(&mut self, client: Socket) {
        self.kept.push(client);
    }

    /// The listening end.
    pub const fn listener(&mut self) -> &mut LabListener {
        &mut self.listener
    }

    /// Opens another listener on the same address, with the same backlog.
    ///
    /// # Errors
    ///
    /// The error of the system call.
    pub fn open_listener(&self, backlog: u32) -> Result<LabListener, LabError> {
        let address = SocketAddr::new(self.ends.near, PORT);
        LabListener::open(address, backlog, None).map_err(doing("listen"))
    }

    /// Puts another listener in the place of this one, which it returns; dropping that closes it.
    pub const fn replace_listener(&mut self, listener: LabListener) -> LabListener {
        std::mem::replace(&mut self.listener, listener)
    }

    /// Closes the listener; nothing listens until [`Self::replace_listener`].
    ///
    /// # Errors
    ///
    /// The error of the system call.
    pub fn close_listener(&mut self) -> Result<(), LabError> {
        let unbound = LabListener::unbound(self.ends.near).map_err(doing("open a socket"))?;
        drop(self.replace_listener(unbound));
        Ok(())
    }

    /// The listening socket with this inode, as the kernel describes it.
    ///
    /// # Errors
    ///
    /// Netlink failed, or the socket is not there.
    pub fn queue_of(&self, inode: u64) -> Result<ListenSocket, LabError> {
        listen_sockets()?
            .into_iter()
            .find(|socket| socket.inode == inode)
            .ok_or_else(|| LabError::Stuck(format!("the kernel shows no listener with inode {inode}")))
    }

    /// Growth of the counters since the experiment began.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn counters(&self) -> Result<Counters, LabError> {
        Ok(Counters::read()?.delta(&self.first.counters))
    }

    /// The listener as the kernel describes it.
    ///
    /// # Errors
    ///
    /// Netlink failed, or the listener is not there.
    pub fn queue(&self) -> Result<ListenSocket, LabError> {
        listen_sockets()?
            .into_iter()
            .find(|socket| socket.local.port() == PORT)
            .ok_or_else(|| LabError::Stuck(format!("the kernel shows no listener on port {PORT}")))
    }

    /// Number of requests in SYN_RECV.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn requests(&self) -> Result<usize, LabError> {
        self.in_state("03")
    }

    /// Number of ESTABLISHED sockets, both ends of a connection counted.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn established(&self) -> Result<usize, LabError> {
        self.in_state("01")
    }

    /// Number of sockets in a state, in hexadecimal as in `net/tcp_states.h`.
    fn in_state(&self, state: &str) -> Result<usize, LabError> {
        let path =
            if self.ends.near.is_ipv4() { "/proc/thread-self/net/tcp" } else { "/proc/thread-self/net/tcp6" };
        let table = fs::read_to_string(path).map_err(doing("read the connection table"))?;
        Ok(table.lines().filter(|line| line.split_ascii_whitespace().nth(3) == Some(state)).count())
    }

    /// Waits until `done` returns true.
    ///
    /// # Errors
    ///
    /// `done` failed, or `limit` passed without it.
    pub fn wait(
        &self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&Self) -> Result<bool, LabError>,
    ) -> Result<(), LabError> {
        let start = Instant::now();
        while !done(self)? {
            if start.elapsed() > limit {
                return Err(LabError::Stuck(format!("waited {} s in vain until {what}", limit.as_secs())));
            }
            std::thread::sleep((start.elapsed() / 16).clamp(POLL_INTERVALS.0, POLL_INTERVALS.1));
        }
        Ok(())
    }

    /// Fills the accept queue to `count` connections and waits until they are there.
    ///
    /// # Errors
    ///
    /// A connection failed, or the queue did not get there.
    pub fn fill(&mut self, count: u32) -> Result<Vec<Call>, LabError> {
        let clients = LabClients {
            count: count as usize,
            mode: WaitMode::Blocking,
            timeout: Duration::from_secs(10),
            send: 0,
            watch: Duration::ZERO,
            probe: Probe::SoError,
        };
        let before = self.queue()?.recv_q;
        let running = self.start(clients)?;
        let calls = self.collect(running)?;
        if let Some(errno) = calls.iter().find_map(|call| call.result.err()) {
            return Err(LabError::Stuck(format!("cannot fill the accept queue: connect() says {errno}")));
        }
        self.wait("the accept queue is full", Duration::from_secs(5), |e| {
            Ok(e.queue()?.recv_q == before + count)
        })?;
        Ok(calls)
    }

    /// Starts clients, one thread each, without regard to one another.
    ///
    /// # Errors
    ///
    /// Threads ran out.
    pub fn start(&self, clients: LabClients) -> Result<Running, LabError> {
        let plan = ConnectPlan {
            target: SocketAddr::new(self.ends.far, PORT),
            source: SocketAddr::new(self.ends.near, 0),
            mode: clients.mode,
            timeout: clients.timeout,
            send: clients.send,
            watch: clients.watch,
            probe: clients.probe,
        };
        let thread = |_| {
            std::thread::Builder::new()
                .name("client".to_owned())
                .stack_size(STACK)
                .spawn(move || connect(&plan))
        };
        (0..clients.count).map(thread).collect::<Result<_, _>>().map(Running).map_err(doing("start a client"))
    }

    /// Starts clients whose SYNs all reach the server before the first of their ACKs.
    ///
    /// # Errors
    ///
    /// Threads ran out, or the path failed.
    pub fn start_together(&self, clients: LabClients) -> Result<Running, LabError> {
        self.path.gather_syns(clients.count).map_err(doing("hold SYNs back"))?;
        self.start(clients)
    }

    /// Starts clients whose SYN-ACKs the path holds until [`LabPath::release`].
    ///
    /// # Errors
    ///
    /// Threads ran out, or the path failed.
    pub fn start_held(&self, clients: LabClients) -> Result<Running, LabError> {
        self.path.hold_answers(clients.count).map_err(doing("hold SYN-ACKs back"))?;
        self.start(clients)
    }

    /// Waits for clients. Their sockets stay open until the experiment ends, so that no FIN of theirs
    /// is in the capture.
    ///
    /// # Errors
    ///
    /// A client could not get a socket.
    pub fn collect(&mut self, running: Running) -> Result<Vec<Call>, LabError> {
        let mut calls = Vec::with_capacity(running.0.len());
        for thread in running.0 {
            let ended =
                thread.join().unwrap_or_else(|_| Err(io::Error::other("the client's thread is gone")));
            let (call, socket) = ended.map_err(doing("connect"))?;
            self.kept.push(socket);
            calls.push(call);
        }
        Ok(calls)
    }

    /// Starts accepting.
    ///
    /// # Errors
    ///
    /// Threads ran out.
    pub fn serve(&mut self, policy: AcceptPolicy) -> Result<(), LabError> {
        self.listener.serve(policy).map_err(doing("accept"))
    }

    /// The counters at a moment when each packet that they count is recorded, and no other: timers of many
    /// clients fire together, and the path takes a while to read what they sent.
    fn settled_counters(&self) -> Result<Counters, LabError> {
        let start = Instant::now();
        loop {
            let counters = self.counters()?;
            self.path.settle(SETTLE_LIMIT).map_err(doing("carry packets"))?;
            if self.counters()? == counters || start.elapsed() > SETTLE_LIMIT {
                return Ok(counters);
            }
        }
    }

    fn finish(mut self) -> Result<Trace, LabError> {
        self.listener.settle().map_err(doing("accept"))?;
        let counters = self.settled_counters()?;
        let server = SocketAddr::new(self.ends.near, PORT);
        let delta = ListenerDelta::between(self.first, Snapshot::take()?, server);
        let PathRecord { client, server, lost, treated, slowest } =
            self.path.close().map_err(doing("carry packets"))?;
        let events = self.events.finish();
        let sysctls = Sysctls::read();
        Ok(Trace { client, server, lost, treated, slowest, counters, delta, events, sysctls })
    }
}

/// The name of an outcome: `ok`, or the errno's.
#[must_use]
pub(super) fn result_name(result: Result<(), Errno>) -> String {
    match result {
        Ok(()) => "success".to_owned(),
        Err(errno) => format!("{errno:?}"),
    }
}
