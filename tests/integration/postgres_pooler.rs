//! The ledger behind PgBouncer in transaction mode, and with a role that owns nothing; settling that is late.

use std::time::Duration;

use chrono::Utc;
use flashsale::{
    config::{Pooler, PostgresConfig},
    engine::postgres::{ConnectError, PostgresLedger, migrate, rights::RIGHTS},
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        AccountDirectory, AccountStore, ActionEntry, Actor, Administration, Attempt,
        CommittedOffsets, ConsumerGroup, Credentials, DeadLetterDecisions, Fingerprint,
        IdempotencyKey, LedgerAudit, Member, MovementMode, NewProduct, NewSale, NewUser, Offset,
        Partition, Position, ProductChange, Registration, ResetHash, Restock, SaleChange,
        SaleListings, SaleWindow, SettleBatch, Settling, StoredAnswer, Withdrawals,
    },
};
use futures::future::join_all;

use crate::support::{
    postgres_server::{Beside, PostgresServer},
    process::free_port,
    system::{Servers, System},
    wait_until,
};

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(10);

fn member(id: &str) -> Member {
    Member {
        group: "workers".to_owned(),
        topic: "attempts".to_owned(),
        id: id.to_owned(),
    }
}

async fn migrated(server: &PostgresServer) -> PostgresConfig {
    let config = server.config("shop");
    migrate::ensure_database(&config).await.unwrap();
    migrate::run(&config).await.unwrap();
    config
}

/// A running sale of this many units; its id and its product's.
async fn sale(server: &PostgresServer, stock: u32) -> (SaleId, ProductId) {
    let client = server.client("shop").await;
    client
        .batch_execute(&format!(
            "INSERT INTO products (id, sku, name, description, price_cents) VALUES (1, 'A', 'A', 'A', 100);
             INSERT INTO flash_sales (id, product_id, start_time, end_time, initial_stock, remaining_stock)
             VALUES (1, 1, now() - interval '1 hour', now() + interval '1 hour', {stock}, {stock})"
        ))
        .await
        .unwrap();
    (SaleId::new(1).unwrap(), ProductId::new(1).unwrap())
}

async fn register(ledger: &PostgresLedger, name: &str) -> UserId {
    let user = NewUser {
        username: name.to_owned(),
        email: format!("{name}@example.com"),
        password_hash: "none".to_owned(),
        full_name: None,
    };
    match ledger.register(&user, 0).await.unwrap() {
        Registration::Registered(id) => id,
        other => panic!("{name}: {other:?}"),
    }
}

/// Every partition settles one attempt after the other, each of another shopper; all partitions at once.
async fn sell(ledgers: &[PostgresLedger], users: &[UserId], (sale, product): (SaleId, ProductId)) {
    let member = member("one");
    let ttl = Duration::from_mins(1);
    let (leases, _) = ledgers[0]
        .heartbeat(&member, PARTITIONS, ttl)
        .await
        .unwrap();
    assert_eq!(leases.len(), usize::try_from(PARTITIONS).unwrap());
    let partitions = (0..PARTITIONS).zip(ledgers.iter().cycle());
    join_all(partitions.map(|(partition, ledger)| async move {
        let own = users.iter().skip(usize::try_from(partition).unwrap());
        let own = own.step_by(usize::try_from(PARTITIONS).unwrap());
        for (offset, user) in (0..).zip(own) {
            let attempt = Attempt {
                id: AttemptId::generate(),
                sale,
                product,
                user: *user,
                at: Utc::now(),
            };
            let batch = SettleBatch {
                position: Position {
                    group: "workers".to_owned(),
                    topic: "attempts".to_owned(),
                    partition: Partition(partition),
                },
                from: Offset(offset),
                to: Offset(offset + 1),
                last: Some(attempt.id),
                attempts: vec![attempt],
                offsets: Vec::new(),
                rejected: Vec::new(),
                reached: None,
            };
            let settled = ledger.settle(&[batch]).await.unwrap();
            assert_eq!(settled[0][0].attempt.id, attempt.id);
            let known = ledger.outcomes(&[attempt.id]).await.unwrap();
            assert_eq!(known.len(), 1);
        }
    }))
    .await;
}

