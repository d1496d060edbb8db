//! A listener's record summed up: its cause and what is wrong with it, as data. Does not own the evidence (`evidence`),
//! nor the sentences (`report/wording`).

use strum::IntoEnumIterator;

use super::Listener;
use super::advice::{Advice, advice};
use super::evidence::evidence;
use super::record::{Record, Tally};
use super::size::{Answer, Size};
use crate::handshake::{Cause, Confidence, KernelEvidence, Verdict};
use crate::kernel::KernelStats;
use crate::packet::Endpoint;

/// What is wrong with a listener, beside its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Diagnosis {
    /// Its cause explains some of its attempts.
    Explained {
        /// Those attempts, by verdict.
        affected: Tally,
        /// It answered at least one SYN. Never said of several servers: it may be another one that did.
        answers: bool,
    },
    /// Its accept queue overflowed by the kernel's count, and no attempt shows it.
    CountedByKernel,
    /// Attempts look like an overflow, but the kernel counted none.
    DeniedByKernel {
        /// How many.
        attempts: u64,
    },
    /// Some attempts got no answer, others did; that explains most of its problems.
    PartlyUnanswered,
    /// Attempts did not complete, and the packets do not show why.
    Unexplained,
    /// No problem is seen, but some attempts are undetermined.
    Undetermined,
    /// Every attempt completed.
    Healthy,
}

/// The listener as the outputs show it.
pub(super) fn listener(server: Option<Endpoint>, record: &Record) -> Listener {
    let kernel = kernel_on_overflow(record);
    let cause = main_cause(record).filter(|&cause| !(is_overflow(cause) && denies(kernel)));
    // Once the kernel has counted an overflow, it explains SYNs without an answer.
    let silent = cause == Some(Cause::Filtered)
        && record.tally_of(Cause::Filtered).verdicts.get(Verdict::Unreachable) == 0;
    let unseen = (cause.is_none() || silent) && kernel_alone(record);
    let cause = if unseen { Some(Cause::AcceptQueueOverflow) } else { cause };
    let tally = cause.map(|cause| record.tally_of(cause)).unwrap_or_default();
    let confirmed =
        unseen || cause.is_some_and(is_overflow) && kernel.is_some_and(|kernel| kernel.overflowed);
    let diagnosis = match cause {
        None => without_cause(record),
        Some(cause) if is_overflow(cause) && kernel_alone(record) => Diagnosis::CountedByKernel,
        Some(_) => Diagnosis::Explained {
            affected: tally.verdicts,
            answers: server.is_some() && record.answered > 0,
        },
    };
    let confidence = if confirmed { Some(Confidence::Confirmed) } else { tally.confidence };
    let size = server.and_then(|_| size(cause, confidence, record));
    Listener {
        server,
        verdicts: record.verdicts,
        unproven: record.unproven,
        connect_time: record.times.connect(),
        delay: record.times.delay(),
        stall: record.times.stall(),
        stalled: record.times.stalled(),
        retries: record.retries,
        cause,
        abort_on_overflow: cause.filter(|&cause| is_overflow(cause)).and(abort(record)),
        confidence,
        evidence: evidence(cause, record),
        diagnosis,
        episodes: Vec::new(),
        clients: record.clients,
        advice: advice(cause, &diagnosis, record)
            .into_iter()
            .map(|advice| sized(advice, size.as_ref()))
            .collect(),
        since: tally.span.map(|(from, _)| from),
        until: tally.span.map(|(_, to)| to),
        size,
        kernel: record.kernel.stats().cloned(),
    }
}

/// Advice to raise the backlog, where that helps.
fn sized(advice: Advice, size: Option<&Size>) -> Advice {
    match (advice, size.map(|size| size.answer)) {
        (Advice::AcceptFaster, Some(Answer::NothingAccepted { .. })) => Advice::FindWhyNothingIsAccepted,
        (Advice::AcceptFaster, Some(Answer::Outrun { .. })) => Advice::OnlyAcceptFaster,
        (advice, _) => advice,
    }
}

/// How large the queue should have been, where it is sure enough that it overflowed.
fn size(cause: Option<Cause>, confidence: Option<Confidence>, record: &Record) -> Option<Size> {
    let sure = cause.is_some_and(is_overflow) && confidence > Some(Confidence::Possible);
    let limit = record.kernel.stats().and_then(|kernel| kernel.send_q);
    sure.then(|| record.load.size(limit)).flatten()
}

