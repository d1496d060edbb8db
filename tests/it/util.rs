//! Running programs and finding fixtures. A failure shows all there is to know of the run that failed.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

/// A command to be run to its end.
pub(crate) struct Run {
    program: OsString,
    args: Vec<OsString>,
    dir: PathBuf,
    stdin: Vec<u8>,
}

/// End of a command. Its `Display` is what a failing test prints.
pub(crate) struct Ran {
    command: String,
    dir: PathBuf,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// The program under test.
pub(crate) fn hsanalyze<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Run {
    program(env!("CARGO_BIN_EXE_hsanalyze"), args)
}

/// Another program.
pub(crate) fn program<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Run {
    Run {
        program: program.into(),
        args: args.into_iter().map(|a| a.as_ref().to_owned()).collect(),
        dir: env!("CARGO_MANIFEST_DIR").into(),
        stdin: Vec::new(),
    }
}

impl Run {
    /// The bytes it reads from standard input; none by default.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The command with pipes at every end, free of what the caller's environment would change.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .current_dir(&self.dir)
            .env("NO_COLOR", "1")
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end, whatever that is.
    pub(crate) fn run(self) -> Ran {
        let name = self.to_string();
        let mut child = self.command().spawn().unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        let mut stdin = child.stdin.take().unwrap();
        let bytes = self.stdin;
        // Fed from a thread of its own, since the program may write before it has read everything. It may
        // also end before it has: a closed pipe is its right.
        let feeder = thread::spawn(move || match stdin.write_all(&bytes) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => panic!("writing standard input: {e}"),
            _ => {}
        });
        let output = child.wait_with_output().unwrap_or_else(|e| panic!("waiting for {name}: {e}"));
        feeder.join().unwrap();
        Ran {
            command: name,
            dir: self.dir,
            status: output.status,
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs it and demands exit status 0.
    #[track_caller]
    pub(crate) fn succeed(self) -> Ran {
        self.exit(0)
    }

    /// Runs it and demands this exit status, and that it did not panic.
    #[track_caller]
    pub(crate) fn exit(self, code: i32) -> Ran {
        let ran = self.run();
        assert_eq!(ran.status.code(), Some(code), "wrong exit status\n{ran}");
        assert!(!ran.stderr.contains("panicked"), "it panicked\n{ran}");
        ran
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program.to_string_lossy())?;
        self.args.iter().try_for_each(|a| write!(f, " {}", a.to_string_lossy()))
    }
}

impl Ran {
    /// Standard output as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap_or_else(|e| panic!("stdout is not UTF-8: {e}\n{self}"))
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("stdout is not JSON: {e}\n{self}"))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "command: {}", self.command)?;
        writeln!(f, "in: {}", self.dir.display())?;
        writeln!(f, "ended: {}", self.status)?;
        writeln!(
            f,
            "stdout ({} bytes):\n{}",
            self.stdout.len(),
            head(&String::from_utf8_lossy(&self.stdout))
        )?;
        write!(f, "stderr:\n{}", head(&self.stderr))
    }
}

/// The first few thousand characters; a report of megabytes helps nobody.
fn head(text: &str) -> String {
    const SHOWN: usize = 8_000;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} … ({} bytes more)", &text[..end], text.len() - end),
        None => text.to_owned(),
    }
}

/// The JSON report of files, which must be whole.
#[track_caller]
pub(crate) fn report<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Value {
    let mut args: Vec<OsString> = vec!["--format".into(), "json".into()];
    args.extend(files.into_iter().map(|f| f.as_ref().into()));
    hsanalyze(args).succeed().json()
}

/// The list under a key of the report.
#[track_caller]
pub(crate) fn list<'a>(report: &'a Value, key: &str) -> &'a [Value] {
    report[key].as_array().unwrap_or_else(|| panic!("no list '{key}' in {report}"))
}

/// The text under a key.
#[track_caller]
pub(crate) fn string<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_else(|| panic!("no text '{key}' in {object}"))
}

