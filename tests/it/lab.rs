//! The lab: real overflows in namespaces of its own, every verdict held against the kernel's counters.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::Pid;
use serde_json::Value;

use crate::points::lab_runs::both_ends_tell_the_truth;
use crate::schema::Schema;
use crate::undisturbed::undisturbed;
use crate::util::{Run, count, hsanalyze, lab_is_possible, list, report, string};

/// Fields that the offline analysis and the lab must agree on, attempt by attempt.
const JUDGED: [&str; 3] = ["verdict", "established", "retries"];

/// Longest time from a packet to its duplicate, in seconds (DOMAIN §3), less a little.
const COPY: f64 = 0.095;

/// Inferences from packets alone that both must agree on.
const INFERRED: [&str; 3] = ["cause", "abort_on_overflow", "confidence"];

fn lab(arguments: &str) -> Run {
    hsanalyze(std::iter::once("lab").chain(arguments.split_whitespace()))
}

/// The document of an experiment whose captures are kept, and where those of each of its runs are.
fn recorded(arguments: &str, directory: &Path) -> (Value, Vec<PathBuf>) {
    let base = directory.join(arguments.replace(' ', ""));
    let document = outcome(&format!("{arguments} --format json -w {}.pcapng", base.display()));
    let runs = list(&document["scenarios"][0], "runs");
    let name = |run: &Value| if runs.len() == 1 { String::new() } else { format!("-{}", string(run, "run")) };
    let paths = runs.iter().map(|run| PathBuf::from(format!("{}{}.pcapng", base.display(), name(run))));
    let paths = paths.collect();
    (document, paths)
}

/// The document of an experiment, whether the kernel does what is expected or not: for [`agrees`] to show the rows.
fn outcome(arguments: &str) -> Value {
    let output = lab(arguments).command().output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments}: {}: {errors}", output.status);
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments}: {error}: {errors}"));
    Schema::default().assert_valid("lab", &document);
    document
}

/// The rows that disagree, with the counters beside them.
fn agrees(document: &Value) {
    for scenario in document["scenarios"].as_array().unwrap() {
        let rows = scenario["rows"].as_array().unwrap();
        assert!(!rows.is_empty(), "{scenario}");
        let differ: Vec<_> = rows.iter().filter(|row| row["agree"] != true).collect();
        assert!(
            differ.is_empty(),
            "{}: {differ:#?}\n{:#}",
            scenario["scenario"],
            list(scenario, "runs").iter().map(|run| run["counters"].clone()).collect::<Value>()
        );
    }
}

/// Holds a capture of both ends against what the lab saw while it was made. One file shows what left the
/// client, as the client's end does: what the path lost on the way to the server is in it.
fn assert_offline_is_the_same(run: &Value, packets: &Path, recorded: bool) {
    let report = report([packets]);
    assert_eq!(report["captures"][0]["damaged"], Value::Null, "{}", packets.display());
    let attempts: BTreeMap<&str, &Value> =
        list(&report, "attempts").iter().map(|attempt| (string(attempt, "client"), attempt)).collect();
    let seen = list(run, "client");
    assert!(!seen.is_empty() && seen.len() == attempts.len(), "{}: {attempts:#?}", packets.display());
    for attempt in seen {
        let client = string(attempt, "client");
        let offline = attempts.get(client).unwrap_or_else(|| panic!("{}: no {client}", packets.display()));
        for key in JUDGED {
            assert_eq!(offline[key], attempt[key], "{}: {client}: {key}", packets.display());
        }
        for key in INFERRED {
            let lab = &attempt["from_packets"][key];
            // Confidence depends on round trips, which a busy machine stretches at one end. So it is not compared for
            // a new run, nor is an inference that one side lacks.
            if !recorded && (key == "confidence" || lab.is_null() || offline[key].is_null()) {
                continue;
            }
            // The file holds both ends, so it may show more than the client's end alone.
            let surer = lab.is_null() || key == "confidence" && sureness(&offline[key]) > sureness(lab);
            assert!(surer || &offline[key] == lab, "{}: {client}: {key}", packets.display());
        }
    }
}

/// Rank of a confidence.
fn sureness(confidence: &Value) -> Option<usize> {
    ["possible", "likely", "confirmed"].iter().position(|known| confidence == known)
}

