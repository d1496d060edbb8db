//! The path between client and server: a thread that reads the TUN device, swaps source and
//! destination address and writes every packet back, half a round trip later.
//!
//! Owns delay, loss, gates, the two capture points, and the record of what it did not simply carry. Does not own the device's addresses.
//!
//! The kernel has one address; the other one exists only beyond the device. What it sends to the far
//! address comes back as if the far address had sent it, so its TCP meets itself as client and server.
//! Both capture points record packets as a path between two hosts would show them, client at
//! [`PathAddresses::near`], server at [`PathAddresses::far`].

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender as Commands, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use strum::EnumCount;

use super::tun::Tun;
use super::wire::{PathEnd, PathStep, StepKind, step, swap_addresses};
use crate::capture::Recording;
use crate::clock::now;
use crate::packet::LinkType;

/// Time before a packet is due at which the thread stops sleeping and spins: about what a timer's wake-up
/// takes. No longer, because on a small machine a spinning path keeps clients from waking up, which is
/// the very thing that `race` measures.
const SPIN: Duration = Duration::from_micros(15);
/// The largest packet of a TUN device without offloads.
const MAX_PACKET: usize = 65_536;

/// The two addresses of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathAddresses {
    /// The kernel's own address: where clients connect from, and what the listener is bound to.
    pub near: IpAddr,
    /// The address beyond the device: where clients connect to.
    pub far: IpAddr,
}

impl PathAddresses {
    /// The addresses of an IPv4 path.
    pub const V4: Self =
        Self { near: IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), far: IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2)) };
    /// The addresses of an IPv6 path.
    pub const V6: Self = Self {
        near: IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1)),
        far: IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2)),
    };
}

/// Delay and loss on the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathSetup {
    /// Time from one end to the other and back; half of it each way.
    pub round_trip: Duration,
    /// Segments that it does not simply carry.
    pub faults: Vec<PathFault>,
    /// The listener's port, which gives a packet's direction.
    pub server_port: u16,
}

/// Segments of a handshake that a path can treat specially: the first of their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumCount)]
pub enum PathSegment {
    /// The client's SYN.
    Syn,
    /// The server's SYN-ACK.
    SynAck,
    /// The ACK that ends the handshake.
    Ack,
}

/// Treatment of a segment by a path, other than carrying it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFate {
    /// Lost.
    Lost,
    /// Delayed by this.
    Delayed(Duration),
    /// Doubled.
    Doubled,
}

/// A segment and what the path does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathFault {
    /// The kind of segment.
    pub segment: PathSegment,
    /// Number of the handshake, from 1, in order of these segments.
    pub handshake: u64,
    /// Its treatment.
    pub fate: PathFate,
}

impl PathFault {
    /// The loss of the ACK that ends this handshake.
    #[must_use]
    pub const fn lost_ack(handshake: u64) -> Self {
        Self { segment: PathSegment::Ack, handshake, fate: PathFate::Lost }
    }
}

/// A segment that the path did not simply carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreatedSegment {
    /// The client's port.
    pub client_port: u16,
    /// The kind of segment.
    pub segment: PathSegment,
    /// Its treatment.
    pub fate: PathFate,
}

/// Packets recorded at both ends of the path.
#[derive(Debug, Clone)]
pub struct PathRecord {
    /// Packets as they left and reached the client.
    pub client: Recording,
    /// Packets as they left and reached the server.
    pub server: Recording,
    /// Packets lost on purpose.
    pub lost: u64,
    /// All segments that were lost, delayed or doubled on purpose.
    pub treated: Vec<TreatedSegment>,
    /// The longest time that a packet took from end to end. Well beyond half of the round trip, the machine had
    /// other work, and the packets show that.
    pub slowest: Duration,
}

enum PathCommand {
    GatherSyns(usize),
    HoldAnswers(usize),
    Release,
    Settle(Commands<()>),
    Close,
}

/// A running path.
#[derive(Debug)]
pub struct LabPath {
    commands: Commands<PathCommand>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<io::Result<PathRecord>>>,
}

impl LabPath {
    /// Starts carrying packets.
    ///
    /// # Errors
    ///
    /// Threads or descriptors ran out.
    pub fn open(tun: Tun, setup: PathSetup) -> io::Result<Self> {
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let (commands, receiver) = channel();
        let carrier = Carrier {
            tun,
            commands: receiver,
            wake: Arc::clone(&wake),
            under_way: VecDeque::new(),
            gate: Gate::Open,
            held: Vec::new(),
            settling: Vec::new(),
            seen: HashSet::new(),
            handshakes: [0; PathSegment::COUNT],
            record: PathRecord {
                client: Recording::new("client", LinkType::RAW),
                server: Recording::new("server", LinkType::RAW),
                lost: 0,
                treated: Vec::new(),
                slowest: Duration::ZERO,
            },
            setup,
        };
        let thread = std::thread::Builder::new().name("path".to_owned()).spawn(|| carrier.run())?;
        Ok(Self { commands, wake, thread: Some(thread) })
    }

