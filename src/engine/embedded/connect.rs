//! Opens connections to the data file, and detects a damaged file. `store` runs work on the connections.

use std::path::Path;

use diesel::{
    Connection, QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection,
    sql_types::Text,
};

use super::OpenError;

/// For every connection. Another process may read the file, or add a sale to it, while it is served: a process waits up to 10 s
/// for a lock of the other one.
const ALL: &str = "
    PRAGMA busy_timeout = 10000;
    PRAGMA foreign_keys = ON;
    PRAGMA temp_store = MEMORY;";

/// For the connection that writes, which also sets the mode WAL: readers do not block it. FULL means that a commit is on disk
/// when it returns. The log is checkpointed every 16 MiB (4,096 pages), and cut to 64 MiB after a checkpoint if it is larger.
/// On macOS a flush reaches the disk only with `fullfsync`; other systems ignore this setting.
const WRITER: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON;
    PRAGMA wal_autocheckpoint = 4096;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -16000;";

const READER: &str = "
    PRAGMA query_only = ON;
    PRAGMA cache_size = -4000;";

#[derive(QueryableByName)]
struct CheckRow {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

#[derive(QueryableByName)]
struct ModeRow {
    #[diesel(sql_type = Text)]
    journal_mode: String,
}

/// Opens the connection that writes. Creates the file if it is missing.
pub(super) fn writer(file: &Path) -> Result<SqliteConnection, OpenError> {
    let mut conn = open(file, WRITER)?;
    let mode: ModeRow = diesel::sql_query("PRAGMA journal_mode = WAL")
        .get_result(&mut conn)
        .map_err(|error| OpenError::of(file, &error.to_string()))?;
    if mode.journal_mode == "wal" {
        Ok(conn)
    } else {
        // WAL needs shared memory, which some network file systems do not have.
        Err(OpenError::File {
            file: file.to_owned(),
            cause: "its file system cannot have a write-ahead log; use a local disk".to_owned(),
        })
    }
}

/// A connection that copies the file into another one; SQLite takes that for writing.
pub(super) fn copier(file: &Path) -> Result<SqliteConnection, OpenError> {
    open(file, "PRAGMA cache_size = -4000;")
}

/// A connection that only reads.
pub(super) fn reader(file: &Path) -> Result<SqliteConnection, OpenError> {
    open(file, READER)
}

fn open(file: &Path, settings: &str) -> Result<SqliteConnection, OpenError> {
    let mut conn = SqliteConnection::establish(&file.to_string_lossy())
        .map_err(|error| OpenError::of(file, &error.to_string()))?;
    conn.batch_execute(ALL)
        .and_then(|()| conn.batch_execute(settings))
        .map_err(|error| OpenError::of(file, &error.to_string()))?;
    Ok(conn)
}

/// Reads every page once, and fails if the file's structure is damaged. The time grows with the size of the file. Changes
/// neither the file nor its log.
pub(super) fn check(file: &Path) -> Result<(), OpenError> {
    let failed = |error: &dyn std::fmt::Display| OpenError::of(file, &error.to_string());
    let path = file.to_string_lossy();
    // These characters have a meaning in a URI.
    let path = path
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    let mut conn = SqliteConnection::establish(&format!("file:{path}?mode=ro"))
        .map_err(|error| failed(&error))?;
    let found: CheckRow = diesel::sql_query("PRAGMA quick_check(1)")
        .get_result(&mut conn)
        .map_err(|error| failed(&error))?;
    if found.quick_check == "ok" {
        Ok(())
    } else {
        Err(OpenError::Damaged {
            file: file.to_owned(),
            cause: found.quick_check.replace('\n', " "),
        })
    }
}

/// Copies the content of the log into the file and empties the log, so that it has only frames of this process. `wal` relies on
/// that.
pub(super) fn begin_log(conn: &mut SqliteConnection, file: &Path) -> Result<(), OpenError> {
    conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")
        .map_err(|error| OpenError::of(file, &error.to_string()))
}
