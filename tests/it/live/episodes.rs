//! Episodes: reported when they begin, while they go on, when they ended, and all of them at the end.

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::run::Capture;
use super::wire::Wire;
use crate::kernel::ss;
use crate::namespace::{in_namespace, listener, start_connect, wait_for, wait_up_to};
use crate::schema::Schema;
use crate::util::require_tools;

/// The episodes' lines by now: when each came, its state, and the line.
fn episodes(capture: &Capture) -> Vec<(Instant, String, Value)> {
    let objects = capture.objects().into_iter().filter(|(_, object)| object["type"] == "episode");
    objects.map(|(at, object)| (at, object["state"].as_str().unwrap().to_owned(), object)).collect()
}

fn reports(capture: &Capture, state: &str) -> usize {
    episodes(capture).iter().filter(|(_, known, _)| known == state).count()
}

/// Fills the queue, and connects four clients more, whose SYNs are dropped.
fn overflow(victim: &TcpListener) -> Vec<TcpStream> {
    let server = victim.local_addr().unwrap();
    let fill: Vec<_> = (0..3).map(|_| start_connect(server)).collect();
    wait_for("the queue is full", || ss()[&server].0 == 3);
    fill.into_iter().chain((0..4).map(|_| start_connect(server))).collect()
}

#[test]
fn an_overflow_begins_goes_on_ends_and_begins_again_after_recovery() {
    in_namespace(|| {
        let victim = listener("127.0.0.1:7530", 2);
        // Other tests have listeners that overflow, in namespaces of their own.
        let capture = Capture::start(&["-i", "lo", "--netns", "self", "--format", "ndjson"]);
        let clients = overflow(&victim);
        let sent = Instant::now();
        wait_for("the episode begins", || reports(&capture, "begun") == 1);
        let (at, _, first) = episodes(&capture).remove(0);
        // Two seconds on a machine that has nothing else to do.
        assert!(at - sent < Duration::from_secs(4), "{:?}", at - sent);
        assert_eq!(
            (&first["cause"], &first["confidence"]),
            (&"accept-queue-overflow".into(), &"confirmed".into())
        );
        assert_eq!((&first["server"], &first["kernel"]["recv_q"]), (&"127.0.0.1:7530".into(), &3.into()));
        assert_eq!(first["kernel"]["owner"]["pid"], std::process::id(), "{first}");
        assert!(first["drops"].as_u64() >= Some(4), "{first}");

        wait_up_to(Duration::from_secs(20), "it goes on", || reports(&capture, "ongoing") >= 1);
        let seen = episodes(&capture);
        let (_, _, last) = seen.iter().rfind(|(_, state, _)| state == "ongoing").unwrap();
        assert_eq!((&last["from"], &last["ongoing"]), (&first["from"], &true.into()), "{capture}");
        assert!(last["drops"].as_u64() > first["drops"].as_u64(), "{capture}");

        // Room again, and nobody left who retries.
        drop(clients);
        (0..3).for_each(|_| drop(victim.accept().unwrap()));
        let closed = Instant::now();
        while reports(&capture, "ended") == 0 {
            assert!(closed.elapsed() < Duration::from_secs(40), "it does not end: {capture}");
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(1_500));
        let again = overflow(&victim);
        wait_for("another begins", || reports(&capture, "begun") == 2);
        drop(victim);
        thread::sleep(Duration::from_millis(1_500));

        let mut schema = Schema::default();
        episodes(&capture).iter().for_each(|(_, _, line)| schema.assert_valid("episode_report", line));
        let ended = capture.stop();
        let listener = &ended.objects("listener")[0];
        assert_eq!(
            (&listener["cause"], &listener["confidence"], &listener["kernel"]["listening"]),
            (&"accept-queue-overflow".into(), &"confirmed".into(), &false.into()),
            "what was reported stands, though the listener is closed: {ended}"
        );
        let overflows: Vec<&Value> = listener["episodes"].as_array().unwrap().iter().collect();
        // Clients that retried after that were refused.
        let confirmed =
            |one: &&&Value| one["cause"] == "accept-queue-overflow" && one["confidence"] == "confirmed";
        let confirmed = overflows.iter().filter(confirmed).count();
        assert_eq!(confirmed, 2, "{listener:#}");
        drop(again);
    });
}

#[test]
fn handshakes_that_no_application_accepts_are_not_called_well() {
    in_namespace(|| {
        let victim = listener("127.0.0.1:7534", 20);
        let capture = Capture::start(&["-i", "lo", "--netns", "self"]);
        let server = victim.local_addr().unwrap();
        let clients: Vec<_> = (0..5).map(|_| start_connect(server)).collect();
        wait_for("they wait in the queue", || ss()[&server].0 == 5);
        thread::sleep(Duration::from_secs(4));
        let ended = capture.stop();
        drop(clients);
        let text = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = "No attempt failed, but 5 connections to 127.0.0.1:7534 wait for accept(), for up to ";
        assert!(text.contains(said) && !text.contains("Nothing wrong"), "{text}");
    });
}