async fn check_sold(server: &PostgresServer, users: usize, stock: u32) {
    let client = server.client("shop").await;
    let row = client
        .query_one(
            "SELECT (SELECT count(*) FROM orders), (SELECT count(DISTINCT user_id) FROM orders),
                (SELECT remaining_stock FROM flash_sales), (SELECT count(*) FROM purchase_attempts)",
            &[],
        )
        .await
        .unwrap();
    let sold = i64::from(stock);
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, i64>(1)),
        (sold, sold),
        "orders, buyers"
    );
    assert_eq!(row.get::<_, i32>(2), 0, "units left");
    assert_eq!(row.get::<_, i64>(3), i64::try_from(users).unwrap());
}

/// PgBouncer in transaction mode, with fewer sessions than clients.
async fn pooler(server: &PostgresServer) -> (Beside, u16) {
    let port = free_port();
    let users = server.file("users.txt", b"\"shop\" \"none\"\n");
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 3\n\
         server_login_retry = 1\n",
        server.port(),
        users.display()
    );
    let path = server.file("pgbouncer.ini", settings.as_bytes());
    let pooler = server.beside("pgbouncer", &["-q", &path.display().to_string()]);
    wait_until("PgBouncer listens", PATIENCE, || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
    })
    .await;
    (pooler, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_through_pgbouncer_in_transaction_mode_mixes_no_statements() {
    let server = PostgresServer::start().await;
    let direct = migrated(&server).await;
    let (_pooler, port) = pooler(&server).await;
    let config = PostgresConfig {
        port,
        pooler: Pooler::Transaction,
        ..direct
    };
    let ledgers = join_all((0..4).map(|_| PostgresLedger::connect(&config))).await;
    let ledgers: Vec<_> = ledgers.into_iter().map(Result::unwrap).collect();
    let sold = sale(&server, 40).await;
    let clients = (0..60).zip(ledgers.iter().cycle());
    let names = clients.map(|(n, ledger)| async move {
        let name = format!("shopper{n}");
        let id = register(ledger, &name).await;
        let found = ledger.find_user(&name).await.unwrap().unwrap();
        assert_eq!((found.id, found.username), (id, name));
        id
    });
    let users = join_all(names).await;
    sell(&ledgers, &users, sold).await;
    check_sold(&server, 60, 40).await;
    let refused = migrate::run(&config).await.unwrap_err().to_string();
    assert!(refused.contains("POSTGRES_POOLER"), "{refused}");
}

#[tokio::test]
async fn a_pooler_whose_server_is_away_is_waited_for_and_the_line_names_what_else_it_may_be() {
    let mut server = PostgresServer::start().await;
    let direct = migrated(&server).await;
    let (_pooler, port) = pooler(&server).await;
    let config = PostgresConfig {
        port,
        pooler: Pooler::Transaction,
        ..direct
    };
    let wrong = PostgresConfig {
        database: "nowhere".to_owned(),
        ..config.clone()
    };
    server.kill();
    let away = PostgresLedger::connect(&config).await.err().unwrap();
    assert!(away.is_passing(), "{away}");
    server.restart().await;
    let missing = PostgresLedger::connect(&wrong).await.err().unwrap();
    for name in ["POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"] {
        assert!(missing.to_string().contains(name), "{missing}");
    }
    // PgBouncer tries again by itself, some seconds after it failed.
    wait_until("it connects", Duration::from_secs(30), || async {
        PostgresLedger::connect(&config).await.is_ok()
    })
    .await;
}

/// Every right of the list is taken away, and missed by name.
#[tokio::test]
async fn a_role_without_a_right_is_refused_at_the_start_with_the_command_that_grants_it() {
    let server = PostgresServer::start().await;
    let owner = migrated(&server).await;
    PostgresLedger::connect_with_rights(&owner).await.unwrap();
    server
        .admin_sql("CREATE ROLE service LOGIN; CREATE ROLE boss LOGIN SUPERUSER")
        .await;
    let user = |name: &str| PostgresConfig {
        user: name.to_owned(),
        ..owner.clone()
    };
    PostgresLedger::connect_with_rights(&user("boss"))
        .await
        .unwrap();
    let config = user("service");
    migrate::grant(&owner, "service").await.unwrap();
    PostgresLedger::connect_with_rights(&config).await.unwrap();
    let client = server.client("shop").await;
    for right in RIGHTS {
        let revoke = format!("REVOKE {right} FROM service");
        client.batch_execute(&revoke).await.unwrap();
        let refused = PostgresLedger::connect_with_rights(&config).await.err();
        let Some(ConnectError::RightsMissing { missing, .. }) = &refused else {
            panic!("{right}: {refused:?}");
        };
        let (privileges, objects) = right.split_once(" ON ").unwrap();
        let object = objects.trim_start_matches("SEQUENCE ").split(',').next();
        let named = |text: &String| {
            text.ends_with(&format!(" ON {}", object.unwrap()))
                && privileges.starts_with(text.split(' ').next().unwrap())
        };
        assert!(missing.iter().any(named), "{right}: {missing:?}");
        let refused = refused.unwrap();
        assert!(!refused.is_passing(), "{refused}");
        let command = "flashsale migrate run --grant-to service";
        assert!(refused.to_string().contains(command), "{refused}");
        migrate::grant(&owner, "service").await.unwrap();
    }
    PostgresLedger::connect_with_rights(&config).await.unwrap();
}

#[tokio::test]
async fn a_role_that_owns_nothing_runs_a_sale_with_the_rights_that_migrate_grants() {
    let server = PostgresServer::start().await;
    let owner = migrated(&server).await;
    server.admin_sql("CREATE ROLE service LOGIN").await;
    let config = PostgresConfig {
        user: "service".to_owned(),
        ..owner.clone()
    };
    assert!(PostgresLedger::connect(&config).await.is_err());
    migrate::grant(&owner, "service").await.unwrap();
    for refused in [
        migrate::run(&config).await.map(drop),
        migrate::reset(&config).await.map(drop),
        migrate::grant(&owner, "nobody").await,
    ] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("--grant-to"), "{refused}");
    }
    let ledger = PostgresLedger::connect(&config).await.unwrap();
    let sold = sale(&server, 5).await;
    let mut users = Vec::new();
    for n in 0..8 {
        users.push(register(&ledger, &format!("shopper{n}")).await);
    }
    assert_eq!(ledger.sales(Utc::now()).await.unwrap().len(), 1);
    sell(std::slice::from_ref(&ledger), &users, sold).await;
    assert_eq!(
        ledger
            .snapshot(sold.0)
            .await
            .unwrap()
            .unwrap()
            .holders
            .len(),
        5
    );
    assert_eq!(
        ledger
            .committed_offsets("workers", "attempts")
            .await
            .unwrap()
            .len(),
        4
    );
    assert!(!ledger.settled(None, 100).await.unwrap().is_empty());
    ledger.decisions("attempts").await.unwrap();
    ledger
        .release(&member("one"), &[Partition(0)])
        .await
        .unwrap();
    ledger.leave(&member("one")).await.unwrap();
    check_sold(&server, 8, 5).await;
    operate(&ledger).await;

    let (user, now) = (users[0], Utc::now().timestamp());
    let ended = ledger.end_sessions(user, now).await.unwrap();
    assert!(!ended.unwrap().admits(now));
    let token = ResetHash([7; 32]);
    let hour = Duration::from_hours(1);
    ledger.store_reset(user, token, hour).await.unwrap();
    let redeemed = ledger.redeem_reset(token, "hash", now).await.unwrap();
    assert!(redeemed.is_some());
    let set = ledger.set_password(user, Some("hash"), "other", now).await;
    assert!(set.unwrap().is_some());
    assert_eq!(ledger.ended_sessions(None, 0, 10).await.unwrap().len(), 1);

    let client = server.client_as("service", "shop").await;
    for statement in [
        "DELETE FROM users",
        "UPDATE flash_sales SET version = 1000000",
        "UPDATE admin_actions SET actor = 'another'",
        "DELETE FROM admin_actions",
        "TRUNCATE admin_actions",
        "UPDATE users SET role = 'admin'",
        "INSERT INTO users (username, email, password_hash, role) VALUES ('eve', 'eve@example.com', '-', 'admin')",
        "INSERT INTO users (username, email, password_hash, role) VALUES ('eve', 'eve@example.com', '-', 'auditor')",
        "DELETE FROM purchase_attempts",
        "UPDATE flash_sales SET attempts_removed_until = end_time",
        "DROP TRIGGER users_insert_checks_maker ON users",
        "DROP TABLE orders",
        "ALTER TABLE orders DISABLE TRIGGER ALL",
        "TRUNCATE purchase_attempts",
    ] {
        let done = client.batch_execute(statement).await;
        let refused = done.expect_err(statement);
        let code = refused.code().unwrap().code();
        assert_eq!(code, "42501", "{statement}");
    }
    // What an entry says of a person may be erased, and not changed otherwise.
    let change = "UPDATE admin_actions SET reason = 'another'";
    let refused = client.batch_execute(change).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "23001");
}

