//! A system on real servers with an account for everybody who will come.

use std::{path::PathBuf, time::Duration};

use chrono::Utc;
use flashsale::{
    auth::Tokens,
    config::{Config, Sources},
    ids::UserId,
    port::Role,
    stress::{Target, Token},
};

use crate::{
    meter::Meter,
    support::{
        api::Api,
        kafka,
        postgres::TestDatabase,
        process::Process,
        redis::{RedisOptions, RedisServer},
        system::{Servers, System},
        wait_until,
    },
    system::SECRET,
};

/// What the environment of tests makes easier than it is.
const EASED: [&str; 4] = [
    "WORKER_LEASE_SECS",
    "WORKER_PENDING_AGE_SECS",
    "LIMIT_ATTEMPTS_PER_USER",
    "POSTGRES_POOL_SIZE",
];

/// PostgreSQL and Kafka of `scripts/services.sh`, a Redis of its own, and any number of processes.
pub struct TestBed {
    pub apis: Vec<Api>,
    pub workers: Vec<Process>,
    pub system: Servers,
    pub tokens: Vec<Token>,
}

impl TestBed {
    /// With accounts 1 to `accounts`, and no process yet.
    pub async fn start(accounts: usize, partitions: i32) -> Self {
        let redis = RedisServer::start(RedisOptions {
            everysec: true,
            ..RedisOptions::default()
        });
        let redis_config = redis.config(Duration::from_secs(2));
        let kafka = flashsale::config::KafkaConfig {
            partitions,
            ..kafka::config()
        };
        let database = TestDatabase::create().await;
        let mut system = Servers::of(database, Some(redis), redis_config, kafka).await;
        for eased in EASED {
            system.environment.remove(eased);
        }
        system
            .sql(&format!(
                "INSERT INTO users (id, username, email, password_hash) SELECT n, 'shopper' || n, 'shopper' || n || '@example.com', '-' \
                 FROM generate_series(1, {accounts}) n"
            ))
            .await;
        system.sql("VACUUM ANALYZE users").await;
        Self {
            apis: Vec::new(),
            workers: Vec::new(),
            system,
            tokens: tokens_of(accounts),
        }
    }

    /// The same with an API and a worker.
    pub async fn whole(accounts: usize, partitions: i32) -> Self {
        let mut bed = Self::start(accounts, partitions).await;
        bed.serve().await;
        bed.work().await;
        bed
    }

    pub async fn serve(&mut self) {
        let api = self.system.serve().await;
        self.apis.push(api);
    }

    pub async fn work(&mut self) {
        let worker = self.system.work().await;
        self.workers.push(worker);
    }

    /// Ends all workers, and waits until they have.
    pub async fn end_workers(&mut self) {
        for worker in self.workers.drain(..) {
            worker.terminate();
            worker.end().await;
        }
    }

    pub fn target(&self) -> Target {
        Target::new(&self.apis[0].url).unwrap()
    }

    /// A sale that every API knows to be open. It ends before those that were made earlier, and so is the one that is shown.
    pub async fn sale(&self, stock: usize) -> (i64, i64) {
        let minute = Duration::from_mins(1);
        let before = self.system.number("SELECT count(*) FROM flash_sales").await;
        let length = minute * (300 - u32::try_from(before).unwrap());
        let now = Utc::now();
        let stock = u32::try_from(stock).unwrap();
        let (sale, product) = self.system.sale_in(stock, now - minute, now + length).await;
        for api in &self.apis {
            api.wait_until_open(&self.system, sale).await;
        }
        (sale, product)
    }

    pub async fn orders(&self) -> i64 {
        // What the triggers took: counting the orders would be a load of its own.
        self.system
            .number("SELECT CAST(coalesce(sum(initial_stock - remaining_stock), 0) AS BIGINT) FROM flash_sales")
            .await
    }

    /// Waits until everything in the log is settled and the gate knows it.
    pub async fn settle(&self, sale: i64) {
        wait_until("all is settled", Duration::from_mins(5), || async {
            self.system.log_is_settled().await
                && self
                    .system
                    .gate_balance(sale)
                    .await
                    .is_some_and(|balance| balance.pending == 0)
        })
        .await;
    }

    pub fn api_meter(&self) -> Meter {
        Meter::new("API", self.apis.iter().map(|api| api.process.pid()))
    }

    /// Of all processes that take part.
    pub fn meters(&self) -> Vec<Meter> {
        let redis = self.system.redis.as_ref().unwrap();
        vec![
            self.api_meter(),
            Meter::new("worker", self.workers.iter().map(Process::pid)),
            Meter::new("Redis", [redis.pid()]),
            Meter::new("Kafka", [service("kafka")]),
            Meter::new("PostgreSQL", [service("postgres")]),
        ]
    }

    pub fn redis_memory(&self) -> f64 {
        let info = self.system.redis.as_ref().unwrap().cli(&["INFO", "memory"]);
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        line.unwrap().trim().parse().unwrap()
    }

    /// Panics unless every promise is kept.
    pub async fn audit(&self) {
        let audit = self.system.run(&["audit"]);
        let (kept, output) = audit.outcome().await;
        assert!(kept, "{output}");
    }
}

/// The process of a server that `scripts/services.sh` started.
fn service(name: &str) -> u32 {
    let directory = std::env::var("FLASHSALE_SERVICES_DIR").map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/services"),
        PathBuf::from,
    );
    let file = directory.join(name).with_extension("pid");
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run `make bench`", file.display()));
    text.lines().next().unwrap().trim().parse().unwrap()
}

/// What signs and verifies the tokens of all systems here.
pub fn tokens() -> Tokens {
    let variables = [("JWT_SECRET", SECRET)];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let sources = Sources {
        intent: flashsale::config::Intent::default(),
        file: None,
        variables: variables.into(),
    };
    Tokens::new(&Config::load(&sources).unwrap().auth)
}

/// Of users 1 to `count`.
pub fn tokens_of(count: usize) -> Vec<Token> {
    let (tokens, now) = (tokens(), Utc::now());
    let users = (1..).take(count).map(|id| UserId::new(id).unwrap());
    users
        .map(|user| {
            let name = format!("shopper{user}");
            let token = tokens.issue(user, &name, Role::User, now).unwrap();
            Token::new(&token).unwrap()
        })
        .collect()
}
