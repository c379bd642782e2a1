//! `flashsale export`: writes the users, products, sales and orders of a data directory to a file.

use std::{
    fs::{self, OpenOptions},
    io::{BufWriter, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use tokio::time::Instant;

use super::{embedded, target::must_hold_data};
use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    engine::{
        embedded::{DataDirectory, DataFile},
        transfer::{Seals, Writer},
    },
    lifecycle::Lifecycle,
    port::Ports,
    terminal::{Plain, say},
};

/// Maximum time to settle the attempts that are in the log.
const SETTLING: Duration = Duration::from_mins(2);

/// Write users, products, sales and orders of a data directory into a file
///
/// For a shop that outgrows one machine: `flashsale import` loads the file into PostgreSQL. Stop `serve --embedded` first.
/// Attempts that were accepted and are not settled yet are settled before, so that none is left behind. The file holds
/// password hashes and can be read by its owner only; docs/EXPORT.md describes it.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Export {
    /// The data directory [default: FLASHSALE_DATA_DIR, or flashsale-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "flashsale-export.jsonl")]
    out: PathBuf,
}

impl Export {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let directory = self.data_dir.unwrap_or(config.embedded.data_dir.clone());
        must_hold_data(&directory)?;
        let directory = settle(config, directory).await?;
        tokio::task::spawn_blocking(move || write(directory, &self.out)).await?
    }
}

/// Runs a worker until it has settled every record of the log. Returns the directory, which no other process can take before it
/// is read.
async fn settle(mut config: Config, directory: PathBuf) -> anyhow::Result<DataDirectory> {
    let lifecycle = Lifecycle::default();
    // The worker is needed here even if ENABLE_CONSUMER disables it for `serve`.
    config.worker.enabled = true;
    let (running, _) = embedded::start(&lifecycle, &config, directory, false).await?;
    let deadline = Instant::now() + SETTLING;
    let settled = loop {
        match is_settled(&running.ports(), embedded::GROUP).await {
            Ok(true) => break Ok(()),
            Ok(false) if lifecycle.stop().is_cancelled() || Instant::now() >= deadline => {
                break Err(anyhow::anyhow!(
                    "accepted attempts could not be settled in {} s; see the log",
                    SETTLING.as_secs()
                ));
            }
            Ok(false) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => break Err(error),
        }
    };
    lifecycle.stop().cancel();
    let end = lifecycle
        .run(Duration::ZERO, config.server.shutdown_timeout)
        .await;
    let directory = running.close().await;
    // An error of a task comes first: it is also the reason why the records were not settled.
    end?;
    settled.map(|()| directory)
}

async fn is_settled(ports: &Ports, group: &str) -> anyhow::Result<bool> {
    let ends = ports.log.ends().await?;
    let committed = ports
        .ledger
        .committed_offsets(group, ports.log.name())
        .await?;
    Ok(ends
        .iter()
        .all(|(partition, end)| end.0 == 0 || committed.get(partition) >= Some(end)))
}

fn write(directory: DataDirectory, out: &Path) -> anyhow::Result<()> {
    let mut data = DataFile::open_in(directory)?;
    // The file has another name until it is complete.
    let mut unfinished = out.as_os_str().to_owned();
    unfinished.push(".part");
    let unfinished = Path::new(&unfinished);
    // A file of a run that was killed is deleted, since other users may be able to read it.
    match fs::remove_file(unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot write {}", unfinished.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let result = write_rows(&mut data, unfinished).and_then(|seals| {
        fs::rename(unfinished, out).with_context(|| format!("cannot write {}", out.display()))?;
        Ok(seals)
    });
    let seals = result.inspect_err(|_| {
        let _ = fs::remove_file(unfinished);
    })?;
    say!("{}: {seals}", Plain(out.display()));
    Ok(())
}

fn write_rows(data: &mut DataFile, out: &Path) -> anyhow::Result<Seals> {
    let cannot = || format!("cannot write {}", out.display());
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .with_context(cannot)?;
    let mut writer = Writer::begin(BufWriter::new(file), SystemClock.now()).with_context(cannot)?;
    data.export(&mut |line| writer.row(line))?;
    let (mut file, seals) = writer.end().with_context(cannot)?;
    file.flush()?;
    file.get_ref().sync_all().with_context(cannot)?;
    Ok(seals)
}
