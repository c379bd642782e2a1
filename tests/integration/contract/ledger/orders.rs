//! Statements written by hand: the store itself keeps the promises.

use chrono::TimeDelta;
use flashsale::{
    clock::{Clock, SystemClock},
    ids::{AttemptId, UserId},
};

use super::bed::SqlBed;

pub async fn an_order_too_many_written_by_hand_is_refused(bed: &impl SqlBed) {
    let users = bed.shoppers(3).await;
    let sale = bed.sale(2).await;
    for user in &users[..2] {
        bed.order(sale, sale.value(), *user, AttemptId::generate(), "SUCCESS")
            .await
            .unwrap();
    }
    bed.order(
        sale,
        sale.value(),
        users[2],
        AttemptId::generate(),
        "SUCCESS",
    )
    .await
    .unwrap_err();
    bed.order(
        sale,
        sale.value(),
        users[2],
        AttemptId::generate(),
        "FAILED",
    )
    .await
    .unwrap();
    bed.execute("UPDATE orders SET status = 'SUCCESS'")
        .await
        .unwrap_err();
    assert_eq!(
        bed.number("SELECT count(*) FROM orders WHERE status = 'SUCCESS'")
            .await,
        2
    );
}

pub async fn a_second_order_written_by_hand_is_refused(bed: &impl SqlBed) {
    let users = bed.shoppers(1).await;
    let sale = bed.sale(5).await;
    bed.order(
        sale,
        sale.value(),
        users[0],
        AttemptId::generate(),
        "SUCCESS",
    )
    .await
    .unwrap();
    bed.order(
        sale,
        sale.value(),
        users[0],
        AttemptId::generate(),
        "SUCCESS",
    )
    .await
    .unwrap_err();
}

pub async fn a_second_order_for_an_attempt_written_by_hand_is_refused(bed: &impl SqlBed) {
    let users = bed.shoppers(2).await;
    let sale = bed.sale(5).await;
    let attempt = AttemptId::generate();
    bed.order(sale, sale.value(), users[0], attempt, "SUCCESS")
        .await
        .unwrap();
    bed.order(sale, sale.value(), users[1], attempt, "SUCCESS")
        .await
        .unwrap_err();
}

pub async fn an_order_of_another_product_than_the_sales_is_refused(bed: &impl SqlBed) {
    bed.shoppers(1).await;
    let (sale, other) = (bed.sale(5).await, bed.sale(5).await);
    let (product, user) = (other.value(), UserId::new(1).unwrap());
    bed.order(sale, product, user, AttemptId::generate(), "SUCCESS")
        .await
        .unwrap_err();
}

pub async fn orders_written_by_hand_take_and_give_back_units(bed: &impl SqlBed) {
    let users = bed.shoppers(3).await;
    let sale = bed.sale(3).await;
    for user in &users {
        bed.order(sale, sale.value(), *user, AttemptId::generate(), "SUCCESS")
            .await
            .unwrap();
    }
    let remaining =
        format!("SELECT CAST(remaining_stock AS BIGINT) FROM flash_sales WHERE id = {sale}");
    assert_eq!(bed.number(&remaining).await, 0);
    bed.execute("UPDATE orders SET status = 'FAILED' WHERE user_id = 1")
        .await
        .unwrap();
    assert_eq!(bed.number(&remaining).await, 1);
    bed.execute("DELETE FROM orders WHERE user_id <= 2")
        .await
        .unwrap();
    assert_eq!(bed.number(&remaining).await, 2);
}

pub async fn stock_set_by_hand_must_tell_the_truth(bed: &impl SqlBed) {
    let users = bed.shoppers(1).await;
    let sale = bed.sale(5).await;
    bed.order(
        sale,
        sale.value(),
        users[0],
        AttemptId::generate(),
        "SUCCESS",
    )
    .await
    .unwrap();
    for lie in [
        "remaining_stock = 5",
        "remaining_stock = 0",
        "initial_stock = 0, remaining_stock = 0",
    ] {
        bed.execute(&format!("UPDATE flash_sales SET {lie} WHERE id = {sale}"))
            .await
            .expect_err(lie);
    }
    bed.execute(&format!(
        "UPDATE flash_sales SET initial_stock = 15, remaining_stock = 14 WHERE id = {sale}"
    ))
    .await
    .unwrap();
    // Units added to initial_stock alone are left, too.
    bed.execute(&format!(
        "UPDATE flash_sales SET initial_stock = 20 WHERE id = {sale}"
    ))
    .await
    .unwrap();
    let remaining =
        format!("SELECT CAST(remaining_stock AS BIGINT) FROM flash_sales WHERE id = {sale}");
    assert_eq!(bed.number(&remaining).await, 19);
    // Fewer than are sold cannot be.
    bed.execute(&format!(
        "UPDATE flash_sales SET initial_stock = 0, remaining_stock = -1 WHERE id = {sale}"
    ))
    .await
    .expect_err("less than is sold");
}

pub async fn sales_of_one_product_cannot_overlap(bed: &impl SqlBed) {
    let now = SystemClock.now();
    let sale = bed.sale_at(1, now, now + TimeDelta::hours(1)).await;
    let another = |minutes: i64| {
        format!(
            "INSERT INTO flash_sales (product_id, start_time, end_time, initial_stock, remaining_stock)
             VALUES ({sale}, '{}', '{}', 1, 1)",
            bed.instant(now + TimeDelta::minutes(minutes)),
            bed.instant(now + TimeDelta::minutes(minutes + 30))
        )
    };
    for overlapping in [-15, 0, 15, 59] {
        bed.execute(&another(overlapping))
            .await
            .expect_err("it overlaps");
    }
    for beside in [-30, 60] {
        bed.execute(&another(beside)).await.unwrap();
    }
}
