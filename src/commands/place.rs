//! The arguments that say where the system is: on its servers, or in a data directory of this machine.

use std::path::PathBuf;

use clap::Args;

use crate::config::Config;

/// On servers unless `--embedded` is given.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Place {
    /// Without any server: everything is in one file of the data directory
    #[arg(long, global = true)]
    embedded: bool,
    /// The data directory of --embedded, instead of FLASHSALE_DATA_DIR [default: flashsale-data]
    #[arg(long, global = true, value_name = "DIR", requires = "embedded")]
    data_dir: Option<PathBuf>,
}

impl Place {
    /// The data directory; `None` when the system is on its servers.
    pub(super) fn data_dir(&self, config: &Config) -> Option<PathBuf> {
        let directory = || self.data_dir.as_ref().unwrap_or(&config.embedded.data_dir);
        self.embedded.then(|| directory().clone())
    }
}
