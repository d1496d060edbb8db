//! The command line: arguments in, a plain [`Command`] out.
//!
//! clap's types end here. Nothing is opened, and nothing is read from the system, while parsing.

mod analyse;
mod document;
#[cfg(all(target_os = "linux", feature = "lab"))]
mod lab;
mod listeners;
mod live;
mod number;
mod race;
mod size;
#[cfg(test)]
mod tests;
mod words;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::command::analyse::AnalyseConfig;
use crate::command::listeners::ListenersConfig;
use crate::command::live::LiveConfig;

/// The command that the arguments name, with its configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Analyse captures.
    Analyse(AnalyseConfig),
    /// Capture and analyse.
    Live(Box<LiveConfig>),
    /// List the interfaces that can be captured from.
    Devices,
    /// Show accept queues.
    Listeners(ListenersConfig),
    /// Try overflows in a private namespace.
    #[cfg(all(target_os = "linux", feature = "lab"))]
    Lab(crate::command::lab::LabConfig),
    /// Make real connects.
    Race(crate::command::race::RaceConfig),
    /// Compute how large an accept queue should have been.
    Size(crate::command::size::SizeConfig),
    /// Open network namespaces for a live capture, which starts this by itself.
    #[cfg(target_os = "linux")]
    NetnsHelper,
    /// Print this and be done: help, version, completions, the manual page.
    Print(Vec<u8>),
}

/// Arguments that cannot be carried out. Displays as what to print on standard error.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The command name alone.
    #[error("{0}")]
    NoArguments(String),
    /// A wrong argument; the message begins with `error:` and ends with how to get help.
    #[error("hsanalyze: {}", .0.trim_end())]
    Wrong(String),
}

/// The names of the commands.
#[cfg(all(target_os = "linux", feature = "lab"))]
const COMMANDS: [&str; 7] = ["listeners", "race", "size", "lab", "completions", "man", "help"];
#[cfg(not(all(target_os = "linux", feature = "lab")))]
const COMMANDS: [&str; 6] = ["listeners", "race", "size", "completions", "man", "help"];

#[derive(Parser)]
#[command(
    name = "hsanalyze",
    version,
    about = "Tells from packets why TCP connections to a server fail, stall or lie",
    long_about = document::ABOUT,
    after_help = "Try --help for examples and exit status.",
    after_long_help = document::after_help(),
    override_usage = document::USAGE,
    args_conflicts_with_subcommands = true,
    // Help on a wide terminal is still read.
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    other: Option<OtherCommand>,
    #[command(flatten)]
    analyse: analyse::AnalyseArgs,
    #[command(flatten)]
    live: live::LiveArgs,
}

/// Everything but the analysis of captures.
#[derive(Subcommand)]
enum OtherCommand {
    Listeners(listeners::ListenersArgs),
    Race(race::RaceArgs),
    Size(size::SizeArgs),
    #[cfg(all(target_os = "linux", feature = "lab"))]
    Lab(Box<lab::LabArgs>),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, in roff
    Man {
        /// The command whose page it is; without one, that of hsanalyze itself
        #[arg(value_parser = document::PAGES)]
        command: Option<String>,
    },
}

