//! Endpoints of webhooks: each change is one transaction with its entry in the action log.

use chrono::TimeDelta;
use flashsale::{
    ids::SaleId,
    port::{
        ActionName, EventType, MAX_WEBHOOKS, Webhook, WebhookChanges, WebhookId, WebhookSettings,
        WebhookState,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    bed::SqlBed,
    operator::{because, entries, now, open_sale, with_key},
};

fn endpoint() -> Webhook {
    Webhook {
        id: WebhookId(Uuid::now_v7()),
        settings: WebhookSettings {
            url: "https://shop.example/hook".to_owned(),
            types: vec![EventType::OrderCreated],
            sale: None,
            max_batch: 5,
            per_second: 7,
        },
        secret: "whsec_first".to_owned(),
        previous_secret: None,
        state: WebhookState::default(),
        created_at: now(),
    }
}

async fn added(store: &dyn WebhookChanges) -> Webhook {
    let webhook = endpoint();
    assert!(store.add_webhook(&webhook, &because("new")).await.unwrap());
    webhook
}

/// The only endpoint, if there is one.
async fn stored(store: &dyn WebhookChanges) -> Option<Webhook> {
    let mut all = store.webhooks().await.unwrap();
    assert!(all.len() < 2);
    all.pop()
}

pub async fn changes_of_endpoints_are_noted_without_their_secrets(bed: &impl SqlBed) {
    let (store, admin) = (bed.webhooks().await, bed.administration().await);
    let sale = open_sale(admin.as_ref()).await.id;
    let written = entries(admin.as_ref()).await;
    let webhook = added(store.as_ref()).await;
    let id = webhook.id;
    assert!(stored(store.as_ref()).await == Some(webhook));
    let until = now() + TimeDelta::hours(1);
    let rotated = store
        .replace_webhook_secret(id, "whsec_second", until, &because("rotated"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rotated.secret, "whsec_second");
    assert_eq!(
        rotated.previous_secret,
        Some(("whsec_first".to_owned(), until))
    );
    let disabled = WebhookState {
        disabled: Some("gone".to_owned()),
        failures: 3,
        next_attempt_at: Some(until),
    };
    store.set_webhook_state(id, &disabled).await.unwrap();
    let sought = store
        .seek_webhook(id, sale, 2, &because("again"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(sought.state, WebhookState::default());
    assert!(store.remove_webhook(id, &because("over")).await.unwrap());
    assert!(stored(store.as_ref()).await.is_none());
    assert_eq!(bed.number(&positions_of(id)).await, 0);

    assert_eq!(entries(admin.as_ref()).await, written + 4);
    let log = admin.actions(None, None, 4).await.unwrap();
    let names: Vec<_> = log.iter().map(|action| action.name).collect();
    assert_eq!(
        names,
        [
            ActionName::RemoveWebhook,
            ActionName::ReplayWebhook,
            ActionName::RotateWebhook,
            ActionName::AddWebhook
        ]
    );
    for action in &log {
        assert_eq!(action.target, format!("webhook:{id}"));
        assert!(!format!("{action:?}").contains("whsec"), "{action:?}");
    }
    let field = |value: &Option<Value>, name: &str| value.as_ref().unwrap()[name].clone();
    assert_eq!(field(&log[3].after, "url"), "https://shop.example/hook");
    assert_eq!(field(&log[3].after, "types"), json!(["order.created"]));
    assert_eq!((&log[3].before, &log[0].after), (&None, &None));
    assert_eq!(field(&log[1].before, "disabled"), "gone");
    assert_eq!(field(&log[1].after, "disabled"), Value::Null);
    assert_eq!(field(&log[1].after, "replaySale"), sale.value());
    assert_eq!(field(&log[1].after, "replayAfter"), 2);
}

fn positions_of(id: WebhookId) -> String {
    let consumer = id.consumer();
    format!("SELECT count(*) FROM event_positions WHERE consumer = '{consumer}'")
}

/// Tries every change of an endpoint; none succeeds.
async fn try_all(store: &dyn WebhookChanges, id: WebhookId, sale: SaleId) {
    // A used key is found before anything is changed, an entry that cannot be written after it.
    for entry in [because("a"), with_key("used", 1)] {
        let added = store.add_webhook(&endpoint(), &entry).await;
        assert!(added.is_err(), "{added:?}");
        let rotated = store.replace_webhook_secret(id, "whsec_lost", now(), &entry);
        assert!(rotated.await.is_err());
        assert!(store.seek_webhook(id, sale, 0, &entry).await.is_err());
        let removed = store.remove_webhook(id, &entry).await;
        assert!(removed.is_err(), "{removed:?}");
    }
}

pub async fn an_endpoint_whose_entry_cannot_be_written_is_not_changed(bed: &impl SqlBed) {
    let (store, admin) = (bed.webhooks().await, bed.administration().await);
    let sale = open_sale(admin.as_ref()).await.id;
    let webhook = added(store.as_ref()).await;
    let written = entries(admin.as_ref()).await;
    let positions = bed.number(&positions_of(webhook.id)).await;
    bed.break_action_log(true).await;
    try_all(store.as_ref(), webhook.id, sale).await;
    bed.break_action_log(false).await;
    assert!(stored(store.as_ref()).await == Some(webhook.clone()));
    assert_eq!(bed.number(&positions_of(webhook.id)).await, positions);
    assert_eq!(entries(admin.as_ref()).await, written);
    // The failed ones used no key.
    let entry = with_key("used", 1);
    let replaced = store.replace_webhook_secret(webhook.id, "whsec_b", now(), &entry);
    assert_eq!(replaced.await.unwrap().unwrap().secret, "whsec_b");
    let again = store.replace_webhook_secret(webhook.id, "whsec_c", now(), &entry);
    assert!(again.await.is_err(), "the key is used");
    assert_eq!(stored(store.as_ref()).await.unwrap().secret, "whsec_b");
}

pub async fn there_is_a_highest_number_of_endpoints(bed: &impl SqlBed) {
    let (store, admin) = (bed.webhooks().await, bed.administration().await);
    for _ in 0..MAX_WEBHOOKS {
        added_or_full(store.as_ref(), true).await;
    }
    added_or_full(store.as_ref(), false).await;
    let written = entries(admin.as_ref()).await;
    assert_eq!(written, MAX_WEBHOOKS as u64, "a refused one has no entry");
    let unknown = WebhookId(Uuid::nil());
    let entry = because("none");
    assert!(!store.remove_webhook(unknown, &entry).await.unwrap());
    let rotated = store.replace_webhook_secret(unknown, "whsec_a", now(), &entry);
    assert!(rotated.await.unwrap().is_none());
    assert_eq!(entries(admin.as_ref()).await, written);
}

async fn added_or_full(store: &dyn WebhookChanges, is_added: bool) {
    let added = store.add_webhook(&endpoint(), &because("new")).await;
    assert_eq!(added.unwrap(), is_added);
}
