//! The program while it captures, and what it has said so far.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::namespace::wait_up_to;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hsanalyze");

/// The program under test, with what its environment could change fixed.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("NO_COLOR", "1").env("TZ", "UTC").env_remove("SUDO_UID").env_remove("SUDO_GID");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Lines that come from a pipe, each with when it came.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(Instant, String)>>>);

impl Lines {
    fn read(pipe: impl Read + Send + 'static) -> (Self, JoinHandle<()>) {
        let lines = Self::default();
        let into = lines.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                into.0.lock().unwrap().push((Instant::now(), line.unwrap()));
            }
        });
        (lines, reader)
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().iter().map(|(_, line)| format!("{line}\n")).collect()
    }
}

/// A running capture. Killed when dropped, so that a failed test leaves nothing behind.
pub(crate) struct Capture {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    readers: Vec<JoinHandle<()>>,
}

impl Capture {
    /// Starts the program with these arguments, and waits until it captures.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut program = command(PROGRAM);
        program.args(arguments);
        Self::begin(program)
    }

    /// As [`Self::start`], with any command that becomes the program.
    pub(crate) fn begin(command: Command) -> Self {
        Self::begin_with(command, "capturing on")
    }

    /// The same, until it says on standard error that it is ready.
    pub(crate) fn begin_with(command: Command, ready: &str) -> Self {
        let capture = Self::spawn(command);
        // On a busy machine the BPF program and the owners of all sockets take their time.
        wait_up_to(Duration::from_secs(20), ready, || capture.stderr.text().contains(ready));
        capture
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (stdout, out) = Lines::read(child.stdout.take().unwrap());
        let (stderr, err) = Lines::read(child.stderr.take().unwrap());
        Self { child, stdout, stderr, readers: vec![out, err] }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The lines of ndjson by now, with when they came.
    pub(crate) fn objects(&self) -> Vec<(Instant, Value)> {
        let lines = self.stdout.0.lock().unwrap();
        lines.iter().map(|(at, line)| (*at, serde_json::from_str(line).unwrap())).collect()
    }

    /// Waits for its end, and demands this exit status.
    #[track_caller]
    pub(crate) fn ends(mut self, code: i32) -> Ended {
        let status = self.child.wait().unwrap();
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        let ended = Ended { status, stdout: self.stdout(), stderr: self.stderr() };
        assert_eq!(status.code(), Some(code), "{ended}");
        assert!(!ended.stderr.contains("panicked"), "{ended}");
        ended
    }

    /// Waits for its end; the exit status.
    pub(crate) fn ends_somehow(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Ends it by SIGTERM, with status 0.
    #[track_caller]
    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.ends(0)
    }
}

impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stdout:\n{}stderr:\n{}", self.stdout(), self.stderr())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // It has usually ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A capture that ended.
pub(crate) struct Ended {
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Standard output as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// The ndjson objects of this type.
    #[track_caller]
    pub(crate) fn objects(&self, kind: &str) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}\n{self}"));
        self.stdout.lines().map(parse).filter(|object: &Value| object["type"] == kind).collect()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nstdout:\n{}stderr:\n{}", self.status, self.stdout, self.stderr)
    }
}

/// Runs the program to its end.
pub(crate) fn run(mut command: Command, arguments: &[&str]) -> Ended {
    command.args(arguments);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs the program to its end, and demands that it fails.
#[track_caller]
pub(crate) fn fail(command: Command, arguments: &[&str]) -> String {
    let ended = run(command, arguments);
    assert_eq!(ended.status.code(), Some(2), "{ended}");
    assert!(ended.stdout.is_empty(), "{ended}");
    ended.stderr
}

/// The ndjson or JSON report of a file.
pub(crate) fn analysed(file: &Path) -> Value {
    run(command(PROGRAM), &["--format", "json", file.to_str().unwrap()]).json()
}
