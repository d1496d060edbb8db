//! The names of causes in sentences and headlines.

use std::collections::BTreeMap;

use crate::handshake::{Cause, Confidence, Evidence, Verdict};
use crate::listener::{CauseCount, Listener, ListenerEvidence};
use crate::words::{count, number};

/// A cause beside the one in the headline: `3 attempts: a full accept queue (likely)`.
pub(in crate::report) fn other_cause(other: &CauseCount) -> String {
    let confidence = other.confidence().map(|sure| format!(" ({})", sure.name())).unwrap_or_default();
    format!("{}: {}{confidence}", count(other.verdicts.total(), "attempt"), noun(other.cause))
}

/// A cause with its confidence: `a full accept queue (likely)`.
pub(in crate::report) fn cause(cause: Option<Cause>, confidence: Option<Confidence>) -> Option<String> {
    let confidence = confidence.map(|sure| format!(" ({})", sure.name())).unwrap_or_default();
    cause.map(|cause| format!("{}{confidence}", noun(cause)))
}

/// Verdict of an attempt with its cause, if it has one, and how sure that is.
pub(crate) type Judged = (Verdict, Option<(Cause, Confidence)>);

/// Undecided attempts by verdict and cause, each with how many: `3 synack-retransmitted, a full accept queue (likely); 8
/// unanswered`.
pub(crate) fn undecided_attempts(attempts: &BTreeMap<Judged, u64>) -> String {
    let words = attempts.iter().map(|((verdict, sure), &attempts)| {
        let because = cause(sure.map(|(cause, _)| cause), sure.map(|(_, confidence)| confidence));
        let because = because.map(|cause| format!(", {cause}")).unwrap_or_default();
        format!("{} {verdict}{because}", number(attempts))
    });
    words.collect::<Vec<_>>().join("; ")
}

/// A cause as a noun in a sentence: `doubt: … looks the same`.
pub(in crate::report) const fn noun(cause: Cause) -> &'static str {
    match cause {
        Cause::AcceptQueueOverflow => "a full accept queue",
        Cause::DeferAccept => "TCP_DEFER_ACCEPT",
        Cause::ListenerClosed => "a listening socket that was closed",
        Cause::SynQueueOverflow => "a full SYN queue",
        Cause::SynLimited => "a full connection table or a SYN limit of the host",
        Cause::OldConnection => "an older connection of the same ports",
        Cause::NatMismatch => "an answer under another address",
        Cause::FirewallReset => "a firewall's RST",
        Cause::TwoAnswers => "an answer of two machines",
        Cause::SynLost => "a SYN lost on the way",
        Cause::SynackLost => "a SYN-ACK lost on the way",
        Cause::AckLost => "an ACK lost on the way",
        Cause::OptionBlocked => "a blocked TCP option or flag",
        Cause::PathMtu => "a path that drops large packets",
        Cause::PortClosed => "a closed port",
        Cause::HostUnreachable => "an unreachable host",
        Cause::Filtered => "a filter, a dead host or a full queue for all clients and all the time",
        Cause::SynFlood => "a SYN flood",
        Cause::SynScan => "a scan",
        Cause::HealthCheck => "a health check",
        Cause::ClientGaveUp => "a client that gave up",
        Cause::ApplicationReset => "a reset by the application",
    }
}

/// The kind of an episode: `accept queue overflow (confirmed)`.
pub(in crate::report) fn episode(cause: Option<Cause>, confidence: Option<Confidence>) -> String {
    let Some(cause) = cause else { return "trouble without a known cause".to_owned() };
    let noun = match cause {
        Cause::AcceptQueueOverflow => "accept queue overflow",
        Cause::DeferAccept => "deferred ACKs (TCP_DEFER_ACCEPT)",
        Cause::ListenerClosed => "closed listener",
        Cause::SynQueueOverflow => "SYN queue overflow",
        Cause::SynLimited => "SYNs limited by the host",
        Cause::OldConnection => "older connections in the way",
        Cause::NatMismatch => "answers from another address",
        Cause::FirewallReset => "firewall's RSTs",
        Cause::TwoAnswers => "answers of two machines",
        Cause::SynLost => "lost SYNs",
        Cause::SynackLost => "lost SYN-ACKs",
        Cause::AckLost => "lost ACKs",
        Cause::OptionBlocked => "blocked TCP option",
        Cause::PathMtu => "large packets lost",
        Cause::PortClosed => "closed port",
        Cause::HostUnreachable => "unreachable host",
        Cause::Filtered => "filtered packets",
        Cause::SynFlood => "SYN flood",
        Cause::SynScan => "scan",
        Cause::HealthCheck => "health checks",
        Cause::ClientGaveUp => "clients that give up",
        Cause::ApplicationReset => "resets by the application",
    };
    let confidence = confidence.map(|sure| format!(" ({})", sure.name())).unwrap_or_default();
    format!("{noun}{confidence}")
}

