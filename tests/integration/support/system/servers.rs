//! A system on servers: its database, its Redis, its topic, and as many real processes as it likes.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use flashsale::{
    config::{KafkaConfig, RedisConfig},
    engine::redis::RedisGate,
    ids::{LedgerId, SaleId},
    port::{GateReads, GateStatus},
};

use super::{GateBalance, System};
use crate::support::{
    api::Api,
    broker::Broker,
    kafka, mode,
    postgres::TestDatabase,
    process::Process,
    redis::{RedisOptions, RedisServer, cluster_config},
};

/// A system without processes yet, but with everything they need.
pub struct Servers {
    pub environment: BTreeMap<String, String>,
    pub database: TestDatabase,
    /// `None` on a cluster that is shared.
    pub redis: Option<RedisServer>,
    pub redis_config: RedisConfig,
    pub topic: kafka::Topic,
}

impl Servers {
    /// On a Redis and a Kafka of its own.
    pub async fn start_with_broker(broker: &Broker) -> Self {
        Self::start_with_kafka(kafka::config_of(vec![broker.address()])).await
    }

    /// On a Redis of its own and this Kafka.
    pub async fn start_with_kafka(kafka: KafkaConfig) -> Self {
        let redis = RedisServer::start(RedisOptions::default());
        let config = redis.config(Duration::from_secs(2));
        Self::on(Some(redis), config, kafka).await
    }

    /// On the Redis Cluster that is shared by all tests; ids of sales and users start at a random number.
    pub async fn start_on_cluster() -> Self {
        let system = Self::on(
            None,
            cluster_config(Duration::from_secs(2)),
            kafka::config(),
        )
        .await;
        let start = 1 + i64::from(Uuid::new_v4().as_fields().0);
        system
            .sql(&format!(
                "ALTER SEQUENCE flash_sales_id_seq RESTART WITH {start}"
            ))
            .await;
        system
            .sql(&format!(
                "ALTER SEQUENCE products_id_seq RESTART WITH {start}"
            ))
            .await;
        system
            .sql(&format!("ALTER SEQUENCE users_id_seq RESTART WITH {start}"))
            .await;
        system
    }

    async fn on(redis: Option<RedisServer>, redis_config: RedisConfig, kafka: KafkaConfig) -> Self {
        let database = TestDatabase::create().await;
        Self::of(database, redis, redis_config, kafka).await
    }

    /// On whatever servers a test has.
    pub async fn of(
        database: TestDatabase,
        redis: Option<RedisServer>,
        redis_config: RedisConfig,
        kafka: KafkaConfig,
    ) -> Self {
        let topic = kafka::Topic::create_on(kafka).await;
        let mut environment = database.environment();
        let pairs = [
            ("POSTGRES_POOL_SIZE", "5".to_owned()),
            ("REDIS_HOST", redis_config.host.clone()),
            ("REDIS_PORT", redis_config.port.to_string()),
            ("REDIS_CLUSTER_MODE", redis_config.cluster_mode.to_string()),
        ];
        environment.extend(super::environment());
        if let Some(sentinel) = &redis_config.sentinel {
            let addresses: Vec<_> = sentinel
                .addresses
                .iter()
                .map(|(host, port)| format!("{host}:{port}"))
                .collect();
            environment.insert("REDIS_SENTINELS".to_owned(), addresses.join(","));
            environment.insert("REDIS_SENTINEL_MASTER".to_owned(), sentinel.master.clone());
            if let Some(password) = &sentinel.password {
                environment.insert(
                    "REDIS_SENTINEL_PASSWORD".to_owned(),
                    password.reveal().to_owned(),
                );
            }
        }
        if let Some(password) = &redis_config.password {
            environment.insert("REDIS_PASSWORD".to_owned(), password.reveal().to_owned());
        }
        environment.extend(pairs.map(|(name, value)| (name.to_owned(), value)));
        environment.extend(mode::tls_environment("REDIS", &redis_config.tls));
        environment.extend(kafka::environment(&topic.config));
        Self {
            environment,
            database,
            redis,
            redis_config,
            topic,
        }
    }

    /// The gate, as the processes see it.
    pub async fn gate(&self) -> RedisGate {
        RedisGate::connect(&self.redis_config, Duration::from_hours(1))
            .await
            .expect("Redis answers")
    }

    /// Of the database, as it is now.
    pub async fn ledger_id(&self) -> LedgerId {
        let query = "SELECT ledger_id::text FROM ledger_identity";
        let rows = self.database.query(query).await;
        LedgerId(rows[0].get::<_, &str>(0).parse().unwrap())
    }

    /// Runs the binary with this system's environment.
    pub fn run(&self, arguments: &[&str]) -> Process {
        self.run_with(arguments, &[])
    }

    pub fn run_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Process {
        let mut environment = self.environment.clone();
        environment.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        Process::start(arguments, &environment)
    }

    /// An API on a free port, serving.
    pub async fn serve_with(&self, more: &[(&str, &str)]) -> Api {
        Api::of(self.run_with(&["serve"], more)).await
    }

    /// A worker, working.
    pub async fn work(&self) -> Process {
        let worker = self.run(&["work"]);
        worker.wait_for_line("working").await;
        worker
    }
}

impl System for Servers {
    type Worker = Process;

    async fn start() -> Self {
        let redis = RedisServer::start(RedisOptions::default());
        let config = redis.config(Duration::from_secs(2));
        Self::on(Some(redis), config, kafka::config()).await
    }

    async fn serve_as(&self, more: &[(&str, &str)]) -> Api {
        self.serve_with(more).await
    }

    async fn worker(&self) -> Process {
        self.work().await
    }

    fn worker_output(&self, _: &Api, worker: &Process) -> String {
        worker.output()
    }

    async fn sql(&self, statement: &str) {
        self.database.query(statement).await;
    }

    async fn number(&self, query: &str) -> i64 {
        let rows = self.database.query(query).await;
        rows.first().expect("one row").get(0)
    }

    fn instant(&self, at: DateTime<Utc>) -> String {
        at.to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    fn uuid(&self, id: Uuid) -> String {
        format!("'{id}'")
    }

    async fn gate_balance(&self, sale: i64) -> Option<GateBalance> {
        // A sale of this number may be another ledger's.
        let gate = self.gate().await.of_ledger(self.ledger_id().await);
        match gate.status(SaleId::new(sale).unwrap()).await {
            Ok(GateStatus::Open {
                available, pending, ..
            }) => Some(GateBalance { available, pending }),
            _ => None,
        }
    }

    async fn log_end(&self) -> i64 {
        kafka::ends(&self.topic.config).await.into_iter().sum()
    }

    async fn dead_letter_causes(&self) -> Vec<String> {
        let topic = &self.topic.config.dead_letter_topic;
        let letters = self.topic.records(topic).await;
        let cause = |record: &rskafka::record::Record| {
            String::from_utf8(record.headers["flashsale.cause"].clone()).unwrap()
        };
        letters
            .iter()
            .map(|(_, letter)| cause(&letter.record))
            .collect()
    }
}
