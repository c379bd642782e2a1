//! Faults of PostgreSQL, and what an operator does to it by hand.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::{LASTING, MEANWHILE};
use crate::{
    bed::TestBed,
    limits::BACK,
    load::Load,
    node::Node,
    support::{
        api::Shopper,
        system::{Balance, System},
        wait_until,
    },
};

/// How long it takes no writes.
const READ_ONLY: Duration = Duration::from_secs(8);
/// Accounts that are deleted.
const DELETED: usize = 200;
/// Within which nodes know a deletion.
const KNOWN: Duration = Duration::from_secs(5);
/// Units that are left when others are taken away, and orders that end.
const LEFT: i64 = 500;
const ENDED: usize = 40;
/// Units that are added in the end, besides those that were taken away.
const ADDED: i64 = 100;

/// Somebody else takes every connection that the server has to give, also those that the program had.
pub async fn out_of_connections(bed: &mut TestBed) {
    let admin = bed.postgres.admin().await.expect("PostgreSQL answers");
    let until = tokio::time::Instant::now() + LASTING;
    let mut taken = Vec::new();
    while tokio::time::Instant::now() < until {
        admin
            .batch_execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> 'postgres'",
            )
            .await
            .unwrap();
        // Until it refuses: as the superuser, who may also take those that are kept for one.
        while let Ok(client) = bed.postgres.admin().await {
            taken.push(client);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn not_writing(bed: &TestBed) {
    const READ_ONLY_BY: &str = "default_transaction_read_only";
    bed.postgres.set(READ_ONLY_BY, Some("on")).await;
    tokio::time::sleep(READ_ONLY).await;
    bed.postgres.set(READ_ONLY_BY, None).await;
}

/// As when a backup is restored, or a standby is promoted that was behind.
pub async fn set_back(bed: &mut TestBed) {
    bed.postgres.back_up();
    tokio::time::sleep(MEANWHILE).await;
    bed.postgres.restore().await;
}

/// All processes are killed and started on another database, whose sale, product and accounts have the same numbers.
pub async fn new_ledger(bed: &mut TestBed, load: &Load) {
    for node in &bed.nodes {
        node.kill();
    }
    bed.change_ledger(load.sale, load.product).await;
    join_all(bed.nodes.iter_mut().map(Node::start_again)).await;
}

/// The nodes know the accounts; their shoppers press while the deletion gets around, and after that once more.
pub async fn accounts_deleted(bed: &TestBed, load: &Load) {
    let deleted = bed.system.shoppers(DELETED).await;
    tokio::time::sleep(MEANWHILE).await;
    let ids = listed(deleted.iter().map(|shopper| shopper.id));
    bed.system
        .sql(&format!("DELETE FROM users WHERE id IN ({ids})"))
        .await;
    let known = Instant::now() + KNOWN;
    let apart = KNOWN / u32::try_from(DELETED).unwrap();
    let presses = deleted.iter().zip(0..).map(|(shopper, n)| async move {
        tokio::time::sleep(apart * n).await;
        load.press(shopper.clone()).await;
    });
    join_all(presses).await;
    tokio::time::sleep_until(known.into()).await;
    join_all(deleted.iter().map(|shopper| load.press(shopper.clone()))).await;
    let client_log = load.client_log();
    let is_refused = |shopper: &&Shopper| client_log.unknown.contains(&shopper.id);
    assert_eq!(deleted.iter().filter(is_refused).count(), DELETED);
}

/// So many units are taken away that the sale is sold out soon; some orders end; then units are added.
pub async fn stock_changed(bed: &TestBed, load: &Load) {
    let Balance { remaining, .. } = bed.system.balance(load.sale).await;
    let taken = (remaining - LEFT).max(0);
    load.change_units(bed, -taken).await;
    let buyers = format!(
        "SELECT user_id FROM orders WHERE flash_sale_id = {} ORDER BY created_at LIMIT {ENDED}",
        load.sale
    );
    let buyers = bed.system.database.query(&buyers).await;
    let buyers: Vec<i64> = buyers.iter().map(|row| row.get(0)).collect();
    load.client_log().ended.extend(&buyers);
    let (deleted, failed) = buyers.split_at(buyers.len() / 2);
    let of = |ids: &[i64]| {
        let ids = listed(ids.iter().copied());
        format!("flash_sale_id = {} AND user_id IN ({ids})", load.sale)
    };
    let delete = format!("DELETE FROM orders WHERE {}", of(deleted));
    let fail = format!("UPDATE orders SET status = 'FAILED' WHERE {}", of(failed));
    bed.system.sql(&delete).await;
    bed.system.sql(&fail).await;
    tokio::time::sleep(LASTING).await;
    load.change_units(bed, taken + ADDED).await;
    let before = load.client_log().accepted();
    wait_until("units that were added are bought", BACK, || async {
        load.client_log().accepted() > before
    })
    .await;
}

fn listed(ids: impl Iterator<Item = i64>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(", ")
}
