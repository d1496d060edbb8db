//! Troubles of applications, made with the kernel's own listener, and the answer that each gets.

use std::time::Duration;

use hsanalyze::capture::write_pcapng;
use hsanalyze::lab::{AcceptPolicy, LabClients, Replay, Setup};
use hsanalyze::listener::size::{KnownQueue, Load, Service};
use hsanalyze::packet::{Span, Timestamp};
use hsanalyze::race::{Probe, WaitMode};
use serde_json::Value;

use crate::schema::Schema;
use crate::undisturbed::undisturbed;
use crate::util::hsanalyze;

/// Answer to a trouble: as JSON, and as text in one line.
struct Answered {
    size: Value,
    text: String,
}

impl Answered {
    /// Runs `replay`, and asks `hsanalyze size` about its packets.
    fn of(replay: &Replay, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.pcapng");
        let trace = replay.run().unwrap().trace;
        write_pcapng(&[&trace.server], &mut std::fs::File::create(&path).unwrap()).unwrap();
        let command = || ["size", path.to_str().unwrap()].into_iter().chain(arguments.iter().copied());
        let document = hsanalyze(command().chain(["--format=json"])).succeed().json();
        Schema::default().assert_valid("size_document", &document);
        let text = hsanalyze(command()).succeed().text().replace("\n  ", " ");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { size: document["size"].clone(), text }
    }

    fn answer(&self) -> &str {
        self.size["answer"].as_str().unwrap()
    }

    /// The backlog, which must lie in this range.
    #[track_caller]
    fn assert_backlog(&self, range: std::ops::RangeInclusive<u64>) {
        let backlog = self.size["backlog"].as_u64();
        assert!(backlog.is_some_and(|backlog| range.contains(&backlog)), "{:#}\n{}", self.size, self.text);
    }

    #[track_caller]
    fn assert_contains(&self, sentence: &str) {
        assert!(self.text.contains(sentence), "no {sentence:?} in {}", self.text);
    }
}

/// Clients evenly apart.
fn evenly(count: u32, apart: Duration) -> Vec<Duration> {
    (0..count).map(|n| apart * n).collect()
}

