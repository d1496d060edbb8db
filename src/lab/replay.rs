//! The arrivals of a capture, replayed against a real listener.
//!
//! Owns the clients that start at given times and what came of them. Does not own the prediction that this checks
//! (`listener::size`).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

use super::experiment::{Experiment, LabError, PORT, Setup, Trace, doing};
use super::listener::{AcceptPolicy, LabListener};
use crate::handshake::Verdict;
use crate::kernel::Counter;
use crate::race::Packets;

/// Time between two looks at the clients that are still connecting.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Time after the last client has connected in which a SYN-ACK retransmission shows that its ACK met a full queue.
const LAST_ACK: Duration = Duration::from_millis(1_300);

/// Description of a replay: start times of the clients, the listener, and the path between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Start times of the clients, in order, counted from the first.
    pub starts: Vec<Duration>,
    /// Backlog of the listener.
    pub backlog: u32,
    /// Each worker of the first socket.
    pub accept: AcceptPolicy,
    /// Workers that accept from each socket.
    pub workers: usize,
    /// Sockets on the port (SO_REUSEPORT), with the same backlog; at least one.
    pub sockets: usize,
    /// Each worker of the sockets after the first.
    pub others: AcceptPolicy,
    /// The path's round trip.
    pub round_trip: Duration,
    /// `net.ipv4.tcp_abort_on_overflow`.
    pub abort: bool,
    /// `net.ipv4.tcp_syncookies`.
    pub syncookies: bool,
    /// Time after the last start for which clients may take to connect.
    pub connect_timeout: Duration,
}

/// Result of a replay.
#[derive(Debug)]
pub struct ReplayOutcome {
    /// ListenOverflows of the namespace.
    pub overflows: u64,
    /// Clients that connected by a retry of theirs or of the server's.
    pub late: u64,
    /// Clients that did not connect, or whose connection the server never took.
    pub lost: u64,
    /// The longest delay of a start beyond its time.
    pub behind: Duration,
    /// The packets and counters.
    pub trace: Trace,
}

/// Clients that were started.
struct Started {
    connecting: Vec<Socket>,
    behind: Duration,
}

impl Replay {
    /// Runs it in a namespace of its own.
    ///
    /// # Errors
    ///
    /// The lab could not be set up.
    pub fn run(&self) -> Result<ReplayOutcome, LabError> {
        let setup = Setup {
            backlog: self.backlog,
            somaxconn: Some(self.backlog),
            abort: self.abort,
            syncookies: u8::from(self.syncookies),
            round_trip: self.round_trip,
            ..Setup::default()
        };
        let ((behind, waiting), trace) = setup.run(|experiment| {
            let others = self.serve(experiment)?;
            let Started { connecting, behind } = start(experiment, &self.starts)?;
            let waiting = wait(experiment, connecting, self.connect_timeout)?;
            sleep(LAST_ACK);
            drop(others);
            Ok((behind, waiting))
        })?;
        let packets = Packets::of(trace.server.clone()).map_err(doing("analyse the packets"))?;
        let (mut late, mut ignored) = (0, 0);
        for attempt in packets.attempts() {
            let recovered = attempt.established == Some(true);
            match attempt.verdict {
                Verdict::CompletedLate => late += 1,
                Verdict::SynackRetransmitted if recovered => late += 1,
                Verdict::SynackRetransmitted | Verdict::ResetAfterAck | Verdict::AckIgnored => ignored += 1,
                _ => {}
            }
        }
        Ok(ReplayOutcome {
            overflows: trace.counters.get(Counter::ListenOverflows).unwrap_or(0),
            late,
            lost: waiting + ignored,
            behind,
            trace,
        })
    }
}

impl Replay {
    /// Starts the application. Returns the sockets after the first, which accept until they are dropped.
    fn serve(&self, experiment: &mut Experiment) -> Result<Vec<LabListener>, LabError> {
        for _ in 0..self.workers {
            experiment.serve(self.accept)?;
        }
        let open = |_| {
            let mut socket = experiment.open_listener(self.backlog)?;
            (0..self.workers).try_for_each(|_| socket.serve(self.others)).map_err(doing("accept"))?;
            Ok(socket)
        };
        (1..self.sockets).map(open).collect()
    }
}

/// Starts a client at each of these times, in order, without waiting for any.
fn start(experiment: &Experiment, starts: &[Duration]) -> Result<Started, LabError> {
    let ends = experiment.ends();
    let (from, to) = (SocketAddr::new(ends.near, 0), SocketAddr::new(ends.far, PORT));
    let open = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.bind(&from.into())?;
        Ok(socket)
    };
    // Opened beforehand: what takes time must not delay a start.
    let sockets: Vec<Socket> =
        starts.iter().map(|_| open()).collect::<io::Result<_>>().map_err(doing("open a socket"))?;
    let begin = Instant::now();
    let mut behind = Duration::ZERO;
    for (socket, &due) in sockets.iter().zip(starts) {
        let early = due.saturating_sub(begin.elapsed());
        if !early.is_zero() {
            sleep(early);
        }
        behind = behind.max(begin.elapsed().saturating_sub(due));
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(source) => return Err(LabError::Io { what: "connect", source }),
        }
    }
    Ok(Started { connecting: sockets, behind })
}

/// Waits until all clients have connected or failed, at most for `timeout`. Returns how many have not connected; all stay
/// open until the experiment ends.
fn wait(experiment: &mut Experiment, clients: Vec<Socket>, timeout: Duration) -> Result<u64, LabError> {
    let begin = Instant::now();
    let mut failed = 0;
    let mut connecting = clients;
    while !connecting.is_empty() && begin.elapsed() < timeout {
        let ended = ended(&connecting).map_err(doing("wait for clients"))?;
        for (index, _) in ended.into_iter().enumerate().rev().filter(|&(_, ended)| ended) {
            let client = connecting.swap_remove(index);
            failed += u64::from(client.take_error().map_err(doing("ask for a result"))?.is_some());
            experiment.keep(client);
        }
    }
    let waiting = connecting.len() as u64;
    connecting.into_iter().for_each(|client| experiment.keep(client));
    Ok(waiting + failed)
}

/// For each of these sockets, whether its `connect()` has ended.
fn ended(connecting: &[Socket]) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> =
        connecting.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLOUT)).collect();
    match poll(&mut polled, PollTimeout::try_from(POLL_INTERVAL).unwrap_or(PollTimeout::ZERO)) {
        Ok(_) => Ok(polled.iter().map(|socket| socket.any().unwrap_or(false)).collect()),
        Err(Errno::EINTR) => Ok(vec![false; connecting.len()]),
        Err(errno) => Err(errno.into()),
    }
}
