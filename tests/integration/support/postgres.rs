//! The real PostgreSQL that `scripts/services.sh up` starts: a database for every test, copied from a migrated one.

use std::{collections::BTreeMap, time::Duration};

use flashsale::config::{PostgresConfig, Secret};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls, Row};
use uuid::Uuid;

use super::process::Process;

/// The migrated database that all others are copied from; made once a run.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// A database of a test's own. Dropped at the end.
pub struct Database {
    name: String,
    client: Client,
}

impl Database {
    /// With all migrations applied.
    pub async fn create() -> Self {
        let template = TEMPLATE.get_or_init(make_template).await;
        Self::create_from(Some(template)).await
    }

    /// Without any table.
    pub async fn create_empty() -> Self {
        Self::create_from(None).await
    }

    async fn create_from(template: Option<&str>) -> Self {
        let name = unused_name();
        let template = template.map_or(String::new(), |template| {
            format!(" TEMPLATE \"{template}\"")
        });
        admin()
            .await
            .batch_execute(&format!("CREATE DATABASE \"{name}\"{template}"))
            .await
            .unwrap();
        let client = connect(&name).await;
        Self { name, client }
    }

    pub fn config(&self) -> PostgresConfig {
        config(&self.name)
    }

    pub async fn query(&self, sql: &str) -> Vec<Row> {
        self.client
            .query(sql, &[])
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// The error's SQLSTATE of a statement that must be refused.
    pub async fn refusal(&self, sql: &str) -> String {
        let error = self.client.batch_execute(sql).await.expect_err(sql);
        error
            .code()
            .unwrap_or_else(|| panic!("{error}"))
            .code()
            .to_owned()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop_database(&self.name);
    }
}

/// A name for a database that does not exist yet.
pub fn unused_name() -> String {
    format!("test_{}", Uuid::new_v4().simple())
}

/// How to connect to a database, as the environment says; the ports of `scripts/services.sh` otherwise.
pub fn config(database: &str) -> PostgresConfig {
    let variable =
        |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    PostgresConfig {
        host: variable("POSTGRES_HOST", "127.0.0.1"),
        port: variable("POSTGRES_PORT", "25433")
            .parse()
            .expect("POSTGRES_PORT is a port"),
        user: variable("POSTGRES_USER", "postgres1"),
        password: Secret::new(variable("POSTGRES_PASSWORD", "postgres1")),
        database: database.to_owned(),
        pool_size: 8,
        pool_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(10),
    }
}

/// What a process needs to reach a database.
pub fn environment(config: &PostgresConfig) -> BTreeMap<String, String> {
    let pairs = [
        ("POSTGRES_HOST", config.host.clone()),
        ("POSTGRES_PORT", config.port.to_string()),
        ("POSTGRES_USER", config.user.clone()),
        ("POSTGRES_PASSWORD", config.password.reveal().to_owned()),
        ("POSTGRES_DB", config.database.clone()),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Drops a database, whoever is connected to it.
pub fn drop_database(name: &str) {
    let name = name.to_owned();
    // A thread with a runtime of its own: the test's runtime cannot be waited for in a destructor.
    let dropped = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let _ = admin()
                .await
                .batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))
                .await;
        });
    });
    let _ = dropped.join();
}

async fn make_template() -> String {
    // One a run, so that a changed migration is never overlooked; those of earlier runs go.
    let admin = admin().await;
    let old = admin
        .query(
            "SELECT datname FROM pg_database WHERE datname LIKE 'test\\_template\\_%'",
            &[],
        )
        .await
        .unwrap();
    for row in old {
        let name: String = row.get(0);
        let _ = admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\""))
            .await;
    }
    let name = format!("test_template_{}", Uuid::new_v4().simple());
    let migrate = Process::start(&["migrate", "--no-topics"], &environment(&config(&name)));
    assert!(migrate.end().await.success(), "{}", migrate.output());
    name
}

async fn admin() -> Client {
    connect("postgres").await
}

async fn connect(database: &str) -> Client {
    let config = config(database);
    let (client, connection) = tokio_postgres::Config::new()
        .host(&config.host)
        .port(config.port)
        .user(&config.user)
        .password(config.password.reveal())
        .dbname(&config.database)
        .connect(NoTls)
        .await
        .unwrap_or_else(|error| {
            panic!("{error:?}\nThese tests need a real PostgreSQL: run `scripts/services.sh up`.")
        });
    tokio::spawn(async move { connection.await.ok() });
    client
}
