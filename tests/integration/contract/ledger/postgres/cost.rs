//! What statements read, by the server's own statistics.

use std::time::Duration;

use flashsale::{
    engine::postgres::PostgresLedger,
    port::{Administration, OrderPage},
};

use super::{
    super::bed::{SqlBed, TestBed},
    PostgresBed,
};
use crate::support::wait_until;

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
