//! The action log: who changed what, when and why; and the keys that make a repeated request one change.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use super::MovementId;
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
    /// Stored in the transaction of the change, so that the change is made once. A change that is refused stores no key: the same
    /// request may be sent again when what refused it has changed.
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
    /// The first request has not been answered yet. A request that comes while that one's transaction runs does not wait for it.
    Running {
        since: DateTime<Utc>,
        /// What was done; `None` if nothing had to be changed, or if the transaction still runs. Its target names what was made or changed.
        action: Option<ActionId>,
        /// The withdrawal that it began, if it began one.
        movement: Option<MovementId>,
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
    SetScopes,
    RenewSecret,
    EraseUser,
    RemoveAttempts,
    AddWebhook,
    RemoveWebhook,
    RotateWebhook,
    ReplayWebhook,
    /// Written by a newer version of the program. This one never writes it.
    Unknown,
}

impl ActionName {
    /// The name in the ledger and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateProduct => "create_product",
            Self::ChangeProduct => "change_product",
            Self::CreateSale => "create_sale",
            Self::EditSale => "edit_sale",
            Self::PublishSale => "publish_sale",
            Self::PauseSale => "pause_sale",
            Self::ResumeSale => "resume_sale",
            Self::EndSale => "end_sale",
            Self::CancelSale => "cancel_sale",
            Self::AddUnits => "add_units",
            Self::BeginWithdrawal => "begin_withdrawal",
            Self::CloseWithdrawal => "close_withdrawal",
            Self::CancelOrder => "cancel_order",
            Self::ReplayDeadLetter => "replay_dead_letter",
            Self::DiscardDeadLetter => "discard_dead_letter",
            Self::CreateUser => "create_user",
            Self::SetRole => "set_role",
            Self::DisableUser => "disable_user",
            Self::EnableUser => "enable_user",
            Self::SetPassword => "set_password",
            Self::SetScopes => "set_scopes",
            Self::RenewSecret => "renew_secret",
            Self::EraseUser => "erase_user",
            Self::RemoveAttempts => "remove_attempts",
            Self::AddWebhook => "add_webhook",
            Self::RemoveWebhook => "remove_webhook",
            Self::RotateWebhook => "rotate_webhook",
            Self::ReplayWebhook => "replay_webhook",
            Self::Unknown => "unknown",
        }
    }

    /// The action of a name in the ledger.
    #[must_use]
    pub fn of(name: &str) -> Self {
        const ALL: [ActionName; 28] = [
            ActionName::CreateProduct,
            ActionName::ChangeProduct,
            ActionName::CreateSale,
            ActionName::EditSale,
            ActionName::PublishSale,
            ActionName::PauseSale,
            ActionName::ResumeSale,
            ActionName::EndSale,
            ActionName::CancelSale,
            ActionName::AddUnits,
            ActionName::BeginWithdrawal,
            ActionName::CloseWithdrawal,
            ActionName::CancelOrder,
            ActionName::ReplayDeadLetter,
            ActionName::DiscardDeadLetter,
            ActionName::CreateUser,
            ActionName::SetRole,
            ActionName::DisableUser,
            ActionName::EnableUser,
            ActionName::SetPassword,
            ActionName::SetScopes,
            ActionName::RenewSecret,
            ActionName::EraseUser,
            ActionName::RemoveAttempts,
            ActionName::AddWebhook,
            ActionName::RemoveWebhook,
            ActionName::RotateWebhook,
            ActionName::ReplayWebhook,
        ];
        let known = ALL.into_iter().find(|action| action.as_str() == name);
        known.unwrap_or(Self::Unknown)
    }
}

/// A change as the action log describes it. Id and time of its entry are the ledger's, actor and reason those of [`ActionEntry`].
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub name: ActionName,
    pub sale: Option<SaleId>,
    pub target: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

/// An entry of the action log.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    pub id: ActionId,
    pub at: DateTime<Utc>,
    pub name: ActionName,
    /// The sale that it concerns, if it concerns one.
    pub sale: Option<SaleId>,
    /// What was changed: `product:3`, `sale:5`, `order:<attempt id>`, `user:7`, `letter:<id>`, `webhook:<id>`.
    pub target: String,
    pub actor: Actor,
    pub reason: String,
    /// The state before and after, as JSON objects with the fields that the API shows; `None`: there was none.
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

/// What the check of the action log found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionLogCheck {
    /// How many entries are as they were written, from the first one on.
    pub entries: u64,
    /// What is wrong right after them, for people; `None`: the log is whole.
    pub broken: Option<String>,
}
