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
