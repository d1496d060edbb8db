//! Writes a capture of any size whose verdicts are known beforehand, for benchmarks and tests.
//!
//!     cargo run --release --example generate -- --packets 8800000 --attempts 500000 -o /tmp/thin.pcap
//!     cargo run --release --example generate -- --flood 10000000 -o /tmp/flood.pcap
//!
//! Prints counts of what the capture holds to standard output as JSON. The same options and seed give the same bytes.

mod traffic;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use hsanalyze::handshake::Verdict;
use strum::IntoEnumIterator;
use traffic::{Mix, Plan, Records};

/// Most SYNs of a flood; a larger number is a typing error.
const MAX_ATTEMPTS: u64 = 1 << 28;
/// Most packets: about a terabyte of thin records.
const MAX_PACKETS: u64 = 1 << 33;

#[derive(Parser)]
#[command(about = "Writes a capture whose verdicts are known beforehand")]
struct Args {
    /// Connection attempts, apart from a flood's
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=MAX_ATTEMPTS))]
    attempts: u64,
    /// Packets of all attempts together; by default 17 for each completed attempt
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=MAX_PACKETS))]
    packets: Option<u64>,
    /// Shares of the attempts' verdicts
    #[arg(long, value_name = "VERDICT=SHARE,...", default_value = Mix::FIVE_KINDS)]
    mix: Mix,
    /// Payload: cut off by the snap length, or kept in records of up to 1514 bytes
    #[arg(long, value_enum, default_value_t = Records::Thin)]
    records: Records,
    /// Attempts in a hundred that use IPv6
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    ipv6: u8,
    /// SYNs of a flood, each from an address of its own, spread evenly over the capture
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=traffic::MAX_FLOOD))]
    flood: u64,
    /// Listeners that the attempts are spread over
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    listeners: u16,
    /// Number of the host that serves, the last part of its address: captures of several hosts have no connection in common
    #[arg(long, value_name = "N", default_value_t = 1)]
    host: u16,
    /// Packets a second, on average, while attempts are begun
    #[arg(long, value_name = "PACKETS", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pace: u64,
    /// Seed of addresses, times and sequence numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The capture to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let plan = Plan {
        attempts: args.attempts,
        packets: args.packets,
        mix: args.mix,
        records: args.records,
        ipv6_percent: args.ipv6,
        flood: args.flood,
        listeners: args.listeners,
        host: args.host,
        pace: args.pace,
        seed: args.seed,
    };
    let name = args.output.display();
    let file = File::create(&args.output).with_context(|| format!("{name}: cannot create"))?;
    // With a buffer this large, system calls take a negligible part of the time.
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let made = traffic::write(&plan, &mut out).with_context(|| format!("{name}: cannot write"))?;
    out.flush().with_context(|| format!("{name}: cannot write"))?;
    let verdicts: serde_json::Map<_, _> =
        Verdict::iter().map(|v| (v.name().to_owned(), made.attempts_of(v).into())).collect();
    let summary = serde_json::json!({
        "packets": made.packets,
        "bytes": made.bytes,
        "attempts": made.attempts(),
        "verdicts": verdicts,
    });
    writeln!(io::stdout(), "{summary:#}").context("standard output")
}
