//! `flashsale backup`: a copy of a data directory, also while it is served.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;

use super::{audit, embedded, target::must_hold_data};
use crate::{
    config::Config,
    engine::embedded::{DataFile, OpenError, copy},
    lifecycle::Lifecycle,
    terminal::{Plain, complain, say},
};

/// The exit code when the copy is whole and breaks a promise, as the original does.
const BROKEN: u8 = 1;

/// Copy a data directory into one file, also while it is served
///
/// The copy has accounts, sales, orders and the log as they were at one moment. Whoever buys does not wait for it. It is opened
/// and audited before it gets its name; an existing file is never overwritten. It holds password hashes and can be read by its
/// owner only. To restore it, stop `serve --embedded`, make an empty directory and put the copy in it as flashsale.db.
///
/// Exit code 0: the copy is written, and every promise holds in it. 1: it was not written, or it was and a promise is broken in
/// it as in the original (`flashsale audit --embedded` on the restored copy says which).
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Backup {
    /// The data directory [default: FLASHSALE_DATA_DIR, or flashsale-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The file to write, which must not exist
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl Backup {
    pub(super) async fn run(self, mut config: Config) -> anyhow::Result<ExitCode> {
        let directory = self.data_dir.unwrap_or(config.embedded.data_dir.clone());
        must_hold_data(&directory)?;
        embedded::GROUP.clone_into(&mut config.kafka.consumer_group);
        let lifecycle = Lifecycle::default();
        lifecycle.stop_on_signals()?;
        tokio::select! {
            done = back_up(&config, directory, &self.to) => done,
            () = lifecycle.stop().cancelled() => anyhow::bail!("stopped; nothing was written"),
        }
    }
}

async fn back_up(config: &Config, directory: PathBuf, to: &Path) -> anyhow::Result<ExitCode> {
    // At the end it is made sure of once more.
    let is_there = fs::symlink_metadata(to).is_ok();
    anyhow::ensure!(!is_there, "{} exists, and is not overwritten", to.display());
    let scratch = Scratch::beside(to)?;
    let copied = scratch.file();
    let copying = {
        let copied = copied.clone();
        tokio::task::spawn_blocking(move || copy_file(&directory, &copied))
    };
    copying.await??;
    let running = embedded::look_into(config, scratch.0.clone()).await?;
    let report = audit::auditor(config, running.ports()).run(None).await;
    drop(running.close().await);
    let is_clean = report.context("the copy could not be audited")?.is_clean();
    publish(&copied, to)?;
    let bytes = fs::metadata(to)?.len();
    if is_clean {
        say!(
            "{}: {bytes} bytes, and every promise holds",
            Plain(to.display())
        );
        return Ok(ExitCode::SUCCESS);
    }
    complain(&format!(
        "{}: {bytes} bytes; a promise is broken in it, as in the original: see `flashsale audit --embedded`",
        Plain(to.display())
    ));
    Ok(ExitCode::from(BROKEN))
}

/// A directory that nobody has is taken meanwhile, and its write-ahead log looked at: one that is damaged would lose commits
/// without a word.
fn copy_file(directory: &Path, to: &Path) -> anyhow::Result<()> {
    let _taken = match DataFile::open(directory) {
        Ok(data) => Some(data),
        Err(OpenError::InUse { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .with_context(|| format!("cannot write {}", to.display()))?;
    copy(directory, to)?;
    file.sync_all()?;
    Ok(())
}

/// Gives the whole copy its name, unless something has it by now.
fn publish(copied: &Path, to: &Path) -> anyhow::Result<()> {
    let mut log = copied.as_os_str().to_owned();
    log.push("-wal");
    let log = fs::metadata(Path::new(&log)).map_or(0, |log| log.len());
    anyhow::ensure!(log == 0, "the copy was not closed");
    File::open(copied)?.sync_all()?;
    match fs::hard_link(copied, to) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            anyhow::bail!("{} exists by now, and is not overwritten", to.display())
        }
        linked => linked.with_context(|| format!("cannot write {}", to.display()))?,
    }
    File::open(parent(to))?.sync_all()?;
    Ok(())
}

fn parent(file: &Path) -> &Path {
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// A directory beside the copy, on the same disk, in which it is made and opened. Gone at the end, whatever came of it.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(to: &Path) -> anyhow::Result<Self> {
        let name = to.file_name().context("--to must name a file")?;
        let name = name.to_string_lossy();
        let path = parent(to).join(format!(".{name}.{}.part", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    fn file(&self) -> PathBuf {
        DataFile::path_in(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, directory = %self.0.display(), "what the copy was made in could not be removed");
        }
    }
}
