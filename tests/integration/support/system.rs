//! A whole system of a test's own: its database, its Redis, its topic, and as many real `flashsale` processes as it likes.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use flashsale::{
    config::{KafkaConfig, RedisConfig},
    engine::redis::RedisGate,
    ids::SaleId,
    port::{GateStatus, StockGate},
};

use super::{
    broker::Broker,
    kafka,
    postgres::TestDatabase,
    process::Process,
    redis::{RedisOptions, RedisServer, cluster_config},
};

/// What signs the tokens of every test system.
pub const JWT_SECRET: &str = "a secret of the tests with more than 32 bytes";

/// A system without processes yet, but with everything they need.
pub struct System {
    pub environment: BTreeMap<String, String>,
    pub database: TestDatabase,
    /// `None` on a cluster that is shared.
    pub redis: Option<RedisServer>,
    redis_config: RedisConfig,
    pub topic: kafka::Topic,
}

/// A running API.
pub struct Api {
    pub url: String,
    pub process: Process,
    pub http: reqwest::Client,
}

/// Someone with a token.
#[derive(Debug, Clone)]
pub struct Shopper {
    pub id: i64,
    pub token: String,
}

/// What the gate has of an open sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateBalance {
    pub available: i64,
    pub pending: u64,
}

/// What the ledger has of a sale.
#[derive(Debug, PartialEq, Eq)]
pub struct Balance {
    pub initial: i64,
    pub remaining: i64,
    pub orders: i64,
    /// Shoppers with an order.
    pub buyers: i64,
}

impl System {
    /// On a Redis of its own.
    pub async fn start() -> Self {
        let redis = RedisServer::start(RedisOptions::default());
        let config = redis.config(Duration::from_secs(2));
        Self::on(Some(redis), config, kafka::config()).await
    }

