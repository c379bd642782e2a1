//! Programs of the shop, accounts of its issuer's subjects, and taking a person out.

use std::sync::Arc;

use flashsale::{
    ids::UserId,
    port::{
        Access, AccountStore, ActionName, Administration, Change, NO_PASSWORD, NewUser,
        Registration, Role, Scope, Scopes, SecretHash, ServiceAccess, ServiceAccount, SessionRule,
    },
};
use futures::future::join_all;
use serde_json::json;

use super::{
    bed::SqlBed,
    operator::{because, entries, now},
};

async fn add(store: &Arc<dyn AccountStore>, name: &str, email: &str, role: Role) -> UserId {
    let user = NewUser {
        username: name.to_owned(),
        email: email.to_owned(),
        password_hash: NO_PASSWORD.to_owned(),
        full_name: Some("Ada King".to_owned()),
    };
    match store.add_account(&user, role, 0).await.unwrap() {
        Registration::Registered(id) => id,
        taken => panic!("{taken:?}"),
    }
}

fn scopes(scopes: &[Scope]) -> Scopes {
    scopes.iter().copied().collect()
}

fn secret(byte: u8) -> SecretHash {
    SecretHash([byte; 32])
}

/// Makes an account of a program with secret 1; `None` if its name is taken.
async fn program(
    store: &Arc<dyn AccountStore>,
    name: &str,
    scopes: Scopes,
) -> Option<ServiceAccount> {
    let user = NewUser {
        username: name.to_owned(),
        email: format!("service:{name}"),
        password_hash: NO_PASSWORD.to_owned(),
        full_name: None,
    };
    let (access, entry) = ((scopes, secret(1)), because("a program"));
    let made = store.add_service_account(&user, 0, access, &entry).await;
    made.unwrap()
}

async fn change(
    store: &Arc<dyn AccountStore>,
    id: UserId,
    access: ServiceAccess,
) -> Option<ServiceAccount> {
    let entry = because("changed");
    let changed = store.change_service_account(id, access, &entry);
    changed.await.unwrap()
}

pub async fn a_service_account_has_scopes_and_a_secret_and_changes_end_its_tokens(
    bed: &impl SqlBed,
) {
    let (store, admin) = (bed.accounts().await, bed.administration().await);
    let [read, both] = [
        &[Scope::ReadEvents][..],
        &[Scope::ReadEvents, Scope::SettleOrders],
    ]
    .map(scopes);
    let first = program(&store, "Shop-Backend", read).await.unwrap();
    let id = first.user.id;
    assert_eq!((first.scopes, first.secret), (read, secret(1)));
    assert_eq!(
        store.service_account("SHOP-BACKEND").await.unwrap(),
        Some(first.clone())
    );
    assert_eq!(
        store.service_account_of(id).await.unwrap(),
        Some(first.clone())
    );
    assert_eq!(program(&store, "shop-backend", both).await, None, "taken");
    let second = change(&store, id, ServiceAccess::Scopes(both))
        .await
        .unwrap();
    assert_eq!(
        (second.scopes, second.secret),
        (both, secret(1)),
        "the secret stays"
    );
    assert!(second.user.sessions.valid_from > first.user.sessions.valid_from);
    let third = change(&store, id, ServiceAccess::Secret(secret(2)))
        .await
        .unwrap();
    assert_eq!(
        (third.scopes, third.secret),
        (both, secret(2)),
        "the scopes stay"
    );
    assert!(third.user.sessions.valid_from > second.user.sessions.valid_from);
    assert_eq!(store.service_account_of(id).await.unwrap(), Some(third));

    assert_eq!(entries(admin.as_ref()).await, 3);
    let log = admin.actions(None, None, 3).await.unwrap();
    let noted: Vec<_> = log
        .iter()
        .map(|action| (action.name, action.target.clone()))
        .collect();
    let names = [
        ActionName::RenewSecret,
        ActionName::SetScopes,
        ActionName::CreateUser,
    ];
    assert_eq!(noted, names.map(|name| (name, format!("user:{id}"))));
    assert_eq!(log[1].before.as_ref().unwrap()["scopes"], "events:read");
    assert_eq!(
        log[1].after.as_ref().unwrap()["scopes"],
        "orders:settle events:read"
    );
}

