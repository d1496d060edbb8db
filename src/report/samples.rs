//! Hand-made analyses that the tests of all formats share.

use strum::IntoEnumIterator;

use crate::capture::{CaptureFormat, CaptureInfo};
use crate::engine::{PacketCounts, Summary, Survey, Undecoded};
use crate::handshake::{
    Attempt, Cause, Confidence, Connect, ConnectOutcome, Errno, Evidence, Fact, Facts, Finding, History,
    IcmpAnswer, Inference, Reason, Retries, RetryTimes, RuledOutList, SharedInference, SynAckTraits, Timing,
    Vantage, Verdict,
};
use crate::kernel::{Counters, KernelStats, ListenSocket, Netns, Snapshot, Sysctls, Watch};
use crate::listener::{
    Advice, CauseCount, Clients, Coverages, Diagnosis, Listener, ListenerEvidence, Listeners, RetrySums,
    Tally,
};
use crate::packet::{Endpoint, FrameRef, IcmpError, LinkType, Protocol, Seq, Span, Timestamp};

/// An analysis: what the engine hands to a reporter.
pub(crate) type Sample = (Summary, Vec<Attempt>);

/// 2026-11-23T01:46:47.055149Z.
const START: Timestamp = Timestamp::from_nanos(1_795_398_407_055_149_000);

fn at_millis(millis: i64) -> Timestamp {
    START.plus(Span::from_millis(millis))
}

fn endpoint(text: &str) -> Endpoint {
    Endpoint::from(text.parse::<std::net::SocketAddr>().unwrap())
}

/// A completed attempt, number `index` of its capture.
fn attempt(index: u32, client: &str, server: &str) -> Attempt {
    let start = at_millis(i64::from(index) * 20);
    let duration = Span::from_millis(45);
    Attempt {
        client: endpoint(client),
        server: endpoint(server),
        frame: FrameRef::new(0, u64::from(index) * 12 + 1),
        ordinal: u64::from(index) * 12,
        start,
        end: start.plus(duration),
        verdict: Verdict::Completed,
        reason: None,
        icmp: None,
        unproven: None,
        client_finishes: false,
        established: Some(true),
        retries: Retries::default(),
        retry_at: RetryTimes::new(),
        syn_retry_at: RetryTimes::new(),
        timing: Timing {
            syn_to_synack: Some(Span::from_micros(31)),
            synack_to_ack: Some(Span::from_micros(20_400)),
            ack_to_rst: None,
            duration,
            ..Timing::default()
        },
        vantage: Some(Vantage::Server),
        connect: Connect { outcome: ConnectOutcome::Succeeded, errno: None, window: None },
        history: History::default(),
        packets: 12,
        facts: Facts::of(&[Fact::SynSeen, Fact::SynAckSeen]),
        synack: SynAckTraits::default(),
        client_isn: Seq(1),
        client_clock: None,
        data_retransmissions: 0,
        sent_bytes: 0,
        resent_bytes: 0,
        server_rsts: 0,
        rst_answers_segment: 0,
        first_synack: None,
        acked: None,
        sent: None,
        reset: None,
        silence: None,
        ports_before: None,
        has_older_stamp: false,
        path_worked: false,
        answered_from: None,
        is_translated: false,
        passage: None,
        inference: SharedInference::default(),
    }
}

fn clients(count: u32) -> impl Iterator<Item = (u32, String)> {
    (0..count).map(|n| (n, format!("10.9.0.1:{}", 35_200 + 2 * n)))
}

fn inference(cause: Cause, abort: Option<bool>, confidence: Confidence) -> Inference {
    Inference {
        cause: Some(cause),
        abort_on_overflow: abort,
        confidence: Some(confidence),
        evidence: smallvec::smallvec![match cause {
            Cause::PortClosed => Evidence::RefusedByRst,
            Cause::Filtered => Evidence::NeverAnswers,
            _ => Evidence::AckReachedServer,
        }],
        ruled_out: RuledOutList::new(),
    }
}

fn capture(path: &str, packets: u64) -> CaptureInfo {
    CaptureInfo {
        path: path.to_owned(),
        format: Some(CaptureFormat::Pcap),
        link_types: vec![LinkType::ETHERNET],
        packets,
        untimed: 0,
        bytes: packets * 86 + 24,
        first: Some(START),
        last: Some(at_millis(40_600)),
        damaged: None,
        cut: false,
        shift: None,
        clock_doubt: None,
        read_once: false,
        dropped: None,
        points: Vec::new(),
    }
}