/// Every kind of change that an operator can make.
async fn operate(ledger: &PostgresLedger) {
    let entry = ActionEntry {
        actor: Actor {
            name: "user:1".to_owned(),
            role: "operator".to_owned(),
            address: None,
        },
        reason: "rights".to_owned(),
        key: Some(IdempotencyKey {
            key: "first".to_owned(),
            fingerprint: Fingerprint([1; 32]),
        }),
    };
    let product = NewProduct {
        sku: "MADE".to_owned(),
        name: "Made".to_owned(),
        description: String::new(),
        image_url: None,
        price_cents: 100,
        currency: "EUR".to_owned(),
        prior_price_cents: None,
    };
    let product = ledger.create_product(&product, &entry).await.unwrap();
    let key = entry.key.clone().unwrap();
    let answer = StoredAnswer {
        status: 201,
        body: "{}".to_owned(),
    };
    ledger.store_answer("user:1", &key, &answer).await.unwrap();
    let entry = ActionEntry { key: None, ..entry };
    let change = ProductChange {
        expected: 1,
        price_cents: Some(90),
        ..ProductChange::default()
    };
    let changed = ledger.change_product(product.id, &change, &entry).await;
    changed.unwrap();
    let now = Utc::now();
    let sale = NewSale {
        product: product.id,
        window: SaleWindow {
            start: now,
            end: now + chrono::TimeDelta::hours(1),
        },
        units: 3,
        note: String::new(),
    };
    let sale = ledger.create_sale(&sale, &entry).await.unwrap().id;
    for change in [
        SaleChange::Publish,
        SaleChange::Pause,
        SaleChange::Resume,
        SaleChange::AddUnits(2),
    ] {
        let changed = ledger.change_sale(sale, &change, now, &entry).await;
        changed.unwrap();
    }
    let begun = ledger
        .begin_withdrawal(sale, 1, MovementMode::Exact, &entry)
        .await
        .unwrap();
    let closed = ledger.close_withdrawal(begun.id, 1).await.unwrap();
    assert_eq!(closed.unwrap().applied, 1);
    let orders = ledger
        .orders(SaleId::new(1).unwrap(), None, 1)
        .await
        .unwrap();
    for order in orders {
        let cancelled = ledger
            .cancel_order(order.attempt, Restock::No, &entry)
            .await;
        cancelled.unwrap();
    }
    assert_eq!(ledger.verify_actions().await.unwrap().broken, None);
}

#[tokio::test]
async fn accepted_and_not_settled_is_not_ready_until_a_worker_settles_it() {
    let system = Servers::start().await;
    let api = system.serve_as(&[("SETTLEMENT_LAG_SECS", "2")]).await;
    let worker = system.work().await;
    let (sale, _) = system.sale(5).await;
    api.wait_until_open(&system, sale).await;
    drop(worker);
    let shopper = &system.shoppers(1).await[0];
    assert_eq!(api.attempt(sale, shopper).await.0, 200);
    let state = async || {
        let (status, body) = api.get("/health/ready", None).await;
        (status, body["dependencies"]["settlement"].to_string())
    };
    wait_until("readiness says late", PATIENCE, || async {
        state().await == (503, "\"late\"".to_owned())
    })
    .await;
    let metrics = reqwest::get(format!("{}/metrics", api.url)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(
        metrics.contains("flashsale_oldest_unsettled_seconds"),
        "{metrics}"
    );
    let _worker = system.work().await;
    // The lease of the worker that is gone has to run out first.
    wait_until("ready again", Duration::from_secs(30), || async {
        state().await == (200, "\"up\"".to_owned())
    })
    .await;
    assert_eq!(system.balance(sale).await.orders, 1);
}
