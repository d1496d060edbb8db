//! Errors: something is wrong with the arguments, with the files, with the reader of the output.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hsanalyze::packet::Span;

use crate::bundled::{RawPacket, packets};
use crate::properties::files::file as capture_of;
use crate::util::{Ran, capture, captures, count, hsanalyze, list, report, wait_until_handled};

/// Exit status 2, nothing on standard output, and every word in the message.
#[track_caller]
fn rejected<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>, words: &[&str]) -> Ran {
    let ran = hsanalyze(args).exit(2);
    assert!(ran.stdout.is_empty(), "errors belong on stderr\n{ran}");
    for word in words {
        assert!(ran.stderr.contains(word), "the message does not say '{word}'\n{ran}");
    }
    ran
}

#[test]
fn names_from_outside_are_shown_without_what_a_terminal_would_obey() {
    let hostile = "no\u{1b}[31m\n\u{202e}such\u{9b}file";
    let ran = rejected([hostile], &["not found"]);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran}");
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join(format!("{hostile}.pcap"));
    fs::copy(capture("refused-server"), &copy).unwrap();
    for format in ["text", "json", "ndjson", "markdown"] {
        let ran = hsanalyze([copy.as_os_str(), "--format".as_ref(), format.as_ref()]).exit(0);
        let bad = |c: &char| *c != '\n' && c.is_control() || *c == '\u{202e}';
        let text = String::from_utf8(ran.stdout.clone()).unwrap();
        assert!(!text.chars().any(|c| bad(&c)), "{ran}");
    }
}