pub async fn a_service_account_whose_entry_cannot_be_written_is_not_changed(bed: &impl SqlBed) {
    let (store, admin) = (bed.accounts().await, bed.administration().await);
    let read = scopes(&[Scope::ReadEvents]);
    let made = program(&store, "shop-backend", read).await.unwrap();
    let user = NewUser {
        username: "other".to_owned(),
        email: "service:other".to_owned(),
        password_hash: NO_PASSWORD.to_owned(),
        full_name: None,
    };
    bed.break_action_log(true).await;
    let entry = because("no");
    let added = store.add_service_account(&user, 0, (read, secret(3)), &entry);
    added.await.unwrap_err();
    for access in [
        ServiceAccess::Scopes(scopes(&[Scope::SettleOrders])),
        ServiceAccess::Secret(secret(2)),
    ] {
        let changed = store.change_service_account(made.user.id, access, &entry);
        changed.await.unwrap_err();
    }
    bed.break_action_log(false).await;
    let stored = store.service_accounts(None, 10).await.unwrap();
    assert_eq!(stored, [made]);
    assert_eq!(
        bed.number("SELECT count(*) FROM users").await,
        1,
        "nor an account without a secret"
    );
    assert_eq!(entries(admin.as_ref()).await, 1);
    assert!(program(&store, "other", read).await.is_some());
}

pub async fn service_accounts_are_listed_and_a_shopper_is_none(bed: &impl SqlBed) {
    let store = bed.accounts().await;
    let read = scopes(&[Scope::ReadEvents]);
    let id = program(&store, "shop-backend", read).await.unwrap().user.id;
    let shopper = add(&store, "ada", "ada@example.com", Role::User).await;
    for access in [
        ServiceAccess::Secret(secret(3)),
        ServiceAccess::Scopes(read),
    ] {
        assert_eq!(change(&store, shopper, access).await, None);
    }
    assert_eq!(store.service_account("ada").await.unwrap(), None);
    assert_eq!(store.service_account_of(shopper).await.unwrap(), None);
    assert_eq!(
        store.account(shopper).await.unwrap().unwrap().sessions,
        SessionRule::default()
    );
    // Made by a role alone: it has no secret, gets no scopes before it has one, and then none with it.
    let other = add(&store, "other", "service:other", Role::Service).await;
    assert_eq!(store.service_account("other").await.unwrap(), None);
    assert_eq!(
        change(&store, other, ServiceAccess::Scopes(read)).await,
        None
    );
    let first = change(&store, other, ServiceAccess::Secret(secret(4))).await;
    assert_eq!(first.unwrap().scopes, Scopes::NONE);
    let ids = async |after, limit| {
        let page = store.service_accounts(after, limit).await.unwrap();
        page.iter()
            .map(|account| account.user.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 10).await, [id, other]);
    assert_eq!(ids(None, 1).await, [id]);
    assert_eq!(ids(Some(id), 10).await, [other]);
    // An account that is another one's role by now takes no place on a page.
    store.set_role(id, Role::Operator).await.unwrap().unwrap();
    assert_eq!(ids(None, 1).await, [other]);
    store.set_role(id, Role::Service).await.unwrap().unwrap();
    // A scope of a later version allows nothing here.
    bed.execute(&format!(
        "UPDATE service_credentials SET scopes = 'events:read webhooks:write' WHERE user_id = {id}"
    ))
    .await
    .unwrap();
    let found = store
        .service_account("shop-backend")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.scopes, read);
}

const ISSUER: &str = "https://accounts.shop.example";