/// Something that is no cause here and looks like this one: `doubt: … looks the same`.
pub(in crate::report) const fn otherwise(cause: Cause) -> &'static str {
    match cause {
        Cause::AcceptQueueOverflow => "a filter on the server, or a server that stood still,",
        Cause::DeferAccept => "a server that stood still for a moment",
        Cause::ListenerClosed => "an application that closes many connections at once",
        Cause::SynQueueOverflow | Cause::SynLimited => "a server that stood still",
        Cause::OldConnection => {
            "a connection tracker that still has the ports, or a firewall or SYN proxy before the server,"
        }
        Cause::NatMismatch => "a capture that sees one direction only under that address",
        Cause::TwoAnswers => "one machine with two addresses or two numbers",
        Cause::FirewallReset => "a reset by the server",
        Cause::SynLost => "a server that was down for a while",
        Cause::SynackLost => "a client that gave up, or whose ACK was lost",
        Cause::AckLost => "a server that stood still, or a dead backend behind a proxy,",
        Cause::OptionBlocked => "loss by chance",
        Cause::PathMtu => "loss by chance, or a server that stood still,",
        Cause::PortClosed => "a firewall that rejects with a TCP reset",
        Cause::HostUnreachable => "a firewall that rejects with an ICMP error",
        Cause::Filtered => "a host that is down, or a queue full since before the capture,",
        Cause::SynFlood => "a program that begins many connections and stops",
        Cause::SynScan => "a health check",
        Cause::HealthCheck => "a scan",
        Cause::ClientGaveUp => "a client that lost its memory of the connection",
        Cause::ApplicationReset => "a firewall's RST",
    }
}

/// A listener's headline with how sure it is: `ACCEPT QUEUE OVERFLOWS, tcp_abort_on_overflow=0 (likely)`.
pub(in crate::report) fn full_headline(listener: &Listener) -> String {
    let mut text = headline(listener).to_owned();
    if let Some(abort) = listener.abort_on_overflow {
        text.push_str(&format!(", tcp_abort_on_overflow={}", u8::from(abort)));
    }
    if let Some(confidence) = listener.confidence {
        text.push_str(&format!(" ({})", confidence.name()));
    }
    text
}

/// The headline of a listener: its cause.
fn headline(listener: &Listener) -> &'static str {
    let possible = listener.confidence == Some(Confidence::Possible);
    match listener.cause {
        Some(Cause::AcceptQueueOverflow) if possible => "ACCEPT QUEUE MAY OVERFLOW",
        Some(Cause::AcceptQueueOverflow) => "ACCEPT QUEUE OVERFLOWS",
        Some(Cause::DeferAccept) => "WAITS FOR DATA: TCP_DEFER_ACCEPT",
        Some(Cause::ListenerClosed) if possible => "LISTENER MAY HAVE BEEN CLOSED",
        Some(Cause::ListenerClosed) => "LISTENER WAS CLOSED",
        Some(Cause::SynQueueOverflow) => "SYN QUEUE MAY OVERFLOW",
        Some(Cause::SynLimited) => "HOST MAY LIMIT SYNS",
        Some(Cause::OldConnection) => "OLDER CONNECTION IN THE WAY",
        Some(Cause::NatMismatch) => "ANSWERS FROM ANOTHER ADDRESS",
        Some(Cause::FirewallReset) => "A FIREWALL RESETS CONNECTIONS",
        Some(Cause::TwoAnswers) => "TWO MACHINES ANSWER",
        Some(Cause::SynLost) => "SYNS LOST ON THE WAY",
        Some(Cause::SynackLost) => "SYN-ACKS DO NOT REACH THE CLIENT",
        Some(Cause::AckLost) if acks_came_late(listener) => "ACKS COME LATE",
        Some(Cause::AckLost) => "ACKS LOST ON THE WAY",
        Some(Cause::OptionBlocked) => "A TCP OPTION OR FLAG IS BLOCKED",
        Some(Cause::PathMtu) => "LARGE PACKETS LOST: PATH MTU",
        Some(Cause::PortClosed) => "PORT CLOSED",
        Some(Cause::HostUnreachable) => "HOST UNREACHABLE",
        Some(Cause::Filtered) => "PACKETS FILTERED",
        Some(Cause::SynFlood) => "SYN FLOOD",
        Some(Cause::SynScan) => "SCAN",
        Some(Cause::HealthCheck) => "HEALTH CHECKS",
        Some(Cause::ClientGaveUp) => "CLIENTS GIVE UP",
        Some(Cause::ApplicationReset) => "THE APPLICATION RESETS CONNECTIONS",
        None if listener.problems() == 0 => "ANSWERED LATE",
        None => "NO CAUSE FOUND",
    }
}

/// True if the ACKs of all attempts that a lost ACK explains were only late: the server had them in the end.
pub(in crate::report) fn acks_came_late(listener: &Listener) -> bool {
    let late = |evidence: &ListenerEvidence| match evidence {
        ListenerEvidence::OfAttempts { evidence: Evidence::ProofWithoutAck, attempts } => Some(*attempts),
        _ => None,
    };
    let late = listener.evidence.iter().find_map(late);
    let lost = listener.causes.iter().find(|count| count.cause == Cause::AckLost);
    lost.is_some_and(|lost| late == Some(lost.verdicts.total()))
}

/// The problems that no cause explains, beside others that one does: `3 attempts: the packets do not show why`.
pub(in crate::report) fn without_cause(listener: &Listener) -> Option<String> {
    let explained: u64 = listener.causes.iter().map(|count| count.verdicts.problems()).sum();
    let rest = listener.verdicts.problems().saturating_sub(explained);
    let text = format!("{}: the packets do not show why", count(rest, "attempt"));
    (rest > 0 && explained > 0).then_some(text)
}

/// The degrees of confidence, explained.
pub(in crate::report) const fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Possible => "possible: the packets leave a common alternative",
        Confidence::Likely => "likely: the packets leave no common alternative",
        Confidence::Confirmed => "confirmed by the kernel's counters, or by a second capture",
    }
}
