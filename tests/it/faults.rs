//! Faults from outside: cut and changing files, hostile lengths, full and read-only disks, signals, odd terminals.
//!
//! Always a message, the right exit status and bounded memory, and never a panic. `usage.rs` has more of pipes and limits.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use hsanalyze::capture::{CaptureOptions, Captures, PcapngWriter, Source, SourceStatus};
use hsanalyze::engine::packets::{PacketAccess, PacketLimits};
use hsanalyze::engine::{self, AnalysisOptions};
use hsanalyze::handshake::Attempt;
use hsanalyze::packet::{Frames, Packet};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bundled;
use crate::util::{Ran, capture, hsanalyze, list, program, report};

/// A capture in every form: classic, pcapng, gzip and zstd.
fn forms(path: &Path) -> [(&'static str, Vec<u8>); 4] {
    let pcap = fs::read(path).unwrap();
    let mut pcapng = Vec::new();
    let mut writer = PcapngWriter::new(&mut pcapng, None).unwrap();
    for (number, packet) in (1..).zip(bundled::packets(path)) {
        if number == 1 {
            writer.interface("eth0", packet.link).unwrap();
        }
        writer.packet(0, &packet.frame(number), None).unwrap();
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&pcap).unwrap();
    let zstd = zstd::encode_all(pcap.as_slice(), 3).unwrap();
    [("pcap", pcap), ("pcapng", pcapng), ("gzip", gzip.finish().unwrap()), ("zstd", zstd)]
}

/// Reads on to the end; the number of frames.
fn rest(captures: &mut Captures) -> usize {
    let mut frames = 0;
    while captures.read(10, &mut |group: Frames<'_>| frames += group.len()) != SourceStatus::End {}
    frames
}

/// What came of a file: nothing but a message, or its packets and perhaps a message of damage. With `attempts`, what is
/// read is analysed, too.
fn read_file(path: &Path, attempts: bool) -> Result<(u64, Option<String>), String> {
    let (mut captures, errors) = Captures::open(&[path], &CaptureOptions::default()).unwrap();
    if let Some(error) = errors.first() {
        return Err(error.to_string());
    }
    if !attempts {
        let packets = rest(&mut captures) as u64;
        return Ok((packets, captures.captures()[0].damaged.clone()));
    }
    let mut attempts: Vec<Attempt> = Vec::new();
    let options = AnalysisOptions::default().with_threads(1);
    let (summary, _) = engine::analyse(&mut captures, &options, &mut attempts).unwrap();
    assert_eq!(summary.verdicts.total(), attempts.len() as u64);
    Ok((summary.packets.total, summary.captures[0].damaged.clone()))
}

/// The offsets at which a file may end without damage: behind its header, and behind each record or block.
fn record_ends(form: &str, bytes: &[u8]) -> Vec<usize> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut end, mut ends) = (if form == "pcap" { 24 } else { word(4) }, Vec::new());
    while end < bytes.len() {
        ends.push(end);
        end += if form == "pcap" { 16 + word(end + 8) } else { word(end + 4) };
    }
    ends
}

/// Small captures whose attempts end in different ways.
fn three() -> [PathBuf; 3] {
    let field = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/field").join(name);
    [capture("refused-server"), field("data-after-rst.pcap"), field("time-wait.pcap")]
}

#[test]
fn a_capture_cut_at_any_byte_is_read_to_there() {
    for path in three() {
        for (form, bytes) in forms(&path) {
            let name = format!("{} as {form}", path.display());
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &bytes).unwrap();
            let (mut fewest, whole) = match read_file(file.path(), true) {
                Ok((packets, None)) => (packets, packets),
                other => panic!("{name}: {other:?}"),
            };
            let ends = if form.starts_with("pcap") { record_ends(form, &bytes) } else { Vec::new() };
            for cut in (0..bytes.len()).rev() {
                file.as_file().set_len(cut as u64).unwrap();
                match read_file(file.path(), cut % 16 == 0) {
                    Ok((packets, damage)) => {
                        assert!(packets <= fewest, "{name}: more packets when cut at {cut}");
                        assert_eq!(damage.is_none(), ends.contains(&cut), "{name} at {cut}: {damage:?}");
                        fewest = packets;
                    }
                    Err(message) => {
                        assert!(cut < 64 || !form.starts_with("pcap"), "{name} at {cut}: {message}");
                        assert!(message.len() > file.path().as_os_str().len() + 10, "{message}");
                    }
                }
            }
            // Of a single compressed block there is all or nothing.
            assert!(whole > 3 && (fewest == 0 || ends.is_empty()), "{name}");
        }
    }
}

