//! Evidence of attempts and of listeners: clauses without a full stop.

use std::borrow::Cow;

use super::drop_reasons;
use super::figures::{queue, socket_drops};
use crate::handshake::{Evidence, RuledOut, SegmentKind, SegmentLoss, SegmentStep};
use crate::kernel::{Counter, SocketReplaced};
use crate::listener::{KernelFigures, ListenerEvidence, RetrySchedule};
use crate::packet::{CapturePoint, IcmpError, Span};
use crate::printable::printable;
use crate::words::{count, number, verb};

/// Clause for one piece of an attempt's evidence.
pub(in crate::report) fn evidence(evidence: Evidence) -> Cow<'static, str> {
    let figures = match evidence {
        Evidence::AcksIgnored(n @ 2..) => {
            format!("the server ignored {n} ACKs in a row and repeated its SYN-ACK each time")
        }
        Evidence::DropsCluster { attempts, clients, answered } => format!(
            "in one stretch the SYNs of {} from {} went unanswered and {} answered, while the listener answered at once before or after",
            count(attempts.into(), "attempt"),
            at_least(clients, "address", "addresses"),
            verb_count(answered, "was", "were"),
        ),
        Evidence::KernelDroppedSegments { reason, segments, netns } => format!(
            "the kernel's own event: it dropped {}, {} ({}){}",
            count(segments.into(), "segment"),
            drop_reasons::clause(reason),
            reason.name(),
            drop_reasons::netns(netns)
        ),
        Evidence::RstAnswersLaterSegment(n) => {
            format!(
                "a bare RST answered the client's segment number {n} after the SYN-ACK, not its first ACK"
            )
        }
        Evidence::DataUnanswered(n) => {
            format!("the client sent its data or FIN again {} without an acknowledgment", times(n.into()))
        }
        Evidence::LostBetween(loss) => lost_between(&loss),
        Evidence::MadeBetween(SegmentLoss { kind, from, to, .. }) => format!(
            "{} was captured at {} and not at {}, which lies nearer to the server: something between them sent it",
            segment(kind),
            point(to),
            point(from)
        ),
        Evidence::NoRepeatAtOneSecond(at) => {
            format!("no SYN-ACK repeat came after 1 s, the first one after {at}")
        }
        Evidence::SamePeriod(at) => {
            format!("clients that sent nothing got one SYN-ACK repeat, all {at} after the first")
        }
        Evidence::PromptClientsAccepted(n) => {
            format!(
                "{} that sent data at once {} accepted at once",
                count(n.into(), "client"),
                verb(n.into(), "was", "were")
            )
        }
        Evidence::SynsAnsweredBetween(n) => format!(
            "between the ignored ACKs {} answered at once, which a full queue drops",
            if n == 1 { "a SYN was".to_owned() } else { format!("{} were", count(n.into(), "SYN")) }
        ),
        Evidence::SilentWithoutRepeat(silent) if silent >= SPOKE_FIRST => {
            "the server answered clients that had sent nothing".to_owned()
        }
        Evidence::SilentWithoutRepeat(silent) => {
            format!("a client sent nothing for {silent} and got no SYN-ACK repeat")
        }
        Evidence::ClosingBurst(n) => format!(
            "at one instant the server reset {} of different ages that it had not served, as when a listening socket is closed",
            count(n.into(), "connection")
        ),
        Evidence::PortsUsedBefore(before) => format!("the client had used the same ports {before} before"),
        Evidence::OlderStampsDropped { dropped, answered } => format!(
            "of this client address {} whose timestamp is older than an earlier connection's went unanswered, and {} answered: \
             as with tcp_tw_recycle (before Linux 4.12) and clients behind a NAT",
            count(dropped.into(), "attempt"),
            verb_count(answered, "other was", "others were"),
        ),
        Evidence::OtherHostsFailed(n) => format!(
            "{} failed this client in the same second: it is the way that they share",
            count(n.into(), "other host")
        ),
        Evidence::AnswersLostToo(n) => format!(
            "{} of the listener did not reach the client at that time: the path loses segments",
            count(u64::from(n), "SYN-ACK")
        ),
        Evidence::AnsweredAtOnce(n) => format!(
            "at one moment the server answered {}, long after their SYNs: it, or the way to it, had stood still",
            count(u64::from(n), "attempt")
        ),
        Evidence::SmallDataPassed(n) => format!(
            "meanwhile small data of {} was acknowledged, and the large segment was not",
            count(n.into(), "other connection")
        ),
        Evidence::AnsweredFrom(from) => {
            format!("the answer came from {from}, not from the address that was asked")
        }
        Evidence::FeatureBlockedOften(n) => {
            format!(
                "{} with the option or flags (ECN, Multipath TCP or Fast Open) got no SYN-ACK, and SYNs without did",
                count(n.into(), "SYN")
            )
        }
        Evidence::Icmp(icmp) => format!("{} quotes the SYN", icmp_name(icmp)),
        Evidence::FloodRate { per_second, sources } => format!(
            "{} a second from {} were never finished",
            count(per_second.into(), "SYN"),
            at_least(sources, "source", "sources"),
        ),
        Evidence::ManyHalfOpen(n) => {
            format!("{} were left unfinished at that time", count(n.into(), "handshake"))
        }
        Evidence::ManyClientResets(n) => {
            format!("clients reset the SYN-ACK of {} to this listener", count(n.into(), "attempt"))
        }
        Evidence::ManyPorts(n) => format!("this client knocked in vain at {n} ports or hosts and more"),
        Evidence::SteadyChecks { period, clients } => {
            format!(
                "{} every {period} and reset at the SYN-ACK",
                one_or_many(clients, "address connects", "addresses connect")
            )
        }
        Evidence::GaveUpBefore(waited) => format!("the client had the SYN-ACK {waited} after its first SYN"),
        Evidence::SiblingsDropToo(n) => {
            format!(
                "{} of this host left SYNs unanswered at the same time",
                count(n.into(), "other listener")
            )
        }
        Evidence::Otherwise(cause) => format!("doubt: {} looks the same", super::causes::otherwise(cause)),
        Evidence::CouldBe(cause) => format!("doubt: {} looks the same", super::causes::noun(cause)),
        other => return Cow::Borrowed(plain(other)),
    };
    Cow::Owned(figures)
}