/// A file with these bytes.
fn file(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn wrong_arguments_are_named() {
    let good = capture("refused-server");
    let good = good.to_str().unwrap();
    rejected(["--no-such-option", good], &["--no-such-option"]);
    rejected(["--format", "yaml", good], &["yaml", "ndjson"]);
    rejected(["--verdict", "nonsense", good], &["nonsense", "synack-retransmitted"]);
    rejected(["--fail-on", "nonsense", good], &["nonsense", "synack-retransmitted"]);
    rejected(["--cause", "nonsense", good], &["nonsense", "accept-queue-overflow"]);
    rejected(["--baseline", "nosuch.json", good], &["cannot compare with nosuch.json: not found"]);
    rejected(["-G", "60", good], &["--file-seconds (-G)", "it needs -i IFACE and -w FILE"]);
    rejected(["--color", "sometimes", good], &["sometimes"]);
    rejected(["--threads", "0", good], &["--threads", "1 to"]);
    rejected(["--max-attempts", "none", good], &["none"]);
}

#[test]
fn a_mistyped_command_gets_a_suggestion() {
    rejected(["listners"], &["listners", "not found", "did you mean the command 'listeners'?"]);
    rejected(["rcae", "--watch", "1"], &["did you mean 'race'?"]);
    rejected(
        ["sise", "nosuch.pcap"],
        &["sise: not found; did you mean the command 'size'?", "nosuch.pcap: not found"],
    );
    // A capture beside it is analysed all the same.
    let good = capture("refused-server");
    let ran = hsanalyze(["sise", good.to_str().unwrap()]).exit(2);
    assert!(ran.stderr.contains("sise: not found; did you mean the command 'size'?"), "{ran}");
    assert!(ran.text().contains("12 attempts"), "{ran}");
    rejected(["--fail-on", "problms", "a.pcap"], &["problms", "'problem'"]);
}

#[test]
fn words_after_read_select_packets() {
    let overflow = capture("overflow_mixed-server");
    let overflow = overflow.to_str().unwrap();
    let packets = |words: &[&str]| {
        let arguments = ["--format", "json", "-r", overflow].into_iter().chain(words.iter().copied());
        count(&hsanalyze(arguments).succeed().json(), "/packets/total")
    };
    assert!((1..=packets(&[])).contains(&packets(&["port", "7777"])));
    assert_eq!(packets(&["port", "7778"]), 0);
    rejected(["-r", overflow, "prot", "80"], &["prot 80"]);
}

#[test]
fn the_status_goes_by_verdicts_causes_and_confidence() {
    let [overflow, lost] = ["overflow_mixed-server", "ack_lost-client"].map(capture);
    let status = |words: &str, path: &Path| {
        let run = hsanalyze(["-q", "--fail-on", words, path.to_str().unwrap()]).run();
        run.status.code().unwrap()
    };
    assert_eq!(status("accept-queue-overflow:likely", &overflow), 1);
    assert_eq!(status("accept-queue-overflow:confirmed,port-closed", &overflow), 0);
    assert_eq!(status("accept-queue-overflow", &lost), 0, "a lost ACK explains it as well");
    assert_eq!(status("synack-retransmitted", &lost), 1);
    assert_eq!(status("accept-queue-overflow:likely", &lost), 0);
    let ran = rejected(
        ["-q", "--fail-on", "problem", "-f", "udp", overflow.to_str().unwrap()],
        &["nothing to judge", "no attempts"],
    );
    assert_eq!(ran.stderr.lines().count(), 1, "{ran}");
}

#[test]
fn fail_on_does_not_pass_a_capture_that_lacks_what_it_asks_for() {
    let echo = capture("completed_echo-client");
    let with_flags = |words| {
        let filter = "tcp[tcpflags] & (tcp-syn|tcp-rst|tcp-fin) != 0";
        hsanalyze(["-q", "--fail-on", words, "-f", filter, echo.to_str().unwrap()]).run()
    };
    let ran = with_flags("refused,problem");
    assert_eq!(ran.status.code(), Some(2), "{ran}");
    assert!(ran.stderr.contains("--fail-on problem cannot be judged"), "{ran}");
    assert_eq!(with_flags("refused").status.code(), Some(0), "a refusal needs no ACK");
}

#[test]
fn no_arguments_show_the_usage() {
    rejected::<&str>([], &["Usage"]);
}

#[test]
fn help_and_version_are_results() {
    let help = hsanalyze(["--help"]).succeed();
    for word in ["--format", "--fail-on", "-f", "--all"] {
        assert!(help.text().contains(word), "--help does not tell of {word}\n{help}");
    }
    let version = hsanalyze(["--version"]).succeed();
    let name = concat!("hsanalyze ", env!("CARGO_PKG_VERSION"), "\nlibpcap version ");
    assert!(version.text().starts_with(name), "{version}");
}

#[test]
fn a_filter_that_is_none_is_shown_with_its_fault() {
    let good = capture("refused-server");
    rejected(["-f", "tcp prot 80", good.to_str().unwrap()], &["tcp prot 80"]);
}

#[test]
fn a_missing_file_is_named() {
    let ran = rejected(["/nonexistent/x.pcap"], &["/nonexistent/x.pcap", "not found"]);
    assert_eq!(ran.stderr.matches("not found").count(), 1, "the reason is said once\n{ran}");
}

#[test]
fn a_capture_is_never_replaced_by_its_report() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = fs::read(capture("refused-server")).unwrap();
    let path = file(&dir, "a.pcap", &bytes);
    let link = dir.path().join("link.pcap");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for output in [&path, &link] {
        let arguments = ["-o".as_ref(), output.as_os_str(), path.as_os_str()];
        rejected(arguments, &["cannot write", "one of the captures"]);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    // Standard input has no name, but may be the same file.
    let mut run = hsanalyze([Path::new("-"), Path::new("-o"), &path]).command();
    let output = run.stdin(fs::File::open(&path).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// The usual limit of descriptors is below the number of files of a day.
#[test]
fn more_captures_are_read_than_the_shell_allows_descriptors() {
    use nix::sys::resource::{Resource, getrlimit};
    let path = capture("refused-server");
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(most > 400, "this test needs more descriptors than {most}");
    let mut run = std::process::Command::new("sh");
    run.args([
        "-c",
        "ulimit -Sn 100; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_hsanalyze"),
        "--format",
        "json",
    ]);
    let output = run.args(std::iter::repeat_n(path, 300)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_directory_is_no_capture() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    rejected([path], &[path, "directory"]);
}

#[test]
fn foreign_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let foreign: [(&str, &[u8]); 5] = [
        ("empty.pcap", b""),
        ("picture.pcap", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0\x1f\xf3\xffa"),
        ("text.pcap", b"00:00:00.000000 IP 10.9.0.1.40000 > 10.9.0.2.7777: Flags [S], seq 1\n"),
        ("elf.pcap", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0\x01\0\0\0"),
        ("zeros.pcap", &[0; 4096]),
    ];
    for (name, bytes) in foreign {
        let path = file(&dir, name, bytes);
        let ran = hsanalyze([&path]).exit(2);
        assert!(ran.stderr.contains(name), "the message does not name the file\n{ran}");
    }
}

/// The packets of a bad file are not there, but those of the next one are.
#[test]
fn a_bad_file_does_not_hide_a_good_one() {
    let dir = tempfile::tempdir().unwrap();
    let bad = file(&dir, "bad.pcap", b"this is no capture");
    let args = [Path::new("--format"), Path::new("json"), &bad, &capture("refused-server")];
    let ran = hsanalyze(args).exit(2);
    assert_eq!(count(&ran.json(), "/verdicts/refused"), 12, "{ran}");
    assert!(ran.stderr.contains("bad.pcap"), "the message does not name the file\n{ran}");
}

/// Where each record of a classic, little-endian capture ends; the first entry is the file header's end.
fn record_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = vec![24];
    while let Some(length) = bytes.get(ends[ends.len() - 1] + 8..).and_then(|b| b.first_chunk()) {
        ends.push(ends[ends.len() - 1] + 16 + u32::from_le_bytes(*length) as usize);
    }
    assert_eq!(ends[ends.len() - 1], bytes.len(), "the fixture is whole");
    ends
}

/// Every bundled capture, cut within the first record's header, within its bytes, in the middle, and by one
/// byte: everything before the damage counts, and the damage is reported with its place.
#[test]
fn a_cut_capture_is_analysed_up_to_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    for path in captures() {
        let bytes = fs::read(&path).unwrap();
        let ends = record_ends(&bytes);
        for cut in [24 + 7, 24 + 16 + 9, ends[ends.len() / 2] + 30, bytes.len() - 1] {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let name = format!("cut-{cut}.pcap");
            let cut_file = file(&dir, &name, &bytes[..cut]);
            let ran = hsanalyze([Path::new("--format"), Path::new("json"), &cut_file]).exit(2);
            let report = ran.json();
            assert_eq!(count(&report, "/packets/total"), whole as u64, "packets before the cut\n{ran}");
            let damaged = list(&report, "captures")[0]["damaged"].as_str().unwrap_or_default();
            let place = format!("packet {}", whole + 1);
            for message in [damaged, &ran.stderr] {
                assert!(message.contains(&place), "the damage is not said to be at {place}\n{ran}");
                assert!(message.contains("byte"), "the damage's byte offset is not said\n{ran}");
            }
            assert!(ran.stderr.contains(&name), "the message does not name the file\n{ran}");
        }
    }
}

/// A capture that ends between two records cannot be told from one that was stopped there.
#[test]
fn a_capture_that_ends_between_records_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = fs::read(capture("overflow_mixed-server")).unwrap();
    let ends = record_ends(&bytes);
    for records in [0, 1, ends.len() / 2] {
        let path = file(&dir, "part.pcap", &bytes[..ends[records]]);
        let ran = hsanalyze([Path::new("--format"), Path::new("json"), &path]).succeed();
        let report = ran.json();
        assert_eq!(count(&report, "/packets/total"), records as u64, "{ran}");
        assert!(list(&report, "captures")[0]["damaged"].is_null(), "{ran}");
    }
}

/// Any single byte may be wrong; the program ends with a status of its own, not with a panic or a signal.
#[test]
fn damaged_bytes_do_no_harm() {
    let bytes = fs::read(capture("overflow_cookie_data-server")).unwrap();
    for at in (0..bytes.len()).step_by(149) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        let ran = hsanalyze(["--format", "json", "-"]).stdin(damaged).run();
        assert!(matches!(ran.status.code(), Some(0 | 2)), "byte {at}\n{ran}");
        assert!(!ran.stderr.contains("panicked"), "byte {at}\n{ran}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let good = capture("refused-server");
    rejected([Path::new("-o"), Path::new("/nonexistent/out.txt"), &good], &["/nonexistent/out.txt"]);
    // Before the experiments, which take half a minute.
    #[cfg(all(target_os = "linux", feature = "lab"))]
    for option in ["-o", "-w"] {
        rejected(["lab", "race", option, "/nonexistent/out"], &["cannot write /nonexistent/out: "]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_named_whatever_the_form() {
    let good = capture("refused-server");
    for format in ["text", "json", "ndjson", "csv", "markdown"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = hsanalyze([Path::new("--format"), Path::new(format), &good]).command();
        let ran = command.stdout(full).output().unwrap();
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{format}: {stderr}");
        assert!(stderr.contains("cannot write to standard output: No space left"), "{format}: {stderr}");
    }
}

/// Runs the program from a shell, with redirections and limits that the shell sets before.
#[cfg(target_os = "linux")]
fn from_shell<A: AsRef<std::ffi::OsStr>>(
    script: &str,
    args: impl IntoIterator<Item = A>,
) -> (Option<i32>, String, String) {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, "sh", env!("CARGO_BIN_EXE_hsanalyze")]).args(args);
    let ran = shell.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(!text(&ran.stderr).contains("panicked"), "{}", text(&ran.stderr));
    (ran.status.code(), text(&ran.stdout), text(&ran.stderr))
}

/// Rust's runtime opens `/dev/null` for a closed descriptor: the results would be lost without a word.
#[cfg(target_os = "linux")]
#[test]
fn a_closed_standard_output_is_an_error_and_an_open_null_device_is_none() {
    let good = capture("refused-server");
    let closed = "exec \"$@\" >&-";
    for args in [vec![good.as_os_str()], vec!["--version".as_ref()], vec!["listeners".as_ref()]] {
        let (status, _, message) = from_shell(closed, &args);
        assert_eq!(status, Some(2), "{args:?}: {message}");
        assert_eq!(message, "hsanalyze: error: cannot write to standard output: it is closed\n", "{args:?}");
    }
    // Python's DEVNULL and daemon(3) open it for reading, too.
    for null in ["exec \"$@\" >/dev/null", "exec \"$@\" 1<>/dev/null"] {
        assert_eq!(from_shell(null, [&good]), (Some(0), String::new(), String::new()), "{null}");
    }
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("out.txt");
    assert_eq!(from_shell(closed, [Path::new("-o"), &to, &good]).0, Some(0));
    assert_eq!(fs::read_to_string(&to).unwrap(), hsanalyze([&good]).succeed().text());
    // A closed standard error or input changes nothing.
    assert_eq!(from_shell("exec \"$@\" 2>&- <&-", [&good]).0, Some(0));
}

/// A limit that is too low is named, and nothing panics below it.
#[cfg(target_os = "linux")]
#[test]
fn limits_of_memory_and_descriptors_end_with_a_message() {
    let good = capture("refused-server");
    // Standard input, output and error, and one for the captures: the first is read, the others are named.
    let two = [good.clone(), capture("refused-client"), capture("tfo-server")];
    let (status, shown, message) = from_shell("ulimit -n 4; exec \"$@\"", &two);
    assert_eq!(status, Some(2), "{message}");
    assert!(message.contains("tfo-server.pcap") && message.contains("open files"), "{message}");
    assert!(shown.contains("12 attempts"), "{shown}");
    // 256 MiB of addresses are enough for any small capture; below that the loader or the allocator ends the program, but
    // not with half a report and status 0.
    let whole = hsanalyze([&good]).succeed().text().to_owned();
    let (status, shown, message) = from_shell("ulimit -v 262144; exec \"$@\"", [&good]);
    assert_eq!((status, shown), (Some(0), whole.clone()), "{message}");
    for kilobytes in [8_000, 16_000, 32_000, 64_000] {
        let (status, shown, message) = from_shell(&format!("ulimit -v {kilobytes}; exec \"$@\""), [&good]);
        assert!(status != Some(0) || shown == whole, "{kilobytes} KiB: {status:?} {shown} {message}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_may_not_be_written_is_named() {
    let good = capture("refused-server");
    // Nobody creates files there, root neither.
    for option in ["-o", "--report", "--write"] {
        let ran = rejected([Path::new(option), Path::new("/proc/out"), &good], &["cannot write /proc/out: "]);
        assert!(!ran.stderr.contains(".hsanalyze-"), "the temporary name helps nobody\n{ran}");
    }
}

#[test]
fn a_file_s_name_does_not_drive_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "a\u{1b}[31m.pcap", b"no capture");
    let ran = rejected([&path], &["a\u{fffd}[31m.pcap"]);
    assert!(!ran.stderr.contains('\u{1b}'), "{ran}");
}

#[test]
fn output_goes_to_the_file_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("out.json");
    let good = capture("refused-server");
    let common = [Path::new("--format"), Path::new("json"), &good];
    let direct = hsanalyze(common).succeed();
    let filed = hsanalyze(common.into_iter().chain([Path::new("-o"), &to])).succeed();
    assert!(filed.stdout.is_empty(), "nothing is left for stdout\n{filed}");
    assert_eq!(fs::read(&to).unwrap(), direct.stdout);
}

/// Whatever breaks off a long analysis, neither half a report nor a temporary file is left: the file has no name yet.
#[test]
fn a_report_that_is_broken_off_leaves_nothing_behind() {
    use nix::sys::signal::{Signal, kill};
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("out.json");
    let names = || fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    // Not SIGQUIT: a shell has the programs that it runs in the background ignore that.
    for signal in [Signal::SIGUSR1, Signal::SIGALRM, Signal::SIGXCPU, Signal::SIGKILL] {
        let mut child = hsanalyze([Path::new("-o"), &to, Path::new("-")]).command().spawn().unwrap();
        // The program opens its output before it catches signals, and then reads its input, which does not end.
        let input = child.stdin.take();
        wait_until_handled(&child, Signal::SIGTERM);
        let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
        let status = child.wait().unwrap();
        drop(input);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(signal as i32), "{status}");
        assert_eq!(names(), Vec::<std::ffi::OsString>::new(), "{signal}");
    }
}

/// What a capture makes the program do wrong must not reach other files (`src/sandbox.rs` has what it may do).
#[cfg(target_os = "linux")]
#[test]
fn an_analysis_can_gain_no_privileges_while_it_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let child = hsanalyze([&path]).command().spawn().unwrap();
    // It is open on this side once the program has opened it.
    let mut pipe = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    pipe.write_all(&fs::read(capture("refused-server")).unwrap()).unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Ctrl-C, or a SIGTERM from a supervisor, ends all of `tcpdump -w - | hsanalyze -`: the report is of what arrived.
#[test]
fn the_first_signal_to_a_pipeline_ends_the_reading_and_not_the_report() {
    use nix::sys::signal::{Signal, kill};
    use std::io::Write;
    let (int, term) = (Signal::SIGINT, Signal::SIGTERM);
    for (signal, again, name) in [
        (int, false, "-"),
        (int, true, "-"),
        (int, false, "/dev/stdin"),
        (term, false, "-"),
        (term, true, "-"),
    ] {
        let mut child = hsanalyze([name]).command().spawn().unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
        let mut input = child.stdin.take().unwrap();
        input.write_all(&fs::read(capture("refused-server")).unwrap()).unwrap();
        wait_until_handled(&child, signal);
        // A pipe with a name is open right after that.
        std::thread::sleep(Duration::from_millis(500));
        kill(pid, signal).unwrap();
        if again {
            std::thread::sleep(Duration::from_millis(200));
            kill(pid, signal).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
        drop(input);
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.success(), !again, "{}", output.status);
        assert_eq!(text.contains("PORT CLOSED"), !again, "{text}");
    }
}

/// Whoever writes has a buffer, and empties it when it ends.
#[test]
fn bytes_that_a_pipe_still_held_at_an_interrupt_are_analysed() {
    use nix::sys::signal::{Signal, kill};
    use std::io::Write;
    let mut child = hsanalyze(["-"]).command().spawn().unwrap();
    wait_until_handled(&child, Signal::SIGINT);
    kill(nix::unistd::Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&fs::read(capture("refused-server")).unwrap()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("PORT CLOSED"));
}

#[test]
fn a_pipe_that_ends_within_a_record_is_damaged_unless_it_was_interrupted() {
    use nix::sys::signal::{Signal, kill};
    use std::io::Write;
    let whole = fs::read(capture("refused-server")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&whole).unwrap();
    let compressed = encoder.finish().unwrap();
    for (bytes, interrupted) in [(&whole, false), (&whole, true), (&compressed, false), (&compressed, true)] {
        let mut child = hsanalyze(["-"]).command().spawn().unwrap();
        wait_until_handled(&child, Signal::SIGINT);
        let mut input = child.stdin.take().unwrap();
        input.write_all(&bytes[..bytes.len() - 5]).unwrap();
        if interrupted {
            kill(nix::unistd::Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        }
        drop(input);
        let output = child.wait_with_output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(if interrupted { 0 } else { 2 }), "{shown}");
        assert_eq!(shown.contains("damaged"), !interrupted, "{shown}");
    }
}

#[test]
fn a_named_pipe_without_a_writer_is_left_at_once() {
    use nix::sys::signal::{Signal, kill};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let mut child = hsanalyze([&path]).command().spawn().unwrap();
    wait_until_handled(&child, Signal::SIGINT);
    kill(nix::unistd::Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2), "{status}");
}

