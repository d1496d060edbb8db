//! The program in a real terminal: tmux, whose panes can be read.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::live::run::PROGRAM;
use crate::namespace::wait_for;

/// The program on a terminal of its own, in the namespace of the calling thread. Ended when dropped.
pub(crate) struct Terminal {
    directory: tempfile::TempDir,
}

impl Terminal {
    /// A terminal of this size, in which the program runs with these arguments. Its end is told with its exit status, and
    /// with the modes that it left the terminal in.
    pub(crate) fn start(width: u16, height: u16, arguments: &str) -> Self {
        let terminal = Self { directory: tempfile::tempdir().unwrap() };
        let script = format!(
            "{PROGRAM} {arguments}; echo \"status $?\"; stty -a | tr ' ' '\\n' | grep -E '^-?(icanon|echo);?$'; \
             sleep 1000"
        );
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, &script]);
        terminal
    }

    /// Runs tmux, with a server of this terminal's own.
    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.directory.path().join("tmux")).args(arguments);
        command.env_remove("TMUX").env("TZ", "UTC").env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR").env_remove("SUDO_UID").env_remove("SUDO_GID");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Its visible lines.
    pub(crate) fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// What is on it and was scrolled off it.
    fn history(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-S", "-"])
    }

    pub(crate) fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    pub(crate) fn resize(&self, width: u16, height: u16) {
        self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    #[track_caller]
    pub(crate) fn wait(&self, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(40);
        while !self.text().contains(what) {
            assert!(Instant::now() < deadline, "not within 40 s: {what}\n{}", self.text());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The process of the program.
    pub(crate) fn program(&self) -> Pid {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        Pid::from_raw(children.split_whitespace().next().unwrap().parse().unwrap())
    }

    /// Waits for the program's end, and demands that the terminal is as it was.
    #[track_caller]
    pub(crate) fn assert_left_in_order(&self, report: &str) {
        self.wait("status 0");
        wait_for("the terminal's modes", || self.text().contains("echo"));
        let text = self.history();
        assert!(text.contains("\nicanon\necho\n"), "{text}");
        assert!(text.contains(report), "{text}");
        assert_eq!(self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]).trim(), "0 1");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // With the terminal, whatever runs in it ends.
        self.tmux(&["kill-server"]);
    }
}