/// Silence that stands for a server that sent data first.
const SPOKE_FIRST: Span = Span::from_secs(600);

/// Evidence without figures.
fn plain(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::AcksIgnored(_) => "the server repeated its SYN-ACK after the client's ACK",
        Evidence::AckReachedServer => "captured near the server, where the ACK was seen to arrive",
        Evidence::PathWorked => "other segments of this client reached the host meanwhile",
        Evidence::AckEchoed => {
            "a SYN-ACK repeat echoes the timestamp of the client's ACK: it had reached the server's TCP"
        }
        Evidence::DataIgnored => "the server ignored the client's data too, not a bare ACK alone",
        Evidence::OthersOverflowed => "other attempts to this listener overflowed at that time",
        Evidence::OthersMayHaveOverflowed => {
            "other attempts to this listener may have overflowed at that time"
        }
        Evidence::DropsSpread => "this client's SYNs were lost at several listeners and at different times",
        Evidence::RstAnswersFirstAck => "a bare RST answered the client's first ACK",
        Evidence::RstAnswersBeyond => {
            "a bare RST answered a later segment of the client, past its first data, as when a SYN cookie fails its check"
        }
        Evidence::RstNotKernelForm => "the RST carries a window or options, which a kernel's does not",
        Evidence::RstBeforeAck => {
            "the RST stands before the ACK: the capture is out of order, or it answers something else"
        }
        Evidence::RstAfterFin => "the client had sent FIN before the RST came, which may answer that",
        Evidence::RstTooLate => "the RST came a round trip after none of the client's segments",
        Evidence::RstTooSoon => "the RST came sooner than the server can have answered",
        Evidence::RstHasOtherTtl => "the RST's TTL differs from the SYN-ACK's: another machine sent it",
        Evidence::ResetsFarApart => {
            "such RSTs came at different times, while other connections completed between"
        }
        Evidence::SynsDroppedMeanwhile => "SYNs to this listener went unanswered at the same time",
        Evidence::SynAckAfterRst => "the server repeated its SYN-ACK after the RST: the ACK never reached it",
        Evidence::OthersFirewalled => {
            "a firewall sent the RST to ACKs of other clients: SYN-ACKs followed it"
        }
        Evidence::NoSynAckAfterRst => {
            "the server did not repeat its SYN-ACK after the RST, as it would for a firewall's"
        }
        Evidence::DataAfterRst => "the server sent data after the RST: the RST was not its own",
        Evidence::RepeatOnlyOnce => "only one SYN-ACK repeat followed the ACK",
        Evidence::RepeatFromAnother => {
            "a SYN-ACK repeat has another TTL, window or option order: another machine sent it"
        }
        Evidence::AnswerFromAnother => {
            "the SYN-ACK before the RST has another TTL, window or option order than those of this client's connections that were served: another machine sent both"
        }
        Evidence::RepeatUnanswered => "a SYN-ACK repeat drew no ACK from the client",
        Evidence::ProofWithoutAck => {
            "the server accepted the connection although the client sent nothing more: its ACK had come late"
        }
        Evidence::DelayUnclear => {
            "nothing tells whether the client needed the retry: it may have connected late"
        }
        Evidence::AckAtOnePoint => {
            "the ACK passed the first point of the capture and did not reach the second, which its SYN had passed"
        }
        Evidence::AnswersArrived => "every SYN-ACK that left the server's point came to the client's",
        Evidence::SynsRefusedMeanwhile => {
            "SYNs to this listener were refused at that time, as by no full queue"
        }
        Evidence::SilentFarApart => "silent clients more than 10 s apart were treated alike",
        Evidence::DeferredThenAccepted => "after the repeat the server accepted the connection",
        Evidence::ClosingRefusals => {
            "refusals, or bare RSTs to handshakes under way, followed within a second"
        }
        Evidence::ResetAlone => {
            "nothing else followed: an application that sweeps idle connections sends the same"
        }
        Evidence::LaterServedFirst => {
            "connections that finished their handshake later had been served before"
        }
        Evidence::LivedOn => "connections that waited at that time lived on",
        Evidence::RstWithAckAfterHandshake { window_open: true } => {
            "RST with ACK and an open window: the server closed an accepted connection"
        }
        Evidence::RstWithAckAfterHandshake { window_open: false } => "RST with ACK after the handshake",
        Evidence::RstAfterData => {
            "the RST came after the client's data: a filter that reads it sends the same"
        }
        Evidence::InClosingBurst => {
            "the RST is one of many at the same instant, as when a listening socket is closed"
        }
        Evidence::RefusedByRst => "RST answered the SYN",
        Evidence::RstWrongAck => {
            "an RST came whose number does not answer the SYN: the client must ignore it"
        }
        Evidence::RefusalThenSynAck => "an RST answered the SYN, and the server's SYN-ACK came after it",
        Evidence::RefusalsDiffer => "RSTs with different TTLs answered one SYN",
        Evidence::ListenerAnswersOthers => "the same address and port answered other attempts",
        Evidence::RefusesOthers => "the same address and port refused other attempts",
        Evidence::OlderNumbers => "the server answered with other numbers, as of an older connection",
        Evidence::OlderNumbersReset => "the client reset that answer",
        Evidence::OlderTimestamp => {
            "the SYN's timestamp is older than that connection's, which a server rejects (PAWS)"
        }
        Evidence::PortUsedAnew => {
            "the client began anew from the same port: it may have given up before the answer came"
        }
        Evidence::TwoIsns => "two SYN-ACKs with different numbers answered one SYN: two machines sent them",
        Evidence::OneHostTwoIsns => {
            "two SYN-ACKs with different numbers, as one machine sends: a new request, or a SYN cookie of another minute"
        }
        Evidence::SynRetriedAfterSynAck => {
            "the client repeated its SYN after the SYN-ACK: it did not get it, or rejected it"
        }
        Evidence::ClientFinishedAnother => "the same client finished another handshake",
        Evidence::SynAckRepeatedAlone => {
            "the server repeated its SYN-ACK, and the client did not repeat its SYN"
        }
        Evidence::FirstSynMadeRequest => {
            "a SYN-ACK answers the first SYN, as its timestamp or its time shows: the server had not dropped it"
        }
        Evidence::FeatureDropped => {
            "only a SYN without the option or flags of the first was answered, and at once"
        }
        Evidence::WrongChecksum(SegmentStep::Syn) => {
            "the SYN was captured with a wrong checksum, and others with right ones: its receiver drops it"
        }
        Evidence::WrongChecksum(SegmentStep::SynAck) => {
            "the SYN-ACK was captured with a wrong checksum, and others of this server with right ones: its receiver drops it"
        }
        Evidence::WrongChecksum(SegmentStep::Ack) => {
            "the ACK was captured with a wrong checksum, and the client's SYN with a right one: its receiver drops it"
        }
        Evidence::TooBig => "an ICMP error says that the data is too big for the path",
        Evidence::LaterDataSacked => "the server got the small segment behind the large one, and not that",
        Evidence::NeverAnswers => "nothing from this address and port answered any attempt in the capture",
        Evidence::SynWithoutOptions => "the SYN carries no TCP option, as no operating system's does",
        Evidence::WrongAck => "the client acknowledged a number that the server never offered",
        Evidence::Unmodelled => "doubt: a dead backend behind a proxy, or a stopped host, looks the same",
        Evidence::UnmodelledHere => {
            "doubt: a filter on the server itself, or a proxy there whose backend is dead, looks the same"
        }
        Evidence::CaptureDropped => "doubt: the capture lost packets, so a missing packet proves less",
        Evidence::LimitedByCapture => "doubt: the capture cannot support more, see its limits",
        Evidence::NotLinux => "the SYN-ACK is not a Linux kernel's",
        Evidence::KernelOverflowed => "the kernel counted overflows of this accept queue at that time",
        Evidence::KernelDeferred => {
            "the kernel held bare ACKs back at that time, and its listeners dropped nothing else"
        }
        Evidence::KernelDeferredNone => "the kernel held no bare ACK of this listener back at that time",
        Evidence::KernelSynQueueFull => "the kernel dropped SYNs for a full SYN queue at that time",
        Evidence::KernelSynQueueHadRoom => "the kernel dropped no SYN for a full SYN queue at that time",
        Evidence::KernelSentCookies => {
            "the kernel's SYN queue was full at that time, and it answered SYNs by cookies (TCPReqQFullDoCookies)"
        }
        Evidence::KernelRejectedOld => "the kernel rejected segments for an old timestamp at that time",
        Evidence::KernelDidNotOverflow => "the kernel counted no overflow of this accept queue at that time",
        // Evidence with figures is worded in `evidence`.
        Evidence::KernelDroppedSegments { .. }
        | Evidence::LostBetween(_)
        | Evidence::MadeBetween(_)
        | Evidence::DropsCluster { .. }
        | Evidence::RstAnswersLaterSegment(_)
        | Evidence::DataUnanswered(_)
        | Evidence::NoRepeatAtOneSecond(_)
        | Evidence::SamePeriod(_)
        | Evidence::PromptClientsAccepted(_)
        | Evidence::SilentWithoutRepeat(_)
        | Evidence::SynsAnsweredBetween(_)
        | Evidence::ClosingBurst(_)
        | Evidence::PortsUsedBefore(_)
        | Evidence::OlderStampsDropped { .. }
        | Evidence::AnsweredFrom(_)
        | Evidence::OtherHostsFailed(_)
        | Evidence::AnswersLostToo(_)
        | Evidence::AnsweredAtOnce(_)
        | Evidence::SmallDataPassed(_)
        | Evidence::FeatureBlockedOften(_)
        | Evidence::Icmp(_)
        | Evidence::FloodRate { .. }
        | Evidence::ManyHalfOpen(_)
        | Evidence::ManyClientResets(_)
        | Evidence::ManyPorts(_)
        | Evidence::SteadyChecks { .. }
        | Evidence::GaveUpBefore(_)
        | Evidence::SiblingsDropToo(_)
        | Evidence::Otherwise(_)
        | Evidence::CouldBe(_) => "",
    }
}