fn listener(server: &str, attempts: &[Attempt]) -> Listener {
    let mut listener = Listener {
        server: Some(endpoint(server)),
        published: None,
        scan: None,
        verdicts: Tally::default(),
        unproven: 0,
        connect_time: None,
        delay: None,
        stall: None,
        stalled: 0,
        retries: RetrySums::default(),
        causes: Vec::new(),
        cause: None,
        abort_on_overflow: None,
        confidence: None,
        evidence: Vec::new(),
        ruled_out: Vec::new(),
        no_problem: 0,
        broken: 0,
        late: 0,
        failed: 0,
        odd_answers: 0,
        diagnosis: Diagnosis::Healthy,
        episodes: Vec::new(),
        clients: Clients::default(),
        advice: Vec::new(),
        since: None,
        until: None,
        size: None,
        kernel: None,
    };
    for attempt in attempts.iter().filter(|a| a.server == endpoint(server)) {
        listener.verdicts.add(attempt.verdict);
        listener.retries.add(attempt.retries);
        listener.failed += u64::from(attempt.verdict.is_problem());
        if attempt.verdict.is_problem() {
            listener.since = listener.since.or(Some(attempt.start));
            listener.until = Some(attempt.end);
        }
    }
    listener
}

/// Gives a listener its cause, which explains all its problems.
fn explain(listener: &mut Listener, cause: Cause, confidence: Confidence, attempts: &[Attempt]) {
    let mut affected = Tally::default();
    let own = attempts.iter().filter(|attempt| Some(attempt.server) == listener.server);
    own.filter(|attempt| attempt.verdict.is_problem()).for_each(|attempt| affected.add(attempt.verdict));
    let surest = Verdict::iter().map(|verdict| (affected.get(verdict) > 0).then_some(confidence));
    listener.causes = vec![CauseCount::new(cause, affected, surest)];
    listener.cause = Some(cause);
    listener.confidence = Some(confidence);
    listener.diagnosis = Diagnosis::Explained { affected, answers: false, possible: 0 };
}

/// Listeners that know these attempts.
pub(crate) fn listeners(attempts: &[Attempt]) -> Listeners {
    let mut listeners = Listeners::new(Listeners::DEFAULT_LIMIT);
    for attempt in attempts {
        listeners.record(&mut Finding { at: attempt.end, settled: true, attempt: attempt.clone() });
    }
    listeners
}

fn summary(captures: Vec<CaptureInfo>, listeners: Vec<Listener>, attempts: &[Attempt]) -> Summary {
    let mut verdicts = Tally::default();
    attempts.iter().for_each(|attempt| verdicts.add(attempt.verdict));
    let total = captures.iter().map(|capture| capture.packets).sum();
    Summary {
        captures,
        packets: PacketCounts { total, tcp: total, ..PacketCounts::default() },
        outside: 0,
        coverage: Coverages::default(),
        verdicts,
        listeners,
    }
}

/// Kernel's figures of a listener with this socket alone, in this network namespace.
pub(crate) fn kernel_stats(socket: ListenSocket, netns: Netns) -> KernelStats {
    let (at, counters, sysctls) = (Timestamp::default(), Counters::default(), Sysctls::default());
    let local = socket.local;
    let watch = Watch::new(Snapshot { at, sockets: vec![socket], counters, sysctls });
    KernelStats { netns, ..watch.stats(local).unwrap() }
}

/// 20 completed attempts to one listener.
pub(crate) fn healthy() -> Sample {
    let server = "10.9.0.2:7777";
    let attempts: Vec<Attempt> = clients(20).map(|(n, client)| attempt(n, &client, server)).collect();
    let only = listener(server, &attempts);
    (summary(vec![capture("completed_echo-server.pcap", 240)], vec![only], &attempts), attempts)
}

