//! Properties of the capture itself, as all packets show them: which flags occur, whether times are those of a clock.

use crate::handshake::Offsets;
use crate::packet::{self, CaptureSet, Flags, Frame, Frames, Packet, Seq, Span, Timestamp};

/// Properties of the capture itself, as all packets together show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// Captures in which a segment with no flag but ACK occurs. Every completed handshake has one.
    pub bare_acks: CaptureSet,
    /// SYNs that were answered before the first bare ACK, and whose client did not reset the answer, by the place of the
    /// capture.
    pub answered_syns: [u32; CaptureSet::PLACES],
    /// The numbers that the latest of these answers acknowledge, with the place of the capture.
    pub(super) latest_answered: [Option<(u8, Seq)>; 64],
    /// First and latest time of the packets before a capture's first bare ACK, by the place of the capture.
    pub(super) spans: [Option<(Timestamp, Timestamp)>; CaptureSet::PLACES],
    /// No packet's time has a fraction of a second; `None` before the first one.
    pub whole_seconds: Option<bool>,
    /// Times that went back by more than a second, or ahead without the next packet.
    pub clock_jumps: u64,
    /// SYNs that have another ISN at a second point.
    pub renumbered: u64,
    /// Differences of time between SYNs and their duplicates.
    pub offsets: Offsets,
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            bare_acks: CaptureSet::NONE,
            answered_syns: [0; CaptureSet::PLACES],
            latest_answered: [None; 64],
            spans: [None; CaptureSet::PLACES],
            whole_seconds: None,
            clock_jumps: 0,
            renumbered: 0,
            offsets: Offsets::default(),
        }
    }
}

impl Survey {
    /// The captures that have several answered SYNs and not one bare ACK.
    #[must_use]
    pub fn lacks_bare_acks(&self) -> CaptureSet {
        /// Fewest answered SYNs that count: one or two clients may be half-open by themselves.
        const SYNS: u32 = 3;
        /// Shortest of several captures that is judged by itself: a shorter part of a series may hold only the beginnings of
        /// handshakes.
        const SHORTEST: Span = Span::from_secs(5);
        let several = self.spans.iter().flatten().count() > 1;
        CaptureSet::of(|place| {
            let answered = self.answered_syns.get(place).is_some_and(|&syns| syns >= SYNS);
            let span = self.spans.get(place).copied().flatten();
            let long = span.is_some_and(|(first, last)| last.since(first) >= SHORTEST);
            answered && !self.bare_acks.has_place(place) && (long || !several)
        })
    }

    /// Takes frames. Nearly always the first ones answer all that they can, and the others need not be looked at.
    #[inline(always)]
    pub(super) fn take(&mut self, frames: &Frames<'_>) {
        let known = frames.first().is_none_or(|frame| self.bare_acks.has(frame.frame));
        if !known || self.whole_seconds != Some(false) {
            self.look_at(frames);
        }
    }

    #[cold]
    fn look_at(&mut self, frames: &Frames<'_>) {
        let whole = frames.iter().all(|frame| frame.at.as_nanos() % 1_000_000_000 == 0);
        self.whole_seconds = Some(whole && self.whole_seconds != Some(false));
        let Some(place) = frames.first().map(|frame| CaptureSet::place(frame.frame)) else { return };
        if self.bare_acks.has_place(place) {
            return;
        }
        for frame in &**frames {
            if let Some(span) = self.spans.get_mut(place) {
                let (first, last) = span.unwrap_or((frame.at, frame.at));
                *span = Some((first.min(frame.at), last.max(frame.at)));
            }
            let flags = flags(frame);
            if flags == Some(Flags::ACK) {
                self.bare_acks.add(place);
            }
            let answers = flags.is_some_and(|flags| flags.contains(Flags::SYN.union(Flags::ACK)));
            if !answers && flags != Some(Flags::RST) {
                continue;
            }
            let Ok(Packet::Segment(segment)) = packet::general(frame) else { continue };
            let number = if answers { segment.ack } else { segment.seq };
            match self.latest_answered.iter().position(|&answered| answered == Some((place as u8, number))) {
                None if answers => {
                    self.latest_answered.rotate_right(1);
                    self.latest_answered[0] = Some((place as u8, number));
                    if let Some(syns) = self.answered_syns.get_mut(place) {
                        *syns = syns.saturating_add(1);
                    }
                }
                Some(answered) if !answers => {
                    // The client's answer to the SYN-ACK: an ACK is not to be expected.
                    self.latest_answered[answered] = None;
                    if let Some(syns) = self.answered_syns.get_mut(place) {
                        *syns = syns.saturating_sub(1);
                    }
                }
                _ => {}
            }
        }
    }
}

/// The flags of a frame's segment.
pub(super) fn flags(frame: &Frame<'_>) -> Option<Flags> {
    let glimpse = packet::glimpse_ipv4(frame).or_else(|| packet::glimpse_ipv6(frame));
    glimpse.map(|glimpse| glimpse.flags).or_else(|| match packet::general(frame) {
        Ok(Packet::Segment(segment)) => Some(segment.flags),
        Ok(Packet::Unreachable(_)) | Err(_) => None,
    })
}
