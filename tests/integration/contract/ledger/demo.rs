//! Demo data: made through the ports, once, whatever is there already and however often it is begun.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flashsale::{
    config::SaleConfig,
    demo::{DemoData, DemoError, InvalidSale, Seeded, Seeding},
    port::{
        AccountStore, ActionName, Administration, NewSale, Role, SaleChange, SaleState, SaleWindow,
    },
};
use futures::future::join_all;

use super::{
    bed::SqlBed,
    operator::{because, change, entries, now, product},
};

fn sale_config() -> SaleConfig {
    SaleConfig {
        start: None,
        end: None,
        product_sku: "FLASH-001".into(),
        total_stock: 10,
        result_ttl: Duration::from_mins(1),
    }
}

/// With a window that begins and ends so many hours after `now`.
fn window(now: DateTime<Utc>, start: i64, end: i64) -> SaleConfig {
    SaleConfig {
        start: Some(now + TimeDelta::hours(start)),
        end: Some(now + TimeDelta::hours(end)),
        ..sale_config()
    }
}

fn demo<'a>(
    accounts: &'a dyn AccountStore,
    admin: &'a dyn Administration,
    by: Option<&'a str>,
    now: DateTime<Utc>,
) -> DemoData<'a> {
    DemoData {
        accounts,
        admin,
        by,
        now,
    }
}

/// A hash that is none, for speed.
#[allow(clippy::unnecessary_wraps)]
fn no_hash(password: &str) -> Result<String, String> {
    Ok(format!("hash of {password}"))
}

async fn make(
    bed: &impl SqlBed,
    sale: &SaleConfig,
    now: DateTime<Utc>,
) -> Result<Vec<Seeded>, DemoError> {
    let (accounts, admin) = (bed.accounts().await, bed.administration().await);
    let demo = demo(&*accounts, &*admin, Some("alice"), now);
    demo.make(sale, &no_hash).await
}

async fn is_missing(bed: &impl SqlBed) -> bool {
    let (accounts, admin) = (bed.accounts().await, bed.administration().await);
    let demo = demo(&*accounts, &*admin, None, now());
    demo.is_missing().await.unwrap()
}

pub async fn demo_data_is_made_once_and_is_in_the_action_log(bed: &impl SqlBed) {
    let (accounts, admin) = (bed.accounts().await, bed.administration().await);
    let now = now();
    assert!(is_missing(bed).await);
    let report = make(bed, &sale_config(), now).await.unwrap();
    assert_eq!(report.len(), 8);
    assert!(
        report.iter().all(|seeded| seeded.state == Seeding::Made),
        "{report:?}"
    );
    assert!(!is_missing(bed).await);

    let log = admin.actions(None, None, 50).await.unwrap();
    let count = |name| log.iter().filter(|action| action.name == name).count();
    let counts = [
        ActionName::CreateProduct,
        ActionName::CreateUser,
        ActionName::CreateSale,
        ActionName::PublishSale,
    ];
    assert_eq!(counts.map(count), [3, 4, 1, 1]);
    assert_eq!(log.len(), 9);
    for action in &log {
        assert_eq!(action.actor.name, "cli:alice");
        assert_eq!(action.reason, "Demo data");
    }

    let report = make(bed, &sale_config(), now + TimeDelta::hours(1))
        .await
        .unwrap();
    assert!(
        report.iter().all(|seeded| seeded.state == Seeding::There),
        "{report:?}"
    );
    assert_eq!(entries(admin.as_ref()).await, 9);

    let sales = admin.sales(now).await.unwrap();
    assert_eq!(sales.len(), 1);
    assert_eq!(
        (sales[0].product_name.as_str(), sales[0].initial_stock),
        ("Premium Smartphone", 10)
    );
    assert_eq!(
        (sales[0].window.start, sales[0].window.end),
        (now, now + TimeDelta::hours(24))
    );
    let products = admin.products(None, 10).await.unwrap();
    let prices = products.iter().map(|product| product.fields.price_cents);
    assert_eq!(prices.collect::<Vec<_>>(), [99_900, 19_900, 29_900]);
    assert!(
        products
            .iter()
            .all(|product| product.fields.currency == "USD")
    );
    let user = admin.find_user("admin").await.unwrap().unwrap();
    assert_eq!(
        (user.role, user.password_hash.as_str()),
        (Role::Admin, "hash of admin123")
    );
    let shopper = accounts
        .account_of_email("user3@example.com")
        .await
        .unwrap();
    assert_eq!(shopper.map(|user| user.role), Some(Role::User));
}