/// 300 clients a second.
fn steady(seconds: u32) -> Vec<Duration> {
    evenly(300 * seconds, Duration::from_micros(3_333))
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A replay with a single worker that accepts from a single socket.
pub(super) fn one_worker(starts: Vec<Duration>, backlog: u32, accept: AcceptPolicy) -> Replay {
    Replay {
        starts,
        backlog,
        accept,
        workers: 1,
        sockets: 1,
        others: AcceptPolicy::Never,
        round_trip: Duration::from_millis(1),
        abort: false,
        syncookies: true,
        connect_timeout: Duration::from_secs(4),
    }
}

#[test]
fn a_stopped_server_is_helped_by_no_backlog() {
    undisturbed("a_stopped_server_is_helped_by_no_backlog", || {
        let found = Answered::of(&one_worker(evenly(40, millis(5)), 8, AcceptPolicy::Never), &[]);
        assert_eq!(found.answer(), "nothing-accepted", "{}", found.text);
        found.assert_contains("nothing was accepted in these ");
        found.assert_contains(" s: no backlog helps");
    });
}

#[test]
fn a_server_that_is_ten_per_cent_too_slow_is_helped_by_no_backlog_for_long() {
    undisturbed("a_server_that_is_ten_per_cent_too_slow_is_helped_by_no_backlog_for_long", || {
        // 220 clients a second, for 5 s; 200 are accepted.
        let clients = evenly(1_100, Duration::from_micros(4_545));
        let found = Answered::of(&one_worker(clients, 16, AcceptPolicy::Batches(1, millis(5))), &[]);
        assert_eq!(found.answer(), "outrun", "{}", found.text);
        let needed = found.size["needed_accepts"].as_f64().unwrap();
        assert!((200.0..240.0).contains(&needed), "{needed}");
        found.assert_contains("no backlog helps for longer; 2");
        found.assert_contains(" accepts a second would have kept up");
    });
}

#[test]
fn a_pause_of_a_fast_server_is_held_by_what_arrived_meanwhile() {
    undisturbed("a_pause_of_a_fast_server_is_held_by_what_arrived_meanwhile", || {
        // Accepted at once, but for the first 0.4 s.
        let paused = one_worker(evenly(100, millis(5)), 16, AcceptPolicy::After(millis(400)));
        let found = Answered::of(&paused, &[]);
        assert_eq!(found.answer(), "more-than-limit", "{}", found.text);
        let more = found.size["more_than_limit"].as_u64().unwrap();
        assert!((54..=84).contains(&more), "80 came in 0.4 s, of which 17 fitted: {}", found.text);
        found.assert_contains(&format!("a backlog of {more} more than it was would have held all clients"));
        let known = Answered::of(&paused, &["--limit=16"]);
        assert_eq!(known.answer(), "backlog", "{}", known.text);
        known.assert_backlog(70..=100);
    });
}

#[test]
fn a_burst_is_held_by_its_longest_queue() {
    undisturbed("a_burst_is_held_by_its_longest_queue", || {
        // 120 clients at once; 100 a second are accepted.
        let found =
            Answered::of(&one_worker(evenly(120, millis(2)), 16, AcceptPolicy::Batches(1, millis(10))), &[]);
        assert_eq!(found.answer(), "backlog", "{}", found.text);
        found.assert_backlog(80..=115);
        found.assert_contains("would have held all clients (it was about 1");
        found.assert_contains("the last would have waited ");
    });
}

#[test]
fn an_application_that_accepts_in_bursts_is_named() {
    undisturbed("an_application_that_accepts_in_bursts_is_named", || {
        // 25 in a row, four times a second.
        let found = Answered::of(&one_worker(steady(1), 32, AcceptPolicy::Batches(25, millis(250))), &[]);
        let accepts = &found.size["accepts"];
        assert_eq!(accepts["pace"], "in-bursts", "{}", found.text);
        assert!((0.1..0.5).contains(&accepts["pause"].as_f64().unwrap()), "{accepts}");
        found.assert_contains(", in bursts, with pauses of up to ");
    });
}

#[test]
fn a_rate_that_changes_is_named_and_the_slower_one_planned_for() {
    undisturbed("a_rate_that_changes_is_named_and_the_slower_one_planned_for", || {
        // 200 a second at first, then 50.
        let tired = AcceptPolicy::Changing { first: millis(5), after: millis(1_000), then: millis(20) };
        let found = Answered::of(&one_worker(steady(2), 16, tired), &[]);
        let accepts = &found.size["accepts"];
        assert_eq!(accepts["pace"], "changing", "{}", found.text);
        let (first, second) = (accepts["first"].as_f64().unwrap(), accepts["second"].as_f64().unwrap());
        assert!(first > 1.5 * second && (35.0..110.0).contains(&second), "{accepts}");
        found.assert_contains(", and changed from ");
        // No answer may rest on the faster one: 600 clients at some 75 a second and less.
        if found.answer() != "unknown" {
            found.assert_backlog(400..=600);
        }
    });
}

#[test]
fn several_workers_are_one_that_is_as_fast_as_all() {
    undisturbed("several_workers_are_one_that_is_as_fast_as_all", || {
        let slow = one_worker(evenly(120, millis(2)), 16, AcceptPolicy::Batches(1, millis(40)));
        let found = Answered::of(&Replay { workers: 4, ..slow }, &[]);
        assert_eq!(found.answer(), "backlog", "{}", found.text);
        found.assert_backlog(75..=120);
    });
}

#[test]
fn one_full_socket_of_several_is_named() {
    undisturbed("one_full_socket_of_several_is_named", || {
        // Nobody accepts from one of four sockets; the others are served at once.
        let one = one_worker(steady(2), 8, AcceptPolicy::Never);
        let found = Answered::of(&Replay { sockets: 4, others: AcceptPolicy::Answer, ..one }, &[]);
        assert_eq!(found.size["reason"], "one-of-several-sockets", "{}", found.text);
        found.assert_contains("as if one of several sockets on the port (SO_REUSEPORT) were full");
    });
}

/// Without cookies, of twenty SYNs at once the kernel keeps as many as the simulation.
#[test]
fn the_syn_queue_holds_as_many_as_in_the_simulation() {
    const CLIENTS: usize = 20;
    undisturbed("the_syn_queue_holds_as_many_as_in_the_simulation", || {
        let clients = LabClients {
            count: CLIENTS,
            mode: WaitMode::Blocking,
            timeout: millis(700),
            send: 0,
            watch: Duration::ZERO,
            probe: Probe::SoError,
        };
        for backlog in [0, 1, 9] {
            let setup = Setup { backlog, syncookies: 0, round_trip: millis(1), ..Setup::default() };
            let held = setup.run(|experiment| {
                let running = experiment.start_held(clients)?;
                std::thread::sleep(millis(400));
                let held = experiment.requests()?;
                experiment.path().release().unwrap();
                experiment.collect(running)?;
                Ok(held)
            });
            let known = KnownQueue { cookies: Some(false), ..KnownQueue::default() };
            let arrivals = vec![Timestamp::default(); CLIENTS];
            let load = Load { arrivals, known, round_trip: Span::from_millis(1), ..Load::default() };
            let stopped = Service { per_second: 0.0, batch: 1 };
            let outcome = load.simulate(stopped, Some(backlog));
            assert_eq!(held.unwrap().0, outcome.most_requests as usize, "backlog {backlog}");
        }
    });
}

/// Each of four sockets with the answer for four holds its share, and with half of it not.
#[test]
fn several_sockets_each_get_what_holds_their_share() {
    undisturbed("several_sockets_each_get_what_holds_their_share", || {
        let accept = AcceptPolicy::Batches(1, millis(40));
        let four = |backlog| {
            let one = one_worker(evenly(200, millis(1)), backlog, accept);
            Replay { sockets: 4, others: accept, ..one }
        };
        let found = Answered::of(&four(8), &["--sockets=4", "--limit=8"]);
        assert_eq!(found.answer(), "backlog", "{}", found.text);
        found.assert_contains(" at each of the 4 sockets would have held all clients");
        let backlog = u32::try_from(found.size["backlog"].as_u64().unwrap()).unwrap();
        assert!((35..=80).contains(&backlog), "50 clients each, in 0.2 s: {}", found.text);
        let overflows = |backlog| four(backlog).run().unwrap().overflows;
        let (half, whole) = (overflows(backlog / 2), overflows(backlog));
        // The kernel's hash deals anew in each run, and other tests may hold its threads back.
        assert!(half > 10 && whole < half / 4, "{whole} with {backlog}, {half} with half of it");
    });
}
