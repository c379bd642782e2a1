//! Accounts that are deleted, a ledger that is set back, and a new ledger beside the gate and the log of an old one.

use std::time::{Duration, Instant};

use flashsale::{
    engine::kafka::KafkaLog,
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Attempt, AttemptLog, Holder, Ledger, Reservations, ReserveOutcome},
};

use crate::support::{
    api::{Api, Shopper},
    postgres::TestDatabase,
    system::{Servers, System},
    wait_until,
};

const PATIENCE: Duration = Duration::from_mins(1);

on_systems! {
    tokens_of_deleted_accounts_take_no_unit,
}

async fn tokens_of_deleted_accounts_take_no_unit(system: impl System) {
    let (api, _worker) = (system.serve().await, system.worker().await);
    let (sale, _) = system.sale(50).await;
    api.wait_until_open(&system, sale).await;
    let shoppers = system.shoppers(20).await;
    let registered = api.register("registered").await;
    assert_eq!(api.attempt(sale, &shoppers[0]).await.0, 200);
    system.check_promises(sale).await;

    let ids: Vec<_> = shoppers[1..]
        .iter()
        .chain([&registered])
        .map(|shopper| shopper.id.to_string())
        .collect();
    system
        .sql(&format!(
            "DELETE FROM users WHERE id IN ({})",
            ids.join(", ")
        ))
        .await;
    let deleted = Instant::now();
    for shopper in shoppers[1..].iter().chain([&registered]) {
        wait_until("the token is refused", Duration::from_secs(5), || async {
            api.attempt(sale, shopper).await.0 == 401
        })
        .await;
    }
    assert!(deleted.elapsed() < Duration::from_secs(5));
    for shopper in shoppers[1..].iter().chain([&registered]) {
        let (status, body) = api.attempt(sale, shopper).await;
        assert_eq!((status, &body["code"]), (401, &"token_invalid".into()));
    }
    assert_eq!(
        api.attempt(sale, &shoppers[0]).await.0,
        200,
        "a neighbour's account is not touched"
    );
    // What pressed within the second before the deletion was known came to an end without a letter.
    assert_eq!(system.check_promises(sale).await.orders, 1);
    assert!(system.dead_letter_causes().await.is_empty());
    // Its id is not handed out again.
    let next = api.register("next").await;
    assert!(next.id > registered.id);
    assert_eq!(api.attempt(sale, &next).await.0, 200);
    assert_eq!(system.check_promises(sale).await.orders, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_made_a_moment_ago_works_at_every_node() {
    let system = Servers::start().await;
    let (one, other) = (system.serve().await, system.serve().await);
    let _worker = system.work().await;
    let (sale, _) = system.sale(20).await;
    one.wait_until_open(&system, sale).await;
    other.wait_until_open(&system, sale).await;
    for number in 0..10 {
        let shopper = one.register(&format!("shopper{number}")).await;
        assert_eq!(other.attempt(sale, &shopper).await.0, 200);
    }
    assert_eq!(system.check_promises(sale).await.orders, 10);
}

/// Runs a statement that nobody may be connected for.
async fn alone(database: &TestDatabase, statements: &[String]) {
    let name = &database.config.database;
    let admin = flashsale::config::PostgresConfig {
        database: "postgres".to_owned(),
        ..database.config.clone()
    };
    let admin = TestDatabase { config: admin };
    let client = admin.client().await;
    // It is not this test's to drop.
    std::mem::forget(admin);
    let cut = [
        format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS false"),
        format!(
            // An autovacuum worker is nobody's to end.
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE datname = '{name}' AND backend_type = 'client backend'"
        ),
    ];
    for statement in cut.iter().chain(statements) {
        client
            .batch_execute(statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    client
        .batch_execute(&format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS true"))
        .await
        .unwrap();
}

/// Reserves and logs an attempt for each of these accounts, as API nodes do.
async fn press(
    system: &Servers,
    log: &KafkaLog,
    (sale, product): (i64, i64),
    users: &[i64],
    at: chrono::DateTime<chrono::Utc>,
) {
    let gate = system
        .gate()
        .await
        .of_ledger(system.database.ledger().await.id());
    let sale = SaleId::new(sale).unwrap();
    for part in users.chunks(250) {
        let holders: Vec<_> = part
            .iter()
            .map(|user| Holder {
                user: UserId::new(*user).unwrap(),
                attempt: AttemptId::generate(),
            })
            .collect();
        let reserved = gate.reserve(sale, &holders).await.unwrap();
        assert!(
            reserved
                .iter()
                .all(|outcome| *outcome == ReserveOutcome::Reserved)
        );
        let attempts: Vec<_> = holders
            .iter()
            .map(|holder| Attempt {
                id: holder.attempt,
                sale,
                product: ProductId::new(product).unwrap(),
                user: holder.user,
                at,
            })
            .collect();
        assert!(log.append(&attempts).await.iter().all(Result::is_ok));
    }
}

async fn wait_for_orders(system: &Servers, sale: i64, orders: i64) {
    wait_until("the orders are there", PATIENCE, || async {
        system.balance(sale).await.orders == orders && system.log_is_settled().await
    })
    .await;
}

/// The restore drill: PostgreSQL set back to before ten thousand orders, Redis and Kafka kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_come_back_from_the_log_when_the_ledger_is_set_back() {
    const ORDERS: i64 = 10_000;
    let system = Servers::start().await;
    let (api, _worker) = (system.serve().await, system.work().await);
    let (sale, product) = system.sale(10_010).await;
    api.wait_until_open(&system, sale).await;
    let known = system.shoppers(10_000).await;
    let name = system.database.config.database.clone();
    let backup = format!("{name}_backup");
    alone(
        &system.database,
        &[format!("CREATE DATABASE \"{backup}\" TEMPLATE \"{name}\"")],
    )
    .await;

    // What is lost: accounts of the last seconds, and every order.
    let mut lost = Vec::new();
    for number in 0..3 {
        lost.push(api_registers(&api, &format!("lost{number}")).await);
    }
    let ledger = system.database.ledger().await.id();
    let log = KafkaLog::connect(&system.topic.config)
        .await
        .unwrap()
        .of_ledger(ledger);
    let users: Vec<_> = known
        .iter()
        .chain(&lost)
        .map(|shopper| shopper.id)
        .collect();
    // Nor does the backup know that the sale was made longer, and that they pressed in that time. It is made longer by an
    // earlier start: Kafka refuses records of the future.
    system
        .sql("UPDATE flash_sales SET start_time = start_time - interval '1 day'")
        .await;
    let at = chrono::Utc::now() - chrono::TimeDelta::hours(5);
    press(&system, &log, (sale, product), &users, at).await;
    wait_for_orders(&system, sale, ORDERS + 3).await;
    for shopper in &lost {
        assert_eq!(
            api.result(product, shopper).await.as_deref(),
            Some("SUCCESS")
        );
    }

    alone(
        &system.database,
        &[
            format!("DROP DATABASE \"{name}\""),
            format!("ALTER DATABASE \"{backup}\" RENAME TO \"{name}\""),
        ],
    )
    .await;
    let restored = Instant::now();
    let newcomer = api_registers(&api, "newcomer").await;
    wait_for_orders(&system, sale, ORDERS).await;
    println!("{ORDERS} orders came back in {:?}", restored.elapsed());

    let balance = system.balance(sale).await;
    assert_eq!((balance.orders, balance.buyers), (ORDERS, ORDERS));
    let without_account = "SELECT count(*) FROM purchase_attempts WHERE outcome = 'NO_ACCOUNT'";
    assert_eq!(system.number(without_account).await, 3);
    assert!(system.dead_letter_causes().await.is_empty());
    for shopper in &lost {
        assert_eq!(api.attempt(sale, shopper).await.0, 401, "of a lost account");
        assert!(newcomer.id > shopper.id, "an id was handed out twice");
    }
    assert_eq!(api.result(product, &newcomer).await, None);
    let (status, body) = api.attempt(sale, &newcomer).await;
    assert_eq!((status, &body["data"]["status"]), (200, &"PENDING".into()));
    wait_until("the newcomer has an order", PATIENCE, || async {
        api.result(product, &newcomer).await.as_deref() == Some("SUCCESS")
    })
    .await;
    for shopper in known.iter().step_by(1_000) {
        assert_eq!(
            api.result(product, shopper).await.as_deref(),
            Some("SUCCESS")
        );
    }
    assert_eq!(system.check_promises(sale).await.orders, ORDERS + 1);
    let audit = system.run(&["audit"]);
    assert_eq!(audit.end().await.code(), Some(0), "{}", audit.output());
}

/// Registers as soon as the ledger is back.
async fn api_registers(api: &Api, name: &str) -> Shopper {
    let account = serde_json::json!({"username": name, "email": format!("{name}@example.com"), "password": "password123"});
    wait_until("an account is made", PATIENCE, || async {
        let (status, _) = api
            .post("/api/auth/register", None, Some(account.clone()))
            .await;
        status == 201
    })
    .await;
    api.login(name, "password123").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_ledger_beside_an_old_gate_and_log_sells_to_its_own_shoppers() {
    let old = Servers::start().await;
    let (sale, product) = old.sale(5).await;
    let before = {
        let (api, worker) = (old.serve().await, old.work().await);
        api.wait_until_open(&old, sale).await;
        let shopper = api.register("shopper").await;
        assert_eq!(api.attempt(sale, &shopper).await.0, 200);
        assert_eq!(old.check_promises(sale).await.orders, 1);
        worker.terminate();
        assert!(worker.end().await.success());
        shopper
    };
    // Another database; the same numbers of products and shoppers.
    let database = TestDatabase::create().await;
    let more: Vec<(String, String)> = database.environment().into_iter().collect();
    let new = Servers {
        environment: {
            let mut environment = old.environment.clone();
            environment.extend(more);
            environment
        },
        database,
        ..old
    };
    // Databases of tests are copies of one.
    new.sql("UPDATE ledger_identity SET ledger_id = gen_random_uuid()")
        .await;
    let numbers = new.sale(5).await;
    assert_eq!(numbers, (sale, product), "the same numbers");
    let (api, worker) = (new.serve().await, new.work().await);
    api.wait_until_open(&new, sale).await;
    // Not before the old log is passed over: it may name accounts that this ledger has lost.
    let shopper = api_registers(&api, "shopper").await;
    assert_eq!(shopper.id, before.id, "the same number");
    assert_eq!(api.result(product, &shopper).await, None);
    assert_eq!(
        api.attempt(sale, &before).await.0,
        401,
        "a token of the other ledger"
    );
    let (status, body) = api.attempt(sale, &shopper).await;
    assert_eq!((status, &body["data"]["status"]), (200, &"PENDING".into()));
    let balance = new.check_promises(sale).await;
    assert_eq!((balance.orders, balance.remaining), (1, 4));
    assert_eq!(
        api.result(product, &shopper).await.as_deref(),
        Some("SUCCESS")
    );
    worker
        .wait_for_line("records of another ledger are passed over")
        .await;
    assert!(new.dead_letter_causes().await.is_empty());
    assert_eq!(
        new.number("SELECT count(*) FROM purchase_attempts").await,
        1
    );
}