/// Words for the segments that clients sent in vain, so many of which sent nothing but FIN: `data`, `FIN`, `FINs`, `data or FIN`.
pub(super) const fn data_or_fins(clients: u64, fins: u64) -> &'static str {
    match (clients, fins) {
        (_, 0) => "data",
        (1, _) => "FIN",
        (all, fins) if all == fins => "FINs",
        (_, _) => "data or FIN",
    }
}

/// `16 addresses and more`: sets of addresses are bounded.
fn at_least(n: u32, one: &str, many: &str) -> String {
    let more = if n >= 16 { " and more" } else { "" };
    format!("{}{more}", one_or_many(n, one, many))
}

fn one_or_many(n: u32, one: &str, many: &str) -> String {
    format!("{} {}", number(n.into()), if n == 1 { one } else { many })
}

fn verb_count(n: u32, one: &'static str, many: &'static str) -> String {
    format!("{} {}", number(n.into()), verb(n.into(), one, many))
}

/// `once`, `3 times`.
fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{} times", number(n)) }
}

/// The beginning of a sentence about the place where segments were lost or made up, if the evidence is that.
pub(super) fn place(evidence: Evidence) -> Option<String> {
    match evidence {
        Evidence::LostBetween(loss) => {
            Some(format!("{} passed {} and {}", segments(loss.kind), point(loss.from), not_reached(&loss)))
        }
        Evidence::MadeBetween(loss) => Some(format!(
            "{} came from something between {} and {}",
            segments(loss.kind),
            point(loss.to),
            point(loss.from)
        )),
        _ => None,
    }
}

