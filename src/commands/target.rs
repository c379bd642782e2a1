//! The arguments that select the system: the one on the servers, or the one in a data directory of this machine.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{config::Config, engine::embedded::DataFile};

/// The system on the servers, or with `--embedded` the one in a data directory.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Target {
    /// Without any server: everything is in one file of the data directory
    #[arg(long, global = true)]
    embedded: bool,
    /// The data directory of --embedded, instead of FLASHSALE_DATA_DIR [default: flashsale-data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Target {
    /// True with --embedded.
    pub(super) fn is_embedded(&self) -> bool {
        self.embedded
    }

    /// The data directory; `None` when the system is on its servers.
    pub(super) fn data_dir(&self, config: &Config) -> anyhow::Result<Option<PathBuf>> {
        // Checked here because clap's `requires` does not find an --embedded before a subcommand.
        anyhow::ensure!(
            self.embedded || self.data_dir.is_none(),
            "--data-dir is for --embedded only"
        );
        let directory = || self.data_dir.as_ref().unwrap_or(&config.embedded.data_dir);
        Ok(self.embedded.then(|| directory().clone()))
    }
}

/// Fails if the directory has no data file.
pub(super) fn must_hold_data(directory: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        holds_data(directory),
        "there is no data file in {} (--data-dir, FLASHSALE_DATA_DIR)",
        directory.display()
    );
    Ok(())
}

/// True if there is a data file in a directory.
fn holds_data(directory: &Path) -> bool {
    DataFile::path_in(directory).exists()
}
