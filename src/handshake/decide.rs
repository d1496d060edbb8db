//! From an undecided attempt to its record: verdict, reason, timing, vantage and `connect()`.
//!
//! Owns the verdicts' definitions (DOMAIN §4) and `connect()`'s outcome (§6). Does not own causes
//! (`infer`): those may need other attempts.

use super::attempt::{Attempt, IcmpAnswer, RetryTimes, Timing};
use super::cause::Inference;
use super::history::History;
use super::pending::{Pending, Phase};
use super::verdict::{Connect, Errno, Outcome, Reason, Vantage, Verdict};
use crate::packet::{FlowKey, IcmpError, Span, Timestamp};

/// Why an attempt is decided now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nothing that can still come would change it, or its deadline passed.
    Expired,
    /// Another SYN took its ports.
    Replaced,
    /// It was dropped to bound memory.
    Evicted,
    /// The capture ended, with its last packet at this time.
    CaptureEnd(Timestamp),
    /// It is not decided; this is what it shows so far.
    Provisional,
}

/// A process that waits in `connect()` has been woken by then on any machine.
const WAKE_UP: Span = Span::from_secs(1);

/// An unfinished handshake this close to the capture's end is not decided (DOMAIN §4).
const CUT: Span = Span::from_secs(1);

/// The record of `pending`, whose flow is `key`.
#[inline(always)]
pub(super) fn decide(pending: &Pending, key: FlowKey, ending: Ending) -> Attempt {
    let (verdict, reason) = verdict(pending, ending);
    let timing = timing(pending);
    Attempt {
        client: key.source(pending.outward),
        server: key.destination(pending.outward),
        frame: pending.frame,
        ordinal: pending.ordinal,
        start: pending.start,
        end: pending.last,
        verdict,
        reason,
        icmp: icmp(pending).filter(|_| verdict == Verdict::Unreachable).map(|(_, answer)| answer),
        unproven: None,
        established: established(pending, verdict),
        retries: pending.retries(),
        retry_at: RetryTimes::from_slice(&pending.synack_repeats().times),
        syn_retry_at: RetryTimes::from_slice(&pending.syn_repeats().times),
        timing,
        vantage: vantage(&timing, pending.synack_under_way()),
        connect: connect(pending, verdict, ending),
        history: History::default(),
        packets: pending.packets,
        facts: pending.facts,
        silence: silence(pending, ending),
        inference: Inference::default(),
    }
}

fn verdict(pending: &Pending, ending: Ending) -> (Verdict, Option<Reason>) {
    let plain = shown(pending);
    let unfinished = matches!(pending.phase, Phase::SynSent | Phase::SynReceived);
    let cut = matches!(ending, Ending::CaptureEnd(end) if end.since(pending.last) <= CUT);
    let told = matches!(plain, Verdict::SynackRetransmitted | Verdict::ResetAfterAck)
        || pending.facts.application_reset;
    if ending == Ending::Evicted && !told {
        return (Verdict::Undetermined, Some(Reason::Evicted));
    }
    if is_one_sided(pending) {
        return (Verdict::Undetermined, Some(Reason::OneSided));
    }
    if unfinished && cut {
        return (Verdict::Undetermined, Some(Reason::CaptureCut));
    }
    (plain, None)
}

/// The ICMP error that answered the SYN, and when.
fn icmp(pending: &Pending) -> Option<(Timestamp, IcmpAnswer)> {
    pending.cold().and_then(|cold| cold.icmp)
}

/// What the phase alone says.
fn shown(pending: &Pending) -> Verdict {
    match pending.phase {
        Phase::SynSent => Verdict::Unanswered,
        Phase::Refused => Verdict::Refused,
        Phase::Unreachable => Verdict::Unreachable,
        Phase::AnswerUnseen => Verdict::Undetermined,
        Phase::SynReceived => Verdict::HalfOpen,
        Phase::ClientReset => Verdict::ClientReset,
        Phase::Acked if pending.facts.ignored_data() => Verdict::AckIgnored,
        Phase::Acked => Verdict::Completed,
        Phase::Ignored => Verdict::SynackRetransmitted,
        Phase::Reset => Verdict::ResetAfterAck,
        Phase::Established if pending.facts.contradicted => Verdict::SynackRetransmitted,
        Phase::Established => Verdict::Completed,
    }
}

