//! The messages of an attempt in words: the margin of a message diagram.

use super::{icmp_name, point};
use crate::handshake::{Attempt, Cause, Confidence, Evidence, SegmentKind, Verdict};
use crate::listener::{Message, MessageMeaning, SilentEnd};
use crate::packet::Flags;
use crate::words::count;

/// Clause for a message, as the attempt's cause explains it.
pub(in crate::report) fn message(message: &Message, attempt: &Attempt) -> String {
    let mut text = meaning(message, attempt);
    if let Some(from) = message.other_sender {
        text.push_str(&format!(" (from {from})"));
    }
    if message.duplicates > 0 {
        let times = match message.duplicates {
            1 => "twice".to_owned(),
            more => format!("{} times", u64::from(more) + 1),
        };
        text.push_str(&format!(" (captured {times})"));
    }
    if !message.unseen.is_empty() {
        let points: Vec<String> = message.unseen.iter().copied().map(point).collect();
        text.push_str(&format!(" (not seen at {})", points.join(", ")));
    }
    text
}

/// True if the points show that something between made the SYN-ACK.
fn is_answered_between(attempt: &Attempt) -> bool {
    let is_made = |evidence: &Evidence| matches!(evidence, Evidence::MadeBetween(made) if made.kind == SegmentKind::SynAck);
    attempt.inference.evidence.iter().any(is_made)
}

fn meaning(message: &Message, attempt: &Attempt) -> String {
    let bytes = || count(message.payload.into(), "byte");
    match message.meaning {
        MessageMeaning::Syn if message.payload > 0 => {
            format!("the client asks for a connection, and sends {} (Fast Open)", bytes())
        }
        MessageMeaning::Syn => "the client asks for a connection".to_owned(),
        MessageMeaning::SynRetry { number, of, after_synack } => {
            format!("SYN again: retry {number} of {of}, {}", why_syn_again(after_synack, attempt))
        }
        MessageMeaning::BehindProxy => {
            "of a connection that something between makes to the server".to_owned()
        }
        MessageMeaning::SynAck { .. } if is_answered_between(attempt) => {
            "something between answers, not the server".to_owned()
        }
        MessageMeaning::SynAck { after_retries: 0 } => "the server's kernel answers".to_owned(),
        MessageMeaning::SynAck { after_retries } => {
            let delay = attempt.timing.delay.filter(|delay| delay.as_nanos() > 0);
            let late = delay.map(|delay| format!(": {delay} late")).unwrap_or_default();
            format!("the server's kernel answers after {}{late}", retries(after_retries))
        }
        MessageMeaning::SynAckToRetry => "SYN-ACK again: the answer to the repeated SYN".to_owned(),
        MessageMeaning::SynAckRetransmission { number, of, after_ack } => format!(
            "SYN-ACK again: retransmission {number} of {of}, {}",
            if after_ack { why_synack_again(attempt) } else { "no ACK came" }
        ),
        MessageMeaning::OtherSynAck => "SYN-ACK with another sequence number: no retransmission".to_owned(),
        MessageMeaning::Ack => ack(attempt).to_owned(),
        MessageMeaning::AckAgain => "the client sends its ACK again".to_owned(),
        MessageMeaning::WrongAck => "ACK of a number that no SYN-ACK offered".to_owned(),
        MessageMeaning::ClientData { retransmission: 0, connects: true } => {
            format!("the client is connected and sends {}", bytes())
        }
        MessageMeaning::ClientData { retransmission: 0, connects: false } => {
            format!("the client sends {}", bytes())
        }
        MessageMeaning::ClientData { retransmission, .. } => {
            format!("the data again: retransmission {retransmission}, nothing acknowledged it")
        }
        MessageMeaning::ClientFin { again: false } => "the client closes".to_owned(),
        MessageMeaning::ClientFin { again: true } => "FIN again: nothing acknowledged it".to_owned(),
        MessageMeaning::ClientAck => "the client acknowledges".to_owned(),
        MessageMeaning::ClientReset => "the client rejects the SYN-ACK".to_owned(),
        MessageMeaning::ClientAbort => "the client resets the connection".to_owned(),
        MessageMeaning::Established if message.payload > 0 => {
            format!("the server sends {}: the connection is established", bytes())
        }
        MessageMeaning::Established => "the server acknowledges it: the connection is established".to_owned(),
        MessageMeaning::ServerSegment if message.payload > 0 => format!("the server sends {}", bytes()),
        MessageMeaning::ServerSegment => "the server acknowledges".to_owned(),
        MessageMeaning::ServerFin => "the server closes".to_owned(),
        MessageMeaning::OldNumbers => "numbers of another connection of these ports".to_owned(),
        MessageMeaning::ServerSyn => "the other end asks for a connection, too".to_owned(),
        MessageMeaning::Refused { fits: true } => "RST: the SYN is refused".to_owned(),
        MessageMeaning::Refused { fits: false } => {
            "RST whose ACK number does not fit the SYN: clients ignore it".to_owned()
        }
        MessageMeaning::RequestReset => "RST: the server gives the request up".to_owned(),
        MessageMeaning::BareReset => format!("RST without ACK flag: {}", why_bare_reset(attempt)),
        MessageMeaning::AckReset => format!("RST with ACK flag: {}", why_ack_reset(attempt)),
        MessageMeaning::Icmp(icmp) => icmp_name(icmp),
    }
}

