//! `drop` and `reset`: the queue is full when the ACKs arrive (DOMAIN §2 A and B).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::race::SAFE;
use super::{Parameters, ScenarioOutcome, ScenarioRun, side_by_side};
use crate::handshake::{Attempt, Cause, Verdict};
use crate::kernel::Counter;
use crate::lab::comparison::Comparison;
use crate::lab::experiment::{LabError, Setup};
use crate::packet::Span;
use crate::race::{Call, Probe};

/// Times of the retransmissions, in seconds after the first SYN-ACK (DOMAIN §1).
const SCHEDULE: [i64; 5] = [1, 3, 7, 15, 31];
/// Greatest lateness of a retransmission, as a divisor of its interval: timers of seconds are coarse (`net/timer.c`).
const LATE: i64 = 8;

/// One overflow with `tcp_abort_on_overflow=0`.
struct Pressure {
    name: &'static str,
    retries: u8,
    backlog: u32,
}

pub(super) fn drop(parameters: &Parameters) -> Result<ScenarioOutcome, LabError> {
    let clients = parameters.clients;
    let mut comparison = Comparison::new(
        "drop",
        format!(
            "{clients} clients whose SYNs arrive before the first ACK, one free place, tcp_abort_on_overflow=0"
        ),
    );
    let light = parameters.roomy_backlog();
    let heavy = u32::try_from(clients).unwrap_or(u32::MAX);
    let tried: Vec<u8> = parameters.synack_retries.map_or_else(|| vec![1, 2, 3], |retries| vec![retries]);
    let mut settings: Vec<Pressure> =
        tried.iter().map(|&retries| Pressure { name: "light", retries, backlog: light }).collect();
    settings.push(Pressure { name: "heavy", retries: tried.last().map_or(3, |&r| r.max(3)), backlog: heavy });

    let runs = side_by_side(&settings, |pressure| dropped(parameters, pressure))?;
    let mut traces = Vec::new();
    for (pressure, shown) in settings.iter().zip(runs) {
        compare_drop(&mut comparison, pressure, &shown.run);
        compare_end(&mut comparison, pressure, &shown);
        let run = shown.run;
        let name = format!("{} pressure, tcp_synack_retries={}", pressure.name, pressure.retries);
        comparison.count(name, &run.trace.counters);
        traces.push((format!("drop-{}-{}", pressure.name, pressure.retries), run.trace));
    }
    Ok(ScenarioOutcome { comparison, traces, curve: None })
}

/// A run, with kernel figures that its packets and counters do not contain.
struct DropRun {
    run: ScenarioRun,
    /// Time from the first request in the SYN queue to the end of the last one.
    vanished: Duration,
    /// Growth of the listener's own drop count; `None` before Linux 4.7.
    drops: Option<u32>,
}

fn dropped(parameters: &Parameters, pressure: &Pressure) -> Result<DropRun, LabError> {
    let setup =
        Setup { backlog: pressure.backlog, synack_retries: Some(pressure.retries), ..parameters.setup() };
    // Doubling from 1 s, one interval past the last repeat, and the timers' lateness.
    let lifetime = Duration::from_secs((1_u64 << (pressure.retries + 1)) - 1);
    let watch = lifetime + lifetime / 4 + Duration::from_secs(1);
    let (mut vanished, mut drops) = (Duration::ZERO, None);
    let run = ScenarioRun::of(&setup, |experiment| {
        experiment.fill(pressure.backlog)?;
        let before = experiment.queue()?.drops;
        let running = experiment.start_together(parameters.clients(watch))?;
        experiment.wait("requests appear", Duration::from_secs(10), |e| Ok(e.requests()? > 0))?;
        let begin = Instant::now();
        experiment.wait("requests vanish", watch, |e| Ok(e.requests()? == 0))?;
        vanished = begin.elapsed();
        drops = experiment.queue()?.drops.zip(before).map(|(after, before)| after.wrapping_sub(before));
        let calls = experiment.collect(running)?;
        std::thread::sleep(Duration::from_millis(200)); // the RSTs that answer the clients' last byte
        Ok(calls)
    })?;
    Ok(DropRun { run, vanished, drops })
}