#[test]
fn the_program_reads_a_cut_capture_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for (form, bytes) in forms(&capture("refused-server")) {
        let path = dir.path().join(form);
        for eighths in 0..8 {
            fs::write(&path, &bytes[..bytes.len() * eighths / 8 + 1]).unwrap();
            for format in ["text", "json"] {
                let ran = hsanalyze([OsStr::new("--format"), format.as_ref(), path.as_ref()]).exit(2);
                let said = format!("{}{}", ran.text(), ran.stderr);
                assert!(said.contains(form), "{eighths}/8 of {form}: the file is named\n{ran}");
            }
        }
    }
}

/// Runs the program with little memory.
fn with_little_memory(path: &Path) -> Ran {
    let script = "ulimit -v 300000; exec \"$@\"";
    let arguments = ["-c".as_ref(), script.as_ref(), "sh".as_ref(), env!("CARGO_BIN_EXE_hsanalyze").as_ref()];
    program("sh", arguments.into_iter().chain([OsStr::new("--threads=1"), path.as_ref()])).run()
}

/// A length that a file claims, in each place that has one, takes no memory and is no reason to stop in the middle.
#[test]
fn lengths_that_cannot_be_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let [(_, pcap), (_, pcapng), ..] = forms(&capture("refused-server"));
    // The second record's captured length and length on the wire; the second packet block's, and the block's own.
    let record = record_ends("pcap", &pcap)[1];
    let block = record_ends("pcapng", &pcapng)[2];
    let places = [
        ("pcap", &pcap, record + 8, true),
        ("pcap", &pcap, record + 12, false),
        ("pcapng", &pcapng, block + 4, true),
        ("pcapng", &pcapng, block + 20, true),
        ("pcapng", &pcapng, block + 24, false),
    ];
    for (form, bytes, place, is_captured) in places {
        for length in [0, 1 << 31, u32::MAX] {
            let mut bytes = bytes.clone();
            bytes[place..place + 4].copy_from_slice(&length.to_le_bytes());
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(&bytes).unwrap();
            for (name, bytes) in [(form.to_owned(), bytes), (format!("{form}.gz"), gzip.finish().unwrap())] {
                let path = dir.path().join(&name);
                fs::write(&path, bytes).unwrap();
                let ran = with_little_memory(&path);
                let at = format!("{name}: {length} at {place}\n{ran}");
                assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("allocation"), "{at}");
                let is_damage = is_captured && length > 0 || place == block + 4;
                // A record of no bytes is one; what was in it is read as the next one's header.
                let expected: &[i32] = match (is_damage, is_captured) {
                    (true, _) => &[2],
                    (false, true) => &[0, 2],
                    (false, false) => &[0],
                };
                assert!(ran.status.code().is_some_and(|code| expected.contains(&code)), "{at}");
                if is_damage {
                    assert!(ran.text().contains("damaged") && ran.text().contains("length"), "{at}");
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_stays_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    fs::copy(capture("overflow_mixed-server"), &path).unwrap();
    let whole = bundled::packets(&path).len();
    let (mut captures, _) = Captures::open(&[&path], &CaptureOptions::default()).unwrap();
    assert_eq!(captures.read(10, &mut |_| {}), SourceStatus::More);
    let next = dir.path().join("next.pcap");
    fs::copy(capture("refused-server"), &next).unwrap();
    fs::rename(&next, &path).unwrap();
    assert_eq!(rest(&mut captures), whole - 10);
    assert_eq!(captures.captures()[0].damaged, None);
}

#[test]
fn a_file_that_is_written_over_while_it_is_read_ends_at_the_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    for noise in [0, 0x5a, 0xff] {
        fs::copy(capture("overflow_mixed-server"), &path).unwrap();
        let length = fs::metadata(&path).unwrap().len() as usize;
        let (mut captures, _) = Captures::open(&[&path], &CaptureOptions::default()).unwrap();
        assert_eq!(captures.read(10, &mut |_| {}), SourceStatus::More);
        // In place: the file that is mapped changes.
        File::options().write(true).open(&path).unwrap().write_all(&vec![noise; length]).unwrap();
        assert!(rest(&mut captures) < 10, "{noise:#x}");
        assert!(captures.captures()[0].damaged.is_some(), "{noise:#x}");
    }
}

/// Ladders and pages read the files a second time: what is there by then may be another file, or none.
#[test]
fn a_file_that_changes_before_it_is_read_again_gives_no_foreign_packets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    let length = fs::metadata(capture("overflow_mixed-server")).unwrap().len();
    let shorten = |path: &Path| File::options().write(true).open(path).unwrap().set_len(length / 3).unwrap();
    let other = |path: &Path| _ = fs::copy(capture("refused-server"), path).unwrap();
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let foreign = |path: &Path| fs::write(path, "no capture").unwrap();
    let changes: [&dyn Fn(&Path); 4] = [&shorten, &other, &remove, &foreign];
    for change in changes {
        fs::copy(capture("overflow_mixed-server"), &path).unwrap();
        let (mut captures, _) = Captures::open(&[&path], &CaptureOptions::default()).unwrap();
        let mut attempts: Vec<Attempt> = Vec::new();
        engine::analyse(&mut captures, &AnalysisOptions::default(), &mut attempts).unwrap();
        change(&path);
        let access = PacketAccess::Files { paths: vec![path.clone()], filter: None, points: Vec::new() };
        let listed: Vec<&Attempt> = attempts.iter().collect();
        let store = access.collect(&listed, &PacketLimits::DIAGRAMS).unwrap();
        for attempt in listed {
            let packets = store.of(attempt).map_or(&[][..], |packets| packets.packets.as_slice());
            for packet in packets.iter().filter_map(|packet| packet.decode()) {
                let Packet::Segment(segment) = packet else { continue };
                let ends =
                    [segment.flow.source(segment.direction), segment.flow.destination(segment.direction)];
                assert!(ends.contains(&attempt.client), "{ends:?} in the diagram of {}", attempt.client);
            }
        }
    }
}

