//! The tallies of one listener, and the attempts that may still get another cause: bounded in size.

use super::capture_limits::LimitSets;
use super::flood_run::FloodRun;
use super::kernel_history::KernelHistory;
use super::observed::Observed;
use super::schedule::Schedule;
use super::size::BoundedLoad;
use super::sole_client::SoleClient;
use super::tally::{RetrySums, Tally};
use super::times::TimingDistributions;
use super::totals::Totals;
use crate::handshake::{Attempt, Fact, System, Verdict};

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
    /// Alike SYNs of a flood, which are in the totals only once the run has ended.
    pub(super) flood_run: Option<FloodRun>,
    /// Attempts whose cause may still change with those of others. They are large and many: a list of them all in one
    /// place would be copied, and half empty, each time that it grows.
    #[expect(clippy::vec_box, reason = "see above")]
    pub(super) cases: Vec<Box<Attempt>>,
}

impl Record {
    /// The listener's system, as its SYN-ACKs show it: a listener of this machine's kernel is Linux's.
    pub(super) fn system(&self) -> Option<System> {
        let here = self.kernel.stats().map(|_| System::Linux);
        here.or_else(|| self.observed.system())
    }

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

    /// Tallies a SYN of a flood that is like those of its run and whose client is known of nothing else, and gives it their
    /// meaning; false if it is none.
    #[inline(always)]
    pub(super) fn add_to_flood(&mut self, attempt: &mut Attempt, limits: &LimitSets) -> bool {
        let Some(run) = self.flood_run.as_mut().filter(|run| run.is_like(attempt, limits)) else {
            return false;
        };
        if !self.kernel.is_empty() || self.observed.finishers.has(attempt.client.ip(), attempt.start) {
            return false;
        }
        self.verdicts.add(attempt.verdict);
        self.failed += u64::from(attempt.verdict.is_problem());
        self.load.add(attempt);
        self.client.see(attempt);
        self.observed.see_flood_syn(attempt);
        let goes_on = run.count(attempt, self.observed.floods.at(attempt.start));
        attempt.inference = run.inference().clone();
        if !goes_on {
            self.end_flood_run();
        }
        true
    }

    /// Adds a settled attempt with its cause to the totals. Further SYNs like it need not be weighed, if it is a flood's.
    pub(super) fn settle(&mut self, attempt: &Attempt, limits: LimitSets) {
        self.settled.add(attempt, &attempt.inference);
        if self.flood_run.as_ref().is_none_or(|run| !run.is_under_way(attempt))
            && let Some(run) = FloodRun::begin(attempt, limits)
        {
            self.end_flood_run();
            self.flood_run = Some(run);
        }
    }

    fn end_flood_run(&mut self) {
        if let Some(run) = self.flood_run.take() {
            run.add_to(&mut self.settled);
        }
    }

    /// Totals of the attempts that are not kept.
    pub(super) fn settled_totals(&self) -> Totals {
        let mut totals = self.settled.clone();
        self.flood_run.iter().for_each(|run| run.add_to(&mut totals));
        totals
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
                || attempt.timing.stall.is_some()
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
