//! PostgreSQL for tests: each gets a database of its own, copied from a migrated one that is made once a run.

#![allow(clippy::disallowed_methods)] // the environment says where the server is, and clean-up needs a thread

use std::{
    collections::BTreeMap,
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use flashsale::{
    config::{Pooler, PostgresConfig, Secret, TlsConfig},
    engine::postgres::{PostgresLedger, migrate},
};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls, Row};

use super::mode;

/// Templates of earlier runs are dropped when they are this old.
const STALE_SECS: u64 = 1800;

static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A database that is dropped with this value.
pub struct TestDatabase {
    pub config: PostgresConfig,
}

impl TestDatabase {
    /// A migrated, empty one.
    pub async fn create() -> Self {
        let template = TEMPLATE.get_or_init(make_template).await;
        let database = Self {
            config: config(&fresh_name("test")),
        };
        let statement = format!(
            "CREATE DATABASE \"{}\" TEMPLATE \"{template}\"",
            database.config.database
        );
        admin(&database.config, &statement).await;
        database
    }

    /// A migrated, empty one that this configuration names, on a server of a test's own.
    pub async fn create_on(config: PostgresConfig) -> Self {
        // A pooler in transaction mode is no place for migrations.
        let server = unpooled(&config);
        migrate::ensure_database(&server)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        migrate::run(&server)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        Self { config }
    }

    /// One without any table.
    pub async fn empty() -> Self {
        let database = Self::missing();
        let statement = format!("CREATE DATABASE \"{}\"", database.config.database);
        admin(&database.config, &statement).await;
        database
    }

    /// What a process needs to reach it.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let pairs = [
            ("POSTGRES_HOST", self.config.host.clone()),
            ("POSTGRES_PORT", self.config.port.to_string()),
            ("POSTGRES_USER", self.config.user.clone()),
            (
                "POSTGRES_PASSWORD",
                self.config.password.reveal().to_owned(),
            ),
            ("POSTGRES_DB", self.config.database.clone()),
        ];
        let pooler = (self.config.pooler == Pooler::Transaction)
            .then(|| ("POSTGRES_POOLER", "transaction".to_owned()));
        pairs
            .into_iter()
            .chain(pooler)
            .map(|(name, value)| (name.to_owned(), value))
            .chain(mode::tls_environment("POSTGRES", &self.config.tls))
            .collect()
    }

    /// The rows of a statement by hand.
    pub async fn query(&self, sql: &str) -> Vec<Row> {
        self.client()
            .await
            .query(sql, &[])
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// The name of a database that is not there; if the test makes it, it is dropped as well.
    pub fn missing() -> Self {
        Self {
            config: config(&fresh_name("test")),
        }
    }

    /// The same database past the pooler that a run may have: for what needs a session of its own, as migrations do. Noted.
    #[must_use]
    pub fn past_pooler(mut self) -> Self {
        mode::note_past_pooler();
        self.config = unpooled(&self.config);
        self
    }

    pub async fn ledger(&self) -> PostgresLedger {
        PostgresLedger::connect(&self.config)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// A connection for statements by hand.
    pub async fn client(&self) -> Client {
        connect(&direct(&self.config)).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let config = self.config.clone();
        // The test's own runtime may be going down: use another.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let statement = format!(
                "DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)",
                config.database
            );
            runtime.block_on(admin(&config, &statement));
        });
        if dropped.join().is_err() {
            eprintln!("database {} was left behind", self.config.database);
        }
    }
}

/// The configuration of a database on the tests' server.
pub fn config(database: &str) -> PostgresConfig {
    let or = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    PostgresConfig {
        host: or("POSTGRES_HOST", "127.0.0.1"),
        port: or("POSTGRES_PORT", "25433")
            .parse()
            .expect("POSTGRES_PORT is a port"),
        tls: mode::tls("POSTGRES"),
        pooler: match or("POSTGRES_POOLER", "none").as_str() {
            "transaction" => Pooler::Transaction,
            _ => Pooler::None,
        },
        user: or("POSTGRES_USER", "postgres1"),
        password: Secret::new(or("POSTGRES_PASSWORD", "postgres1")),
        database: database.to_owned(),
        pool_size: 8,
        pool_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(20),
    }
}

/// The same server, reached without the pooler and without encryption: for what is not the program's.
fn direct(config: &PostgresConfig) -> PostgresConfig {
    PostgresConfig {
        tls: TlsConfig::NONE,
        ..unpooled(config)
    }
}

/// The same server, reached without the pooler: for what needs a session of its own.
pub fn unpooled(config: &PostgresConfig) -> PostgresConfig {
    // Servers of a test's own have no pooler before them.
    let port = (config.pooler == Pooler::Transaction)
        .then(|| std::env::var("FLASHSALE_TEST_POSTGRES_PORT").ok())
        .flatten();
    PostgresConfig {
        port: port.map_or(config.port, |port| port.parse().expect("it is a port")),
        pooler: Pooler::None,
        ..config.clone()
    }
}

fn fresh_name(kind: &str) -> String {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("flashsale_{kind}_{}_{}_{number}", now_secs(), process::id())
}

fn now_secs() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

async fn make_template() -> String {
    drop_stale().await;
    let template = TestDatabase::create_on(config(&fresh_name("template"))).await;
    let name = template.config.database.clone();
    // It stays for the whole run.
    std::mem::forget(template);
    name
}

/// Nothing runs at the end of a run, so the next one sweeps up.
async fn drop_stale() {
    let client = connect(&direct(&config("postgres"))).await;
    let names = client
        .query(
            "SELECT datname FROM pg_database WHERE datname ~ '^flashsale_(template|test)_[0-9]+_'",
            &[],
        )
        .await
        .unwrap();
    for name in names.iter().map(|row| row.get::<_, String>(0)) {
        let made = name
            .split('_')
            .nth(2)
            .and_then(|secs| secs.parse::<u64>().ok())
            .unwrap_or(u64::MAX);
        if made.saturating_add(STALE_SECS) < now_secs() {
            client
                .batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))
                .await
                .ok();
        }
    }
}

/// Runs a statement on the server of a database, outside of it.
async fn admin(config: &PostgresConfig, statement: &str) {
    let config = PostgresConfig {
        database: "postgres".to_owned(),
        ..direct(config)
    };
    connect(&config)
        .await
        .batch_execute(statement)
        .await
        .unwrap_or_else(|error| {
            panic!("{statement}: {error:?}");
        });
}

async fn connect(config: &PostgresConfig) -> Client {
    let mut settings = tokio_postgres::Config::new();
    // Where the program's role gets in over TLS alone, another one looks on in its place.
    let onlooker = mode::onlooker(config.port);
    if onlooker.is_some() {
        settings.options(format!("-c role={}", config.user));
    }
    settings
        .host(&config.host)
        .port(config.port)
        .user(onlooker.as_deref().unwrap_or(&config.user))
        .password(config.password.reveal())
        .dbname(&config.database);
    let (client, connection) = settings.connect(NoTls).await.unwrap_or_else(|error| {
        panic!(
            "these tests need PostgreSQL at {}:{} (scripts/services.sh up): {error}",
            config.host, config.port
        )
    });
    tokio::spawn(connection);
    client
}
