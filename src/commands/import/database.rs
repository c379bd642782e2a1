//! Our side of an import: the database that takes the rows, how many are read ahead for it, and the words about a dry run.

use tokio_util::sync::CancellationToken;

use crate::{
    commands::connect::patiently,
    config::Config,
    engine::postgres::{ConnectError, PostgresLedger, import::Finish},
    terminal::say,
};

/// Maximum number of rows that are read ahead of the import.
pub(super) const AHEAD: usize = 10_000;

/// Waits until PostgreSQL has our database with all its migrations.
pub(super) async fn wait_for_database(config: &Config) -> anyhow::Result<()> {
    patiently(
        "PostgreSQL",
        config.server.startup_timeout,
        &CancellationToken::new(),
        || PostgresLedger::connect(&config.postgres),
        ConnectError::is_passing,
    )
    .await?;
    Ok(())
}

pub(super) fn say_dry(finish: Finish) {
    if finish == Finish::RollBack {
        say!("dry run: all of it was taken back, and nothing is changed");
    }
}