/// Holds the verdicts of all attempts of a run against what the kernel counted.
fn counters_account_for_every_attempt(run: &Value) {
    let counted = |name: &str| run["counters"][name].as_u64().unwrap_or(0);
    let attempts = list(run, "server");
    let with = |key: &str, value: &str| attempts.iter().filter(|a| a[key] == value).count() as u64;
    assert_eq!(counted("EmbryonicRsts"), with("verdict", "reset-after-ack"), "{run:#}");
    // Data that follows at once gets a deferred connection in without a repeat.
    assert!(counted("TCPDeferAcceptDrop") >= with("cause", "defer-accept"), "{run:#}");
    let repeats: u64 = attempts.iter().map(|a| count(a, "/retries/syn_ack") + count(a, "/retries/syn")).sum();
    // An ACK lost by the path is never retransmitted at the server's end.
    assert_eq!(counted("TCPSynRetrans"), repeats, "{run:#}");
    let dropped: u64 = attempts.iter().map(overflows).sum();
    // The SYNs before the one that was answered: dropped, or held back by a busy machine's path for so long
    // that the client repeated them.
    let answered = attempts.iter().filter(|a| !a["timing"]["syn_to_synack"].is_null());
    let late: u64 = answered.map(|a| count(a, "/retries/syn")).sum();
    if counted("SyncookiesSent") == 0 {
        // A SYN that the full SYN queue drops is no overflow, and looks the same.
        let events = counted("ListenOverflows") + counted("TCPReqQFullDrop");
        assert!((dropped..=dropped + late).contains(&events), "{events}, {dropped} to {late} more: {run:#}");
    } else {
        // No SYN-ACK retransmissions count the dropped ACKs and data segments: at least one each.
        let ignored = with("verdict", "ack-ignored");
        assert!(counted("ListenOverflows") >= dropped + ignored, "{run:#}");
    }
}

/// Number of events of this attempt that a full queue dropped: each SYN of one that never got an
/// answer, and each ACK that did not get the connection in.
fn overflows(attempt: &Value) -> u64 {
    let established = attempt["established"] == true;
    let acks = match (string(attempt, "verdict"), attempt["cause"].as_str()) {
        (_, Some("defer-accept")) => 0,
        ("reset-after-ack", _) => 1,
        ("synack-retransmitted", _) => count(attempt, "/retries/after_ack") + u64::from(!established),
        _ => 0,
    };
    let unanswered = attempt["timing"]["syn_to_synack"].is_null();
    acks + if unanswered { count(attempt, "/retries/syn") + 1 } else { 0 }
}

/// Every overflow is confirmed by what the kernel counted meanwhile, at both ends; and where it counted none, there
/// is none, whatever the packets look like.
fn the_kernel_has_the_last_word(run: &Value) {
    let counted = |name: &str| run["counters"][name].as_u64().unwrap_or(0);
    let late = |attempt: &Value| count(attempt, "/retries/syn");
    let shown: u64 = list(run, "server").iter().map(|attempt| overflows(attempt).max(late(attempt))).sum();
    for attempt in ["client", "server"].iter().flat_map(|end| list(run, end)) {
        let overflow = attempt["cause"] == "accept-queue-overflow";
        let confirmed = attempt["confidence"] == "confirmed";
        assert!(!overflow || counted("ListenOverflows") > 0, "{attempt:#}");
        // SYNs that the full SYN queue dropped look the same: then the count does not show which is which.
        assert!(confirmed || !overflow || shown > counted("ListenOverflows"), "{attempt:#}");
        if confirmed {
            let deferred = attempt["cause"] == "defer-accept" && counted("TCPDeferAcceptDrop") > 0;
            assert!(overflow || deferred, "{attempt:#}");
        }
        if overflow && confirmed {
            assert!(attempt["abort_on_overflow"].is_u64(), "{attempt:#}");
        } else if !overflow && attempt["from_packets"]["cause"] == "accept-queue-overflow" {
            let evidence = attempt["evidence"].to_string();
            assert!(evidence.contains("the kernel counted no overflow"), "{attempt:#}");
        }
    }
}

fn row<'a>(document: &'a Value, subject: &str) -> &'a str {
    let rows = document["scenarios"][0]["rows"].as_array().unwrap();
    let found = rows.iter().find(|row| row["subject"] == subject);
    found.unwrap_or_else(|| panic!("no row {subject:?} in {rows:#?}"))["kernel"].as_str().unwrap()
}