pub async fn a_subject_has_one_account_also_of_many_that_make_it_at_once(bed: &impl SqlBed) {
    let nodes = join_all((0..4).map(|_| bed.accounts())).await;
    let subjects: Vec<String> = (0..200).map(|n| format!("customer {n:03}")).collect();
    let made = nodes
        .iter()
        .map(|node| node.add_external(ISSUER, &subjects, 0));
    for made in join_all(made).await {
        assert_eq!(made.unwrap().len(), 200, "each is told all of them");
    }
    let mut found = nodes[0].find_external(ISSUER, &subjects).await.unwrap();
    found.sort_by(|one, other| one.subject.cmp(&other.subject));
    let names: Vec<String> = found
        .iter()
        .map(|account| account.subject.clone())
        .collect();
    assert_eq!(names, subjects);
    assert!(
        found
            .iter()
            .all(|account| account.sessions == SessionRule::default())
    );
    assert_eq!(
        bed.number("SELECT count(*) FROM users").await,
        200,
        "none is left over"
    );
    let user = nodes[1].account(found[7].user).await.unwrap().unwrap();
    assert_eq!(user.username, format!("external:{}", user.id));
    assert_eq!(
        (user.password_hash.as_str(), user.role),
        (NO_PASSWORD, Role::User)
    );
    // Of another issuer it is somebody else.
    let other = "https://accounts.other.example";
    assert_eq!(nodes[0].find_external(other, &subjects).await.unwrap(), []);
    nodes[0]
        .add_external(other, &subjects[..1], 0)
        .await
        .unwrap();
    let others = nodes[0].find_external(other, &subjects).await.unwrap();
    assert!(others.len() == 1 && others[0].user != found[0].user);
    // Ids continue above what the caller knows, and above accounts that were made by hand.
    let above = found
        .iter()
        .map(|account| account.user.value())
        .max()
        .unwrap()
        + 1_000;
    let late = ["later".to_owned()];
    let later = nodes[0].add_external(ISSUER, &late, above).await.unwrap();
    let found = nodes[0].find_external(ISSUER, &late).await.unwrap();
    assert_eq!(later, found);
    assert!(later[0].user.value() > above, "{later:?}");
    let by_hand = later[0].user.value() + 1;
    bed.execute(&format!("INSERT INTO users (id, username, email, password_hash) VALUES ({by_hand}, 'hand', 'hand@example.com', '-')")).await.unwrap();
    let last = ["last".to_owned()];
    nodes[0].add_external(ISSUER, &last, 0).await.unwrap();
    assert_eq!(
        nodes[0].find_external(ISSUER, &last).await.unwrap().len(),
        1
    );
}

pub async fn a_subject_whose_account_was_deleted_gets_another_one(bed: &impl SqlBed) {
    let store = bed.accounts().await;
    let subjects = ["one".to_owned(), "two".to_owned()];
    store.add_external(ISSUER, &subjects, 0).await.unwrap();
    let before = store.find_external(ISSUER, &subjects[..1]).await.unwrap();
    bed.delete_account(before[0].user).await;
    assert_eq!(
        store.find_external(ISSUER, &subjects[..1]).await.unwrap(),
        []
    );
    store.add_external(ISSUER, &subjects, 0).await.unwrap();
    let after = store.find_external(ISSUER, &subjects).await.unwrap();
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|account| account.user != before[0].user));
}

/// Notes a change of an account, as the command line does.
async fn note(admin: &dyn Administration, id: UserId, email: &str, reason: &str) {
    let entry = because(reason);
    let change = Change {
        name: ActionName::CreateUser,
        sale: None,
        target: format!("user:{id}"),
        before: None,
        after: Some(json!({ "userId": id.to_string(), "username": email })),
    };
    admin.note_action(&change, &entry).await.unwrap();
}

pub async fn an_erasure_leaves_nothing_of_a_person_and_the_log_proved(bed: &impl SqlBed) {
    let (store, admin) = (bed.accounts().await, bed.administration().await);
    let ada = add(&store, "ada", "Ada@Example.com", Role::User).await;
    let bob = add(&store, "bob", "bob@example.com", Role::User).await;
    store
        .store_reset(
            ada,
            flashsale::port::ResetHash([1; 32]),
            std::time::Duration::from_hours(1),
        )
        .await
        .unwrap();
    note(admin.as_ref(), ada, "ada@example.com", "").await;
    note(
        admin.as_ref(),
        bob,
        "bob@example.com",
        "a friend of ADA@example.com",
    )
    .await;
    note(
        admin.as_ref(),
        bob,
        "bob@example.com",
        "no friend of joada@example.com",
    )
    .await;
    let person = store.person(ada).await.unwrap().unwrap();
    assert_eq!(
        (person.user.email.as_str(), person.full_name.as_deref()),
        ("Ada@Example.com", Some("Ada King"))
    );
    let erasure = store
        .erase(ada, &because("asked for by ada@example.com"))
        .await
        .unwrap()
        .unwrap();
    assert!(erasure.is_new && erasure.log_entries == 2, "{erasure:?}");
    assert_eq!(erasure.rule.access, Access::Disabled);
    assert_eq!(entries(admin.as_ref()).await, 4);
    let person = store.person(ada).await.unwrap().unwrap();
    assert_eq!(person.user.username, format!("erased:{ada}"));
    assert_eq!(
        (
            person.user.email,
            person.full_name,
            person.user.password_hash.as_str()
        ),
        (format!("erased:{ada}"), None, NO_PASSWORD)
    );
    assert_eq!(bed.number("SELECT count(*) FROM password_resets").await, 0);
    let log = admin.actions(None, None, 10).await.unwrap();
    let texts: Vec<String> = log
        .iter()
        .map(|action| format!("{} {:?}", action.reason, action.after))
        .collect();
    let with_ada = texts
        .iter()
        .filter(|text| text.to_lowercase().contains("ada@example.com"));
    assert_eq!(with_ada.count(), 1, "that of joada alone: {texts:#?}");
    assert_eq!(log[0].name, ActionName::EraseUser);
    assert_eq!(
        log[2].after.as_ref().unwrap()["username"],
        "bob@example.com"
    );
    // Again: nothing is done. The name is free.
    let again = store.erase(ada, &because("")).await.unwrap().unwrap();
    assert!(!again.is_new);
    assert_eq!(entries(admin.as_ref()).await, 4);
    add(&store, "ada", "ada@example.com", Role::User).await;
    // A second person, whose erasure changes an entry that was changed before.
    let erasure = store.erase(bob, &because("")).await.unwrap().unwrap();
    assert_eq!(erasure.log_entries, 2);
    assert_eq!(entries(admin.as_ref()).await, 5);
    assert_eq!(
        store
            .erase(UserId::new(999).unwrap(), &because(""))
            .await
            .unwrap(),
        None
    );
}

