//! Advice for a listener: what to check or to fix, as data. Does not own the sentences (`report/wording`).

use strum::IntoStaticStr;

use super::diagnosis::Diagnosis;
use super::record::Record;
use super::totals::CauseTally;
use crate::handshake::{Cause, Confidence, Evidence, EvidenceCode, System, Verdict};
use crate::kernel::{DropNetns, DropReason, KernelStats};

/// A piece of advice for a listener: one thing to check or to fix, by [`Self::kind`].
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
    /// Let the process go on that holds the full queue, and is stopped.
    ContinueProcess,
    /// Find out why one of several workers accepts nothing: its queue is full, those of the others are not.
    FindWhyOneWorkerWaits,
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
    /// Look for a socket that listens there, on a system that is not Linux.
    CheckListeningElsewhere,
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
    /// Look at what the kernel dropped segments for, in this network namespace.
    CheckDropReason(DropReason, DropNetns),
    /// Capture on the client too.
    CaptureOnClient,
    /// Look at a FreeBSD listener's queue.
    CheckFreeBsdQueue,
    /// Accept faster, or raise FreeBSD's limit of the queue.
    RaiseFreeBsdQueue,
    /// Look at the other system's listen queue and its limit.
    CheckAcceptsElsewhere,
    /// Look at the listen queue of a server whose system the packets do not show.
    CheckAcceptsAnywhere,
    /// Accept faster, or raise the limit of the queue, whatever the system calls it.
    AcceptFasterAnywhere,
    /// Look for a restart or reload at that time.
    CheckRestart,
    /// Let another socket take over what a reload would reset.
    MigrateRequests,
    /// Look at the connection tracker's and the SYN limiter's counters.
    CheckConntrack,
    /// Look at the counters of the SYN queue.
    CheckSynQueueCounters,
    /// Look at the state of older connections of the ports, and at challenge ACKs.
    CheckOldConnections,
    /// Look at older connections of the ports in TIME-WAIT, and counters of timestamps.
    CheckTimeWait,
    /// Look at the rules that translate addresses on the way back.
    CheckNat,
    /// Look at where a balancer sends a repeated SYN.
    CheckBalancer,
    /// Capture at both ends at the same time.
    CaptureBothEnds,
    /// Look for what drops packets between two points of this host.
    FindDropOnHost,
    /// Look for what drops packets between two points of the path.
    FindDropBetween,
    /// Look for middleboxes that drop the option.
    CheckOptionFilter,
    /// Find the path's MTU.
    CheckPathMtu,
    /// Probe the path MTU, or clamp the MSS.
    ProbeMtu,
    /// Clamp the MSS, or find what keeps the ICMP error, which was captured, from the sender.
    ClampMss,
    /// Look at the client's time-outs.
    CheckClientTimeout,
    /// Look at the listener's queue and counters on the server.
    CheckServerCounters,
}

/// Kind of a piece of advice: something to look at, or something to change.
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
    /// Kind of this advice. Where the cause is only `possible`, only checks are advised (DOMAIN §5).
    #[must_use]
    pub const fn kind(self) -> AdviceKind {
        match self {
            Self::CheckQueue
            | Self::CheckQueueOnServer
            | Self::CheckOverflowCounters
            | Self::CaptureOnServer
            | Self::CheckRejectRules
            | Self::CheckListening
            | Self::CheckListeningElsewhere
            | Self::CheckRoute
            | Self::CheckFilters
            | Self::CheckCookieCounters
            | Self::CheckServerLog
            | Self::CheckRuleCounters
            | Self::CheckDropReason(..)
            | Self::CaptureOnClient
            | Self::CheckFreeBsdQueue
            | Self::CheckAcceptsElsewhere
            | Self::CheckAcceptsAnywhere
            | Self::CheckRestart
            | Self::CheckConntrack
            | Self::CheckSynQueueCounters
            | Self::CheckOldConnections
            | Self::CheckTimeWait
            | Self::CheckNat
            | Self::CheckBalancer
            | Self::CaptureBothEnds
            | Self::FindDropOnHost
            | Self::FindDropBetween
            | Self::CheckOptionFilter
            | Self::CheckPathMtu
            | Self::CheckClientTimeout
            | Self::CheckServerCounters => AdviceKind::Check,
            Self::AcceptFaster
            | Self::FindWhyNothingIsAccepted
            | Self::ContinueProcess
            | Self::FindWhyOneWorkerWaits
            | Self::OnlyAcceptFaster
            | Self::DoNotAbort
            | Self::DeferOnlyWhereClientsSendFirst
            | Self::UseCookies
            | Self::LeaveScans
            | Self::RaiseFreeBsdQueue
            | Self::AcceptFasterAnywhere
            | Self::MigrateRequests
            | Self::ProbeMtu
            | Self::ClampMss => AdviceKind::Fix,
        }
    }
}