/// Clause for segments that passed one point and not the next.
fn lost_between(loss: &SegmentLoss) -> String {
    format!("{} passed {} and {}", segment(loss.kind), point(loss.from), not_reached(loss))
}

fn not_reached(loss: &SegmentLoss) -> String {
    let behind = match loss.to.is_single() {
        true => format!("did not reach {}", point(loss.to)),
        false => "reached no point behind it".to_owned(),
    };
    let place = match loss.within_host {
        true => "dropped on this host",
        false => "lost or filtered between them",
    };
    format!("{behind}: {place}")
}

const fn segments(kind: SegmentKind) -> &'static str {
    match kind {
        SegmentKind::Syn => "SYNs",
        SegmentKind::SynAck => "SYN-ACKs",
        SegmentKind::Ack => "ACKs",
        SegmentKind::Data => "Data",
        SegmentKind::Reply => "Answers of the server's",
        SegmentKind::ClientRst => "The clients' RSTs",
        SegmentKind::ServerRst => "RSTs",
    }
}

/// The name of a capture point.
pub(in crate::report) fn point(point: CapturePoint) -> String {
    printable(point.name()).into_owned()
}

const fn segment(kind: SegmentKind) -> &'static str {
    match kind {
        SegmentKind::Syn => "a SYN",
        SegmentKind::SynAck => "a SYN-ACK",
        SegmentKind::Ack => "the client's ACK",
        SegmentKind::Data => "data of the client's",
        SegmentKind::Reply => "an answer of the server's",
        SegmentKind::ClientRst => "the client's RST",
        SegmentKind::ServerRst => "the RST",
    }
}