/// They are looked up in files, which an analysis may read that has a filter.
#[test]
fn a_filter_may_name_hosts_and_services() {
    let path = capture("refused-server");
    for filter in ["tcp port http or tcp", "host localhost or tcp"] {
        let ran = hsanalyze([Path::new("-f"), Path::new(filter), &path]).succeed();
        assert!(ran.text().contains("12 attempts"), "{filter}: {ran}");
    }
}

#[test]
fn a_filtered_capture_ends_when_the_whole_one_does() {
    let mut all = packets(&capture("overflow_syn_dropped-client"));
    let last = all.last().unwrap().at;
    let other = packets(&capture("completed_echo-client")).pop().unwrap();
    all.push(RawPacket { at: last.plus(Span::from_secs(130)), ..other });
    let written = tempfile::NamedTempFile::new().unwrap();
    fs::write(written.path(), capture_of(&all)).unwrap();
    let connects = |filter: &[&str]| {
        let path = written.path().to_str().unwrap();
        let ran = hsanalyze(["--format=json", "--all", path].iter().chain(filter)).succeed().json();
        let attempts = list(&ran, "attempts").iter();
        attempts.map(|attempt| attempt["connect"].clone()).collect::<Vec<_>>()
    };
    let whole = connects(&[]);
    assert!(whole.iter().any(|connect| connect["errno"] == "ETIMEDOUT"), "{whole:?}");
    let port =
        list(&report([capture("overflow_syn_dropped-client")]), "attempts")[0]["server_port"].to_string();
    assert_eq!(connects(&["-f", &format!("port {port}")]), whole);
}

