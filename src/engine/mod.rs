//! Runs the analysis: frames from a source through decoding and tracking to the listeners and a sink.
//!
//! Owns batches, threads and shards. Does not own any meaning. The result is the same, byte for byte,
//! whatever the number of threads.

#![deny(clippy::disallowed_methods)]

mod bounds;
mod intake;
mod packet_clock;
mod placement;
mod pool;
mod sharded;
mod single;
mod steps;

use std::io;

pub use single::Analysis;

use crate::capture::{CaptureInfo, Source, SourceStatus};
use crate::handshake::{Attempt, Counts};
use crate::listener::{Listener, Listeners, Tally};
use crate::packet::Skip;

/// How an analysis is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnalysisOptions {
    /// Threads to use: 1 does everything on the caller's; of more, one reads, and all track. More than five are not
    /// used.
    pub threads: usize,
    /// Undecided attempts to hold at most; the oldest past that are evicted.
    pub max_attempts: usize,
    /// Listeners to keep apart at most.
    pub max_listeners: usize,
}

impl AnalysisOptions {
    /// Undecided attempts held unless told otherwise: about 390 MiB when all are there.
    pub const DEFAULT_MAX_ATTEMPTS: usize = 1_000_000;
}

impl Default for AnalysisOptions {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            max_attempts: Self::DEFAULT_MAX_ATTEMPTS,
            max_listeners: Listeners::DEFAULT_LIMIT,
        }
    }
}

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

/// Packets by use. `total` = `tcp` + all of `skipped` + ICMP errors used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacketCounts {
    /// Packets that passed the filter, if one was given.
    pub total: u64,
    /// TCP segments.
    pub tcp: u64,
    /// Copies of segments of undecided attempts, recognised as such.
    pub copies: u64,
    /// TCP segments of connections whose handshake is not in the capture.
    pub midstream: u64,
    /// Unused packets by reason, indexed as [`Skip::ALL`].
    pub skipped: [u64; Skip::ALL.len()],
}

impl PacketCounts {
    /// These counts of the intake, with what the tracker alone can tell.
    #[must_use]
    fn with(mut self, tracked: Counts) -> Self {
        self.copies = tracked.copies;
        self.midstream = tracked.midstream;
        self.skipped[Skip::NotTcp as usize] += tracked.unmatched_errors;
        self.tcp -= tracked.lost;
        self.skipped[Skip::Truncated as usize] += tracked.lost;
        self
    }
}

/// Takes attempts as they are decided.
pub trait Sink {
    /// One decided attempt, in order of decision, its cause as known by then.
    ///
    /// # Errors
    ///
    /// An output error; it ends the analysis.
    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()>;

    /// Everything that has arrived was analysed and more may be long in coming ([`SourceStatus::Drained`]):
    /// hand on what was buffered.
    ///
    /// # Errors
    ///
    /// An output error; it ends the analysis.
    fn drained(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// An attempt that shows an overflow and is not decided yet.
    ///
    /// # Errors
    ///
    /// An output error; it ends the analysis.
    fn provisional(&mut self, attempt: &Attempt) -> io::Result<()> {
        let _ = attempt;
        Ok(())
    }
}

/// Packets per batch. Small enough that a batch stays in the second-level cache on its way from the
/// reading to the tracking thread, large enough that handing it over costs nothing per packet.
const BATCH: usize = 2048;

/// Analyses a source to its end. Returns the summary and the listeners, which can still infer causes with
/// all that is known.
///
/// # Errors
///
/// Only the sink's: damage in the input is told in [`CaptureInfo::damaged`].
pub fn analyse<S: Source + Send>(
    source: &mut S,
    options: &AnalysisOptions,
    sink: &mut dyn Sink,
) -> io::Result<(Summary, Listeners)> {
    if options.threads > 1 {
        return sharded::analyse(source, options, sink);
    }
    alone(source, options, sink)
}

/// [`analyse`] on the caller's thread.
fn alone<S: Source>(
    source: &mut S,
    options: &AnalysisOptions,
    sink: &mut dyn Sink,
) -> io::Result<(Summary, Listeners)> {
    let mut analysis = Analysis::new(options);
    while analysis.step(source, sink)? != SourceStatus::End {}
    analysis.finish(sink)?;
    Ok(analysis.into_parts(source.captures()))
}
