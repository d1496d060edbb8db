//! `hsanalyze -i`, run as a program on interfaces of namespaces of our own.

mod compare;
mod episodes;
pub(crate) mod events;
mod flood;
mod follow;
#[path = "../../examples/send/frames.rs"]
mod frames;
mod interface;
mod keep;
pub(crate) mod run;
mod screen;
mod size;
mod wire;
mod workflow;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use self::run::{Capture, Ended, PROGRAM, analysed, command, fail};
use self::wire::Wire;
use crate::kernel::{nstat, overflow_at_the_ack, ss};
use crate::namespace::{self, in_namespace, listener, start_connect, sysctl, wait_for};
use crate::util::{public_copy, require_tools};

fn counts(verdicts: &Value) -> BTreeMap<String, u64> {
    let counts = verdicts.as_object().unwrap().iter().map(|(name, n)| (name.clone(), n.as_u64().unwrap()));
    counts.filter(|(_, n)| *n > 0).collect()
}

/// The first attempt, decided or not, whose cause the kernel confirms.
fn confirmed(capture: &Capture) -> Option<(Instant, Value)> {
    let overflow = |object: &Value| {
        object["cause"] == "accept-queue-overflow"
            && object["confidence"] == "confirmed"
            && object["verdict"] != "unanswered"
    };
    let mut objects = capture.objects().into_iter();
    objects.find(|(_, object)| {
        (object["type"] == "provisional" || object["type"] == "attempt") && overflow(object)
    })
}

#[test]
fn the_final_report_draws_the_packets_of_a_live_capture() {
    in_namespace(|| {
        sysctl("net.ipv4.tcp_abort_on_overflow", 1);
        let directory = tempfile::tempdir().unwrap();
        let page = directory.path().join("page.html");
        let page_option = format!("--report={}", page.display());
        let capture = Capture::start(&["-i", "lo", "--ladder=1", &page_option, "-Z", "root", "port", "7500"]);
        let victim = listener("127.0.0.1:7500", 4);
        let clients = overflow_at_the_ack(&victim, 4, 3);
        wait_for("an episode", || capture.stdout().contains("overflow"));
        let ended = capture.stop();
        assert!(ended.stdout.contains("SYN-ACK seq=0 ack=1"), "{ended}");
        assert!(ended.stdout.contains("RST without ACK flag"), "{ended}");
        let page = fs::read_to_string(page).unwrap();
        assert!(page.contains("RST without ACK flag"), "the page has the ladder, too");
        drop(clients);
    });
}

#[test]
fn an_overflow_is_confirmed_within_five_seconds_with_either_setting() {
    for abort in [0, 1] {
        in_namespace(move || {
            sysctl("net.ipv4.tcp_abort_on_overflow", abort);
            let capture = Capture::start(&["-i", "lo", "--format", "ndjson", "port", "7500"]);
            let victim = listener("127.0.0.1:7500", 4);
            let clients = overflow_at_the_ack(&victim, 4, 3);
            // Before any RST, and before any SYN-ACK repeat that follows an ignored ACK.
            let sent = Instant::now();
            wait_for("a confirmed overflow", || confirmed(&capture).is_some());
            let (at, first) = confirmed(&capture).unwrap();
            assert!(at - sent < Duration::from_secs(5), "{:?}: {first}", at - sent);
            assert_eq!(first["abort_on_overflow"], abort, "{first}");
            if abort == 0 {
                // SYN-ACK is repeated after 1, 3, 7 s, data after 0.2, 0.6, 1.4, 3, 6.2 s: it is quiet in between.
                thread::sleep(Duration::from_millis(4_200).saturating_sub(sent.elapsed()));
            }
            // Nothing moves between the two readings of ss and nstat: then the report in between agrees with both.
            let (ended, sockets, counters) = at_rest(capture);
            let server = &ended.objects("listener")[0];
            assert_eq!(
                (
                    server["cause"].as_str(),
                    server["confidence"].as_str(),
                    server["abort_on_overflow"].as_u64()
                ),
                (Some("accept-queue-overflow"), Some("confirmed"), Some(u64::from(abort))),
                "{ended}"
            );
            let kernel = &server["kernel"];
            let row = sockets[&victim.local_addr().unwrap()];
            let number = |name: &str| u32::try_from(kernel[name].as_u64().unwrap()).unwrap();
            assert_eq!((number("recv_q"), number("send_q"), number("drops")), row, "{ended}");
            for name in ["ListenOverflows", "ListenDrops", "EmbryonicRsts"] {
                assert_eq!(
                    kernel["namespace"][name].as_u64(),
                    counters.get(&format!("TcpExt{name}")).copied(),
                    "{name}"
                );
            }
            let verdict = if abort == 1 { "reset-after-ack" } else { "synack-retransmitted" };
            assert_eq!(counts(&server["verdicts"])[verdict], 2, "{ended}");
            drop(clients);
        });
    }
}

