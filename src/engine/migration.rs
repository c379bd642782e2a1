//! The state and the results of migrations, for all ledgers.

use crate::port::KeyClash;

/// A migration that this version contains or that the store records as applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    pub name: String,
    pub applied: bool,
}

/// The result of `migrate`.
#[derive(Debug, Default)]
pub struct Migrated {
    /// The migrations applied now, by name.
    pub applied: Vec<String>,
    pub clashes: Clashes,
}

/// Accounts whose names have the same key: the first of them, and their number.
#[derive(Debug, Default)]
pub struct Clashes {
    pub first: Vec<KeyClash>,
    pub count: u64,
}

/// Number of accounts whose keys are computed by one statement or in one transaction.
pub const KEYS_AT_ONCE: u32 = 1_000;

impl Clashes {
    /// Maximum number of clashes that are kept in memory and reported by name.
    const MAX_NAMED: usize = 1_000;

    pub fn add(&mut self, clashes: Vec<KeyClash>) {
        self.count += clashes.len() as u64;
        let room = Self::MAX_NAMED.saturating_sub(self.first.len());
        self.first.extend(clashes.into_iter().take(room));
    }
}
