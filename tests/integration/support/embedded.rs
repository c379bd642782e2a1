//! Data files of a test's own.

use std::{path::Path, sync::Arc, time::Duration};

use diesel::{
    Connection, QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection,
    sql_types::BigInt,
};
use flashsale::{
    clock::{Clock, SystemClock},
    engine::embedded::{DataFile, Embedded},
};
use tempfile::TempDir;

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Engines on a new data directory, which goes with the first of the two.
pub fn start(result_ttl: Duration) -> (TempDir, Embedded) {
    let directory = TempDir::new().unwrap();
    let engines = open(directory.path(), result_ttl);
    (directory, engines)
}

/// Engines on a data directory.
pub fn open(directory: &Path, result_ttl: Duration) -> Embedded {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut data = DataFile::open(directory).unwrap();
    data.migrate().unwrap();
    data.start(&clock, result_ttl).unwrap()
}

/// A connection for statements by hand, beside whoever has the file.
pub fn connect(directory: &Path) -> SqliteConnection {
    let file = directory.join("flashsale.db");
    let mut conn = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    conn.batch_execute("PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON")
        .unwrap();
    conn
}

/// Runs a statement; how many rows it changed.
pub fn execute(conn: &mut SqliteConnection, statement: &str) -> Result<u64, String> {
    diesel::sql_query(statement)
        .execute(conn)
        .map(|changed| changed as u64)
        .map_err(|error| error.to_string())
}

/// The one number that a query answers.
pub fn number(conn: &mut SqliteConnection, query: &str) -> i64 {
    let row: NumberRow = diesel::sql_query(format!("SELECT ({query}) AS number"))
        .get_result(conn)
        .unwrap_or_else(|error| panic!("{query}: {error}"));
    row.number
}
