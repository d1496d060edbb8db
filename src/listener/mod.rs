//! Per-listener tallies, causes that need more than one attempt, and the diagnosis: as data.
//!
//! Takes findings in the order they were made, and the kernel's counters where they are read (`kernel`). Does not own
//! how findings are made (`handshake`), nor the sentences (`report/wording`). Packet time only.

#![deny(clippy::disallowed_methods)]

mod advice;
mod attempt_filter;
mod capture_limits;
mod client_failures;
mod clients;
pub mod comparison;
mod conclude;
mod diagnosis;
mod dropped_segments;
mod episode;
mod episodes;
mod evidence;
mod flood_run;
mod histogram;
mod hypotheses;
mod kernel_history;
mod latest;
mod listeners;
mod message_points;
mod messages;
mod observed;
mod paths;
mod point_routes;
mod record;
mod round_trip_samples;
mod scan;
mod schedule;
mod sightings;
pub mod size;
mod sole_client;
mod stamps;
mod tally;
#[cfg(test)]
mod tests;
mod times;
mod totals;
mod verdict_set;

pub use advice::{Advice, AdviceKind};
pub use attempt_filter::{AttemptFilter, CauseSet};
pub use capture_limits::{CaptureLimits, Coverage, Coverages, LimitSets};
pub use clients::Clients;
pub use diagnosis::Diagnosis;
pub use dropped_segments::KernelDrop;
pub use episode::{Episode, EpisodeReport, EpisodeState};
pub(crate) use episodes::{EPISODE_GAP, is_trouble};
pub use evidence::{KernelFigures, ListenerEvidence, ListenerEvidenceCode};
pub use histogram::Percentiles;
pub use hypotheses::{CauseGuide, cause_guides};
pub use listeners::{CausesWanted, Listeners};
pub use message_points::points_on_way;
pub use messages::{Message, MessageMeaning, Sender, SilentEnd, ending, messages};
pub use scan::Scan;
pub use schedule::{LINUX_SYNACK_TIMES, RetrySchedule};
pub use sightings::Sightings;
pub use tally::{RetrySums, Tally};
pub use verdict_set::VerdictSet;

use strum::EnumCount;

use crate::handshake::{Cause, Confidence, RuledOut, Verdict};
use crate::kernel::KernelStats;
use crate::packet::{Endpoint, Timestamp};

/// All attempts to one server address and port, summed up.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Address of the listener; `None` for a scan of several, and for the line that folds listeners past the bound.
    pub server: Option<Endpoint>,
    /// Further address that clients use, which is translated to `server` on the way; `None` where none is known.
    pub published: Option<Endpoint>,
    /// Scan by one client, whose listeners are summed up here and have no line of their own.
    pub scan: Option<Scan>,
    /// Attempts by verdict.
    pub verdicts: Tally,
    /// Completed attempts that nothing proves.
    pub unproven: u64,
    /// First SYN to the SYN-ACK that the client took, over its attempts.
    pub connect_time: Option<Percentiles>,
    /// The part of that which retries cost, over the attempts that they cost any.
    pub delay: Option<Percentiles>,
    /// Distribution of the time by which the server was late after the ACK, over the attempts to which it was late.
    pub stall: Option<Percentiles>,
    /// Attempts to which it was late.
    pub stalled: u64,
    /// Retries, summed.
    pub retries: RetrySums,
    /// Every cause that explains some of its attempts.
    pub causes: Vec<CauseCount>,
    /// The cause that explains most of its problems.
    pub cause: Option<Cause>,
    /// `net.ipv4.tcp_abort_on_overflow`, as the attempts show it.
    pub abort_on_overflow: Option<bool>,
    /// Confidence in the cause; `None` exactly where `cause` is.
    pub confidence: Option<Confidence>,
    /// Evidence for the cause, or of the unexplained problems where there is none; strongest first.
    pub evidence: Vec<ListenerEvidence>,
    /// Causes that were excluded, by what, and for how many of its attempts.
    pub ruled_out: Vec<(RuledOut, u64)>,
    /// Attempts whose verdict is a problem, and that are none: a deferral, a health check.
    pub no_problem: u64,
    /// Attempts that completed and broke afterwards: the listener was closed before it served them, or their data is lost.
    pub broken: u64,
    /// Attempts that completed late, or were answered late.
    pub late: u64,
    /// Attempts that failed or lied, also after their handshake, and did not just come late.
    pub failed: u64,
    /// Attempts that were answered with other numbers, or from another address.
    pub odd_answers: u64,
    /// State of the listener, drawn from its attempts, their causes and the kernel's counts.
    pub diagnosis: Diagnosis,
    /// Stretches of trouble, in order of their start.
    pub episodes: Vec<Episode>,
    /// Numbers of clients whose attempts overflowed its queue, by what `connect()` returned to them.
    pub clients: Clients,
    /// Advice: things to check or to fix.
    pub advice: Vec<Advice>,
    /// Start of the first attempt that its cause explains.
    pub since: Option<Timestamp>,
    /// End of the last attempt that its cause explains.
    pub until: Option<Timestamp>,
    /// Estimate of how large its accept queue should have been, where it overflowed at likely or confirmed.
    pub size: Option<size::Size>,
    /// Kernel stats of the listener, where it runs on this machine and the capture is live.
    pub kernel: Option<KernelStats>,
}

impl Listener {
    /// Attempts that failed, stalled or lied.
    #[must_use]
    pub fn problems(&self) -> u64 {
        self.verdicts.problems().saturating_sub(self.no_problem) + self.broken
    }

    /// True if the listener has a cause or a problem, or its clients were kept waiting.
    #[must_use]
    pub fn is_notable(&self) -> bool {
        self.cause.is_some() || self.problems() > 0 || self.late > 0
    }
}

/// The attempts of a listener that one cause explains.
#[derive(Debug, Clone, PartialEq)]
pub struct CauseCount {
    /// The cause.
    pub cause: Cause,
    /// The attempts, by verdict.
    pub verdicts: Tally,
    /// Highest confidence of the attempts with each verdict; `None` where the cause explains none of them.
    surest: [Option<Confidence>; Verdict::COUNT],
    /// Highest confidence of the attempts that completed late or were stalled; `None` if it explains none of those.
    pub surest_late: Option<Confidence>,
}

impl CauseCount {
    /// A cause with its attempts, and how surely at best it explains those of each verdict, in their order.
    pub(crate) fn new(
        cause: Cause,
        verdicts: Tally,
        surest: impl IntoIterator<Item = Option<Confidence>>,
    ) -> Self {
        let mut count = Self { cause, verdicts, surest: [None; Verdict::COUNT], surest_late: None };
        count.surest.iter_mut().zip(surest).for_each(|(place, confidence)| *place = confidence);
        count
    }

    /// Highest confidence with which the cause explains an attempt of this verdict; `None` if it explains none.
    #[must_use]
    pub const fn surest(&self, verdict: Verdict) -> Option<Confidence> {
        self.surest[verdict as usize]
    }

    /// Highest confidence with which the cause explains any attempt.
    #[must_use]
    pub fn confidence(&self) -> Option<Confidence> {
        self.surest.into_iter().max().flatten()
    }
}