#[test]
fn dropped_syns_are_reported_by_the_kernels_count_before_their_clients_give_up() {
    in_namespace(|| {
        // Another listener is full, too, but nobody overflows it.
        let (victim, full) = (listener("127.0.0.1:7505", 2), listener("127.0.0.1:7506", 0));
        let (server, other) = (victim.local_addr().unwrap(), full.local_addr().unwrap());
        let fill: Vec<_> = (0..3).map(|_| start_connect(server)).chain([start_connect(other)]).collect();
        wait_for("both queues are full", || ss()[&server].0 == 3 && ss()[&other].0 == 1);
        // Other tests have listeners that overflow, in namespaces of their own.
        let captures = ["text", "ndjson"]
            .map(|format| Capture::start(&["-i", "lo", "--netns", "self", "--format", format]));
        let clients: Vec<_> = (0..4).map(|_| start_connect(server)).collect();
        let line = format!(
            "[{}])  accept queue overflow (confirmed) begins: 3 waiting (limit 2, and one more)",
            std::process::id()
        );
        let [text, stream] = captures;
        wait_for("the overflow is reported", || {
            text.stdout().contains(&line) && stream.stderr().contains(&line)
        });
        text.signal(Signal::SIGUSR1);
        wait_for("a report so far", || text.stderr().contains("lo: no attempt is settled yet"));
        for output in [text.stdout(), stream.stderr()] {
            assert!(output.contains("127.0.0.1:7505 ("), "{output}");
            assert!(output.matches(" begins").count() == 1 && !output.contains(":7506"), "{output}");
        }
        // Clients repeat SYN every second at first: unless the end falls into the moment before a repeat, no silence
        // has lasted a second, and the packets alone prove nothing.
        let ended = stream.stop();
        let verdicts = &ended.objects("summary")[0]["verdicts"];
        let open = ["undetermined", "unanswered"].map(|verdict| verdicts[verdict].as_u64().unwrap());
        assert_eq!(open.iter().sum::<u64>(), 4, "{ended}");
        let listener = &ended.objects("listener")[0];
        assert_eq!(listener["cause"], "accept-queue-overflow", "{ended}");
        assert_eq!(listener["confidence"], "confirmed", "{ended}");
        let ended = text.stop();
        assert!(ended.stdout.contains("127.0.0.1:7505  ACCEPT QUEUE OVERFLOWS"), "{ended}");
        assert!(!ended.stdout.contains("Nothing wrong"), "{ended}");
        drop((fill, clients));
    });
}

/// Ends the capture between two equal readings of ss and nstat.
fn at_rest(
    capture: Capture,
) -> (Ended, BTreeMap<std::net::SocketAddr, crate::kernel::Row>, BTreeMap<String, u64>) {
    let before = (ss(), nstat());
    let ended = capture.stop();
    let after = (ss(), nstat());
    let listening = |counters: &BTreeMap<String, u64>| counters["TcpExtListenDrops"];
    assert_eq!(
        (&before.0, listening(&before.1)),
        (&after.0, listening(&after.1)),
        "the queue was not at rest"
    );
    (ended, after.0, after.1)
}