/// Reads the arguments, the program's name first.
///
/// # Errors
///
/// The arguments are wrong, or there are none.
pub fn parse<I, T>(arguments: I) -> Result<Command, UsageError>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    if arguments.len() <= 1 {
        return Err(UsageError::NoArguments(document::short_usage()));
    }
    #[cfg(target_os = "linux")]
    if arguments.get(1..).is_some_and(|all| all == [crate::kernel::HELPER_ARGUMENT]) {
        return Ok(Command::NetnsHelper);
    }
    let named = if arguments.get(1).is_some_and(|word| word == "help") { 2 } else { 1 };
    let similar_command = arguments.get(named).and_then(|word| word.to_str()).and_then(similar_command);
    let matches = with_negative_numbers(Cli::command()).try_get_matches_from(arguments);
    let cli = match matches.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches)) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::DisplayVersion => {
            return Ok(Command::Print(document::version().into_bytes()));
        }
        Err(error) if error.exit_code() == 0 => {
            return Ok(Command::Print(error.render().to_string().into_bytes()));
        }
        // An error about the value of an option that exists is shown as it is.
        Err(error) if matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) => {
            return Err(wrong(&error));
        }
        Err(error) => return Err(mistyped(similar_command).unwrap_or_else(|| wrong(&error))),
    };
    match cli.other {
        None => main_form(cli.analyse, cli.live, similar_command)
            .map_err(|message| unusable(Cli::command(), message)),
        Some(OtherCommand::Listeners(arguments)) => Ok(Command::Listeners(arguments.config())),
        Some(OtherCommand::Race(arguments)) => Ok(Command::Race(arguments.config())),
        Some(OtherCommand::Size(arguments)) => {
            arguments.config().map(Command::Size).map_err(|message| unusable(subcommand("size"), message))
        }
        #[cfg(all(target_os = "linux", feature = "lab"))]
        Some(OtherCommand::Lab(arguments)) => {
            arguments.config().map(Command::Lab).map_err(|message| unusable(subcommand("lab"), message))
        }
        Some(OtherCommand::Completions { shell }) => Ok(Command::Print(document::completions(shell))),
        Some(OtherCommand::Man { command }) => Ok(Command::Print(document::manual(command.as_deref()))),
    }
}

/// The command with options that take a negative number for a value, which is out of their range, and not for an option.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let allowed = |option: Arg| {
        let has_value = !option.is_positional() && option.get_action().takes_values();
        option.allow_negative_numbers(has_value)
    };
    command.mut_args(allowed).mut_subcommands(move |command| command.mut_args(allowed))
}

/// The form without a command: files, or an interface.
fn main_form(
    analyse: analyse::AnalyseArgs,
    live: live::LiveArgs,
    similar_command: Option<&'static str>,
) -> Result<Command, String> {
    if live.lists() {
        return Ok(Command::Devices);
    }
    if let Some((option, needs)) = live.given() {
        return Err(format!("{option} is for a live capture: it needs {needs}"));
    }
    if live.captures() {
        return live::validate(live, analyse::validate_live(analyse)?)
            .map(|live| Command::Live(Box::new(live)));
    }
    analyse::validate(analyse).map(|analyse| Command::Analyse(AnalyseConfig { similar_command, ..analyse }))
}

/// The command whose name `word` is a typing error for.
fn similar_command(word: &str) -> Option<&'static str> {
    /// The threshold that clap uses for options.
    const SIMILAR: f64 = 0.7;
    let is_name = |word: &str| word.chars().all(|c| c.is_ascii_alphabetic());
    let names = COMMANDS.into_iter().filter(|_| is_name(word) && !COMMANDS.contains(&word));
    let rated = names.map(|name| (strsim::jaro(word, name), name)).filter(|&(rating, _)| rating > SIMILAR);
    rated.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

/// Arguments that make no sense but with a command.
fn mistyped(similar_command: Option<&'static str>) -> Option<UsageError> {
    let name = similar_command?;
    let message = format!("there is no such command; did you mean '{name}'?");
    Some(wrong(&Cli::command().error(ErrorKind::InvalidSubcommand, message)))
}

/// One of the program's commands, with its full name.
fn subcommand(name: &str) -> clap::Command {
    let mut program = Cli::command();
    program.build();
    program.find_subcommand(name).cloned().unwrap_or(program)
}

/// Arguments that cannot be meant.
fn unusable(mut command: clap::Command, message: String) -> UsageError {
    wrong(&command.error(ErrorKind::ValueValidation, message))
}

fn wrong(error: &clap::Error) -> UsageError {
    UsageError::Wrong(error.render().to_string())
}
