//! The arguments of `hsanalyze size`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::number::whole;
use crate::command::size::{SizeConfig, SizeFormat};
use crate::listener::size::{KnownQueue, WhatIf};
use crate::packet::Endpoint;

/// The largest backlog: `listen()` takes an int.
const BACKLOG: std::ops::RangeInclusive<u64> = 0..=2_147_483_647;
/// Accept rates, in connections a second.
const RATE: std::ops::RangeInclusive<f64> = 0.001..=10_000_000.0;

/// Most workers, and most sockets on one port: more than any machine has processors.
const WORKERS: u64 = 10_000;
const SOCKETS: u64 = 1_000;

/// Compute from captures how large a listener's accept queue should have been.
///
/// The accept rate follows from what got in while the queue was full; the backlog from the queue that the same clients
/// would have made at that rate. Where no backlog helps, or the packets do not carry an answer, that is said. The model
/// is described in docs/SIZE.md.
#[derive(Debug, Args)]
pub(super) struct SizeArgs {
    /// Captures to analyse, taken near the server: pcap or pcapng, also gzip or zstd; - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Analyse only packets that match a BPF filter, as with tcpdump
    #[arg(short, long, value_name = "EXPR")]
    filter: Option<String>,

    /// The listener [default: the one that overflows most]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = endpoint)]
    server: Option<Endpoint>,

    /// The limit that its queue had, where it is known (ss -ltn: Send-Q) [default: estimated]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(BACKLOG))]
    limit: Option<u32>,

    /// Sockets that share the port (SO_REUSEPORT), each with a queue of its own [default: 1]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=SOCKETS))]
    sockets: Option<u32>,

    /// The server's net.ipv4.tcp_syncookies [default: on, as Linux has it]
    #[arg(long, value_name = "ON|OFF", value_enum)]
    syncookies: Option<SwitchArg>,

    /// Backlogs to predict besides the limit, its doublings and the answer
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = whole::<u32>(BACKLOG))]
    backlog: Vec<u32>,

    /// What if the application accepted this many connections a second, from all sockets together
    #[arg(long, value_name = "N", value_parser = rate)]
    accept_rate: Option<f64>,

    /// What if this many workers accepted, each at that rate
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=WORKERS))]
    workers: Option<u32>,

    /// Replay the arrivals of the worst stretch against a real listener of this kernel
    ///
    /// In a private network namespace, as `hsanalyze lab` has it, and as root or in a user namespace. Done with the limit,
    /// with the answer and with each --backlog; takes some seconds each.
    #[cfg(all(target_os = "linux", feature = "lab"))]
    #[arg(long)]
    replay: bool,

    /// Output form; csv is the table of backlogs
    #[arg(long, value_enum, default_value = "text")]
    format: SizeFormatArg,

    /// Draw arrivals, admissions and the queue wanted to FILE (SVG)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SwitchArg {
    On,
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SizeFormatArg {
    Text,
    Json,
    Csv,
}

impl SizeArgs {
    /// Configuration of the command, or why there is none.
    pub(super) fn config(self) -> Result<SizeConfig, String> {
        #[cfg(all(target_os = "linux", feature = "lab"))]
        let replay = self.replay;
        #[cfg(not(all(target_os = "linux", feature = "lab")))]
        let replay = false;
        if self.files.iter().filter(|file| file.as_os_str() == "-").count() > 1 {
            return Err("standard input (-) is given more than once: it can be read only once".to_owned());
        }
        Ok(SizeConfig {
            files: self.files,
            filter: self.filter,
            server: self.server,
            known: KnownQueue {
                limit: self.limit,
                sockets: self.sockets,
                cookies: self.syncookies.map(|switch| switch == SwitchArg::On),
                samples: Vec::new(),
            },
            what_if: WhatIf { backlogs: self.backlog, accept_rate: self.accept_rate, workers: self.workers },
            replay,
            format: match self.format {
                SizeFormatArg::Text => SizeFormat::Text,
                SizeFormatArg::Json => SizeFormat::Json,
                SizeFormatArg::Csv => SizeFormat::Csv,
            },
            drawing: self.output,
        })
    }
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "expected an address and a port, as in 10.9.0.2:7777 or [fd09::2]:7777".to_owned())?;
    Ok(match address.ip() {
        IpAddr::V4(ip) => Endpoint::v4(ip.octets(), address.port()),
        IpAddr::V6(ip) => Endpoint::v6(ip.octets(), address.port()),
    })
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("'{text}' is not a number"))?;
    if !RATE.contains(&rate) {
        return Err(format!("{text} is not within {} to {} a second", RATE.start(), RATE.end()));
    }
    Ok(rate)
}
