//! Which accounts exist, for nodes that keep it in memory: read whole once, then kept current by what was removed.

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

/// Ids of a block. Runs of accounts do not reach beyond theirs, so that when the newest of a run was made says something about
/// all of them: a token that is younger is of an account that existed.
pub const ACCOUNT_BLOCK: i64 = 512;

/// Accounts with consecutive ids of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRun {
    pub first: UserId,
    pub last: UserId,
    /// When the newest of them was made.
    pub newest: DateTime<Utc>,
}

/// Accounts in the order of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountPage {
    pub runs: Vec<AccountRun>,
}

/// How far the removals of accounts have been read. Only the ledger that made it understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPosition {
    /// Changes when the ledger may have been set back or replaced: what was read before it counts no more.
    pub server: String,
    /// Removals before this one have all been read.
    pub at: u64,
    /// Removals behind `at` that have been read, too.
    pub seen: BTreeSet<i64>,
    /// When it was made, by the ledger's clock.
    pub made_at: DateTime<Utc>,
}

/// What became of accounts since a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountChanges {
    /// What was known before may be wrong: everything is to be read again.
    pub restart: bool,
    /// Ids whose accounts were deleted, or got another id. One of them may exist again by now.
    pub removed: Vec<RangeInclusive<i64>>,
    /// Accounts whose tokens were ended, or that were disabled or enabled, each with the rule that holds now.
    pub sessions: Vec<(UserId, SessionRule)>,
    /// From where to read on.
    pub position: AccountPosition,
    /// The highest id that was handed out; 0 if none was. It falls only when the ledger is set back.
    pub reached: i64,
}

/// One of the two names of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountName {
    Username,
    Email,
}

/// Two accounts whose names have one key. It is the holder's; the other account has none, and is found by its exact username.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyClash {
    pub kind: AccountName,
    /// Its id and the name as it is written there.
    pub holder: (i64, String),
    pub other: (i64, String),
}

/// What came of setting missing keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The last account that was looked at; `None`: there were none.
    pub last: Option<i64>,
    /// How many keys were set.
    pub set: u64,
    pub clashes: Vec<KeyClash>,
}

impl AccountRun {
    fn continues_with(&self, id: UserId) -> bool {
        self.last.value().checked_add(1) == Some(id.value()) && id.value() % ACCOUNT_BLOCK != 0
    }
}

impl AccountPage {
    /// How many accounts these are.
    #[must_use]
    pub fn len(&self) -> u64 {
        let size = |run: &AccountRun| run.first.value().abs_diff(run.last.value()) + 1;
        self.runs.iter().map(size).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The runs of accounts, which come in the order of their ids.
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