/// Runs a script of the shell where a small disk is mounted, at `$disk`, that nobody else sees; needs root.
fn on_small_disk(script: &str) -> Option<Ran> {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("HSANALYZE_REQUIRE_ROOT").is_none(), "only root may mount a small disk");
        return None;
    }
    let disk = tempfile::tempdir().unwrap();
    let mount =
        format!("disk='{}'; mount -t tmpfs -o size=64k small \"$disk\"; {script}", disk.path().display());
    let arguments = ["-m", "sh", "-c", &mount, "sh", env!("CARGO_BIN_EXE_hsanalyze")];
    Some(program("unshare", arguments).run())
}

#[test]
fn a_full_disk_is_named_and_holds_no_part_of_a_report() {
    let large = capture("overflow_mixed-server");
    for option in ["--format=json -o \"$disk/out\"", "--all --write \"$disk/out\"", "--report \"$disk/out\""]
    {
        let script = format!(
            "head -c 60000 /dev/zero >\"$disk/other\"; echo old >\"$disk/out\"; \"$1\" {option} '{}'; echo \"status $?\"; \
             ls -A \"$disk\"; cat \"$disk/out\"",
            large.display()
        );
        let Some(ran) = on_small_disk(&script) else { return };
        assert!(ran.stderr.contains("/out: No space left on device"), "{option}: {ran}");
        // The report of `--write` and `--report` is on standard output before.
        assert!(ran.text().ends_with("status 2\nother\nout\nold\n"), "{option}: {ran}");
    }
}

