//! Runs the analysis: frames from a source through decoding and tracking to the listeners and a sink.
//!
//! Owns batches, threads and shards. Does not own any meaning. The result is the same, byte for byte,
//! whatever the number of threads.

#![deny(clippy::disallowed_methods)]

mod batch;
mod bounds;
mod intake;
mod joining;
mod limits;
mod options;
mod packet_clock;
mod packet_counts;
pub mod packets;
mod pool;
mod shard;
mod sharded;
mod single;
mod sink;
mod steps;
mod summary;
mod survey;
mod threads;
mod undecoded;

use std::io;

pub use limits::{Limit, LimitCode};
pub use options::AnalysisOptions;
pub use packet_counts::PacketCounts;
pub use single::Analysis;
pub use sink::Sink;
pub use summary::Summary;
pub use survey::Survey;
pub use undecoded::Undecoded;

use crate::capture::{Source, SourceStatus};
use crate::listener::Listeners;

/// Analyses a source to its end. Returns the summary and the listeners, which can still infer causes with
/// all that is known.
///
/// # Errors
///
/// Only the sink's: damage in the input is reported in [`CaptureInfo::damaged`](crate::capture::CaptureInfo::damaged).
pub fn analyse<S: Source + Send>(
    source: &mut S,
    options: &AnalysisOptions,
    sink: &mut dyn Sink,
) -> io::Result<(Summary, Listeners)> {
    let duplicates_after = options.duplicates_after.or_else(|| source.duplicates_after());
    let options = &AnalysisOptions { duplicates_after, ..*options };
    let threads = options.threads.map_or_else(threads::default_count, std::num::NonZero::get);
    if threads > 1
        && let Some(result) = sharded::analyse(source, options, threads, sink)
    {
        return result;
    }
    let mut analysis = Analysis::new(options);
    while analysis.step(source, sink)? != SourceStatus::End {}
    analysis.finish(sink)?;
    Ok(analysis.into_parts(source.captures()))
}
