//! A progress bar on standard error: only on a terminal, and only when the work takes its time.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is done sooner than this shows no bar.
const SHOW_AFTER: Duration = Duration::from_millis(500);

/// Shows how far reading has come. Cleared from the terminal when dropped.
pub struct ReadingBar {
    bar: ProgressBar,
    /// Until the bar is shown.
    waiting_since: Option<Instant>,
}

impl ReadingBar {
    /// A bar for `total` bytes, where that is known.
    #[must_use]
    pub fn new(total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()).with_style(style(total));
        Self { bar, waiting_since: Some(Instant::now()) }
    }

    /// Moves the bar to `bytes`. Cheap, but meant for once a batch, not once a packet.
    pub fn at(&mut self, bytes: u64) {
        self.bar.set_position(bytes);
        if self.waiting_since.is_some_and(|since| since.elapsed() >= SHOW_AFTER) {
            self.waiting_since = None;
            // Draws nothing unless standard error is a terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for ReadingBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

const KNOWN_END: &str = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const UNKNOWN_END: &str = "{spinner} {bytes} {bytes_per_sec}";

fn style(total: Option<u64>) -> ProgressStyle {
    let template = if total.is_some() { KNOWN_END } else { UNKNOWN_END };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_templates_are_valid() {
        for template in [KNOWN_END, UNKNOWN_END] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn the_bar_waits() {
        let mut progress = ReadingBar::new(Some(100));
        progress.waiting_since = Some(Instant::now() + SHOW_AFTER);
        progress.at(50);
        assert!(progress.waiting_since.is_some(), "half a second has not passed");
        progress.waiting_since = Instant::now().checked_sub(SHOW_AFTER);
        progress.at(50);
        assert!(progress.waiting_since.is_none());
        assert_eq!(progress.bar.position(), 50);
    }
}
