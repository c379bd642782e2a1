//! The action log as a hash chain: the text that is hashed of each entry, and the check of the whole log. The format is described in
//! `docs/adr/0022-the-action-log-is-a-hash-chain.md`; every ledger writes and checks it with this code.

mod accesses;
mod changes;
mod check;
mod erasure;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use accesses::{
    added_webhook, changed_service_account, made_service_account, removed_webhook,
    replayed_webhook, rotated_webhook,
};
pub use changes::{
    begun_withdrawal, cancelled_order, changed_product, changed_sale, closed_withdrawal,
    removed_attempts,
};
pub use check::{Broken, ChainCheck};
pub use erasure::{ERASED, ERASED_STATE, ErasedPerson};

use crate::{
    ids::SaleId,
    port::{Action, ActionEntry, ActionId, ActionName, Actor, Change},
};

/// A SHA-256.
pub type Hash = [u8; 32];

/// The end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// 0: the log is empty.
    pub id: i64,
    pub hash: Hash,
}

impl Head {
    /// Of an empty log.
    pub const EMPTY: Self = Self {
        id: 0,
        hash: [0; 32],
    };
}

/// An entry as the ledgers store it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAction {
    pub id: i64,
    /// To the millisecond.
    pub at: DateTime<Utc>,
    pub action: String,
    pub sale: Option<i64>,
    pub target: String,
    pub actor: String,
    pub role: String,
    pub address: Option<String>,
    pub reason: String,
    /// JSON, byte for byte as it was written.
    pub before: Option<String>,
    pub after: Option<String>,
    pub previous_hash: Vec<u8>,
    pub hash: Vec<u8>,
}

/// The entry that follows `head`.
#[must_use]
pub fn next(head: &Head, at: DateTime<Utc>, change: &Change, entry: &ActionEntry) -> StoredAction {
    let mut stored = StoredAction {
        id: head.id + 1,
        at: at.trunc_subsecs(3),
        action: change.name.as_str().to_owned(),
        sale: change.sale.map(SaleId::value),
        target: plain(&change.target),
        actor: plain(&entry.actor.name),
        role: plain(&entry.actor.role),
        address: entry.actor.address.map(|address| address.to_string()),
        reason: plain(&entry.reason),
        before: change.before.as_ref().map(Value::to_string),
        after: change.after.as_ref().map(Value::to_string),
        previous_hash: head.hash.to_vec(),
        hash: Vec::new(),
    };
    stored.hash = stored.computed_hash().to_vec();
    stored
}

/// PostgreSQL takes no NUL in a text.
fn plain(text: &str) -> String {
    text.replace('\0', " ")
}

impl StoredAction {
    /// SHA-256 of the 32 bytes of `previous_hash` and the canonical text.
    #[must_use]
    pub fn computed_hash(&self) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(&self.previous_hash);
        hasher.update(self.canonical_text().as_bytes());
        hasher.finalize().into()
    }

    /// The head of a log that ends with this entry.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        let hash = Hash::try_from(self.hash.as_slice()).ok()?;
        Some(Head { id: self.id, hash })
    }

    /// A line of the format's name, then one field after the other: its length in bytes, a colon, its text, a line feed; or a minus
    /// sign and a line feed for none. The lengths keep two entries with different fields from having one text.
    #[must_use]
    pub fn canonical_text(&self) -> String {
        let id = self.id.to_string();
        let at = self.at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let sale = self.sale.map(|sale| sale.to_string());
        let fields = [
            Some(id.as_str()),
            Some(&at),
            Some(&self.action),
            sale.as_deref(),
            Some(&self.target),
            Some(&self.actor),
            Some(&self.role),
            self.address.as_deref(),
            Some(&self.reason),
            self.before.as_deref(),
            self.after.as_deref(),
        ];
        let mut text = "flashsale action 1\n".to_owned();
        for field in fields {
            match field {
                Some(field) => text.extend([&field.len().to_string(), ":", field, "\n"]),
                None => text.push_str("-\n"),
            }
        }
        text
    }

    /// As the port has it. The program wrote the texts; one that it cannot read, since it was changed by hand, is left out.
    #[must_use]
    pub fn to_action(&self) -> Action {
        let json = |text: Option<&str>| serde_json::from_str(text?).ok();
        Action {
            id: ActionId(self.id),
            at: self.at,
            name: ActionName::of(&self.action),
            sale: self.sale.and_then(SaleId::new),
            target: self.target.clone(),
            actor: Actor {
                name: self.actor.clone(),
                role: self.role.clone(),
                address: self.address.as_ref().and_then(|text| text.parse().ok()),
            },
            reason: self.reason.clone(),
            before: json(self.before.as_deref()),
            after: json(self.after.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests;
