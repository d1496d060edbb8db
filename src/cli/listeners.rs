//! The arguments of `hsanalyze listeners`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::command::listeners::ListenersConfig;
use crate::kernel::NetnsChoice;
use crate::report::ColourChoice;
use crate::report::queues::QueuesFormat;

/// Shortest and longest `--watch` interval, in seconds: what costs a process, and what nobody waits for.
const INTERVAL: std::ops::RangeInclusive<f64> = 0.1..=86_400.0;

/// Show the accept queues of this machine's listeners, as the kernel sees them.
///
/// As root of every network namespace: those of containers, too. An ordinary user sees the queues of all that have a
/// process, and limits, drops and owners as far as permitted.
///
/// RECV-Q is the number of connections that wait for accept(), SEND-Q its limit. A queue is full when it holds
/// more than the limit; what comes then is DROPS (a SYN counts once, an ignored ACK twice).
#[derive(Debug, Args)]
pub(super) struct ListenersArgs {
    /// Refresh every SECS seconds until q or Ctrl-C, and show rates
    #[arg(long, value_name = "SECS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
          value_parser = interval)]
    watch: Option<Duration>,

    /// Network namespaces to show: all, self, the one of a process, or one that `ip netns` knows
    #[arg(long, value_name = "all|PID|NAME|self", default_value = "all")]
    netns: NetnsChoice,

    /// List the connections that wait for accept(), and every namespace's counters
    #[arg(short, long)]
    verbose: bool,

    /// Output form; with --watch, json prints one document per line
    #[arg(long, value_enum, default_value = "text")]
    format: ListenersFormatArg,

    /// Colour the text
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    color: ListenersColorArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ListenersFormatArg {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ListenersColorArg {
    Auto,
    Always,
    Never,
}

impl ListenersArgs {
    /// Configuration of the command.
    pub(super) fn config(self) -> ListenersConfig {
        ListenersConfig {
            watch: self.watch,
            netns: self.netns,
            verbose: self.verbose,
            format: match self.format {
                ListenersFormatArg::Text => QueuesFormat::Text,
                ListenersFormatArg::Json => QueuesFormat::Json,
            },
            colour: match self.color {
                ListenersColorArg::Always => ColourChoice::Always,
                ListenersColorArg::Never => ColourChoice::Never,
                ListenersColorArg::Auto => ColourChoice::Auto,
            },
        }
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("\"{text}\" is not a number of seconds from {} to {}", INTERVAL.start(), INTERVAL.end());
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if !INTERVAL.contains(&seconds) {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_number_of_seconds_in_range() {
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(interval("86400"), Ok(Duration::from_secs(86_400)));
        for wrong in ["0", "-1", "nan", "inf", "1e9", "", "2s"] {
            let message = interval(wrong).unwrap_err();
            assert!(
                message.contains(&format!("\"{wrong}\"")) && message.contains("0.1 to 86400"),
                "{message}"
            );
        }
    }
}
