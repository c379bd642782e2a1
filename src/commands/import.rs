//! `flashsale import`: loads a file of `export`, or the database of the original service, into PostgreSQL.

mod database;
mod original;

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use tokio::sync::mpsc;

use self::database::{AHEAD, say_dry, wait_for_database};
use crate::{
    config::Config,
    engine::{
        postgres::import::{Fed, Finish, Windows, import},
        transfer::{self, Line, Names, ReadError, Renames, Sealer, Seals},
    },
    terminal::say,
};

/// Load an export, or the database of the original service, into PostgreSQL
///
/// Into a database that has its schema (`flashsale migrate`) and nothing else yet. All ids stay as they are. It happens in
/// one transaction: what the database has then is read back and compared with the counts and checksums of what was read,
/// and if anything differs nothing is taken over.
///
/// --from-original reads a database of the service that this one replaces, and changes nothing there: accounts, products,
/// sales and orders. What our constraints refuse is named row by row, all of it at once; --propose writes a file of changes
/// that would solve it, to be looked at and given back with --changes. docs/COMPATIBILITY.md goes through it step by step.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Import {
    /// The file that `flashsale export` wrote
    #[arg(
        value_name = "FILE",
        required_unless_present = "from_original",
        conflicts_with = "from_original"
    )]
    file: Option<PathBuf>,
    /// With a file: new names for accounts, a line for each: ID username NAME, or ID email NAME. Of two accounts whose names differ
    /// in case or spelling alone one has to be renamed; without it, all of them are listed
    #[arg(long, value_name = "FILE", conflicts_with = "from_original")]
    rename: Option<PathBuf>,
    /// The original service's database, on the server of ORIGINAL_POSTGRES_HOST (ours if that is not set)
    #[arg(long, value_name = "DATABASE")]
    from_original: Option<String>,
    /// With --from-original: change rows on their way, as this file says
    #[arg(long, value_name = "FILE", requires = "from_original")]
    changes: Option<PathBuf>,
    /// With --from-original: write changes that would solve what is named
    #[arg(long, value_name = "FILE", requires = "from_original")]
    propose: Option<PathBuf>,
    /// Import everything, but roll it back at the end
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let finish = if self.dry_run {
            Finish::RollBack
        } else {
            Finish::Commit
        };
        match (&self.file, &self.from_original) {
            (Some(file), None) => {
                let renames = renames(self.rename.as_deref())?;
                load_file(file, renames, &config, finish).await
            }
            (None, Some(database)) => {
                let files = original::Files {
                    changes: self.changes.as_deref(),
                    propose: self.propose.as_deref(),
                };
                original::load(database, files, &config, finish).await
            }
            // clap allows no other combination.
            _ => anyhow::bail!("name a file, or the original's database with --from-original"),
        }
    }
}

/// Reads the new names of accounts from a file.
fn renames(file: Option<&Path>) -> anyhow::Result<Renames> {
    let Some(path) = file else {
        return Ok(Renames::default());
    };
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Renames::parse(&text).with_context(|| path.display().to_string())
}

async fn load_file(
    path: &Path,
    renames: Renames,
    config: &Config,
    finish: Finish,
) -> anyhow::Result<()> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    wait_for_database(config).await?;
    let (rows, fed) = mpsc::channel(AHEAD);
    let reading = tokio::task::spawn_blocking(move || feed(file, renames, &rows));
    let imported = import(&config.postgres, fed, Windows::OfNow, finish).await;
    reading.await?;
    let seals = imported.with_context(|| format!("nothing was taken over from {name}"))?;
    say!(
        "{}: {seals}; counts and checksums are those of {name}",
        config.postgres.database
    );
    say_dry(finish);
    Ok(())
}

/// Sends the rows of the file, with the new names, until the file ends or the receiver is dropped.
fn feed(file: File, renames: Renames, rows: &mpsc::Sender<Fed>) {
    let end = match feed_rows(file, renames, rows) {
        Ok(seals) => Fed::End(seals),
        Err(error) => Fed::Broken(error),
    };
    // `send` fails only if the receiver is dropped: the import has ended.
    let _ = rows.blocking_send(end);
}

/// Sends the rows, and returns their seals. After the first clash of names no row is sent, but all clashes are collected.
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
        let receiver_dropped = |_| std::io::Error::other("the import has ended");
        Ok(rows
            .blocking_send(Fed::Row(row))
            .map_err(receiver_dropped)?)
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
