//! Round trips of a path, as the latest connects over it show them, and the TTL of their SYN-ACKs.

use crate::handshake::Attempt;
use crate::packet::Span;

/// Round trips of the latest connects over a path that needed no retry, as a ring.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RoundTripSamples {
    samples: [Option<RoundTripSample>; 5],
    next: u8,
}

/// The listener's port, the TTL of its SYN-ACK, and the round trips from the SYN to that, and from there to the ACK.
#[derive(Debug, Clone, Copy)]
struct RoundTripSample {
    port: u16,
    ttl: u8,
    server: Span,
    client: Span,
}

impl RoundTripSamples {
    pub(super) fn add(&mut self, attempt: &Attempt) {
        if let Some((server, client)) = attempt.unaided_round_trips() {
            let place = usize::from(self.next);
            self.next = (self.next + 1) % self.samples.len() as u8;
            let (port, ttl) = (attempt.server.port(), attempt.synack.ttl);
            self.samples[place] = Some(RoundTripSample { port, ttl, server, client });
        }
    }

    /// True if the RST that refused the attempt's SYN has another TTL than all SYN-ACKs of its listener, and came in less than half of their
    /// time.
    pub(super) fn differ_from_refusal(&self, refused: &Attempt) -> bool {
        /// Fewest SYN-ACKs: one or two may have had a detour.
        const MIN_SAMPLES: usize = 3;
        /// Shortest round trip that can be told from a shorter one.
        const MIN_ROUND_TRIP: Span = Span::from_millis(2);
        let Some(waited) = refused.reset.map(|reset| reset.since(refused.start)) else { return false };
        let differs = |sample: &RoundTripSample| {
            sample.ttl != refused.synack.ttl
                && sample.server >= MIN_ROUND_TRIP
                && waited.scaled(2, 1) <= sample.server
        };
        let port = refused.server.port();
        self.of_listener(port).count() >= MIN_SAMPLES && self.of_listener(port).all(differs)
    }

    fn of_listener(&self, port: u16) -> impl Iterator<Item = &RoundTripSample> {
        self.samples.iter().flatten().filter(move |sample| sample.port == port)
    }

    /// The medians of both round trips at one listener.
    pub(super) fn medians(&self, port: u16) -> Option<(Span, Span)> {
        let samples = || self.of_listener(port);
        let server = Span::median(samples().map(|sample| sample.server).collect())?;
        Some((server, Span::median(samples().map(|sample| sample.client).collect())?))
    }
}
