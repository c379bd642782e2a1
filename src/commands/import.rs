//! `flashsale import`: loads what `export` wrote into PostgreSQL.

use std::{fs::File, io::BufReader, path::PathBuf};

use anyhow::Context;
use clap::Args;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connect::patiently;
use crate::{
    config::Config,
    engine::{
        postgres::{
            ConnectError, PostgresLedger,
            import::{Fed, import},
        },
        transfer,
    },
};

/// Rows that are read ahead.
const AHEAD: usize = 10_000;

/// Load an export into PostgreSQL
///
/// Into a database that has its schema (`flashsale migrate`) and nothing else yet. All ids stay as they are. It happens in
/// one transaction: what the database has then is read back and compared with the counts and checksums of the file, and
/// if anything differs nothing is taken over.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Import {
    /// The file that `flashsale export` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Import {
    #[allow(clippy::print_stdout)] // the command's answer
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let name = self.file.display().to_string();
        let file = File::open(&self.file).with_context(|| format!("cannot read {name}"))?;
        patiently(
            "PostgreSQL",
            config.server.startup_timeout,
            &CancellationToken::new(),
            || PostgresLedger::connect(&config.postgres),
            ConnectError::is_passing,
        )
        .await?;
        let (rows, fed) = mpsc::channel(AHEAD);
        let reading = tokio::task::spawn_blocking(move || feed(file, &rows));
        let imported = import(&config.postgres, fed).await;
        reading.await?;
        let seals = imported.with_context(|| format!("nothing was taken over from {name}"))?;
        println!(
            "{}: {seals}; counts and checksums are those of {name}",
            config.postgres.database
        );
        Ok(())
    }
}

/// Passes on what the file says, until it ends or nobody wants more.
fn feed(file: File, rows: &mpsc::Sender<Fed>) {
    let read = transfer::read(BufReader::new(file), |row| {
        let gone = |_| std::io::Error::other("the import has ended");
        Ok(rows.blocking_send(Fed::Row(row)).map_err(gone)?)
    });
    let end = match read {
        Ok(seals) => Fed::End(seals),
        Err(error) => Fed::Broken(error),
    };
    // Whoever gave up does not need it.
    let _ = rows.blocking_send(end);
}
