//! Why a listener's cause is what it is, as data, strongest first: what the kernel counted, what the packets showed.
//!
//! Does not own the sentences (`report/wording`).

use strum::{EnumCount, EnumDiscriminants, EnumIter, IntoStaticStr};

use super::diagnosis::{denied, is_overflow, kernel_on_overflow, possible};
use super::record::Record;
use super::schedule::RetrySchedule;
use crate::handshake::{Cause, Confidence, Vantage, Verdict};
use crate::kernel::{Counter, KernelStats};
use crate::packet::Span;

/// One fact about a listener, or one doubt. [`ListenerEvidenceCode`] has the codes.
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
    /// This kernel repeated fewer SYN-ACKs than the packets show: another one answers.
    KernelElsewhere,
    /// The packets show ignored or reset ACKs, each of which a full queue would have counted.
    KernelCountedNone,
    /// ACKs that finished the handshake were ignored.
    AcksIgnored {
        /// Attempts.
        clients: u64,
        /// The capture point is near the server, so the ACKs arrived there.
        reached_server: bool,
        /// How many in a row, at most.
        in_a_row: u32,
    },
    /// ACKs, or data, were answered with a bare RST.
    AcksReset {
        /// Attempts.
        clients: u64,
        /// All of them with the first ACK.
        first_acks: bool,
    },
    /// Data after the handshake got no answer.
    DataIgnored {
        /// Attempts.
        clients: u64,
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
        /// Some handshakes completed.
        completed: bool,
        /// Some SYNs got no answer.
        unanswered: bool,
    },
    /// When SYN-ACKs were repeated.
    RetrySchedule(RetrySchedule),
    /// Doubt: single repeats may be ACKs that were lost on the way.
    AcksMayBeLost,
    /// Doubt: a closed listener or a middlebox may send the RSTs.
    ResetMayBeAnothers,
    /// Doubt: the clients' data may be dropped on the way.
    DataMayBeDropped,
    /// Doubt: a `TCP_DEFER_ACCEPT` of one second looks the same.
    MayBeDeferred,
    /// The first SYN-ACK repeat came at the end of a defer period.
    RepeatAfterDeferPeriod {
        /// The connection was then accepted.
        accepted: bool,
    },
    /// The RST has another TTL than the SYN-ACK.
    RstHasOtherTtl,
    /// The server repeated its SYN-ACK after the RST.
    SynAckAfterRst {
        /// How often in all.
        repeats: u64,
    },
    /// The RST has another TTL than the SYN-ACK, or data followed it.
    RstFromAnother,
    /// RST answered SYNs.
    SynsRefused {
        /// Attempts.
        syns: u64,
    },
    /// No SYN got an answer.
    SynsUnanswered {
        /// Attempts.
        syns: u64,
        /// Their retries.
        retries: u64,
    },
    /// ICMP errors quote SYNs.
    IcmpErrors {
        /// Attempts.
        syns: u64,
    },
    /// Handshakes were never finished.
    HalfOpen {
        /// Attempts.
        attempts: u64,
    },
    /// The client's kernel answered SYN-ACKs with RST.
    SynAcksReset {
        /// Attempts.
        syn_acks: u64,
    },
    /// The RST carries ACK, as no RST of a full queue does.
    RstCarriesAck,
}

impl ListenerEvidence {
    /// The stable name of its kind in the machine-readable outputs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        ListenerEvidenceCode::from(self).into()
    }
}

/// The kernel's counters while it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelFigures {
    /// How long that was.
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

pub(super) fn evidence(cause: Option<Cause>, record: &Record) -> Vec<ListenerEvidence> {
    let mut evidence = Vec::new();
    let matters = cause.is_some_and(is_overflow) || denied(record) > 0;
    if let Some(stats) = record.kernel.stats().filter(|_| matters) {
        evidence.push(if record.kernel.is_elsewhere(record.retries.after_ack) {
            ListenerEvidence::KernelElsewhere
        } else {
            ListenerEvidence::KernelCounted(stats.into())
        });
    }
    match cause {
        Some(Cause::AcceptQueueOverflow) => evidence.extend(overflow(record)),
        Some(cause) => evidence.push(other(cause, record)),
        None if denied(record) > 0 => evidence.push(ListenerEvidence::KernelCountedNone),
        None => {}
    }
    evidence
}