pub(super) fn is_overflow(cause: Cause) -> bool {
    cause == Cause::AcceptQueueOverflow
}

/// What the kernel counted in the time in which the attempts show an overflow.
pub(super) fn kernel_on_overflow(record: &Record) -> Option<KernelEvidence> {
    let (from, to) = record.tally_of(Cause::AcceptQueueOverflow).span?;
    record.kernel.evidence(from, to, record.retries.after_ack)
}

/// Whether the kernel counted overflows of this queue that no attempt shows: the clients are still waiting, or are not
/// in the capture.
fn kernel_alone(record: &Record) -> bool {
    record.overflowed().total() == 0 && record.kernel.stats().and_then(KernelStats::overflowed) == Some(true)
}

fn denies(kernel: Option<KernelEvidence>) -> bool {
    kernel.is_some_and(|kernel| !kernel.overflowed)
}

/// How many attempts look like an overflow of which the kernel counted none.
pub(super) fn denied(record: &Record) -> u64 {
    let undone = if denies(kernel_on_overflow(record)) { record.overflowed().total() } else { 0 };
    record.denied + undone
}

/// The cause that matters most: an overflow wherever there is one, else the most frequent.
fn main_cause(record: &Record) -> Option<Cause> {
    let attempts = |cause| record.tally_of(cause).verdicts.total();
    let overflow = record.tally_of(Cause::AcceptQueueOverflow);
    // A few lone repeats beside many deferred accepts are not the listener's problem.
    if overflow.verdicts.total() > 0
        && (overflow.confidence > Some(Confidence::Possible)
            || overflow.verdicts.total() >= attempts(Cause::DeferAccept))
    {
        return Some(Cause::AcceptQueueOverflow);
    }
    let causes = Cause::iter().filter(|&cause| cause != Cause::Filtered || is_filtered(record));
    let frequent = causes.max_by_key(|&cause| attempts(cause))?;
    (attempts(frequent) > 0).then_some(frequent)
}

/// Whether attempts without an answer are still to be called filtered: not for their silence alone, once another client
/// was answered.
fn is_filtered(record: &Record) -> bool {
    !has_answered(record) || record.tally_of(Cause::Filtered).verdicts.get(Verdict::Unreachable) > 0
}

/// Whether any SYN got an answer, if only RST.
fn has_answered(record: &Record) -> bool {
    record.answered + record.verdicts.get(Verdict::Refused) > 0
}

/// Which `tcp_abort_on_overflow` the overflows show; `None` where they show neither, or both.
fn abort(record: &Record) -> Option<bool> {
    let [ignored, reset] = record.settings.map(|attempts| attempts > 0);
    if !ignored && !reset {
        // SYN drops and SYN cookies look the same with either setting.
        if kernel_alone(record) {
            return record.kernel.stats()?.abort_on_overflow;
        }
        return kernel_on_overflow(record).filter(|kernel| kernel.overflowed)?.abort_on_overflow;
    }
    (ignored != reset).then_some(reset)
}

/// Whether a cause is inferred nowhere with more than a possibility.
pub(super) fn possible(cause: Cause, record: &Record) -> bool {
    record.tally_of(cause).confidence <= Some(Confidence::Possible)
}

fn without_cause(record: &Record) -> Diagnosis {
    let denied = denied(record);
    if denied > 0 {
        Diagnosis::DeniedByKernel { attempts: denied }
    } else if record.verdicts.problems() > 0 && left_some(record) {
        Diagnosis::PartlyUnanswered
    } else if record.verdicts.problems() > 0 {
        Diagnosis::Unexplained
    } else if record.verdicts.get(Verdict::Undetermined) > 0 {
        Diagnosis::Undetermined
    } else {
        Diagnosis::Healthy
    }
}

/// Whether most of its problems are SYNs that got no answer, while others did.
fn left_some(record: &Record) -> bool {
    let unanswered = record.verdicts.get(Verdict::Unanswered);
    has_answered(record) && unanswered > 0 && unanswered * 2 >= record.verdicts.problems()
}
