//! Reads the records of captures and does nothing with them: the lower limit that benches/compare.sh compares with.
//!
//!     cargo run --release --example walk -- [--pcap-parser] FILE...
//!
//! Uses hsanalyze's own readers, which map files; with `--pcap-parser`, that library's reader, for classic pcap only.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use hsanalyze::capture::{CaptureOptions, Captures, Source, SourceStatus};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError};

/// Totals.
#[derive(Default)]
struct WalkTotals {
    packets: u64,
    bytes: u64,
}

fn main() -> anyhow::Result<()> {
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let plain = paths.first().is_some_and(|first| first.as_os_str() == OsStr::new("--pcap-parser"));
    if plain {
        paths.remove(0);
    }
    ensure!(!paths.is_empty(), "usage: walk [--pcap-parser] FILE...");
    let mut totals = WalkTotals::default();
    if plain {
        for path in &paths {
            with_library(path, &mut totals).with_context(|| path.display().to_string())?;
        }
    } else {
        with_own_readers(&paths, &mut totals)?;
    }
    let WalkTotals { packets, bytes } = totals;
    writeln!(io::stdout(), "{packets} packets, {bytes} bytes captured").context("standard output")
}

fn with_own_readers(paths: &[PathBuf], totals: &mut WalkTotals) -> anyhow::Result<()> {
    let (mut captures, errors) = Captures::open(paths, &CaptureOptions::default())?;
    if let Some(error) = errors.into_iter().next() {
        return Err(error.into());
    }
    let mut count = |frames: hsanalyze::packet::Frames<'_>| {
        totals.packets += frames.len() as u64;
        totals.bytes += frames.iter().map(|frame| frame.data.len() as u64).sum::<u64>();
    };
    while captures.read(2048, &mut count) != SourceStatus::End {}
    Ok(())
}

fn with_library(path: &Path, totals: &mut WalkTotals) -> anyhow::Result<()> {
    // Sizes from 64 KiB to 4 MiB take the same time.
    const BUFFER: usize = 1 << 20;
    let failed = |error: PcapError<&[u8]>| anyhow!("{error}");
    let mut reader = LegacyPcapReader::new(BUFFER, File::open(path)?).map_err(failed)?;
    loop {
        match reader.next() {
            Ok((used, block)) => {
                if let PcapBlockOwned::Legacy(record) = block {
                    totals.packets += 1;
                    totals.bytes += record.data.len() as u64;
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_)) => reader.refill().map_err(failed)?,
            Err(error) => bail!("{error}"),
        }
    }
}