#[test]
fn queues_fill_to_one_past_their_limit() {
    if lab_is_possible("queues_fill_to_one_past_their_limit") {
        let directory = tempfile::tempdir().unwrap();
        let (document, packets) = recorded("queue", directory.path());
        agrees(&document);
        assert_eq!(row(&document, "Recv-Q/Send-Q when one more came, listen(64)"), "17/16");
        for (run, packets) in list(&document["scenarios"][0], "runs").iter().zip(&packets) {
            counters_account_for_every_attempt(run);
            the_kernel_has_the_last_word(run);
            both_ends_tell_the_truth(run, packets);
        }
    }
}

#[test]
fn every_reset_connect_is_reported_and_counted_over_either_protocol() {
    if lab_is_possible("every_reset_connect_is_reported_and_counted_over_either_protocol") {
        let directory = tempfile::tempdir().unwrap();
        for arguments in ["reset --clients 64 --rtt 2", "reset --ipv6 --clients 64"] {
            // 64 threads have a round trip to wake up in, and the kernel answers an ACK at once: a machine that is too
            // busy for that has made another experiment.
            let too_busy = |document: &Value| {
                let subjects = ["connect() succeeded, next call", "diagnosis"];
                let is_of_time =
                    |row: &Value| subjects.iter().any(|one| string(row, "subject").starts_with(one));
                let rows = list(&document["scenarios"][0], "rows");
                rows.iter().any(|row| row["agree"] == false && is_of_time(row))
            };
            let mut found = recorded(arguments, directory.path());
            for _ in 0..2 {
                if too_busy(&found.0) {
                    found = recorded(arguments, directory.path());
                }
            }
            let (document, packets) = found;
            agrees(&document);
            // All of them later on an idle machine; on a busy one some fail at once, and agree as well.
            let line = row(&document, "connect() succeeded, next call failed, 0 bytes sent");
            let numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u64>().ok());
            assert_eq!(numbers.sum::<u64>(), 63, "{line}");
            for (run, packets) in list(&document["scenarios"][0], "runs").iter().zip(&packets) {
                assert_eq!(run["counters"]["ListenOverflows"], 63);
                the_kernel_has_the_last_word(run);
                counters_account_for_every_attempt(run);
                both_ends_tell_the_truth(run, packets);
            }
        }
    }
}

#[test]
fn scenarios_agree_side_by_side_and_their_captures_say_the_same_offline() {
    let scenarios = [
        "drop --synack-retries 2",
        "cookies",
        "ack-loss",
        "recover",
        "defer-accept",
        "syn-drop",
        "--abort 1",
    ];
    let directory = tempfile::tempdir().unwrap();
    let try_out = |scenario: &str| {
        let attempt = || {
            let (document, packets) = recorded(scenario, directory.path());
            agrees(&document);
            (document, packets)
        };
        // In one capture of both ends, the second sight of a packet is a copy only if it comes in time: a machine
        // that was too busy for that has made another experiment.
        let in_time = |(document, _): &(Value, Vec<PathBuf>)| {
            list(&document["scenarios"][0], "runs").iter().all(|run| run["slowest"].as_f64().unwrap() < COPY)
        };
        let found = (0..3).map(|_| attempt()).find(in_time);
        let (document, packets) =
            found.unwrap_or_else(|| panic!("{scenario}: the path was late three times"));
        if scenario == "syn-drop" {
            // Each client's own connect() times are joined to the lateness of its packets, at both ends.
            for end in ["client", "server"] {
                let subject = format!("as late as connect() measured, seen at the {end}");
                assert_eq!(row(&document, &subject), "8", "{subject}");
            }
        }
        for (run, packets) in list(&document["scenarios"][0], "runs").iter().zip(&packets) {
            // The packets of a period of 1 s are those of an overflow that recovered.
            if string(run, "run") != "defer-accept-1-0" {
                counters_account_for_every_attempt(run);
            }
            the_kernel_has_the_last_word(run);
            assert_offline_is_the_same(run, packets, false);
            both_ends_tell_the_truth(run, packets);
        }
    };
    thread::scope(|scope| {
        for scenario in scenarios {
            scope.spawn(move || undisturbed(&format!("lab {scenario}"), || try_out(scenario)));
        }
    });
}

