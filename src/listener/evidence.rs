//! Evidence for a listener's cause, as data, strongest first: what the kernel counted, then what the packets showed.
//!
//! Does not own the sentences (`report/wording`).

use smallvec::SmallVec;
use strum::{EnumCount, EnumDiscriminants, EnumIter, IntoStaticStr};

use super::record::Record;
use super::schedule::RetrySchedule;
use super::totals::{CauseTally, Totals};
use crate::handshake::{Cause, Confidence, Evidence, System, Verdict};
use crate::kernel::{Counter, KernelStats, SocketReplaced};
use crate::packet::Span;

/// A fact about a listener that supports or weakens a cause. [`ListenerEvidenceCode`] has the codes.
#[derive(Debug, Clone, PartialEq, EnumDiscriminants)]
#[strum_discriminants(
    name(ListenerEvidenceCode),
    doc = "The kind of a [`ListenerEvidence`], without its figures; its name is the `code` of the outputs.",
    derive(EnumCount, EnumIter, IntoStaticStr),
    strum(serialize_all = "kebab-case"),
    allow(missing_docs, reason = "see ListenerEvidence")
)]
pub enum ListenerEvidence {
    /// The kernel's counters of this listener and its namespace.
    KernelCounted(KernelFigures),
    /// Fewer SYN-ACK repeats or handshakes counted by this kernel than the packets show: another kernel may answer for
    /// the listener's address.
    KernelElsewhere,
    /// The packets show ignored or reset ACKs, each of which a full queue would have counted.
    KernelCountedNone,
    /// The kernel's snapshots show that all sockets of the listener were replaced by others at that time.
    SocketReplaced(SocketReplaced),
    /// ACKs that finished the handshake were ignored.
    AcksIgnored {
        /// Attempts.
        clients: u64,
        /// The capture point is near the server, so the ACKs arrived there.
        reached_server: bool,
        /// Most ACKs that were ignored in a row, of one attempt.
        in_a_row: u32,
    },
    /// ACKs, or data, were answered with a bare RST.
    AcksReset {
        /// Attempts.
        clients: u64,
        /// True if every RST answered the first ACK.
        first_acks: bool,
        /// True if every RST looks like a kernel's.
        kernel_form: bool,
    },
    /// Data or FIN after the handshake got no answer.
    DataIgnored {
        /// Attempts.
        clients: u64,
        /// Number of clients that sent nothing but FIN.
        fins: u64,
    },
    /// SYNs got no answer while the queue was full.
    SynsDropped {
        /// Attempts.
        clients: u64,
    },
    /// ACKs were ignored and others reset: no kernel with one setting does both.
    SettingChanged,
    /// The different verdicts are all effects of one full queue.
    OneQueue {
        /// True if other attempts have the verdict `completed`.
        completed: bool,
        /// True if SYNs got no answer, also those of attempts that completed late.
        unanswered: bool,
    },
    /// Clients connected late, because their first SYNs were dropped.
    LateConnects {
        /// Attempts.
        clients: u64,
    },
    /// Times at which SYN-ACKs were repeated, compared with Linux's schedule.
    RetrySchedule(RetrySchedule),
    /// Evidence of so many attempts.
    OfAttempts {
        /// The evidence; where it has figures, those of the first attempt.
        evidence: Evidence,
        /// Attempts.
        attempts: u64,
    },
}

impl ListenerEvidence {
    /// The stable name of its kind in the machine-readable outputs; that of the attempts' evidence where it is theirs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OfAttempts { evidence, .. } => evidence.code(),
            _ => ListenerEvidenceCode::from(self).into(),
        }
    }
}

/// The kernel's counters from the first snapshot to the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelFigures {
    /// Time from the first snapshot of the counters to the latest.
    pub span: Span,
    /// Packets that the listener dropped, where the kernel counts them.
    pub drops: Option<u64>,
    /// Most connections that were seen waiting in its queue.
    pub most_waiting: u32,
    /// The queue's limit; `None` where it may not be read.
    pub limit: Option<u32>,
    /// Growth of the namespace's ListenOverflows.
    pub overflows: Option<u64>,
    /// Growth of the namespace's ListenDrops.
    pub listen_drops: Option<u64>,
}

impl From<&KernelStats> for KernelFigures {
    fn from(stats: &KernelStats) -> Self {
        Self {
            span: stats.span,
            drops: stats.drops,
            most_waiting: stats.recv_q_max,
            limit: stats.send_q,
            overflows: stats.namespace.get(Counter::ListenOverflows),
            listen_drops: stats.namespace.get(Counter::ListenDrops),
        }
    }
}

/// The kernel's latest figures of a listener.
pub(super) fn figures(record: &Record) -> Option<&KernelStats> {
    record.kernel.stats()
}

