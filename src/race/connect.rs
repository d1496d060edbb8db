//! A real `connect()`: its result, the time it returned, and the result of the next operation.
//!
//! Owns the client socket's calls and their times. Does not own the number at once (`run`) nor the
//! packets (`packets`).

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock::now;
use crate::packet::Timestamp;

/// Blocking or non-blocking `connect()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitMode {
    /// The thread sleeps in `connect()`.
    Blocking,
    /// `connect()` returns EINPROGRESS; the thread sleeps in `poll()` and reads `SO_ERROR`.
    NonBlocking,
}

impl WaitMode {
    /// The name in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::NonBlocking => "non-blocking",
        }
    }
}

/// Parameters of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectPlan {
    /// The server's address.
    pub target: SocketAddr,
    /// From which address; port 0 lets the kernel choose.
    pub source: SocketAddr,
    /// Blocking or not.
    pub mode: WaitMode,
    /// Time-out of `connect()`.
    pub timeout: Duration,
    /// Number of bytes to send as soon as `connect()` has succeeded.
    pub send: usize,
    /// Time after that in which to watch for the connection's death.
    pub watch: Duration,
    /// Operation that reads the connection's state when the watch ends.
    pub probe: Probe,
}

/// The operation that ends the watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// `getsockopt(SO_ERROR)`: sends nothing.
    SoError,
    /// A send of one byte.
    Send,
}

/// Results of the client's calls on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The local port; known before `connect()`, so that failures can be joined too.
    pub port: u16,
    /// Blocking or not.
    pub mode: WaitMode,
    /// Just before `connect()`.
    pub started: Timestamp,
    /// Just after `connect()`, or the `poll()` that ended it, returned.
    pub returned: Timestamp,
    /// Result of `connect()`.
    pub result: Result<(), Errno>,
    /// Results of later operations, after a success.
    pub next: Option<AfterConnect>,
}

impl Call {
    /// True if `connect()` returned success.
    #[must_use]
    pub const fn succeeded(&self) -> bool {
        self.result.is_ok()
    }

    /// True if the server sent data, or closed, while the connection was watched.
    #[must_use]
    pub fn was_answered(&self) -> bool {
        self.next.is_some_and(|next| next.received.is_some())
    }

    /// The error of a later operation after a successful `connect()`.
    #[must_use]
    pub fn death(&self) -> Option<Errno> {
        let next = self.next?;
        next.error.or_else(|| next.sent.and_then(Result::err))
    }
}

/// Results of the operations after a successful `connect()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AfterConnect {
    /// The send right after `connect()`, where one was wanted.
    pub sent: Option<Result<usize, Errno>>,
    /// Time at which the socket became readable or failed, if it did while it was watched.
    pub woken: Option<Timestamp>,
    /// Bytes that came from the server, or 0 when it closed.
    pub received: Option<usize>,
    /// Error that the probe returned.
    pub error: Option<Errno>,
}

/// Makes one connection. The socket comes back too, so that the caller decides when it is closed.
///
/// # Errors
///
/// No socket could be had, or it could not be bound: `connect()` was not called.
pub fn connect(plan: &ConnectPlan) -> io::Result<(Call, Socket)> {
    let socket = open(plan)?;
    let port = socket.local_addr()?.as_socket().map_or(0, |address| address.port());
    let started = now();
    let result = match plan.mode {
        WaitMode::Blocking => connect_blocking(&socket, plan),
        WaitMode::NonBlocking => connect_polling(&socket, plan),
    };
    let returned = now();
    let next = match result {
        Ok(()) => Some(follow(&socket, plan)),
        Err(_) => None,
    };
    Ok((Call { port, mode: plan.mode, started, returned, result, next }, socket))
}

fn open(plan: &ConnectPlan) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(plan.target), Type::STREAM, Some(Protocol::TCP))?;
    match plan.mode {
        // SO_SNDTIMEO bounds connect() too (socket(7)); it then fails with EINPROGRESS.
        WaitMode::Blocking => socket.set_write_timeout(Some(plan.timeout))?,
        WaitMode::NonBlocking => socket.set_nonblocking(true)?,
    }
    // Bound before connect(), because a failed connect() may forget its port.
    socket.bind(&plan.source.into())?;
    Ok(socket)
}