/// One full queue: 10 completed, 3 retransmitted, 47 unanswered.
pub(crate) fn overflow_mixed() -> Sample {
    let server = "10.9.0.2:7777";
    let mut attempts: Vec<Attempt> = clients(60).map(|(n, client)| attempt(n, &client, server)).collect();
    for a in &mut attempts[10..13] {
        a.verdict = Verdict::SynackRetransmitted;
        a.established = Some(false);
        a.retries = Retries { syn: 0, syn_ack: 5, after_ack: 5 };
        a.retry_at = [1_010, 3_030, 7_070, 15_200, 31_300].map(Span::from_millis).into_iter().collect();
        a.timing.duration = Span::from_millis(31_300);
        a.end = a.start.plus(a.timing.duration);
        a.inference = inference(Cause::AcceptQueueOverflow, Some(false), Confidence::Likely).into();
        a.packets = 23;
    }
    for a in &mut attempts[13..] {
        a.verdict = Verdict::Unanswered;
        a.established = Some(false);
        a.retries = Retries { syn: 9, syn_ack: 0, after_ack: 0 };
        a.syn_retry_at = [1_010, 2_020, 3_030, 4_040, 5_050, 7_070, 11_100, 19_200, 35_300]
            .map(Span::from_millis)
            .into_iter()
            .collect();
        a.timing = Timing { duration: Span::from_millis(35_300), ..Timing::default() };
        a.end = a.start.plus(a.timing.duration);
        a.vantage = None;
        a.connect.outcome = ConnectOutcome::Pending;
        a.inference = inference(Cause::AcceptQueueOverflow, None, Confidence::Likely).into();
        a.packets = 10;
    }
    let mut full = listener(server, &attempts);
    explain(&mut full, Cause::AcceptQueueOverflow, Confidence::Likely, &attempts);
    full.abort_on_overflow = Some(false);
    full.clients = Clients { believe_connected: 3, waiting: 47, ..Clients::default() };
    full.evidence = vec![
        ListenerEvidence::AcksIgnored { clients: 3, reached_server: true, in_a_row: 5 },
        ListenerEvidence::SynsDropped { clients: 47 },
    ];
    full.advice = vec![Advice::CheckQueue, Advice::AcceptFaster];
    (summary(vec![capture("overflow_mixed-server.pcap", 811)], vec![full], &attempts), attempts)
}

/// A closed port and an ICMP rejection beside a healthy listener, in two captures seen from the client.
pub(crate) fn refused() -> Sample {
    let (closed, rejecting, healthy) = ("10.9.0.2:7001", "192.168.200.102:8443", "10.9.0.2:7777");
    let mut attempts: Vec<Attempt> = Vec::new();
    for (n, client) in clients(12) {
        let server = match n {
            0..4 => closed,
            4..6 => rejecting,
            _ => healthy,
        };
        let mut a = attempt(n, &client, server);
        a.vantage = Some(Vantage::Client);
        if n < 6 {
            a.established = Some(false);
            a.packets = 2;
            a.timing = Timing { duration: Span::from_micros(20_100), ..Timing::default() };
            a.end = a.start.plus(a.timing.duration);
        }
        match n {
            0..4 => {
                a.verdict = Verdict::Refused;
                a.connect = Connect {
                    outcome: ConnectOutcome::Failed,
                    errno: Some(Errno::Econnrefused),
                    window: None,
                };
                a.inference = inference(Cause::PortClosed, None, Confidence::Possible).into();
            }
            4..6 => {
                a.verdict = Verdict::Unreachable;
                let error = IcmpError { v6: false, kind: 3, code: 13 };
                a.icmp = Some(IcmpAnswer { error, from: "10.9.0.254".parse().unwrap() });
                a.frame = FrameRef::new(1, 7);
                a.connect = Connect {
                    outcome: ConnectOutcome::Failed,
                    errno: Some(Errno::Ehostunreach),
                    window: None,
                };
                a.inference = inference(Cause::Filtered, None, Confidence::Likely).into();
            }
            _ => {}
        }
        attempts.push(a);
    }
    let mut refusing = listener(closed, &attempts);
    explain(&mut refusing, Cause::PortClosed, Confidence::Possible, &attempts);
    refusing.evidence = vec![ListenerEvidence::OfAttempts { evidence: Evidence::RefusedByRst, attempts: 4 }];
    refusing.advice = vec![Advice::CheckListening];
    let mut rejected = listener(rejecting, &attempts);
    explain(&mut rejected, Cause::Filtered, Confidence::Likely, &attempts);
    rejected.evidence = vec![ListenerEvidence::OfAttempts {
        evidence: Evidence::Icmp(IcmpError { v6: false, kind: 3, code: 13 }),
        attempts: 2,
    }];
    let fine = listener(healthy, &attempts);
    let captures = vec![capture("refused-1.pcap", 60), capture("refused-2.pcap", 40)];
    let mut summary = summary(captures, vec![refusing, rejected, fine], &attempts);
    summary.packets.tcp = 96;
    summary.packets.skipped = [1, 1, 0, 0, 0, 0];
    (summary, attempts)
}