#[test]
fn a_filter_that_nothing_passes_is_not_an_empty_capture() {
    let path = capture("refused-server");
    let ran = hsanalyze([Path::new("-f"), Path::new("port 4"), &path]).succeed();
    assert!(ran.text().contains("packets passes the filter"), "{ran}");
}

#[test]
fn fail_on_sets_the_exit_status_and_nothing_else() {
    let path = capture("overflow_reset-server");
    let path = path.to_str().unwrap();
    let plain = hsanalyze([path]).succeed();
    let matched = hsanalyze(["--fail-on", "refused,reset-after-ack", path]).exit(1);
    assert_eq!(plain.text(), matched.text());
    let unmatched = hsanalyze(["--fail-on", "refused,unanswered", path]).exit(0);
    assert_eq!(plain.text(), unmatched.text());
}

#[test]
fn late_means_a_late_connect_as_well_as_a_late_answer() {
    let field = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/field").join(name);
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    for (capture, late) in [("late-burst.pcap", "63"), ("congested-path.pcap", "1")] {
        let ran = hsanalyze(["--fail-on", "late", &path(&field(capture))]).exit(1);
        let text = ran.text();
        let heading = text.lines().position(|line| line.starts_with("SERVER")).unwrap();
        let columns: Vec<&str> = text.lines().nth(heading + 1).unwrap().split_whitespace().collect();
        assert_eq!(columns[3], late, "{ran}");
    }
    hsanalyze(["--fail-on", "late", &path(&capture("completed_echo-server"))]).exit(0);
    // Its handshake completed, and then its data was lost.
    for word in ["problem", "problem:likely", "path-mtu:likely"] {
        let ran = hsanalyze(["--fail-on", word, &path(&field("mtu-sacked.pcap"))]).exit(1);
        assert!(ran.text().contains("1 of 1 attempt went wrong"), "{ran}");
    }
    hsanalyze(["--fail-on", "late:likely", &path(&field("late-burst.pcap"))]).exit(0);
}