#[test]
fn repeats_without_an_overflow_are_reported_as_lost_or_filtered_acks() {
    if !require_tools(&["nft"]) {
        return;
    }
    in_namespace(|| {
        let server = listener("127.0.0.1:7510", 8);
        for rule in [
            "add table inet t",
            "add chain inet t c { type filter hook input priority 0; }",
            "add rule inet t c tcp dport 7510 tcp flags & (syn | ack) == ack drop",
        ] {
            namespace::run("nft", &[rule]);
        }
        // The kernel's own event of the drop would name the filter.
        let options = ["-i", "lo", "--netns", "self", "--no-bpf", "--format", "ndjson"];
        let capture = Capture::start(&options);
        let client = start_connect(server.local_addr().unwrap());
        wait_for("it is told", || capture.stdout().contains("synack-retransmitted"));
        let ended = capture.stop();
        let told = ended.objects("provisional");
        assert_eq!(told.len(), 1, "{ended}");
        for attempt in told.iter().chain(&ended.objects("attempt")) {
            assert_eq!(attempt["verdict"], "synack-retransmitted", "{ended}");
            assert_eq!((&attempt["cause"], &attempt["confidence"]), (&Value::Null, &Value::Null), "{ended}");
            assert!(attempt["evidence"].to_string().contains("the kernel counted no overflow"), "{ended}");
        }
        let listener = &ended.objects("listener")[0];
        assert_eq!(listener["cause"], Value::Null, "{ended}");
        let diagnosis = listener["diagnosis"].as_str().unwrap();
        assert!(diagnosis.contains("the kernel counted none: ACKs were lost or filtered"), "{ended}");
        assert_eq!(listener["kernel"]["namespace"]["ListenOverflows"], 0, "{ended}");
        drop(client);
    });
}

#[test]
fn a_burst_of_20_000_handshakes_loses_nothing() {
    in_namespace(|| {
        let mut wire = Wire::new();
        let capture = Capture::start(&["-i", wire.name, "--format", "json"]);
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        for n in 0..20_000 {
            wire.attempt(n, frames::verdict(n));
            *expected.entry(frames::verdict(n).to_owned()).or_default() += 1;
        }
        // An unfinished handshake is cut off by an end within a second.
        thread::sleep(Duration::from_millis(1500));
        let report = capture.stop().json();
        assert_eq!(report["captures"][0]["dropped"], 0);
        assert_eq!(counts(&report["verdicts"]), expected);
        assert_eq!(report["packets"]["total"], 20_000 / 10 * (2 + 4 + 2 + 1 + 6 * 5));
        for attempt in report["attempts"].as_array().unwrap() {
            let client = attempt["client"].as_str().unwrap();
            let (address, port) = client.split_once(':').unwrap();
            let octets: Vec<u32> = address.split('.').map(|octet| octet.parse().unwrap()).collect();
            let n = (octets[2] * 256 + octets[3]) * 50 + port.parse::<u32>().unwrap() - 10_000;
            assert_eq!(attempt["verdict"], frames::verdict(n), "{attempt}");
        }
    });
}

#[test]
fn dropped_packets_are_all_counted() {
    in_namespace(|| {
        let mut wire = Wire::new();
        let capture = Capture::start(&["-i", wire.name, "-B", "64", "--format", "json"]);
        // While it sleeps nobody empties the buffer, which holds a few hundred.
        capture.signal(Signal::SIGSTOP);
        (0..5_000).for_each(|n| wire.attempt(n, "completed"));
        capture.signal(Signal::SIGCONT);
        thread::sleep(Duration::from_millis(1500));
        let report = capture.stop().json();
        let dropped = report["captures"][0]["dropped"].as_u64().unwrap();
        let taken = report["captures"][0]["packets"].as_u64().unwrap();
        assert_eq!(dropped + taken, 25_000, "{}", report["captures"]);
        assert!(dropped > 10_000, "{dropped}");
    });
}

