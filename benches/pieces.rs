//! The pieces of the hot path by themselves, on real Redis and PostgreSQL: tokens, the gate's scripts, settling.
//!
//! `cargo bench --bench pieces [-- FILTER]`. Needs the servers of `scripts/services.sh`; `make bench` sees to that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // nobody but its reader is served
#![allow(clippy::disallowed_methods)]

/// What the integration tests stand on as well.
#[allow(dead_code, unused_imports)] // they use more of it
#[path = "../tests/integration/support"]
mod support {
    pub mod mode;
    pub mod postgres;
    pub mod process;
    pub mod redis;
}

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use chrono::Utc;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flashsale::{
    auth::Tokens,
    config::{Config, Sources},
    engine::{postgres::PostgresLedger, redis::RedisGate},
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        Attempt, ConsumerGroup, Holder, LoadStart, LoadStep, LoadToken, Member, Offset, Position,
        PurchaseResult, Reservations, ResultEntry, ResultQuery, Role, SaleLoading, SaleTerms,
        SaleWindow, SettleBatch, Settling, ShopperResults,
    },
};
use support::{
    postgres::TestDatabase,
    redis::{RedisOptions, RedisServer},
};
use tokio::runtime::Runtime;
use uuid::Uuid;

const HOUR: Duration = Duration::from_hours(1);

criterion_group!(pieces, tokens, gate, ledger);
criterion_main!(pieces);

fn tokens(criterion: &mut Criterion) {
    let config = Config::load(&Sources {
        intent: flashsale::config::Intent::default(),
        file: None,
        variables: std::collections::BTreeMap::new(),
    });
    let tokens = Tokens::new(&config.unwrap().auth);
    let user = UserId::new(1_000_000).unwrap();
    let issue = || {
        tokens
            .issue(user, "shopper", Role::User, Utc::now())
            .unwrap()
    };
    let token = issue();
    criterion.bench_function("token/issue", |bench| bench.iter(issue));
    criterion.bench_function("token/verify", |bench| {
        bench.iter(|| tokens.verify(black_box(&token)).unwrap());
    });
}

/// One call of the gate with so many shoppers.
fn gate(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let redis = RedisServer::start(RedisOptions {
        everysec: true,
        ..RedisOptions::default()
    });
    let gate = runtime
        .block_on(RedisGate::connect(
            &redis.config(Duration::from_secs(2)),
            HOUR,
        ))
        .unwrap();
    let (open, sold_out) = (sale(1), sale(2));
    runtime.block_on(load(&gate, open, 1_000_000_000));
    runtime.block_on(load(&gate, sold_out, 0));
    let mut user = 0;
    for size in [1, 16, 256] {
        let mut group = criterion.benchmark_group(format!("gate/{size} shoppers"));
        group.throughput(Throughput::Elements(size));
        for (name, sale) in [("reserved", open), ("sold out", sold_out)] {
            group.bench_function(name, |bench| {
                bench.iter_custom(|calls| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..calls {
                        let holders: Vec<_> = (0..size).map(|_| holder(&mut user)).collect();
                        let begun = Instant::now();
                        runtime.block_on(gate.reserve(sale, &holders)).unwrap();
                        spent += begun.elapsed();
                    }
                    spent
                });
            });
        }
        let users: Vec<_> = (0..size).map(|_| holder(&mut user)).collect();
        let asked: Vec<_> = users.iter().map(|holder| question(holder.user)).collect();
        let refused: Vec<_> = users.iter().map(|holder| failed(holder.user)).collect();
        runtime.block_on(gate.write_results(&refused)).unwrap();
        group.bench_function("refused ask for results", |bench| {
            bench.iter(|| runtime.block_on(gate.read_results(&asked)));
        });
        runtime.block_on(gate.reserve(open, &users)).unwrap();
        group.bench_function("holders ask for results", |bench| {
            bench.iter(|| runtime.block_on(gate.read_results(&asked)));
        });
        group.finish();
    }
}

/// One batch of a partition with so many attempts, each of which becomes an order.
fn ledger(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    let mut bed = runtime.block_on(SettleBed::open(&database));
    for size in [10, 100, 1_000] {
        let mut group = criterion.benchmark_group(format!("ledger/{size} attempts"));
        group.throughput(Throughput::Elements(size)).sample_size(20);
        group.bench_function("settled", |bench| {
            bench.iter_custom(|batches| {
                let mut spent = Duration::ZERO;
                for _ in 0..batches {
                    let attempts: Vec<_> = (0..size).map(|_| bed.attempt()).collect();
                    let begun = Instant::now();
                    runtime.block_on(bed.settle(&attempts));
                    spent += begun.elapsed();
                }
                spent
            });
        });
        group.finish();
    }
}

