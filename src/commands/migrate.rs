//! `flashsale migrate`: the database's schema and Kafka's topics.

use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use super::connect::patiently;
use crate::{
    config::Config,
    engine::{
        kafka::{self, create_topics},
        postgres::{ConnectError, MigrateError, Migrations},
    },
};

/// Bring the database's schema and Kafka's topics up to date
///
/// Makes the database if it is missing and the role may, applies the migrations it lacks (each in one transaction), and
/// makes the topic of the attempts and the one of the dead letters if they are missing. Run it as a job before `serve`
/// and `work` of a new version start; running it again, or twice at once, does no harm.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(subcommand)]
    step: Option<Step>,
    /// Leave Kafka alone
    #[arg(long, global = true)]
    no_topics: bool,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Apply what is missing (the default)
    Run,
    /// Take the last migration back
    Revert,
    /// Take all migrations back and apply them anew: every row is lost
    Reset {
        /// Yes, lose every row
        #[arg(long)]
        yes: bool,
    },
    /// List the migrations; exit code 1 if one is missing
    Status,
}

impl Migrate {
    #[allow(clippy::print_stdout)] // the command's answer
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let step = self.step.unwrap_or(Step::Run);
        if let Step::Reset { yes: false } = step {
            anyhow::bail!(
                "reset loses every row of {}; say so with --yes",
                config.postgres.database
            );
        }
        let mut migrations = open(&config, matches!(step, Step::Run)).await?;
        match step {
            Step::Run => report("applied", &migrations.run()?),
            Step::Revert => report(
                "taken back",
                &migrations.revert()?.into_iter().collect::<Vec<_>>(),
            ),
            Step::Reset { .. } => {
                report("taken back", &migrations.revert_all()?);
                report("applied", &migrations.run()?);
            }
            Step::Status => {
                let status = migrations.status()?;
                for migration in &status {
                    println!(
                        "{} {}",
                        if migration.applied {
                            "applied"
                        } else {
                            "missing"
                        },
                        migration.name
                    );
                }
                let missing = status.iter().filter(|migration| !migration.applied).count();
                anyhow::ensure!(
                    missing == 0,
                    "{missing} migrations are missing; run `flashsale migrate`"
                );
                return Ok(());
            }
        }
        if matches!(step, Step::Run) && !self.no_topics {
            topics(&config).await?;
        }
        Ok(())
    }
}

/// Waits for PostgreSQL; makes the database only when migrations are to be applied.
async fn open(config: &Config, create: bool) -> anyhow::Result<Migrations> {
    let connect = || async {
        if create && Migrations::ensure_database(&config.postgres).await? {
            tracing::info!(database = config.postgres.database, "the database is made");
        }
        Migrations::open(&config.postgres).await
    };
    let is_passing = |error: &MigrateError| matches!(error, MigrateError::Connect(error) if ConnectError::is_passing(error));
    patiently(
        "PostgreSQL",
        config.server.startup_timeout,
        &CancellationToken::new(),
        connect,
        is_passing,
    )
    .await
}

#[allow(clippy::print_stdout)] // the command's answer
async fn topics(config: &Config) -> anyhow::Result<()> {
    let made = patiently(
        "Kafka",
        config.server.startup_timeout,
        &CancellationToken::new(),
        || create_topics(&config.kafka),
        kafka::ConnectError::is_passing,
    )
    .await?;
    for (topic, partitions, new) in made {
        println!(
            "topic {topic}: {}, {partitions} partitions",
            if new { "made" } else { "there" }
        );
    }
    Ok(())
}

#[allow(clippy::print_stdout)] // the command's answer
fn report(what: &str, migrations: &[String]) {
    for migration in migrations {
        println!("{what}: {migration}");
    }
    if migrations.is_empty() {
        println!("the schema is as it should be: nothing {what}");
    }
}
