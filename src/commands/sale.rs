//! `flashsale sale`: sales made, published, paused, extended, given more units, and ended.

mod print;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    operator::{Who, plain, with_steering},
    target::Target,
};
use crate::{
    api::admin::body::{BalanceBody, OrderBody, SaleBody, SaleDetailBody, SteeredBody, StockBody},
    config::Config,
    ids::{ProductId, SaleId},
    port::{NewSale, OrderPage, SaleChange},
    sale::{
        Steering,
        forms::{Mode, ReasonForm, SaleForm, SalePatch, StockForm},
    },
    terminal::{print_json, say, shown_json},
};

/// Orders that are read at once.
const PART: u32 = 1_000;

/// Make, publish, pause, extend and end sales, and add or take away units
///
/// The same as /api/admin/sales of the HTTP API: a change is made in the ledger and brought to the gate, and the answer says
/// since when it is in force. What a crash leaves undone is completed by the workers within two seconds.
///
/// With --embedded it works while the data directory is served, too: the process that serves it notices a change within a second.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Sale {
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
    /// List sales, the newest first
    List {
        /// Of this product only
        #[arg(long, value_name = "ID")]
        product: Option<ProductId>,
        /// Those with lower ids
        #[arg(long, value_name = "ID")]
        after: Option<SaleId>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Show one with its balance
    Show { sale: SaleId },
    /// Make one, as a draft that nobody sees
    Create(Create),
    /// Change the fields that are given. Of an open sale: its end and its note
    Edit(Edit),
    /// Publish a draft: it opens and ends by itself, by its times
    Publish(Change),
    /// Accept nobody until it is resumed
    Pause(Change),
    /// Let a paused sale go on
    Resume(Change),
    /// End a sale that is open now
    End(Change),
    /// Cancel a sale that has not ended, for good. Its orders stand
    Cancel(Change),
    /// Add units, or take units away that nobody holds
    Stock(Stock),
    /// Show where the units are
    Balance { sale: SaleId },
    /// Print all orders, as CSV or with --json a JSON object a line
    Orders {
        sale: SaleId,
        /// [default: csv, with --json ndjson]
        #[arg(long, value_enum)]
        format: Option<Format>,
    },
}

#[derive(Debug, Args)]
struct Create {
    #[arg(long, value_name = "ID")]
    product: ProductId,
    /// RFC 3339, like 2030-11-29T12:00:00Z
    #[arg(long, value_name = "TIME")]
    start: String,
    /// RFC 3339
    #[arg(long, value_name = "TIME")]
    end: String,
    #[arg(long, value_name = "N")]
    units: i64,
    /// For operators
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
struct Edit {
    sale: SaleId,
    /// Only if this is its version [default: the current one]
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    #[arg(long, value_name = "ID")]
    product: Option<ProductId>,
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// Of a draft only; see `stock`
    #[arg(long, value_name = "N")]
    units: Option<i64>,
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Why, for the action log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
struct Change {
    sale: SaleId,
    /// Why, for the action log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
struct Stock {
    sale: SaleId,
    /// How many more; below zero they are taken away
    #[arg(allow_negative_numbers = true)]
    delta: i64,
    /// Take as many as are available, if those are fewer. Without it: all or none
    #[arg(long)]
    up_to: bool,
    /// Why, for the action log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    who: Who,
}

/// How orders are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    /// A JSON object a line
    Ndjson,
}

impl Sale {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let Self { step, target, json } = self;
        let printer = print::Printer {
            json,
            target: &target,
        };
        with_steering(&target, &config, async |steering| {
            let with = With {
                config: &config,
                steering,
                printer: &printer,
            };
            step.run(&with).await
        })
        .await
    }
}

/// What every step works with.
struct With<'a> {
    config: &'a Config,
    steering: &'a Steering,
    printer: &'a print::Printer<'a>,
}