#[test]
fn a_bridged_handshake_seen_on_any_is_counted_once() {
    in_namespace(|| {
        // Two hosts in namespaces of their own, and a bridge between them here.
        namespace::run("ip", &["link", "add", "bridge0", "type", "bridge"]);
        namespace::run("ip", &["link", "set", "bridge0", "up"]);
        let server = Host::connect("s", "10.77.0.2/24");
        let client = Host::connect("c", "10.77.0.1/24");
        let capture = Capture::start(&["-i", "any", "--format", "json", "tcp"]);
        let (listening, heard) = std::sync::mpsc::channel();
        server.run(move || {
            let listener = listener("10.77.0.2:7520", 64);
            listening.send(()).unwrap();
            (0..20).for_each(|_| drop(listener.accept().unwrap()));
        });
        heard.recv().unwrap();
        client.run(|| {
            for _ in 0..20 {
                drop(std::net::TcpStream::connect("10.77.0.2:7520").unwrap());
            }
        });
        thread::sleep(Duration::from_millis(1500));
        let report = capture.stop().json();
        drop((server, client));
        assert_eq!(counts(&report["verdicts"]), BTreeMap::from([("completed".to_owned(), 20)]));
        assert_eq!(report["captures"][0]["link_types"][0], "LINUX_SLL2");
        // Out of one port of the bridge goes what came into the other one.
        assert!(report["packets"]["duplicates"].as_u64() >= Some(60), "{}", report["packets"]);
        assert_eq!(report["listeners"][0]["kernel"], Value::Null, "the server is not this namespace");
    });
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own, with one interface that leads to the bridge. Both end with it.
struct Host {
    jobs: std::sync::mpsc::Sender<Job>,
}

impl Host {
    fn connect(name: &str, address: &str) -> Self {
        let (jobs, todo) = std::sync::mpsc::channel::<Job>();
        let (told, place) = std::sync::mpsc::channel();
        thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            told.send(nix::unistd::gettid()).unwrap();
            todo.iter().for_each(|job| job());
        });
        let namespace = format!("/proc/{}/task/{}/ns/net", std::process::id(), place.recv().unwrap());
        let (port, far) = (format!("{name}-port"), format!("{name}-eth"));
        namespace::run("ip", &["link", "add", &port, "type", "veth", "peer", "name", &far]);
        namespace::run("ip", &["link", "set", &far, "netns", &namespace]);
        namespace::run("ip", &["link", "set", &port, "master", "bridge0", "up"]);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let address = address.to_owned();
        let configure = move || {
            namespace::run("ip", &["address", "add", &address, "dev", &far]);
            namespace::run("ip", &["link", "set", &far, "up"]);
            ready.send(()).unwrap();
        };
        jobs.send(Box::new(configure)).unwrap();
        is_ready.recv().unwrap();
        Self { jobs }
    }

    fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.send(Box::new(job)).unwrap();
    }
}

