//! Analyses capture files, and prints each server with its diagnosis and its failed attempts.
//!
//!     cargo run --example analyse -- FILE...

use std::ffi::OsStr;
use std::io::{self, Write};

use hsanalyze::capture::{CaptureOptions, Captures};
use hsanalyze::engine::{self, AnalysisOptions, Sink};
use hsanalyze::handshake::Attempt;

/// Keeps the attempts that failed. Attempts are delivered as soon as nothing can change their verdict.
#[derive(Default)]
struct Problems(Vec<Attempt>);

impl Sink for Problems {
    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        if attempt.verdict.is_problem() {
            self.0.push(attempt.clone());
        }
        Ok(())
    }
}

/// Writes what the captures show.
pub(crate) fn analyse<P: AsRef<OsStr>>(paths: &[P], out: &mut impl Write) -> anyhow::Result<()> {
    // Several files are read as one capture, in time order. A file that cannot be opened does not keep the others from
    // being read.
    let (mut captures, errors) = Captures::open(paths, &CaptureOptions::default())?;
    for error in errors {
        writeln!(out, "not read: {error}")?;
    }

    let mut problems = Problems::default();
    let (summary, listeners) = engine::analyse(&mut captures, &AnalysisOptions::default(), &mut problems)?;

    for listener in &summary.listeners {
        let (attempts, failed) = (listener.verdicts.total(), listener.verdicts.problems());
        match listener.server {
            Some(server) => writeln!(out, "{server}: {failed} of {attempts} attempts failed")?,
            None => writeln!(out, "all other servers: {failed} of {attempts} attempts failed")?,
        }
    }
    for attempt in &problems.0 {
        // A cause depends on what other attempts to the same server showed; by now all of them are known.
        let inference = listeners.infer(attempt);
        let cause = inference.cause.map_or("no cause found", |cause| cause.name());
        writeln!(out, "  {} -> {}: {}, {cause}", attempt.client, attempt.server, attempt.verdict)?;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    anyhow::ensure!(!paths.is_empty(), "usage: analyse FILE...");
    analyse(&paths, &mut io::stdout())
}
