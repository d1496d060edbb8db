//! The command-line program; everything it does is in the library.

mod closed_stdout;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use hsanalyze::cli::{self, Command};
#[cfg(all(target_os = "linux", feature = "lab"))]
use hsanalyze::command::lab;
#[cfg(target_os = "linux")]
use hsanalyze::command::netns_helper;
use hsanalyze::command::{Status, analyse, listeners, live, race, size};
use hsanalyze::printable::{printable, printable_lines};
use hsanalyze::report::output::Output;

/// Errors of every kind; 1 is for `--fail-on`.
const FAILURE: u8 = 2;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => return fail(&printable_lines(&error.to_string())),
    };
    match run(command) {
        Ok(status) => ExitCode::from(status.code()),
        // Whoever closed the pipe (`head`, a pager) has seen enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&printable(&format!("hsanalyze: error: {}", chain(&error)))),
    }
}

fn run(command: Command) -> anyhow::Result<Status> {
    let writes_elsewhere = match &command {
        Command::Analyse(config) => config.output.is_some(),
        Command::Live(config) => config.analyse.output.is_some(),
        _ => false,
    };
    if closed_stdout::was_closed() && !writes_elsewhere {
        anyhow::bail!("cannot write to standard output: it is closed");
    }
    match command {
        Command::Print(text) => {
            let mut stdout = io::stdout();
            stdout.write_all(&text)?;
            stdout.flush()?;
            Ok(Status::Done)
        }
        Command::Analyse(config) => analyse::run(&config),
        Command::Live(config) => live::run(&config),
        #[cfg(target_os = "linux")]
        Command::NetnsHelper => {
            netns_helper::run()?;
            Ok(Status::Done)
        }
        Command::Devices => {
            live::list(&mut io::stdout().lock())?;
            Ok(Status::Done)
        }
        Command::Listeners(config) => {
            listeners::run(&config, &mut io::stdout().lock())?;
            Ok(Status::Done)
        }
        Command::Race(config) => race::run(&config, &mut io::stdout().lock()),
        Command::Size(config) => size::run(&config, Output::stdout().width(), &mut io::stdout().lock()),
        #[cfg(all(target_os = "linux", feature = "lab"))]
        Command::Lab(config) => lab::run(&config, &mut io::stdout().lock()),
    }
}

/// The error and its causes, but for those that the text before has already.
fn chain(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |message, cause| {
        if message.contains(&cause) { message } else { format!("{message}: {cause}") }
    })
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn fail(message: &str) -> ExitCode {
    // Nothing can be done about a closed standard error.
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::from(FAILURE)
}