/// The count under a JSON pointer such as `/retries/syn`.
#[track_caller]
pub(crate) fn count(object: &Value, pointer: &str) -> u64 {
    object
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no count at '{pointer}' in {object}"))
}

/// Where the bundled captures are.
pub(crate) fn captures_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures")
}

/// A bundled capture by its name without `.pcap`.
#[track_caller]
pub(crate) fn capture(name: &str) -> PathBuf {
    let path = captures_dir().join(format!("{name}.pcap"));
    assert!(path.is_file(), "{} is missing", path.display());
    path
}

/// Every bundled capture, in order of name.
pub(crate) fn captures() -> Vec<PathBuf> {
    let entries = fs::read_dir(captures_dir()).unwrap();
    let mut paths: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "pcap"));
    paths.sort();
    assert!(!paths.is_empty(), "no captures in {}", captures_dir().display());
    paths
}

/// The purpose of `scripts/setup` that installs a program.
fn purpose_of(tool: &str) -> &'static str {
    match tool {
        "nginx" | "redis-server" | "haproxy" => "servers",
        "chromium" => "browser",
        _ => "test",
    }
}

/// True if the named programs are there. Where one is not, says so past the test harness's capture of
/// output, for the caller to return; where `CI` is set, fails: CI installs everything.
#[must_use]
pub(crate) fn require_tools(tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = |tool: &&&str| {
        let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        !std::env::split_paths(&path).chain(sbin).any(|dir| dir.join(tool).is_file())
    };
    let Some(tool) = tools.iter().find(missing) else { return true };
    skip(tool, purpose_of(tool))
}

/// The same for a file that `scripts/setup browser` puts in place.
#[must_use]
pub(crate) fn require_file(path: &Path, name: &str) -> bool {
    path.is_file() || skip(name, "browser")
}

/// Says that the test is skipped, since something is not installed.
fn skip(what: &str, purpose: &str) -> bool {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let reason = format!("SKIPPED: {test}: {what} is not installed; 'scripts/setup {purpose}' installs it");
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    // Not eprintln!, which the harness captures and shows of failing tests only.
    let mut stderr = io::stderr();
    writeln!(stderr, "{reason}").unwrap();
    false
}

/// True if the lab can run here. Otherwise prints SKIPPED; CI sets HSANALYZE_REQUIRE_ROOT, under which
/// that is a failure.
#[cfg(all(target_os = "linux", feature = "lab"))]
pub(crate) fn lab_is_possible(test: &str) -> bool {
    let tried = thread::spawn(|| hsanalyze::lab::Namespace::enter().map(|_| ())).join().unwrap();
    let device = fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    let missing = match (tried, device) {
        (Ok(()), Ok(_)) => return true,
        (Err(error), _) => error.to_string(),
        (_, Err(error)) => format!("/dev/net/tun: {error}"),
    };
    assert!(std::env::var_os("HSANALYZE_REQUIRE_ROOT").is_none(), "{missing}");
    // Not by eprintln!, which the test harness keeps to itself when a test passes.
    let _ = writeln!(io::stderr(), "SKIPPED: {test}: {missing}");
    false
}

/// A copy of the program that others may run, wherever the build directory is.
pub(crate) fn public_copy() -> (tempfile::TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let public = fs::Permissions::from_mode(0o755);
    let directory = tempfile::Builder::new().permissions(public).tempdir().unwrap();
    let program = directory.path().join("hsanalyze");
    fs::copy(env!("CARGO_BIN_EXE_hsanalyze"), &program).unwrap();
    (directory, program)
}

/// Waits until a process handles a signal; where no file tells, for as long as that takes on an idle machine.
pub(crate) fn wait_until_handled(process: &Child, signal: Signal) {
    let handles = || {
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
        Some(mask >> (signal as i32 - 1) & 1 != 0)
    };
    let asked = Instant::now();
    loop {
        match handles() {
            Some(true) => return,
            Some(false) => thread::sleep(Duration::from_millis(5)),
            None => return thread::sleep(Duration::from_millis(500)),
        }
        assert!(asked.elapsed() < Duration::from_secs(10), "no handler for {signal} within 10 s");
    }
}
