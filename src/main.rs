//! The executable: parses the command line and says in one line what went wrong, if anything.

use std::process::ExitCode;

use clap::Parser;
use flashsale::commands;

fn main() -> ExitCode {
    match commands::run(commands::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flashsale: {error:#}");
            ExitCode::FAILURE
        }
    }
}
