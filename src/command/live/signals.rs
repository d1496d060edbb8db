//! Signals as flags that the loop looks at.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{SigId, flag, iterator, low_level};

use crate::command::wanted;

/// Exit status of a program that SIGINT killed, as shells show it.
const KILLED_BY_SIGINT: i32 = 130;

/// The signals that arrived.
pub(super) struct Signals {
    end: Arc<AtomicBool>,
    report: Arc<AtomicBool>,
    exit: Exit,
}

/// Action of a SIGINT after the end was requested: it ends the program at once.
#[derive(Clone, Copy)]
pub(super) struct Exit(SigId);

impl Exit {
    /// From now on it removes these files first. Takes a thread, which is to be confined: call it after that.
    pub(super) fn leave_nothing(self, unfinished: Vec<PathBuf>) -> io::Result<()> {
        if unfinished.is_empty() {
            return Ok(());
        }
        let mut signals = iterator::Signals::new(wanted(&[SIGINT, SIGTERM, SIGHUP]))?;
        low_level::unregister(self.0);
        thread::spawn(move || {
            let mut signals = signals.forever();
            // The first one requests the end.
            if signals.next().is_some() && signals.any(|signal| signal == SIGINT) {
                // A file that cannot be removed stays; the program ends all the same.
                for path in &unfinished {
                    let _ = fs::remove_file(path);
                }
                low_level::exit(KILLED_BY_SIGINT);
            }
        });
        Ok(())
    }
}

impl Signals {
    /// From now on SIGINT, SIGTERM and SIGHUP request the end, SIGUSR1 the report so far. A SIGINT after that
    /// exits at once.
    pub(super) fn catch() -> io::Result<Self> {
        let (end, report) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        // Before the flag is set by the same signal: actions run in the order they were registered.
        let exit = Exit(flag::register_conditional_shutdown(SIGINT, KILLED_BY_SIGINT, Arc::clone(&end))?);
        for signal in wanted(&[SIGINT, SIGTERM, SIGHUP]) {
            flag::register(signal, Arc::clone(&end))?;
        }
        flag::register(SIGUSR1, Arc::clone(&report))?;
        Ok(Self { end, report, exit })
    }

    /// The action that ends the program at once.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// True once the end was requested.
    pub(super) fn end_wanted(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    /// True if the report so far was requested since the last call.
    pub(super) fn report_wanted(&self) -> bool {
        self.report.swap(false, Ordering::Relaxed)
    }
}
