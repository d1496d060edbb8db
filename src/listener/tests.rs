//! Listeners with the kernel's figures and without.

use super::*;
use crate::handshake::{Attempt, Cause, Finding, SharedInference, Verdict};
use crate::handshake::{
    Confidence, Evidence, Fact, Inference, Reason, Retries, RuledOut, SynAckTraits, Vantage,
};
use crate::kernel::{Counters, ListenSocket, Snapshot, Sysctls, Watch};
use crate::listener::conclude::main_cause;
use crate::listener::totals::Totals;
use crate::listener::{Clients, Diagnosis, ListenerEvidence};
use crate::packet::{OptionLayout, Span};
use crate::report::samples;

/// Records counts of a kernel whose listener on `server` overflowed so often between two samples around `attempt`.
fn say(listeners: &mut Listeners, attempt: &Attempt, overflows: u64, abort: u32) {
    say_all(listeners, attempt, (overflows, 1_000), abort);
}

/// The same as `say`, of a kernel that repeated so many SYN-ACKs.
fn say_all(listeners: &mut Listeners, attempt: &Attempt, (overflows, repeats): (u64, u64), abort: u32) {
    say_of_sockets(listeners, attempt, (overflows, repeats), abort, [1, 1]);
}

/// Records the kernel's figures as above, of a listener that had a socket with the first of these cookies before, and with the
/// second afterwards.
fn say_of_sockets(
    listeners: &mut Listeners,
    attempt: &Attempt,
    (overflows, repeats): (u64, u64),
    abort: u32,
    cookies: [u64; 2],
) {
    let server = attempt.server;
    let address = std::net::SocketAddr::new(server.ip(), server.port());
    let sample = |at, overflows: u64, repeats: u64, cookie| {
        let dropped = u32::try_from(2 * overflows).unwrap();
        let netstat = format!(
            "TcpExt: ListenOverflows ListenDrops TCPSynRetrans\nTcpExt: {overflows} {overflows} {repeats}\n"
        );
        let any = ListenSocket::sample(address);
        let socket = ListenSocket { drops: Some(dropped), inode: cookie, cookie, ..any };
        Snapshot {
            at,
            sockets: vec![socket],
            counters: Counters::parse(&netstat, ""),
            sysctls: Sysctls { tcp_abort_on_overflow: Some(abort), ..Sysctls::default() },
        }
    };
    let (since, until) = (attempt.start.plus(Span::from_secs(-1)), attempt.end.plus(Span::from_secs(1)));
    let mut watch = Watch::new(sample(since, 0, 0, cookies[0]));
    watch.push(sample(until, overflows, repeats, cookies[1]));
    let word = watch.stats(address).unwrap();
    listeners.record_kernel(server, word, watch.listener_interval(address).unwrap());
}

/// A listeners that has seen the attempts of a real overflow, and one of those with this verdict.
fn overflowed(verdict: Verdict) -> (Listeners, Attempt) {
    let mut listeners = Listeners::new(8);
    let attempts = samples::overflow_mixed().1;
    for attempt in &attempts {
        listeners.record(&mut Finding { at: attempt.end, settled: true, attempt: attempt.clone() });
    }
    (listeners, attempts.into_iter().find(|attempt| attempt.verdict == verdict).unwrap())
}

#[test]
fn what_the_kernel_counted_is_confirmed() {
    for verdict in [Verdict::SynackRetransmitted, Verdict::Unanswered] {
        let (mut listeners, attempt) = overflowed(verdict);
        assert!(listeners.infer(&attempt).confidence < Some(Confidence::Confirmed));
        say(&mut listeners, &attempt, 1_000, 1);
        let inference = listeners.infer(&attempt);
        assert_eq!(inference.cause, Some(Cause::AcceptQueueOverflow));
        assert_eq!(inference.confidence, Some(Confidence::Confirmed));
        assert_eq!(inference.evidence.first(), Some(&Evidence::KernelOverflowed));
        // Ignored ACKs show the setting that was in force; dropped SYNs show none.
        let shown = verdict == Verdict::Unanswered;
        assert_eq!(inference.abort_on_overflow, Some(shown), "{verdict:?}");
    }
}