fn compare_drop(comparison: &mut Comparison, pressure: &Pressure, run: &ScenarioRun) {
    let of = |what: &str| format!("{what}, {} retries={}", pressure.name, pressure.retries);
    let clients = run.calls.len();
    let server = &run.views.server;
    let hit: Vec<&Attempt> = server.with(&run.calls, Verdict::SynackRetransmitted).collect();
    comparison.equal("2 A", of("connects that overflow"), clients.saturating_sub(1), hit.len());
    comparison.equal("2 A", of("connect() says success"), clients, run.succeeded());
    repeats(comparison, &of("SYN-ACK repeats"), pressure, &hit);
    let worst = hit.iter().flat_map(|attempt| lateness(attempt)).max().unwrap_or(Span::ZERO);
    let times: Vec<_> = SCHEDULE.iter().take(usize::from(pressure.retries)).map(i64::to_string).collect();
    let latest = hit.iter().max_by_key(|attempt| attempt.retry_at.len());
    let seen = latest.map(|attempt| attempt.retry_at.iter().map(|at| format!("{:.2}", at.as_secs_f64())));
    comparison.holds(
        "1",
        of("times of the repeats"),
        format!("{} s", times.join(", ")),
        format!("{} s", seen.into_iter().flatten().collect::<Vec<_>>().join(", ")),
        hit.iter().all(|attempt| on_schedule(attempt)) && worst >= Span::ZERO,
    );
    let ignored: u64 = hit.iter().map(|attempt| u64::from(attempt.retries.after_ack) + 1).sum();
    comparison.equal(
        "2 A",
        of("ListenOverflows = ignored ACKs"),
        ignored,
        run.counter(Counter::ListenOverflows),
    );
    comparison.equal("2 A", of("late data answered by a bare RST"), hit.len() as u64, server.resets.bare);
    inference(comparison, of("diagnosis"), &hit, false);
    run.events(comparison, of, &hit);
    run.confirmed(comparison, of("confirmed by the kernel's count"), Verdict::SynackRetransmitted, hit.len());
}

/// Compares the end of the last request and the listener's drop count.
fn compare_end(comparison: &mut Comparison, pressure: &Pressure, shown: &DropRun) {
    let of = |what: &str| format!("{what}, {} retries={}", pressure.name, pressure.retries);
    let due = (1_u32 << (pressure.retries + 1)) - 1;
    let seen = shown.vanished.as_secs_f64();
    comparison.holds(
        "1",
        of("last request vanishes after"),
        format!("{due} s"),
        format!("{seen:.2} s"),
        (0.95..1.2).contains(&(seen / f64::from(due))),
    );
    if let Some(drops) = shown.drops {
        let events = shown.run.counter(Counter::ListenOverflows);
        comparison.equal("8", of("the listener's drops: two per ignored ACK"), 2 * events, u64::from(drops));
    }
}

/// All of them under light pressure; as few as two for some under heavy pressure.
fn repeats(comparison: &mut Comparison, subject: &str, pressure: &Pressure, hit: &[&Attempt]) {
    let mut tally = BTreeMap::new();
    for attempt in hit {
        *tally.entry(attempt.retries.after_ack).or_insert(0_usize) += 1;
    }
    let seen: Vec<_> = tally.iter().map(|(repeats, count)| format!("{count}×{repeats}")).collect();
    let most = u32::from(pressure.retries);
    let (expected, agree) = if pressure.name == "light" {
        (format!("{}×{most}", hit.len()), tally.keys().eq([&most]))
    } else {
        // Pressure ends when the queue is half empty, so the rest keeps the full number.
        let agree = tally.keys().all(|&repeats| (2..=most).contains(&repeats)) && tally.contains_key(&2);
        (format!("some 2, none above {most}"), agree)
    };
    comparison.holds(
        if pressure.name == "light" { "1" } else { "2" },
        subject,
        expected,
        seen.join(", "),
        agree,
    );
}

fn lateness(attempt: &Attempt) -> impl Iterator<Item = Span> {
    attempt
        .retry_at
        .iter()
        .zip(SCHEDULE)
        .map(|(at, due)| Span::from_nanos(at.as_nanos() - due * 1_000_000_000))
}

fn on_schedule(attempt: &Attempt) -> bool {
    lateness(attempt).zip(SCHEDULE).all(|(late, due)| {
        (Span::from_millis(-20)..Span::from_millis(due * 1_000 / LATE + 100)).contains(&late)
    })
}

