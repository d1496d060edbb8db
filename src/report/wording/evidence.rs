//! Evidence of attempts and of listeners: clauses without a full stop.

use std::borrow::Cow;

use crate::handshake::Evidence;
use crate::kernel::Counter;
use crate::listener::{KernelFigures, ListenerEvidence, RetrySchedule};
use crate::packet::IcmpError;
use crate::words::{count, number};

/// One piece of an attempt's evidence.
pub(in crate::report) fn evidence(evidence: Evidence) -> Cow<'static, str> {
    Cow::Borrowed(match evidence {
        Evidence::AcksIgnored(1) => "the server repeated its SYN-ACK after the client's ACK",
        Evidence::AcksIgnored(n) => {
            return format!("the server ignored {n} ACKs in a row and repeated its SYN-ACK").into();
        }
        Evidence::AckReachedServer => "captured near the server, where the ACK was seen to arrive",
        Evidence::RecoveredAfterOneRepeat => "one repeat, then the server accepted the connection",
        Evidence::AckMayBeLost => "the ACK may have been lost between the capture point and the server",
        Evidence::MayBeDeferred => {
            "a TCP_DEFER_ACCEPT of one second, and a client that does not send, look the same"
        }
        Evidence::OthersOverflowed => "other attempts to this listener overflowed at that time",
        Evidence::OthersMayHaveOverflowed => {
            "other attempts to this listener may have overflowed at that time, or lost packets on the way as this one may"
        }
        Evidence::NobodyAnsweredSince => {
            "the accept queue overflowed before, and no client was answered since"
        }
        Evidence::HostMayBeDown => "a host that went down, or a path that broke, since then looks the same",
        Evidence::RstAnswersFirstAck => "a bare RST answered the client's first ACK",
        Evidence::RstAnswersLaterSegment(n) => {
            return format!(
                "a bare RST answered the client's segment number {n} after the SYN-ACK, not its first ACK"
            )
            .into();
        }
        Evidence::RstNotKernelForm => "the RST carries a window or options, which Linux's does not",
        Evidence::RstBeforeAck => {
            "the RST is captured before the ACK: the capture is out of order, or it answers something else"
        }
        Evidence::ListenerMayHaveClosed => {
            "a listener that closes between SYN-ACK and ACK sends the same RST"
        }
        Evidence::RstHasOtherTtl => "the RST's TTL differs from the SYN-ACK's: another machine sent it",
        Evidence::SynAckAfterRst => "the server repeated its SYN-ACK after the RST: the ACK never reached it",
        Evidence::DataAfterRst => "the server sent data after the RST: the RST was not its own",
        Evidence::DataUnanswered(n) => {
            return format!("the client repeated its data {n} times and the server never answered").into();
        }
        Evidence::PathMayDropData => "something that drops the client's segments on the way looks the same",
        Evidence::NoRepeatAtOneSecond(at) => {
            return format!(
                "no SYN-ACK repeat at 1 s, one at {at}, as at the end of a TCP_DEFER_ACCEPT period"
            )
            .into();
        }
        Evidence::DeferredThenAccepted => "after it the server accepted the connection",
        Evidence::RstWithAckAfterHandshake { window_open: true } => {
            "RST with ACK and an open window right after the handshake: the server closed an accepted connection"
        }
        Evidence::RstWithAckAfterHandshake { window_open: false } => "RST with ACK right after the handshake",
        Evidence::MiddleboxMayReset => "a firewall or load balancer that resets connections looks the same",
        Evidence::RefusedByRst => "RST answered the SYN",
        Evidence::FirewallMayReject => "a firewall that rejects with a TCP reset looks the same",
        Evidence::ListenerAnswersOthers => "the same address and port answered other attempts",
        Evidence::RefusesOthers => "the same address and port refused other attempts",
        Evidence::AnswersAnother => {
            "the server sent segments with numbers of another connection: it takes the SYN for that one's"
        }
        Evidence::NeverAnswers => "nothing from this address and port answered any attempt in the capture",
        Evidence::QueueMayHaveBeenFull => {
            "a dead host, or an accept queue that was full from before the capture, looks the same"
        }
        Evidence::Icmp(icmp) => return format!("{} quotes the SYN", icmp_name(icmp)).into(),
        Evidence::ManyHalfOpen => "most attempts to this listener are left half-open",
        Evidence::AnswersMayBeLost => "answers that do not reach the clients leave them half-open, too",
        Evidence::ManyClientResets => "most attempts to this listener are reset by the client at the SYN-ACK",
        Evidence::ChecksLookTheSame => "health checks that go no further look the same",
        Evidence::SynWithoutOptions => "its SYN carries no TCP option, as no operating system's does",
        Evidence::WrongAck => "the client acknowledged a number that no SYN-ACK in the capture has",
        Evidence::CaptureDropped => "the capture lost packets, so what is missing proves less",
        Evidence::KernelOverflowed => "the kernel counted overflows of this accept queue at that time",
        Evidence::KernelDidNotOverflow => "the kernel counted no overflow of this accept queue at that time",
        Evidence::AckDidNotReachKernel => {
            "the client's segments were lost or filtered before they reached the listener"
        }
        Evidence::RstNotFromQueue => "the RST has another reason: a listener that was closed, or a middlebox",
    })
}

