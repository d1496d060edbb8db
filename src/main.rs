//! The command-line program; everything it does is in the library.

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use hsanalyze::cli::{lab::LabArgs, listeners::ListenersArgs};
use hsanalyze::command::{lab, listeners};

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
    Lab(Box<LabArgs>),
}

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let result = match Cli::parse().command {
        Command::Listeners(arguments) => {
            listeners::run(&arguments.config(), &mut out).context("listeners").map(|()| true)
        }
        Command::Lab(arguments) => lab::run(&arguments.config(), &mut out),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            #[allow(clippy::print_stderr)] // the one place where errors are told
            {
                eprintln!("hsanalyze: {error:#}");
            }
            ExitCode::from(2)
        }
    }
}