impl Step {
    async fn run(self, with: &With<'_>) -> anyhow::Result<()> {
        let With {
            config,
            steering,
            printer,
        } = *with;
        let admin = &steering.admin;
        match self {
            Self::List {
                product,
                after,
                limit,
            } => {
                let sales = admin.sale_records(product, after, limit).await?;
                let now = steering.now().await;
                let bodies: Vec<_> = sales.iter().map(|sale| SaleBody::of(sale, now)).collect();
                printer.list(&sales, &bodies)
            }
            Self::Show { sale } => {
                let record = steering.record(sale).await?;
                let balance = steering.balance(&record).await;
                printer.detail(&record, &SaleDetailBody::of(&record, balance), balance)
            }
            Self::Balance { sale } => {
                let record = steering.record(sale).await?;
                let balance = steering.balance(&record).await;
                printer.balance(&BalanceBody::from(balance), balance)
            }
            Self::Create(create) => {
                let entry = create.who.entry(config, String::new())?;
                let sale = NewSale::try_from(SaleForm {
                    product_id: Some(create.product.value()),
                    start_time: Some(create.start),
                    end_time: Some(create.end),
                    units: Some(create.units),
                    note: Some(create.note),
                    reason: None,
                })?;
                let record = admin.create_sale(&sale, &entry).await?;
                printer.sale(&record, steering.now().await)
            }
            Self::Edit(edit) => edit.run(with).await,
            Self::Publish(change) => change.make(SaleChange::Publish, with).await,
            Self::Pause(change) => change.make(SaleChange::Pause, with).await,
            Self::Resume(change) => change.make(SaleChange::Resume, with).await,
            Self::End(change) => change.make(SaleChange::End, with).await,
            Self::Cancel(change) => change.make(SaleChange::Cancel, with).await,
            Self::Stock(stock) => stock.run(with).await,
            Self::Orders { sale, format } => {
                let otherwise = if printer.json {
                    Format::Ndjson
                } else {
                    Format::Csv
                };
                orders(steering, sale, format.unwrap_or(otherwise)).await
            }
        }
    }
}

impl Edit {
    async fn run(self, with: &With<'_>) -> anyhow::Result<()> {
        let reason = ReasonForm {
            reason: self.reason,
        };
        let entry = self.who.entry(with.config, reason.checked()?)?;
        let expected = match self.if_version {
            Some(version) => version,
            None => with.steering.record(self.sale).await?.version,
        };
        let patch = SalePatch {
            product_id: self.product.map(ProductId::value),
            start_time: self.start,
            end_time: self.end,
            units: self.units,
            note: self.note,
            reason: None,
        };
        let change = SaleChange::Edit(patch.edit(expected)?);
        let steered = with.steering.change(self.sale, &change, &entry).await?;
        let now = with.steering.now().await;
        with.printer
            .steered(&steered, &SteeredBody::of(&steered, now), now)
    }
}

impl Change {
    async fn make(self, change: SaleChange, with: &With<'_>) -> anyhow::Result<()> {
        let reason = ReasonForm {
            reason: self.reason,
        };
        let entry = self.who.entry(with.config, reason.checked()?)?;
        let steered = with.steering.change(self.sale, &change, &entry).await?;
        let now = with.steering.now().await;
        with.printer
            .steered(&steered, &SteeredBody::of(&steered, now), now)
    }
}

impl Stock {
    async fn run(self, with: &With<'_>) -> anyhow::Result<()> {
        let mode = if self.up_to { Mode::UpTo } else { Mode::Exact };
        let form = StockForm {
            delta: Some(self.delta),
            mode: Some(mode),
            reason: self.reason,
        };
        let (units, reason) = form.checked()?;
        let entry = self.who.entry(with.config, reason)?;
        let shifted = with.steering.shift(self.sale, units, &entry).await?;
        anyhow::ensure!(
            !shifted.is_refused(),
            "fewer units are available than are to be taken away; nothing was changed"
        );
        let balance = with.steering.balance(&shifted.sale).await;
        with.printer
            .shifted(&shifted, &StockBody::of(&shifted, balance), balance)
    }
}

/// Prints part by part: there may be a million.
async fn orders(steering: &Steering, sale: SaleId, format: Format) -> anyhow::Result<()> {
    steering.record(sale).await?;
    if format == Format::Csv {
        say!("{}", OrderBody::CSV);
    }
    let mut after: Option<OrderPage> = None;
    loop {
        let orders = steering.admin.orders(sale, after.as_ref(), PART).await?;
        after = orders.last().map(|last| OrderPage {
            created_at: last.created_at,
            id: last.id,
        });
        let is_last = orders.len() < PART as usize;
        for order in orders {
            let body = OrderBody::from(order);
            match format {
                Format::Csv => say!("{}", plain(&body.csv())),
                Format::Ndjson => say!("{}", shown_json(&serde_json::to_string(&body)?)),
            }
        }
        if is_last {
            return Ok(());
        }
    }
}
