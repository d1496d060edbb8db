//! The difference between the clocks of two captures.

use crate::packet::Span;

/// Difference between the clock of a capture and that of another, by the segments that both hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockShift {
    /// Time that is added to each of its times.
    pub by: Span,
    /// Largest error: the time that a packet takes between the two points. `None` if only one direction is known, so that it
    /// is a part of the difference.
    pub error: Option<Span>,
    /// SYNs that both hold.
    pub syns: u64,
    /// Index of the capture whose clock counts.
    pub reference: u16,
}
