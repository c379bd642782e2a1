//! `flashsale migrate`: creates and migrates the database's schema, and creates Kafka's topics.

use std::{fmt::Display, path::Path};

use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use super::{
    connect::patiently,
    target::{Target, must_hold_data},
};
use crate::{
    config::Config,
    engine::{
        embedded::DataFile,
        kafka::{self, create_topics},
        migration::{Migrated, MigrationState},
        postgres::{
            ConnectError,
            migrate::{self, MigrateError},
        },
    },
    port::{AccountName, KeyClash},
    terminal::say,
};

/// Bring the database's schema and Kafka's topics up to date
///
/// Creates the database if it is missing and the role may do so, applies its missing migrations (each in one transaction), and
/// creates the topics of the attempts, of the dead letters and, with KAFKA_TOPIC_EVENTS, of the events if they are missing. Run it as a job before `serve`
/// and `work` of a new version start; running it again, or twice at once, does no harm.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Migrate {
    #[command(subcommand)]
    step: Option<Step>,
    /// Do not create Kafka's topics
    #[arg(long, global = true)]
    no_topics: bool,
    #[command(flatten)]
    pub(super) target: Target,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Apply the missing migrations (the default)
    Run {
        /// Also grant this role the rights that `serve` and `work` need, so that they run without owning a table
        #[arg(long, value_name = "ROLE")]
        grant_to: Option<String>,
    },
    /// Revert the last migration
    Revert,
    /// Revert all migrations and apply them again: every row is lost. Redis and the topic still have the old sales and attempts:
    /// empty Redis and recreate the topic before `serve` or `work` starts
    Reset {
        /// Confirm that every row is deleted
        #[arg(long)]
        yes: bool,
    },
    /// List the migrations; exit code 1 if one is missing
    Status,
}

impl Migrate {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let step = self.step.unwrap_or(Step::Run { grant_to: None });
        if let Some(directory) = self.target.data_dir(&config)? {
            return tokio::task::spawn_blocking(move || migrate_file(&step, &directory)).await?;
        }
        match step {
            Step::Run { grant_to } => {
                migrate_database(&config).await?;
                if let Some(role) = grant_to {
                    migrate::grant(&config.postgres, &role).await?;
                    tracing::info!(role, "the rights of serve and work are granted");
                }
                if !self.no_topics {
                    create_missing_topics(&config).await?;
                }
                Ok(())
            }
            Step::Revert => {
                let reverted = migrate::revert(&config.postgres).await?;
                report("taken back", reverted.as_slice());
                Ok(())
            }
            Step::Reset { yes: false } => refuse_reset(&config.postgres.database),
            Step::Reset { yes: true } => {
                report("taken back", &migrate::reset(&config.postgres).await?);
                report_migrated(&migrate::run(&config.postgres).await?);
                Ok(())
            }
            Step::Status => print_status(
                &migrate::status(&config.postgres).await?,
                "flashsale migrate",
            ),
        }
    }
}

/// Runs the step on a data file.
fn migrate_file(step: &Step, directory: &Path) -> anyhow::Result<()> {
    if !matches!(step, Step::Run { .. }) {
        must_hold_data(directory)?;
    }
    let mut data = DataFile::open(directory)?;
    match step {
        Step::Run { .. } => report_migrated(&data.migrate()?),
        Step::Revert => report("taken back", data.revert()?.as_slice()),
        Step::Reset { yes: false } => refuse_reset(&data.path().display())?,
        Step::Reset { yes: true } => {
            report("taken back", &data.reset()?);
            report_migrated(&data.migrate()?);
        }
        Step::Status => {
            let command = format!(
                "flashsale migrate --embedded --data-dir {}",
                directory.display()
            );
            print_status(&data.migrations()?, &command)?;
        }
    }
    Ok(())
}

fn refuse_reset(target: &dyn Display) -> anyhow::Result<()> {
    anyhow::bail!("reset loses every row of {target}; say so with --yes")
}

/// Waits for PostgreSQL, creates the database if it is missing, and applies the pending migrations.
async fn migrate_database(config: &Config) -> anyhow::Result<()> {
    let ensure = || migrate::ensure_database(&config.postgres);
    let is_passing = |error: &MigrateError| matches!(error, MigrateError::Connect(error) if ConnectError::is_passing(error));
    let stop = CancellationToken::new();
    if patiently(
        "PostgreSQL",
        config.server.startup_timeout,
        &stop,
        ensure,
        is_passing,
    )
    .await?
    {
        tracing::info!(database = config.postgres.database, "the database is made");
    }
    report_migrated(&migrate::run(&config.postgres).await?);
    Ok(())
}

/// Waits for Kafka, and creates the topics that are missing.
async fn create_missing_topics(config: &Config) -> anyhow::Result<()> {
    let (create, stop) = (|| create_topics(&config.kafka), CancellationToken::new());
    let patience = config.server.startup_timeout;
    for (topic, partitions, new) in patiently(
        "Kafka",
        patience,
        &stop,
        create,
        kafka::ConnectError::is_passing,
    )
    .await?
    {
        say!(
            "topic {topic}: {}, {partitions} partitions",
            if new { "made" } else { "there" }
        );
    }
    Ok(())
}

/// Prints the migrations. Fails if one is missing.
fn print_status(migrations: &[MigrationState], command: &str) -> anyhow::Result<()> {
    for migration in migrations {
        say!(
            "{} {}",
            if migration.applied {
                "applied"
            } else {
                "missing"
            },
            migration.name
        );
    }
    let missing = migrations
        .iter()
        .filter(|migration| !migration.applied)
        .count();
    anyhow::ensure!(
        missing == 0,
        "migrations missing: {missing}; run `{command}`"
    );
    Ok(())
}

fn report_migrated(migrated: &Migrated) {
    report("applied", &migrated.applied);
    let clashes = &migrated.clashes;
    for KeyClash {
        kind,
        holder: (holder, its_name),
        other: (other, name),
    } in &clashes.first
    {
        let kind = match kind {
            AccountName::Username => "username",
            AccountName::Email => "email",
        };
        say!(
            "{kind} {name:?} of account {other} and {its_name:?} of account {holder} are one name: account {holder} has it, \
             account {other} keeps working; rename one"
        );
    }
    if clashes.count > clashes.first.len() as u64 {
        say!("{} such accounts in all", clashes.count);
    }
}

fn report(what: &str, migrations: &[String]) {
    for migration in migrations {
        say!("{what}: {migration}");
    }
    if migrations.is_empty() {
        say!("nothing {what}");
    }
}