/// The evidence for a listener's cause, strongest first.
pub(super) fn evidence(
    cause: Option<Cause>,
    tally: &CauseTally,
    record: &Record,
    totals: &Totals,
) -> Vec<ListenerEvidence> {
    let mut evidence = of_kernel(cause, record, totals);
    evidence.extend(replaced(cause, tally, record).map(ListenerEvidence::SocketReplaced));
    let attempts = match cause {
        Some(Cause::AcceptQueueOverflow) => {
            evidence.extend(of_overflow(tally, record, totals));
            // The evidence pushed above already has these facts, with the listener's own figures.
            tally.evidence.iter().filter(|(evidence, _)| !is_summarised(*evidence)).copied().collect()
        }
        Some(Cause::PathMtu) if tally.evidence.is_empty() => {
            SmallVec::from_iter([(Evidence::TooBig, record.observed.oversized.connections)])
        }
        Some(_) => tally.evidence.clone(),
        None => totals.unexplained.clone(),
    };
    evidence.extend(
        attempts.into_iter().map(|(evidence, attempts)| ListenerEvidence::OfAttempts { evidence, attempts }),
    );
    evidence
}

/// The replacement of the listener's sockets, where its clients were reset or refused at that time.
fn replaced(cause: Option<Cause>, tally: &CauseTally, record: &Record) -> Option<SocketReplaced> {
    /// Packets are stamped, and sockets listed, at different moments.
    const SLACK: Span = Span::from_secs(1);
    let replaced = figures(record)?.replaced.filter(|_| {
        matches!(cause, Some(Cause::ListenerClosed | Cause::PortClosed | Cause::ApplicationReset))
    })?;
    let (from, to) = tally.span?;
    (from <= replaced.until.plus(SLACK) && replaced.from.minus(SLACK) <= to).then_some(replaced)
}

/// Evidence from the kernel's counters; empty unless the cause is an overflow, or attempts look like one that the
/// kernel did not count.
fn of_kernel(cause: Option<Cause>, record: &Record, totals: &Totals) -> Vec<ListenerEvidence> {
    let matters = cause == Some(Cause::AcceptQueueOverflow) || totals.denied > 0;
    let Some(stats) = figures(record).filter(|_| matters) else { return Vec::new() };
    if record.kernel.is_elsewhere(record.retries.after_ack) {
        return vec![ListenerEvidence::KernelElsewhere];
    }
    let denied = (totals.denied > 0).then_some(ListenerEvidence::KernelCountedNone);
    std::iter::once(ListenerEvidence::KernelCounted(stats.into())).chain(denied).collect()
}

/// True for evidence of an attempt that the listener's own evidence of an overflow replaces, with figures of all
/// attempts.
fn is_summarised(evidence: Evidence) -> bool {
    matches!(
        evidence,
        Evidence::AcksIgnored(_)
            | Evidence::AckReachedServer
            | Evidence::RstAnswersFirstAck
            | Evidence::DataUnanswered(_)
            | Evidence::OthersOverflowed
            | Evidence::KernelOverflowed
    )
}

fn of_overflow(tally: &CauseTally, record: &Record, totals: &Totals) -> Vec<ListenerEvidence> {
    let of = |verdict| tally.verdicts.get(verdict);
    let (ignored, reset) = (of(Verdict::SynackRetransmitted), of(Verdict::ResetAfterAck));
    let (silent, unanswered, late) =
        (of(Verdict::AckIgnored), of(Verdict::Unanswered), of(Verdict::CompletedLate));
    let sure = tally.confidence() > Some(Confidence::Possible);
    let mut why = Vec::new();
    if ignored > 0 {
        let near = record.observed.is_captured_near_server();
        let in_a_row = totals.most_ignored;
        why.push(ListenerEvidence::AcksIgnored { clients: ignored, reached_server: near && sure, in_a_row });
    }
    if reset > 0 {
        let has = |doubt: fn(Evidence) -> bool| tally.evidence.iter().any(|&(evidence, _)| doubt(evidence));
        let later = has(|evidence| matches!(evidence, Evidence::RstAnswersLaterSegment(_)));
        let first_acks = totals.clients.reset == reset && !later;
        let kernel_form = !has(|evidence| evidence == Evidence::RstNotKernelForm);
        why.push(ListenerEvidence::AcksReset { clients: reset, first_acks, kernel_form });
    }
    if silent > 0 {
        why.push(ListenerEvidence::DataIgnored { clients: silent, fins: totals.fins_ignored });
    }
    if unanswered > 0 {
        why.push(ListenerEvidence::SynsDropped { clients: unanswered });
    }
    if late > 0 {
        why.push(ListenerEvidence::LateConnects { clients: late });
    }
    if ignored > 0 && reset > 0 {
        why.push(ListenerEvidence::SettingChanged);
    } else if [ignored, reset, silent, unanswered + late].iter().filter(|&&attempts| attempts > 0).count() > 1
    {
        let completed = record.verdicts.get(Verdict::Completed) > 0;
        why.push(ListenerEvidence::OneQueue { completed, unanswered: unanswered + late > 0 });
    }
    // Another system's schedule may have the same times, and has no such setting.
    if ignored > 0 && matches!(record.system(), None | Some(System::Linux)) {
        why.extend(record.schedule.seen().map(ListenerEvidence::RetrySchedule));
    }
    why
}
