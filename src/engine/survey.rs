//! Properties of the capture itself, as all packets show them: which flags occur, whether times are those of a clock.

use crate::handshake::Offsets;
use crate::packet::{self, Flags, Frame, Frames, Packet, Seq};

/// Properties of the capture itself, as all packets together show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Survey {
    /// A segment with no flag but ACK occurs. Every completed handshake has one.
    pub has_bare_ack: bool,
    /// SYNs that were answered before the first bare ACK, and whose client did not reset the answer.
    pub answered_syns: u64,
    /// The numbers that the latest of these answers acknowledge.
    pub(super) latest_answered: [Option<Seq>; 32],
    /// No packet's time has a fraction of a second; `None` before the first one.
    pub whole_seconds: Option<bool>,
    /// Times that went back by more than a second, or ahead without the next packet.
    pub clock_jumps: u64,
    /// Differences of time between SYNs and their duplicates.
    pub offsets: Offsets,
}

impl Survey {
    /// True if the capture has several answered SYNs and not one bare ACK.
    #[must_use]
    pub const fn lacks_bare_acks(&self) -> bool {
        /// Fewest answered SYNs that count: one or two clients may be half-open by themselves.
        const SYNS: u64 = 3;
        !self.has_bare_ack && self.answered_syns >= SYNS
    }

    /// Takes frames. Nearly always the first ones answer all that they can, and the others need not be looked at.
    #[inline(always)]
    pub(super) fn take(&mut self, frames: &Frames<'_>) {
        if !self.has_bare_ack || self.whole_seconds != Some(false) {
            self.look_at(frames);
        }
    }

    #[cold]
    fn look_at(&mut self, frames: &Frames<'_>) {
        let whole = frames.iter().all(|frame| frame.at.as_nanos() % 1_000_000_000 == 0);
        self.whole_seconds = Some(whole && self.whole_seconds != Some(false));
        if self.has_bare_ack {
            return;
        }
        for frame in &**frames {
            let flags = flags(frame);
            self.has_bare_ack |= flags == Some(Flags::ACK);
            let answers = flags.is_some_and(|flags| flags.contains(Flags::SYN.union(Flags::ACK)));
            if !answers && flags != Some(Flags::RST) {
                continue;
            }
            let Ok(Packet::Segment(segment)) = packet::general(frame) else { continue };
            let number = if answers { segment.ack } else { segment.seq };
            match self.latest_answered.iter().position(|&answered| answered == Some(number)) {
                None if answers => {
                    self.latest_answered.rotate_right(1);
                    self.latest_answered[0] = Some(number);
                    self.answered_syns += 1;
                }
                Some(place) if !answers => {
                    // The client's answer to the SYN-ACK: an ACK is not to be expected.
                    self.latest_answered[place] = None;
                    self.answered_syns -= 1;
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
