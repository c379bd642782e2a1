//! All three ports in one process: the gate in memory, the log and the ledger in one SQLite file in a data directory.
//!
//! This file assembles and opens the parts. `directory` ensures that only one process uses the file, `connect` and `store`
//! read and write it, `migrate` applies its schema, and `gate`, `log` and `ledger` implement the ports.

mod account_ids;
mod account_store;
mod accounts;
mod admin;
mod admission;
mod audit;
mod beside;
mod connect;
mod directory;
mod ended;
mod events;
pub mod export;
mod external_identities;
mod gate;
mod identity;
mod keys;
mod leases;
mod ledger;
mod log;
pub mod migrate;
mod nodes;
mod open_error;
mod outcomes;
mod owners;
mod prepared;
mod results;
mod sales;
mod schema;
mod service_accounts;
mod settle;
mod store;
mod users;
mod values;
mod wal;
mod webhooks;

pub use beside::{LedgerBeside, copy};
pub use directory::DataDirectory;
pub use gate::MemoryGate;
pub use ledger::SqliteLedger;
pub use log::SqliteLog;
pub use nodes::MemoryFigures;
pub use open_error::OpenError;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use diesel::SqliteConnection;

use self::{prepared::Prepared, results::ResultStore, store::Store, values::millis};
use crate::clock::Clock;

/// The open data file of a directory, before the engines are started on it.
pub struct DataFile {
    // Declared first, so that it is closed before the directory is released.
    conn: SqliteConnection,
    directory: DataDirectory,
}

/// The three ports on one data directory, which this process owns until it is closed.
pub struct Embedded {
    pub gate: Arc<MemoryGate>,
    pub log: Arc<SqliteLog>,
    pub ledger: Arc<SqliteLedger>,
    store: Store,
    directory: DataDirectory,
}

impl DataFile {
    /// Takes the directory and opens its file; creates both if they are missing. Reads the whole file once, so that damage is
    /// detected now and not during a request.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        Self::open_in(DataDirectory::take(directory)?)
    }

    /// Opens the file of a directory that this process has taken already.
    pub fn open_in(directory: DataDirectory) -> Result<Self, OpenError> {
        let file = directory.file();
        directory.keep_files_private()?;
        wal::check(&file)?;
        directory.make_file().map_err(|error| OpenError::File {
            file: file.clone(),
            cause: error.to_string(),
        })?;
        // Checked before anything is written: SQLite moves its log into the file when the last connection closes.
        connect::check(&file)?;
        let mut conn = connect::writer(&file)?;
        connect::begin_log(&mut conn, &file)?;
        Ok(Self { conn, directory })
    }

    /// The path of the data file in a directory.
    #[must_use]
    pub fn path_in(directory: &Path) -> PathBuf {
        directory.join(directory::FILE)
    }

    /// The path of this data file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.file()
    }

    /// Starts the engines on a file that has all its migrations. `result_ttl` is how long results can be read.
    pub fn start(
        mut self,
        clock: &Arc<dyn Clock>,
        result_ttl: Duration,
    ) -> Result<Embedded, OpenError> {
        let file = self.path();
        let failed = |error: diesel::result::Error| OpenError::of(&file, &error.to_string());
        leases::clear(&mut self.conn).map_err(failed)?;
        results::forget_expired(&mut self.conn, millis(clock.now())).map_err(failed)?;
        self.look_into(clock, result_ttl)
    }

    /// Starts the engines to inspect a file that has all its migrations. Starting them changes nothing in the file.
    pub fn look_into(
        mut self,
        clock: &Arc<dyn Clock>,
        result_ttl: Duration,
    ) -> Result<Embedded, OpenError> {
        let file = self.path();
        let failed = |error: diesel::result::Error| OpenError::of(&file, &error.to_string());
        let end = log::end(&mut self.conn).map_err(failed)?;
        let id = identity::read(&mut self.conn).map_err(failed)?;
        let store = Store::start(self.conn, &file)?;
        let results = ResultStore::new(store.clone(), Arc::clone(clock), result_ttl, end);
        Ok(Embedded {
            gate: Arc::new(MemoryGate::new(Arc::clone(clock), results)),
            log: Arc::new(SqliteLog::new(store.clone(), Arc::clone(clock), end)),
            ledger: Arc::new(SqliteLedger::new(
                id,
                store.clone(),
                Arc::clone(clock),
                result_ttl,
            )),
            store,
            directory: self.directory,
        })
    }
}

impl Embedded {
    /// Waits until the store has failed, and returns the cause. The process must end then, because only opening the file again
    /// shows which writes it contains.
    pub fn failure(&self) -> impl Future<Output = String> + Send + 'static {
        let store = self.store.clone();
        async move { store.failure().await }
    }

    /// Executes the waiting writes and closes the file. Every call of the ports fails from then on. The process owns the
    /// directory until the returned value is dropped.
    pub async fn close(self) -> DataDirectory {
        self.store.close().await;
        self.directory
    }
}
