//! Accounts: who has a name already, whose id is which, and which accounts there are.

use chrono::{TimeDelta, Utc};
use flashsale::{
    ids::UserId,
    port::{
        ACCOUNT_BLOCK, AccountChanges, AccountPosition, Ledger, NewUser, Offset, Outcome,
        Registration, SettleBatch,
    },
};
use futures::future::join_all;

use super::{
    Bed,
    bed::{attempt, make_partitions, position, settle},
};

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

async fn made(ledger: &dyn Ledger, name: &str, above: i64) -> UserId {
    let new = user(name, &format!("{name}@example.com"));
    match ledger.register(&new, above).await.unwrap() {
        Registration::Registered(id) => id,
        other => panic!("{other:?}"),
    }
}

async fn reached(ledger: &dyn Ledger) -> i64 {
    ledger.account_changes(None).await.unwrap().reached
}

pub async fn an_id_is_never_handed_out_again(bed: &impl Bed) {
    let ledger = bed.ledger().await;
    let first = made(ledger.as_ref(), "first", 0).await;
    bed.delete_account(first).await;
    assert_eq!(reached(ledger.as_ref()).await, first.value());
    let second = made(ledger.as_ref(), "second", 0).await;
    assert!(second > first, "{second} after {first}");
}

pub async fn ids_continue_above_what_the_caller_knows(bed: &impl Bed) {
    let ledger = bed.ledger().await;
    let first = made(ledger.as_ref(), "first", 700).await;
    assert!(first.value() > 700, "{first}");
    let second = made(ledger.as_ref(), "second", 3).await;
    assert!(second > first, "{second} after {first}");
    ledger
        .continue_accounts_above(UserId::new(2_000).unwrap())
        .await
        .unwrap();
    assert!(reached(ledger.as_ref()).await >= 2_000);
    ledger
        .continue_accounts_above(UserId::new(5).unwrap())
        .await
        .unwrap();
    let third = made(ledger.as_ref(), "third", 0).await;
    assert!(third.value() > 2_000, "{third}");
    // Many at once, each with another idea of how far ids have come: none twice.
    let names: Vec<String> = (0..20).map(|number| format!("many{number}")).collect();
    let making = (0..).zip(&names).map(|(number, name)| {
        let ledger = ledger.clone();
        async move { made(ledger.as_ref(), name, 2_000 + number * 3).await }
    });
    let mut ids = join_all(making).await;
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    assert!(ids[0] > third);
}

/// The record of an account that the ledger does not know: the ledger was set back to before that account.
pub async fn ids_continue_above_an_account_that_a_record_proves(bed: &impl Bed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(1).await;
    let sale = bed.sale(5).await;
    make_partitions(ledger.as_ref(), 1).await;
    let lost = UserId::new(900).unwrap();
    let batch = |from, user, reached| SettleBatch {
        position: position(0),
        from: Offset(from),
        to: Offset(from + 1),
        last: None,
        attempts: vec![attempt(sale, user)],
        rejected: Vec::new(),
        reached,
    };
    // While every account is there, records prove nothing new.
    let known = batch(0, users[0], Some(users[0]));
    ledger.settle(&[known]).await.unwrap();
    // Whose ledger a record of another hand is of, nobody knows: it may name anybody.
    ledger.settle(&[batch(1, lost, None)]).await.unwrap();
    let before = made(ledger.as_ref(), "before", 0).await;
    assert!(before < lost, "{before}");
    ledger.settle(&[batch(2, lost, Some(lost))]).await.unwrap();
    let after = made(ledger.as_ref(), "after", 0).await;
    assert!(after > lost, "{after}");
}