#[test]
fn a_closed_listener_resets_its_queue_and_the_handshakes_under_way() {
    if lab_is_possible("a_closed_listener_resets_its_queue_and_the_handshakes_under_way") {
        let directory = tempfile::tempdir().unwrap();
        let (document, packets) = recorded("close", directory.path());
        agrees(&document);
        for (run, packets) in list(&document["scenarios"][0], "runs").iter().zip(&packets) {
            both_ends_tell_the_truth(run, packets);
        }
    }
}

#[test]
fn recorded_experiments_say_the_same_offline() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/lab");
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let expected: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    assert!(expected.len() >= 8, "{expected:?}");
    for path in expected {
        let run = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        counters_account_for_every_attempt(&run);
        the_kernel_has_the_last_word(&run);
        assert_offline_is_the_same(&run, &path.with_extension("pcapng"), true);
        both_ends_tell_the_truth(&run, &path.with_extension("pcapng"));
    }
}

#[test]
#[expect(unsafe_code, reason = "resets signals between fork and exec")]
fn ended_in_the_middle_it_leaves_nothing_behind() {
    if !lab_is_possible("ended_in_the_middle_it_leaves_nothing_behind") {
        return;
    }
    let before = outside();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let mut command = lab("drop").command();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // A shell that runs the tests in the background may ignore them, and that is inherited.
        let heed = || [Signal::SIGINT, Signal::SIGTERM].into_iter().try_for_each(heed);
        // SAFETY: `sigaction` is all that is called between fork and exec, and it may be.
        let mut child = unsafe { command.pre_exec(heed) }.spawn().unwrap();
        let inside = wait_for(|| foreign_namespace(child.id()));
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(ended.signal(), Some(signal as i32), "{ended}");
        // A namespace lives as long as a thread in it; none may be left anywhere.
        let holders: Vec<_> =
            processes().filter(|&pid| namespaces(pid).any(|inode| inode == inside)).collect();
        assert!(holders.is_empty(), "{signal}: namespace {inside} is still held by {holders:?}");
        assert_eq!(outside(), before, "{signal}");
    }
}

/// Gives a signal its default action.
#[expect(unsafe_code, reason = "a handler could be installed, and is not")]
fn heed(signal: Signal) -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed.
    unsafe { sigaction(signal, &default) }?;
    Ok(())
}

/// The interfaces and settings of the namespace that the tests run in.
fn outside() -> (Vec<PathBuf>, Vec<String>) {
    let mut interfaces: Vec<_> =
        fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().path()).collect();
    interfaces.sort();
    let settings =
        ["core/somaxconn", "ipv4/tcp_abort_on_overflow", "ipv4/tcp_syncookies", "ipv4/tcp_synack_retries"];
    (interfaces, settings.map(|name| fs::read_to_string(format!("/proc/sys/net/{name}")).unwrap()).to_vec())
}

#[test]
fn wrong_settings_are_refused_before_anything_is_touched() {
    for (arguments, message) in [
        ("--rtt 5000", "not within 0 to 900 ms"),
        ("--loss-ack 0", "of 1 or more is needed"),
        ("drop -o curve.svg", "-o curve.svg: only the scenarios race and all have a curve to draw"),
        ("--clients 1", "from 2 to 1000 is needed"),
        ("drop --abort 1", "cannot be used with"),
        (
            "queue --clients 9",
            "--clients: the scenario queue brings its own number of clients; --clients is for drop,",
        ),
        ("syn-drop --clients 9", "the scenario syn-drop brings its own"),
        ("race --rtt 4", "--rtt: the scenario race tries several round trips; --rtt is for queue, drop,"),
        (
            "drop --data 9",
            "--data: the scenario drop sends no data at once; --data is for reset, cookies, defer-accept",
        ),
        ("nonsense", "possible values: queue, drop, reset, race"),
    ] {
        let ran = lab(arguments).exit(2);
        assert!(ran.stderr.contains(message), "{ran}");
    }
}

/// The network namespace of a thread of `pid` that is not the main thread's.
fn foreign_namespace(pid: u32) -> Option<u64> {
    let home = namespace(&format!("/proc/{pid}/ns/net"))?;
    namespaces(pid).find(|&inode| inode != home)
}

fn namespaces(pid: u32) -> impl Iterator<Item = u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| namespace(&format!("{}/ns/net", task.path().display())))
}

fn namespace(path: &str) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    Some(fs::metadata(path).ok()?.ino())
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "waited 10 s in vain");
        thread::sleep(Duration::from_millis(5));
    }
}
