//! `flashsale seed`: makes demo accounts, products and a sale.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{connect::patiently, embedded, target::Target};
use crate::{
    auth::Passwords,
    clock::{Clock, SystemClock},
    config::Config,
    engine::{
        demo::Seeded,
        embedded::DataFile,
        postgres::{ConnectError, PostgresLedger, seed::seed},
    },
    terminal::{Plain, say},
};

/// Make demo accounts, products and a sale to try things out with
///
/// Accounts admin (password admin123) and user1 to user3 (password123), products FLASH-001 to FLASH-003, and a sale of
/// FLASH-001, open from now for 24 hours with 1000 units unless FLASH_SALE_START_TIME, FLASH_SALE_END_TIME,
/// FLASH_SALE_PRODUCT_ID or FLASH_SALE_TOTAL_STOCK say otherwise. What is there already stays as it is, so that running it
/// again changes nothing. Refused with NODE_ENV=production, since everybody knows these passwords, unless --force is given.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Seed {
    #[command(flatten)]
    pub(super) target: Target,
    /// Make the demo data in production, too
    #[arg(long)]
    pub(super) force: bool,
}

impl Seed {
    /// True with --embedded.
    pub(super) fn is_embedded(&self) -> bool {
        self.target.is_embedded()
    }

    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        if let Some(directory) = self.target.data_dir(&config)? {
            let seed = move || {
                let mut data = DataFile::open(&directory)?;
                data.migrate()?;
                embedded::seed(&mut data, &config, &SystemClock)
            };
            report(&tokio::task::spawn_blocking(seed).await??);
            return Ok(());
        }
        let stop = CancellationToken::new();
        let connect = || PostgresLedger::connect(&config.postgres);
        patiently(
            "PostgreSQL",
            config.server.startup_timeout,
            &stop,
            connect,
            ConnectError::is_passing,
        )
        .await?;

        let passwords = Passwords::new(&config.auth)?;
        let hash = |password: &str| passwords.hash_now(password);
        report(&seed(&config.postgres, &config.sale, SystemClock.now(), &hash).await?);
        Ok(())
    }
}

fn report(seeded: &[Seeded]) {
    for seeded in seeded {
        say!(
            "{}: {}",
            Plain(&seeded.what),
            if seeded.created { "made" } else { "there" }
        );
    }
}
