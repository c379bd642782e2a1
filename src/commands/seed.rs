//! `flashsale seed`: makes demo accounts, products and a sale.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{
    connect,
    demo_data::{demo_data, make},
    embedded,
    target::Target,
};
use crate::{
    config::Config,
    demo::{Seeded, Seeding},
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
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        if let Some(directory) = self.target.data_dir(&config)? {
            let running = embedded::open_new(&config, directory).await?;
            let (accounts, admin) = (running.accounts(), running.administration());
            let demo = demo_data(&config, accounts.as_ref(), admin.as_ref());
            let seeded = make(&config, &demo).await;
            running.close().await;
            report(&seeded?);
            return Ok(());
        }
        // A signal ends the process wherever it is: the next run goes on.
        let ledger = connect::ledger(&config, &CancellationToken::new()).await?;
        let demo = demo_data(&config, &ledger, &ledger);
        report(&make(&config, &demo).await?);
        Ok(())
    }
}

fn report(seeded: &[Seeded]) {
    for seeded in seeded {
        say!(
            "{}: {}",
            Plain(&seeded.what),
            match seeded.state {
                Seeding::Made => "made",
                Seeding::There => "there",
                Seeding::LeftOut => "left out",
            }
        );
    }
}
