//! Accounts: who has a name already.

use flashsale::{
    ids::UserId,
    port::{NewUser, Registration},
};
use futures::future::join_all;

use super::Bed;

fn user(username: &str, email: &str) -> NewUser {
    NewUser {
        username: username.into(),
        email: email.into(),
        password_hash: "-".into(),
        full_name: Some("Ada".into()),
    }
}

pub async fn names_and_emails_are_unique_whatever_their_case(bed: &impl Bed) {
    let ledger = bed.ledger().await;
    let first = ledger
        .register(&user("Ada", "ada@example.com"), 0)
        .await
        .unwrap();
    assert!(matches!(first, Registration::Registered(_)));
    for (username, email, expected) in [
        ("aDA", "other@example.com", Registration::UsernameTaken),
        ("other", "ADA@Example.com", Registration::EmailTaken),
        ("ada", "ada@example.com", Registration::UsernameTaken),
    ] {
        assert_eq!(
            ledger.register(&user(username, email), 0).await.unwrap(),
            expected,
            "{username} {email}"
        );
    }
}

pub async fn an_account_is_found_whatever_the_case(bed: &impl Bed) {
    let ledger = bed.ledger().await;
    let Registration::Registered(id) = ledger
        .register(&user("Ada", "ada@example.com"), 0)
        .await
        .unwrap()
    else {
        panic!("not registered");
    };
    let found = ledger.find_user("ADA").await.unwrap().unwrap();
    assert_eq!(
        (found.id, found.username.as_str(), found.role.as_str()),
        (id, "Ada", "user")
    );
    assert_eq!(ledger.find_user("nobody").await.unwrap(), None);
    assert_eq!(ledger.find_user("Ada\0").await.unwrap(), None);
}

pub async fn one_of_many_who_want_a_name_at_once_gets_it(bed: &impl Bed) {
    let ledger = bed.ledger().await;
    let answers = join_all((0..12).map(|number| {
        let ledger = ledger.clone();
        async move {
            ledger
                .register(&user("wanted", &format!("{number}@example.com")), 0)
                .await
                .unwrap()
        }
    }))
    .await;
    let got = answers
        .iter()
        .filter(|answer| matches!(answer, Registration::Registered(_)))
        .count();
    let refused = answers
        .iter()
        .filter(|answer| **answer == Registration::UsernameTaken)
        .count();
    assert_eq!((got, refused), (1, 11));
}

pub async fn a_password_hash_is_replaced_unless_another_was_first(bed: &impl Bed) {
    let ledger = bed.ledger().await;
    let Registration::Registered(id) = ledger
        .register(&user("Ada", "ada@example.com"), 0)
        .await
        .unwrap()
    else {
        panic!("not registered");
    };
    let replaced = join_all(["one", "two"].map(|new| ledger.replace_password_hash(id, "-", new)));
    let replaced: Vec<bool> = replaced.await.into_iter().map(Result::unwrap).collect();
    assert_eq!(replaced.iter().filter(|is| **is).count(), 1, "{replaced:?}");
    let stored = ledger.find_user("ada").await.unwrap().unwrap();
    let first = if replaced[0] { "one" } else { "two" };
    assert_eq!(stored.password_hash, first);
    let nobody = UserId::new(id.value() + 1).unwrap();
    let replaced = ledger.replace_password_hash(nobody, "-", "new").await;
    assert!(!replaced.unwrap());
}