pub async fn an_erasure_finds_other_letters_and_spares_longer_addresses(bed: &impl SqlBed) {
    let (store, admin) = (bed.accounts().await, bed.administration().await);
    let zoe = add(&store, "zoe", "zo\u{eb}@Example.com", Role::User).await;
    let bob = add(&store, "bob", "bob@example.com", Role::User).await;
    let texts = [
        "of ZO\u{cb}@example.COM",
        "of xzo\u{eb}@example.com",
        "of ann@example.com",
    ];
    for (number, text) in texts.iter().enumerate() {
        note(admin.as_ref(), bob, "bob@example.com", text).await;
        let at = bed.instant(now());
        bed.execute(&format!(
            "INSERT INTO dead_letter_decisions (topic, partition, letter_offset, buried_at, decision, reason, decided_by, decided_at) \
             VALUES ('attempts', 0, {number}, '{at}', 'DISCARDED', '{text}', 'bob', '{at}')"
        ))
        .await
        .unwrap();
    }
    let erasure = store.erase(zoe, &because("")).await.unwrap().unwrap();
    assert_eq!(erasure.log_entries, 1);
    assert_eq!(entries(admin.as_ref()).await, 4);
    let erased = |reason: &str| {
        format!("SELECT count(*) FROM dead_letter_decisions WHERE reason = '{reason}'")
    };
    for (reason, count) in [("[erased]", 1), (texts[0], 0), (texts[1], 1), (texts[2], 1)] {
        assert_eq!(bed.number(&erased(reason)).await, count, "{reason}");
    }
}

pub async fn an_entry_is_changed_by_an_erasure_alone(bed: &impl SqlBed) {
    let (store, admin) = (bed.accounts().await, bed.administration().await);
    let ada = add(&store, "ada", "ada@example.com", Role::User).await;
    for _ in 0..3 {
        note(admin.as_ref(), ada, "ada@example.com", "a reason").await;
    }
    for statement in [
        "UPDATE admin_actions SET reason = '[erased]', actor = 'cli:bob' WHERE id = 1",
        "UPDATE admin_actions SET reason = 'another' WHERE id = 1",
        "UPDATE admin_actions SET after = '{\"erased\":false}' WHERE id = 1",
        "UPDATE admin_actions SET after = NULL WHERE id = 1",
        "UPDATE admin_actions SET reason = reason WHERE id = 1",
    ] {
        bed.execute(statement).await.unwrap_err();
    }
    assert_eq!(entries(admin.as_ref()).await, 3);
    // What a trigger lets pass without an erasure, the check finds.
    bed.execute("UPDATE admin_actions SET reason = '[erased]' WHERE id = 2")
        .await
        .unwrap();
    let check = admin.verify_actions().await.unwrap();
    assert_eq!(check.entries, 1);
    assert!(check.broken.unwrap().contains("entry 2 was changed"));
}
