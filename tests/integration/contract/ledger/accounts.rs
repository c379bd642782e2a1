//! Accounts: who has a name already.

use flashsale::{
    ids::UserId,
    port::{AccountName, KeyClash, KeyPage, Ledger, NewUser, Registration},
};
use futures::future::join_all;

use super::{Bed, bed::SqlBed};

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

/// Pairs of spellings that are one name, as they may stand in an email.
const SPELLINGS: [(&str, &str); 6] = [
    ("MÜLLER@x.example", "müller@x.example"),
    ("mu\u{308}ller@y.example", "müller@y.example"),
    ("straße@x.example", "STRASSE@x.example"),
    ("ｆｕｌｌ@x.example", "full@x.example"),
    ("ΌΣΟΣ@x.example", "όσος@x.example"),
    ("\u{212A}elvin@x.example", "kelvin@X.example"),
];

pub async fn spellings_of_a_name_are_one_account(bed: &impl Bed) {
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

pub async fn one_of_many_spellings_of_an_email_at_once_gets_it(bed: &impl Bed) {
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