pub async fn a_demo_sale_leaves_room_for_those_that_are_there(bed: &impl SqlBed) {
    let now = now();
    make(bed, &sale_config(), now).await.unwrap();
    let is_made = async |sale: SaleConfig, now| {
        let report = make(bed, &sale, now).await;
        report.map(|report| report[7].state == Seeding::Made)
    };
    let hours = TimeDelta::hours;
    // Overlapping by an hour, and touching.
    assert!(!is_made(window(now, 23, 30), now).await.unwrap());
    assert!(is_made(window(now, 24, 30), now).await.unwrap());
    assert!(!is_made(sale_config(), now + hours(26)).await.unwrap());
    assert!(is_made(sale_config(), now + hours(30)).await.unwrap());
    // A cancelled one is not made anew.
    let admin = bed.administration().await;
    let newest = admin.sale_records(None, None, 1).await.unwrap()[0].clone();
    change(admin.as_ref(), newest.id, SaleChange::Cancel).await;
    assert!(!is_made(sale_config(), now + hours(30)).await.unwrap());
    // An ended window of a sale that is there.
    assert!(!is_made(window(now, 1, 2), now + hours(3)).await.unwrap());
}

pub async fn demo_data_that_was_not_completed_is_missing_and_is_completed(bed: &impl SqlBed) {
    let (accounts, admin) = (bed.accounts().await, bed.administration().await);
    let (now, sale) = (now(), sale_config());
    // A process that dies while it hashes the second password.
    let until_killed = |password: &str| match password {
        "admin123" => no_hash(password),
        _ => Err("killed".to_owned()),
    };
    let demo = demo(&*accounts, &*admin, None, now);
    let begun = demo.make(&sale, &until_killed).await;
    assert!(matches!(begun, Err(DemoError::Hash(_))), "{begun:?}");
    assert!(is_missing(bed).await);
    let report = make(bed, &sale, now).await.unwrap();
    let made = report
        .iter()
        .filter(|seeded| seeded.state == Seeding::Made)
        .count();
    assert_eq!(made, 4, "{report:?}");
    assert!(!is_missing(bed).await);

    // One that died before it published the sale: the draft becomes it.
    let first = admin.sale_records(None, None, 1).await.unwrap().remove(0);
    change(admin.as_ref(), first.id, SaleChange::End).await;
    let later = now + TimeDelta::hours(1);
    let draft = NewSale {
        product: first.product,
        window: SaleWindow {
            start: later,
            end: later + TimeDelta::hours(24),
        },
        units: 10,
        note: first.note.clone(),
    };
    let entry = because("Demo data");
    let draft = admin.create_sale(&draft, &entry).await.unwrap();
    let report = make(bed, &sale, later).await.unwrap();
    assert_eq!(report[7].state, Seeding::Made, "{report:?}");
    let sales = admin.sale_records(None, None, 10).await.unwrap();
    assert_eq!((sales.len(), sales[0].id), (2, draft.id));
    assert_eq!(sales[0].state, SaleState::Live);
}

/// As with the settings of the original service, whose sale was in 2024.
pub async fn a_sale_that_is_over_is_left_out(bed: &impl SqlBed) {
    let now = now();
    let report = make(bed, &window(now, -9, -8), now).await.unwrap();
    assert_eq!(report[7].state, Seeding::LeftOut, "{report:?}");
    let others = report.iter().take(7);
    assert!(others.clone().all(|part| part.state == Seeding::Made));
    let admin = bed.administration().await;
    assert!(admin.sale_records(None, None, 9).await.unwrap().is_empty());
    // The next start makes it with other settings.
    assert!(is_missing(bed).await);
    let report = make(bed, &sale_config(), now).await.unwrap();
    assert_eq!(report[7].state, Seeding::Made, "{report:?}");
}

pub async fn nothing_is_made_when_the_sale_cannot_be(bed: &impl SqlBed) {
    let now = now();
    let refused = make(bed, &window(now, 2, 1), now).await;
    assert!(matches!(refused, Err(DemoError::Sale(InvalidSale::Window))));
    let unknown = SaleConfig {
        product_sku: "FLASH-999".into(),
        ..sale_config()
    };
    let refused = make(bed, &unknown, now).await;
    assert!(matches!(refused, Err(DemoError::UnknownProduct(_))));
    assert!(is_missing(bed).await);

    // Of a product that is no demo product.
    let admin = bed.administration().await;
    let product = product(admin.as_ref()).await;
    assert!(!is_missing(bed).await);
    let own = SaleConfig {
        product_sku: product.fields.sku,
        ..sale_config()
    };
    make(bed, &own, now).await.unwrap();
    let sale = admin.sale_records(None, None, 1).await.unwrap().remove(0);
    assert_eq!(sale.product, product.id);
}

pub async fn demo_data_made_by_many_at_once_is_one_sale(bed: &impl SqlBed) {
    let (now, sale) = (now(), sale_config());
    let reports = join_all((0..4).map(|_| make(bed, &sale, now))).await;
    let admin = bed.administration().await;
    for report in reports {
        report.unwrap();
    }
    let sales = admin.sale_records(None, None, 10).await.unwrap();
    let of_state = |state| sales.iter().filter(|sale| sale.state == state).count();
    assert_eq!(
        (of_state(SaleState::Live), of_state(SaleState::Draft)),
        (1, 0)
    );
    assert_eq!(bed.number("SELECT count(*) FROM users").await, 4);
    assert_eq!(bed.number("SELECT count(*) FROM products").await, 3);
}
