//! Servers that cannot be reached, connections that are held or cut, and a pool that is full.

use std::time::{Duration, Instant};

use flashsale::{
    config::Secret,
    engine::postgres::{ConnectError, PostgresLedger},
    port::{ConsumerGroup, LedgerProbe, SettleError},
};

use super::{
    super::bed::{SqlBed, TestBed, attempt, make_partitions, member, settle},
    PostgresBed, connect_error,
};
use crate::support::{postgres::TestDatabase, wire::Wire};

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