#[test]
fn a_round_trip_that_a_busy_server_stretched_does_not_outweigh_the_kernels_count() {
    let (_, sample) = overflowed(Verdict::SynackRetransmitted);
    let mut attempt = Attempt { verdict: Verdict::ResetAfterAck, ..sample };
    for fact in [Fact::RstToFirstAck, Fact::RstToFirstByte, Fact::RstKernelForm, Fact::RstTooSoon] {
        attempt.facts.add(fact);
    }
    let mut listeners = Listeners::new(8);
    listeners.record(&mut Finding { at: attempt.end, settled: true, attempt: attempt.clone() });
    assert_ne!(listeners.infer(&attempt).cause, Some(Cause::AcceptQueueOverflow));
    say(&mut listeners, &attempt, 1, 1);
    let inference = listeners.infer(&attempt);
    assert_eq!(inference.cause, Some(Cause::AcceptQueueOverflow));
    assert_eq!(inference.confidence, Some(Confidence::Confirmed));
}

#[test]
fn what_the_kernel_did_not_count_is_no_overflow() {
    let (mut listeners, attempt) = overflowed(Verdict::SynackRetransmitted);
    say(&mut listeners, &attempt, 0, 0);
    let inference = listeners.infer(&attempt);
    assert_eq!((inference.cause, inference.confidence, inference.abort_on_overflow), (None, None, None));
    assert_eq!(inference.evidence.first(), Some(&Evidence::KernelDidNotOverflow));
    let ruled_out = RuledOut { cause: Cause::AcceptQueueOverflow, evidence: Evidence::KernelDidNotOverflow };
    assert!(inference.ruled_out.contains(&ruled_out));
}

#[test]
fn a_kernel_that_did_not_repeat_the_synacks_denies_nothing() {
    let (mut listeners, attempt) = overflowed(Verdict::SynackRetransmitted);
    say_all(&mut listeners, &attempt, (0, 0), 0);
    assert_eq!(listeners.infer(&attempt).confidence, Some(Confidence::Likely));
    let listeners = listeners.listeners(None);
    let listener = listeners.iter().find(|listener| listener.server == Some(attempt.server)).unwrap();
    assert_eq!(listener.cause, Some(Cause::AcceptQueueOverflow));
    assert_eq!(listener.evidence.first(), Some(&ListenerEvidence::KernelElsewhere));
}

#[test]
fn lost_packets_weaken_what_rests_on_absence_but_not_the_kernels_count() {
    let (mut listeners, attempt) = overflowed(Verdict::SynackRetransmitted);
    assert_eq!(listeners.infer(&attempt).confidence, Some(Confidence::Likely));
    listeners.capture_dropped();
    let doubted = listeners.infer(&attempt);
    assert_eq!(doubted.confidence, Some(Confidence::Possible));
    assert_eq!(doubted.evidence.last(), Some(&Evidence::CaptureDropped));
    say(&mut listeners, &attempt, 1_000, 0);
    let confirmed = listeners.infer(&attempt);
    assert_eq!(confirmed.confidence, Some(Confidence::Confirmed));
    assert!(!confirmed.evidence.contains(&Evidence::CaptureDropped));
}

#[test]
fn one_repeat_at_the_client_shows_neither_the_retries_nor_that_the_client_is_wrong() {
    let attempts = samples::overflow_mixed().1;
    let repeated = |verdict| attempts.iter().find(|attempt| attempt.verdict == verdict).cloned();
    let mut attempt = repeated(Verdict::SynackRetransmitted).unwrap();
    attempt.vantage = Some(Vantage::Client);
    attempt.established = Some(false);
    attempt.retries = Retries { syn: 0, syn_ack: 1, after_ack: 1 };
    attempt.retry_at.truncate(1);
    let summed = |attempt: Attempt| {
        let mut listeners = Listeners::new(8);
        listeners.record(&mut Finding { at: attempt.end, settled: true, attempt });
        let listener = listeners.listeners(None).remove(0);
        let schedule = listener.evidence.into_iter().find_map(|evidence| match evidence {
            ListenerEvidence::RetrySchedule(schedule) => Some(schedule),
            _ => None,
        });
        (listener.clients, schedule.and_then(|schedule| schedule.given_up))
    };
    let (clients, given_up) = summed(attempt.clone());
    assert_eq!(clients, Clients::default(), "it may as well be a lost ACK");
    assert_eq!(given_up, None);
    attempt.retries = Retries { syn: 0, syn_ack: 2, after_ack: 2 };
    attempt.retry_at.push(Span::from_secs(3));
    let (clients, given_up) = summed(attempt.clone());
    assert_eq!(clients, Clients { unsure: 1, ..Clients::default() }, "only possible");
    assert_eq!(given_up, Some((2, 2)), "tcp_synack_retries=2");
    // MSS, no-operation, window scale, SACK permitted, timestamps: FreeBSD's, which has no such setting.
    let layout = [2, 1, 3, 4, 8].into_iter().fold(OptionLayout::UNKNOWN, OptionLayout::then);
    attempt.synack = SynAckTraits { ttl: 64, window: 65_535, layout };
    assert_eq!(summed(attempt).1, None);
}

