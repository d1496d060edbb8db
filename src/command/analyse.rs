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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::cli::{Command, parse};
    use crate::report::samples::{self, Sample};

    fn config(arguments: &str, output: &Path) -> Analyse {
        let output = ["-o", output.to_str().unwrap()];
        let arguments = ["hsanalyze", "in.pcap"].into_iter().chain(arguments.split_whitespace());
        match parse(arguments.chain(output)) {
            Ok(Command::Analyse(config)) => config,
            other => panic!("{other:?}"),
        }
    }

    /// Runs with an engine that finds `sample`, and returns the output too.
    fn run_with(arguments: &str, sample: Sample) -> (Status, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let status = run(&config(arguments, &path), |_, sink| {
            sample.1.iter().try_for_each(|attempt| sink.attempt(attempt))?;
            Ok((sample.0, |_: &mut Attempt| {}))
        });
        (status.unwrap(), fs::read_to_string(path).unwrap())
    }

    #[test]
    fn the_status_tells_what_was_asked_for() {
        assert_eq!(run_with("", samples::overflow_mixed()).0, Status::Done);
        assert_eq!(run_with("--fail-on problem", samples::overflow_mixed()).0, Status::Found);
        assert_eq!(run_with("--fail-on refused", samples::overflow_mixed()).0, Status::Done);
        assert_eq!(run_with("--fail-on problem", samples::healthy()).0, Status::Done);
        assert_eq!(run_with("--fail-on completed", samples::healthy()).0, Status::Found);
        assert_eq!(run_with("--fail-on completed", samples::damaged()).0, Status::Damaged);
    }

    #[test]
    fn a_file_gets_eighty_columns_and_colour_only_on_demand() {
        let (_, plain) = run_with("", samples::overflow_mixed());
        assert!(plain.contains("ACCEPT QUEUE OVERFLOWS"));
        assert!(plain.lines().all(|line| line.len() <= 80));
        assert!(!plain.contains('\u{1b}'));
        let (_, coloured) = run_with("--color always", samples::overflow_mixed());
        assert!(coloured.contains('\u{1b}'));
    }

    #[test]
    fn a_failed_analysis_keeps_the_old_report() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        fs::write(&path, "old").unwrap();
        let failed = run(&config("--format csv", &path), |_, sink| {
            sink.attempt(&samples::healthy().1[0])?;
            Err::<(Summary, fn(&mut Attempt)), _>(anyhow::anyhow!("the disk is on fire"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is on fire");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn an_output_that_cannot_be_written_fails_before_the_analysis() {
        let path = Path::new("/nonexistent/out");
        let failed = run(&config("", path), |_, _| -> anyhow::Result<(Summary, fn(&mut Attempt))> {
            panic!("the analysis must not begin")
        });
        assert_eq!(failed.unwrap_err().to_string(), "cannot write /nonexistent/out");
    }
}
