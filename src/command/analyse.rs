//! `hsanalyze FILE...`: captures in, report out.

use std::io::{self, Write};

use anyhow::Context;
use jiff::tz::TimeZone;

use super::Status;
use crate::cli::{Analyse, ColourChoice};
use crate::engine::{Sink, Summary};
use crate::handshake::Attempt;
use crate::report::output::Output;
use crate::report::{Options, Reporter};

/// Opens the output, has `engine` analyse the captures into it, and finishes the report.
///
/// `engine` returns the summary and what settles the final cause of an attempt that a report held back.
///
/// # Errors
///
/// When the output cannot be written, or `engine` fails; damaged captures are no error but a [`Status`].
pub fn run<E, S>(config: &Analyse, engine: E) -> anyhow::Result<Status>
where
    E: FnOnce(&Analyse, &mut dyn Sink) -> anyhow::Result<(Summary, S)>,
    S: FnMut(&mut Attempt),
{
    let mut output = match &config.output {
        Some(path) => Output::file(path).with_context(|| format!("cannot write {}", path.display()))?,
        None => Output::stdout(),
    };
    let options = options(config, &output);
    let mut reporter = Reporter::new(options, &mut output).with_context(|| target(config))?;
    let (summary, settle) = engine(config, &mut reporter)?;
    reporter.finish(&summary, settle).with_context(|| target(config))?;
    output.commit().with_context(|| target(config))?;
    Ok(status(config, &summary))
}

fn options(config: &Analyse, output: &Output) -> Options {
    Options {
        format: config.format,
        all: config.all,
        verdicts: config.verdicts,
        verbosity: config.verbosity,
        colour: match config.colour {
            ColourChoice::Auto => output.wants_colour(),
            ColourChoice::Always => true,
            ColourChoice::Never => false,
        },
        width: output.width(),
        worst: Options::WORST,
        zone: TimeZone::system(),
    }
}

/// Damage weighs more than what was found: the findings may be incomplete.
fn status(config: &Analyse, summary: &Summary) -> Status {
    let mut status = match config.fail_on.count(&summary.verdicts) {
        0 => Status::Done,
        _ => Status::Found,
    };
    for damage in summary.captures.iter().filter_map(|capture| capture.damaged.as_deref()) {
        status = Status::Damaged;
        // Nothing can be done about a closed standard error.
        let _ = writeln!(io::stderr(), "hsanalyze: error: {damage}");
    }
    status
}

fn target(config: &Analyse) -> String {
    match &config.output {
        Some(path) => format!("cannot write {}", path.display()),
        None => "cannot write to standard output".to_owned(),
    }
}