/// An attempt in one line: `10.9.0.1:35210 to 10.9.0.2:7777: synack-retransmitted, a full accept queue (likely)`.
pub(in crate::report) fn attempt(attempt: &Attempt) -> String {
    let mut text = format!("{} to {}: {}", attempt.client, attempt.server, attempt.verdict.name());
    if let Some(cause) = super::cause(attempt.inference.cause, attempt.inference.confidence) {
        text.push_str(&format!(", {cause}"));
    }
    text
}

/// Clause for the end of an attempt.
pub(in crate::report) fn ending(ending: SilentEnd) -> String {
    match ending {
        SilentEnd::RequestExpired => {
            "no further SYN-ACK: the server has forgotten the request, and does not tell the client"
                .to_owned()
        }
        SilentEnd::Silent(span) => format!("nothing more in the {span} to the end of the capture"),
    }
}

/// Clause for packets that were not kept.
pub(in crate::report) fn left_out(packets: u64) -> String {
    format!("... {} left out", count(packets, "packet"))
}

/// Flags of a message as its name: `SYN-ACK`, `FIN-ACK`.
pub(in crate::report) fn flags(message: &Message) -> String {
    if matches!(message.meaning, MessageMeaning::Icmp(_)) {
        return "ICMP error".to_owned();
    }
    let names = [
        (Flags::SYN, "SYN"),
        (Flags::FIN, "FIN"),
        (Flags::RST, "RST"),
        (Flags::PSH, "PSH"),
        (Flags::ACK, "ACK"),
    ];
    let set: Vec<&str> =
        names.iter().filter(|(flag, _)| message.flags.contains(*flag)).map(|&(_, name)| name).collect();
    if set.is_empty() { "no flags".to_owned() } else { set.join("-") }
}

fn retries(number: u32) -> String {
    match number {
        1 => "1 retry".to_owned(),
        number => format!("{number} retries"),
    }
}

/// True if the accept queue is the likely cause at least.
fn is_overflow(attempt: &Attempt) -> bool {
    attempt.inference.cause == Some(Cause::AcceptQueueOverflow) && is_likely(attempt)
}

fn is_likely(attempt: &Attempt) -> bool {
    attempt.inference.confidence >= Some(Confidence::Likely)
}

fn why_syn_again(after_synack: bool, attempt: &Attempt) -> &'static str {
    match (after_synack, attempt.inference.cause) {
        (true, _) => "although SYN-ACK came: the client did not get it, or rejected it",
        (false, Some(Cause::AcceptQueueOverflow)) if is_likely(attempt) => "the SYN above was dropped",
        (false, _) => "the SYN above got no answer",
    }
}

fn why_synack_again(attempt: &Attempt) -> &'static str {
    match attempt.inference.cause {
        Some(Cause::AcceptQueueOverflow) if is_likely(attempt) => "the ACK above was ignored",
        Some(Cause::AcceptQueueOverflow) => "the ACK above was ignored or lost",
        Some(Cause::DeferAccept) if is_likely(attempt) => "the server waits for data on purpose",
        Some(Cause::DeferAccept) => "the server may wait for data on purpose",
        Some(Cause::AckLost) if is_likely(attempt) => "the ACK above was lost on the way",
        Some(Cause::FirewallReset) if is_likely(attempt) => "the server never saw the ACK above",
        _ => "although the ACK above had come",
    }
}

/// The client's first ACK. What the server made of it shows later.
fn ack(attempt: &Attempt) -> &'static str {
    match attempt.verdict {
        Verdict::SynackRetransmitted | Verdict::ResetAfterAck | Verdict::AckIgnored
            if is_overflow(attempt) =>
        {
            match attempt.inference.confidence {
                Some(Confidence::Confirmed) => {
                    "the client is connected, for all it knows; the server's accept queue is full"
                }
                _ => "the client is connected, for all it knows; the server's accept queue is likely full",
            }
        }
        _ => "the client is connected",
    }
}

fn why_bare_reset(attempt: &Attempt) -> &'static str {
    match attempt.inference.cause {
        Some(Cause::AcceptQueueOverflow) if attempt.inference.abort_on_overflow == Some(true) => {
            match attempt.inference.confidence {
                Some(Confidence::Confirmed) => "the accept queue is full, and tcp_abort_on_overflow is 1",
                Some(Confidence::Likely) => "likely from a full accept queue, with tcp_abort_on_overflow=1",
                Some(Confidence::Possible) | None => {
                    "as a full accept queue would, with tcp_abort_on_overflow=1"
                }
            }
        }
        Some(Cause::AcceptQueueOverflow) if is_likely(attempt) => "the server no longer knows the connection",
        Some(Cause::ListenerClosed) if is_likely(attempt) => "the listening socket is gone",
        Some(Cause::FirewallReset) if is_likely(attempt) => "from a firewall, not from the server",
        _ => "the server's kernel has no such connection",
    }
}

fn why_ack_reset(attempt: &Attempt) -> &'static str {
    match attempt.inference.cause {
        Some(Cause::ApplicationReset) if is_likely(attempt) => "the application resets the connection",
        Some(Cause::ListenerClosed) if is_likely(attempt) => "the listening socket was closed",
        _ => "an existing connection is reset",
    }
}
