//! An operator for the suite: who acts, and the products and sales that the tests make.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use flashsale::{
    clock::{Clock, SystemClock},
    ids::SaleId,
    port::{
        ActionEntry, Actor, Administration, Changed, Fingerprint, IdempotencyKey, NewProduct,
        NewSale, Product, SaleChange, SaleRecord, SaleWindow,
    },
};

use super::bed::next_id;

/// An entry with this reason, without a key.
pub fn because(reason: &str) -> ActionEntry {
    ActionEntry {
        actor: Actor {
            name: "user:7".to_owned(),
            role: "operator".to_owned(),
            address: "192.0.2.7".parse().ok(),
        },
        reason: reason.to_owned(),
        key: None,
    }
}

/// A key of a request, told apart from others by `request`.
pub fn key(key: &str, request: u8) -> IdempotencyKey {
    IdempotencyKey {
        key: key.to_owned(),
        fingerprint: Fingerprint([request; 32]),
    }
}

/// An entry with a key.
pub fn with_key(name: &str, request: u8) -> ActionEntry {
    ActionEntry {
        key: Some(key(name, request)),
        ..because("")
    }
}

pub fn now() -> DateTime<Utc> {
    SystemClock.now().trunc_subsecs(3)
}

pub fn new_product() -> NewProduct {
    NewProduct {
        sku: format!("MADE-{}", next_id()),
        name: "Thing".to_owned(),
        description: "A thing".to_owned(),
        image_url: Some("https://example.com/thing.png".to_owned()),
        price_cents: 1_999,
        currency: "EUR".to_owned(),
        prior_price_cents: Some(2_999),
    }
}

pub async fn product(admin: &dyn Administration) -> Product {
    admin
        .create_product(&new_product(), &because("new"))
        .await
        .unwrap()
}

/// A draft that is open now once it is published, with ten units.
pub async fn draft(admin: &dyn Administration) -> SaleRecord {
    let product = product(admin).await.id;
    let new = NewSale {
        product,
        window: SaleWindow {
            start: now() - TimeDelta::hours(1),
            end: now() + TimeDelta::hours(1),
        },
        units: 10,
        note: "noon".to_owned(),
    };
    admin.create_sale(&new, &because("new")).await.unwrap()
}

pub async fn change(admin: &dyn Administration, sale: SaleId, change: SaleChange) -> Changed {
    admin
        .change_sale(sale, &change, now(), &because("a reason"))
        .await
        .unwrap()
}

/// An open sale with ten units.
pub async fn open_sale(admin: &dyn Administration) -> SaleRecord {
    let draft = draft(admin).await;
    change(admin, draft.id, SaleChange::Publish).await.after
}

/// How many entries the log has. Checks it.
pub async fn entries(admin: &dyn Administration) -> u64 {
    let check = admin.verify_actions().await.unwrap();
    assert_eq!(check.broken, None);
    check.entries
}

/// Statements for sales of every state, of one product and at one time: LIVE sale 2 with an order takes the place of the cancelled
/// sales 1 and 3, which have orders, and 4, which has none; 5 is a draft.
pub fn states_to_take_back(start: &str, end: &str) -> String {
    let mut statements =
        "INSERT INTO products (id, sku, name, price_cents) VALUES (1, 'A', 'A', 1);".to_owned();
    let columns = "id, product_id, start_time, end_time, initial_stock, remaining_stock, state";
    for user in 1..=3 {
        let user = format!(
            "INSERT INTO users (id, username, email, password_hash) VALUES ({user}, 'u{user}', 'u{user}@example.com', '-');"
        );
        statements.push_str(&user);
    }
    for (id, state) in [
        (1, "DRAFT"),
        (3, "DRAFT"),
        (4, "DRAFT"),
        (5, "DRAFT"),
        (2, "LIVE"),
    ] {
        let sale = format!(
            "INSERT INTO flash_sales ({columns}) VALUES ({id}, 1, {start}, {end}, 5, 5, '{state}');"
        );
        statements.push_str(&sale);
        if id == 1 || id == 3 {
            // Live, and then cancelled.
            for state in ["LIVE", "CANCELLED"] {
                let change = format!("UPDATE flash_sales SET state = '{state}' WHERE id = {id};");
                statements.push_str(&change);
            }
        }
    }
    statements.push_str("UPDATE flash_sales SET state = 'CANCELLED' WHERE id = 4;");
    for sale in 1..=3 {
        let attempt = format!("0123456789abcdef0123456789abcde{sale}");
        let attempt = if start.contains("now") {
            format!("'{attempt}'")
        } else {
            format!("x'{attempt}'")
        };
        let order = format!(
            "INSERT INTO orders (user_id, product_id, flash_sale_id, status, attempt_id) VALUES ({sale}, 1, {sale}, 'SUCCESS', {attempt});"
        );
        statements.push_str(&order);
    }
    statements
}

/// What the version before finds of those: queries for one number.
pub const STATES_TAKEN_BACK: [(&str, i64); 4] = [
    ("SELECT count(*) FROM flash_sales", 3),
    ("SELECT count(*) FROM orders", 3),
    (
        "SELECT count(*) FROM flash_sales one JOIN flash_sales other ON one.id < other.id
         AND one.start_time < other.end_time AND other.start_time < one.end_time",
        0,
    ),
    (
        "SELECT count(*) FROM flash_sales WHERE id <> 2 AND end_time <= (SELECT start_time FROM flash_sales WHERE id = 2)",
        2,
    ),
];
