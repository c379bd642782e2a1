//! Migrations.

use flashsale::{
    engine::postgres::{ConnectError, PostgresLedger, migrate},
    port::LedgerProbe,
};
use futures::future::join_all;

use super::connect_error;
use crate::support::postgres::TestDatabase;

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
