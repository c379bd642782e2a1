//! The ledger on PostgreSQL: its bed for the suite, and what only a server can do to it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, SecondsFormat, Utc};
use flashsale::{
    config::Secret,
    engine::postgres::{ConnectError, PostgresLedger, migrate},
    ids::{AttemptId, SaleId, UserId},
    port::{
        AccountStore, AdminError, Administration, Change, ConsumerGroup, KeyStanding, Ledger,
        LedgerProbe, Offset, OrderPage, Outcome, Partition, SaleChange, SettleBatch, SettleError,
    },
};
use futures::future::join_all;

use super::{
    bed::{SqlBed, TestBed, attempt, by_sql, make_partitions, member, position, settle},
    operator,
};
use crate::support::{postgres::TestDatabase, wait_until, wire::Wire};

/// A database of its own, and a connection for statements by hand.
pub struct PostgresBed {
    database: TestDatabase,
    client: tokio_postgres::Client,
}

impl TestBed for PostgresBed {
    async fn start() -> Self {
        let database = TestDatabase::create().await;
        let client = database.client().await;
        Self { database, client }
    }

    async fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(self.database.ledger().await)
    }

    by_sql!();
}

impl SqlBed for PostgresBed {
    async fn administration(&self) -> Arc<dyn Administration> {
        Arc::new(self.database.ledger().await)
    }

    async fn disable_action_triggers(&self) {
        self.execute("ALTER TABLE admin_actions DISABLE TRIGGER USER")
            .await
            .unwrap();
    }

    async fn execute(&self, statement: &str) -> Result<u64, String> {
        self.client
            .execute(statement, &[])
            .await
            .map_err(|error| format!("{error:?}"))
    }

    async fn number(&self, query: &str) -> i64 {
        self.client.query_one(query, &[]).await.unwrap().get(0)
    }

    async fn accounts(&self) -> Arc<dyn AccountStore> {
        Arc::new(self.database.ledger().await)
    }

