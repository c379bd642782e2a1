//! The sale that is pressed on: which one it is, and what the system says remains of it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};

use crate::{
    ids::{ProductId, SaleId},
    port::Ports,
    stress::{
        Connection, Target, Token,
        api::{self, Refusal, Sale},
        promises::Counts,
    },
};

/// For the status of a sale, which every node reads anew each second, to show the last order.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);
const STATUS_PAUSE: Duration = Duration::from_millis(250);

/// The sale that is pressed on.
pub(super) struct ChosenSale {
    pub(super) id: SaleId,
    pub(super) product: ProductId,
    pub(super) name: String,
    pub(super) initial_stock: u64,
}

/// The sale that the system shows.
pub(super) async fn shown(
    connection: &mut Connection<'_>,
    target: &Target,
    url: &str,
    token: &Token,
) -> anyhow::Result<Sale> {
    api::sale(connection, target, token)
        .await
        .map_err(|refusal| match refusal {
            Refusal::Refused { status: 401, .. } => anyhow::anyhow!(
                "{url} does not take our tokens: JWT_SECRET is not the one that `serve` has there"
            ),
            Refusal::Refused { code, .. } if code == "sale_not_found" => {
                anyhow::anyhow!("there is no sale at {url}")
            }
            refusal => anyhow::anyhow!("{url} does not show its sale: {refusal}"),
        })
}

/// The sale to press on. Another than the shown one can be looked up in the ledger only.
pub(super) async fn choose(
    wanted: Option<SaleId>,
    shown: Sale,
    ports: Option<&Ports>,
    now: DateTime<Utc>,
) -> anyhow::Result<ChosenSale> {
    if let (Some(id), Some(ports)) = (wanted, ports) {
        let sales = ports.ledger.sales(now).await?;
        let sale = sales.into_iter().find(|sale| sale.id == id);
        let sale = sale.with_context(|| format!("there is no sale {id}, or it has ended"))?;
        ensure!(
            sale.window.start <= now,
            "sale {id} is not open yet: it opens at {}",
            sale.window.start.format("%FT%TZ")
        );
        return Ok(ChosenSale {
            id,
            product: sale.product,
            name: sale.product_name,
            initial_stock: sale.initial_stock,
        });
    }
    let (Some(id), Some(product)) = (shown.id(), shown.product()) else {
        bail!("the system shows a sale with an impossible id");
    };
    if let Some(wanted) = wanted {
        ensure!(
            wanted == id,
            "the system shows sale {id}; for sale {wanted}, its settings have to be at hand: add --audit"
        );
    }
    match shown.status.as_str() {
        "active" => Ok(ChosenSale {
            id,
            product,
            name: shown.product_name,
            initial_stock: shown.initial_stock,
        }),
        "upcoming" => bail!(
            "sale {id} is not open yet: it opens at {}",
            shown.start_time
        ),
        _ => bail!(
            "no sale is open: the last one, {id}, ended at {}",
            shown.end_time
        ),
    }
}

/// What the sale's status says remains, once it can be true; `None` if it shows another sale or nothing.
pub(super) async fn remaining(
    connection: &mut Connection<'_>,
    target: &Target,
    token: &Token,
    chosen: &ChosenSale,
    counts: &Counts,
) -> Option<u64> {
    let deadline = tokio::time::Instant::now() + STATUS_PATIENCE;
    loop {
        let shown = api::sale(connection, target, token).await.ok();
        let shown = shown.filter(|sale| sale.id() == Some(chosen.id));
        let remaining = shown.map(|sale| sale.remaining_stock);
        let fits = remaining.is_some_and(|left| {
            left + counts.success + counts.untold_success <= chosen.initial_stock
        });
        if fits || tokio::time::Instant::now() >= deadline {
            return remaining;
        }
        tokio::time::sleep(STATUS_PAUSE).await;
    }
}
