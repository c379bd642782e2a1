//! Idempotency keys: a repeated request makes its change once.

use flashsale::port::{AdminError, KeyStanding, MovementMode, SaleChange, StoredAnswer};
use futures::future::join_all;

use super::{
    bed::SqlBed,
    operator::{draft, entries, key, now, open_sale, with_key},
};

fn standing<T: std::fmt::Debug>(answer: Result<T, AdminError>) -> KeyStanding {
    match answer {
        Err(AdminError::KeyUsed(standing)) => standing,
        other => panic!("{other:?}"),
    }
}

pub async fn of_three_requests_with_one_key_at_once_one_is_made(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let nodes = join_all((0..3).map(|_| bed.administration())).await;
    let (add, entry) = (SaleChange::AddUnits(10), with_key("a", 1));
    let answers = join_all(
        nodes
            .iter()
            .map(|node| node.change_sale(sale.id, &add, now(), &entry)),
    )
    .await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, 2), "{made:?} {refused:?}");
    let action = made.into_iter().next().unwrap().unwrap().action;
    for refused in refused {
        let standing = standing(refused);
        assert!(
            // None: it came while the first one was being made.
            matches!(standing, KeyStanding::Running { action: found, movement: None, .. } if found.is_none() || found == action),
            "{standing:?}"
        );
    }
    let after = admin.sale(sale.id).await.unwrap().unwrap();
    assert_eq!(after.initial_stock, 20);
}

pub async fn another_request_with_the_key_is_told(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let add = SaleChange::AddUnits(10);
    let first = admin
        .change_sale(sale.id, &add, now(), &with_key("a", 1))
        .await;
    first.unwrap();
    let other = admin
        .change_sale(sale.id, &SaleChange::AddUnits(11), now(), &with_key("a", 2))
        .await;
    assert_eq!(standing(other), KeyStanding::OtherRequest);
    let asked = admin.key_standing("user:7", &key("a", 2)).await.unwrap();
    assert_eq!(asked, Some(KeyStanding::OtherRequest));
    let after = admin.sale(sale.id).await.unwrap().unwrap();
    assert_eq!(after.initial_stock, 20);
}

pub async fn a_key_belongs_to_its_actor(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let mut entry = with_key("a", 1);
    for actor in ["user:7", "user:8"] {
        actor.clone_into(&mut entry.actor.name);
        let change = SaleChange::AddUnits(10);
        admin
            .change_sale(sale.id, &change, now(), &entry)
            .await
            .unwrap();
    }
    let after = admin.sale(sale.id).await.unwrap().unwrap();
    assert_eq!(after.initial_stock, 30);
    assert_eq!(
        admin.key_standing("user:9", &key("a", 1)).await.unwrap(),
        None
    );
}

pub async fn a_refused_change_uses_no_key(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = draft(admin.as_ref()).await;
    let entry = with_key("a", 1);
    let refused = admin
        .change_sale(sale.id, &SaleChange::Pause, now(), &entry)
        .await;
    assert!(
        matches!(refused, Err(AdminError::NotAllowed(_))),
        "{refused:?}"
    );
    assert_eq!(
        admin.key_standing("user:7", &key("a", 1)).await.unwrap(),
        None
    );
    let made = admin
        .change_sale(sale.id, &SaleChange::Publish, now(), &entry)
        .await;
    made.unwrap();
}

pub async fn a_key_without_a_change_is_used_as_well(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let entry = with_key("a", 1);
    let nothing = admin
        .change_sale(sale.id, &SaleChange::Publish, now(), &entry)
        .await;
    assert_eq!(nothing.unwrap().action, None);
    let again = admin
        .change_sale(sale.id, &SaleChange::Publish, now(), &entry)
        .await;
    assert!(matches!(
        standing(again),
        KeyStanding::Running { action: None, .. }
    ));
}

pub async fn a_stored_answer_is_the_first_one(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let (add, entry, key) = (SaleChange::AddUnits(1), with_key("a", 1), key("a", 1));
    admin
        .change_sale(sale.id, &add, now(), &entry)
        .await
        .unwrap();
    let answer = |status, body: &str| StoredAnswer {
        status,
        body: body.to_owned(),
    };
    let first = answer(200, r#"{"applied":true}"#);
    admin.store_answer("user:7", &key, &first).await.unwrap();
    let second = answer(202, r#"{"applied":false}"#);
    admin.store_answer("user:7", &key, &second).await.unwrap();
    let asked = admin.key_standing("user:7", &key).await.unwrap();
    assert_eq!(asked, Some(KeyStanding::Answered(first.clone())));
    let again = admin.change_sale(sale.id, &add, now(), &entry).await;
    assert_eq!(standing(again), KeyStanding::Answered(first));
}

pub async fn a_key_is_used_anew_after_a_day(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let add = SaleChange::AddUnits(1);
    for number in 0..30 {
        let entry = with_key(&format!("key {number}"), 1);
        let made = admin.change_sale(sale.id, &add, now(), &entry).await;
        made.unwrap();
    }
    let yesterday = bed.instant(now() - chrono::TimeDelta::hours(25));
    let age = format!("UPDATE idempotency_keys SET created_at = '{yesterday}'");
    bed.execute(&age).await.unwrap();
    assert_eq!(
        admin
            .key_standing("user:7", &key("key 0", 1))
            .await
            .unwrap(),
        None
    );
    let made = admin
        .change_sale(sale.id, &add, now(), &with_key("key 0", 2))
        .await;
    made.unwrap();
    // Old ones are deleted a few at a time: 20 of the 29 others.
    let kept = "SELECT count(*) FROM idempotency_keys";
    assert_eq!(bed.number(kept).await, 10);
    let made = admin
        .change_sale(sale.id, &add, now(), &with_key("key 1", 1))
        .await;
    made.unwrap();
    assert_eq!(bed.number(kept).await, 2);
}

pub async fn a_withdrawal_is_found_by_its_key(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let sale = open_sale(admin.as_ref()).await;
    let entry = with_key("a", 1);
    let begun = admin
        .begin_withdrawal(sale.id, 3, MovementMode::Exact, &entry)
        .await
        .unwrap();
    let again = admin
        .begin_withdrawal(sale.id, 3, MovementMode::Exact, &entry)
        .await;
    assert!(
        matches!(standing(again), KeyStanding::Running { movement: Some(found), .. } if found == begun.id)
    );
    assert_eq!(entries(admin.as_ref()).await, 4);
}
