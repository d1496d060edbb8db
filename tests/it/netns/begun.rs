//! Namespaces that begin while a capture runs, when it has given up its privileges: a helper opens them.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Neighbour, capture, report_with_lines};
use crate::live::run::Capture;
use crate::namespace::{in_namespace, run, start_connect, wait_for, wait_up_to};

/// The process that a capture has started.
fn helper_of(capture: impl std::fmt::Display) -> i32 {
    let path = format!("/proc/{capture}/task/{capture}/children");
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

/// False once a process has ended, reaped or not.
fn runs(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[test]
fn the_helper_has_few_privileges_keeps_no_namespace_and_ends_with_a_capture_that_is_killed() {
    in_namespace(|| {
        let capture = Capture::start(&["-i", "any", "-v", "-Z", "nobody"]);
        let helper = helper_of(capture.pid());
        assert!(capture.stderr().contains(&format!("opened by process {helper}, which keeps")), "{capture}");
        let status = fs::read_to_string(format!("/proc/{helper}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).unwrap_or_default().to_owned()
        };
        // CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_SYS_PTRACE and CAP_SYS_ADMIN.
        let kept: u64 = [2, 12, 19, 21].into_iter().map(|bit| 1 << bit).sum();
        for set in ["CapEff:", "CapPrm:"] {
            assert_eq!(u64::from_str_radix(&field(set), 16).unwrap() & !kept, 0, "{status}");
        }
        assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".into(), "2".into()), "{status}");

        let neighbour = Neighbour::new();
        let name = format!("PID {}", neighbour.pid());
        let found =
            |line: &str| line.contains("found since: network namespaces read: ") && line.contains(&name);
        wait_up_to(Duration::from_secs(15), "the namespace is found", || capture.stderr().lines().any(found));
        drop(neighbour);
        // With the last descriptor in it the namespace goes, and its end of the veth pair takes this one along.
        wait_up_to(Duration::from_secs(15), "the namespace is gone", || {
            !run("ip", &["link"]).contains("outside")
        });
        assert!(runs(helper));
        // A signal to all of a group is not the helper's.
        kill(Pid::from_raw(helper), Signal::SIGINT).unwrap();
        kill(Pid::from_raw(helper), Signal::SIGTERM).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(runs(helper));
        capture.signal(Signal::SIGKILL);
        wait_for("the helper has ended", || !runs(helper));
    });
}

/// A container whose server hangs is often ended by somebody before its clients give up.
#[test]
fn what_was_confirmed_of_a_namespace_that_has_ended_since_is_in_the_report() {
    in_namespace(|| {
        let capture = Capture::start(&["-i", "any", "-Z", "nobody", "--format", "ndjson"]);
        let neighbour = Neighbour::new();
        let pid = neighbour.pid();
        let server = neighbour.listen("10.55.0.2", 7811, 4);
        let address = "10.55.0.2:7811".parse().unwrap();
        let mut clients = Vec::new();
        let begun = || {
            let mut lines = capture.objects().into_iter().map(|(_, line)| line);
            // The packets show trouble before the namespace is found.
            let confirmed = |line: &serde_json::Value| line["confidence"] == "confirmed";
            lines.any(|line| {
                line["type"] == "episode" && line["server"] == "10.55.0.2:7811" && confirmed(&line)
            })
        };
        wait_up_to(Duration::from_secs(15), "the overflow is confirmed", || {
            if clients.len() < 40 {
                clients.extend((0..8).map(|_| start_connect(address)));
            }
            std::thread::sleep(Duration::from_millis(200));
            begun()
        });
        drop((server, neighbour));
        // Time for its end to be seen, and for a client's attempt to look stuck, by which its server becomes known.
        std::thread::sleep(Duration::from_secs(5));
        let ended = capture.stop();
        let of_server = |one: &serde_json::Value| one["server"] == "10.55.0.2:7811";
        let listener = ended.objects("listener").into_iter().find(of_server).unwrap();
        // The namespace's RST, or an ICMP error in its place, may have ended the attempts.
        let overflow = |one: &serde_json::Value| {
            one["cause"] == "accept-queue-overflow" && one["confidence"] == "confirmed"
        };
        assert!(listener["episodes"].as_array().unwrap().iter().any(overflow), "{listener:#}");
        let kernel = &listener["kernel"];
        assert_eq!(
            (&kernel["listening"], &kernel["netns"]["pid"]),
            (&false.into(), &pid.into()),
            "{kernel:#}"
        );
        assert!(kernel["drops"].as_u64() >= Some(1), "{kernel:#}");
        assert!(listener["attempts"].as_u64() >= Some(8), "{listener:#}");
        drop(clients);
    });
}

#[test]
fn without_its_helper_a_capture_reads_a_namespace_that_begins_as_a_user_may() {
    in_namespace(|| {
        let child = capture("any", &["-v"]);
        kill(Pid::from_raw(helper_of(child.id())), Signal::SIGKILL).unwrap();
        let neighbour = Neighbour::new();
        let _server = neighbour.listen("10.55.0.2", 7807, 4);
        std::thread::sleep(Duration::from_secs(4));
        let address = "10.55.0.2:7807".parse().unwrap();
        let clients: Vec<_> = (0..12).map(|_| start_connect(address)).collect();
        let (document, lines) = report_with_lines(child);
        let listeners = document["listeners"].as_array().unwrap();
        // Listeners of other tests, in namespaces of their own, may be there, too.
        let kernel = &listeners.iter().find(|one| one["server"] == "10.55.0.2:7807").unwrap()["kernel"];
        assert_eq!(kernel["netns"]["pid"], neighbour.pid(), "{document:#}");
        assert_eq!((&kernel["recv_q_max"], &kernel["send_q"]), (&5.into(), &serde_json::Value::Null));
        assert!(kernel["namespace"]["ListenOverflows"].as_u64() > Some(6), "{kernel:#}");
        assert!(lines.contains("the process that opens network namespaces does not answer: "), "{lines}");
        // Other tests begin namespaces, too: several may be found at once.
        let name = format!("PID {}", neighbour.pid());
        for missing in [
            "found since: network namespaces read without queue limits and drops, which needs root: ",
            "found since: published ports (destination NAT) not followed in ",
        ] {
            let told = lines.lines().filter(|line| line.contains(missing)).any(|line| line.contains(&name));
            assert!(told, "{missing}{name}: {lines}");
        }
        drop(clients);
    });
}

#[test]
fn there_is_no_helper_where_one_namespace_is_wanted_and_none_for_a_person_to_start() {
    in_namespace(|| {
        let capture = Capture::start(&["-i", "lo", "-v", "--netns", "self"]);
        let path = format!("/proc/{0}/task/{0}/children", capture.pid());
        assert_eq!(fs::read_to_string(path).unwrap(), "");
        assert!(!capture.stderr().contains("that begin later"), "{capture}");
        let by_hand = Command::new(super::PROGRAM).arg("--netns-helper").output().unwrap();
        let message = String::from_utf8_lossy(&by_hand.stderr);
        assert_eq!(by_hand.status.code(), Some(2), "{message}");
        assert!(message.contains("--netns-helper is for a live capture, which starts it"), "{message}");
    });
}
