//! `flashsale order`: one order or attempt, as a support desk sees it, and its cancellation.

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{
    operator::{Who, plain, told, with_steering},
    target::Target,
};
use crate::{
    api::admin::body::{AttemptBody, CancelledOrderBody},
    config::Config,
    ids::AttemptId,
    port::AttemptHistory,
    sale::{KnownAttempt, ReservedAttempt, Steering, forms::CancelOrderForm},
    terminal::{print_json, say},
};

/// Show what became of an attempt, or cancel its order
///
/// The same as /api/admin/attempts and /api/admin/orders of the HTTP API. Attempts have the id that shoppers are told; `flashsale
/// sale orders` lists those of a sale.
///
/// With --embedded it works while the data directory is served, too.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Order {
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
    /// Show the history of an attempt: reserved, logged, settled, told
    Show { attempt: AttemptId },
    /// Cancel an order: its shopper may buy again
    Cancel(Cancel),
}

#[derive(Debug, Args)]
struct Cancel {
    /// The attempt that made the order
    attempt: AttemptId,
    /// Whether its unit goes on sale again; if not, the sale has one unit less
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set)]
    restock: bool,
    /// Why, for the action log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    who: Who,
}

impl Order {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let Self { step, target, json } = self;
        with_steering(&target, &config, async |steering| match step {
            Step::Show { attempt } => show(steering, attempt, json).await,
            Step::Cancel(cancel) => cancel.run(&config, steering, &target, json).await,
        })
        .await
    }
}

async fn show(steering: &Steering, attempt: AttemptId, json: bool) -> anyhow::Result<()> {
    let found = steering.attempt(attempt).await?;
    let history = match found.context("no attempt that is settled or waits for it has this id")? {
        KnownAttempt::Settled(history) => *history,
        KnownAttempt::Reserved(reserved) => return show_reserved(steering, &reserved, json).await,
    };
    let (user, product, sale) = (history.user, history.product, history.sale);
    let is_told = steering.told(user, product, sale).await;
    if json {
        return Ok(print_json(&AttemptBody::of(history, is_told))?);
    }
    print(&history);
    match is_told {
        Some(result) => say!("told      {result:?}"),
        None => say!("told      nothing that is known here"),
    }
    Ok(())
}

async fn show_reserved(
    steering: &Steering,
    attempt: &ReservedAttempt,
    json: bool,
) -> anyhow::Result<()> {
    let ReservedAttempt {
        sale,
        product,
        entry,
    } = *attempt;
    if json {
        let is_told = steering.told(entry.user, product, sale).await;
        return Ok(print_json(&AttemptBody::reserved(attempt, is_told))?);
    }
    say!("attempt   {}", entry.attempt);
    say!("sale      {sale}");
    say!("shopper   {}", entry.user);
    say!("reserved  {}", entry.since.format("%FT%T%.3fZ"));
    say!("settled   not yet");
    Ok(())
}

fn print(history: &AttemptHistory) {
    say!("attempt   {}", history.attempt);
    say!("sale      {}", history.sale);
    say!("shopper   {}", history.user);
    say!("reserved  {}", history.attempted_at.format("%FT%T%.3fZ"));
    say!(
        "logged    {}, partition {}, offset {}",
        plain(&history.topic),
        history.partition,
        history
            .offset
            .map_or("unknown".to_owned(), |offset| offset.to_string())
    );
    let cause = history.cause.as_deref().map(plain);
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    say!(
        "settled   {}  {}{cause}",
        history.settled_at.format("%FT%T%.3fZ"),
        history.outcome
    );
    match &history.order {
        Some(order) => say!(
            "order     {}  {}  {} ({})",
            order.id,
            order.status,
            plain(&order.product_name),
            plain(&order.sku)
        ),
        None => say!("order     none"),
    }
    if let Some(at) = history.released_at {
        say!("released  {}", at.format("%FT%T%.3fZ"));
    }
}

impl Cancel {
    async fn run(
        self,
        config: &Config,
        steering: &Steering,
        target: &Target,
        json: bool,
    ) -> anyhow::Result<()> {
        let form = CancelOrderForm {
            restock: Some(self.restock),
            reason: self.reason,
        };
        let (restock, reason) = form.checked()?;
        let entry = self.who.entry(config, reason)?;
        let cancelled = steering.cancel_order(self.attempt, restock, &entry).await?;
        let applied = cancelled.applied;
        if json {
            return Ok(print_json(&CancelledOrderBody::from(cancelled))?);
        }
        let order = &cancelled.order;
        say!(
            "the order of {} by shopper {} is cancelled, {}",
            plain(&order.product_name),
            order.user,
            told(applied, target)
        );
        Ok(())
    }
}
