//! The action log: who changed what, when and why; and the keys that make a repeated request one change.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::ids::SaleId;

/// An entry of the action log. They are numbered without gaps from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionId(pub i64);

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `user:7` for an account, `cli:alice` for a user of the machine on which the command ran.
    pub name: String,
    /// As the ledger writes it: `admin`, `operator`, …
    pub role: String,
    pub address: Option<IpAddr>,
}

/// What is kept with a change besides the change itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionEntry {
    pub actor: Actor,
    /// At most 500 characters; may be empty.
    pub reason: String,
    /// Stored in the transaction of the change, so that the change is made once.
    pub key: Option<IdempotencyKey>,
}

/// SHA-256 of method, path and body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// The header `Idempotency-Key` of a request, with the request's fingerprint. A key belongs to its actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// 1 to 255 characters.
    pub key: String,
    pub fingerprint: Fingerprint,
}

/// How a used key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyStanding {
    /// Used by another request: 422.
    OtherRequest,
    /// The first request has not been answered yet.
    Running {
        since: DateTime<Utc>,
    },
    Answered(StoredAnswer),
}

/// The first answer to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    pub status: u16,
    /// JSON.
    pub body: String,
}

/// What was done. The name in the ledger and the API is the variant in `snake_case`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionName {
    CreateProduct,
    ChangeProduct,
    CreateSale,
    EditSale,
    PublishSale,
    PauseSale,
    ResumeSale,
    EndSale,
    CancelSale,
    AddUnits,
    /// The request; its result is a `CloseWithdrawal`.
    BeginWithdrawal,
    CloseWithdrawal,
    CancelOrder,
    ReplayDeadLetter,
    DiscardDeadLetter,
    CreateUser,
    SetRole,
    DisableUser,
    EnableUser,
    SetPassword,
}

/// An entry of the action log.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    pub id: ActionId,
    pub at: DateTime<Utc>,
    pub name: ActionName,
    /// The sale that it concerns, if it concerns one.
    pub sale: Option<SaleId>,
    /// What was changed: `product:3`, `sale:5`, `order:<attempt id>`, `user:7`, `letter:<id>`.
    pub target: String,
    pub actor: Actor,
    pub reason: String,
    /// The state before and after, as JSON objects with the fields that the API shows; `None`: there was none.
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}