/// `ICMP "host unreachable" (type 3 code 1)`, by RFC 792, RFC 1812 section 5.2.7.1 and RFC 4443.
pub(in crate::report) fn icmp_name(icmp: IcmpError) -> String {
    let meaning = match (icmp.v6, icmp.kind, icmp.code) {
        (false, 3, 0 | 6 | 11) => "network unreachable",
        (false, 3, 1 | 7 | 12) => "host unreachable",
        (false, 3, 2) => "protocol unreachable",
        (false, 3, 3) | (true, 1, 4) => "port unreachable",
        (false, 3, 4) => "fragmentation needed",
        (false, 3, 9 | 10 | 13) | (true, 1, 1) => "prohibited",
        (true, 1, 0) => "no route",
        (true, 1, 3) => "address unreachable",
        (true, 1, 5 | 6) => "rejected",
        (true, 2, _) => "packet too big",
        (false, 11, _) | (true, 3, _) => "time exceeded",
        (false, 12, _) | (true, 4, _) => "parameter problem",
        _ => "error",
    };
    let protocol = if icmp.v6 { "ICMPv6" } else { "ICMP" };
    format!("{protocol} \"{meaning}\" (type {} code {})", icmp.kind, icmp.code)
}

/// A cause that was excluded: `TCP_DEFER_ACCEPT: the server ignored the client's data too (12 attempts)`.
pub(in crate::report) fn ruled_out(ruled_out: RuledOut, attempts: u64) -> String {
    let of = if attempts > 1 { format!(" ({})", count(attempts, "attempt")) } else { String::new() };
    format!("{}: {}{of}", super::causes::noun(ruled_out.cause), evidence(ruled_out.evidence))
}

