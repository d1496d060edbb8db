//! The interface of what shows a live run to people while it goes on: lines (`lines.rs`), or a screen (`screen/`).

use std::io;

use super::episodes::LiveEpisodes;
use super::kernel::KernelPoller;
use crate::handshake::Attempt;
use crate::listener::{EpisodeReport, Listeners};
use crate::packet::Timestamp;
use crate::report::status::LiveCounts;

/// Display of a live run while it goes on, but for the report at its end.
pub(super) trait LiveDisplay {
    /// Takes an attempt that is reported now: settled, or by its packets so far.
    ///
    /// # Errors
    ///
    /// Standard output's; they end the run.
    fn attempt(&mut self, attempt: &Attempt, settled: bool) -> io::Result<()>;

    /// Takes the episodes that began, went on or ended in the last second, until `now`; after the attempts of that second.
    ///
    /// # Errors
    ///
    /// Standard output's; they end the run.
    fn episodes(&mut self, reports: &[EpisodeReport], now: Timestamp) -> io::Result<()>;

    /// Takes the figures of the moment, after everything else of a second.
    ///
    /// # Errors
    ///
    /// The terminal's; they end the run.
    fn update(&mut self, now: &LiveNow<'_>) -> io::Result<()>;

    /// Shows a message about the run itself, such as an interface that went down.
    fn notice(&mut self, text: &str);

    /// Shows the report so far, which SIGUSR1 asked for.
    fn report_so_far(&mut self, text: &[u8]);

    /// Answers keys that were pressed. True if the end of the run is asked for. Called many times a second.
    ///
    /// # Errors
    ///
    /// The terminal's; they end the run.
    fn wants_end(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    /// Leaves the terminal as it was: the run ends.
    fn close(&mut self) {}
}

/// The figures of a moment.
#[cfg_attr(not(feature = "tui"), allow(dead_code, reason = "only the screen shows all of them"))]
pub(super) struct LiveNow<'a> {
    pub(super) counts: LiveCounts,
    pub(super) kernel: &'a KernelPoller,
    pub(super) listeners: &'a Listeners,
    pub(super) episodes: &'a LiveEpisodes,
}
