//! `flashsale import`: loads what `export` wrote into PostgreSQL.

use std::{
    fs::{self, File},
    io::BufReader,
    path::PathBuf,
};

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
        transfer::{self, Line, Names, ReadError, Renames, Sealer, Seals},
    },
    terminal::say,
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
    /// New names for accounts, a line for each: ID username NAME, or ID email NAME. Of two accounts whose names differ in case or
    /// spelling alone one has to be renamed; without it, all of them are listed
    #[arg(long, value_name = "FILE")]
    rename: Option<PathBuf>,
}

impl Import {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let name = self.file.display().to_string();
        let file = File::open(&self.file).with_context(|| format!("cannot read {name}"))?;
        let renames = match &self.rename {
            None => Renames::default(),
            Some(path) => {
                let text = fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Renames::parse(&text).with_context(|| path.display().to_string())?
            }
        };
        patiently(
            "PostgreSQL",
            config.server.startup_timeout,
            &CancellationToken::new(),
            || PostgresLedger::connect(&config.postgres),
            ConnectError::is_passing,
        )
        .await?;
        let (rows, fed) = mpsc::channel(AHEAD);
        let reading = tokio::task::spawn_blocking(move || feed(file, renames, &rows));
        let imported = import(&config.postgres, fed).await;
        reading.await?;
        let seals = imported.with_context(|| format!("nothing was taken over from {name}"))?;
        say!(
            "{}: {seals}; counts and checksums are those of {name}",
            config.postgres.database
        );
        Ok(())
    }
}

/// Passes on what the file says, with the new names, until it ends or nobody wants more.
fn feed(file: File, renames: Renames, rows: &mpsc::Sender<Fed>) {
    let end = match feed_rows(file, renames, rows) {
        Ok(seals) => Fed::End(seals),
        Err(error) => Fed::Broken(error),
    };
    // Whoever gave up does not need it.
    let _ = rows.blocking_send(end);
}

/// The seals of the rows as they are to be in the database. The first clash ends the passing on, and all are looked for.
fn feed_rows(
    file: File,
    mut renames: Renames,
    rows: &mpsc::Sender<Fed>,
) -> Result<Seals, ReadError> {
    let (mut names, mut sealer) = (Names::default(), Sealer::default());
    transfer::read(BufReader::new(file), |mut row| {
        if let Line::User(user) = &mut row {
            renames.apply(user);
            names.add(user);
        }
        if names.has_clashes() {
            return Ok(());
        }
        sealer.add(&row)?;
        let gone = |_| std::io::Error::other("the import has ended");
        Ok(rows.blocking_send(Fed::Row(row)).map_err(gone)?)
    })?;
    let unused: Vec<_> = renames.unused().map(|id| id.to_string()).collect();
    if !unused.is_empty() {
        return Err(ReadError::NoSuchAccount(unused.join(", ")));
    }
    match names.into_clashes() {
        Some(clashes) => Err(clashes.into()),
        None => Ok(sealer.seals()),
    }
}