/// The advice for a listener with this cause and diagnosis. At possible only what to check (DOMAIN §5).
pub(super) fn advice(
    cause: Option<Cause>,
    confidence: Option<Confidence>,
    diagnosis: &Diagnosis,
    record: &Record,
    tally: &CauseTally,
) -> Vec<Advice> {
    let mut advice = match cause {
        Some(Cause::AcceptQueueOverflow) => of_overflow(record, tally),
        Some(cause) => of_cause(cause, record, tally),
        None => of_diagnosis(diagnosis, record),
    };
    if confidence == Some(Confidence::Possible) {
        advice.retain(|advice| advice.kind() == AdviceKind::Check);
    }
    advice
}

/// Linux's commands for what to look at on the server, or the like for a server whose SYN-ACKs are another system's.
fn on_server(record: &Record, commands: Advice) -> Advice {
    match record.system() {
        None | Some(System::Linux) => commands,
        Some(_) => Advice::CheckAcceptsElsewhere,
    }
}

fn of_overflow(record: &Record, tally: &CauseTally) -> Vec<Advice> {
    match record.system() {
        Some(System::Linux) => {}
        Some(System::FreeBsd) => return vec![Advice::CheckFreeBsdQueue, Advice::RaiseFreeBsdQueue],
        Some(_) => return vec![Advice::CheckAcceptsElsewhere],
        None => return vec![Advice::CheckAcceptsAnywhere, Advice::AcceptFasterAnywhere],
    }
    let mut advice =
        vec![Advice::CheckQueue, Advice::CheckOverflowCounters, empty_queue(record.kernel.stats())];
    if tally.verdicts.get(Verdict::ResetAfterAck) > 0 {
        advice.push(Advice::DoNotAbort);
    }
    advice
}

/// Advice that lets a queue be emptied, or makes it larger.
fn empty_queue(stats: Option<&KernelStats>) -> Advice {
    let Some(stats) = stats.filter(|stats| stats.listening) else { return Advice::AcceptFaster };
    if stats.sockets_full > 0 && stats.owner.as_ref().is_some_and(|owner| owner.state.is_halted()) {
        Advice::ContinueProcess
    } else if stats.is_one_of_several() {
        Advice::FindWhyOneWorkerWaits
    } else {
        Advice::AcceptFaster
    }
}

fn of_cause(cause: Cause, record: &Record, tally: &CauseTally) -> Vec<Advice> {
    let (mut advice, attempts) = of_drop_reasons(tally);
    // The kernel's own reason leaves nothing else to look for.
    if attempts == 0 || attempts < tally.verdicts.total() {
        advice.extend(of_attempts(cause, record, tally));
    }
    advice
}

/// Advice by the reasons for which the kernel dropped segments, where one says more than the cause; and the attempts of which
/// it did.
fn of_drop_reasons(tally: &CauseTally) -> (Vec<Advice>, u64) {
    let mut known = (Vec::new(), 0);
    for &(evidence, attempts) in &tally.evidence {
        if let Evidence::KernelDroppedSegments { reason, netns, .. } = evidence
            && reason.is_before_listener()
        {
            known.0.push(Advice::CheckDropReason(reason, netns));
            known.1 += attempts;
        }
    }
    known
}

