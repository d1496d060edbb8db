//! A shard of the flows, and what is done with it at the end of each batch.
//!
//! Owns the order of these steps, which is the same for one shard of all flows on one thread and for several on many.
//! Does not own which thread does them, nor where findings go.

use super::batch::BatchEnd;
use super::bounds::{Bounds, Eviction, Standstill};
use super::options::AnalysisOptions;
use super::steps::Steps;
use crate::handshake::{Batch, Finding, Tracker};
use crate::packet::Timestamp;

/// A tracker of some of the flows, or of all, and how far it is with the end of a batch.
#[derive(Default)]
pub(super) struct Shard {
    tracker: Tracker,
    standstill: Standstill,
    /// The packet clock at the end of the last batch.
    now: Option<Timestamp>,
    stage: ShardStage,
}

/// Progress of a shard with the end of a batch.
#[derive(Debug, Clone, Copy, Default)]
enum ShardStage {
    /// Done with it; the packets of the next batch can be taken.
    #[default]
    Ready,
    /// Time advances to this end in steps, of which these are left.
    Advancing(BatchEnd, Steps),
    /// Waiting for the eviction that is decided once all shards are at this end.
    Waiting(BatchEnd),
    /// The eviction was decided and is to be applied.
    Evicting(BatchEnd, Eviction),
}

/// Result of one step of the end of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndStep {
    /// Findings before this time can be delivered: no earlier ones will follow.
    Until(Timestamp),
    /// Nothing, until an eviction was decided over all shards that have taken so many packets of the whole input.
    NeedsEviction(u64),
    /// All findings of the batch can be delivered; the batch has ended.
    Ended,
}

impl Shard {
    /// A shard that has seen nothing.
    pub(super) fn new(options: &AnalysisOptions) -> Self {
        let tracker = Tracker::new().with_duplicates_after(options.duplicates_after).with_path(options.path);
        let tracker = if options.reports_stuck { tracker.reporting_stuck() } else { tracker };
        Self { tracker, ..Self::default() }
    }

    /// Takes packets of a batch, in order.
    pub(super) fn take(&mut self, packets: &Batch) {
        self.tracker.take(packets);
    }

    /// Begins the end of a batch, once all its packets were taken.
    pub(super) fn end_batch(&mut self, end: BatchEnd, bounds: &Bounds) {
        let before = self.now;
        self.tracker.set_lacking(end.survey.lacks_bare_acks(), end.survey.lacks_answers());
        self.tracker.set_crowded(bounds.is_crowded());
        self.now = before.max(end.now);
        self.stage = ShardStage::Advancing(end, bounds.steps(before, self.now));
    }

    /// Takes one step of the end of a batch; `None` when no batch is ending. `bounds` are those of the last eviction.
    pub(super) fn step(&mut self, bounds: &Bounds) -> Option<EndStep> {
        match &mut self.stage {
            ShardStage::Ready => None,
            ShardStage::Advancing(end, steps) => {
                if let Some(time) = steps.next() {
                    self.tracker.advance(time);
                    return Some(EndStep::Until(time));
                }
                let end = *end;
                if let Some(now) = self.now {
                    self.tracker.advance(now);
                }
                // After time has advanced: an attempt that is due does not have to be evicted.
                if end.is_bounded() && end.total > bounds.safe() {
                    self.stage = ShardStage::Waiting(end);
                    return Some(EndStep::NeedsEviction(end.total));
                }
                Some(self.conclude(end))
            }
            ShardStage::Waiting(end) => Some(EndStep::NeedsEviction(end.total)),
            ShardStage::Evicting(end, eviction) => {
                eviction.apply(&mut self.tracker);
                let end = *end;
                Some(self.conclude(end))
            }
        }
    }

    fn conclude(&mut self, end: BatchEnd) -> EndStep {
        if end.is_bounded() {
            self.standstill.check(&mut self.tracker, end.total, self.now);
        }
        self.stage = ShardStage::Ready;
        EndStep::Ended
    }

    /// Has the next step apply an eviction, if the shard waits for one.
    pub(super) fn evict(&mut self, eviction: Eviction) {
        if let ShardStage::Waiting(end) = self.stage {
            self.stage = ShardStage::Evicting(end, eviction);
        }
    }

    /// True if no batch is ending, so that the packets of the next one can be taken.
    pub(super) const fn is_ready(&self) -> bool {
        matches!(self.stage, ShardStage::Ready)
    }

    /// True if time is advancing, in steps or at once, to the end of a batch.
    pub(super) const fn is_advancing(&self) -> bool {
        matches!(self.stage, ShardStage::Advancing(..))
    }

    /// Packets of the whole input so far, if an eviction has to be decided before the next step.
    pub(super) const fn needs_eviction(&self) -> Option<u64> {
        match self.stage {
            ShardStage::Waiting(end) => Some(end.total),
            ShardStage::Ready | ShardStage::Advancing(..) | ShardStage::Evicting(..) => None,
        }
    }

    /// The packet clock at the end of the last batch.
    pub(super) const fn now(&self) -> Option<Timestamp> {
        self.now
    }

    /// Takes out the findings, all of them or those before some time. `buffer`, which is empty, holds the next ones.
    pub(super) fn findings(&mut self, before: Option<Timestamp>, buffer: Vec<Finding>) -> Vec<Finding> {
        self.tracker.hand_over(before, buffer)
    }

    /// The tracker of its flows.
    pub(super) const fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// The same, to finish and drain it.
    pub(super) const fn tracker_mut(&mut self) -> &mut Tracker {
        &mut self.tracker
    }

    pub(super) fn into_tracker(self) -> Tracker {
        self.tracker
    }
}
