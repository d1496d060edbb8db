//! Use of the timestamp clocks of both sides: whether they run, and which segment is the newer one.

use super::{HandshakeSegment, Pending};
use crate::handshake::attempt::ClientClock;
use crate::handshake::facts::Fact;
use crate::packet::{Flags, Segment, Span, ticks_between};

impl Pending {
    /// Records a segment's TSval.
    #[inline(always)]
    pub(super) fn watch_clock(&mut self, segment: &Segment, from_client: bool) {
        let Some((tsval, _)) = segment.options.timestamps() else { return };
        if segment.flags.contains(Flags::RST) {
            return;
        }
        let millis = segment.at.since(self.start).max(Span::ZERO).as_nanos() / 1_000_000;
        let now = u32::try_from(millis).unwrap_or(u32::MAX);
        let clock = if from_client { &mut self.client_clock } else { &mut self.server_clock };
        if clock.stands_still(tsval, now) {
            self.facts.add(Fact::ClockStill);
        }
    }

    /// The client's clock, if its SYN carried timestamps.
    pub(in crate::handshake) fn client_clock(&self) -> Option<ClientClock> {
        let syn = self.syn.filter(HandshakeSegment::has_clock)?;
        Some(ClientClock { syn: syn.tsval(), latest: self.client_clock.tsval })
    }

    /// True if a server segment echoes a later TSval than the client's latest: the segment that it answers is not in the
    /// capture, or comes after it.
    pub(super) fn echoes_unseen(&self, segment: &Segment) -> bool {
        let latest = self.client_clock.tsval;
        let echo = segment.options.timestamps().map(|(_, tsecr)| tsecr);
        echo.is_some_and(|tsecr| latest != 0 && ticks_between(latest, tsecr) > 0)
    }

    /// True if a client segment was sent later than all before it, the latest of which had the TSval `before`. Without
    /// timestamps, or with a clock that stands still, that is unknown and taken as true.
    pub(super) fn is_newer(&self, segment: &Segment, before: u32) -> bool {
        match segment.options.timestamps() {
            Some((tsval, _)) if tsval != 0 && before != 0 && !self.facts.has(Fact::ClockStill) => {
                ticks_between(before, tsval) > 0
            }
            Some(_) | None => true,
        }
    }
}
