//! `flashsale attempts`: retention of attempts.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{connect, embedded, operator::Who, target::Target};
use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    http::timestamp,
    ids::SaleId,
    lifecycle::Lifecycle,
    port::{ActionEntry, AttemptRetention},
    rules::retention,
    terminal::{print_json, say},
};

/// Sales that are closed in one transaction.
const SALES: u32 = 100;
/// Attempts that are looked at in one transaction: some 50 ms.
const PAGE: u32 = 5_000;

/// Remove attempts of sales that are over
///
/// Attempts say who pressed "buy" when, and what became of it. Orders stay, and so do the numbers of a sale.
///
/// On servers it needs PostgreSQL alone, as the owner of the tables. With --embedded it works while the data directory is served, too.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Attempts {
    #[command(subcommand)]
    step: Step,
    #[command(flatten)]
    pub(super) target: Target,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Remove all attempts of the sales that ended before a month began (UTC), and at least 7 days ago
    ///
    /// It may be stopped and repeated at any time: it goes on where it was. Decide about dead letters of these sales before: a
    /// record of them that is replayed afterwards gets no order.
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Remove {
    /// The first month of which attempts are kept, like 2026-06
    #[arg(long, value_name = "MONTH")]
    before: String,
    /// List the sales, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Why, for the action log
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    who: Who,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Removed {
    ended_before: String,
    /// The sales that were closed now, or would be.
    sales: Vec<i64>,
    /// Attempts that were removed, also of sales that were closed by an earlier run.
    attempts: u64,
    dry_run: bool,
}

impl Attempts {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let Step::Remove(remove) = self.step;
        let entry = remove.who.entry(&config, remove.reason.clone())?;
        let ended_before = retention::ended_before(&remove.before, SystemClock.now())?;
        let removed = if let Some(directory) = self.target.data_dir(&config)? {
            let opened = embedded::ledger(&config, directory).await?;
            let done = remove
                .run(opened.ledger().as_ref(), ended_before, &entry)
                .await;
            opened.close().await;
            done?
        } else {
            let lifecycle = Lifecycle::default();
            lifecycle.stop_on_signals()?;
            let stop = lifecycle.stop();
            let ledger = connect::ledger(&config, stop).await?;
            tokio::select! {
                done = remove.run(&ledger, ended_before, &entry) => done?,
                () = stop.cancelled() => anyhow::bail!("stopped: run it again to go on"),
            }
        };
        if self.json {
            return Ok(print_json(&removed)?);
        }
        print(&removed);
        Ok(())
    }
}

impl Remove {
    async fn run(
        &self,
        ledger: &dyn AttemptRetention,
        ended_before: DateTime<Utc>,
        entry: &ActionEntry,
    ) -> anyhow::Result<Removed> {
        let mut removed = Removed {
            ended_before: timestamp(ended_before),
            sales: Vec::new(),
            attempts: 0,
            dry_run: self.dry_run,
        };
        if self.dry_run {
            let over = ledger.sales_over(ended_before, u32::MAX).await?;
            removed.sales = over.into_iter().map(SaleId::value).collect();
            return Ok(removed);
        }
        // Each call closes sales, until none is left.
        loop {
            let closed = ledger.close_attempts(ended_before, SALES, entry).await?;
            if closed.is_empty() {
                break;
            }
            removed.sales.extend(closed.into_iter().map(SaleId::value));
        }
        // Each call goes on behind the one before.
        let mut after = None;
        loop {
            let page = ledger.remove_attempts(after, PAGE).await?;
            removed.attempts += page.removed;
            if page.last.is_none() {
                return Ok(removed);
            }
            after = page.last;
        }
    }
}

fn print(removed: &Removed) {
    let (sales, before) = (removed.sales.len(), &removed.ended_before);
    for sale in &removed.sales {
        say!("sale {sale}");
    }
    if removed.dry_run {
        say!("{sales} sales ended before {before}; nothing was removed");
    } else {
        say!(
            "{sales} sales ended before {before}; {} attempts were removed",
            removed.attempts
        );
    }
}