/// Of any cause but an overflow.
fn other(cause: Cause, record: &Record) -> ListenerEvidence {
    let of = |verdict| record.verdicts.get(verdict);
    match cause {
        Cause::DeferAccept => {
            ListenerEvidence::RepeatAfterDeferPeriod { accepted: !possible(Cause::DeferAccept, record) }
        }
        Cause::FirewallReset if possible(Cause::FirewallReset, record) => ListenerEvidence::RstHasOtherTtl,
        Cause::FirewallReset => match record.retries.after_ack {
            0 => ListenerEvidence::RstFromAnother,
            repeats => ListenerEvidence::SynAckAfterRst { repeats },
        },
        Cause::PortClosed if of(Verdict::Refused) > 0 => {
            ListenerEvidence::SynsRefused { syns: of(Verdict::Refused) }
        }
        Cause::Filtered if of(Verdict::Unanswered) > 0 => {
            ListenerEvidence::SynsUnanswered { syns: of(Verdict::Unanswered), retries: record.retries.syn }
        }
        Cause::PortClosed | Cause::Filtered | Cause::HostUnreachable => {
            ListenerEvidence::IcmpErrors { syns: of(Verdict::Unreachable) }
        }
        Cause::SynFlood => ListenerEvidence::HalfOpen { attempts: of(Verdict::HalfOpen) },
        Cause::SynScan => ListenerEvidence::SynAcksReset { syn_acks: of(Verdict::ClientReset) },
        Cause::ApplicationReset | Cause::AcceptQueueOverflow => ListenerEvidence::RstCarriesAck,
    }
}

fn overflow(record: &Record) -> Vec<ListenerEvidence> {
    let overflowed = record.overflowed();
    let (ignored, reset) =
        (overflowed.get(Verdict::SynackRetransmitted), overflowed.get(Verdict::ResetAfterAck));
    let (silent, unanswered) = (overflowed.get(Verdict::AckIgnored), overflowed.get(Verdict::Unanswered));
    let confidence = record.tally_of(Cause::AcceptQueueOverflow).confidence;
    let mut evidence = Vec::new();
    if ignored > 0 {
        let near = matches!(record.vantage(), Some(Vantage::Server | Vantage::Local));
        evidence.push(ListenerEvidence::AcksIgnored {
            clients: ignored,
            reached_server: near && confidence > Some(Confidence::Possible),
            in_a_row: record.most_ignored,
        });
    }
    if reset > 0 {
        let first_acks = record.clients.reset == reset;
        evidence.push(ListenerEvidence::AcksReset { clients: reset, first_acks });
    }
    if silent > 0 {
        evidence.push(ListenerEvidence::DataIgnored { clients: silent });
    }
    if unanswered > 0 {
        evidence.push(ListenerEvidence::SynsDropped { clients: unanswered });
    }
    let several =
        [ignored, reset, silent, unanswered].into_iter().filter(|&attempts| attempts > 0).count() > 1;
    if ignored > 0 && reset > 0 {
        evidence.push(ListenerEvidence::SettingChanged);
    } else if several {
        let completed = record.verdicts.get(Verdict::Completed) > 0;
        evidence.push(ListenerEvidence::OneQueue { completed, unanswered: unanswered > 0 });
    }
    evidence.extend(record.schedule.seen().map(ListenerEvidence::RetrySchedule));
    if kernel_on_overflow(record).is_none() {
        evidence.extend(doubt(record, confidence));
    }
    evidence
}

/// What else an overflow that the kernel neither counted nor denied could be.
fn doubt(record: &Record, confidence: Option<Confidence>) -> Option<ListenerEvidence> {
    let overflowed = record.overflowed();
    if confidence != Some(Confidence::Possible) {
        let all = record.maybe_deferred > 0 && record.maybe_deferred == overflowed.total();
        return all.then_some(ListenerEvidence::MayBeDeferred);
    }
    Some(if overflowed.get(Verdict::SynackRetransmitted) > 0 {
        ListenerEvidence::AcksMayBeLost
    } else if overflowed.get(Verdict::ResetAfterAck) > 0 {
        ListenerEvidence::ResetMayBeAnothers
    } else {
        ListenerEvidence::DataMayBeDropped
    })
}
