//! What to check or fix at a listener, as data. Does not own the sentences (`report/wording`).

use strum::IntoStaticStr;

use super::diagnosis::Diagnosis;
use super::record::Record;
use crate::handshake::{Cause, Verdict};

/// One piece of advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Look at the listener's queue: Recv-Q, Send-Q and drops.
    CheckQueue,
    /// Look at the queue on the server, where a full one is one explanation of several.
    CheckQueueOnServer,
    /// Look at the namespace's overflow counters.
    CheckOverflowCounters,
    /// Accept faster, or raise the limit of the queue.
    AcceptFaster,
    /// Find out why the application accepts nothing: no queue is long enough for that.
    FindWhyNothingIsAccepted,
    /// Accept faster: no queue is long enough for arrivals that outrun accepts.
    OnlyAcceptFaster,
    /// Let bursts recover instead of resetting them.
    DoNotAbort,
    /// `TCP_DEFER_ACCEPT` is right where clients send first.
    DeferOnlyWhereClientsSendFirst,
    /// Capture on the server too.
    CaptureOnServer,
    /// Look for firewall rules that reject with RST.
    CheckRejectRules,
    /// Look for a socket that listens there.
    CheckListening,
    /// Look at routes and neighbours where the ICMP error came from.
    CheckRoute,
    /// Look for filters on the way to the server.
    CheckFilters,
    /// Look at the counters of SYN cookies.
    CheckCookieCounters,
    /// Use SYN cookies, and filter upstream.
    UseCookies,
    /// Nothing: no connection is made.
    LeaveScans,
    /// Look at the server's log for why it closes.
    CheckServerLog,
    /// Look at counters of firewall rules that drop or reject.
    CheckRuleCounters,
    /// Capture on the client too.
    CaptureOnClient,
}

/// Whether advice is about finding out or about changing something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum AdviceKind {
    /// Look at it.
    Check,
    /// Change it.
    Fix,
}

impl AdviceKind {
    /// The name in every output.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Advice {
    /// Whether it says what to look at or what to change.
    #[must_use]
    pub const fn kind(self) -> AdviceKind {
        match self {
            Self::CheckQueue
            | Self::CheckQueueOnServer
            | Self::CheckOverflowCounters
            | Self::CaptureOnServer
            | Self::CheckRejectRules
            | Self::CheckListening
            | Self::CheckRoute
            | Self::CheckFilters
            | Self::CheckCookieCounters
            | Self::CheckServerLog
            | Self::CheckRuleCounters
            | Self::CaptureOnClient => AdviceKind::Check,
            Self::AcceptFaster
            | Self::FindWhyNothingIsAccepted
            | Self::OnlyAcceptFaster
            | Self::DoNotAbort
            | Self::DeferOnlyWhereClientsSendFirst
            | Self::UseCookies
            | Self::LeaveScans => AdviceKind::Fix,
        }
    }
}

/// The advice for a listener with this cause and diagnosis.
pub(super) fn advice(cause: Option<Cause>, diagnosis: &Diagnosis, record: &Record) -> Vec<Advice> {
    match cause {
        Some(Cause::AcceptQueueOverflow) => {
            let mut advice = vec![Advice::CheckQueue, Advice::CheckOverflowCounters, Advice::AcceptFaster];
            if record.overflowed().get(Verdict::ResetAfterAck) > 0 {
                advice.push(Advice::DoNotAbort);
            }
            advice
        }
        Some(Cause::DeferAccept) => vec![Advice::DeferOnlyWhereClientsSendFirst],
        Some(Cause::FirewallReset) => vec![Advice::CaptureOnServer, Advice::CheckRejectRules],
        Some(Cause::PortClosed) => vec![Advice::CheckListening],
        Some(Cause::HostUnreachable) => vec![Advice::CheckRoute],
        Some(Cause::Filtered) => vec![Advice::CheckFilters, Advice::CheckQueueOnServer],
        Some(Cause::SynFlood) => vec![Advice::CheckCookieCounters, Advice::UseCookies],
        Some(Cause::SynScan) => vec![Advice::LeaveScans],
        Some(Cause::ApplicationReset) => vec![Advice::CheckServerLog],
        None => match diagnosis {
            Diagnosis::DeniedByKernel { .. } => vec![Advice::CheckRuleCounters, Advice::CaptureOnClient],
            Diagnosis::PartlyUnanswered => vec![Advice::CheckQueue, Advice::CheckOverflowCounters],
            Diagnosis::Explained { .. }
            | Diagnosis::CountedByKernel
            | Diagnosis::Unexplained
            | Diagnosis::Undetermined
            | Diagnosis::Healthy => Vec::new(),
        },
    }
}
