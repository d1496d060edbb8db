//! The timestamp clocks of both sides (RFC 7323): whether they run, and the latest TSval.

use super::Pending;
use crate::handshake::facts::Fact;
use crate::packet::{Flags, Segment, Span};

/// Timestamps of one side: the latest TSval, and the time of the first segment with it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StampClock {
    pub(super) tsval: u32,
    /// Milliseconds since the attempt's first packet.
    since: u32,
}

/// Different segments with one TSval that are further apart come from a clock that stands still (DOMAIN §4); the
/// coarsest clock that RFC 7323 §5.4 allows ticks once a second.
const STILL: u32 = 1_000;

impl Pending {
    /// Takes note of a segment's TSval.
    #[inline(always)]
    pub(super) fn watch_clock(&mut self, segment: &Segment, from_client: bool) {
        let Some((tsval, _)) = segment.options.timestamps() else { return };
        if segment.flags.contains(Flags::RST) {
            return;
        }
        let millis = segment.at.since(self.start).max(Span::ZERO).as_nanos() / 1_000_000;
        let now = u32::try_from(millis).unwrap_or(u32::MAX);
        let clock = if from_client { &mut self.client_clock } else { &mut self.server_clock };
        if clock.tsval != tsval {
            *clock = StampClock { tsval, since: now };
        } else if now.saturating_sub(clock.since) > STILL {
            self.facts.add(Fact::ClockStill);
        }
    }

    /// True if a client segment was sent later than all before it, the latest of which had the TSval `before`. Without
    /// timestamps, or with a clock that stands still, that is unknown and taken as true.
    pub(super) fn is_newer(&self, segment: &Segment, before: u32) -> bool {
        match segment.options.timestamps() {
            Some((tsval, _)) if tsval != 0 && before != 0 && !self.facts.has(Fact::ClockStill) => {
                tsval.wrapping_sub(before).cast_signed() > 0
            }
            Some(_) | None => true,
        }
    }
}
