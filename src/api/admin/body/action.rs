//! An entry of the action log as operators see it.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{http::timestamp, port::Action};

/// Who changed what, when and why.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionBody {
    /// Entries are numbered without gaps.
    #[schema(example = 17)]
    pub id: i64,
    #[schema(format = DateTime, example = "2030-11-29T12:05:00.000Z")]
    at: String,
    #[schema(example = "pause_sale")]
    action: &'static str,
    /// The sale that it concerns.
    #[schema(example = 1)]
    sale_id: Option<i64>,
    /// `product:3`, `sale:5`, `order:<attempt>`, `user:7`, `letter:<id>`.
    #[schema(example = "sale:1")]
    target: String,
    /// `user:7` for an account, `cli:alice` for a user of the command line.
    #[schema(example = "user:7")]
    actor: String,
    #[schema(example = "operator")]
    role: String,
    #[schema(example = "203.0.113.5")]
    address: Option<String>,
    #[schema(example = "The payment provider is down")]
    reason: String,
    /// The state before, with the fields that changed.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
}

impl From<Action> for ActionBody {
    fn from(action: Action) -> Self {
        Self {
            id: action.id.0,
            at: timestamp(action.at),
            action: action.name.as_str(),
            sale_id: action.sale.map(crate::ids::SaleId::value),
            target: action.target,
            actor: action.actor.name,
            role: action.actor.role,
            address: action.actor.address.map(|address| address.to_string()),
            reason: action.reason,
            before: action.before,
            after: action.after,
        }
    }
}
