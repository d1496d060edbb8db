//! From an experiment's capture points to verdicts: the same code as for any capture.
//!
//! Owns the join of packets to the client's calls. Does not own any meaning (`handshake`).

use std::io;

use etherparse::{SlicedPacket, TransportSlice};

use super::experiment::{PORT, Trace};
use crate::capture::Recording;
use crate::handshake::{Attempt, Verdict};
use crate::kernel::ListenerDelta;
use crate::race::{Call, Packets};

/// Attempts and resets at one capture point.
#[derive(Debug, Clone)]
pub struct EndView {
    /// Its attempts.
    pub packets: Packets,
    /// RST segments from the server.
    pub resets: Resets,
}

/// RST segments from the server, by form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resets {
    /// All of them.
    pub total: u64,
    /// Resets without ACK flag and options, with window 0: the kernel's answer to a segment that it has no
    /// use for (RFC 9293 §3.10.7.1).
    pub bare: u64,
}

/// An experiment's packets from both ends.
#[derive(Debug, Clone)]
pub struct BothEnds {
    /// At the client's end.
    pub client: EndView,
    /// At the server's end.
    pub server: EndView,
}

impl BothEnds {
    /// Analyses both capture points, by their packets alone.
    ///
    /// # Errors
    ///
    /// None of its own: the sink keeps everything in memory.
    pub fn of(trace: &Trace) -> io::Result<Self> {
        Ok(Self { client: EndView::of(&trace.client)?, server: EndView::of(&trace.server)? })
    }
}

impl BothEnds {
    /// The same with what the kernel counted meanwhile: causes are confirmed, or contradicted.
    #[must_use]
    pub fn with_kernel(mut self, delta: Option<&ListenerDelta>) -> Self {
        if let Some(delta) = delta {
            self.client.packets.apply_kernel(delta);
            self.server.packets.apply_kernel(delta);
        }
        self
    }
}

impl EndView {
    /// Analyses one capture point.
    ///
    /// # Errors
    ///
    /// None of its own: the sink keeps everything in memory.
    pub fn of(recording: &Recording) -> io::Result<Self> {
        Ok(Self { packets: Packets::of(recording.clone())?, resets: resets(recording) })
    }

    /// The attempt that a call made.
    #[must_use]
    pub fn attempt(&self, call: &Call) -> Option<&Attempt> {
        self.packets.attempt(call)
    }

    /// The attempts of `calls` that got `verdict`.
    pub fn with<'a>(&'a self, calls: &'a [Call], verdict: Verdict) -> impl Iterator<Item = &'a Attempt> {
        calls.iter().filter_map(|call| self.attempt(call)).filter(move |attempt| attempt.verdict == verdict)
    }
}

fn resets(recording: &Recording) -> Resets {
    let mut resets = Resets::default();
    for frame in recording.frames() {
        let Ok(packet) = SlicedPacket::from_ip(frame.data) else { continue };
        if let Some(TransportSlice::Tcp(tcp)) = packet.transport
            && tcp.rst()
            && tcp.source_port() == PORT
        {
            resets.total += 1;
            let bare = !tcp.ack() && tcp.window_size() == 0 && tcp.options().is_empty();
            resets.bare += u64::from(bare);
        }
    }
    resets
}