#[test]
fn an_overflow_that_no_captured_client_met_is_in_the_report_too() {
    in_namespace(|| {
        let victim = listener("127.0.0.1:7532", 2);
        let start = |format| Capture::start(&["-i", "lo", "--netns", "self", "--format", format, "udp"]);
        let (json, text) = (start("json"), start("text"));
        let clients = overflow(&victim);
        wait_for("both tell the overflow", || {
            text.stdout().contains("127.0.0.1:7532") && json.stderr().contains("127.0.0.1:7532")
        });
        // The queue is no longer there at the end.
        drop((victim, clients));
        thread::sleep(Duration::from_millis(1_500));
        let ended = text.stop();
        let words = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("127.0.0.1:7532 ACCEPT QUEUE OVERFLOWS"), "{ended}");
        assert!(words.contains("by the kernel's own count; no attempt in the capture shows it."), "{ended}");
        assert!(!ended.stdout.contains("Nothing wrong"), "{ended}");
        let report = json.stop().json();
        Schema::default().assert_valid("analysis", &report);
        let listener = &report["listeners"][0];
        assert_eq!(
            (&listener["server"], &listener["cause"], &listener["confidence"]),
            (&"127.0.0.1:7532".into(), &"accept-queue-overflow".into(), &"confirmed".into()),
            "{listener:#}"
        );
        assert!(listener["kernel"]["drops"].as_u64() >= Some(4), "{listener:#}");
        assert_eq!(listener["kernel"]["listening"], false, "{listener:#}");
        assert_eq!(listener["episodes"].as_array().unwrap().len(), 1, "{listener:#}");
        assert!(listener["since"].is_string() && listener["until"].is_string(), "{listener:#}");
    });
}

#[test]
fn trouble_that_only_the_packets_show_begins_with_the_first_retry_and_goes_on_with_the_next() {
    if !require_tools(&["nft"]) {
        return;
    }
    in_namespace(|| {
        super::events::drop_by_rules(&["tcp dport 7533"]);
        // Another host's, for all that the kernel is asked.
        let capture = Capture::start(&["-i", "lo", "--netns", "self", "--no-bpf", "--format", "ndjson"]);
        let server = "127.0.0.1:7533".parse().unwrap();
        let sent = Instant::now();
        let clients: Vec<_> = (0..4).map(|_| start_connect(server)).collect();
        wait_for("the episode begins", || reports(&capture, "begun") == 1);
        let (at, _, first) = episodes(&capture).remove(0);
        // A retry after 1 s, and a tick each second: 1.3 to 2.3 s on a machine that has nothing else to do.
        assert!(at - sent < Duration::from_secs(4), "{:?}", at - sent);
        assert_eq!((&first["attempts"], &first["verdicts"]["unanswered"]), (&4.into(), &4.into()), "{first}");
        assert_ne!(first["confidence"], "likely", "{first}");
        wait_up_to(Duration::from_secs(20), "it goes on", || reports(&capture, "ongoing") >= 1);
        assert_eq!(reports(&capture, "ended"), 0, "{capture}");
        drop(clients);
    });
}

#[test]
fn a_flood_is_one_line() {
    in_namespace(|| {
        let mut wire = Wire::new();
        let capture = Capture::start(&["-i", wire.name, "--netns", "self"]);
        (0..20).for_each(|n| wire.attempt(n, "completed"));
        (20..5_000).for_each(|n| wire.attempt(n, "half-open"));
        wait_up_to(Duration::from_secs(20), "the flood is reported", || capture.stdout().contains("begins"));
        thread::sleep(Duration::from_secs(2));
        let text = capture.stdout();
        assert!(text.contains("  SYN flood (likely) begins: "), "{text}");
        assert!(text.lines().count() <= 3, "{text}");
        assert!(text.contains(" half-open"), "{text}");
        capture.stop();
    });
}

#[test]
fn a_slow_scan_of_closed_ports_becomes_one_episode_and_one_finding() {
    in_namespace(|| {
        let capture = Capture::start(&["-i", "lo"]);
        for port in 2000..2040_u16 {
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nothing listens");
            thread::sleep(Duration::from_millis(100));
        }
        wait_for("the scan is reported", || capture.stdout().contains("scan (likely) begins"));
        let ended = capture.stop();
        assert!(!ended.stdout.contains("closed port (confirmed) ended"), "{ended}");
        // The kernel's event of each refused SYN does not make forty closed ports of it.
        assert!(ended.stdout.contains("40 ports of 127.0.0.1"), "{ended}");
    });
}
