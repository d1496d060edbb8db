//! Distributions of the times that a listener's clients took to connect and were kept waiting.

use super::histogram::{Histogram, Percentiles};
use crate::handshake::Attempt;
use crate::packet::Span;

/// The distributions of a listener's times.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct TimingDistributions {
    connect: Histogram,
    delay: Histogram,
    stall: Histogram,
    stalled: u64,
}

impl TimingDistributions {
    /// Adds those of a settled attempt. What took no time is no delay.
    pub(super) fn add(&mut self, attempt: &Attempt) {
        let timing = &attempt.timing;
        if timing.connect.is_none() && timing.stall.is_none() {
            // Most of a flood; a delay is a part of the connect time.
            return;
        }
        self.connect.add(timing.connect);
        self.delay.add(timing.delay.filter(|&delay| delay > Span::ZERO));
        self.stalled += u64::from(timing.stall.is_some());
        self.stall.add(timing.stall);
    }

    pub(super) fn connect(&self) -> Option<Percentiles> {
        self.connect.percentiles()
    }

    pub(super) fn delay(&self) -> Option<Percentiles> {
        self.delay.percentiles()
    }

    /// Number of attempts that the server stalled.
    pub(super) fn stalled(&self) -> u64 {
        self.stalled
    }

    pub(super) fn stall(&self) -> Option<Percentiles> {
        self.stall.percentiles()
    }
}