pub async fn removed_accounts_are_told_until_the_position_is_behind_them(bed: &impl Bed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(4).await;
    let first = ledger.account_changes(None).await.unwrap();
    assert!(!first.restart && first.removed.is_empty(), "{first:?}");
    bed.delete_account(users[1]).await;
    bed.delete_account(users[3]).await;
    let removed = |changes: &AccountChanges| {
        let mut ids: Vec<i64> = changes.removed.iter().cloned().flatten().collect();
        ids.sort_unstable();
        ids
    };
    let changes = ledger.account_changes(Some(&first.position)).await.unwrap();
    assert_eq!(removed(&changes), [2, 4]);
    assert!(!changes.restart);
    let nothing = ledger
        .account_changes(Some(&changes.position))
        .await
        .unwrap();
    assert!(!nothing.restart && nothing.removed.is_empty());
    bed.delete_account(users[0]).await;
    let last = ledger
        .account_changes(Some(&nothing.position))
        .await
        .unwrap();
    assert_eq!(removed(&last), [1]);
    // Another node read nothing since.
    let all = ledger.account_changes(Some(&first.position)).await.unwrap();
    assert_eq!(removed(&all), [1, 2, 4]);
    // A position of another ledger, or of a state that is lost: nothing that was read counts.
    let foreign = AccountPosition {
        server: "another".to_owned(),
        ..first.position
    };
    let changes = ledger.account_changes(Some(&foreign)).await.unwrap();
    assert!(changes.restart);
}

pub async fn accounts_are_read_in_pages_of_runs(bed: &impl Bed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(9).await;
    bed.delete_account(users[3]).await;
    bed.delete_account(users[8]).await;
    let page = |after: Option<UserId>, limit| {
        let ledger = ledger.clone();
        async move {
            let page = ledger.accounts_after(after, limit).await.unwrap();
            let runs = page.runs.iter();
            let runs: Vec<_> = runs
                .map(|run| (run.first.value(), run.last.value()))
                .collect();
            (runs, page.len())
        }
    };
    assert_eq!(page(None, 100).await, (vec![(1, 3), (5, 8)], 7));
    assert_eq!(page(None, 5).await, (vec![(1, 3), (5, 6)], 5));
    assert_eq!(page(Some(users[5]), 5).await, (vec![(7, 8)], 2));
    assert_eq!(page(Some(users[7]), 5).await, (vec![], 0));
}

pub async fn accounts_are_looked_up_with_the_time_they_were_made(bed: &impl Bed) {
    let ledger = bed.ledger().await;
    let begun = Utc::now() - TimeDelta::seconds(5);
    let (one, gone, other) = (
        made(ledger.as_ref(), "one", 0).await,
        made(ledger.as_ref(), "gone", 0).await,
        made(ledger.as_ref(), "other", 0).await,
    );
    bed.delete_account(gone).await;
    let asked = [other, gone, one, UserId::new(99_999).unwrap()];
    let mut found = ledger.find_accounts(&asked).await.unwrap();
    found.sort_unstable();
    let ids: Vec<_> = found.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [one, other]);
    for (id, made_at) in found {
        assert!((begun..=Utc::now() + TimeDelta::seconds(5)).contains(&made_at));
        let stored = ledger
            .find_user(if id == one { "one" } else { "other" })
            .await;
        assert_eq!(stored.unwrap().unwrap().created_at, made_at);
    }
    assert_eq!(ledger.find_accounts(&[]).await.unwrap(), []);
}

pub async fn an_attempt_without_an_account_ends_as_that_and_takes_no_unit(bed: &impl Bed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(2).await;
    let sale = bed.sale(1).await;
    make_partitions(ledger.as_ref(), 1).await;
    bed.delete_account(users[0]).await;
    let (gone, there) = (attempt(sale, users[0]), attempt(sale, users[1]));
    let settled = settle(ledger.as_ref(), 0, 0, &[gone, there, gone]).await;
    let expected = [Outcome::NoAccount, Outcome::Ordered, Outcome::NoAccount];
    assert_eq!(settled.unwrap(), expected);
    // It stays so, whatever accounts there are later.
    let again = settle(ledger.as_ref(), 0, 3, &[gone]).await;
    assert_eq!(again.unwrap(), [Outcome::NoAccount]);
    let outcomes = ledger.outcomes(&[gone.id]).await.unwrap();
    assert_eq!(outcomes[&gone.id], Outcome::NoAccount);
    assert_eq!(bed.orders().await, 1);
}