/// Only one direction of the connection is in the capture.
fn is_one_sided(pending: &Pending) -> bool {
    match pending.phase {
        Phase::AnswerUnseen => true,
        Phase::SynReceived | Phase::Established => {
            let client_unseen = pending.syn.is_none() && !pending.facts.client_went_on;
            client_unseen && !pending.facts.wrong_ack
        }
        Phase::SynSent
        | Phase::Refused
        | Phase::Unreachable
        | Phase::ClientReset
        | Phase::Acked
        | Phase::Ignored
        | Phase::Reset => false,
    }
}

fn established(pending: &Pending, verdict: Verdict) -> Option<bool> {
    match verdict {
        _ if pending.facts.established => Some(true),
        Verdict::Completed | Verdict::Undetermined => None,
        Verdict::SynackRetransmitted
        | Verdict::ResetAfterAck
        | Verdict::AckIgnored
        | Verdict::Refused
        | Verdict::Unreachable
        | Verdict::Unanswered
        | Verdict::HalfOpen
        | Verdict::ClientReset => Some(false),
    }
}

fn timing(pending: &Pending) -> Timing {
    Timing {
        connect: None,
        delay: None,
        stall: None,
        syn_to_synack: told(pending.syn_to_synack),
        synack_to_ack: told(pending.synack_to_ack),
        ack_to_rst: told(pending.ack_to_rst),
        duration: pending.last.since(pending.start),
    }
}

/// The time between two packets, unless they are in the wrong order: then the capture does not tell it.
fn told(span: Option<Span>) -> Option<Span> {
    span.filter(|&span| span >= Span::ZERO)
}

/// Where the capture was taken, told by which of the two round trips is the shorter (DOMAIN §5). In a capture of several
/// points it is the one nearest to the client, which sees every SYN and ACK first and every SYN-ACK last.
fn vantage(timing: &Timing, synack_under_way: Span) -> Option<Vantage> {
    /// Both ends this fast are the same host.
    const LOCAL: Span = Span::from_micros(200);
    /// "Much shorter" is a quarter.
    const MUCH: i64 = 4;
    let server = timing.syn_to_synack?;
    let client = timing.synack_to_ack?;
    if server == Span::ZERO && client == Span::ZERO {
        // These packets have no time at all.
        return None;
    }
    let (server, client) = (server.plus(synack_under_way), client.minus(synack_under_way).max(Span::ZERO));
    Some(if server < LOCAL && client < LOCAL {
        Vantage::Local
    } else if server.scaled(MUCH, 1) <= client {
        Vantage::Server
    } else if client.scaled(MUCH, 1) <= server {
        Vantage::Client
    } else {
        Vantage::Middle
    })
}

/// How long nothing was heard at the end, where nobody waited for the next repeat.
fn silence(pending: &Pending, ending: Ending) -> Option<Span> {
    match ending {
        Ending::CaptureEnd(end) => Some(end.since(pending.last)),
        // Nothing is known of what would have come.
        Ending::Replaced | Ending::Evicted | Ending::Provisional => Some(Span::ZERO),
        Ending::Expired => None,
    }
}

