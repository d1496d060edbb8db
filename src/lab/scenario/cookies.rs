//! `cookies`: the queue is full when an ACK with a SYN cookie arrives (DOMAIN §2 D).

use std::time::Duration;

use super::{Parameters, ScenarioOutcome, ScenarioRun, side_by_side};
use crate::handshake::{Cause, Verdict};
use crate::kernel::Counter;
use crate::lab::comparison::Comparison;
use crate::lab::events::DropEvents;
use crate::lab::experiment::{LabClients, LabError, Setup};
use crate::lab::listener::AcceptPolicy;
use crate::race::Probe;

/// Time clients watch: their data is retransmitted after about 0.2, 0.6, 1.4 and 3 s.
const WATCH: Duration = Duration::from_secs(5);
/// Time at which the application begins to accept, in the run in which it does.
const ROOM: Duration = Duration::from_secs(1);

/// One run.
struct Setting {
    name: &'static str,
    abort: bool,
    syncookies: u8,
    backlog: u32,
    room: bool,
}

pub(super) fn run(parameters: &Parameters) -> Result<ScenarioOutcome, LabError> {
    let mut comparison = Comparison::new(
        "cookies",
        format!(
            "{} clients, one free place, each sends {} bytes at once",
            parameters.clients, parameters.data
        ),
    );
    let roomy = parameters.roomy_backlog();
    let narrow = u32::try_from(parameters.clients / 4).unwrap_or(u32::MAX).max(1);
    let always = |name, abort, room| Setting { name, abort, syncookies: 2, backlog: roomy, room };
    let settings = [
        always("syncookies=2 abort=0", false, false),
        always("syncookies=2 abort=1", true, false),
        always("syncookies=2, room at 1 s", false, true),
        Setting { name: "syncookies=1", abort: false, syncookies: 1, backlog: narrow, room: false },
    ];
    let runs = side_by_side(&settings, |setting| overflow(parameters, setting))?;
    let mut traces = Vec::new();
    for (setting, run) in settings.iter().zip(runs) {
        match (setting.room, setting.syncookies) {
            (true, _) => compare_room(&mut comparison, setting, &run),
            (false, 2) => compare_always(&mut comparison, setting, &run),
            (false, _) => compare_mixed(&mut comparison, setting, &run),
        }
        comparison.count(setting.name, &run.trace.counters);
        let name = format!("cookies-{}", setting.name.replace([' ', ',', '='], "-"));
        traces.push((name, run.trace));
    }
    Ok(ScenarioOutcome { comparison, traces, curve: None })
}

fn overflow(parameters: &Parameters, setting: &Setting) -> Result<ScenarioRun, LabError> {
    let setup = Setup {
        backlog: setting.backlog,
        abort: setting.abort,
        syncookies: setting.syncookies,
        ..parameters.setup()
    };
    ScenarioRun::of(&setup, |experiment| {
        experiment.fill(setting.backlog)?;
        let clients =
            LabClients { send: parameters.data.max(1), probe: Probe::SoError, ..parameters.clients(WATCH) };
        let running = experiment.start_together(clients)?;
        if setting.room {
            experiment.serve(AcceptPolicy::After(ROOM))?;
        }
        experiment.collect(running)
    })
}

fn compare_always(comparison: &mut Comparison, setting: &Setting, run: &ScenarioRun) {
    let of = |what: &str| format!("{what}, {}", setting.name);
    let (clients, server) = (run.calls.len(), &run.views.server);
    let hit: Vec<_> = server.with(&run.calls, Verdict::AckIgnored).collect();
    comparison.equal("2 D", of("data repeated, never answered"), clients.saturating_sub(1), hit.len());
    comparison.equal(
        "2 D",
        of("SYN-ACK repeats"),
        0,
        server.packets.summary.listeners.iter().map(|l| l.retries.syn_ack).sum(),
    );
    comparison.equal("2 D", of("RSTs"), 0, server.resets.total);
    comparison.equal("2 D", of("connect() says success"), clients, run.succeeded());
    let sent = run.counter(Counter::SyncookiesSent);
    comparison.holds(
        "2 D",
        of("SyncookiesSent"),
        format!("at least {clients}"),
        sent.to_string(),
        sent >= clients as u64,
    );
    let named =
        hit.iter().filter(|attempt| attempt.inference.cause == Some(Cause::AcceptQueueOverflow)).count();
    comparison.equal("5", of("diagnosis names the overflow"), hit.len(), named);
    run.confirmed(comparison, of("confirmed by the kernel's count"), Verdict::AckIgnored, hit.len());
    if let DropEvents::Counted { cookies, .. } = &run.trace.events {
        let counted = run.counter(Counter::ListenOverflows);
        comparison.equal(
            "8",
            of("events of ignored cookies = ListenOverflows"),
            counted,
            cookies.len() as u64,
        );
        let joined = hit.iter().filter(|attempt| cookies.contains(&attempt.client.port())).count();
        comparison.equal("8", of("attempts with such an event"), hit.len(), joined);
    }
}

fn compare_room(comparison: &mut Comparison, setting: &Setting, run: &ScenarioRun) {
    let of = |what: &str| format!("{what}, {}", setting.name);
    let late = run.calls.iter().filter_map(|call| run.views.server.attempt(call));
    let established = late.filter(|attempt| attempt.established == Some(true)).count();
    comparison.equal("2 D", of("connections that data completes"), run.calls.len(), established);
}

/// One listener shows A and D side by side: requests as far as the SYN queue goes, cookies for the rest.
fn compare_mixed(comparison: &mut Comparison, setting: &Setting, run: &ScenarioRun) {
    let of = |what: &str| format!("{what}, {} backlog={}", setting.name, setting.backlog);
    let server = &run.views.server;
    let a = server.with(&run.calls, Verdict::SynackRetransmitted).count();
    let d = server.with(&run.calls, Verdict::AckIgnored).count();
    comparison.holds(
        "2",
        of("A and D side by side"),
        "some of both",
        format!("A {a}, D {d}"),
        a > 0 && d > 0,
    );
    let cookies = run.counter(Counter::TcpReqQFullDoCookies);
    // Like the accept queue, the SYN queue is full when it holds more than the limit.
    let past = run.calls.len().saturating_sub(setting.backlog as usize + 1) as u64;
    comparison.equal("8", of("cookies for those past the SYN queue"), past, cookies);
}