/// A damaged capture with drops and odd packets, and attempts that cannot be judged.
pub(crate) fn damaged() -> Sample {
    let server = "10.9.0.2:7777";
    let mut attempts: Vec<Attempt> = clients(5).map(|(n, client)| attempt(n, &client, server)).collect();
    for (a, reason) in
        attempts[2..].iter_mut().zip([Reason::CaptureCut, Reason::CaptureCut, Reason::OneSided])
    {
        a.verdict = Verdict::Undetermined;
        a.reason = Some(reason);
        a.established = None;
        a.vantage = None;
        a.timing = Timing::default();
        a.end = a.start;
        a.connect.outcome = ConnectOutcome::Unknown;
        a.packets = 1;
    }
    let mut broken = capture("cut.pcapng", 70);
    broken.format = Some(CaptureFormat::PcapNg);
    broken.link_types.push(LinkType(147));
    broken.last = Some(at_millis(312_000));
    broken.damaged = Some(
        "cut.pcapng: packet 71 at byte offset 6044: block of 96 bytes expected, the file ends after 12"
            .to_owned(),
    );
    broken.cut = true;
    broken.dropped = Some(1_234);
    let mut only = listener(server, &attempts);
    only.diagnosis = Diagnosis::Undetermined;
    let mut summary = summary(vec![broken], vec![only], &attempts);
    summary.packets = PacketCounts {
        survey: Survey::default(),
        total: 70,
        tcp: 50,
        copies: 1,
        midstream: 7,
        skipped: [2, 3, 4, 5, 1, 5],
        undecoded: vec![
            Undecoded { protocol: Protocol::LinkType(LinkType(147)), packets: 5 },
            Undecoded { protocol: Protocol::Ip(89), packets: 3 },
        ],
    };
    (summary, attempts)
}

/// Resets over IPv6 with long addresses, one raced, seen on the host of both ends.
pub(crate) fn ipv6() -> Sample {
    let server = "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535";
    let mut attempts: Vec<Attempt> = (0..3)
        .map(|n| attempt(n, &format!("[2001:db8:aaaa:bbbb:cccc:dddd:eeee:{n:x}fff]:4024{n}"), server))
        .collect();
    for a in &mut attempts[1..] {
        a.verdict = Verdict::ResetAfterAck;
        a.established = Some(false);
        a.timing.ack_to_rst = Some(Span::from_micros(12));
        a.vantage = Some(Vantage::Local);
        a.connect =
            Connect { outcome: ConnectOutcome::Raced, errno: None, window: Some(Span::from_micros(210)) };
        a.inference = inference(Cause::AcceptQueueOverflow, Some(true), Confidence::Possible).into();
        a.packets = 4;
    }
    attempts[0].vantage = Some(Vantage::Local);
    attempts[0].facts.remove(Fact::SynSeen);
    let mut resets = listener(server, &attempts);
    explain(&mut resets, Cause::AcceptQueueOverflow, Confidence::Possible, &attempts);
    resets.abort_on_overflow = Some(true);
    let window = Span::from_micros(210);
    resets.clients = Clients { reset: 2, reset_after: Some((window, window)), ..Clients::default() };
    resets.evidence = vec![
        ListenerEvidence::AcksReset { clients: 2, first_acks: true, kernel_form: true },
        ListenerEvidence::OfAttempts { evidence: Evidence::CouldBe(Cause::ListenerClosed), attempts: 2 },
    ];
    let mut capture = capture("-", 16);
    capture.format = Some(CaptureFormat::PcapNg);
    capture.link_types = vec![LinkType::NULL];
    capture.last = Some(at_millis(85));
    (summary(vec![capture], vec![resets], &attempts), attempts)
}

/// Packets, but no handshake among them.
pub(crate) fn midstream() -> Sample {
    let mut summary = summary(vec![capture("late.pcap", 500)], Vec::new(), &[]);
    summary.packets.midstream = 500;
    (summary, Vec::new())
}
