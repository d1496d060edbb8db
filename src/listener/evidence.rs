//! Why a listener's cause is what it is, in words, strongest first: what the kernel counted, what the packets showed.

use super::diagnosis::{denied, is_overflow, kernel_on_overflow, possible};
use super::record::Record;
use crate::handshake::{Cause, Confidence, Vantage, Verdict};
use crate::kernel::{Counter, KernelStats};
use crate::words::{count, number};

/// The kernel's figures, where it was asked.
fn figures(word: &KernelStats) -> String {
    let grown = |counter| match word.namespace.get(counter) {
        Some(events) => format!("{} {}", Counter::name(counter), number(events)),
        None => format!("{} unknown", Counter::name(counter)),
    };
    let drops = word.drops.map_or_else(|| "an unknown number of packets".to_owned(), |n| count(n, "packet"));
    format!(
        "in {} this listener dropped {drops}, at most {} waited where {} may, and the namespace counted {}, {}",
        word.span,
        count(word.recv_q_max.into(), "connection"),
        word.send_q,
        grown(Counter::ListenOverflows),
        grown(Counter::ListenDrops),
    )
}

pub(super) fn evidence(cause: Option<Cause>, record: &Record) -> Vec<String> {
    let mut evidence = from_packets(cause, record);
    let matters = cause.is_some_and(is_overflow) || denied(record) > 0;
    if let Some(word) = record.kernel.word().filter(|_| matters) {
        let told = if record.kernel.is_elsewhere(record.retries.after_ack) {
            "this kernel repeated fewer SYN-ACKs than there were: another one may answer, behind a forwarded port, and count in a network namespace of its own".to_owned()
        } else {
            format!("the kernel's own count: {}", figures(word))
        };
        evidence.insert(0, told);
    }
    evidence
}

fn from_packets(cause: Option<Cause>, record: &Record) -> Vec<String> {
    let verdicts = &record.verdicts;
    match cause {
        Some(Cause::AcceptQueueOverflow) => overflow_evidence(record),
        Some(Cause::DeferAccept) if possible(Cause::DeferAccept, record) => {
            vec!["no SYN-ACK repeat 1 s after the handshake, one near the end of a defer period".to_owned()]
        }
        Some(Cause::DeferAccept) => vec![
            "no SYN-ACK repeat 1 s after the handshake, one near the end of the defer period, then the connection was accepted".to_owned(),
        ],
        Some(Cause::FirewallReset) if possible(Cause::FirewallReset, record) => {
            vec!["the RST's TTL is not the SYN-ACK's".to_owned()]
        }
        Some(Cause::FirewallReset) => {
            let repeats = record.retries.after_ack;
            if repeats > 0 {
                vec![format!("after the RST the server repeated its SYN-ACK ({} times in all): it never saw the ACK", number(repeats))]
            } else {
                vec!["the RST came from another machine than the SYN-ACK, or data followed it".to_owned()]
            }
        }
        Some(Cause::PortClosed) if verdicts.get(Verdict::Refused) > 0 => {
            vec![format!("RST answered {}", count(verdicts.get(Verdict::Refused), "SYN"))]
        }
        Some(Cause::Filtered) if verdicts.get(Verdict::Unanswered) > 0 => {
            let (syns, repeats) = (verdicts.get(Verdict::Unanswered), record.retries.syn);
            vec![format!("{} and {}, no answer", count(syns, "SYN"), count(repeats, "repeat"))]
        }
        Some(Cause::PortClosed | Cause::Filtered | Cause::HostUnreachable) => {
            vec![format!("ICMP errors quote {}", count(verdicts.get(Verdict::Unreachable), "SYN"))]
        }
        Some(Cause::SynFlood) => vec![format!("{} half-open", count(verdicts.get(Verdict::HalfOpen), "attempt"))],
        Some(Cause::SynScan) => {
            vec![format!("the client's kernel reset {}", count(verdicts.get(Verdict::ClientReset), "SYN-ACK"))]
        }
        Some(Cause::ApplicationReset) => vec!["the RST carries ACK; an overflow's RST is bare".to_owned()],
        None if denied(record) > 0 => vec![
            "the packets show ignored or reset ACKs; a full queue would have counted each of them".to_owned(),
        ],
        None => Vec::new(),
    }
}

