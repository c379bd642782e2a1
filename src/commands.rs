//! The command line: one file for each subcommand. Only this folder chooses engines and connects the parts of the system.

mod actions;
mod attempts;
mod audit;
mod backup;
mod command;
mod connect;
mod dead_letters;
mod demo_data;
mod doctor;
mod embedded;
mod export;
mod import;
mod known_passwords;
mod listen;
mod migrate;
mod openapi;
mod operator;
mod order;
mod product;
mod sale;
mod seed;
mod serve;
mod settings;
mod stress;
mod target;
mod user;
mod webhook;
mod work;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;

use self::command::Command;

use crate::{
    config::{Config, Sources},
    lifecycle::signal_to_process_1,
    telemetry,
};

/// A flash-sale backend: Redis decides who gets a unit, Kafka carries the accepted attempts, workers write the orders to
/// PostgreSQL, and shoppers read their result from Redis.
///
/// For a first look, or a small shop, `flashsale serve --embedded` is the whole system in one process.
///
/// Every setting has an environment variable; config/default.toml lists them all with their defaults. Start a new system
/// with `migrate`, `seed`, then any number of `serve` and `work`.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// A TOML file laid over the defaults; environment variables are laid over it
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Global options"
    )]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// The exit code for an error of [`run`].
    #[must_use]
    pub fn failure(&self) -> ExitCode {
        match self.command {
            Command::Audit(_) => ExitCode::from(audit::UNKNOWN),
            Command::Stress(_) => ExitCode::from(stress::NOT_RUN),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Runs the command. An error has one line of text.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // The document does not depend on the configuration.
    if let Command::Openapi(_) = cli.command {
        return openapi::Openapi::run().map(|()| ExitCode::SUCCESS);
    }
    let intent = cli.command.intent();
    let sources = Sources::of_process(cli.config)?;
    let sources = Sources { intent, ..sources };
    let (config, unused) = Config::load_for(&sources, &settings::used_by(&cli.command))?;
    telemetry::start_logging(&config.log);
    for problem in unused {
        tracing::warn!("not used by this command, but wrong: {}", problem.trim());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime could not be started")?;
    let ends_at_signals = cli.command.ends_at_signals();
    let command = async {
        match cli.command {
            Command::Audit(audit) => return audit.run(config).await,
            Command::Backup(backup) => return backup.run(config).await,
            Command::Stress(stress) => return Box::pin(stress.run(config)).await,
            Command::Serve(serve) => serve.run(config).await,
            Command::Work(work) => work.run(config).await,
            Command::Migrate(migrate) => migrate.run(config).await,
            Command::Seed(seed) => seed.run(config).await,
            Command::Product(product) => product.run(config).await,
            Command::Sale(sale) => Box::pin(sale.run(config)).await,
            Command::Order(order) => Box::pin(order.run(config)).await,
            Command::Actions(actions) => actions.run(config).await,
            Command::Attempts(attempts) => attempts.run(config).await,
            Command::DeadLetters(dead_letters) => dead_letters.run(config).await,
            Command::Export(export) => export.run(config).await,
            Command::Import(import) => import.run(config).await,
            Command::User(user) => user.run(config).await,
            Command::Webhook(webhook) => webhook.run(config).await,
            Command::Doctor(doctor) => doctor.run(config).await,
            Command::Openapi(_) => openapi::Openapi::run(),
        }?;
        Ok(ExitCode::SUCCESS)
    };
    let result = runtime.block_on(async {
        tokio::select! {
            result = command => result,
            code = signal_to_process_1(), if ends_at_signals => Ok(ExitCode::from(code)),
        }
    });
    // Tasks that did not end by their deadline are aborted here.
    runtime.shutdown_background();
    result
}