#[test]
fn more_than_the_kernel_counted_is_confirmed_of_the_listener_and_of_no_attempt() {
    let (mut listeners, attempt) = overflowed(Verdict::SynackRetransmitted);
    say(&mut listeners, &attempt, 3, 0);
    let inference = listeners.infer(&attempt);
    assert_eq!(inference.confidence, Some(Confidence::Likely));
    assert_eq!(inference.evidence.first(), Some(&Evidence::KernelOverflowed));
    assert_eq!(listeners.listeners(None)[0].confidence, Some(Confidence::Confirmed));
}

#[test]
fn intended_causes_are_listed_after_faults() {
    let (_, mut deferred) = overflowed(Verdict::SynackRetransmitted);
    deferred.established = Some(true);
    deferred.retries = Retries { syn: 0, syn_ack: 1, after_ack: 1 };
    deferred.retry_at = [Span::from_secs(7)].into_iter().collect();
    let mut listeners = Listeners::new(8);
    for attempt in samples::refused().1.into_iter().chain([deferred]) {
        listeners.record(&mut Finding { at: attempt.end, settled: true, attempt });
    }
    let causes: Vec<_> = listeners.listeners(None).into_iter().map(|listener| listener.cause).collect();
    assert_eq!(causes, [Cause::PortClosed, Cause::Filtered, Cause::DeferAccept].map(Some));
}

#[test]
fn an_application_that_resets_most_is_not_hidden_by_a_few_lost_answers() {
    let main = |resets: usize, lost: usize| {
        let record = |totals: &mut Totals, cause, verdict, count| {
            let (_, attempt) = overflowed(Verdict::SynackRetransmitted);
            let attempt = Attempt { verdict, ..attempt };
            let inference = Inference {
                cause: Some(cause),
                confidence: Some(Confidence::Likely),
                ..Inference::default()
            };
            (0..count).for_each(|_| totals.add(&attempt, &inference));
        };
        let mut totals = Totals::default();
        record(&mut totals, Cause::ApplicationReset, Verdict::Completed, resets);
        record(&mut totals, Cause::SynackLost, Verdict::CompletedLate, lost);
        main_cause(&totals)
    };
    assert_eq!(main(93, 3), Some(Cause::ApplicationReset));
    assert_eq!(main(20, 3), Some(Cause::SynackLost));
}

#[test]
fn a_listener_is_as_sure_as_the_kernel() {
    let (mut listeners, attempt) = overflowed(Verdict::SynackRetransmitted);
    let overflow = |listeners: &Listeners| {
        let listeners = listeners.listeners(None);
        listeners.into_iter().find(|listener| listener.server == Some(attempt.server)).unwrap()
    };
    assert_eq!(overflow(&listeners).confidence, Some(Confidence::Likely));
    assert_eq!(overflow(&listeners).kernel, None);
    say(&mut listeners, &attempt, 3, 0);
    let listener = overflow(&listeners);
    assert_eq!(listener.confidence, Some(Confidence::Confirmed));
    let Some(ListenerEvidence::KernelCounted(figures)) = listener.evidence.first() else {
        panic!("{:?}", listener.evidence);
    };
    assert_eq!((figures.drops, figures.overflows), (Some(6), Some(3)));
    assert!(listener.kernel.is_some());
}

