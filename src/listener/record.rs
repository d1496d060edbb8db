//! The tallies of one listener, and the attempts that may still get another cause: bounded in size.

use super::kernel_history::KernelHistory;
use super::observed::Observed;
use super::schedule::Schedule;
use super::size::BoundedLoad;
use super::sole_client::SoleClient;
use super::tally::{RetrySums, Tally};
use super::times::TimingDistributions;
use super::totals::Totals;
use crate::handshake::{Attempt, Fact, Verdict};

/// Everything kept of one listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Record {
    pub(super) verdicts: Tally,
    /// Completed attempts that nothing proves.
    pub(super) unproven: u64,
    pub(super) times: TimingDistributions,
    /// Attempts that retries delayed, or that the server stalled.
    pub(super) late: u64,
    /// Attempts that failed or lied, and did not just come late.
    pub(super) failed: u64,
    pub(super) retries: RetrySums,
    /// The client of all attempts, if it is one.
    pub(super) client: SoleClient,
    pub(super) schedule: Schedule,
    pub(super) load: BoundedLoad,
    pub(super) kernel: KernelHistory,
    pub(super) observed: Observed,
    /// Totals of the attempts that are not kept, with the causes known when they were settled.
    pub(super) settled: Totals,
    /// Attempts whose cause may still change with those of others. They are large and many: a list of them all in one
    /// place would be copied, and half empty, each time that it grows.
    #[expect(clippy::vec_box, reason = "see above")]
    pub(super) cases: Vec<Box<Attempt>>,
}

impl Record {
    /// Tallies a settled attempt, but for its cause.
    pub(super) fn add(&mut self, attempt: &Attempt) {
        self.verdicts.add(attempt.verdict);
        if attempt.verdict.is_completed() {
            self.kernel.count_completed();
        }
        self.unproven += u64::from(attempt.unproven.is_some());
        self.times.add(attempt);
        self.load.add(attempt);
        self.late += u64::from(attempt.is_late());
        self.failed += u64::from(attempt.verdict.is_problem() && !attempt.is_late());
        self.retries.add(attempt.retries);
        self.client.see(attempt);
        if attempt.verdict == Verdict::SynackRetransmitted {
            self.schedule.add(attempt);
        }
        self.observed.see(attempt);
    }

    /// Adds the counts of another listener of the same scan: the times and the queue of a listener that nobody used are
    /// of no interest.
    pub(super) fn merge_scanned(&mut self, other: &Self) {
        self.verdicts.merge(&other.verdicts);
        self.unproven += other.unproven;
        self.late += other.late;
        self.failed += other.failed;
        self.retries.merge(&other.retries);
        self.observed.answered += other.observed.answered;
        self.observed.refused += other.observed.refused;
        self.observed.odd_answers += other.observed.odd_answers;
    }
}

/// True if what other attempts show may change the attempt's cause; otherwise its own packets explain it.
pub(super) fn is_open_case(attempt: &Attempt) -> bool {
    let facts = attempt.facts;
    match attempt.verdict {
        Verdict::Completed => {
            facts.has(Fact::ResetUnserved)
                || facts.has(Fact::TooBig)
                || facts.has(Fact::SackedBeyondHole)
                || attempt.established.is_none()
        }
        Verdict::Refused | Verdict::Unreachable => false,
        Verdict::CompletedLate
        | Verdict::SynackRetransmitted
        | Verdict::ResetAfterAck
        | Verdict::AckIgnored
        | Verdict::Unanswered
        | Verdict::HalfOpen
        | Verdict::ClientReset
        | Verdict::Undetermined => true,
    }
}