    /// Holds SYNs back until `count` clients have sent one, then lets all of them go together: the
    /// way to have every SYN at the server before the first ACK, however slowly clients start.
    ///
    /// # Errors
    ///
    /// The path has failed.
    pub fn gather_syns(&self, count: usize) -> io::Result<()> {
        self.command(PathCommand::GatherSyns(count))
    }

    /// Holds the next `count` SYN-ACKs back until [`Self::release`].
    ///
    /// # Errors
    ///
    /// The path has failed.
    pub fn hold_answers(&self, count: usize) -> io::Result<()> {
        self.command(PathCommand::HoldAnswers(count))
    }

    /// Lets go what is held.
    ///
    /// # Errors
    ///
    /// The path has failed.
    pub fn release(&self) -> io::Result<()> {
        self.command(PathCommand::Release)
    }

    /// Waits until nothing is under way: what the kernel has sent by now is recorded at both ends. What a
    /// gate holds stays held.
    ///
    /// # Errors
    ///
    /// The path has failed, or `limit` passed.
    pub fn settle(&self, limit: Duration) -> io::Result<()> {
        let (settled, receiver) = channel();
        self.command(PathCommand::Settle(settled))?;
        receiver.recv_timeout(limit).map_err(|_| io::Error::other("the path does not come to rest"))
    }

    /// Stops carrying packets; those under way are lost.
    ///
    /// # Errors
    ///
    /// The path's earlier error.
    pub fn close(mut self) -> io::Result<PathRecord> {
        self.command(PathCommand::Close).or_else(|error| {
            // The thread has ended; its own error is more precise than the closed channel's.
            if self.thread.is_some() { Ok(()) } else { Err(error) }
        })?;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(io::Error::other("the path's thread is gone")),
        }
    }

    fn command(&self, command: PathCommand) -> io::Result<()> {
        self.commands.send(command).map_err(|_| io::Error::other("the path has failed"))?;
        self.wake.write(1)?;
        Ok(())
    }
}

impl Drop for LabPath {
    /// The thread must not outlive an experiment that failed half-way: it holds the namespace.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Either can only fail because the thread has ended already.
            let _ = self.command(PathCommand::Close);
            let _ = thread.join();
        }
    }
}

enum Gate {
    Open,
    Syns { wanted: usize, clients: HashSet<u16> },
    Answers { left: usize },
}

struct UnderWay {
    due: Instant,
    to: PathEnd,
    /// The packet as both capture points show it.
    packet: Vec<u8>,
}

struct Carrier {
    tun: Tun,
    setup: PathSetup,
    commands: Receiver<PathCommand>,
    wake: Arc<EventFd>,
    /// In order of `due`.
    under_way: VecDeque<UnderWay>,
    gate: Gate,
    held: Vec<(PathStep, Vec<u8>)>,
    /// To be notified when nothing is under way.
    settling: Vec<Commands<()>>,
    /// Kinds of segments that were seen of each client's handshake.
    seen: HashSet<(u16, PathSegment)>,
    /// Handshakes whose first segment of each kind was seen.
    handshakes: [u64; PathSegment::COUNT],
    record: PathRecord,
}

impl Carrier {
    fn run(mut self) -> io::Result<PathRecord> {
        // The default slack of 50 µs would be an eighth of a round trip of 400 µs.
        nix::sys::prctl::set_timerslack(1)?;
        let mut buffer = vec![0; MAX_PACKET];
        loop {
            loop {
                match self.commands.try_recv() {
                    Ok(PathCommand::GatherSyns(wanted)) => {
                        self.gate = Gate::Syns { wanted, clients: HashSet::new() };
                    }
                    Ok(PathCommand::HoldAnswers(clients)) => self.gate = Gate::Answers { left: clients },
                    Ok(PathCommand::Release) => self.release(),
                    Ok(PathCommand::Settle(settled)) => self.settling.push(settled),
                    Ok(PathCommand::Close) | Err(TryRecvError::Disconnected) => {
                        self.record.client.close(now());
                        self.record.server.close(now());
                        return Ok(self.record);
                    }
                    Err(TryRecvError::Empty) => break,
                }
            }
            // One in, one out, so that a burst in one direction does not keep the other's from leaving.
            let received = self.tun.receive(&mut buffer)?;
            if let Some(length) = received {
                self.depart(buffer.get(..length).unwrap_or_default());
            }
            if self.under_way.front().is_some_and(|next| next.due <= Instant::now()) {
                self.deliver()?;
            } else if received.is_none() {
                if self.under_way.is_empty() {
                    // The caller may have given up.
                    self.settling.drain(..).for_each(|settled| _ = settled.send(()));
                }
                self.wait()?;
            }
        }
    }

