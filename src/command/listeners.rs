//! `hsanalyze listeners`: samples the kernel's accept queues and shows them, once or until it is stopped.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

use super::{raise_descriptor_limit, wanted};
use crate::kernel::{Access, KernelError, Monitor, NetnsChoice, WatchedNetns, owners};
use crate::printable::printable;
use crate::report::queues::{NetnsQueues, Queues, QueuesFormat, QueuesOptions};
use crate::report::{ColourChoice, local_zone, wanted_by_environment};

/// Configuration of the command.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenersConfig {
    /// Refresh at this interval until SIGINT, SIGTERM or SIGHUP; `None` shows once.
    pub watch: Option<Duration>,
    /// The network namespaces to show.
    pub netns: NetnsChoice,
    /// List the connections that wait, and name the namespaces that were read.
    pub verbose: bool,
    /// The form.
    pub format: QueuesFormat,
    /// Colour of text: always, never or on a terminal.
    pub colour: ColourChoice,
}

/// The command failed.
#[derive(Debug, thiserror::Error)]
pub enum ListenersError {
    /// The kernel could not be read.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The output failed; a closed pipe is no error and does not come here.
    #[error("writing the listeners: {0}")]
    Output(#[source] io::Error),
    /// Signals could not be caught.
    #[error("catching signals: {0}")]
    Signals(#[source] io::Error),
}

/// Shows the LISTEN sockets of the chosen network namespaces on `out`.
///
/// # Errors
///
/// See [`ListenersError`].
pub fn run(config: &ListenersConfig, out: &mut impl Write) -> Result<(), ListenersError> {
    // Each namespace takes a dozen descriptors.
    raise_descriptor_limit();
    let monitor = Monitor::open(&config.netns, Access::default())?;
    if config.verbose {
        for note in monitor.notes() {
            // A closed standard error ends nothing.
            let _ = writeln!(io::stderr(), "hsanalyze: {}", printable(&note));
        }
    }
    let shown = match config.watch {
        None => show(config, &monitor, out),
        Some(interval) => return follow(config, interval, monitor, out),
    };
    end_of_output(shown)
}

/// Takes a snapshot every `interval`, and shows each, until a signal ends it.
fn follow(
    config: &ListenersConfig,
    interval: Duration,
    mut monitor: Monitor,
    out: &mut impl Write,
) -> Result<(), ListenersError> {
    let redraw = on_terminal() && config.format == QueuesFormat::Text;
    let keyboard = if redraw { Keyboard::take() } else { None };
    let events = events(keyboard.is_some()).map_err(ListenersError::Signals)?;
    let mut screen = Screen::enter(out, redraw).map_err(ListenersError::Output)?;
    let mut due = Instant::now();
    loop {
        if let Err(error) = screen.draw(|out| show(config, &monitor, out)) {
            drop(screen);
            return end_of_output(Err(error));
        }
        // A snapshot that took longer than the interval is followed by the next at once, not by a burst.
        due = (due + interval).max(Instant::now());
        loop {
            match events.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(WatchEvent::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(WatchEvent::Resized) if redraw => {
                    if let Err(error) = screen.draw(|out| show(config, &monitor, out)) {
                        drop(screen);
                        return end_of_output(Err(error));
                    }
                }
                Ok(WatchEvent::Resized) => {}
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        monitor.sample()?;
    }
}

/// Writes the latest snapshots.
fn show(config: &ListenersConfig, monitor: &Monitor, out: &mut impl Write) -> io::Result<()> {
    let namespaces: Vec<NetnsQueues<'_>> = monitor.namespaces().iter().map(queues_of).collect();
    let sockets = namespaces.iter().flat_map(|of| &of.watch.latest().sockets);
    let owners = owners(sockets.map(|socket| socket.inode));
    let queues = Queues::new(&namespaces, &owners, monitor.unreadable());
    // Composed first and written at once, so that a screen does not flicker and a pipe gets whole blocks.
    let mut text = Vec::new();
    match config.format {
        QueuesFormat::Json => queues.write_json(&mut text, config.watch.is_none())?,
        QueuesFormat::Text => {
            queues.write_text(&mut text, &options(config))?;
            if config.watch.is_some() && !on_terminal() {
                text.push(b'\n');
            }
        }
    }
    out.write_all(&text)?;
    out.flush()
}

/// A namespace's figures, with the connections that wait in its queues, where any does.
fn queues_of(followed: &WatchedNetns) -> NetnsQueues<'_> {
    let sockets = &followed.watch.latest().sockets;
    let ports: Vec<u16> =
        sockets.iter().filter(|socket| socket.recv_q > 0).map(|socket| socket.local.port()).collect();
    // Between two readings everything may have been accepted, and a namespace may have ended.
    let waiting = if ports.is_empty() { Vec::new() } else { followed.waiting(&ports).unwrap_or_default() };
    NetnsQueues { netns: &followed.netns, watch: &followed.watch, complete: followed.is_complete(), waiting }
}

fn options(config: &ListenersConfig) -> QueuesOptions {
    let size = terminal_size::terminal_size().filter(|_| on_terminal());
    let size = size.map(|(width, height)| (usize::from(height.0), usize::from(width.0)));
    QueuesOptions {
        colour: config.colour.or_else(wanted_by_environment),
        width: size.map_or(80, |(_, columns)| columns.clamp(40, 120)),
        // The last line stays free: a line feed there would scroll.
        screen: size
            .filter(|_| config.watch.is_some())
            .map(|(lines, columns)| (lines.saturating_sub(1), columns)),
        terminal: size.filter(|_| config.watch.is_none()).map(|(_, columns)| columns),
        zone: local_zone(),
        verbose: config.verbose,
    }
}

/// True if text is redrawn in place, on the alternate screen.
fn on_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A closed pipe ends the output without an error.
fn end_of_output(shown: io::Result<()>) -> Result<(), ListenersError> {
    match shown {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ListenersError::Output(error)),
        _ => Ok(()),
    }
}

enum WatchEvent {
    Stop,
    Resized,
}

/// Signals as events, and the key `q` if a keyboard is read; from threads that run until the program ends.
fn events(keyboard: bool) -> io::Result<Receiver<WatchEvent>> {
    let mut signals = Signals::new(wanted(&[SIGINT, SIGTERM, SIGHUP, SIGWINCH]))?;
    let (sender, events) = mpsc::channel();
    let keys = sender.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let event = if signal == SIGWINCH { WatchEvent::Resized } else { WatchEvent::Stop };
            if sender.send(event).is_err() {
                return;
            }
        }
    })?;
    if keyboard {
        thread::Builder::new().name("keyboard".to_owned()).spawn(move || {
            // A closed keyboard ends nothing: signals still do.
            if io::stdin().lock().bytes().map_while(Result::ok).any(|key| matches!(key, b'q' | b'Q')) {
                let _ = keys.send(WatchEvent::Stop);
            }
        })?;
    }
    Ok(events)
}

