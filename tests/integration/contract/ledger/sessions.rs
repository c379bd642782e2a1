//! Changes of accounts: who may do what, which tokens count, and other passwords.

use std::{sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use flashsale::{
    ids::UserId,
    port::{
        Access, AccountPosition, AccountStore, EarlierReads, Listed, NewUser, Registration,
        ResetHash, Role, SessionRule,
    },
};
use futures::future::join_all;

use super::bed::SqlBed;

const HOUR: Duration = Duration::from_hours(1);

async fn add(store: &Arc<dyn AccountStore>, name: &str, role: Role) -> UserId {
    let user = NewUser {
        username: name.to_owned(),
        email: format!("{name}@example.com"),
        password_hash: "first".to_owned(),
        full_name: None,
    };
    match store.add_account(&user, role, 0).await.unwrap() {
        Registration::Registered(id) => id,
        taken => panic!("{taken:?}"),
    }
}

async fn rule(store: &Arc<dyn AccountStore>, id: UserId) -> SessionRule {
    store.account(id).await.unwrap().unwrap().sessions
}

async fn position(bed: &impl SqlBed) -> AccountPosition {
    let changes = bed.ledger().await.account_changes(None).await;
    changes.unwrap().position
}

/// What a node is told since a position.
async fn told(bed: &impl SqlBed, since: &AccountPosition) -> Vec<(UserId, SessionRule)> {
    let changes = bed.ledger().await.account_changes(Some(since)).await;
    let changes = changes.unwrap();
    assert!(
        changes.earlier == EarlierReads::Valid && changes.removed.is_empty(),
        "{changes:?}"
    );
    changes.sessions
}

pub async fn an_account_has_the_role_it_was_made_with(bed: &impl SqlBed) {
    let store = bed.accounts().await;
    let mut staff = Vec::new();
    for role in Role::ALL {
        let id = add(&store, role.to_sql(), role).await;
        let stored = store.account(id).await.unwrap().unwrap();
        assert_eq!(
            (stored.role, stored.sessions),
            (role, SessionRule::default())
        );
        assert_eq!(stored.email, format!("{}@example.com", role.to_sql()));
        if role != Role::User {
            staff.push(id);
        }
    }
    let ids = |listed, after, limit| {
        let store = Arc::clone(&store);
        async move {
            let page = store.list_accounts(listed, after, limit).await.unwrap();
            page.iter().map(|user| user.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(ids(Listed::Staff, None, 10).await, staff);
    assert_eq!(ids(Listed::Staff, Some(staff[1]), 2).await, staff[2..4]);
    assert_eq!(ids(Listed::All, None, 10).await.len(), Role::ALL.len());
    let wrong = bed.execute("UPDATE users SET role = 'owner'").await;
    assert!(wrong.unwrap_err().contains("users_role_check"));
}

pub async fn ending_tokens_covers_all_that_were_issued_and_is_told_to_nodes(bed: &impl SqlBed) {
    let store = bed.accounts().await;
    let (id, other) = (
        add(&store, "ada", Role::User).await,
        add(&store, "bob", Role::User).await,
    );
    let since = position(bed).await;
    let now = Utc::now().timestamp();
    let first = store.end_sessions(id, now).await.unwrap().unwrap();
    assert!(!first.admits(now) && first.admits(Utc::now().timestamp() + 5));
    assert_eq!(told(bed, &since).await, [(id, first)]);
    assert_eq!(rule(&store, id).await, first);
    // A token that was given since then is ended, too, although its second is the same.
    let second = store.end_sessions(id, now).await.unwrap().unwrap();
    assert!(!second.admits(first.valid_from), "{second:?}");
    // Of a node whose clock is ahead.
    let ahead = now + 30;
    let third = store.end_sessions(id, ahead).await.unwrap().unwrap();
    assert!(!third.admits(ahead) && third.admits(ahead + 1));
    let found = bed
        .ledger()
        .await
        .find_accounts(&[id, other])
        .await
        .unwrap();
    for account in found {
        let expected = if account.id == id {
            third
        } else {
            SessionRule::default()
        };
        assert_eq!(account.sessions, expected);
    }
    let unknown = UserId::new(99_999).unwrap();
    assert_eq!(store.end_sessions(unknown, now).await.unwrap(), None);
}

pub async fn accounts_with_ended_tokens_are_read_at_the_start_of_a_node(bed: &impl SqlBed) {
    let (ledger, store) = (bed.ledger().await, bed.accounts().await);
    let mut ids = Vec::new();
    for name in ["one", "two", "three", "four"] {
        ids.push(add(&store, name, Role::User).await);
    }
    let now = Utc::now();
    let ended = store.end_sessions(ids[0], now.timestamp()).await.unwrap();
    let long_ago = bed.instant(now - TimeDelta::days(40));
    let set = format!("tokens_valid_from = '{long_ago}' WHERE id = {}", ids[1]);
    bed.execute(&format!("UPDATE users SET {set}"))
        .await
        .unwrap();
    let disabled = store.set_access(ids[2], Access::Disabled).await.unwrap();
    let since = (now - TimeDelta::days(31)).timestamp();
    let all = [(ids[0], ended.unwrap()), (ids[2], disabled.unwrap())];
    assert_eq!(ledger.ended_sessions(None, since, 10).await.unwrap(), all);
    assert_eq!(
        ledger.ended_sessions(None, since, 1).await.unwrap(),
        all[..1]
    );
    let rest = ledger.ended_sessions(Some(ids[0]), since, 10).await;
    assert_eq!(rest.unwrap(), all[1..]);
}

pub async fn disabling_ends_the_tokens_and_enabling_brings_none_back(bed: &impl SqlBed) {
    let store = bed.accounts().await;
    let id = add(&store, "ada", Role::Operator).await;
    let since = position(bed).await;
    let issued = Utc::now().timestamp();
    let disabled = store
        .set_access(id, Access::Disabled)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(disabled.access, Access::Disabled);
    assert!(!disabled.admits(i64::MAX));
    let again = store.set_access(id, Access::Disabled).await.unwrap();
    assert_eq!(again, Some(disabled), "nothing is changed by it");
    let enabled = store
        .set_access(id, Access::Enabled)
        .await
        .unwrap()
        .unwrap();
    assert!(!enabled.admits(issued) && enabled.admits(enabled.valid_from));
    // The last one told is what holds.
    assert_eq!(told(bed, &since).await.last(), Some(&(id, enabled)));
}

pub async fn statements_by_hand_end_tokens_as_commands_do(bed: &impl SqlBed) {
    let store = bed.accounts().await;
    let id = add(&store, "ada", Role::Support).await;
    let issued = Utc::now().timestamp();
    // One position that moves on: a new one may tell again what was committed while another transaction ran.
    let since = tokio::sync::Mutex::new(position(bed).await);
    let by_hand = |set: String| {
        let since = &since;
        async move {
            let statement = format!("UPDATE users SET {set} WHERE id = {id}");
            bed.execute(&statement).await.unwrap();
            let mut since = since.lock().await;
            let ledger = bed.ledger().await;
            let changes = ledger.account_changes(Some(&since)).await.unwrap();
            *since = changes.position;
            changes.sessions.last().map(|(_, rule)| *rule)
        }
    };
    let role = by_hand("role = 'user'".to_owned()).await.unwrap();
    assert!(!role.admits(issued) && role.access == Access::Enabled);
    let at = bed.instant(Utc::now());
    let disabled = by_hand(format!("disabled_at = '{at}'")).await.unwrap();
    assert_eq!(disabled.access, Access::Disabled);
    assert!(
        disabled.valid_from > role.valid_from,
        "enabling brings back none"
    );
    let enabled = by_hand("disabled_at = NULL".to_owned()).await.unwrap();
    assert!(enabled.admits(enabled.valid_from) && !enabled.admits(role.valid_from));
    // A part of a second counts as a whole one.
    let later = chrono::DateTime::from_timestamp(issued + 100, 500_000_000).unwrap();
    let set = format!("tokens_valid_from = '{}'", bed.instant(later));
    assert_eq!(by_hand(set).await.unwrap().valid_from, issued + 101);
    // What is no change of these is told to nobody.
    assert_eq!(by_hand("full_name = 'Ada'".to_owned()).await, None);
    assert_eq!(by_hand("role = 'user'".to_owned()).await, None);
}

pub async fn a_password_is_set_only_over_the_one_that_was_compared(bed: &impl SqlBed) {
    let store = bed.accounts().await;
    let id = add(&store, "ada", Role::User).await;
    let now = Utc::now().timestamp();
    let stale = store.set_password(id, Some("another"), "second", now).await;
    assert_eq!(stale.unwrap(), None);
    assert_eq!(rule(&store, id).await, SessionRule::default());
    let set = store.set_password(id, Some("first"), "second", now).await;
    assert!(!set.unwrap().unwrap().admits(now));
    let forced = store.set_password(id, None, "third", now).await.unwrap();
    let stored = store.account(id).await.unwrap().unwrap();
    assert_eq!(stored.password_hash, "third");
    assert_eq!(forced, Some(stored.sessions));
}

pub async fn of_two_who_come_with_one_reset_token_one_sets_the_password(bed: &impl SqlBed) {
    let store = bed.accounts().await;
    let id = add(&store, "ada", Role::User).await;
    let (token, now) = (ResetHash([7; 32]), Utc::now().timestamp());
    store.store_reset(id, token, HOUR).await.unwrap();
    let owner = store.reset_owner(token).await.unwrap();
    assert_eq!(owner.map(|user| user.id), Some(id));
    let redeem = |hash: String| {
        let store = Arc::clone(&store);
        async move { store.redeem_reset(token, &hash, now).await.unwrap() }
    };
    let answers = join_all((0..8).map(|number| redeem(format!("hash {number}")))).await;
    let redeemed: Vec<_> = answers.iter().flatten().collect();
    assert_eq!(redeemed.len(), 1, "{answers:?}");
    let number = answers.iter().position(Option::is_some).unwrap();
    let stored = store.account(id).await.unwrap().unwrap();
    assert_eq!(stored.password_hash, format!("hash {number}"));
    assert_eq!(redeemed[0], &(id, stored.sessions));
    assert!(!stored.sessions.admits(now));
    assert_eq!(store.reset_owner(token).await.unwrap(), None);
}

pub async fn a_reset_token_ends_with_its_hour_the_next_token_and_another_password(
    bed: &impl SqlBed,
) {
    let store = bed.accounts().await;
    let id = add(&store, "ada", Role::User).await;
    let now = Utc::now().timestamp();
    let is_good = |token: ResetHash| {
        let store = Arc::clone(&store);
        async move {
            let owner = store.reset_owner(token).await.unwrap().is_some();
            let redeemed = store.redeem_reset(token, "new", now).await.unwrap();
            assert_eq!(owner, redeemed.is_some());
            owner
        }
    };
    let [first, second, third, fourth] = [1, 2, 3, 4].map(|byte| ResetHash([byte; 32]));
    store.store_reset(id, first, HOUR).await.unwrap();
    store.store_reset(id, second, HOUR).await.unwrap();
    assert!(!is_good(first).await, "another one was issued");
    store.set_password(id, None, "second", now).await.unwrap();
    assert!(!is_good(second).await, "the password was set");
    store.store_reset(id, third, Duration::ZERO).await.unwrap();
    assert!(!is_good(third).await, "its time is over");
    store.store_reset(id, fourth, HOUR).await.unwrap();
    store.set_access(id, Access::Disabled).await.unwrap();
    assert!(!is_good(fourth).await, "the account is disabled");
    store.set_access(id, Access::Enabled).await.unwrap();
    assert!(!is_good(fourth).await, "it was taken away");
    store.store_reset(id, first, HOUR).await.unwrap();
    assert!(is_good(first).await);
}
