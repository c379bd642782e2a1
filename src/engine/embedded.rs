//! All three ports in one process: the gate in memory, log and ledger in one SQLite file of a data directory.
//!
//! Here the parts are put together and opened. `directory` sees to it that one process has the file, `connect` and
//! `store` are how it is read and written, `migrate` is its schema; `gate`, `log` and `ledger` are the ports on top.

mod accounts;
mod admission;
mod audit;
mod connect;
mod directory;
mod ended;
pub mod export;
mod gate;
mod identity;
mod keys;
mod leases;
mod ledger;
mod log;
pub mod migrate;
mod outcomes;
mod results;
mod sales;
mod schema;
pub mod seed;
mod settle;
mod store;
mod users;
mod values;
mod wal;

pub use directory::DataDirectory;
pub use gate::MemoryGate;
pub use ledger::SqliteLedger;
pub use log::SqliteLog;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use diesel::SqliteConnection;

use self::{results::ResultStore, store::Store, values::millis};
use crate::clock::Clock;

/// A statement for SQLite, written by hand.
type Prepared = super::prepared::Prepared<diesel::sqlite::Sqlite>;

/// Why a data directory cannot be used. Each is one line for its owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("the data directory {} cannot be used: {cause} (--data-dir, FLASHSALE_DATA_DIR)", .path.display())]
    Directory { path: PathBuf, cause: String },
    #[error(
        "the data directory {} is in use by another flashsale (process {pid}); stop that, or choose another directory with --data-dir",
        .path.display()
    )]
    InUse { path: PathBuf, pid: String },
    #[error("the data file {} is damaged: {cause}; put a sound copy of the whole directory in the place of this one", .file.display())]
    Damaged { file: PathBuf, cause: String },
    #[error(
        "the data file {} was written by a newer flashsale (it has {}); use that version",
        .file.display(), .versions.join(", ")
    )]
    Newer {
        file: PathBuf,
        versions: Vec<String>,
    },
    #[error("the data file {} cannot be used: {cause}", .file.display())]
    File { file: PathBuf, cause: String },
}

impl OpenError {
    /// What is wrong with a file, by SQLite's own words for `SQLITE_NOTADB` and `SQLITE_CORRUPT`.
    fn of(file: &Path, cause: &str) -> Self {
        let (file, cause) = (file.to_owned(), cause.replace('\n', " "));
        if cause.contains("file is not a database") || cause.contains("malformed") {
            Self::Damaged { file, cause }
        } else {
            Self::File { file, cause }
        }
    }
}

/// The data file of a directory, before anything runs on it.
pub struct DataFile {
    // Closed before the directory is let go.
    conn: SqliteConnection,
    directory: DataDirectory,
}

/// The three ports on one data directory, which is this process's until it is closed.
pub struct Embedded {
    pub gate: Arc<MemoryGate>,
    pub log: Arc<SqliteLog>,
    pub ledger: Arc<SqliteLedger>,
    store: Store,
    directory: DataDirectory,
}

impl DataFile {
    /// Takes the directory and opens its file; makes both if they are missing. Reads the whole file once: a damaged one
    /// is found out now, and not when a shopper needs it.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        Self::open_in(DataDirectory::take(directory)?)
    }

    /// The same, in a directory that is ours already.
    pub fn open_in(directory: DataDirectory) -> Result<Self, OpenError> {
        let file = directory.file();
        directory.keep_files_private()?;
        wal::check(&file)?;
        directory.make_file().map_err(|error| OpenError::File {
            file: file.clone(),
            cause: error.to_string(),
        })?;
        // Before anything is written: SQLite takes its log into the file when the last connection closes.
        connect::check(&file)?;
        let mut conn = connect::writer(&file)?;
        connect::begin_log(&mut conn, &file)?;
        Ok(Self { conn, directory })
    }

    /// Where the file of a directory is.
    #[must_use]
    pub fn path_in(directory: &Path) -> PathBuf {
        directory.join(directory::FILE)
    }

    /// Where it is.
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

    /// The engines to look into a file that has all its migrations: nothing is changed by starting them.
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
    /// Waits until nothing can be written any more, and says why: the process must end then, since only opening the file
    /// anew tells what is in it.
    pub fn failure(&self) -> impl Future<Output = String> + Send + 'static {
        let store = self.store.clone();
        async move { store.failure().await }
    }

    /// Writes what waits and closes the file. Every call of the ports fails from then on. The directory stays ours until
    /// what is answered is dropped.
    pub async fn close(self) -> DataDirectory {
        self.store.close().await;
        self.directory
    }
}
