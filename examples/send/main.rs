//! Sends handshakes into an interface at a steady rate, for tests of live capture.
//!
//!     cargo run --release --example send -- --interface veth0 --rate 50000 --seconds 600
//!
//! Prints counts of the sent attempts and packets to standard output as JSON.

mod frames;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;

/// Attempts with different addresses and ports. After these they begin again, with the same ISNs.
const DISTINCT: u32 = 65_536 * 50;

#[derive(Parser)]
#[command(about = "Sends handshakes whose verdicts are known into an interface")]
struct Args {
    /// The interface
    #[arg(short, long, value_name = "IFACE")]
    interface: String,
    /// Packets a second
    #[arg(long, value_name = "PACKETS", default_value_t = 50_000)]
    rate: u32,
    /// For how long
    #[arg(long, value_name = "SECS", default_value_t = 10)]
    seconds: u32,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let wire =
        pcap::Capture::from_device(args.interface.as_str()).and_then(|device| device.snaplen(1).open());
    let mut wire = wire.with_context(|| args.interface.clone())?;
    let wanted = u64::from(args.rate) * u64::from(args.seconds);
    let (mut sent, mut verdicts, mut n) = (0_u64, BTreeMap::<&str, u64>::new(), 0_u32);
    let begun = Instant::now();
    while sent < wanted {
        let verdict = frames::verdict(n);
        for frame in frames::attempt(n % DISTINCT, verdict) {
            wire.sendpacket(frame).context("sending")?;
            sent += 1;
        }
        *verdicts.entry(verdict).or_default() += 1;
        n += 1;
        let due = Duration::from_nanos(sent * 1_000_000_000 / u64::from(args.rate.max(1)));
        let ahead = due.saturating_sub(begun.elapsed());
        // A sleep takes at least about 60 µs, so packets are sent in small groups.
        if ahead > Duration::from_millis(1) {
            thread::sleep(ahead);
        }
    }
    let summary = serde_json::json!({
        "packets": sent,
        "attempts": n,
        "verdicts": verdicts,
        "seconds": begun.elapsed().as_secs_f64(),
    });
    writeln!(io::stdout(), "{summary}").context("standard output")
}
