//! The set of existing accounts, for nodes that keep it in memory: they read it once as a whole, and then only its changes.

use std::{collections::BTreeSet, ops::RangeInclusive};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::SessionRule;
use crate::ids::UserId;

/// What the bearer of an account's token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, accounts included.
    Admin,
    /// Runs sales.
    Operator,
    /// Reads what operators read, to answer shoppers.
    Support,
    /// Reads what operators read, to check them.
    Auditor,
    /// A program of the shop. Its scopes say what it may do.
    Service,
    /// A shopper; also an account or a token with a role that is not known here.
    #[default]
    #[serde(other)]
    User,
}

impl Role {
    pub const ALL: [Self; 6] = [
        Self::Admin,
        Self::Operator,
        Self::Support,
        Self::Auditor,
        Self::Service,
        Self::User,
    ];

    /// The role as ledgers and tokens write it.
    #[must_use]
    pub fn to_sql(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Support => "support",
            Self::Auditor => "auditor",
            Self::Service => "service",
            Self::User => "user",
        }
    }

    /// The role that a ledger wrote. A word of a later version is a shopper's.
    #[must_use]
    pub fn from_sql(word: &str) -> Self {
        let known = Self::ALL.into_iter().find(|role| role.to_sql() == word);
        known.unwrap_or_default()
    }
}

/// Number of ids in a block. A run of accounts lies within one block, so that the time at which its newest account was made is
/// meaningful for all of them: the account of a token that was issued later existed.
pub const ACCOUNT_BLOCK: i64 = 512;

/// Accounts with consecutive ids of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRun {
    pub first: UserId,
    pub last: UserId,
    /// When the newest of these accounts was made.
    pub newest: DateTime<Utc>,
}

/// Accounts in the order of their ids, as runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountPage {
    pub runs: Vec<AccountRun>,
}

/// A position in the ledger's sequence of account removals. Its meaning is private to the engine that returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPosition {
    /// Identifies the state of the ledger. It changes when the ledger may have been set back or replaced: everything read under
    /// another epoch must be discarded.
    pub epoch: String,
    /// Every removal before this point has been read. The engine chooses the unit: a transaction id, a row id or a count.
    pub read_before: u64,
    /// Ids of removals at or after `read_before` that have been read already.
    pub seen: BTreeSet<i64>,
    /// When the position was taken, by the ledger's clock.
    pub made_at: DateTime<Utc>,
}

/// Whether what a reader of accounts read before a position still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlierReads {
    /// The changes are all that is new.
    Valid,
    /// It may be wrong: the reader has to read all accounts again.
    Void,
}

/// The changes of accounts since a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountChanges {
    pub earlier: EarlierReads,
    /// Ids whose accounts were deleted, or got another id. Some of these ids may have an account again by now.
    pub removed: Vec<RangeInclusive<i64>>,
    /// Accounts whose tokens were ended, or that were disabled or enabled, each with the rule that holds now.
    pub sessions: Vec<(UserId, SessionRule)>,
    /// From where to read on.
    pub position: AccountPosition,
    /// The highest account id that was ever assigned; 0 if none was. It falls only when the ledger is set back.
    pub reached: i64,
}

/// One of the two names of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountName {
    Username,
    Email,
}

/// Two accounts whose names have the same key. The holder has the key. The other account has none, and is found by its exact
/// username only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyClash {
    pub kind: AccountName,
    /// Id of the account that has the key, and its name as stored.
    pub holder: (i64, String),
    /// Id of the account without the key, and its name as stored.
    pub other: (i64, String),
}

/// The outcome of setting missing keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// Id of the last account of this page; `None` if no further account lacks a key.
    pub last: Option<i64>,
    /// Number of keys that were set.
    pub set: u64,
    pub clashes: Vec<KeyClash>,
}

impl AccountRun {
    fn continues_with(&self, id: UserId) -> bool {
        self.last.value().checked_add(1) == Some(id.value()) && id.value() % ACCOUNT_BLOCK != 0
    }
}

impl AccountPage {
    /// Number of accounts in all runs.
    #[must_use]
    pub fn len(&self) -> u64 {
        let size = |run: &AccountRun| run.first.value().abs_diff(run.last.value()) + 1;
        self.runs.iter().map(size).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Joins accounts, which must be in the order of their ids, to runs.
    pub fn of(accounts: impl IntoIterator<Item = (UserId, DateTime<Utc>)>) -> Self {
        let mut runs: Vec<AccountRun> = Vec::new();
        for (id, made_at) in accounts {
            match runs.last_mut() {
                Some(run) if run.continues_with(id) => {
                    run.last = id;
                    run.newest = run.newest.max(made_at);
                }
                _ => runs.push(AccountRun {
                    first: id,
                    last: id,
                    newest: made_at,
                }),
            }
        }
        Self { runs }
    }
}
