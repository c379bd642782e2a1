//! The embedded system: one process and a data directory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Mutex,
};

use chrono::{DateTime, Utc};
use diesel::{RunQueryDsl, SqliteConnection, dsl::sql, sql_types::Text};
use tempfile::TempDir;
use uuid::Uuid;

use super::{GateBalance, System};
use crate::support::{api::Api, embedded, process::Process};

/// A data directory, and the process that has it once it is served.
pub struct OneProcess {
    home: TempDir,
    /// Of the API that was served last.
    url: Mutex<Option<String>>,
}

impl OneProcess {
    /// On a data directory that is not there yet.
    pub fn on_nothing() -> Self {
        Self {
            home: TempDir::new().unwrap(),
            url: Mutex::default(),
        }
    }

    /// The folder that its data directory is in.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn directory(&self) -> PathBuf {
        self.home.path().join("data")
    }

    pub fn file(&self) -> PathBuf {
        self.directory().join("flashsale.db")
    }

    /// Runs a command on the data directory, with no server within reach.
    pub fn run(&self, arguments: &[&str]) -> Process {
        self.run_with(arguments, &[])
    }

    pub fn run_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Process {
        Self::run_on(&self.directory(), arguments, more)
    }

    /// The same on any directory.
    pub fn run_on(directory: &Path, arguments: &[&str], more: &[(&str, &str)]) -> Process {
        let directory = directory.to_str().unwrap();
        let arguments = [arguments, &["--embedded", "--data-dir", directory]].concat();
        let mut environment = Self::environment();
        let more = more.iter();
        environment.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Process::start(&arguments, &environment)
    }

    pub async fn serve_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Api {
        let api = Api::of(self.run_with(&[&["serve"], arguments].concat(), more)).await;
        *self.url.lock().unwrap() = Some(api.url.clone());
        api
    }

    /// The first column of what a query answers.
    pub fn texts(&self, query: &str) -> Vec<String> {
        sql::<Text>(query).load(&mut self.conn()).unwrap()
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

    /// For one statement: a connection that stays would keep alive what a killed process leaves behind in memory, and
    /// whoever starts next would have nothing to recover.
    fn conn(&self) -> SqliteConnection {
        embedded::connect(&self.directory())
    }
}

impl System for OneProcess {
    type Worker = ();

    async fn start() -> Self {
        let system = Self::on_nothing();
        let engines = embedded::open(&system.directory(), std::time::Duration::from_mins(1));
        engines.close().await;
        system
    }

    async fn serve_as(&self, more: &[(&str, &str)]) -> Api {
        // Tests make what they need.
        self.serve_with(&["--no-seed"], more).await
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

    fn uuid(&self, id: Uuid) -> String {
        format!("X'{}'", id.simple())
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
        if gauge("loaded")? < 1.0 {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small whole numbers
        Some(GateBalance {
            available: gauge("available_units")? as i64,
            pending: gauge("pending_attempts")? as u64,
        })
    }

    async fn log_end(&self) -> i64 {
        self.number("SELECT coalesce(max(log_offset) + 1, 0) FROM attempt_log")
            .await
    }

    async fn dead_letter_causes(&self) -> Vec<String> {
        self.texts("SELECT cause FROM dead_letters")
    }
}
