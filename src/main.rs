//! The executable: parses the command line and says in one line what went wrong, if anything.

use std::process::ExitCode;

use clap::Parser;
use flashsale::{commands, terminal};

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    let failure = cli.failure();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => {
            terminal::complain(&format!("flashsale: {error:#}"));
            failure
        }
    }
}
