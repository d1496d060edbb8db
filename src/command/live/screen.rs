//! A live run as a screen (`--tui`): the terminal, its keys, and the figures that go into the screen's model.
//!
//! Owns the terminal from [`ScreenDisplay::open`] to [`LiveDisplay::close`]: it is given back at every end of the run, also by a
//! panic. Does not own what the screen shows (`report/screen`).

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use super::display::{LiveDisplay, LiveNow};
use super::kernel::QueueNow;
use crate::clock;
use crate::engine::packets::SharedRecorder;
use crate::handshake::Attempt;
use crate::listener::{AttemptFilter, EpisodeReport, VerdictSet};
use crate::packet::Timestamp;
use crate::printable::printable;
use crate::report::ReportOptions;
use crate::report::screen::{self, ListenerNow, ScreenModel, ScreenNow, ScreenRequest, ScreenView};

/// Interval at which keys are looked at: short enough to seem immediate, and long against the work of a busy capture.
const KEYS: Duration = Duration::from_millis(30);

/// Most listeners of this machine whose figures are taken each second: the fullest.
const MAX_LISTENERS: usize = 500;

/// Most messages that are printed again once the screen is left: the first.
const MAX_NOTICES: usize = 20;

/// Sees to it that there is a terminal for the screen.
///
/// # Errors
///
/// Standard input or standard output is none.
pub(super) fn require_terminal() -> anyhow::Result<()> {
    let (input, output) = (io::stdin().is_terminal(), io::stdout().is_terminal());
    let missing = match (input, output) {
        (true, true) => return Ok(()),
        (true, false) => "standard output is none",
        (false, true) => "standard input is none",
        (false, false) => "standard input and output are none",
    };
    anyhow::bail!("--tui needs a terminal, and {missing}; without --tui the same is printed as lines")
}

/// True if the terminal is gone, as after a lost connection. crossterm would read its end again and again.
fn is_hung_up() -> io::Result<bool> {
    let input = io::stdin();
    let mut polled = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO)?;
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    Ok(polled[0].revents().is_some_and(|events| events.intersects(gone)))
}

/// Shows the run on the terminal.
pub(super) struct ScreenDisplay {
    /// `None` once it is closed.
    terminal: Option<DefaultTerminal>,
    model: ScreenModel,
    view: ScreenView,
    options: ReportOptions,
    /// Attempts that come into the feed.
    shown: AttemptFilter,
    recorder: Option<SharedRecorder>,
    /// Messages about the run itself, to be printed once the screen is left.
    notices: Vec<String>,
    begun: Instant,
    looked: Instant,
    /// The terminal is gone.
    lost: bool,
}

impl ScreenDisplay {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// The terminal's.
    pub(super) fn open(
        options: &ReportOptions,
        input: &str,
        recorder: Option<SharedRecorder>,
    ) -> io::Result<Self> {
        // Also has a panic give the terminal back before its message is printed.
        let terminal = ratatui::try_init()?;
        let now = Instant::now();
        let mut screen = Self {
            terminal: Some(terminal),
            model: ScreenModel::new(input),
            view: ScreenView::default(),
            options: options.clone(),
            shown: options.listed.or_verdicts(VerdictSet::problems()),
            recorder,
            notices: Vec::new(),
            begun: now,
            looked: now,
            lost: false,
        };
        screen.draw();
        Ok(screen)
    }

    /// Draws the screen anew. A terminal that is gone ends the run.
    fn draw(&mut self) {
        let Self { terminal: Some(terminal), model, view, options, .. } = self else { return };
        self.lost |= terminal.draw(|frame| screen::draw(frame, model, view, options)).is_err();
    }

    /// Handles the keys that were pressed. True if the end is asked for.
    fn handle_events(&mut self) -> io::Result<bool> {
        let mut any = false;
        while !is_hung_up()? && event::poll(Duration::ZERO)? {
            any = true;
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    match self.view.key(key, &self.model) {
                        Some(ScreenRequest::End) => return Ok(true),
                        Some(ScreenRequest::Ladder(ordinal)) => self.show_ladder(ordinal),
                        None => {}
                    }
                }
                _ => {}
            }
        }
        if any {
            self.draw();
        }
        is_hung_up()
    }

    /// Shows the ladder of an attempt, with the packets that there are by now.
    fn show_ladder(&mut self, ordinal: u64) {
        let shown = self.view.shown(&self.model).attempt_at(ordinal);
        let Some(attempt) = self.model.attempt_at(ordinal).or(shown) else { return };
        let store = self.recorder.as_ref().map(|recorder| recorder.peek(attempt)).unwrap_or_default();
        let width = self.terminal.as_ref().and_then(|terminal| terminal.size().ok());
        let width = width.map_or(ReportOptions::WIDTH, |size| size.width.into());
        // A narrower screen is cut.
        let options = ReportOptions { width: width.clamp(40, 120), ..self.options.clone() };
        let lines = screen::ladder_lines(&options, attempt, &store);
        self.view.show_text("MESSAGES", lines, Some(ordinal));
    }

    /// The figures of all listeners, and of servers on other machines.
    fn listeners(now: &LiveNow<'_>, feed: &ScreenModel) -> Vec<ListenerNow> {
        let queues = now.kernel.queues(MAX_LISTENERS);
        let mut rows: Vec<ListenerNow> = queues.into_iter().map(of_this_machine).collect();
        for (server, tally) in now.listeners.tallies() {
            let problems = tally.problems() + feed.unsettled_to(server);
            let listener = now.kernel.listener_of(server);
            let key = listener.map(|(netns, local)| (Some(netns), local.into()));
            if let Some(row) = rows.iter_mut().find(|row| Some(row.key) == key) {
                row.problems += problems;
                continue;
            }
            let (owner, waiting, limit, drops) = (None, None, None, None);
            rows.push(ListenerNow { key: (None, server), server, owner, waiting, limit, drops, problems });
        }
        rows
    }
}

