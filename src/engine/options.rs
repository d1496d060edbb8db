//! Options of an analysis: its threads, its bounds, and when it reports.

use std::num::NonZeroUsize;

use crate::listener::Listeners;
use crate::packet::{PathOrder, Period, Span};

/// Options of an analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnalysisOptions {
    /// Threads to use. With 1 everything is done on the caller's thread; of more, one reads and all of them track. More
    /// than five are not used. `None` uses as many as there are processors that nobody else is using.
    pub threads: Option<NonZeroUsize>,
    /// Most undecided attempts that are held; the oldest past that are evicted.
    pub max_attempts: usize,
    /// Most listeners that are kept apart; those past that share one record.
    pub max_listeners: usize,
    /// True if attempts that look stuck are reported as soon as a retry is unanswered, or overdue: it may take minutes until
    /// they are settled. Only [`Analysis`](super::Analysis) does that.
    pub reports_stuck: bool,
    /// Time after which the source holds its packets again, captured at a second point. [`analyse`](super::analyse) asks
    /// the source.
    pub duplicates_after: Option<Span>,
    /// The attempts that count: those that begin within. Packets before and after belong to attempts as ever.
    pub counted: Period,
    /// The order of points from client to server, if it is known better than packets show it.
    pub path: PathOrder,
}

impl AnalysisOptions {
    /// Default for [`Self::max_attempts`]: about 390 MiB when all of them are there.
    pub const DEFAULT_MAX_ATTEMPTS: usize = 1_000_000;

    /// Sets a fixed number of threads; 0 leaves the choice to the analysis.
    #[must_use]
    pub const fn with_threads(self, threads: usize) -> Self {
        Self { threads: NonZeroUsize::new(threads), ..self }
    }
}

impl Default for AnalysisOptions {
    fn default() -> Self {
        Self {
            threads: None,
            max_attempts: Self::DEFAULT_MAX_ATTEMPTS,
            max_listeners: Listeners::DEFAULT_LIMIT,
            reports_stuck: false,
            duplicates_after: None,
            counted: Period::default(),
            path: PathOrder::default(),
        }
    }
}