    /// A packet leaves the kernel. The gate stands before the capture point, as a host's queueing discipline
    /// does: what it holds is captured when it goes.
    fn depart(&mut self, packet: &[u8]) {
        let Some(step) = step(packet, self.setup.server_port) else {
            return; // Multicast listener reports and the like, which the far end would not answer.
        };
        let mut packet = packet.to_vec();
        if step.sender == PathEnd::Server && !swap_addresses(&mut packet) {
            return;
        }
        if self.is_held(step) {
            self.held.push((step, packet));
            if let Gate::Syns { wanted, clients } = &self.gate
                && clients.len() >= *wanted
            {
                self.release();
            }
        } else {
            self.enter(step, packet);
        }
    }

    /// A packet passes the capture point of its sender, and is lost or carried on.
    fn enter(&mut self, step: PathStep, packet: Vec<u8>) {
        let (point, to) = match step.sender {
            PathEnd::Client => (&mut self.record.client, PathEnd::Server),
            PathEnd::Server => (&mut self.record.server, PathEnd::Client),
        };
        point.push(now(), wire_len(&packet), &packet);
        let due = Instant::now() + self.setup.round_trip / 2;
        match self.fate(step) {
            Some(PathFate::Lost) => self.record.lost += 1,
            Some(PathFate::Delayed(by)) => self.carry(UnderWay { due: due + by, to, packet }),
            Some(PathFate::Doubled) => {
                self.carry(UnderWay { due, to, packet: packet.clone() });
                self.carry(UnderWay { due, to, packet });
            }
            None => self.carry(UnderWay { due, to, packet }),
        }
    }

    fn carry(&mut self, packet: UnderWay) {
        // All but those that are delayed are due after the others.
        let place = self.under_way.partition_point(|other| other.due <= packet.due);
        self.under_way.insert(place, packet);
    }

    /// Treatment of a packet that is not simply carried.
    fn fate(&mut self, step: PathStep) -> Option<PathFate> {
        let PathStep { client_port, sender, kind } = step;
        let segment = match (sender, kind) {
            (PathEnd::Client, StepKind::Syn) => PathSegment::Syn,
            (PathEnd::Server, StepKind::SynAck) => PathSegment::SynAck,
            (PathEnd::Client, StepKind::BareAck) => PathSegment::Ack,
            _ => return None,
        };
        if segment == PathSegment::Syn {
            self.seen.remove(&(client_port, PathSegment::Ack));
        }
        if !self.seen.insert((client_port, segment)) {
            return None;
        }
        let handshake = self.handshakes.get_mut(segment as usize)?;
        *handshake += 1;
        let faults = self.setup.faults.iter();
        let fault =
            faults.copied().find(|fault| fault.segment == segment && fault.handshake == *handshake)?;
        self.record.treated.push(TreatedSegment { client_port, segment, fate: fault.fate });
        Some(fault.fate)
    }

    fn is_held(&mut self, step: PathStep) -> bool {
        match &mut self.gate {
            Gate::Open => false,
            Gate::Syns { clients, .. } => {
                let held = step.kind == StepKind::Syn;
                if held {
                    clients.insert(step.client_port);
                }
                held
            }
            Gate::Answers { left } => {
                let held = step.kind == StepKind::SynAck && *left > 0;
                *left -= usize::from(held);
                held
            }
        }
    }

    fn release(&mut self) {
        self.gate = Gate::Open;
        for (step, packet) in std::mem::take(&mut self.held) {
            self.enter(step, packet);
        }
    }

    /// The packet at the head of the queue leaves the path.
    fn deliver(&mut self) -> io::Result<()> {
        let Some(UnderWay { due, to, mut packet }) = self.under_way.pop_front() else {
            return Ok(());
        };
        let late = Instant::now().saturating_duration_since(due);
        self.record.slowest = self.record.slowest.max(self.setup.round_trip / 2 + late);
        let point = match to {
            PathEnd::Client => &mut self.record.client,
            PathEnd::Server => &mut self.record.server,
        };
        // Stamped before the kernel sees it: what it causes, a connect() that returns, comes later.
        point.push(now(), wire_len(&packet), &packet);
        // Packets to the client were swapped when they departed.
        if to == PathEnd::Client || swap_addresses(&mut packet) { self.tun.send(&packet) } else { Ok(()) }
    }

    fn wait(&self) -> io::Result<()> {
        let timeout = match self.under_way.front() {
            None => None,
            Some(next) => match next.due.saturating_duration_since(Instant::now()).checked_sub(SPIN) {
                None => return Ok(()),
                Some(sleep) => Some(TimeSpec::from_duration(sleep)),
            },
        };
        let mut descriptors = [
            PollFd::new(self.tun.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
        ];
        match ppoll(&mut descriptors, timeout, None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        match self.wake.read() {
            Ok(_) | Err(nix::errno::Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn wire_len(packet: &[u8]) -> u32 {
    u32::try_from(packet.len()).unwrap_or(u32::MAX)
}
