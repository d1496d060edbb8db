//! Walks the records of captures and does nothing with them: the limit that benches/compare.sh holds hsanalyze against.
//!
//!     cargo run --release --example walk -- FILE...

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use hsanalyze::capture::{Captures, Options, Source, Status};

fn main() -> anyhow::Result<()> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    ensure!(!paths.is_empty(), "which captures?");
    let (mut captures, errors) = Captures::open(&paths, &Options::default())?;
    if let Some(error) = errors.into_iter().next() {
        return Err(error.into());
    }
    let (mut packets, mut octets) = (0_u64, 0_u64);
    let mut count = |frames: hsanalyze::packet::Frames<'_>| {
        packets += frames.len() as u64;
        octets += frames.iter().map(|frame| frame.data.len() as u64).sum::<u64>();
    };
    while captures.read(2048, &mut count) != Status::End {}
    writeln!(io::stdout(), "{packets} packets, {octets} octets captured").context("standard output")
}
