//! Walks the records of captures and does nothing with them: the limits that benches/compare.sh holds hsanalyze against.
//!
//!     cargo run --release --example walk -- [--pcap-parser] FILE...
//!
//! With hsanalyze's own readers, which map files; or, with --pcap-parser, with that library's reader as it comes, for
//! classic pcap only.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use hsanalyze::capture::{CaptureOptions, Captures, Source, SourceStatus};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError};

/// What was walked over.
#[derive(Default)]
struct Walked {
    packets: u64,
    octets: u64,
}

fn main() -> anyhow::Result<()> {
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let plain = paths.first().is_some_and(|first| first.as_os_str() == OsStr::new("--pcap-parser"));
    if plain {
        paths.remove(0);
    }
    ensure!(!paths.is_empty(), "which captures?");
    let mut walked = Walked::default();
    if plain {
        for path in &paths {
            with_library(path, &mut walked).with_context(|| path.display().to_string())?;
        }
    } else {
        with_own_readers(&paths, &mut walked)?;
    }
    let Walked { packets, octets } = walked;
    writeln!(io::stdout(), "{packets} packets, {octets} octets captured").context("standard output")
}

fn with_own_readers(paths: &[PathBuf], walked: &mut Walked) -> anyhow::Result<()> {
    let (mut captures, errors) = Captures::open(paths, &CaptureOptions::default())?;
    if let Some(error) = errors.into_iter().next() {
        return Err(error.into());
    }
    let mut count = |frames: hsanalyze::packet::Frames<'_>| {
        walked.packets += frames.len() as u64;
        walked.octets += frames.iter().map(|frame| frame.data.len() as u64).sum::<u64>();
    };
    while captures.read(2048, &mut count) != SourceStatus::End {}
    Ok(())
}

fn with_library(path: &Path, walked: &mut Walked) -> anyhow::Result<()> {
    // From 64 KiB to 4 MiB it takes the same time.
    const BUFFER: usize = 1 << 20;
    let failed = |error: PcapError<&[u8]>| anyhow!("{error}");
    let mut reader = LegacyPcapReader::new(BUFFER, File::open(path)?).map_err(failed)?;
    loop {
        match reader.next() {
            Ok((used, block)) => {
                if let PcapBlockOwned::Legacy(record) = block {
                    walked.packets += 1;
                    walked.octets += record.data.len() as u64;
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_)) => reader.refill().map_err(failed)?,
            Err(error) => bail!("{error}"),
        }
    }
}