#[test]
fn a_read_only_disk_is_named() {
    let good = capture("refused-server");
    for option in ["-o", "--write", "--report"] {
        let script = format!(
            "mount -o remount,ro \"$disk\"; \"$1\" {option} \"$disk/out\" '{}'; echo \"status $?\"",
            good.display()
        );
        let Some(ran) = on_small_disk(&script) else { return };
        assert!(ran.stderr.contains("/out: read-only filesystem"), "{option}: {ran}");
        assert!(ran.text().ends_with("status 2\n"), "{option}: {ran}");
    }
}

/// Whenever a signal comes: the report is whole or not there, and nothing else is left.
#[test]
fn a_signal_at_any_moment_leaves_a_whole_report_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("out.json");
    let captures =
        [capture("overflow_mixed-server"), capture("overflow_reset-server"), capture("tfo-server")];
    let signals = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGXCPU,
        Signal::SIGPIPE,
        Signal::SIGKILL,
    ];
    let all = list(&report(&captures), "attempts").len();
    let (mut whole, mut none) = (0, 0);
    for signal in signals {
        for eighths in 0..8 {
            let mut command = Command::new(env!("CARGO_BIN_EXE_hsanalyze"));
            command.args(["--format", "json", "-o"]).arg(&to).args(&captures);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            thread::sleep(Duration::from_micros(eighths * 2_500));
            // It may have ended.
            let _ = kill(Pid::from_raw(child.id().try_into().unwrap()), signal);
            let status = child.wait().unwrap();
            let ended = status.signal().is_none_or(|by| by == signal as i32);
            assert!(ended && status.code().is_none_or(|code| code == 0 || code == 130), "{signal}: {status}");
            let names: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            match fs::read(&to) {
                Ok(bytes) => {
                    whole += 1;
                    assert_eq!(names, ["out.json"], "{signal}");
                    let report: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                    assert_eq!(list(&report, "attempts").len(), all, "{signal}");
                    fs::remove_file(&to).unwrap();
                }
                Err(_) => {
                    none += 1;
                    assert!(names.is_empty(), "{signal}: {names:?}");
                }
            }
        }
    }
    assert!(whole > 0 && none > 0, "{whole} whole and {none} none");
}

/// Neither locales that do not exist nor terminals of another time change what is found, or how it ends.
#[test]
fn no_locale_and_no_terminal_changes_the_results() {
    let large = capture("overflow_mixed-server");
    let run = |locale: Option<&OsStr>, terminal: Option<&str>| {
        let mut command = hsanalyze([Path::new("--ladder"), Path::new("-v"), &large]).command();
        command.env_remove("LC_ALL").env_remove("LANG").env_remove("TERM");
        command.envs(locale.map(|locale| ("LC_ALL", locale)));
        command.envs(terminal.map(|terminal| ("TERM", terminal)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{locale:?} {terminal:?}: {}", output.status);
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = run(None, None);
    let latin = OsStr::from_bytes(b"de_DE\xff.ISO-8859-1");
    for locale in ["C".as_ref(), "POSIX".as_ref(), "xx_YY.nothing".as_ref(), "".as_ref(), latin] {
        for terminal in [None, Some("dumb"), Some("vt52"), Some("no such terminal")] {
            assert!(run(Some(locale), terminal) == plain, "{locale:?} {terminal:?}");
        }
    }
    // The unit of microseconds is all that is not ASCII.
    let odd = plain.chars().find(|&character| !character.is_ascii() && character != 'µ');
    assert_eq!(odd, None, "{plain}");
    // The same words with other lines.
    let words = |text: &str| text.matches("SYN-ACK").count();
    assert_eq!(words(&run(Some("en_US.UTF-8".as_ref()), None)), words(&plain));
}

#[test]
fn a_name_that_is_no_text_can_be_analysed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(OsStr::from_bytes(b"caf\xe9\x1b.pcap"));
    fs::copy(capture("refused-server"), &path).unwrap();
    for format in ["text", "json", "ndjson", "csv"] {
        let ran = hsanalyze([OsStr::new("--format"), format.as_ref(), path.as_ref()]).succeed();
        assert!(!ran.text().contains('\u{1b}'), "{ran}");
    }
}
