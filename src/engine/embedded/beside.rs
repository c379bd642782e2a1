//! A data file that another process serves: its ledger for a short change, and a copy of the file. SQLite lets one process write
//! after the other; what is written here is as durable as what that process writes.

use std::{path::Path, sync::Arc, time::Duration};

use diesel::connection::SimpleConnection;

use super::{DataFile, OpenError, SqliteLedger, connect, identity, migrate, store::Store};
use crate::clock::Clock;

/// The ledger of a data directory that another process has.
pub struct LedgerBeside {
    pub ledger: Arc<SqliteLedger>,
    store: Store,
}

impl LedgerBeside {
    /// Opens the file, which must be there and have all its migrations.
    pub fn open(
        directory: &Path,
        clock: &Arc<dyn Clock>,
        result_ttl: Duration,
    ) -> Result<Self, OpenError> {
        let file = DataFile::path_in(directory);
        let mut conn = connect::writer(&file)?;
        migrate::check(&mut conn, &file)?;
        let id = identity::read(&mut conn);
        let id = id.map_err(|error| OpenError::of(&file, &error.to_string()))?;
        let store = Store::start(conn, &file)?;
        let ledger = SqliteLedger::new(id, store.clone(), Arc::clone(clock), result_ttl);
        Ok(Self {
            ledger: Arc::new(ledger),
            store,
        })
    }

    /// Writes what waits.
    pub async fn close(self) {
        self.store.close().await;
    }
}

/// Copies a data file as it is at one moment, while another process may write it, into a file that is empty. Neither waits for
/// the other: the copy is read from one snapshot of the write-ahead log. The log grows meanwhile.
pub fn copy(directory: &Path, to: &Path) -> Result<(), OpenError> {
    let file = DataFile::path_in(directory);
    let mut conn = connect::copier(&file)?;
    migrate::check(&mut conn, &file)?;
    let literal = to.to_string_lossy().replace('\'', "''");
    conn.batch_execute(&format!("VACUUM INTO '{literal}'"))
        .map_err(|error| OpenError::of(&file, &error.to_string()))
}
