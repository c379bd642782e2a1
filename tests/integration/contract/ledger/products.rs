//! Products that operators make and change.

use flashsale::port::{ActionName, AdminError, NewProduct, ProductChange};

use super::{
    bed::SqlBed,
    operator::{because, entries, new_product, product},
};

pub async fn a_product_is_made_and_changed(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let fields = new_product();
    let made = admin
        .create_product(&fields, &because("new"))
        .await
        .unwrap();
    assert_eq!((&made.fields, made.version), (&fields, 1));
    let change = ProductChange {
        expected: 1,
        name: Some("Better thing".to_owned()),
        image_url: Some(None),
        price_cents: Some(1_499),
        ..ProductChange::default()
    };
    let changed = admin
        .change_product(made.id, &change, &because("better"))
        .await
        .unwrap();
    let expected = NewProduct {
        name: "Better thing".to_owned(),
        image_url: None,
        price_cents: 1_499,
        ..fields
    };
    assert_eq!((&changed.fields, changed.version), (&expected, 2));
    assert!(changed.updated_at >= made.updated_at);
    assert_eq!(admin.product(made.id).await.unwrap(), Some(changed.clone()));
    // Once more: nothing is left to change.
    let again = ProductChange {
        expected: 2,
        ..change
    };
    let unchanged = admin
        .change_product(made.id, &again, &because("again"))
        .await
        .unwrap();
    assert_eq!(unchanged, changed);
    let log = admin.actions(None, None, 10).await.unwrap();
    let names: Vec<_> = log.iter().map(|action| action.name).collect();
    assert_eq!(
        names,
        [ActionName::ChangeProduct, ActionName::CreateProduct]
    );
    let (before, after) = (log[0].before.as_ref(), log[0].after.as_ref());
    assert_eq!(before.unwrap()["priceCents"], 1_999);
    assert_eq!(after.unwrap()["priceCents"], 1_499);
    let other = product(admin.as_ref()).await;
    assert_eq!(
        admin.products(None, 10).await.unwrap(),
        [changed.clone(), other.clone()]
    );
    assert_eq!(admin.products(Some(made.id), 10).await.unwrap(), [other]);
    assert_eq!(admin.products(None, 1).await.unwrap(), [changed]);
}

pub async fn a_taken_sku_is_refused(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let (one, other) = (product(admin.as_ref()).await, product(admin.as_ref()).await);
    let refused = admin.create_product(&one.fields, &because("twice")).await;
    assert!(matches!(refused, Err(AdminError::SkuTaken)), "{refused:?}");
    let change = ProductChange {
        expected: 1,
        sku: Some(one.fields.sku.clone()),
        ..ProductChange::default()
    };
    let refused = admin
        .change_product(other.id, &change, &because("twice"))
        .await;
    assert!(matches!(refused, Err(AdminError::SkuTaken)), "{refused:?}");
    // Its own is not taken.
    admin
        .change_product(one.id, &change, &because("as it is"))
        .await
        .unwrap();
    assert_eq!(entries(admin.as_ref()).await, 2);
}

pub async fn a_product_that_was_changed_meanwhile_is_stale(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let made = product(admin.as_ref()).await;
    let change = |name: &str| ProductChange {
        expected: 1,
        name: Some(name.to_owned()),
        ..ProductChange::default()
    };
    let entry = because("a name");
    let (change_one, change_other) = (change("one"), change("other"));
    let both = tokio::join!(
        admin.change_product(made.id, &change_one, &entry),
        admin.change_product(made.id, &change_other, &entry)
    );
    let ((Ok(_), Err(refused)) | (Err(refused), Ok(_))) = both else {
        panic!("{both:?}");
    };
    assert!(
        matches!(refused, AdminError::Stale { current: 2 }),
        "{refused:?}"
    );
    assert_eq!(entries(admin.as_ref()).await, 2);
}

pub async fn a_product_changed_by_hand_has_a_new_version(bed: &impl SqlBed) {
    let admin = bed.administration().await;
    let made = product(admin.as_ref()).await;
    let by_hand = format!("UPDATE products SET price_cents = 5 WHERE id = {}", made.id);
    bed.execute(&by_hand).await.unwrap();
    let found = admin.product(made.id).await.unwrap().unwrap();
    assert_eq!((found.version, found.fields.price_cents), (2, 5));
    let nothing = format!("UPDATE products SET price_cents = 5 WHERE id = {}", made.id);
    bed.execute(&nothing).await.unwrap();
    let found = admin.product(made.id).await.unwrap().unwrap();
    assert_eq!(found.version, 2);
}