fn connect(pending: &Pending, verdict: Verdict, ending: Ending) -> Connect {
    match verdict {
        Verdict::Completed | Verdict::SynackRetransmitted | Verdict::AckIgnored => plain(Outcome::Succeeded),
        Verdict::ResetAfterAck => match race_window(pending) {
            Some(window) if window > WAKE_UP => plain(Outcome::Succeeded),
            window => Connect { outcome: Outcome::Raced, errno: None, window },
        },
        Verdict::Refused => failed(Errno::Econnrefused),
        Verdict::Unreachable => unreachable(pending, ending),
        Verdict::Unanswered => unanswered(pending, ending),
        Verdict::HalfOpen if pending.syn_repeats().count > 0 => unanswered(pending, ending),
        Verdict::HalfOpen | Verdict::ClientReset => plain(Outcome::Unknown),
        Verdict::Undetermined if pending.facts.established => plain(Outcome::Succeeded),
        Verdict::Undetermined => plain(match (pending.phase, ending) {
            (Phase::AnswerUnseen | Phase::Acked | Phase::Established | Phase::Ignored, _) => {
                Outcome::Succeeded
            }
            (Phase::SynSent, Ending::CaptureEnd(_)) => Outcome::Pending,
            (_, _) => Outcome::Unknown,
        }),
    }
}

/// An outcome without an error.
const fn plain(outcome: Outcome) -> Connect {
    Connect { outcome, errno: None, window: None }
}

const fn failed(errno: Errno) -> Connect {
    Connect { outcome: Outcome::Failed, errno: Some(errno), window: None }
}

/// Linux gives up at the first ICMP error (`tcp_v4_err`). A client that repeats its SYN afterwards has a system that
/// keeps the error for the end (RFC 1122 §4.2.3.9).
fn unreachable(pending: &Pending, ending: Ending) -> Connect {
    let Some((at, icmp)) = icmp(pending) else { return plain(Outcome::Unknown) };
    let repeats = pending.syn_repeats();
    let goes_on = repeats.count > 0 && pending.syn.is_some_and(|syn| syn.last(repeats) > at);
    let waits =
        Some(unanswered(pending, ending)).filter(|connect| goes_on && connect.outcome != Outcome::Failed);
    waits.unwrap_or_else(|| failed(errno(icmp.error)))
}

/// A SYN that got no answer: the retries ran out, or may still go on.
fn unanswered(pending: &Pending, ending: Ending) -> Connect {
    // No system gives up sooner than after two retries (Windows; Linux' default is 6).
    let exhausted = pending.syn_repeats().count >= 2;
    match ending {
        Ending::CaptureEnd(_) | Ending::Provisional => plain(Outcome::Pending),
        // The next retry did not come when it was due.
        Ending::Expired if exhausted => failed(Errno::Etimedout),
        // One SYN alone is a scan, a flood, or a program that gave up by itself; so is one retry.
        Ending::Expired | Ending::Replaced | Ending::Evicted => plain(Outcome::Unknown),
    }
}

/// The time between SYN-ACK and RST at the client. Seen from the server it is the time between ACK and
/// RST plus the client's round trip, which is the same sum. Unknown where the last SYN-ACK was repeated after the RST.
fn race_window(pending: &Pending) -> Option<Span> {
    let rst_at = pending.rst_at?;
    told(match (pending.synack_to_ack, pending.ack_at) {
        (Some(round_trip), Some(ack_at)) => Some(rst_at.since(ack_at).plus(round_trip)),
        (_, _) => Some(rst_at.since(pending.synack?.last(pending.synack_repeats()))),
    })
}

/// What Linux makes of an ICMP error in SYN_SENT (`icmp_err_convert` in net/ipv4/icmp.c,
/// `icmpv6_err_convert` in net/ipv6/icmp.c).
fn errno(icmp: IcmpError) -> Errno {
    match (icmp.v6, icmp.kind, icmp.code) {
        (false, 3, 0 | 6 | 9 | 11) => Errno::Enetunreach,
        (false, 3, 2) => Errno::Enoprotoopt,
        (false, 3, 3) => Errno::Econnrefused,
        (false, 3, 5) => Errno::Eopnotsupp,
        (false, 3, 7) => Errno::Ehostdown,
        (false, 3, 8) => Errno::Enonet,
        (false, 12, _) => Errno::Eproto,
        (true, 1, 0) => Errno::Enetunreach,
        (true, 1, 1 | 5 | 6) => Errno::Eacces,
        (true, 1, 4) => Errno::Econnrefused,
        (true, 4, _) => Errno::Eproto,
        (_, _, _) => Errno::Ehostunreach,
    }
}