/// `icmp type 3 code 13`, `icmpv6 type 1 code 1`.
pub(in crate::report) fn icmp_name(icmp: IcmpError) -> String {
    let protocol = if icmp.v6 { "icmpv6" } else { "icmp" };
    format!("{protocol} type {} code {}", icmp.kind, icmp.code)
}

/// One piece of a listener's evidence.
pub(in crate::report) fn listener_evidence(evidence: &ListenerEvidence) -> Cow<'static, str> {
    match *evidence {
        ListenerEvidence::KernelCounted(ref figures) => kernel_figures(figures).into(),
        ListenerEvidence::KernelElsewhere => "this kernel repeated fewer SYN-ACKs than there were: another one may answer, behind a forwarded port, and count in a network namespace of its own".into(),
        ListenerEvidence::KernelCountedNone => {
            "the packets show ignored or reset ACKs; a full queue would have counted each of them".into()
        }
        ListenerEvidence::AcksIgnored { clients, reached_server, in_a_row } => {
            let (acks, were) = if clients == 1 { ("ACK", "was") } else { ("ACKs", "were") };
            let reached = if reached_server { ", which reached the server," } else { "" };
            let row = match in_a_row {
                0 | 1 => "once".to_owned(),
                most => format!("up to {most} times in a row"),
            };
            format!("the {acks} of {}{reached} {were} ignored {row}", count(clients, "client")).into()
        }
        ListenerEvidence::AcksReset { clients, first_acks } => {
            let (acks, were) = match (clients, first_acks) {
                (1, true) => ("ACK", "was"),
                (1, false) => ("ACK or data", "was"),
                (_, true) => ("ACKs", "were"),
                (_, false) => ("ACKs or data", "were"),
            };
            let clients = count(clients, "client");
            format!("the {acks} of {clients} {were} answered with a bare RST, as the kernel sends when the queue is full").into()
        }
        ListenerEvidence::DataIgnored { clients } => {
            let their = if clients == 1 { "its" } else { "their" };
            let clients = count(clients, "client");
            format!("{clients} got no answer to {their} data, as with SYN cookies and a full queue").into()
        }
        ListenerEvidence::SynsDropped { clients } => {
            let syns = count(clients, "SYN");
            format!("{syns} got no answer while the queue was full: Linux drops them since 4.10").into()
        }
        ListenerEvidence::SettingChanged => "a kernel does either: tcp_abort_on_overflow was changed meanwhile, or something else sends the RSTs".into(),
        ListenerEvidence::OneQueue { completed, unanswered } => format!(
            "one full queue does all of this at once: {}those break whose SYN came before it was full and whose ACK came after{}",
            if completed { "some handshakes complete, " } else { "" },
            if unanswered { ", and SYNs that come later get no answer" } else { "" }
        )
        .into(),
        ListenerEvidence::RetrySchedule(ref schedule) => retry_schedule(schedule).into(),
        ListenerEvidence::AcksMayBeLost => "doubt: one repeat alone, seen away from the server, is also what ACKs lost on the way look like; a capture on the server shows which".into(),
        ListenerEvidence::ResetMayBeAnothers => {
            "doubt: a listener that is closed, or a middlebox, sends the same RST".into()
        }
        ListenerEvidence::DataMayBeDropped => "doubt: something that drops the clients' data on the way looks the same; a capture on the server, or its counters, show which".into(),
        ListenerEvidence::MayBeDeferred => "doubt: a TCP_DEFER_ACCEPT of one second, as HAProxy's defer-accept, looks the same where clients do not send first".into(),
        ListenerEvidence::RepeatAfterDeferPeriod { accepted: true } => "no SYN-ACK repeat 1 s after the handshake, one near the end of the defer period, then the connection was accepted".into(),
        ListenerEvidence::RepeatAfterDeferPeriod { accepted: false } => {
            "no SYN-ACK repeat 1 s after the handshake, one near the end of a defer period".into()
        }
        ListenerEvidence::RstHasOtherTtl => "the RST's TTL is not the SYN-ACK's".into(),
        ListenerEvidence::SynAckAfterRst { repeats } => {
            let repeats = number(repeats);
            format!("after the RST the server repeated its SYN-ACK ({repeats} times in all): the ACK never reached it").into()
        }
        ListenerEvidence::RstFromAnother => {
            "the RST came from another machine than the SYN-ACK, or data followed it".into()
        }
        ListenerEvidence::SynsRefused { syns } => format!("RST answered {}", count(syns, "SYN")).into(),
        ListenerEvidence::SynsUnanswered { syns, retries } => {
            format!("{} and {}, no answer", count(syns, "SYN"), count(retries, "repeat")).into()
        }
        ListenerEvidence::IcmpErrors { syns } => format!("ICMP errors quote {}", count(syns, "SYN")).into(),
        ListenerEvidence::HalfOpen { attempts } => {
            format!("{} half-open", count(attempts, "attempt")).into()
        }
        ListenerEvidence::SynAcksReset { syn_acks } => {
            format!("the client's kernel reset {}", count(syn_acks, "SYN-ACK")).into()
        }
        ListenerEvidence::RstCarriesAck => "the RST carries ACK; an overflow's RST is bare".into(),
    }
}

