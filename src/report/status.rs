//! The status line of a live capture, on standard error and only on a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::capture::CaptureDrops;
use crate::words::number;

/// Counts of a live capture so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveCounts {
    /// Packets taken.
    pub packets: u64,
    /// Settled attempts.
    pub attempts: u64,
    /// Attempts undecided at the moment.
    pub undecided: u64,
    /// Attempts that went wrong.
    pub problems: u64,
    /// The fullest accept queue: connections that wait, and its limit where that may be read; `None` if all are empty.
    pub worst_queue: Option<(u32, Option<u32>)>,
    /// Packets that listeners dropped, by the kernel's count.
    pub kernel_drops: u64,
    /// Packets that the capture dropped.
    pub dropped: CaptureDrops,
}

/// Draws the status line. Cleared from the terminal when dropped.
pub struct StatusLine {
    bar: ProgressBar,
    device: String,
    before: Option<(Instant, LiveCounts)>,
}

impl StatusLine {
    /// A line for `device`; not `enabled`, or where standard error is no terminal, it never shows.
    #[must_use]
    pub fn new(device: &str, enabled: bool) -> Self {
        let target = if enabled { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: ProgressBar::with_draw_target(None, target).with_style(style),
            device: device.to_owned(),
            before: None,
        }
    }

    /// Shows `now`, with rates since the last call.
    pub fn show(&mut self, now: LiveCounts) {
        if self.bar.is_hidden() {
            return;
        }
        let at = Instant::now();
        let before = self.before.replace((at, now));
        let since = before.map(|(then, progress)| (at.saturating_duration_since(then), progress));
        self.bar.set_message(line(&self.device, now, since));
        self.bar.tick();
    }

    /// Runs `write`, which writes to the terminal, with the line out of its way.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn line(device: &str, now: LiveCounts, since: Option<(Duration, LiveCounts)>) -> String {
    let rate = |count: fn(&LiveCounts) -> u64| {
        let (span, before) = since.unwrap_or_default();
        let grown = count(&now).saturating_sub(count(&before));
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        number(grown.saturating_mul(1000).checked_div(millis).unwrap_or(0))
    };
    let queue = now.worst_queue.map_or_else(String::new, |(waiting, limit)| {
        let limit = limit.map_or_else(String::new, |limit| format!("/{limit}"));
        format!(", fullest queue {waiting}{limit}")
    });
    format!(
        "{device}: {} packets/s, {} attempts/s, {} undecided, {} problems{queue}, listeners drop {}/s, capture dropped {}",
        rate(|progress| progress.packets),
        rate(|progress| progress.attempts),
        number(now.undecided),
        number(now.problems),
        rate(|progress| progress.kernel_drops),
        number(now.dropped.total())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_whatever_the_interval() {
        let before = LiveCounts { packets: 1_000, attempts: 10, ..LiveCounts::default() };
        let now = LiveCounts {
            packets: 26_000,
            attempts: 15,
            undecided: 1_234,
            problems: 2,
            worst_queue: Some((17, Some(16))),
            kernel_drops: 26,
            dropped: CaptureDrops { by_kernel: 7, by_interface: 0 },
        };
        let since = Some((Duration::from_millis(500), before));
        let expected = "eth0: 50,000 packets/s, 10 attempts/s, 1,234 undecided, 2 problems, fullest queue 17/16, \
                        listeners drop 52/s, capture dropped 7";
        assert_eq!(line("eth0", now, since), expected);
        let first = line("eth0", now, None);
        assert!(first.starts_with("eth0: 0 packets/s, 0 attempts/s, 1,234"), "{first}");
    }
}