fn connect_blocking(socket: &Socket, plan: &ConnectPlan) -> Result<(), Errno> {
    match socket.connect(&plan.target.into()).map_err(errno) {
        Err(Errno::EINPROGRESS) => Err(Errno::ETIMEDOUT),
        result => result,
    }
}

fn connect_polling(socket: &Socket, plan: &ConnectPlan) -> Result<(), Errno> {
    match socket.connect(&plan.target.into()).map_err(errno) {
        Err(Errno::EINPROGRESS) => {}
        result => return result,
    }
    match wait(socket, PollFlags::POLLOUT, plan.timeout) {
        Ok(true) => so_error(socket).map_or(Ok(()), Err),
        Ok(false) => Err(Errno::ETIMEDOUT),
        Err(errno) => Err(errno),
    }
}

/// Sends what is to be sent, watches, probes.
fn follow(socket: &Socket, plan: &ConnectPlan) -> AfterConnect {
    let sent = (plan.send > 0).then(|| send(socket, plan.send));
    let woken = match wait(socket, PollFlags::POLLIN, plan.watch) {
        Ok(true) => Some(now()),
        Ok(false) | Err(_) => None,
    };
    let error = match plan.probe {
        Probe::SoError => so_error(socket),
        Probe::Send => send(socket, 1).err(),
    };
    let received = woken.filter(|_| error.is_none()).and_then(|_| peek(socket));
    AfterConnect { sent, woken, received, error }
}

/// Waits until `events` or an error is pending; `false` when the time is over.
fn wait(socket: &Socket, events: PollFlags, timeout: Duration) -> Result<bool, Errno> {
    let deadline = Instant::now().checked_add(timeout);
    loop {
        let left = deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(Instant::now()));
        // Rounded up to poll()'s milliseconds: never a busy loop before the deadline.
        let millis = PollTimeout::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX);
        let mut descriptors = [PollFd::new(socket.as_fd(), events)];
        match poll(&mut descriptors, millis) {
            Ok(0) if left > Duration::ZERO => {}
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn so_error(socket: &Socket) -> Option<Errno> {
    match socket.take_error() {
        Ok(error) => error.map(errno),
        Err(error) => Some(errno(error)),
    }
}

/// Bytes of line feeds: the one content that a line-based server takes for nothing.
fn send(socket: &Socket, bytes: usize) -> Result<usize, Errno> {
    // No SIGPIPE: Rust's start-up code ignores it.
    socket.send(&vec![b'\n'; bytes]).map_err(errno)
}

fn peek(socket: &Socket) -> Option<usize> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    socket.recv_with_flags(&mut buffer, libc::MSG_PEEK | libc::MSG_DONTWAIT).ok()
}

fn errno(error: impl Into<io::Error>) -> Errno {
    error.into().raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener};

    fn plan(target: SocketAddr, mode: WaitMode) -> ConnectPlan {
        ConnectPlan {
            target,
            source: (Ipv4Addr::LOCALHOST, 0).into(),
            mode,
            timeout: Duration::from_secs(5),
            send: 1,
            watch: Duration::from_secs(5),
            probe: Probe::SoError,
        }
    }

    #[test]
    fn a_served_connection_is_alive() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let target = listener.local_addr().unwrap();
        for mode in [WaitMode::Blocking, WaitMode::NonBlocking] {
            let server = std::thread::spawn({
                let listener = listener.try_clone().unwrap();
                move || {
                    let (mut stream, peer) = listener.accept().unwrap();
                    stream.write_all(b"hello").unwrap();
                    (stream, peer)
                }
            });
            let (call, _socket) = connect(&plan(target, mode)).unwrap();
            let (_stream, peer) = server.join().unwrap();
            assert_eq!(call.port, peer.port());
            assert!(call.succeeded() && call.returned >= call.started);
            assert_eq!(call.death(), None);
            let next = call.next.unwrap();
            assert_eq!((next.sent, next.received), (Some(Ok(1)), Some(5)));
        }
    }

    #[test]
    fn a_refused_connection_keeps_its_port_and_errno() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let target = listener.local_addr().unwrap();
        drop(listener);
        for mode in [WaitMode::Blocking, WaitMode::NonBlocking] {
            let (call, _socket) = connect(&plan(target, mode)).unwrap();
            assert_eq!(call.result, Err(Errno::ECONNREFUSED));
            assert_ne!(call.port, 0);
            assert_eq!(call.next, None);
        }
    }
}