#[test]
fn signals_limits_and_the_report_so_far() {
    in_namespace(|| {
        let mut wire = Wire::new();
        let capture = Capture::start(&["-i", wire.name, "-v"]);
        wire.attempt(1, "refused");
        wire.attempt(2, "half-open");
        // A refused attempt may still be retried: it is settled much later.
        wait_for("the problem is told", || capture.stdout().contains("10.2.0.1:443  so far refused"));
        capture.signal(Signal::SIGUSR1);
        wait_for("a report so far", || capture.stderr().contains("undecided at the moment: 2;"));
        assert!(
            capture.stderr().contains("by their packets so far: 1 refused, a closed port (possible))"),
            "{capture}"
        );
        let lines = capture.stdout().lines().filter(|line| line.contains("so far")).count();
        assert_eq!(lines, 1, "each problem once, the report so far elsewhere: {capture}");
        assert!(
            capture.stdout().contains("10.2.0.1:443  closed port (possible) begins: 1 refused"),
            "{capture}"
        );
        let ended = capture.stop();
        assert!(ended.stdout.contains("near: 2 attempts in 4 packets"), "{ended}");

        let begun = Instant::now();
        let capture = Capture::start(&["-i", wire.name, "--duration", "1"]);
        capture.ends(0);
        assert!((900..4_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());

        let capture =
            Capture::start(&["-i", wire.name, "-c", "7", "--format", "json", "--fail-on", "completed"]);
        (10..13).for_each(|n| wire.attempt(n, "completed"));
        let report = capture.ends(1).json();
        assert_eq!(report["packets"]["total"], 7);

        // The second Ctrl-C ends it at once, and leaves nothing half-written. On a busy machine it may come too late.
        let ended_at_once = || {
            let directory = tempfile::tempdir().unwrap();
            let files = || fs::read_dir(directory.path()).unwrap().count();
            let output = directory.path().join("report");
            let capture = Capture::start(&["-i", wire.name, "-Z", "root", "-o", output.to_str().unwrap()]);
            wait_for("it captures", || capture.stderr().contains("capturing on"));
            for _ in 0..2 {
                thread::sleep(Duration::from_millis(100));
                capture.signal(Signal::SIGINT);
            }
            let code = capture.ends_somehow();
            assert_eq!(files(), usize::from(code == Some(0)), "{code:?}");
            code == Some(130)
        };
        assert!((0..3).any(|_| ended_at_once()));
    });
}

#[test]
fn an_interface_that_goes_down_comes_back_and_one_that_is_removed_ends_the_capture() {
    in_namespace(|| {
        let mut wire = Wire::new();
        let capture = Capture::start(&["-i", wire.name, "--format", "json"]);
        wire.attempt(1, "completed");
        thread::sleep(Duration::from_millis(400));
        namespace::run("ip", &["link", "set", "near", "down"]);
        thread::sleep(Duration::from_millis(400));
        namespace::run("ip", &["link", "set", "near", "up"]);
        thread::sleep(Duration::from_millis(400));
        wire.attempt(2, "completed");
        thread::sleep(Duration::from_millis(400));
        namespace::run("ip", &["link", "delete", "near"]);
        let ended = capture.ends(2);
        assert!(ended.stderr.contains("near: the capture ended early"), "{ended}");
        let report = ended.json();
        assert_eq!(report["verdicts"]["completed"], 2, "what was analysed is reported");
        assert!(
            report["captures"][0]["damaged"].as_str().unwrap().contains("near"),
            "{}",
            report["captures"]
        );
    });
}

#[test]
fn what_cannot_be_captured_is_reported_with_reason_and_advice() {
    in_namespace(|| {
        let message = fail(command(PROGRAM), &["-i", "eth9"]);
        assert!(
            message.contains("there is no interface 'eth9'; there are: ") && message.contains("lo"),
            "{message}"
        );
        let message = fail(command(PROGRAM), &["-i", "lo", "port", "nonsense"]);
        assert!(message.contains("filter 'port nonsense' for link type EN10MB"), "{message}");
        let message = fail(command(PROGRAM), &["-i", "lo", "--time-source", "adapter"]);
        assert!(
            message.contains("lo: its packets cannot be stamped by time source adapter; it has host"),
            "{message}"
        );
        namespace::run("ip", &["link", "add", "idle", "type", "veth", "peer", "name", "peer"]);
        let message = fail(command(PROGRAM), &["-i", "idle"]);
        assert!(message.contains("idle: the interface is down: ip link set idle up"), "{message}");
        // Where libpcap and the kernel have it; others need buses or hardware.
        if run::run(command(PROGRAM), &["-D"]).stdout.contains(".nflog ") {
            let message = fail(command(PROGRAM), &["-i", "nflog"]);
            assert!(
                message.contains("nflog: packets of link type NFLOG cannot be analysed live"),
                "{message}"
            );
        }
        let (_directory, program) = public_copy();
        let mut unprivileged = command(&program);
        unprivileged.current_dir("/").uid(65_534).gid(65_534);
        let message = fail(unprivileged, &["-i", "lo"]);
        let advice = format!("sudo setcap cap_net_raw+p {}", program.display());
        assert!(message.contains("lo: capturing is not permitted") && message.contains(&advice), "{message}");
        let message = fail(command(PROGRAM), &["-i", "lo", "-Z", "no-such-user"]);
        assert!(message.contains("-Z no-such-user: there is no such user"), "{message}");
    });
}

/// What `setcap cap_net_raw+p` gives, as packages do it: it is raised for the capture, and then given up.
#[test]
fn a_capability_that_the_file_only_permits_is_enough() {
    if !require_tools(&["setcap"]) {
        return;
    }
    in_namespace(|| {
        let (_directory, program) = public_copy();
        namespace::run("setcap", &["cap_net_raw+p", program.to_str().unwrap()]);
        let mut unprivileged = command(&program);
        unprivileged.current_dir("/").uid(65_534).gid(65_534).args(["-i", "lo"]);
        let capture = Capture::begin(unprivileged);
        assert_eq!(status_of(&capture, "CapPrm"), "0000000000000000");
        capture.stop();
    });
}

fn status_of(capture: &Capture, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", capture.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).unwrap();
    line.trim().replace('\t', " ")
}

#[test]
fn root_becomes_another_user_without_rights_and_still_reads_the_kernel() {
    in_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(directory.path(), Some(65_534), Some(65_534)).unwrap();
        let path = directory.path().join("out.pcap");
        let report = directory.path().join("report.json");
        let (path_text, report_text) = (path.to_str().unwrap(), report.to_str().unwrap());
        let arguments =
            ["-i", "lo", "-Z", "nobody", "-w", path_text, "-o", report_text, "--format", "json", "-v"];
        let capture = Capture::start(&arguments);
        assert_eq!(status_of(&capture, "Uid"), "65534 65534 65534 65534");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status_of(&capture, set), "0000000000000000", "{set}");
        }
        assert_eq!(status_of(&capture, "NoNewPrivs"), "1");
        for applied in
            ["user: nobody (uid 65534)", "capabilities: none", "no-new-privileges: set", "Landlock: "]
        {
            assert!(capture.stderr().contains(applied), "{capture}");
        }
        let server = listener("127.0.0.1:7530", 8);
        let client = start_connect(server.local_addr().unwrap());
        thread::sleep(Duration::from_millis(2_500));
        capture.stop();
        let owner = fs::metadata(&path).unwrap();
        assert_eq!((owner.uid(), owner.gid()), (65_534, 65_534));
        let report: Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
        assert_eq!(report["listeners"][0]["kernel"]["recv_q"], 1, "{report}");
        assert_eq!(analysed(&path)["packets"]["total"], report["packets"]["total"]);
        drop(client);
    });
}