/// Clause for one piece of a listener's evidence.
pub(in crate::report) fn listener_evidence(known: &ListenerEvidence) -> Cow<'static, str> {
    match *known {
        ListenerEvidence::KernelCounted(ref figures) => kernel_figures(figures).into(),
        ListenerEvidence::KernelElsewhere => "this kernel repeated fewer SYN-ACKs than there were: another one may answer, behind a forwarded port, and count in a network namespace of its own".into(),
        ListenerEvidence::KernelCountedNone => {
            "the packets show ignored or reset ACKs; a full queue would have counted each of them".into()
        }
        ListenerEvidence::SocketReplaced(SocketReplaced { from, until }) => format!(
            "the kernel's snapshots show that its listening socket was replaced by another one then, within {}",
            until.since(from)
        )
        .into(),
        ListenerEvidence::AcksIgnored { clients, reached_server, in_a_row } => {
            let (acks, were) = if clients == 1 { ("ACK", "was") } else { ("ACKs", "were") };
            let reached = if reached_server { ", which reached the server," } else { "" };
            let row = match in_a_row {
                0 | 1 => "once".to_owned(),
                most => format!("up to {most} times in a row"),
            };
            format!("the {acks} of {}{reached} {were} ignored {row}", count(clients, "client")).into()
        }
        ListenerEvidence::AcksReset { clients, first_acks, kernel_form } => {
            let (acks, were) = match (clients, first_acks) {
                (1, true) => ("ACK", "was"),
                (1, false) => ("ACK or data", "was"),
                (_, true) => ("ACKs", "were"),
                (_, false) => ("ACKs or data", "were"),
            };
            let clients = count(clients, "client");
            let as_kernel = if kernel_form { ", as the kernel sends when the queue is full" } else { "" };
            format!("the {acks} of {clients} {were} answered with a bare RST{as_kernel}").into()
        }
        ListenerEvidence::DataIgnored { clients, fins } => {
            let their = if clients == 1 { "its" } else { "their" };
            let what = data_or_fins(clients, fins);
            let clients = count(clients, "client");
            format!("{clients} got no answer to {their} {what}, as with SYN cookies and a full queue").into()
        }
        ListenerEvidence::SynsDropped { clients } => {
            let attempts = count(clients, "attempt");
            format!("the SYNs of {attempts} got no answer: Linux drops those that come while the queue is full, since 4.10")
                .into()
        }
        ListenerEvidence::SettingChanged => "a kernel does either: tcp_abort_on_overflow was changed meanwhile, or something else sends the RSTs".into(),
        ListenerEvidence::OneQueue { completed, unanswered } => format!(
            "one full queue does all of this at once: {}those break whose SYN came before it was full and whose ACK came after{}",
            if completed { "some handshakes complete, " } else { "" },
            if unanswered { ", and SYNs that come later get no answer" } else { "" }
        )
        .into(),
        ListenerEvidence::RetrySchedule(ref schedule) => retry_schedule(schedule).into(),
        ListenerEvidence::LateConnects { clients } => {
            let clients = count(clients, "client");
            format!("{clients} connected by a retry, after SYNs that got no answer").into()
        }
        ListenerEvidence::OfAttempts { evidence: one, attempts } if attempts > 1 => {
            // Several attempts differ in their times.
            let words = match one {
                Evidence::PortsUsedBefore(before) => {
                    format!("the client had used the same ports some time before, e.g. {before}").into()
                }
                Evidence::GaveUpBefore(waited) => {
                    format!("the client had the SYN-ACK some time after its first SYN, e.g. {waited}").into()
                }
                other => evidence(other),
            };
            format!("{words} ({})", count(attempts, "attempt")).into()
        }
        ListenerEvidence::OfAttempts { evidence: one, .. } => evidence(one),
    }
}

