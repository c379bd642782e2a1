//! Statements by hand, which the tables check too.

use flashsale::{
    ids::{AttemptId, SaleId, UserId},
    port::Change,
};

use super::{
    super::{
        bed::{SqlBed, TestBed},
        operator,
    },
    PostgresBed,
};

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
    let adr = include_str!("../../../../../docs/adr/0022-the-action-log-is-a-hash-chain.md");
    let (_, query) = adr.split_once("```sql\n").unwrap();
    let (query, _) = query.split_once("```").unwrap();
    let query = query.trim().trim_end_matches(';');
    let whole = format!("SELECT count(*) FROM ({query}) entries WHERE is_whole");
    assert_eq!(bed.number(&whole).await, 4);
}
