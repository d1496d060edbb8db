//! The listening end: a listener with a small queue, and an application that accepts late, slowly or never.
//!
//! Owns the listening socket and the accepted ones. Does not own the clients (`experiment`).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

/// Longest sleep of the accepting thread between two checks of the stop flag.
const TICK: Duration = Duration::from_millis(20);

/// Time at which the application accepts connections from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptPolicy {
    /// Never.
    Never,
    /// All of them, from this time on.
    After(Duration),
    /// Single connections, this long apart.
    Every(Duration),
    /// Batches of this many, this long apart while connections wait; the first as soon as a connection comes.
    Batches(u32, Duration),
    /// Single connections, first at one interval and later at another.
    Changing {
        /// Time between two accepts at first.
        first: Duration,
        /// Time from the start of accepting to the change of interval.
        after: Duration,
        /// Time between two accepts from then on.
        then: Duration,
    },
    /// At once, and each gets one byte: the server has served it.
    Answer,
}

/// The listening socket and whoever accepts from it.
#[derive(Debug)]
pub struct LabListener {
    socket: Socket,
    accepted: Vec<Socket>,
    acceptors: Vec<Acceptor>,
}

#[derive(Debug)]
struct Acceptor {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<Socket>>>,
}

impl LabListener {
    /// Listens on `address` with `backlog`, which other sockets may share (SO_REUSEPORT); `defer` seconds of
    /// TCP_DEFER_ACCEPT where given.
    ///
    /// # Errors
    ///
    /// The error of the system call.
    pub fn open(address: SocketAddr, backlog: u32, defer: Option<u32>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // Also lets a second experiment's listener follow at once on one that was closed.
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        if let Some(seconds) = defer {
            defer_accept(&socket, seconds)?;
        }
        let listener = Self { socket, accepted: Vec::new(), acceptors: Vec::new() };
        listener.listen(backlog)?;
        Ok(listener)
    }

    /// A socket of the address's family that neither is bound nor listens.
    ///
    /// # Errors
    ///
    /// The error of the system call.
    pub(super) fn unbound(address: IpAddr) -> io::Result<Self> {
        let domain = Domain::for_address(SocketAddr::new(address, 0));
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        Ok(Self { socket, accepted: Vec::new(), acceptors: Vec::new() })
    }

    /// Sets the backlog; allowed at any time, and takes effect at once.
    ///
    /// # Errors
    ///
    /// The error of the system call.
    pub fn listen(&self, backlog: u32) -> io::Result<()> {
        self.socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
    }

    /// The socket's inode, by which sock_diag shows it.
    ///
    /// # Errors
    ///
    /// The error of `fstat`.
    pub fn inode(&self) -> io::Result<u64> {
        Ok(nix::sys::stat::fstat(&self.socket)?.st_ino)
    }

    /// Takes one connection from the queue and keeps it open.
    ///
    /// # Errors
    ///
    /// The queue is empty (`WouldBlock`), or the error of the system call.
    pub fn accept(&mut self) -> io::Result<()> {
        self.accepted.push(self.socket.accept()?.0);
        Ok(())
    }

    /// Starts accepting by `policy`, in a thread of its own, until the listener is dropped. Called again, it starts
    /// another worker.
    ///
    /// # Errors
    ///
    /// Threads or descriptors ran out.
    pub fn serve(&mut self, policy: AcceptPolicy) -> io::Result<()> {
        if policy == AcceptPolicy::Never {
            return Ok(());
        }
        let socket = self.socket.try_clone()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("accept".to_owned())
            .spawn(move || accept_until(&socket, policy, &stopped))?;
        self.acceptors.push(Acceptor { stop, thread });
        Ok(())
    }

    /// Ends [`Self::serve`] and returns the number of connections accepted in all.
    ///
    /// # Errors
    ///
    /// The accepting thread's error.
    pub fn settle(&mut self) -> io::Result<usize> {
        for acceptor in self.acceptors.drain(..) {
            acceptor.stop.store(true, Ordering::Relaxed);
            let accepted =
                acceptor.thread.join().map_err(|_| io::Error::other("the accepting thread is gone"))??;
            self.accepted.extend(accepted);
        }
        Ok(self.accepted.len())
    }
}

impl Drop for LabListener {
    fn drop(&mut self) {
        // An experiment that wants to know about failures has called it before.
        let _ = self.settle();
    }
}

fn accept_until(listener: &Socket, policy: AcceptPolicy, stop: &AtomicBool) -> io::Result<Vec<Socket>> {
    let pause = match policy {
        AcceptPolicy::Never => return Ok(Vec::new()),
        AcceptPolicy::Batches(count, every) => return accept_batches(listener, count, |_| every, stop),
        AcceptPolicy::Changing { first, after, then } => {
            return accept_batches(listener, 1, |elapsed| if elapsed < after { first } else { then }, stop);
        }
        AcceptPolicy::After(pause) | AcceptPolicy::Every(pause) => pause,
        AcceptPolicy::Answer => Duration::ZERO,
    };
    let mut accepted = Vec::new();
    let mut next = Instant::now() + pause;
    while !stop.load(Ordering::Relaxed) {
        let early = next.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            std::thread::sleep(early.min(TICK));
        } else if wait_readable(listener)? {
            match listener.accept() {
                Ok((socket, _)) => {
                    if policy == AcceptPolicy::Answer {
                        // A client that has gone meanwhile needs no answer.
                        let _ = socket.send(b"\n");
                    }
                    accepted.push(socket);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if let AcceptPolicy::Every(pause) = policy {
                next = Instant::now() + pause;
            }
        }
    }
    Ok(accepted)
}

/// Keeps to a schedule while connections wait, however late the scheduler wakes it: what it missed is made up for.
fn accept_batches(
    listener: &Socket,
    count: u32,
    every: impl Fn(Duration) -> Duration,
    stop: &AtomicBool,
) -> io::Result<Vec<Socket>> {
    let mut accepted = Vec::new();
    let begin = Instant::now();
    let mut due = begin;
    while !stop.load(Ordering::Relaxed) {
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            std::thread::sleep(early.min(TICK));
            continue;
        }
        let mut taken = 0;
        while taken < count {
            match listener.accept() {
                Ok((socket, _)) => accepted.push(socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            taken += 1;
        }
        if taken > 0 {
            due += every(begin.elapsed());
        } else if wait_readable(listener)? {
            // Idle until now. One that pauses between batches has begun its pause, as the model has it.
            due = Instant::now() + if count > 1 { every(begin.elapsed()) } else { Duration::ZERO };
        }
    }
    Ok(accepted)
}

fn wait_readable(socket: &Socket) -> io::Result<bool> {
    let tick = PollTimeout::try_from(TICK).unwrap_or(PollTimeout::ZERO);
    match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], tick) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Sets TCP_DEFER_ACCEPT.
#[expect(unsafe_code, reason = "neither socket2 nor nix offers this option")]
fn defer_accept(socket: &Socket, seconds: u32) -> io::Result<()> {
    let seconds = libc::c_int::try_from(seconds).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is open, and pointer and length describe one c_int, as tcp(7) requires.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    Errno::result(result)?;
    Ok(())
}
