//! Accounts: who has a name already.

use flashsale::{
    ids::UserId,
    port::{ACCOUNT_BLOCK, NewUser, Registration},
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

/// Nodes take the newest of a run for the age of all: an account of today must not make those of last year look new.
pub async fn runs_of_accounts_end_with_their_block(bed: &impl Bed) {
    let ledger = bed.ledger().await;
    let known = bed.shoppers(ACCOUNT_BLOCK + 3).await;
    let page = ledger.accounts_after(None, 10_000).await.unwrap();
    let runs: Vec<_> = page.runs.iter().map(|run| (run.first, run.last)).collect();
    let [first, .., last] = &known[..] else {
        panic!("there are shoppers");
    };
    let [end, start] = [ACCOUNT_BLOCK - 1, ACCOUNT_BLOCK].map(|id| UserId::new(id).unwrap());
    assert_eq!(runs, [(*first, end), (start, *last)]);
    assert_eq!(page.len(), known.len() as u64);

    let new = ledger
        .register(&user("new", "new@example.com"), last.value())
        .await;
    assert!(matches!(new, Ok(Registration::Registered(_))));
    let later = ledger.accounts_after(None, 10_000).await.unwrap();
    assert_eq!(later.runs[0], page.runs[0]);
    assert!(later.runs[1].newest >= page.runs[1].newest);
    let after = ledger.accounts_after(Some(end), 10_000).await.unwrap();
    assert_eq!(after.runs, later.runs[1..]);
}
