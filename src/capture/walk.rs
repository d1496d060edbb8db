//! The parts that the readers of all file formats share: how far to read, totals, and why reading stopped.

use std::io;

use super::damage::Damage;
use super::input::Input;
use super::stream::Fill;
use crate::packet::{CapturePoint, Frame, FrameRef, Frames, LinkType, Shared, Timestamp};
use crate::prefetch::prefetch as prefetch_line;

/// Most link types listed for one capture. Real captures have one or two; the bound keeps a hostile list of interfaces
/// from costing quadratic time.
const MAX_LINK_TYPES: usize = 256;

/// Bounds and destination of a reader's call: how far it may read, and the sink that takes the frames.
pub(super) struct Walk<'s> {
    /// The index of the capture, for the frames.
    pub(super) capture: u16,
    /// The point of the capture, if it is one of several.
    pub(super) point: CapturePoint,
    /// The same, if the names of its interfaces begin with it.
    pub(super) prefix: CapturePoint,
    /// Frames that may still be handed over.
    pub(super) left: usize,
    /// The latest time of a frame that is handed over: a later one comes after the next frame of another capture.
    pub(super) limit: Timestamp,
    pub(super) sink: &'s mut dyn FnMut(Frames<'_>),
}

/// Frames that are handed to a sink together.
pub(super) struct FrameGroup<'a> {
    frames: [Frame<'a>; GROUP],
    used: usize,
    shared: Option<&'a Shared>,
}

/// Most frames that are handed over together: enough that the cost of a call does not matter, few enough that the first
/// of them are still in the first-level cache.
const GROUP: usize = 32;

impl<'a> FrameGroup<'a> {
    /// An empty group for frames that lie in `shared`.
    #[inline(always)]
    pub(super) fn new(shared: Option<&'a Shared>) -> Self {
        let (at, frame) = (Timestamp::from_nanos(0), FrameRef::new(0, 0));
        let empty = Frame { at, frame, link: LinkType::NULL, wire_len: 0, data: &[] };
        Self { frames: [empty; GROUP], used: 0, shared }
    }

    /// Places for the next frames, `most` at most, which are then handed over with [`Self::fill`].
    #[inline(always)]
    pub(super) fn places(&mut self, most: usize) -> &mut [Frame<'a>] {
        let end = most.saturating_add(self.used).min(GROUP);
        self.frames.get_mut(self.used..end).unwrap_or_default()
    }

    /// Hands over all frames, including this many that were written to [`Self::places`].
    #[inline(always)]
    pub(super) fn fill(&mut self, frames: usize, sink: &mut dyn FnMut(Frames<'_>)) {
        self.used += frames;
        self.hand_over(sink);
    }

    /// Appends a frame, and hands all over when the group is full.
    #[inline(always)]
    pub(super) fn push(&mut self, frame: Frame<'a>, sink: &mut dyn FnMut(Frames<'_>)) {
        if let Some(place) = self.frames.get_mut(self.used) {
            *place = frame;
            self.used += 1;
        }
        if self.used == GROUP {
            self.hand_over(sink);
        }
    }

    /// Hands over all frames.
    #[inline(never)]
    pub(super) fn hand_over(&mut self, sink: &mut dyn FnMut(Frames<'_>)) {
        if let Some(frames) = self.frames.get(..self.used).filter(|frames| !frames.is_empty()) {
            sink(Frames::known_within(self.shared, frames));
        }
        self.used = 0;
    }
}

/// The reason why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// As many frames as asked for.
    Full,
    /// The next frame, which has this time, is later than the limit.
    Limit(Timestamp),
    /// The next frame has not arrived.
    Starved,
    /// There are no more frames.
    End,
}

/// Totals of a capture so far.
#[derive(Debug)]
pub(super) struct CaptureTotals {
    pub(super) packets: u64,
    /// Packets among them that have no time.
    pub(super) untimed: u64,
    /// Earliest and latest packet time, meaningless while no packet has one.
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) link_types: Vec<LinkType>,
    pub(super) dropped: Option<u64>,
    /// The time when capturing ended, not before its last packet, where the capture holds it.
    pub(super) ended: Option<Timestamp>,
}

impl CaptureTotals {
    /// The earliest and the latest time of no packets.
    pub(super) const NO_TIMES: (Timestamp, Timestamp) =
        (Timestamp::from_nanos(i64::MAX), Timestamp::from_nanos(i64::MIN));

    pub(super) fn new() -> Self {
        let (first, last) = Self::NO_TIMES;
        Self { packets: 0, untimed: 0, first, last, link_types: Vec::new(), dropped: None, ended: None }
    }

    /// Counts a packet, and returns its number.
    #[inline]
    pub(super) fn packet(&mut self, at: Timestamp) -> u64 {
        self.packets(1, (at, at));
        self.packets
    }

    /// Counts packets with this earliest and latest time.
    #[inline]
    pub(super) fn packets(&mut self, count: usize, (first, last): (Timestamp, Timestamp)) {
        self.packets += count as u64;
        self.first = self.first.min(first);
        self.last = self.last.max(last);
    }

    /// Counts a packet that has no time, and returns its number.
    pub(super) fn untimed(&mut self) -> u64 {
        self.packets += 1;
        self.untimed += 1;
        self.packets
    }

    pub(super) fn link_type(&mut self, link: LinkType) {
        if self.link_types.len() < MAX_LINK_TYPES && !self.link_types.contains(&link) {
            self.link_types.push(link);
        }
    }
}

impl Input {
    /// Brings `need` bytes of `part` into view. [`Fill::End`] means that nothing is left; an end in the middle of the
    /// part is damage.
    pub(super) fn want(&mut self, need: usize, part: &'static str) -> Result<Fill, Damage> {
        match self.fill(need) {
            Ok(Fill::End) => match (self.view().len(), self.shrunk(0)) {
                (_, Some(size)) => Err(Damage::Shrunk { size }),
                (0, None) => Ok(Fill::End),
                (have, None) => Err(Damage::Cut { have, need, part }),
            },
            Ok(fill) => Ok(fill),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> Damage {
        match self.compression() {
            Some(compression) => Damage::Decompress { compression, error },
            None => Damage::Read(error),
        }
    }
}

/// Prefetches the header and the first bytes of a later record, at `rest` and beyond.
///
/// The position of each record depends on the length of the one before, so that without a prefetch every record costs a
/// wait for memory. Prefetched are 4 KiB ahead for thin records, and eight records of this length ahead for thick ones,
/// since they come in runs. Measured: 11.5 instead of 20 ns for a record of 74 bytes, 75 instead of 140 for one of
/// 1514.
#[inline]
pub(super) fn prefetch(rest: &[u8], captured: u32) {
    let ahead = if captured < 512 { 4096 } else { 8 * (captured as usize + 16) };
    let line = rest.as_ptr().wrapping_add(ahead);
    prefetch_line(line);
    prefetch_line(line.wrapping_add(64));
}
