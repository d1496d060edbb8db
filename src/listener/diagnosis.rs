//! Diagnosis of a listener: its state, as data. Does not own the sentences (`report/wording`).

use super::record::Record;
use super::tally::Tally;
use super::totals::Totals;
use crate::handshake::Verdict;

/// State of a listener, drawn from its attempts, their causes and the kernel's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Diagnosis {
    /// Trouble with a cause that explains some of the listener's attempts.
    Explained {
        /// Attempts that the cause explains, by verdict.
        affected: Tally,
        /// Affected attempts of which the cause is only possible.
        possible: u64,
        /// True if the listener answered at least one SYN. Always false for the line of folded listeners: the one that
        /// answered may be another than the one in trouble.
        answers: bool,
    },
    /// Accept queue overflow that the kernel counted and no attempt shows.
    CountedByKernel,
    /// Data of the server's was too big for the path, as ICMP errors said of the same segments again and again, after handshakes that
    /// completed.
    Oversized {
        /// Connections that sent it.
        connections: u64,
    },
    /// Attempts look like an overflow, but the kernel counted none.
    DeniedByKernel {
        /// Number of attempts that look like one.
        attempts: u64,
    },
    /// Trouble that is mostly SYNs without an answer, while the listener answered others.
    PartlyUnanswered {
        /// True if it answered others throughout the time in which it left these without an answer: it never stood still.
        throughout: bool,
    },
    /// Attempts did not complete, and the packets do not show why.
    Unexplained,
    /// No problem is seen, but some attempts are undetermined.
    Undetermined,
    /// Every attempt completed.
    Healthy,
}

/// Diagnosis of a listener none of whose problems has a cause.
pub(super) fn without_cause(record: &Record, totals: &Totals) -> Diagnosis {
    let problems = record.verdicts.problems().saturating_sub(totals.no_problem);
    if totals.denied > 0 {
        Diagnosis::DeniedByKernel { attempts: totals.denied }
    } else if problems > 0 && left_some_unanswered(record) {
        Diagnosis::PartlyUnanswered { throughout: record.observed.drops.answered_throughout() }
    } else if problems > 0 {
        Diagnosis::Unexplained
    } else if record.verdicts.get(Verdict::Undetermined) > 0 {
        Diagnosis::Undetermined
    } else {
        Diagnosis::Healthy
    }
}

/// True if at least half of the problems are SYNs without any answer, while the listener answered or refused others,
/// and never with other numbers or from another address.
fn left_some_unanswered(record: &Record) -> bool {
    let unanswered = record.verdicts.get(Verdict::Unanswered);
    let answers = record.observed.answered + record.observed.refused > 0;
    answers
        && record.observed.odd_answers == 0
        && unanswered > 0
        && unanswered * 2 >= record.verdicts.problems()
}