fn kernel_figures(figures: &KernelFigures) -> String {
    let counter = |counter: Counter, grown: Option<u64>| match grown {
        Some(events) => format!("{} {}", counter.name(), number(events)),
        None => format!("{} unknown", counter.name()),
    };
    let drops =
        figures.drops.map_or_else(|| "an unknown number of packets".to_owned(), |n| count(n, "packet"));
    let limit = figures.limit.map_or_else(String::new, |limit| format!(" where {limit} may"));
    format!(
        "the kernel's own count: in {} this listener dropped {drops}, at most {} waited{limit}, and the namespace counted {}, {}",
        figures.span,
        count(figures.most_waiting.into(), "connection"),
        counter(Counter::ListenOverflows, figures.overflows),
        counter(Counter::ListenDrops, figures.listen_drops),
    )
}

/// `SYN-ACK repeats at 1.0 3.0 7.0 s: Linux's schedule, given up after 3: tcp_synack_retries=3`.
fn retry_schedule(schedule: &RetrySchedule) -> String {
    let times: Vec<String> = schedule.at.iter().map(|at| format!("{:.1}", at.as_secs_f64())).collect();
    let times = times.join(" ");
    if !schedule.linux {
        return format!("SYN-ACK repeats at {times} s: not Linux's schedule of 1 3 7 15 31 s");
    }
    let given_up = match schedule.given_up {
        None => String::new(),
        Some((least, most)) if least < most => {
            format!(", given up after {most} (tcp_synack_retries={most}) or, under pressure, after {least}")
        }
        Some((_, most)) => {
            let pressure = if RetrySchedule::may_be_cut(most) {
                ", or more and half of the SYN queue in use"
            } else {
                ""
            };
            format!(", given up after {most}: tcp_synack_retries={most}{pressure}")
        }
    };
    format!("SYN-ACK repeats at {times} s: Linux's schedule{given_up}")
}