/// The terminal's input, key by key and without echo; given back on drop.
struct Keyboard {
    before: Termios,
}

impl Keyboard {
    /// Takes it, where standard input is a terminal.
    fn take() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut keys = before.clone();
        // Ctrl-C stays a signal.
        keys.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &keys).ok()?;
        Some(Self { before })
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before);
    }
}

/// The alternate screen with the cursor hidden, or nothing at all; given back on drop.
struct Screen<'a, W: Write> {
    out: &'a mut W,
    alternate: bool,
}

impl<'a, W: Write> Screen<'a, W> {
    fn enter(out: &'a mut W, alternate: bool) -> io::Result<Self> {
        let screen = Self { out, alternate };
        if alternate {
            screen.out.write_all(b"\x1b[?1049h\x1b[?25l")?;
        }
        Ok(screen)
    }

    fn draw(&mut self, draw: impl FnOnce(&mut W) -> io::Result<()>) -> io::Result<()> {
        if self.alternate {
            // Home and erase to the end: no scrolling, nothing left of a longer picture.
            self.out.write_all(b"\x1b[H\x1b[J")?;
        }
        draw(self.out)
    }
}

impl<W: Write> Drop for Screen<'_, W> {
    fn drop(&mut self) {
        if self.alternate {
            // A terminal that is gone needs no restoring.
            let _ = self.out.write_all(b"\x1b[?25h\x1b[?1049l").and_then(|()| self.out.flush());
        }
    }
}
