//! What operators are shown. The command line prints the same with `--json`.

mod action;
mod dead_letter;
mod order;
mod overview;
mod product;
mod sale;
mod service_account;
mod user;
mod webhook;

use serde::Serialize;
use utoipa::ToSchema;

pub use action::ActionBody;
pub use dead_letter::{DeadLetterBody, DecidedBody, DecisionBody};
pub use order::{AttemptBody, CancelledOrderBody, OrderBody};
pub use overview::{OverviewBody, ServerBody};
pub use product::ProductBody;
pub use sale::{BalanceBody, SaleBody, SaleDetailBody, SteeredBody, StockBody};
pub use service_account::ServiceAccountBody;
pub use user::UserBody;
pub use webhook::{DeliveryBody, WebhookBody};

/// A part of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// To be given as `after` for what follows; `null`: this is the end.
    #[schema(example = "50")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Of rows that were read one more than a page has, to see whether there are more.
    pub fn of<R>(
        mut rows: Vec<R>,
        limit: u32,
        cursor: impl FnOnce(&R) -> String,
        body: impl FnMut(R) -> T,
    ) -> Self {
        let limit = limit as usize;
        let is_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| is_more).map(cursor);
        Self {
            items: rows.into_iter().map(body).collect(),
            next,
        }
    }
}
