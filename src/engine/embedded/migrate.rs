//! Applies, reverts and lists the migrations of the data file's schema. The migrations are part of the binary.

use std::{collections::BTreeSet, path::Path};

use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{DataFile, OpenError, keys};
use crate::engine::migration::{KEYS_AT_ONCE, Migrated, MigrationState, OwnMigrations};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

type HarnessResult<T> = diesel::migration::Result<T>;

impl DataFile {
    /// Applies the pending migrations, each in a transaction, and computes the keys of accounts that have none. Returns the
    /// applied migrations, and the accounts whose names clash.
    pub fn migrate(&mut self) -> Result<Migrated, OpenError> {
        let newer = self.with(|conn| Ok(own().unknown(&applied(conn)?)))?;
        if !newer.is_empty() {
            return Err(OpenError::Newer {
                file: self.path(),
                versions: newer,
            });
        }
        self.with(|conn| {
            let mut migrated = Migrated::default();
            for migration in conn.pending_migrations(MIGRATIONS)? {
                conn.run_migration(&migration)?;
                migrated.applied.push(migration.name().to_string());
            }
            let mut after = Some(i64::MIN);
            while let Some(last) = after {
                let page =
                    conn.immediate_transaction(|conn| keys::set_missing(conn, last, KEYS_AT_ONCE))?;
                after = page.last;
                migrated.clashes.add(page.clashes);
            }
            Ok(migrated)
        })
    }

    /// Reverts the last applied migration. Returns its name, or `None` if no migration is applied.
    pub fn revert(&mut self) -> Result<Option<String>, OpenError> {
        self.with(|conn| {
            if conn.applied_migrations()?.is_empty() {
                return Ok(None);
            }
            conn.revert_last_migration(MIGRATIONS)
                .map(|version| Some(own().name_of(&version)))
        })
    }

    /// Reverts all migrations, which deletes all data. Returns their names, the last one first.
    pub fn reset(&mut self) -> Result<Vec<String>, OpenError> {
        self.with(|conn| {
            let reverted = conn.revert_all_migrations(MIGRATIONS)?;
            Ok(reverted
                .iter()
                .map(|version| own().name_of(version))
                .collect())
        })
    }

    /// All migrations of this version in order, then those that only the file has.
    pub fn migrations(&mut self) -> Result<Vec<MigrationState>, OpenError> {
        self.with(|conn| Ok(own().compare(&applied(conn)?)))
    }

    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut diesel::SqliteConnection) -> HarnessResult<T>,
    ) -> Result<T, OpenError> {
        work(&mut self.conn).map_err(|error| OpenError::of(&self.path(), &error.to_string()))
    }
}

fn applied(conn: &mut diesel::SqliteConnection) -> HarnessResult<BTreeSet<String>> {
    let versions = conn.applied_migrations()?;
    Ok(versions.iter().map(ToString::to_string).collect())
}

/// Fails if a file that another process has lacks migrations, or has ones of a newer version.
pub(super) fn check(conn: &mut diesel::SqliteConnection, file: &Path) -> Result<(), OpenError> {
    let applied = applied(conn).map_err(|error| OpenError::of(file, &error.to_string()))?;
    let newer = own().unknown(&applied);
    if !newer.is_empty() {
        return Err(OpenError::Newer {
            file: file.to_owned(),
            versions: newer,
        });
    }
    if applied.len() < own().count() {
        return Err(OpenError::File {
            file: file.to_owned(),
            cause: "it lacks migrations: run `flashsale migrate --embedded`, or use the version that serves it".to_owned(),
        });
    }
    Ok(())
}

fn own() -> OwnMigrations<Sqlite> {
    OwnMigrations::of(&MIGRATIONS)
}