    /// On a Redis and a Kafka of its own.
    pub async fn start_with_broker(broker: &Broker) -> Self {
        let redis = RedisServer::start(RedisOptions::default());
        let config = redis.config(Duration::from_secs(2));
        let kafka = KafkaConfig {
            brokers: vec![broker.address()],
            ..kafka::config()
        };
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
        let (database, topic) = (
            TestDatabase::create().await,
            kafka::Topic::create_on(kafka).await,
        );
        let mut environment = database.environment();
        let pairs = [
            ("POSTGRES_POOL_SIZE", "5".to_owned()),
            ("REDIS_HOST", redis_config.host.clone()),
            ("REDIS_PORT", redis_config.port.to_string()),
            ("REDIS_CLUSTER_MODE", redis_config.cluster_mode.to_string()),
            ("KAFKA_BROKERS", topic.config.brokers.join(",")),
            (
                "KAFKA_TOPIC_FLASH_SALE_ATTEMPTS",
                topic.config.topic.clone(),
            ),
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", "0".to_owned()),
            ("JWT_SECRET", JWT_SECRET.to_owned()),
            // The cheapest hash there is: these tests are not about passwords.
            ("PASSWORD_MEMORY_KIB", "8".to_owned()),
            ("PASSWORD_PASSES", "1".to_owned()),
            ("WORKER_LEASE_SECS", "2".to_owned()),
            ("WORKER_PENDING_AGE_SECS", "1".to_owned()),
            ("STARTUP_TIMEOUT_SECS", "20".to_owned()),
        ];
        environment.extend(
            pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
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

    /// What the gate has of a sale; `None` while it is not open.
    pub async fn gate_balance(&self, sale: i64) -> Option<GateBalance> {
        match self.gate().await.status(SaleId::new(sale).unwrap()).await {
            Ok(GateStatus::Open {
                available, pending, ..
            }) => Some(GateBalance { available, pending }),
            _ => None,
        }
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
    pub async fn serve(&self) -> Api {
        self.serve_with(&[]).await
    }

    pub async fn serve_with(&self, more: &[(&str, &str)]) -> Api {
        let process = self.run_with(&["serve"], more);
        let line = process.wait_for_line("serving http://").await;
        let address = line
            .split("serving ")
            .nth(1)
            .unwrap()
            .split([',', ' '])
            .next()
            .unwrap();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        Api {
            url: address.to_owned(),
            process,
            http,
        }
    }

    /// A worker, working.
    pub async fn work(&self) -> Process {
        let worker = self.run(&["work"]);
        worker.wait_for_line("working").await;
        worker
    }

    /// A sale of a product of its own that is open from a minute ago for an hour. Its ids.
    pub async fn sale(&self, stock: u32) -> (i64, i64) {
        let now = Utc::now();
        self.sale_in(
            stock,
            now - Duration::from_mins(1),
            now + Duration::from_hours(1),
        )
        .await
    }

    pub async fn sale_in(
        &self,
        stock: u32,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> (i64, i64) {
        let sku = Uuid::new_v4().simple().to_string();
        let product = self
            .number(&format!(
                "INSERT INTO products (sku, name, description, price_cents) VALUES ('{sku}', 'A product', 'Of a test', 100) RETURNING id"
            ))
            .await;
        let sale = self
            .number(&format!(
                "INSERT INTO flash_sales (product_id, start_time, end_time, initial_stock, remaining_stock) \
                 VALUES ({product}, '{}', '{}', {stock}, {stock}) RETURNING id",
                start.to_rfc3339(),
                end.to_rfc3339()
            ))
            .await;
        (sale, product)
    }

    /// Shoppers with accounts and tokens, made behind the API's back.
    pub async fn shoppers(&self, count: usize) -> Vec<Shopper> {
        let names = Uuid::new_v4().simple().to_string();
        let rows = self
            .database
            .query(&format!(
                "INSERT INTO users (username, email, password_hash, role) \
                 SELECT '{}' || n, '{names}' || n || '@example.com', 'none', 'user' FROM generate_series(1, {count}) n RETURNING id",
                &names[..12]
            ))
            .await;
        rows.iter()
            .map(|row| row.get::<_, i64>(0))
            .map(|id| Shopper {
                id,
                token: token(id),
            })
            .collect()
    }

    pub async fn sql(&self, statement: &str) {
        self.database.query(statement).await;
    }

    /// The one number that a query answers.
    pub async fn number(&self, query: &str) -> i64 {
        self.database
            .query(query)
            .await
            .first()
            .expect("one row")
            .get(0)
    }

    pub async fn balance(&self, sale: i64) -> Balance {
        let sales = format!("FROM flash_sales WHERE id = {sale}");
        let orders = format!("FROM orders WHERE flash_sale_id = {sale} AND status = 'SUCCESS'");
        Balance {
            initial: self
                .number(&format!("SELECT initial_stock::bigint {sales}"))
                .await,
            remaining: self
                .number(&format!("SELECT remaining_stock::bigint {sales}"))
                .await,
            orders: self.number(&format!("SELECT count(*) {orders}")).await,
            buyers: self
                .number(&format!("SELECT count(DISTINCT user_id) {orders}"))
                .await,
        }
    }

    /// Waits until the log is settled and nothing is pending, then checks what must hold of a quiet system: nothing
    /// oversold, one order a shopper, and every unit sold or available, in the ledger and in the gate alike.
    pub async fn check_promises(&self, sale: i64) -> Balance {
        super::wait_until("the system is quiet", Duration::from_secs(30), || async {
            self.gate_balance(sale)
                .await
                .is_some_and(|gate| gate.pending == 0)
                && self.log_is_settled().await
        })
        .await;
        let balance = self.balance(sale).await;
        assert!(balance.orders <= balance.initial, "oversold: {balance:?}");
        assert_eq!(
            balance.orders, balance.buyers,
            "two orders for one shopper: {balance:?}"
        );
        assert_eq!(
            balance.initial,
            balance.orders + balance.remaining,
            "units leaked in the ledger: {balance:?}"
        );
        let gate = self.gate_balance(sale).await.expect("the sale is open");
        assert_eq!(
            gate.available, balance.remaining,
            "the gate disagrees with {balance:?}"
        );
        balance
    }

    async fn log_is_settled(&self) -> bool {
        let settled = self
            .number("SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_partitions")
            .await;
        let logged: i64 = kafka::ends(&self.topic.config).await.into_iter().sum();
        settled == logged
    }
}

impl Api {
    pub async fn get(&self, path: &str, shopper: Option<&Shopper>) -> (u16, Value) {
        self.send(self.http.get(format!("{}{path}", self.url)), shopper)
            .await
    }

    pub async fn post(
        &self,
        path: &str,
        shopper: Option<&Shopper>,
        body: Option<Value>,
    ) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.url));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        self.send(request, shopper).await
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        shopper: Option<&Shopper>,
    ) -> (u16, Value) {
        let request = match shopper {
            Some(shopper) => request.bearer_auth(&shopper.token),
            None => request,
        };
        let response = request.send().await.expect("the API answers");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (
            status,
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: not JSON: {text}")),
        )
    }

    pub async fn attempt(&self, sale: i64, shopper: &Shopper) -> (u16, Value) {
        self.post(
            &format!("/api/flash-sale/attempt/{sale}"),
            Some(shopper),
            None,
        )
        .await
    }

    /// `SUCCESS`, `FAILED`, or `None` while there is no result.
    pub async fn result(&self, product: i64, shopper: &Shopper) -> Option<String> {
        match self
            .get(&format!("/api/orders/status/{product}"), Some(shopper))
            .await
        {
            (200, body) => Some(body["data"]["status"].as_str().unwrap().to_owned()),
            (400, body) if body["code"] == "result_not_found" => None,
            other => panic!("{other:?}"),
        }
    }

    /// Registers over HTTP and logs in.
    pub async fn register(&self, name: &str) -> Shopper {
        let account = json!({"username": name, "email": format!("{name}@example.com"), "password": "password123"});
        let (status, body) = self.post("/api/auth/register", None, Some(account)).await;
        assert_eq!(status, 201, "{body}");
        let login = json!({"username": name, "password": "password123"});
        let (status, body) = self.post("/api/auth/login", None, Some(login)).await;
        assert_eq!(status, 200, "{body}");
        let id = body["data"]["userId"].as_str().unwrap().parse().unwrap();
        Shopper {
            id,
            token: body["data"]["token"].as_str().unwrap().to_owned(),
        }
    }

    /// Waits until the sale is open and this API knows it.
    pub async fn wait_until_open(&self, system: &System, sale: i64) {
        super::wait_until("the sale is open", Duration::from_secs(20), || async {
            system.gate_balance(sale).await.is_some()
        })
        .await;
        // The API reads the catalog every second. Of several open sales it shows the one that ends first.
        super::wait_until("the API shows the sale", Duration::from_secs(5), || async {
            let (_, body) = self
                .get("/api/flash-sale/status", Some(&Shopper::nobody()))
                .await;
            body["data"]["id"] == sale
        })
        .await;
    }

    /// Waits until this API knows a sale that is not open: an attempt is refused, and not with 404.
    pub async fn wait_until_known(&self, sale: i64) {
        super::wait_until("the API knows the sale", Duration::from_secs(5), || async {
            self.attempt(sale, &Shopper::nobody()).await.0 != 404
        })
        .await;
    }
}

impl Shopper {
    /// Someone with a token and without an account.
    pub fn nobody() -> Self {
        Self {
            id: i64::MAX,
            token: token(i64::MAX),
        }
    }
}

/// A token as the API makes them.
pub fn token(user: i64) -> String {
    use jsonwebtoken::{EncodingKey, Header, encode};

    let now = Utc::now().timestamp();
    let claims = json!({"userId": user.to_string(), "username": format!("user{user}"), "role": "user", "iat": now, "exp": now + 3600});
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(JWT_SECRET.as_bytes()),
    )
    .unwrap()
}
