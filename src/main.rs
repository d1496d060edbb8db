//! The command-line program; everything it does is in the library.

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use hsanalyze::cli::listeners::ListenersArgs;
use hsanalyze::command::listeners;

/// Tells from packets why TCP connections to a server fail, stall or lie.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Listeners(ListenersArgs),
}

fn main() -> ExitCode {
    let Cli { command: Command::Listeners(arguments) } = Cli::parse();
    match listeners::run(&arguments.config(), &mut io::stdout().lock()).context("listeners") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[allow(clippy::print_stderr)] // the one place where errors are told
            {
                eprintln!("hsanalyze: {error:#}");
            }
            ExitCode::from(2)
        }
    }
}