/// Damage outweighs a match: the match may be the damage's doing.
#[test]
fn damage_is_status_2_even_where_fail_on_matches() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = fs::read(capture("refused-server")).unwrap();
    let cut = file(&dir, "cut.pcap", &bytes[..bytes.len() - 1]);
    hsanalyze([Path::new("--fail-on"), Path::new("refused"), &cut]).exit(2);
}

/// The reader is gone before the first byte is written: no message, no panic, at once.
#[test]
fn a_closed_pipe_ends_it_quietly() {
    let bytes = fs::read(capture("overflow_mixed-server")).unwrap();
    for format in ["text", "json", "ndjson", "csv", "markdown"] {
        let mut child = hsanalyze(["--format", format, "--all", "-"]).command().spawn().unwrap();
        drop(child.stdout.take());
        // Its input comes after its reader has gone, so that the order is certain.
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(stderr, "", "--format {format} into a closed pipe");
        #[cfg(unix)]
        let by_pipe = std::os::unix::process::ExitStatusExt::signal(&status) == Some(13);
        #[cfg(not(unix))]
        let by_pipe = false;
        assert!(status.success() || by_pipe, "--format {format} into a closed pipe: {status}");
    }
}

/// `tcpdump -w - | hsanalyze --format ndjson -`: an attempt comes out once it is settled, not at the end.
#[test]
fn ndjson_streams_while_the_input_is_open() {
    let bytes = fs::read(capture("completed_echo-server")).unwrap();
    let mut child = hsanalyze(["--format", "ndjson", "-"]).command().spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&bytes).unwrap();
    stdin.flush().unwrap();
    let (send, receive) = std::sync::mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        stdout.lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
    });
    let asked = Instant::now();
    let line = receive.recv_timeout(Duration::from_secs(10));
    drop(stdin);
    let status = child.wait().unwrap();
    reader.join().unwrap();
    let line = line.unwrap_or_else(|e| panic!("no line after {:?}: {e}", asked.elapsed()));
    assert!(line.contains("\"type\":\"attempt\""), "{line}");
    assert!(status.success(), "{status}");
}