fn of_attempts(cause: Cause, record: &Record, tally: &CauseTally) -> Vec<Advice> {
    match cause {
        Cause::AcceptQueueOverflow => Vec::new(),
        Cause::DeferAccept => vec![Advice::DeferOnlyWhereClientsSendFirst],
        Cause::ListenerClosed => vec![Advice::CheckRestart, Advice::MigrateRequests],
        Cause::SynQueueOverflow => vec![Advice::CheckSynQueueCounters, Advice::UseCookies],
        Cause::SynLimited => vec![Advice::CheckConntrack],
        // The server answered with that connection's numbers, or it did not answer.
        Cause::OldConnection if tally.has(EvidenceCode::OlderNumbers) => vec![Advice::CheckOldConnections],
        Cause::OldConnection => vec![Advice::CheckTimeWait],
        Cause::NatMismatch => vec![Advice::CheckNat],
        Cause::SynLost | Cause::SynackLost | Cause::AckLost | Cause::FirewallReset if tally.has_place() => {
            vec![if tally.is_lost_within_host() { Advice::FindDropOnHost } else { Advice::FindDropBetween }]
        }
        Cause::FirewallReset if record.observed.is_captured_near_server() => vec![Advice::CheckRejectRules],
        Cause::FirewallReset => vec![Advice::CaptureOnServer, Advice::CheckRejectRules],
        Cause::TwoAnswers => vec![Advice::CheckBalancer],
        // Two points have seen where it was lost already.
        Cause::AckLost if tally.has(EvidenceCode::AckAtOnePoint) => vec![Advice::CheckRuleCounters],
        Cause::SynLost | Cause::SynackLost | Cause::AckLost => vec![Advice::CaptureBothEnds],
        Cause::OptionBlocked => vec![Advice::CheckOptionFilter],
        Cause::PathMtu if tally.has(EvidenceCode::TooBig) => vec![Advice::CheckPathMtu, Advice::ClampMss],
        Cause::PathMtu => vec![Advice::CheckPathMtu, Advice::ProbeMtu],
        Cause::PortClosed => match record.system() {
            None | Some(System::Linux) => vec![Advice::CheckListening],
            Some(System::Windows) => vec![Advice::CheckListeningElsewhere, Advice::CheckAcceptsElsewhere],
            Some(System::FreeBsd | System::OpenBsd | System::MacOs) => vec![Advice::CheckListeningElsewhere],
        },
        Cause::HostUnreachable => vec![Advice::CheckRoute],
        // A full queue sends no ICMP error.
        Cause::Filtered if tally.has(EvidenceCode::Icmp) => vec![Advice::CheckFilters],
        Cause::Filtered => vec![Advice::CheckFilters, on_server(record, Advice::CheckQueueOnServer)],
        Cause::SynFlood => vec![Advice::CheckCookieCounters, Advice::UseCookies],
        Cause::SynScan => vec![Advice::LeaveScans],
        Cause::HealthCheck => Vec::new(),
        Cause::ClientGaveUp => vec![Advice::CheckClientTimeout],
        Cause::ApplicationReset => vec![Advice::CheckServerLog],
    }
}

fn of_diagnosis(diagnosis: &Diagnosis, record: &Record) -> Vec<Advice> {
    match diagnosis {
        Diagnosis::DeniedByKernel { .. } => vec![Advice::CheckRuleCounters, Advice::CaptureOnClient],
        Diagnosis::PartlyUnanswered { .. } => {
            vec![on_server(record, Advice::CheckQueueOnServer), Advice::CheckFilters]
        }
        Diagnosis::Unexplained if record.observed.odd_answers > 0 => vec![Advice::CaptureBothEnds],
        Diagnosis::Unexplained => {
            vec![on_server(record, Advice::CheckServerCounters), Advice::CaptureBothEnds]
        }
        Diagnosis::Explained { .. }
        | Diagnosis::Oversized { .. }
        | Diagnosis::CountedByKernel
        | Diagnosis::Undetermined
        | Diagnosis::Healthy => Vec::new(),
    }
}