#[test]
fn the_right_to_capture_is_enough() {
    if !require_tools(&["setpriv"]) {
        return;
    }
    in_namespace(|| {
        let (_directory, program) = public_copy();
        let mut setpriv = command("setpriv");
        setpriv.current_dir("/").args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        setpriv.args(["--inh-caps=+net_raw", "--ambient-caps=+net_raw", "--bounding-set=-all,+net_raw"]);
        setpriv.arg(&program).args(["-i", "lo", "--format", "json", "-v"]);
        let capture = Capture::begin(setpriv);
        assert_eq!(status_of(&capture, "CapEff"), "0000000000000000");
        assert!(capture.stderr().contains("capability bounding set: kept"), "{capture}");
        let server = listener("127.0.0.1:7540", 8);
        let client = start_connect(server.local_addr().unwrap());
        thread::sleep(Duration::from_millis(2_500));
        let report = capture.stop().json();
        assert_eq!(report["listeners"][0]["kernel"]["send_q"], 8, "{report}");
        drop(client);
    });
}

#[test]
fn devices_are_listed_with_their_numbers_and_addresses() {
    in_namespace(|| {
        namespace::run("ip", &["address", "add", "10.77.0.9/32", "dev", "lo"]);
        let listed = run::run(command(PROGRAM), &["-D"]).stdout;
        let lo = listed.lines().find(|line| line.contains(".lo ")).unwrap_or_else(|| panic!("{listed}"));
        assert!(lo.contains("[Up, Running, Loopback] 127.0.0.1") && lo.contains("10.77.0.9"), "{listed}");
        let number = lo.split('.').next().unwrap();
        let capture = Capture::start(&["-i", number]);
        assert!(capture.stderr().contains("capturing on lo"), "{capture}");
        capture.stop();
    });
}