/// Accounts and sales enough for all batches: everybody may buy once in each sale.
struct SettleBed {
    ledger: PostgresLedger,
    position: Position,
    next: i64,
}

impl SettleBed {
    const ACCOUNTS: i64 = 20_000;
    const SALES: i64 = 500;

    async fn open(database: &TestDatabase) -> Self {
        for statement in [
            format!(
                "INSERT INTO users (id, username, email, password_hash) SELECT n, 'shopper' || n, 'shopper' || n || '@example.com', '-' FROM generate_series(1, {}) n",
                Self::ACCOUNTS
            ),
            format!(
                "INSERT INTO products (id, sku, name, price_cents) SELECT n, 'P' || n, 'A thing', 1 FROM generate_series(1, {}) n",
                Self::SALES
            ),
            format!(
                "INSERT INTO flash_sales (id, product_id, start_time, end_time, initial_stock, remaining_stock) SELECT n, n, now(), now() + interval '1 hour', {0}, {0} FROM generate_series(1, {1}) n",
                Self::ACCOUNTS,
                Self::SALES
            ),
        ] {
            database.query(&statement).await;
        }
        let ledger = database.ledger().await;
        let member = Member {
            group: "bench".to_owned(),
            topic: "bench".to_owned(),
            id: "bench".to_owned(),
        };
        let (leases, _) = ledger.heartbeat(&member, 1, HOUR).await.unwrap();
        Self {
            ledger,
            position: Position {
                group: member.group,
                topic: member.topic,
                partition: leases[0].partition,
            },
            next: 0,
        }
    }

    fn attempt(&mut self) -> Attempt {
        let (sale, user) = (
            self.next / Self::ACCOUNTS + 1,
            self.next % Self::ACCOUNTS + 1,
        );
        assert!(sale <= Self::SALES, "all sales are sold out");
        self.next += 1;
        Attempt {
            id: AttemptId(Uuid::now_v7()),
            sale: SaleId::new(sale).unwrap(),
            product: ProductId::new(sale).unwrap(),
            user: UserId::new(user).unwrap(),
            at: Utc::now(),
        }
    }

    async fn settle(&self, attempts: &[Attempt]) {
        let to = self.next;
        let from = to - i64::try_from(attempts.len()).unwrap();
        let batch = SettleBatch {
            position: self.position.clone(),
            from: Offset(from),
            to: Offset(to),
            last: attempts.last().map(|attempt| attempt.id),
            attempts: attempts.to_vec(),
            offsets: Vec::new(),
            rejected: Vec::new(),
            reached: None,
        };
        let settled = self.ledger.settle(&[batch]).await.unwrap().concat();
        assert_eq!(settled.len(), attempts.len());
    }
}

fn sale(id: i64) -> SaleId {
    SaleId::new(id).unwrap()
}

fn holder(user: &mut i64) -> Holder {
    *user += 1;
    Holder {
        user: UserId::new(*user).unwrap(),
        attempt: AttemptId(Uuid::now_v7()),
    }
}

fn failed(user: UserId) -> ResultEntry {
    ResultEntry {
        user,
        product: ProductId::new(1).unwrap(),
        sale: sale(1),
        result: PurchaseResult::Failed,
    }
}

fn question(user: UserId) -> ResultQuery {
    ResultQuery {
        user,
        product: ProductId::new(1).unwrap(),
        sale: Some(sale(1)),
    }
}

async fn load(gate: &RedisGate, sale: SaleId, units: u64) {
    let (token, now) = (LoadToken(Uuid::new_v4()), Utc::now());
    let window = SaleWindow {
        start: now - HOUR,
        end: now + HOUR,
    };
    let terms = SaleTerms {
        switch: flashsale::port::SaleSwitch::On,
        version: 1,
        window,
        total: units,
    };
    assert_eq!(
        gate.begin_load(sale, token, HOUR).await.unwrap(),
        LoadStart::Begun
    );
    assert_eq!(
        gate.open(sale, token, terms, units, &[], now + HOUR * 2)
            .await
            .unwrap(),
        LoadStep::Applied
    );
}
