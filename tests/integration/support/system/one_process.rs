//! The embedded system: one process and a data directory.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, MutexGuard},
};

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_types::Text};
use tempfile::TempDir;

use super::{GateBalance, System};
use crate::support::{api::Api, embedded, process::Process};

/// A data directory, and the process that has it once it is served.
pub struct OneProcess {
    directory: TempDir,
    conn: Mutex<SqliteConnection>,
    /// Of the API that was served last.
    url: Mutex<Option<String>>,
}

#[derive(QueryableByName)]
struct CauseRow {
    #[diesel(sql_type = Text)]
    cause: String,
}

impl OneProcess {
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs the binary with no server within reach; a command that takes a data directory gets this one.
    pub fn run(&self, arguments: &[&str]) -> Process {
        let directory = self.directory().to_str().unwrap();
        let arguments = [arguments, &["--embedded", "--data-dir", directory]].concat();
        Process::start(&arguments, &Self::environment())
    }

    /// Every server is at a port where nobody listens.
    pub fn environment() -> BTreeMap<String, String> {
        let nowhere = [
            ("POSTGRES_HOST", "127.0.0.1"),
            ("POSTGRES_PORT", "1"),
            ("REDIS_HOST", "127.0.0.1"),
            ("REDIS_PORT", "1"),
            ("KAFKA_BROKERS", "127.0.0.1:1"),
        ];
        let nowhere = nowhere.map(|(name, value)| (name.to_owned(), value.to_owned()));
        super::environment().into_iter().chain(nowhere).collect()
    }

    fn conn(&self) -> MutexGuard<'_, SqliteConnection> {
        self.conn.lock().unwrap()
    }
}

impl System for OneProcess {
    type Worker = ();

    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let engines = embedded::open(directory.path(), std::time::Duration::from_mins(1));
        engines.close().await;
        Self {
            conn: Mutex::new(embedded::connect(directory.path())),
            directory,
            url: Mutex::default(),
        }
    }

    async fn serve(&self) -> Api {
        let api = Api::of(self.run(&["serve"])).await;
        *self.url.lock().unwrap() = Some(api.url.clone());
        api
    }

    async fn worker(&self) {}

    fn worker_output(&self, api: &Api, (): &()) -> String {
        api.process.output()
    }

    async fn sql(&self, statement: &str) {
        embedded::execute(&mut self.conn(), statement).unwrap();
    }

    async fn number(&self, query: &str) -> i64 {
        embedded::number(&mut self.conn(), query)
    }

    fn instant(&self, at: DateTime<Utc>) -> String {
        at.timestamp_millis().to_string()
    }

    /// From the process's own metrics: its gate can be asked by nobody else.
    async fn gate_balance(&self, sale: i64) -> Option<GateBalance> {
        let url = self.url.lock().unwrap().clone()?;
        let page = reqwest::get(format!("{url}/metrics")).await.ok()?;
        let page = page.text().await.ok()?;
        let gauge = |name: &str| {
            let start = format!("flashsale_sale_{name}{{sale=\"{sale}\"}} ");
            let line = page.lines().find_map(|line| line.strip_prefix(&start))?;
            line.parse::<f64>().ok()
        };
        if gauge("open")? < 1.0 {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small whole numbers
        Some(GateBalance {
            available: gauge("available")? as i64,
            pending: gauge("pending")? as u64,
        })
    }

    async fn log_end(&self) -> i64 {
        self.number("SELECT coalesce(max(log_offset) + 1, 0) FROM attempt_log")
            .await
    }

    async fn dead_letter_causes(&self) -> Vec<String> {
        let rows: Vec<CauseRow> = diesel::sql_query("SELECT cause FROM dead_letters")
            .load(&mut *self.conn())
            .unwrap();
        rows.into_iter().map(|row| row.cause).collect()
    }
}
