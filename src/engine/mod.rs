//! Runs the analysis: frames from a source through decoding and tracking to listeners and a sink.
//!
//! Owns threads and batches. Does not own any meaning.

use crate::capture::CaptureInfo;
use crate::handshake::Attempt;
use crate::listener::{Listener, Tally};
use crate::packet::Skip;

/// Everything an analysis counted, but for the attempts themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The inputs.
    pub captures: Vec<CaptureInfo>,
    /// Packets by use.
    pub packets: PacketCounts,
    /// Attempts by verdict.
    pub verdicts: Tally,
    /// Listeners, the worst first.
    pub listeners: Vec<Listener>,
}

/// Packets by use. `total` = `tcp` + all of `skipped` + ICMP errors used + filtered out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacketCounts {
    /// Packets that passed the filter, if one was given.
    pub total: u64,
    /// TCP segments.
    pub tcp: u64,
    /// Copies of segments, recognised as such.
    pub copies: u64,
    /// TCP segments of connections whose handshake is not in the capture.
    pub midstream: u64,
    /// Unused packets by reason, indexed as [`Skip::ALL`].
    pub skipped: [u64; Skip::ALL.len()],
}

/// Takes attempts as they are decided.
pub trait Sink {
    /// One attempt, in order of decision, causes as known by then.
    ///
    /// # Errors
    ///
    /// An output error; it ends the analysis.
    fn attempt(&mut self, attempt: &Attempt) -> std::io::Result<()>;

    /// Everything that has arrived was analysed and more may be long in coming
    /// ([`Status::Drained`](crate::capture::Status::Drained)): hand on what was buffered.
    ///
    /// # Errors
    ///
    /// An output error; it ends the analysis.
    fn drained(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