/// The figures of a listener of this machine.
fn of_this_machine(QueueNow { netns, server, stats }: QueueNow) -> ListenerNow {
    let owner = stats.owner.as_ref();
    ListenerNow {
        key: (Some(netns), stats.local.into()),
        server,
        owner: owner.map(|owner| printable(&format!("{}[{}]", owner.command, owner.pid)).into_owned()),
        waiting: Some(stats.recv_q),
        limit: stats.send_q,
        drops: stats.drops,
        problems: 0,
    }
}

impl LiveDisplay for ScreenDisplay {
    fn attempt(&mut self, attempt: &Attempt, settled: bool) -> io::Result<()> {
        if self.shown.lists(attempt) || self.model.attempt_at(attempt.ordinal).is_some() {
            self.model.attempt(attempt, settled);
        } else {
            self.model.unlisted(attempt, settled);
        }
        Ok(())
    }

    fn episodes(&mut self, reports: &[EpisodeReport], _now: Timestamp) -> io::Result<()> {
        reports.iter().for_each(|report| self.model.episode(report));
        Ok(())
    }

    fn update(&mut self, now: &LiveNow<'_>) -> io::Result<()> {
        now.episodes.open_now(now.kernel).iter().for_each(|open| self.model.episode_now(open));
        let listeners = Self::listeners(now, &self.model);
        self.model.update(ScreenNow { elapsed: self.begun.elapsed(), counts: now.counts, listeners });
        if let Some(ordinal) = self.view.open_attempt() {
            self.show_ladder(ordinal);
        }
        self.draw();
        Ok(())
    }

    fn notice(&mut self, text: &str) {
        if self.terminal.is_none() {
            return super::say(text);
        }
        self.model.notice(clock::now(), text);
        if self.notices.len() < MAX_NOTICES {
            self.notices.push(text.to_owned());
        }
    }

    fn report_so_far(&mut self, text: &[u8]) {
        self.view.show_text("REPORT SO FAR", screen::report_lines(text), None);
        self.draw();
    }

    fn wants_end(&mut self) -> io::Result<bool> {
        if self.terminal.is_none() || self.looked.elapsed() < KEYS {
            return Ok(false);
        }
        self.looked = Instant::now();
        // Without its terminal the run ends with its report, as after a signal.
        Ok(self.lost || self.handle_events().unwrap_or(true))
    }

    fn close(&mut self) {
        if self.terminal.take().is_some() {
            // A terminal that is gone needs nothing.
            let _ = ratatui::try_restore();
            self.notices.drain(..).for_each(|notice| super::say(&notice));
        }
    }
}

impl Drop for ScreenDisplay {
    fn drop(&mut self) {
        // A panic has given the terminal back before its message: once more would put the cursor back over that.
        if !thread::panicking() {
            self.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::process::{Command, Stdio};

    use nix::pty::{Winsize, openpty};
    use nix::sys::termios::{LocalFlags, tcgetattr};

    use super::*;

    /// Run by the test below, on a terminal of its own.
    #[test]
    #[ignore = "panics"]
    fn panics_while_the_screen_is_open() {
        let _screen = ScreenDisplay::open(&ReportOptions::default(), "a test", None).unwrap();
        panic!("the message");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_its_message() {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(&size, None).unwrap();
        let before = tcgetattr(&terminal.slave).unwrap();
        let slave = || Stdio::from(terminal.slave.try_clone().unwrap());
        let path = module_path!().split_once("::").unwrap().1;
        let name = format!("{path}::panics_while_the_screen_is_open");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([&name, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env("TERM", "xterm-256color")
            .env("RUST_BACKTRACE", "0")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        let reader = thread::spawn(move || {
            let (mut master, mut shown) = (File::from(terminal.master), Vec::new());
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = master.read(&mut buffer) {
                shown.extend_from_slice(&buffer[..length]);
            }
            String::from_utf8_lossy(&shown).into_owned()
        });
        assert!(!child.wait().unwrap().success());
        let after = tcgetattr(&terminal.slave).unwrap();
        // The reader's end.
        drop(terminal.slave);
        let shown = reader.join().unwrap();
        assert_eq!(after, before, "the terminal's modes");
        assert!(after.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO));
        let place = |what: &str| shown.find(what).unwrap_or_else(|| panic!("no {what:?} in {shown:?}"));
        let (enters, leaves) = (place("\u{1b}[?1049h"), place("\u{1b}[?1049l"));
        assert!(enters < leaves && leaves < place("the message"), "{shown:?}");
        assert!(shown.rfind("\u{1b}[?25h") > shown.rfind("\u{1b}[?25l"), "the cursor is hidden: {shown:?}");
    }
}
