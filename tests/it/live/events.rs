//! The kernel's own events of dropped segments (BPF), beside what it counts.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};
use serde_json::Value;

use super::run::{Capture, Ended};
use crate::kernel::{overflow_at_the_ack, ss};
use crate::namespace::{self, in_namespace, listener, start_connect, wait_for};
use crate::util::require_tools;

/// True if the capture, started with `-v`, reads events; else prints why not.
fn reads_events(capture: &Capture) -> bool {
    let text = capture.stderr();
    let note =
        text.lines().find(|line| line.contains("(BPF)")).unwrap_or_else(|| panic!("{text}")).to_owned();
    let reads = note.ends_with("(BPF): read");
    if !reads {
        let _ = std::io::stderr().write_all(format!("SKIPPED: {note}\n").as_bytes());
    }
    reads
}

fn start(extra: &[&str]) -> Capture {
    Capture::start(&[&["-i", "lo", "--netns", "self", "--format", "ndjson", "-v"], extra].concat())
}

/// Starts a connect from this address.
pub(crate) fn connect_from(source: &str, server: SocketAddr) -> TcpStream {
    let fd: OwnedFd =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)
            .unwrap();
    bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(source.parse().unwrap(), 0))).unwrap();
    assert_eq!(connect(fd.as_raw_fd(), &SockaddrStorage::from(server)), Err(Errno::EINPROGRESS));
    TcpStream::from(fd)
}

/// Rules of a firewall that drops on the way in.
pub(crate) fn drop_by_rules(rules: &[&str]) {
    namespace::run("nft", &["add table inet t; add chain inet t c { type filter hook input priority 0; }"]);
    for rule in rules {
        namespace::run("nft", &[&format!("add rule inet t c {rule} drop")]);
    }
}

fn attempts_to(ended: &Ended, server: &str) -> Vec<Value> {
    let attempts = ended.objects("attempt").into_iter();
    attempts.filter(|attempt| attempt["server"] == server).collect()
}

fn has_event(attempt: &Value, name: &str) -> bool {
    let evidence = attempt["evidence"].as_array().unwrap();
    evidence
        .iter()
        .any(|one| one["code"] == "kernel-dropped-segments" && one["text"].as_str().unwrap().contains(name))
}

#[test]
fn each_attempt_that_met_a_full_queue_is_confirmed_by_its_own_event() {
    in_namespace(|| {
        let capture = start(&[]);
        if !reads_events(&capture) {
            return;
        }
        let victim = listener("127.0.0.1:7540", 4);
        let clients = overflow_at_the_ack(&victim, 4, 3);
        thread::sleep(Duration::from_millis(2_500));
        let ended = capture.stop();
        let confirmed = |attempt: &&Value| {
            attempt["confidence"] == "confirmed" && has_event(attempt, "TCP_LISTEN_OVERFLOW")
        };
        let attempts = attempts_to(&ended, "127.0.0.1:7540");
        assert_eq!(attempts.iter().filter(confirmed).count(), 2, "one of three gets the free place: {ended}");
        drop(clients);
    });
}

#[test]
fn what_a_firewall_dropped_is_confirmed_as_that_and_not_as_the_overflow_beside_it() {
    if !require_tools(&["nft"]) {
        return;
    }
    for extra in [&[][..], &["--no-bpf"]] {
        in_namespace(move || {
            drop_by_rules(&[
                "ip saddr 127.0.0.9 tcp dport 7541 tcp flags & (syn | ack) == syn",
                "tcp dport 7542 tcp flags & (syn | ack) == ack",
            ]);
            let (victim, other) = (listener("127.0.0.1:7541", 2), listener("127.0.0.1:7542", 8));
            let capture = start(extra);
            let events = extra.is_empty() && reads_events(&capture);
            let server = victim.local_addr().unwrap();
            let fill: Vec<_> = (0..3).map(|_| start_connect(server)).collect();
            wait_for("the queue is full", || ss()[&server].0 == 3);
            let dropped: Vec<_> = (0..2).map(|_| start_connect(server)).collect();
            // A short overflow: room again after the first retries.
            thread::sleep(Duration::from_millis(1_300));
            (0..3).for_each(|_| drop(victim.accept().unwrap()));
            let filtered: Vec<_> = (0..3).map(|_| connect_from("127.0.0.9", server)).collect();
            let ignored = start_connect(other.local_addr().unwrap());
            thread::sleep(Duration::from_millis(6_000));
            let ended = capture.stop();
            let (by_queue, by_rule): (Vec<Value>, Vec<Value>) = attempts_to(&ended, "127.0.0.1:7541")
                .into_iter()
                .partition(|attempt| attempt["client_ip"] == "127.0.0.1");
            assert_eq!((by_queue.len(), by_rule.len()), (5, 3), "{ended}");
            for attempt in &by_rule {
                assert_ne!(attempt["cause"], "accept-queue-overflow", "{attempt:#}");
                if events {
                    assert_eq!(attempt["cause"], "filtered", "{attempt:#}");
                    assert!(attempt["confidence"] == "confirmed" && has_event(attempt, "NETFILTER_DROP"));
                }
            }
            let of_rule = ended.objects("listener");
            for listener in of_rule.iter().filter(|one| events && one["server"] == "127.0.0.1:7542") {
                let said = listener["diagnosis"].as_str().unwrap();
                assert!(
                    said.ends_with("dropped segments of 1 of 1 attempt, by a rule of nftables or iptables."),
                    "{said}"
                );
                assert_eq!(listener["advice"].as_array().unwrap().len(), 1, "{listener:#}");
                let check = listener["advice"][0]["text"].as_str().unwrap();
                assert!(check.starts_with("nft list ruleset; iptables-save -c   (the rule"), "{check}");
            }
            for attempt in attempts_to(&ended, "127.0.0.1:7542").iter().filter(|_| events) {
                assert_eq!(
                    (&attempt["verdict"], &attempt["cause"], &attempt["confidence"]),
                    (&"synack-retransmitted".into(), &"filtered".into(), &"confirmed".into()),
                    "the ACK's own event: {attempt:#}"
                );
            }
            drop((fill, dropped, filtered, ignored));
        });
    }
}
