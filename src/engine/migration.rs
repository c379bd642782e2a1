//! What there is to say of a migration, whatever the ledger.

use crate::port::KeyClash;

/// One migration of this version or of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    pub name: String,
    pub applied: bool,
}

/// What `migrate` did.
#[derive(Debug, Default)]
pub struct Migrated {
    /// The migrations applied now, by name.
    pub applied: Vec<String>,
    pub clashes: Clashes,
}

/// Accounts whose names have one key: some, and how many there are.
#[derive(Debug, Default)]
pub struct Clashes {
    pub first: Vec<KeyClash>,
    pub count: u64,
}

/// Accounts whose keys are computed by one statement, or in one transaction.
pub const KEYS_AT_ONCE: u32 = 1_000;

impl Clashes {
    /// As many are kept in memory, and named.
    const NAMED: usize = 1_000;

    pub fn add(&mut self, clashes: Vec<KeyClash>) {
        self.count += clashes.len() as u64;
        let room = Self::NAMED.saturating_sub(self.first.len());
        self.first.extend(clashes.into_iter().take(room));
    }
}
