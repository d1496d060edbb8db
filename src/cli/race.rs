//! The arguments of `hsanalyze race`.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::number::whole;
use crate::command::race::{RaceConfig, RaceFormat};
use crate::race::{ConnectPace, ConnectResult, WaitMode};

/// Most connects in flight: this is a test of a client, not a pace generator.
const CONCURRENCY: std::ops::RangeInclusive<u64> = 1..=1_000;
/// Most connects in all.
const COUNT: std::ops::RangeInclusive<u64> = 1..=1_000_000;

/// Make real connects to a server, capture them, and find those that connect() wrongly reports as connected.
///
/// A successful connect is dead when the server had not accepted the connection: it reset the
/// handshake or ignores it. Capturing needs root or CAP_NET_RAW; without, only the results of the calls are known: no verdict and
/// no cause, a connection that the server ignores counts as unproven, and one that its application reset as dead.
#[derive(Debug, Args)]
pub(super) struct RaceArgs {
    /// The server
    #[arg(value_name = "HOST:PORT", value_parser = host_and_port)]
    target: String,

    /// Connects in all
    #[arg(short, long, value_name = "N", default_value_t = 20,
          value_parser = whole::<u32>(COUNT))]
    count: u32,

    /// Connects at once, at most 1000
    #[arg(short = 'P', long, value_name = "N", default_value_t = 8, value_parser = whole::<u32>(CONCURRENCY))]
    concurrency: u32,

    /// Time between the starts of two connects, in seconds
    #[arg(long, value_name = "SECS", default_value = "0", value_parser = seconds)]
    interval: Duration,

    /// Time-out of a connect, in seconds
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = timeout)]
    timeout: Duration,

    /// Time each connection is watched, in seconds; the server retransmits a SYN-ACK whose ACK it ignored after one
    #[arg(long, value_name = "SECS", default_value = "1.5", value_parser = seconds)]
    watch: Duration,

    /// Bytes to send once connected: line feeds
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = whole::<u16>(0..=u16::MAX.into()))]
    send: u16,

    /// The address to connect from
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,

    /// Wait in poll() instead of connect()
    #[arg(long)]
    non_blocking: bool,

    /// Output form
    #[arg(long, value_enum, default_value = "text")]
    format: RaceFormatArg,

    /// Exit with status 1 when a connect had one of these results
    #[arg(long, value_enum, value_name = "RESULT,...", value_delimiter = ',')]
    fail_on: Vec<ResultArg>,

    /// Do not announce the connects on standard error
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RaceFormatArg {
    Text,
    Json,
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ResultArg {
    /// connect() failed
    Failed,
    /// connect() succeeded, and the server had not accepted
    Dead,
    /// connect() succeeded, and nothing shows whether the server had accepted
    Unproven,
}

impl RaceArgs {
    /// Configuration of the command.
    #[must_use]
    pub(super) fn config(self) -> RaceConfig {
        let wanted = |result: &ConnectResult| {
            *result == ConnectResult::Failed && self.fail_on.contains(&ResultArg::Failed)
                || result.is_dead() && self.fail_on.contains(&ResultArg::Dead)
                || *result == ConnectResult::Unproven && self.fail_on.contains(&ResultArg::Unproven)
        };
        RaceConfig {
            fail_on: ConnectResult::ALL.into_iter().filter(wanted).collect(),
            target: self.target,
            source: self.source,
            pace: ConnectPace {
                count: self.count as usize,
                concurrency: self.concurrency as usize,
                interval: self.interval,
            },
            mode: if self.non_blocking { WaitMode::NonBlocking } else { WaitMode::Blocking },
            timeout: self.timeout,
            send: self.send.into(),
            watch: self.watch,
            format: match self.format {
                RaceFormatArg::Text => RaceFormat::Text,
                RaceFormatArg::Json => RaceFormat::Json,
                RaceFormatArg::Csv => RaceFormat::Csv,
            },
            quiet: self.quiet,
        }
    }
}

fn host_and_port(text: &str) -> Result<String, String> {
    // Without brackets the last group of an IPv6 address would be taken for the port.
    let host_is_told = |host: &str| !host.is_empty() && (!host.contains(':') || host.starts_with('['));
    match text.rsplit_once(':') {
        Some((host, port)) if host_is_told(host) && port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Ok(text.to_owned())
        }
        _ => Err("expected HOST:PORT with a port from 1 to 65535, as in 10.9.0.2:7777 or [fd09::2]:7777"
            .to_owned()),
    }
}

/// Like [`seconds`], but above 0: for the kernel a time-out of 0 is none.
fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = seconds(text)?;
    if timeout < Duration::from_millis(1) {
        return Err(format!("{text} s is not within 0.001 to 86400 s"));
    }
    Ok(timeout)
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    /// A day is more than any timer of a handshake.
    const LONGEST: f64 = 86_400.0;
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is not a number of seconds"))?;
    if !(0.0..=LONGEST).contains(&seconds) {
        return Err(format!("{seconds} s is not within 0 to {LONGEST} s"));
    }
    Ok(Duration::from_secs_f64(seconds))
}