fn overflow_evidence(record: &Record) -> Vec<String> {
    let of = |verdict| record.overflowed.get(verdict);
    let (ignored, reset) = (of(Verdict::SynackRetransmitted), of(Verdict::ResetAfterAck));
    let (silent, unanswered) = (of(Verdict::AckIgnored), of(Verdict::Unanswered));
    let mut why = Vec::new();
    if ignored > 0 {
        let sure = record.tally_of(Cause::AcceptQueueOverflow).confidence > Some(Confidence::Possible);
        let reached = match record.vantage().filter(|_| sure) {
            Some(Vantage::Server | Vantage::Local) => ", which reached the server,",
            Some(Vantage::Client | Vantage::Middle) | None => "",
        };
        let row = match record.most_ignored {
            0 | 1 => "once".to_owned(),
            most => format!("up to {most} times in a row"),
        };
        let (acks, were) = if ignored == 1 { ("ACK", "was") } else { ("ACKs", "were") };
        why.push(format!("the {acks} of {}{reached} {were} ignored {row}", count(ignored, "client")));
    }
    if reset > 0 {
        let (acks, were) = match (reset, record.racers == reset) {
            (1, true) => ("ACK", "was"),
            (1, false) => ("ACK or data", "was"),
            (_, true) => ("ACKs", "were"),
            (_, false) => ("ACKs or data", "were"),
        };
        why.push(format!(
            "the {acks} of {} {were} answered with a bare RST, as the kernel sends when the queue is full",
            count(reset, "client")
        ));
    }
    if silent > 0 {
        why.push(format!(
            "{} got no answer to {} data, as with SYN cookies and a full queue",
            count(silent, "client"),
            if silent == 1 { "its" } else { "their" }
        ));
    }
    if unanswered > 0 {
        why.push(format!(
            "{} got no answer while the queue was full: Linux drops them since 4.10",
            count(unanswered, "SYN")
        ));
    }
    why.extend(at_once([ignored, reset, silent, unanswered], record));
    why.extend(record.schedule.in_words());
    let announced = kernel_on_overflow(record).is_some();
    if record.tally_of(Cause::AcceptQueueOverflow).confidence == Some(Confidence::Possible) && !announced {
        why.push(doubt(record).to_owned());
    } else if record.maybe_deferred > 0 && record.maybe_deferred == record.overflowed.total() && !announced {
        why.push(
            "doubt: a TCP_DEFER_ACCEPT of one second, as HAProxy's defer-accept, looks the same where clients do not send first"
                .to_owned(),
        );
    }
    why
}

/// What several looks of a full queue have to do with one another: ignored ACKs, resets, ignored data, silence.
fn at_once(looks: [u64; 4], record: &Record) -> Option<String> {
    let [ignored, reset, _, unanswered] = looks;
    if ignored > 0 && reset > 0 {
        return Some(
            "a kernel does either: tcp_abort_on_overflow was changed meanwhile, or something else sends the RSTs"
                .to_owned(),
        );
    }
    let several = looks.iter().filter(|&&attempts| attempts > 0).count() > 1;
    let complete = match record.verdicts.get(Verdict::Completed) {
        0 => "",
        _ => "some handshakes complete, ",
    };
    let later = if unanswered > 0 { ", and SYNs that come later get no answer" } else { "" };
    several.then(|| {
        format!(
            "one full queue does all of this at once: {complete}those break whose SYN came before it was full and whose ACK came after{later}"
        )
    })
}

/// Why an overflow is only possible.
fn doubt(record: &Record) -> &'static str {
    if record.overflowed.get(Verdict::SynackRetransmitted) > 0 {
        "doubt: one repeat alone, seen away from the server, is also what ACKs lost on the way look like; a capture on the server tells"
    } else if record.overflowed.get(Verdict::ResetAfterAck) > 0 {
        "doubt: a listener that is closed, or a middlebox, sends the same RST"
    } else {
        "doubt: something that drops the clients' data on the way looks the same; a capture on the server, or its counters, tell"
    }
}
