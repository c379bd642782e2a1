//! Accounts: who has a name already, whose id is which, and which accounts there are.

use chrono::{TimeDelta, Utc};
use flashsale::{
    ids::UserId,
    port::{
        ACCOUNT_BLOCK, AccountChanges, AccountName, AccountPosition, EarlierReads, KeyClash,
        KeyPage, Ledger, NewUser, Offset, Outcome, PasswordHashOutcome, Registration, Role,
        SessionRule, SettleBatch,
    },
};
use futures::future::join_all;

use super::{
    TestBed,
    bed::{SqlBed, attempt, make_partitions, position, settle},
};

fn user(username: &str, email: &str) -> NewUser {
    NewUser {
        username: username.into(),
        email: email.into(),
        password_hash: "-".into(),
        full_name: Some("Ada".into()),
    }
}

pub async fn names_and_emails_are_unique_whatever_their_case(bed: &impl TestBed) {
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

pub async fn an_account_is_found_whatever_the_case(bed: &impl TestBed) {
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
        (found.id, found.username.as_str(), found.role),
        (id, "Ada", Role::User)
    );
    assert_eq!(ledger.find_user("nobody").await.unwrap(), None);
    assert_eq!(ledger.find_user("Ada\0").await.unwrap(), None);
}

pub async fn one_of_many_who_want_a_name_at_once_gets_it(bed: &impl TestBed) {
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

pub async fn a_password_hash_is_replaced_unless_another_was_first(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let Registration::Registered(id) = ledger
        .register(&user("Ada", "ada@example.com"), 0)
        .await
        .unwrap()
    else {
        panic!("not registered");
    };
    let replaced = join_all(["one", "two"].map(|new| ledger.replace_password_hash(id, "-", new)));
    let replaced: Vec<_> = replaced.await.into_iter().map(Result::unwrap).collect();
    let is_first = |outcome: &PasswordHashOutcome| *outcome == PasswordHashOutcome::Replaced;
    let winners: Vec<_> = replaced.iter().map(is_first).collect();
    assert_eq!(
        winners.iter().filter(|won| **won).count(),
        1,
        "{replaced:?}"
    );
    let stored = ledger.find_user("ada").await.unwrap().unwrap();
    let first = if winners[0] { "one" } else { "two" };
    assert_eq!(stored.password_hash, first);
    let nobody = UserId::new(id.value() + 1).unwrap();
    let replaced = ledger.replace_password_hash(nobody, "-", "new").await;
    assert_eq!(replaced.unwrap(), PasswordHashOutcome::Superseded);
}

/// Pairs of spellings that are one name, as they may stand in an email.
const SPELLINGS: [(&str, &str); 6] = [
    ("MÜLLER@x.example", "müller@x.example"),
    ("mu\u{308}ller@y.example", "müller@y.example"),
    ("straße@x.example", "STRASSE@x.example"),
    ("ｆｕｌｌ@x.example", "full@x.example"),
    ("ΌΣΟΣ@x.example", "όσος@x.example"),
    ("\u{212A}elvin@x.example", "kelvin@X.example"),
];

pub async fn spellings_of_a_name_are_one_account(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    for (number, (one, other)) in SPELLINGS.iter().enumerate() {
        let first = ledger.register(&user(&format!("a{number}"), one), 0).await;
        assert!(
            matches!(first, Ok(Registration::Registered(_))),
            "{one} {first:?}"
        );
        let second = ledger
            .register(&user(&format!("b{number}"), other), 0)
            .await;
        assert_eq!(second.unwrap(), Registration::EmailTaken, "{one} {other}");
    }
    // Usernames like these come with an import.
    for (number, (one, other)) in SPELLINGS.iter().enumerate() {
        let email = |letter| format!("{letter}{number}@example.com");
        let first = ledger.register(&user(one, &email('c')), 0).await.unwrap();
        let Registration::Registered(id) = first else {
            panic!("{one}: {first:?}");
        };
        let second = ledger.register(&user(other, &email('d')), 0).await.unwrap();
        assert_eq!(second, Registration::UsernameTaken, "{one} {other}");
        let found = ledger.find_user(other).await.unwrap().unwrap();
        assert_eq!((found.id, found.username.as_str()), (id, *one));
    }
    // Names that lower() of most locales, or of none, has as one.
    for (one, other) in [("İx", "ix"), ("ıy", "Iy"), ("müller", "muller")] {
        for name in [one, other] {
            let user = user(name, &format!("{name}@z.example"));
            let registered = ledger.register(&user, 0).await.unwrap();
            assert!(
                matches!(registered, Registration::Registered(_)),
                "{name}: {registered:?}"
            );
        }
    }
}

pub async fn one_of_many_spellings_of_an_email_at_once_gets_it(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let answers = join_all((0..12).map(|number| {
        let ledger = ledger.clone();
        let (one, other) = SPELLINGS[0];
        let email = if number % 2 == 0 { one } else { other };
        async move {
            let user = user(&format!("wanted{number}"), email);
            ledger.register(&user, 0).await.unwrap()
        }
    }))
    .await;
    let got = answers
        .iter()
        .filter(|answer| matches!(answer, Registration::Registered(_)));
    assert_eq!(got.count(), 1, "{answers:?}");
}

/// An account by hand, in a statement that knows nothing of keys.
async fn by_hand(bed: &impl SqlBed, id: i64, username: &str, email: &str) {
    bed.execute(&format!(
        "INSERT INTO users (id, username, email, password_hash) VALUES ({id}, '{username}', '{email}', '-')"
    ))
    .await
    .unwrap();
}

/// Sets the missing keys as a node does; what came of it, in all.
async fn set_missing_keys(ledger: &dyn Ledger) -> KeyPage {
    let (mut all, mut after) = (KeyPage::default(), Some(i64::MIN));
    while let Some(last) = after {
        let page = ledger.set_missing_keys(last, 2).await.unwrap();
        all.set += page.set;
        all.clashes.extend(page.clashes);
        after = page.last;
    }
    all
}

async fn id_of(ledger: &dyn Ledger, username: &str) -> Option<i64> {
    let found = ledger.find_user(username).await.unwrap();
    found.map(|user| user.id.value())
}

pub async fn accounts_made_by_hand_are_known_by_their_keys(bed: &impl SqlBed) {
    let ledger = bed.ledger().await;
    by_hand(bed, 1, "Plain", "Plain@X.example").await;
    // At once, as far as ASCII goes.
    assert_eq!(id_of(&*ledger, "PLAIN").await, Some(1));
    let taken = ledger.register(&user("other", "pLAIN@x.EXAMPLE"), 10).await;
    assert_eq!(taken.unwrap(), Registration::EmailTaken);
    for id in 2..7 {
        by_hand(
            bed,
            id,
            &format!("Jürgen{id}"),
            &format!("Jürgen{id}@X.example"),
        )
        .await;
    }
    assert_eq!(
        id_of(&*ledger, "Jürgen2").await,
        Some(2),
        "exactly as it is written"
    );
    let set = set_missing_keys(&*ledger).await;
    assert_eq!((set.set, set.clashes), (10, Vec::new()));
    assert_eq!(id_of(&*ledger, "JÜRGEN6").await, Some(6));
    let taken = ledger
        .register(&user("third", "jürgen6@x.example"), 10)
        .await;
    assert_eq!(taken.unwrap(), Registration::EmailTaken);
    assert_eq!(set_missing_keys(&*ledger).await, KeyPage::default());
}

pub async fn the_older_of_two_accounts_with_one_key_has_it_and_both_log_in(bed: &impl SqlBed) {
    let ledger = bed.ledger().await;
    by_hand(bed, 1, "Straße", "MÜLLER@x").await;
    by_hand(bed, 2, "Stra\u{17f}\u{17f}e", "müller@x").await;
    let clash = |kind, holder: &str, other: &str| KeyClash {
        kind,
        holder: (1, holder.to_owned()),
        other: (2, other.to_owned()),
    };
    let expected = vec![
        clash(AccountName::Username, "Straße", "Stra\u{17f}\u{17f}e"),
        clash(AccountName::Email, "MÜLLER@x", "müller@x"),
    ];
    let set = set_missing_keys(&*ledger).await;
    assert_eq!((set.set, &set.clashes), (2, &expected));
    assert_eq!(set_missing_keys(&*ledger).await.clashes, expected, "again");
    assert_eq!(id_of(&*ledger, "Straße").await, Some(1));
    assert_eq!(id_of(&*ledger, "STRASSE").await, Some(1));
    assert_eq!(id_of(&*ledger, "Stra\u{17f}\u{17f}e").await, Some(2));
}

pub async fn a_key_that_becomes_free_goes_to_the_account_without_one(bed: &impl SqlBed) {
    let ledger = bed.ledger().await;
    by_hand(bed, 1, "one", "MÜLLER@x").await;
    by_hand(bed, 2, "two", "müller@x").await;
    assert_eq!(set_missing_keys(&*ledger).await.clashes.len(), 1);
    bed.execute("DELETE FROM users WHERE id = 1").await.unwrap();
    let set = set_missing_keys(&*ledger).await;
    assert_eq!((set.set, set.clashes.len()), (1, 0));
    let taken = ledger.register(&user("third", "Müller@x"), 10).await;
    assert_eq!(taken.unwrap(), Registration::EmailTaken);
}

pub async fn a_changed_name_has_a_changed_key(bed: &impl SqlBed) {
    let ledger = bed.ledger().await;
    by_hand(bed, 1, "before", "before@x.example").await;
    for (username, email, missing) in [
        ("after", "after@x.example", 0),
        ("Höhe", "höhe@x.example", 2),
        ("plain", "plain@x.example", 0),
    ] {
        let change =
            format!("UPDATE users SET username = '{username}', email = '{email}' WHERE id = 1");
        bed.execute(&change).await.unwrap();
        assert_eq!(set_missing_keys(&*ledger).await.set, missing, "{username}");
        assert_eq!(id_of(&*ledger, &username.to_uppercase()).await, Some(1));
        assert_eq!(id_of(&*ledger, "before").await, None);
        let taken = ledger
            .register(&user("other", &email.to_uppercase()), 10)
            .await;
        assert_eq!(taken.unwrap(), Registration::EmailTaken);
    }
    let free = ledger
        .register(&user("before", "before@x.example"), 10)
        .await;
    assert!(matches!(free, Ok(Registration::Registered(_))));
}

/// Nodes take the newest of a run for the age of all: an account of today must not make those of last year look new.
pub async fn runs_of_accounts_end_with_their_block(bed: &impl TestBed) {
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

pub async fn an_id_is_never_handed_out_again(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let first = made(ledger.as_ref(), "first", 0).await;
    bed.delete_account(first).await;
    assert_eq!(reached(ledger.as_ref()).await, first.value());
    let second = made(ledger.as_ref(), "second", 0).await;
    assert!(second > first, "{second} after {first}");
}

pub async fn ids_continue_above_what_the_caller_knows(bed: &impl TestBed) {
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
pub async fn ids_continue_above_an_account_that_a_record_proves(bed: &impl TestBed) {
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
        offsets: Vec::new(),
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

pub async fn removed_accounts_are_told_until_the_position_is_behind_them(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    let users = bed.shoppers(4).await;
    let first = ledger.account_changes(None).await.unwrap();
    assert_eq!(first.earlier, EarlierReads::Valid);
    assert!(first.removed.is_empty(), "{first:?}");
    bed.delete_account(users[1]).await;
    bed.delete_account(users[3]).await;
    let removed = |changes: &AccountChanges| {
        let mut ids: Vec<i64> = changes.removed.iter().cloned().flatten().collect();
        ids.sort_unstable();
        ids
    };
    let changes = ledger.account_changes(Some(&first.position)).await.unwrap();
    assert_eq!(removed(&changes), [2, 4]);
    assert_eq!(changes.earlier, EarlierReads::Valid);
    let nothing = ledger
        .account_changes(Some(&changes.position))
        .await
        .unwrap();
    assert_eq!(nothing.earlier, EarlierReads::Valid);
    assert!(nothing.removed.is_empty());
    bed.delete_account(users[0]).await;
    let last = ledger
        .account_changes(Some(&nothing.position))
        .await
        .unwrap();
    assert_eq!(removed(&last), [1]);
    // Another node read nothing since.
    let all = ledger.account_changes(Some(&first.position)).await.unwrap();
    assert_eq!(removed(&all), [1, 2, 4]);
}

/// Of another ledger, or of a state that is lost.
pub async fn at_a_position_of_another_state_everything_is_read_again(bed: &impl TestBed) {
    let ledger = bed.ledger().await;
    bed.shoppers(1).await;
    let now = ledger.account_changes(None).await.unwrap();
    let foreign = AccountPosition {
        epoch: "another".to_owned(),
        ..now.position
    };
    let changes = ledger.account_changes(Some(&foreign)).await.unwrap();
    assert_eq!(changes.earlier, EarlierReads::Void);
    let again = ledger.account_changes(Some(&changes.position)).await;
    assert_eq!(again.unwrap().earlier, EarlierReads::Valid);
}

pub async fn accounts_are_read_in_pages_of_runs(bed: &impl TestBed) {
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

pub async fn accounts_are_looked_up_with_the_time_they_were_made(bed: &impl TestBed) {
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
    found.sort_unstable_by_key(|account| account.id);
    let ids: Vec<_> = found.iter().map(|account| account.id).collect();
    assert_eq!(ids, [one, other]);
    for account in found {
        let made_at = account.made_at;
        assert!((begun..=Utc::now() + TimeDelta::seconds(5)).contains(&made_at));
        let name = if account.id == one { "one" } else { "other" };
        let stored = ledger.find_user(name).await.unwrap().unwrap();
        assert_eq!(stored.created_at, made_at);
        assert_eq!(account.sessions, SessionRule::default());
        assert_eq!(stored.sessions, account.sessions);
    }
    assert_eq!(ledger.find_accounts(&[]).await.unwrap(), []);
}

pub async fn an_attempt_without_an_account_ends_as_that_and_takes_no_unit(bed: &impl TestBed) {
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
