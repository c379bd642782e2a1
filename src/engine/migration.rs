//! The migrations of a schema, their state and the results of applying them, for all ledgers.

use std::collections::BTreeSet;

use diesel::{
    backend::Backend,
    migration::{Migration, MigrationSource, MigrationVersion},
};

use crate::port::KeyClash;

/// The migrations that the binary contains, in their order.
pub struct OwnMigrations<DB: Backend>(Vec<Box<dyn Migration<DB>>>);

impl<DB: Backend> OwnMigrations<DB> {
    /// Reading them cannot fail, since they were compiled in.
    #[must_use]
    pub fn of(source: &impl MigrationSource<DB>) -> Self {
        let mut migrations = source.migrations().unwrap_or_default();
        migrations.sort_by(|one, other| one.name().version().cmp(&other.name().version()));
        Self(migrations)
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// All of them in order, then those that only the store has.
    #[must_use]
    pub fn compare(&self, applied: &BTreeSet<String>) -> Vec<MigrationState> {
        let own = self.0.iter().map(|migration| MigrationState {
            name: migration.name().to_string(),
            applied: applied.contains(&migration.name().version().to_string()),
        });
        let newer = self.unknown(applied).into_iter();
        let newer = newer.map(|name| MigrationState {
            name,
            applied: true,
        });
        own.chain(newer).collect()
    }

    /// Versions that the store has and the binary does not.
    #[must_use]
    pub fn unknown(&self, applied: &BTreeSet<String>) -> Vec<String> {
        let own: BTreeSet<String> = self
            .0
            .iter()
            .map(|migration| migration.name().version().to_string())
            .collect();
        applied.difference(&own).cloned().collect()
    }

    #[must_use]
    pub fn name_of(&self, version: &MigrationVersion<'_>) -> String {
        self.0
            .iter()
            .find(|migration| migration.name().version() == *version)
            .map_or_else(
                || version.to_string(),
                |migration| migration.name().to_string(),
            )
    }
}

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