/// The packets alone must name the overflow and the setting.
fn inference(comparison: &mut Comparison, subject: String, hit: &[&Attempt], abort: bool) {
    let right = hit
        .iter()
        .filter(|attempt| {
            attempt.inference.cause == Some(Cause::AcceptQueueOverflow)
                && attempt.inference.abort_on_overflow == Some(abort)
        })
        .count();
    let named = format!("overflow, abort={}", u8::from(abort));
    comparison.holds(
        "5",
        subject,
        format!("{}× {named}", hit.len()),
        format!("{right}× {named}"),
        right == hit.len(),
    );
}

pub(super) fn reset(parameters: &Parameters) -> Result<ScenarioOutcome, LabError> {
    let clients = parameters.clients;
    let rtt = Span::from(parameters.round_trip);
    let mut comparison = Comparison::new(
        "reset",
        format!(
            "{clients} clients whose SYNs arrive before the first ACK, one free place, tcp_abort_on_overflow=1, round trip {rtt}"
        ),
    );
    let runs = side_by_side(&[0, parameters.data], |&send| {
        let setup = Setup { backlog: parameters.roomy_backlog(), abort: true, ..parameters.setup() };
        ScenarioRun::of(&setup, |experiment| {
            experiment.fill(setup.backlog)?;
            let watch = Duration::from_millis(500) + 4 * parameters.round_trip;
            let probe = if send == 0 { Probe::Send } else { Probe::SoError };
            let clients = crate::lab::LabClients { send, probe, ..parameters.clients(watch) };
            let running = experiment.start_together(clients)?;
            experiment.collect(running)
        })
    })?;
    let mut traces = Vec::new();
    for (send, run) in [0, parameters.data].into_iter().zip(runs) {
        compare_reset(&mut comparison, send, rtt, &run);
        comparison.count(format!("{send} bytes sent at once"), &run.trace.counters);
        traces.push((format!("reset-{send}"), run.trace));
    }
    Ok(ScenarioOutcome { comparison, traces, curve: None })
}

fn compare_reset(comparison: &mut Comparison, send: usize, window: Span, run: &ScenarioRun) {
    let of = |what: &str| format!("{what}, {send} bytes sent");
    let expected = run.calls.len().saturating_sub(1);
    for (end, view) in [("server", &run.views.server), ("client", &run.views.client)] {
        let hit: Vec<&Attempt> = view.with(&run.calls, Verdict::ResetAfterAck).collect();
        comparison.equal("2 B", of(&format!("reset-after-ack, seen at the {end}")), expected, hit.len());
        if end == "server" {
            inference(comparison, of("diagnosis"), &hit, true);
            run.events(comparison, of, &hit);
            run.confirmed(
                comparison,
                of("confirmed by the kernel's count"),
                Verdict::ResetAfterAck,
                hit.len(),
            );
        }
    }
    let client = &run.views.client;
    let failed: Vec<_> =
        run.calls.iter().filter(|call| !call.succeeded() || call.death().is_some()).collect();
    let at_once = failed.iter().filter(|call| !call.succeeded()).count();
    let later = failed.len() - at_once;
    comparison.holds(
        "6",
        of("connect() succeeded, next call failed"),
        format!("{expected}, less those that woke too late"),
        if at_once == 0 { later.to_string() } else { format!("{later}; {at_once} ECONNRESET at once") },
        failed.len() == expected && (later > 0 || window < SAFE),
    );
    let reset = |call: &&&Call| client.attempt(call).is_some_and(|a| a.verdict == Verdict::ResetAfterAck);
    comparison.equal(
        "6",
        of("of all these, reset in the packets"),
        expected,
        failed.iter().filter(reset).count(),
    );
    comparison.equal("2 B", of("EmbryonicRsts"), expected as u64, run.counter(Counter::EmbryonicRsts));
    // Data that is on its way when the RST is sent meets no request and draws another RST.
    let sent = |call: &&&Call| call.next.and_then(|next| next.sent).is_some_and(|sent| sent.is_ok());
    let resets = (expected + failed.iter().filter(sent).count()) as u64;
    comparison.equal("2 B", of("OutRsts"), resets, run.counter(Counter::OutRsts));
    let form = run.views.server.resets;
    comparison.equal(
        "2 B",
        of("bare RSTs of all RSTs"),
        format!("{resets}/{resets}"),
        format!("{}/{}", form.bare, form.total),
    );
    comparison.equal("2 B", of("ListenOverflows"), expected as u64, run.counter(Counter::ListenOverflows));
}
