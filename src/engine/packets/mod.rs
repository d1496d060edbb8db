//! The packets of single attempts, for outputs that show them.
//!
//! Owns the two ways to get them, and their bounds: a second pass over files (`second_pass.rs`), and a recorder beside
//! the analysis for pipes and interfaces, which cannot be read twice (`recorder.rs`). Does not own the choice of
//! attempts, nor what their packets mean. Costs nothing where no output asks for packets.

mod recorder;
mod second_pass;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::capture::FilterError;
use crate::handshake::Attempt;
use crate::packet::{self, FlowKey, Frame, FrameRef, LinkType, Packet, Span, Timestamp};

pub use self::recorder::{Recorded, Recorder};

/// A packet that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPacket {
    /// Time of capture.
    pub at: Timestamp,
    /// Position of the packet in the input.
    pub frame: FrameRef,
    /// The header type at the start of `data`.
    pub link: LinkType,
    /// Length on the wire in bytes.
    pub wire_len: u32,
    /// The captured bytes, up to [`PacketLimits::snap`].
    pub data: Box<[u8]>,
}

impl KeptPacket {
    fn new(frame: &Frame<'_>, snap: usize) -> Self {
        let data = frame.data.get(..snap).unwrap_or(frame.data);
        Self {
            at: frame.at,
            frame: frame.frame,
            link: frame.link,
            wire_len: frame.wire_len,
            data: data.into(),
        }
    }

    /// The same as a frame.
    #[must_use]
    pub fn as_frame(&self) -> Frame<'_> {
        Frame { at: self.at, frame: self.frame, link: self.link, wire_len: self.wire_len, data: &self.data }
    }

    /// The decoded packet; `None` where the kept bytes are too few for its headers.
    #[must_use]
    pub fn decode(&self) -> Option<Packet> {
        packet::decode(&self.as_frame()).ok()
    }

    /// Bytes of memory that it takes.
    fn cost(&self) -> usize {
        size_of::<Self>() + self.data.len()
    }
}

/// The packets of one attempt, in the order of the input: the first of them, and the last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttemptPackets {
    /// The packets.
    pub packets: Vec<KeptPacket>,
    /// Packets that are left out, because there were too many.
    pub left_out: u64,
    /// Place in `packets` before which they are left out.
    pub gap_at: usize,
}

impl AttemptPackets {
    /// Appends a packet; returns by how many bytes the memory grew.
    fn push(&mut self, packet: KeptPacket, limits: &PacketLimits) -> isize {
        let mut grown = packet.cost() as isize;
        self.packets.push(packet);
        if self.packets.len() > limits.per_attempt {
            // Half of the packets are the beginning, the others the latest.
            self.gap_at = limits.per_attempt / 2;
            self.left_out += 1;
            grown -= self.packets.remove(self.gap_at).cost() as isize;
        }
        grown
    }

    fn cost(&self) -> usize {
        self.packets.iter().map(KeptPacket::cost).sum()
    }
}

/// Bounds of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketLimits {
    /// Bytes of memory for all packets.
    pub total: usize,
    /// Packets of one attempt.
    pub per_attempt: usize,
    /// Bytes of one packet.
    pub snap: usize,
}

impl PacketLimits {
    /// For message diagrams: headers within any usual tunnel, and a handshake that is retried for two minutes, each
    /// packet captured three times.
    pub const DIAGRAMS: Self = Self { total: 64 << 20, per_attempt: 128, snap: 256 };

    /// The same in a live capture, which runs beside what it watches.
    pub const LIVE: Self = Self { total: 16 << 20, ..Self::DIAGRAMS };
}

/// The packets of several attempts, by [`Attempt::ordinal`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PacketStore(HashMap<u64, AttemptPackets>);

impl PacketStore {
    /// The packets of `attempt`, if any were kept.
    #[must_use]
    pub fn of(&self, attempt: &Attempt) -> Option<&AttemptPackets> {
        self.0.get(&attempt.ordinal)
    }
}

/// The way to the packets of the attempts that an output lists.
#[derive(Debug, Clone)]
pub enum PacketAccess {
    /// A second pass over these files, with the filter of the first.
    Files {
        /// The files, as they were given.
        paths: Vec<PathBuf>,
        /// The BPF expression, if there is one.
        filter: Option<String>,
    },
    /// A recorder beside the analysis.
    Recorder(SharedRecorder),
}

/// A recorder that the source and the sink of one analysis share.
#[derive(Debug, Clone)]
pub struct SharedRecorder(Arc<Mutex<Recorder>>);

impl SharedRecorder {
    /// An empty recorder with these bounds.
    #[must_use]
    pub fn new(limits: PacketLimits) -> Self {
        Self(Arc::new(Mutex::new(Recorder::new(limits))))
    }

    fn lock(&self) -> MutexGuard<'_, Recorder> {
        // A panic elsewhere leaves whole packets behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PacketAccess {
    /// Takes note of a settled attempt: its packets are kept if it is `listed`, else forgotten.
    pub fn settle(&self, attempt: &Attempt, listed: bool) {
        match self {
            Self::Files { .. } => {}
            Self::Recorder(recorder) => recorder.lock().settle(attempt, listed),
        }
    }

    /// Forgets the packets of an attempt that is not listed any more.
    pub fn release(&self, ordinal: u64) {
        match self {
            Self::Files { .. } => {}
            Self::Recorder(recorder) => recorder.lock().release(ordinal),
        }
    }

    /// The packets of these attempts.
    ///
    /// # Errors
    ///
    /// The filter cannot be compiled any more; a file that cannot be opened any more is left out.
    pub fn collect(&self, attempts: &[&Attempt], limits: &PacketLimits) -> Result<PacketStore, FilterError> {
        match self {
            Self::Files { .. } if attempts.is_empty() => Ok(PacketStore::default()),
            Self::Files { paths, filter } => second_pass::collect(paths, filter.clone(), attempts, limits),
            Self::Recorder(recorder) => Ok(recorder.lock().take()),
        }
    }
}

/// Time after an attempt's last packet in which a duplicate of it may be captured.
const AFTERWARDS: Span = Span::from_millis(1);

/// The flows that the packets of an attempt belong to: its own, and that of the address which answered instead.
fn flows(attempt: &Attempt) -> impl Iterator<Item = FlowKey> {
    let servers = std::iter::once(attempt.server).chain(attempt.answered_from);
    servers.map(|server| FlowKey::new(attempt.client, server).0)
}

/// The flow of a frame that the analysis uses.
fn flow_of(frame: &Frame<'_>) -> Option<FlowKey> {
    if let Some(glimpse) = packet::glimpse_ipv4(frame).or_else(|| packet::glimpse_ipv6(frame)) {
        return Some(glimpse.flow);
    }
    match packet::general(frame).ok()? {
        Packet::Segment(segment) => Some(segment.flow),
        Packet::Unreachable(error) => Some(error.flow),
    }
}