#[test]
fn a_socket_that_was_replaced_when_clients_were_refused_is_evidence() {
    let refused = samples::refused().1.into_iter().find(|attempt| attempt.verdict == Verdict::Refused);
    let refused = refused.unwrap();
    let is_evidence = |cookies| {
        let mut listeners = Listeners::new(8);
        listeners.record(&mut Finding { at: refused.end, settled: true, attempt: refused.clone() });
        say_of_sockets(&mut listeners, &refused, (0, 0), 0, cookies);
        let listener = listeners.listeners(None).remove(0);
        assert_eq!(listener.cause, Some(Cause::PortClosed));
        listener.evidence.iter().any(|one| matches!(one, ListenerEvidence::SocketReplaced(_)))
    };
    assert_eq!([[1, 1], [1, 2]].map(is_evidence), [false, true]);
}

#[test]
fn an_overflow_that_only_the_kernel_saw_is_reported() {
    let undecided = samples::overflow_mixed().1.into_iter().find(|a| a.verdict == Verdict::Unanswered);
    let waiting =
        Attempt { verdict: Verdict::Undetermined, reason: Some(Reason::CaptureCut), ..undecided.unwrap() };
    let summed = |overflows| {
        let mut listeners = Listeners::new(8);
        listeners.record(&mut Finding { at: waiting.end, settled: true, attempt: waiting.clone() });
        say(&mut listeners, &waiting, overflows, 1);
        listeners.listeners(None).remove(0)
    };
    let full = summed(3);
    assert_eq!(full.cause, Some(Cause::AcceptQueueOverflow));
    assert_eq!((full.confidence, full.abort_on_overflow), (Some(Confidence::Confirmed), Some(true)));
    assert_eq!(full.verdicts.problems(), 0);
    assert_eq!(full.diagnosis, Diagnosis::CountedByKernel);
    assert_eq!(full.verdicts.get(Verdict::Undetermined), 1);
    assert_eq!(summed(0).cause, None);
}

#[test]
fn silence_is_an_overflow_once_the_kernel_has_counted_one() {
    let unanswered = samples::overflow_mixed().1.into_iter().find(|a| a.verdict == Verdict::Unanswered);
    let mut silent = unanswered.unwrap();
    silent.facts.remove(Fact::SynAckSeen);
    silent.facts.remove(Fact::ClientWentOn);
    silent.inference = SharedInference::default();
    let mut listeners = Listeners::new(8);
    listeners.record(&mut Finding { at: silent.end, settled: true, attempt: silent.clone() });
    assert_eq!(
        listeners.listeners(None).remove(0).cause,
        Some(Cause::Filtered),
        "what the packets alone say"
    );
    say(&mut listeners, &silent, 3, 0);
    let listener = listeners.listeners(None).remove(0);
    assert_eq!(listener.cause, Some(Cause::AcceptQueueOverflow));
    assert_eq!(listener.confidence, Some(Confidence::Confirmed));
    assert_eq!(listener.diagnosis, Diagnosis::CountedByKernel);
}

#[test]
fn what_served_clients_is_looked_up_once_however_many_scan() {
    let attempts = samples::refused().1;
    let refused = attempts.iter().find(|attempt| attempt.verdict == Verdict::Refused).unwrap();
    let many = hypotheses::MANY_PORTS;
    let mut listeners = Listeners::new(64);
    let mut connect = |client: u8, first_port: u32, verdict| {
        for port in first_port..first_port + 2 * many {
            let [client, server] = [([10, 0, 0, client], 40_000), ([10, 0, 1, 1], port as u16)]
                .map(|(address, port)| Endpoint::v4(address, port));
            let attempt = Attempt { client, server, verdict, ..refused.clone() };
            listeners.record(&mut Finding { at: attempt.end, settled: true, attempt });
        }
        let client = Endpoint::v4([10, 0, 0, client], 40_000);
        (listeners.paths.must_know_served(client, many), listeners.paths.served_listeners(client) > many)
    };
    // The first scans; of the others one was served before that, one afterwards, one never.
    connect(2, 1, Verdict::Completed);
    assert_eq!(connect(1, 101, Verdict::Refused), (false, false));
    connect(3, 1, Verdict::Completed);
    let later = [2, 3, 4].map(|client| connect(client, 201, Verdict::Refused));
    assert_eq!(later, [(false, true), (false, true), (false, false)]);
}