    fn instant(&self, at: DateTime<Utc>) -> String {
        at.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

fn connect_error(result: Result<PostgresLedger, ConnectError>) -> ConnectError {
    result.err().expect("it connected")
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_up_down_and_up_again() {
    let database = TestDatabase::missing().past_pooler();
    assert!(migrate::ensure_database(&database.config).await.unwrap());
    assert!(!migrate::ensure_database(&database.config).await.unwrap());
    let states = migrate::status(&database.config).await.unwrap();
    assert!(states.len() >= 6 && states.iter().all(|state| !state.applied));

    let names: Vec<String> = states.into_iter().map(|state| state.name).collect();
    assert_eq!(migrate::run(&database.config).await.unwrap().applied, names);
    assert!(
        migrate::run(&database.config)
            .await
            .unwrap()
            .applied
            .is_empty()
    );
    assert_eq!(
        migrate::revert(&database.config).await.unwrap().as_ref(),
        names.last()
    );
    let error = connect_error(PostgresLedger::connect(&database.config).await);
    assert!(
        matches!(&error, ConnectError::MigrationsMissing { names: missing, .. } if missing[..] == names[names.len() - 1..])
    );

    let reverted = migrate::reset(&database.config).await.unwrap();
    assert!(reverted.iter().eq(names[..names.len() - 1].iter().rev()));
    assert_eq!(migrate::revert(&database.config).await.unwrap(), None);
    assert_eq!(migrate::run(&database.config).await.unwrap().applied, names);
    assert!(
        migrate::status(&database.config)
            .await
            .unwrap()
            .iter()
            .all(|state| state.applied)
    );
    database.ledger().await.ping().await.unwrap();
}

#[tokio::test] // on one thread, as actix runs
async fn migrating_at_the_same_moment_applies_everything_once() {
    let database = TestDatabase::missing().past_pooler();
    let runs = join_all((0..6).map(|_| async {
        migrate::ensure_database(&database.config).await.unwrap();
        migrate::run(&database.config).await.unwrap().applied.len()
    }))
    .await;
    let all = migrate::status(&database.config).await.unwrap().len();
    assert_eq!(runs.iter().sum::<usize>(), all, "{runs:?}");
}

#[tokio::test]
async fn a_database_that_is_ahead_is_served_and_listed() {
    let database = TestDatabase::create().await;
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')";
    database.client().await.execute(newer, &[]).await.unwrap();
    database.ledger().await.ping().await.unwrap();
    let database = database.past_pooler();
    let status = migrate::status(&database.config).await.unwrap();
    assert!(
        status
            .iter()
            .any(|state| state.applied && state.name == "29990101000000")
    );
}

#[tokio::test]
async fn why_there_is_no_connection_is_told_apart() {
    // A pooler says the same for all of it.
    let database = TestDatabase::create().await.past_pooler();
    let right = &database.config;

    let mut wrong = right.clone();
    wrong.password = Secret::new("hunter2-not-the-password");
    let error = connect_error(PostgresLedger::connect(&wrong).await);
    assert!(
        matches!(error, ConnectError::Credentials { .. }) && !error.is_passing(),
        "{error}"
    );
    assert!(
        error.to_string().contains("POSTGRES_PASSWORD")
            && !format!("{error:?} {error}").contains("hunter2")
    );

    let mut wrong = right.clone();
    wrong.database = "flashsale_no_such_database".into();
    let error = connect_error(PostgresLedger::connect(&wrong).await);
    assert!(
        matches!(error, ConnectError::DatabaseMissing { .. }) && !error.is_passing(),
        "{error}"
    );
    assert!(error.to_string().contains("POSTGRES_DB"));

    for (host, port) in [("127.0.0.1", 1), ("no-such-host.invalid", 5432)] {
        let mut wrong = right.clone();
        (wrong.host, wrong.port) = (host.into(), port);
        let error = connect_error(PostgresLedger::connect(&wrong).await);
        assert!(
            matches!(error, ConnectError::Unreachable { .. }) && error.is_passing(),
            "{error}"
        );
        assert!(error.to_string().contains("POSTGRES_HOST") && !error.to_string().contains('\n'));
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_unreachable_within_the_timeout() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = TestDatabase::missing().config.clone();
    config.host = "127.0.0.1".into();
    config.port = silent.local_addr().unwrap().port();
    config.pool_timeout = Duration::from_millis(300);
    let start = Instant::now();
    let error = connect_error(PostgresLedger::connect(&config).await);
    assert!(error.is_passing(), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_statement_that_waits_too_long_is_ended_and_nothing_is_left() {
    let bed = PostgresBed::start().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(1).await;
    make_partitions(&*bed.ledger().await, 1).await;
    let mut config = bed.database.config.clone();
    config.statement_timeout = Duration::from_secs(1);
    let ledger = PostgresLedger::connect(&config).await.unwrap();

    bed.client
        .batch_execute("BEGIN; SELECT 1 FROM flash_sales FOR UPDATE")
        .await
        .unwrap();
    let start = Instant::now();
    let Err(SettleError::Ledger(error)) = settle(&ledger, 0, 0, &[attempt(sale, users[0])]).await
    else {
        panic!("it was not ended");
    };
    assert!(error.to_string().contains("statement timeout"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(8));
    bed.client.batch_execute("ROLLBACK").await.unwrap();
    settle(&ledger, 0, 0, &[attempt(sale, users[0])])
        .await
        .unwrap();
    bed.check_promises().await;
}

#[tokio::test]
async fn a_held_wire_fails_the_call_in_time_and_the_next_one_works() {
    let bed = PostgresBed::start().await;
    let users = bed.shoppers(2).await;
    let sale = bed.sale(2).await;
    make_partitions(&*bed.ledger().await, 1).await;
    let wire = Wire::to(&bed.database.config.host, bed.database.config.port).await;
    let mut config = bed.database.config.clone();
    (config.host, config.port) = ("127.0.0.1".into(), wire.port);
    config.statement_timeout = Duration::from_millis(500);
    config.pool_timeout = Duration::from_millis(1500);
    config.pool_size = 1;
    let ledger = PostgresLedger::connect(&config).await.unwrap();
    settle(&ledger, 0, 0, &[attempt(sale, users[0])])
        .await
        .unwrap();

    // In the middle of a statement: the row it wants is locked until the wire is held.
    bed.client
        .batch_execute("BEGIN; SELECT 1 FROM consumer_partitions FOR UPDATE")
        .await
        .unwrap();
    let start = Instant::now();
    let late = attempt(sale, users[1]);
    let batch = [late];
    let hold = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        wire.hold(true);
        bed.client.batch_execute("ROLLBACK").await.unwrap();
    };
    let settling = tokio::time::timeout(Duration::from_secs(20), settle(&ledger, 0, 1, &batch));
    let (answer, ()) = tokio::join!(settling, hold);
    let answer = answer.expect("the call ends by itself");
    assert!(matches!(answer, Err(SettleError::Ledger(_))), "{answer:?}");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );

    ledger.ping().await.unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    wire.hold(false);
    // The transaction that was cut off ends by itself, at the latest by the server's own limits.
    settle(&ledger, 0, 1, &batch).await.unwrap();
    bed.check_promises().await;
}

#[tokio::test]
async fn killed_backends_are_replaced() {
    let bed = PostgresBed::start().await;
    let users = bed.shoppers(3).await;
    let sale = bed.sale(3).await;
    let ledger = bed.ledger().await;
    make_partitions(&*ledger, 1).await;
    for (from, user) in (0..).zip(&users) {
        settle(&*ledger, 0, from, &[attempt(sale, *user)])
            .await
            .unwrap();
        let killed = bed
            .number(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'flashsale%'",
            )
            .await;
        assert!(killed > 0);
    }
    ledger.ping().await.unwrap();
    bed.check_promises().await;
}

#[tokio::test]
async fn a_backend_killed_in_mid_transaction_leaves_nothing() {
    let bed = PostgresBed::start().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(1).await;
    let ledger = bed.ledger().await;
    make_partitions(&*ledger, 1).await;
    let locker = bed.database.client().await;
    locker
        .batch_execute("BEGIN; SELECT 1 FROM flash_sales FOR UPDATE")
        .await
        .unwrap();
    let batch = [attempt(sale, users[0])];
    let kill = async {
        let waiting = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let deadline = Instant::now() + Duration::from_secs(10);
        while bed.number(waiting).await == 0 {
            assert!(
                Instant::now() < deadline,
                "the batch never came to the lock"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        locker.batch_execute("ROLLBACK").await.unwrap();
    };
    let (answer, ()) = tokio::join!(settle(&*ledger, 0, 0, &batch), kill);
    assert!(matches!(answer, Err(SettleError::Ledger(_))), "{answer:?}");
    assert_eq!(
        bed.number("SELECT count(*) + sum(next_offset)::bigint FROM consumer_partitions")
            .await,
        1
    );
    settle(&*ledger, 0, 0, &batch).await.unwrap();
    bed.check_promises().await;
}

/// Waits until somebody waits for a lock in the bed's database.
async fn wait_for_a_wait(bed: &PostgresBed) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let client = bed.database.client().await;
    wait_until("somebody waits", Duration::from_secs(10), || async {
        client
            .query_one(waiting, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
    })
    .await;
}

#[tokio::test]
async fn a_batch_overtaken_by_another_writer_is_decided_anew() {
    let bed = PostgresBed::start().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(1).await;
    let ledger = bed.ledger().await;
    make_partitions(&*ledger, 1).await;
    let batch = [attempt(sale, users[0])];
    let elsewhere = format!(
        "BEGIN; INSERT INTO purchase_attempts
            (attempt_id, flash_sale_id, user_id, product_id, attempted_at, outcome, topic, partition)
         VALUES ('{}', {sale}, {}, {sale}, now(), 'SOLD_OUT', 'elsewhere', 0)",
        batch[0].id, users[0]
    );
    let writer = bed.database.client().await;
    writer.batch_execute(&elsewhere).await.unwrap();
    let commit = async {
        wait_for_a_wait(&bed).await;
        writer.batch_execute("COMMIT").await.unwrap();
    };
    let (answer, ()) = tokio::join!(settle(&*ledger, 0, 0, &batch), commit);
    assert_eq!(answer.unwrap(), [Outcome::SoldOut]);
    bed.check_promises().await;
}

#[tokio::test]
async fn a_batch_under_way_does_not_hold_up_the_heartbeats_of_others() {
    let bed = PostgresBed::start().await;
    let ledger = bed.ledger().await;
    let ttl = Duration::from_mins(1);
    ledger.heartbeat(&member("a"), 3, ttl).await.unwrap();
    ledger.heartbeat(&member("b"), 3, ttl).await.unwrap();
    // Free to be taken, but the last batch of who had it is not through.
    ledger.release(&member("a"), &[Partition(0)]).await.unwrap();
    bed.client
        .batch_execute("BEGIN; UPDATE consumer_partitions SET next_offset = 1")
        .await
        .unwrap();
    let beat = tokio::time::timeout(
        Duration::from_secs(5),
        ledger.heartbeat(&member("b"), 3, ttl),
    )
    .await;
    let (leases, share) = beat.expect("it does not wait").unwrap();
    assert_eq!((leases.len(), share), (0, 1));
    bed.client.batch_execute("ROLLBACK").await.unwrap();
    let (leases, _) = ledger.heartbeat(&member("b"), 3, ttl).await.unwrap();
    assert_eq!(leases.len(), 1);
}

#[tokio::test]
async fn a_full_pool_refuses_in_time() {
    let bed = PostgresBed::start().await;
    let mut config = bed.database.config.clone();
    (config.pool_size, config.pool_timeout) = (1, Duration::from_secs(1));
    let ledger = PostgresLedger::connect(&config).await.unwrap();
    bed.client
        .batch_execute("BEGIN; LOCK consumer_members, consumer_partitions")
        .await
        .unwrap();
    let who = member("a");
    let (_, second) = tokio::join!(
        async {
            tokio::time::timeout(
                Duration::from_secs(5),
                ledger.heartbeat(&who, 1, Duration::from_secs(1)),
            )
            .await
        },
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            tokio::time::timeout(Duration::from_secs(3), ledger.ping())
                .await
                .expect("it answers in time")
        }
    );
    second.unwrap_err();
    bed.client.batch_execute("ROLLBACK").await.unwrap();
    // The call given up in mid-transaction above does not come back from the pool.
    ledger
        .heartbeat(&who, 1, Duration::from_secs(1))
        .await
        .unwrap();
}

#[tokio::test]
async fn many_orders_in_one_statement_by_hand_cannot_oversell() {
    let bed = PostgresBed::start().await;
    bed.shoppers(20).await;
    let sale = bed.sale(10).await;
    let insert = |from: i64, to: i64| {
        format!(
            "INSERT INTO orders (user_id, product_id, flash_sale_id, status, attempt_id)
             SELECT id, {sale}, {sale}, 'SUCCESS', gen_random_uuid() FROM users WHERE id BETWEEN {from} AND {to}"
        )
    };
    bed.execute(&insert(1, 11)).await.unwrap_err();
    bed.execute(&insert(1, 10)).await.unwrap();
    bed.execute("UPDATE orders SET user_id = user_id + 10")
        .await
        .unwrap();
    bed.check_promises().await;
    bed.execute("TRUNCATE orders").await.unwrap();
    bed.check_promises().await;
}

/// What a foreign key would refuse, whoever writes, and with its code.
#[tokio::test]
async fn orders_by_hand_name_what_exists() {
    let bed = PostgresBed::start().await;
    let shoppers = bed.shoppers(3).await;
    let (sale, other) = (bed.sale(5).await, bed.sale(5).await);
    let order = async |user, product| {
        bed.order(sale, product, user, AttemptId::generate(), "SUCCESS")
            .await
    };
    let nobody = UserId::new(99).unwrap();
    for refused in [
        order(nobody, sale.value()).await,
        order(shoppers[0], other.value()).await,
        bed.order(
            SaleId::new(9_999_999).unwrap(),
            1,
            shoppers[0],
            AttemptId::generate(),
            "FAILED",
        )
        .await,
    ] {
        let error = refused.unwrap_err();
        assert!(error.contains("E23503"), "{error}");
    }
    order(shoppers[0], sale.value()).await.unwrap();
    order(shoppers[1], sale.value()).await.unwrap();

    // A third sale that no order can count for, and a product that no other sale is of.
    bed.execute(
        "INSERT INTO products (id, sku, name, price_cents) VALUES (7777, 'SPARE', 'Spare', 1)",
    )
    .await
    .unwrap();
    let failed = bed.sale(5).await;
    bed.order(
        failed,
        failed.value(),
        shoppers[0],
        AttemptId::generate(),
        "FAILED",
    )
    .await
    .unwrap();
    for refused in [
        "UPDATE orders SET user_id = 99 WHERE user_id = 2",
        &format!("UPDATE orders SET product_id = {other}"),
        &format!("UPDATE orders SET flash_sale_id = {other} WHERE user_id = 2"),
        "DELETE FROM users",
        "DELETE FROM users WHERE id = 2",
        "UPDATE users SET id = 98 WHERE id = 2",
        "TRUNCATE users",
        "TRUNCATE flash_sales",
        &format!("DELETE FROM flash_sales WHERE id = {sale}"),
        &format!("UPDATE flash_sales SET id = 9999998 WHERE id = {failed}"),
        &format!("UPDATE flash_sales SET product_id = 7777 WHERE id = {failed}"),
    ] {
        let error = bed.execute(refused).await.expect_err(refused);
        assert!(error.contains("E23503"), "{refused}: {error}");
    }
    bed.check_promises().await;

    for allowed in [
        "DELETE FROM users WHERE id = 3",
        &format!("UPDATE flash_sales SET id = 9999997, product_id = 7777 WHERE id = {other}"),
        "UPDATE users SET full_name = 'One', id = 1 WHERE id = 1",
        "DELETE FROM orders WHERE user_id = 2",
        "UPDATE users SET id = 97 WHERE id = 2",
        "TRUNCATE users, orders",
        &format!("DELETE FROM flash_sales WHERE id IN ({sale}, {failed})"),
    ] {
        bed.execute(allowed).await.expect(allowed);
    }
    bed.check_promises().await;
}

/// The one waits until the other is through, and then sees what it did, whichever comes first.
#[tokio::test]
async fn who_deletes_an_account_and_who_makes_its_order_do_not_miss_each_other() {
    let bed = PostgresBed::start().await;
    let shoppers = bed.shoppers(3).await;
    let sale = bed.sale(5).await;
    let ledger = bed.ledger().await;
    make_partitions(&*ledger, 1).await;
    let by_hand = bed.database.client().await;

    // An order that is not committed yet: who deletes the account waits for it, and then may not.
    let order = format!(
        "BEGIN; INSERT INTO orders (user_id, product_id, flash_sale_id, status, attempt_id)
         VALUES (1, {sale}, {sale}, 'SUCCESS', gen_random_uuid())"
    );
    by_hand.batch_execute(&order).await.unwrap();
    let (deleted, ()) = tokio::join!(bed.execute("DELETE FROM users WHERE id = 1"), async {
        wait_for_a_wait(&bed).await;
        by_hand.batch_execute("COMMIT").await.unwrap();
    });
    let error = deleted.unwrap_err();
    assert!(error.contains("E23503"), "{error}");

    // An account that is about to be deleted holds nobody up: its order comes first, and it stays.
    by_hand
        .batch_execute("BEGIN; DELETE FROM users WHERE id = 2")
        .await
        .unwrap();
    let ordered = [attempt(sale, shoppers[1])];
    let outcomes = settle(&*ledger, 0, 0, &ordered).await.unwrap();
    assert_eq!(outcomes, [Outcome::Ordered]);
    let error = by_hand.batch_execute("COMMIT").await.unwrap_err();
    assert!(format!("{error:?}").contains("E23503"), "{error:?}");

    // An account of which it was seen that it has no orders: its attempt waits, and finds no account then.
    by_hand
        .batch_execute("BEGIN; DELETE FROM users WHERE id = 3; SET CONSTRAINTS ALL IMMEDIATE")
        .await
        .unwrap();
    let late = [attempt(sale, shoppers[2])];
    let (settled, ()) = tokio::join!(settle(&*ledger, 0, 1, &late), async {
        wait_for_a_wait(&bed).await;
        by_hand.batch_execute("COMMIT").await.unwrap();
    });
    assert_eq!(settled.unwrap(), [Outcome::NoAccount]);
    bed.check_promises().await;
    assert_eq!(bed.orders().await, 2);
}

/// Batches of partitions in whatever order, beside heartbeats: nobody waits in a circle.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_settled_together_in_any_order_do_not_deadlock() {
    const PARTITIONS: i32 = 6;
    let bed = PostgresBed::start().await;
    let shoppers = bed.shoppers(1).await;
    let sale = bed.sale(5).await;
    let ledger = bed.ledger().await;
    let member = member("1");
    ledger
        .heartbeat(&member, PARTITIONS, Duration::from_mins(1))
        .await
        .unwrap();
    let batch = |partition| SettleBatch {
        position: position(partition),
        from: Offset(0),
        to: Offset(0),
        last: None,
        attempts: vec![attempt(sale, shoppers[0])],
        rejected: Vec::new(),
        reached: None,
    };
    let rounds = (0..12).map(|n| {
        let (ledger, member, batch) = (&ledger, &member, &batch);
        async move {
            for k in 0..15 {
                let mut batches: Vec<_> = (0..PARTITIONS).map(batch).collect();
                batches.rotate_left((n + k) % 6);
                if n % 2 == 0 {
                    batches.reverse();
                }
                if n % 4 == 3 {
                    ledger
                        .heartbeat(member, PARTITIONS, Duration::from_mins(1))
                        .await
                        .unwrap();
                } else {
                    ledger.settle(&batches).await.unwrap();
                }
            }
        }
    });
    join_all(rounds).await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(bed.number(deadlocks).await, 0);
    bed.check_promises().await;
}

/// Under another isolation neither would see what the other did meanwhile.
#[tokio::test]
async fn orders_and_what_they_name_are_changed_in_read_committed_only() {
    let bed = PostgresBed::start().await;
    bed.shoppers(1).await;
    let sale = bed.sale(5).await;
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        for statement in [
            "DELETE FROM users",
            &format!("DELETE FROM flash_sales WHERE id = {sale}"),
            &format!(
                "INSERT INTO orders (user_id, product_id, flash_sale_id, status, attempt_id)
                 VALUES (1, {sale}, {sale}, 'SUCCESS', gen_random_uuid())"
            ),
        ] {
            let text = format!("BEGIN ISOLATION LEVEL {isolation}; {statement}; COMMIT");
            let error = bed.client.batch_execute(&text).await.unwrap_err();
            bed.client.batch_execute("ROLLBACK").await.unwrap();
            assert!(format!("{error:?}").contains("READ COMMITTED"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_repeated_request_does_not_wait_for_the_first_one() {
    let bed = PostgresBed::start().await;
    let admin = bed.administration().await;
    let sale = operator::open_sale(admin.as_ref()).await;
    let lock = format!(
        "BEGIN; SELECT 1 FROM flash_sales WHERE id = {} FOR UPDATE",
        sale.id
    );
    bed.client.batch_execute(&lock).await.unwrap();
    let (add, entry) = (SaleChange::AddUnits(1), operator::with_key("a", 1));
    let now = operator::now();
    let again = async {
        wait_for_a_wait(&bed).await;
        let again = admin.change_sale(sale.id, &add, now, &entry).await;
        bed.client.batch_execute("ROLLBACK").await.unwrap();
        again
    };
    let first = admin.change_sale(sale.id, &add, now, &entry);
    let both = async { tokio::join!(first, again) };
    let both = tokio::time::timeout(Duration::from_secs(8), both).await;
    let (first, again) = both.expect("nobody waits for the statement's timeout");
    let running = |answer: &Result<_, AdminError>| {
        matches!(
            answer,
            Err(AdminError::KeyUsed(KeyStanding::Running { .. }))
        )
    };
    assert!(running(&again), "{again:?}");
    assert_eq!(first.unwrap().after.initial_stock, 11);
    let later = admin.change_sale(sale.id, &add, now, &entry).await;
    assert!(running(&later), "{later:?}");
}

#[tokio::test]
async fn changing_the_units_counts_no_orders() {
    let bed = PostgresBed::start().await;
    let sale = bed.sale(5).await;
    bed.client.batch_execute("BEGIN").await.unwrap();
    let scans = "SELECT (coalesce(seq_scan, 0) + coalesce(idx_scan, 0))::bigint
        FROM pg_stat_xact_user_tables WHERE relname = 'orders'";
    let before = bed.number(scans).await;
    for set in [
        "initial_stock = initial_stock + 5",
        "initial_stock = initial_stock - 2",
        "initial_stock = 20, remaining_stock = 20",
        "note = 'none'",
    ] {
        let statement = format!("UPDATE flash_sales SET {set} WHERE id = {sale}");
        bed.execute(&statement).await.unwrap();
        assert_eq!(bed.number(scans).await, before, "{set}");
    }
    bed.client.batch_execute("COMMIT").await.unwrap();
    bed.check_promises().await;
}

/// Ends all other sessions: the server counts what a session read when it ends, at the latest.
async fn end_sessions(bed: &PostgresBed) {
    let others =
        "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    wait_until(
        "the sessions have ended",
        Duration::from_secs(20),
        || async {
            let end = format!("SELECT count(pg_terminate_backend(pid)) {others}");
            bed.number(&end).await == 0
        },
    )
    .await;
}

#[tokio::test]
async fn a_page_of_orders_reads_little_more_than_itself() {
    let bed = PostgresBed::start().await;
    let sale = bed.sale(5_000).await;
    bed.execute(
        "INSERT INTO users (id, username, email, password_hash)
         SELECT n, 'shopper' || n, n || '@example.com', '-' FROM generate_series(1, 5000) n",
    )
    .await
    .unwrap();
    for batch in 0..50 {
        let orders = format!(
            "INSERT INTO orders (user_id, product_id, flash_sale_id, status, attempt_id)
             SELECT n, {sale}, {sale}, 'SUCCESS', gen_random_uuid() FROM generate_series({batch} * 100 + 1, {batch} * 100 + 100) n"
        );
        bed.execute(&orders).await.unwrap();
    }
    // Autovacuum does it in a running system. Without statistics PostgreSQL sorts all later orders of the sale.
    bed.execute("ANALYZE orders").await.unwrap();
    let admin = PostgresLedger::connect(&bed.database.config).await.unwrap();
    let first = admin.orders(sale, None, 2_500).await.unwrap();
    let after = first.last().map(|order| OrderPage {
        created_at: order.created_at,
        id: order.id,
    });
    drop(admin);
    end_sessions(&bed).await;
    let read = "SELECT coalesce(idx_tup_fetch, 0)::bigint FROM pg_stat_user_tables WHERE relname = 'orders'";
    let before = bed.number(read).await;
    let admin = PostgresLedger::connect(&bed.database.config).await.unwrap();
    let page = admin.orders(sale, after.as_ref(), 50).await.unwrap();
    assert_eq!(page.len(), 50);
    drop(admin);
    end_sessions(&bed).await;
    let rows = bed.number(read).await - before;
    assert!(rows <= 300, "{rows} rows of 5000 were read");
}

/// A cancelled sale that was replaced, with its orders, and what else the version before does not know.
#[tokio::test]
async fn sales_that_are_not_live_go_out_of_the_way_of_the_version_before() {
    let database = TestDatabase::create().await.past_pooler();
    let client = database.client().await;
    client
        .batch_execute(&super::operator::states_to_take_back(
            "now() - interval '1 hour'",
            "now() + interval '1 hour'",
        ))
        .await
        .unwrap();
    while let Some(name) = migrate::revert(&database.config).await.unwrap() {
        if name.contains("003000") {
            break;
        }
    }
    for (query, expected) in super::operator::STATES_TAKEN_BACK {
        let found: i64 = client.query_one(query, &[]).await.unwrap().get(0);
        assert_eq!(found, expected, "{query}");
    }
    let overlap =
        "UPDATE flash_sales SET start_time = (SELECT start_time FROM flash_sales WHERE id = 2),
        end_time = (SELECT end_time FROM flash_sales WHERE id = 2) WHERE id = 1";
    client.batch_execute(overlap).await.unwrap_err();
    let longer = "UPDATE flash_sales SET end_time = end_time + interval '1 hour' WHERE id = 2";
    client.batch_execute(longer).await.unwrap();
    migrate::run(&database.config).await.unwrap();
    let live =
        "SELECT count(*) FROM flash_sales WHERE state = 'LIVE' AND admitted_from <= admitted_until";
    let live: i64 = client.query_one(live, &[]).await.unwrap().get(0);
    assert_eq!(live, 3);
}

/// The query of ADR 22.
#[tokio::test]
async fn postgresql_computes_the_hash_of_an_entry_without_the_program() {
    let bed = PostgresBed::start().await;
    let admin = bed.administration().await;
    operator::open_sale(admin.as_ref()).await;
    let entry = operator::because("„two pallets“: a\nb");
    let last = admin.actions(None, None, 1).await.unwrap().remove(0);
    let noted = Change {
        name: last.name,
        sale: last.sale,
        target: last.target,
        before: last.before,
        after: last.after,
    };
    admin.note_action(&noted, &entry).await.unwrap();
    let adr = include_str!("../../../../docs/adr/0022-the-action-log-is-a-hash-chain.md");
    let (_, query) = adr.split_once("```sql\n").unwrap();
    let (query, _) = query.split_once("```").unwrap();
    let query = query.trim().trim_end_matches(';');
    let whole = format!("SELECT count(*) FROM ({query}) entries WHERE is_whole");
    assert_eq!(bed.number(&whole).await, 4);
}