fn kernel_figures(figures: &KernelFigures) -> String {
    let counter = |counter: Counter, grown: Option<u64>| match grown {
        Some(events) => format!("{} {}", counter.name(), number(events)),
        None => format!("{} unknown", counter.name()),
    };
    let drops = match figures.drops {
        Some(0) => "no drops".to_owned(),
        Some(drops) => format!("{} (a SYN is one, an ignored ACK two)", socket_drops(drops)),
        None => "an unknown number of drops".to_owned(),
    };
    format!(
        "the kernel's own count: in {} this listener had {drops}, at most {}, and the namespace counted {}, {}",
        figures.span,
        queue(figures.most_waiting, figures.limit),
        counter(Counter::ListenOverflows, figures.overflows),
        counter(Counter::ListenDrops, figures.listen_drops),
    )
}

/// Times of repeats: `1.01 3.03 7.07 15.2 31.3 s`.
pub(in crate::report) fn retry_times(times: &[Span]) -> String {
    let seconds = times.iter().map(|span| {
        let seconds = span.as_secs_f64();
        let digits = if seconds < 9.995 { 2 } else { 1 };
        format!("{seconds:.digits$}")
    });
    format!("{} s", seconds.collect::<Vec<_>>().join(" "))
}

/// `SYN-ACKs were repeated on Linux's schedule, 1 3 7 s, given up after 3: tcp_synack_retries=3`.
fn retry_schedule(schedule: &RetrySchedule) -> String {
    let times = retry_times(&schedule.at);
    if schedule.held_back {
        // A second repeat tells: before 3.1 it came at 9 s.
        let older = schedule.at.len() == 1 && schedule.at.iter().all(|&at| at < Span::from_secs(4));
        let or = if older { ", or of a kernel before 3.1" } else { "" };
        return format!(
            "SYN-ACK repeats at {times} and none before: those of Linux with TCP_DEFER_ACCEPT, which holds them back until its period ends{or}"
        );
    }
    if !schedule.linux {
        let older = if schedule.is_older() { ", but that of kernels before 3.1" } else { "" };
        return format!("SYN-ACK repeats at {times}: not Linux's schedule of 1 3 7 15 31 s{older}");
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
    // The times of an attempt are with that; here they would be another one's.
    let due: Vec<String> =
        (1..=schedule.at.len()).map(|repeat| ((1_u32 << repeat) - 1).to_string()).collect();
    format!("SYN-ACKs were repeated on Linux's schedule, {} s{given_up}", due.join(" "))
}
