//! Reads the kernel's ring on a thread of its own, so that it is empty again at once whatever the analysis does.
//!
//! Owns the thread, and waiting for packets. Does not own where packets wait after that (`queue`).
//!
//! The thread does little for each packet, so that it sleeps most of the time and runs as soon as packets come: a short
//! ring overflows while its reader waits for a processor. The analysis runs less often, on more packets at a time, which
//! takes it less time: the processor's caches have to be filled with its tables once for all of them.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use ::pcap::{Active, Capture};

use super::clock::stamp;
use super::open::TIMEOUT_MS;
use super::queue::{FrameQueue, RawDrops};
use crate::capture::libpcap;
use crate::clock::now;

/// Most packets of a block.
const MOST_PACKETS: usize = 4096;

/// Most bytes of a block: it holds fewer packets if these may be longer.
const LARGEST_BLOCK: usize = 16 << 20;

/// Packets that were dropped since the capture began.
pub(super) fn drops_of(capture: &mut Capture<Active>) -> Option<RawDrops> {
    capture.stats().ok().map(|stat| (stat.dropped, stat.if_dropped))
}

/// The reading thread, which ends when this is dropped.
pub(super) struct RingReader {
    queue: Arc<FrameQueue>,
    /// Wakes the thread; closed, it ends it.
    wake: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl RingReader {
    /// Starts the thread. It has the privileges of the calling one.
    pub(super) fn start(capture: Capture<Active>, device: &str, snap_length: u32) -> io::Result<Self> {
        let (woken, wake) = io::pipe()?;
        let queue = Arc::new(FrameQueue::default());
        let ring = Ring {
            nanos_per_unit: libpcap::nanos_per_unit(&capture),
            capture,
            device: device.to_owned(),
            at_once: (LARGEST_BLOCK / (snap_length as usize).max(1)).clamp(1, MOST_PACKETS),
            woken,
            queue: Arc::clone(&queue),
        };
        let thread = Builder::new().name("ring".to_owned()).spawn(move || ring.run())?;
        Ok(Self { queue, wake: Some(wake), thread: Some(thread) })
    }

    /// The packets that were read.
    pub(super) fn queue(&self) -> &FrameQueue {
        &self.queue
    }

    /// Packets that were dropped until now.
    pub(super) fn drops(&self) -> Option<RawDrops> {
        let wake = || {
            // A thread that has ended needs no waking.
            let _ = self.wake.as_ref().map(|mut wake| wake.write_all(&[0]));
        };
        self.queue.drops(wake, Duration::from_millis(TIMEOUT_MS.into()))
    }
}

impl Drop for RingReader {
    fn drop(&mut self) {
        self.queue.close();
        self.wake = None;
        // A panic of the thread was reported when it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The kernel's ring, as the thread has it.
struct Ring {
    capture: Capture<Active>,
    device: String,
    nanos_per_unit: i64,
    /// Packets that are read at once.
    at_once: usize,
    woken: PipeReader,
    queue: Arc<FrameQueue>,
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Also where the thread panics: nobody must wait for it.
        self.queue.end(format!("{}: the capture ended early", self.device));
    }
}

impl Ring {
    fn run(mut self) {
        while !self.queue.is_closed() {
            self.wait();
            let read = self.empty();
            if self.queue.wants_drops() || read.is_err() {
                self.queue.set_drops(drops_of(&mut self.capture));
            }
            if let Err(error) = read {
                let reason = libpcap::message(&error);
                self.queue.end(format!("{}: the capture ended early: {reason}", self.device));
                return;
            }
        }
    }

    /// Copies everything that the ring holds to the queue.
    fn empty(&mut self) -> Result<(), ::pcap::Error> {
        loop {
            let Some(mut block) = self.queue.empty_block() else { return Ok(()) };
            let before = now();
            block.read_at = before;
            let nanos_per_unit = self.nanos_per_unit;
            let taken = self.capture.dispatch(Some(self.at_once), |packet| {
                block.push(stamp(packet.header, nanos_per_unit), packet.header.len, packet.data);
            });
            let drained = taken.as_ref().is_ok_and(|&taken| taken < self.at_once);
            self.queue.put(block, drained.then_some(before));
            if taken.map(|_| drained)? {
                return Ok(());
            }
        }
    }

    /// Waits until the kernel has packets or somebody wants something, at most as long as it holds packets back.
    #[cfg(target_os = "linux")]
    fn wait(&mut self) {
        use std::io::Read;
        use std::os::fd::AsFd;

        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

        let ring = PollFd::new(self.capture.as_fd(), PollFlags::POLLIN);
        let mut fds = [ring, PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        // Without a result libpcap looks for packets all the same.
        let _ = poll(&mut fds, PollTimeout::from(TIMEOUT_MS));
        let woken = fds[1].revents().is_some_and(|events| events.contains(PollFlags::POLLIN));
        if woken {
            // The number of wakes does not matter.
            let _ = self.woken.read(&mut [0; 64]);
        }
    }

    /// Does nothing: elsewhere libpcap waits while it reads.
    #[cfg(not(target_os = "linux"))]
    fn wait(&mut self) {
        let _ = &self.woken;
    }
}
