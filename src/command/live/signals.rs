//! Signals as flags that the loop looks at.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;

use crate::command::wanted;

/// Exit status of a program that SIGINT killed, as shells show it.
const KILLED_BY_SIGINT: i32 = 130;

/// The signals that arrived.
pub(super) struct Signals {
    end: Arc<AtomicBool>,
    report: Arc<AtomicBool>,
}

impl Signals {
    /// From now on SIGINT, SIGTERM and SIGHUP ask for the end, SIGUSR1 for the report so far. A SIGINT after the end
    /// was asked for exits at once.
    pub(super) fn catch() -> io::Result<Self> {
        let (end, report) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        // Before the flag is set by the same signal: actions run in the order they were registered.
        flag::register_conditional_shutdown(SIGINT, KILLED_BY_SIGINT, Arc::clone(&end))?;
        for signal in wanted(&[SIGINT, SIGTERM, SIGHUP]) {
            flag::register(signal, Arc::clone(&end))?;
        }
        flag::register(SIGUSR1, Arc::clone(&report))?;
        Ok(Self { end, report })
    }

    /// Whether the end was asked for.
    pub(super) fn end_wanted(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    /// Whether the report so far was asked for since the last call.
    pub(super) fn report_wanted(&self) -> bool {
        self.report.swap(false, Ordering::Relaxed)
    }
}
