//! Changes of webhooks and of service accounts as the action log describes them: without their secrets.

use serde_json::{Value, json};

use crate::{
    ids::SaleId,
    port::{ActionName, Change, Role, ServiceAccess, ServiceAccount, Webhook, WebhookId},
};

/// An endpoint that was added.
#[must_use]
pub fn added_webhook(after: &Webhook) -> Change {
    of_webhook(ActionName::AddWebhook, after.id, None, Some(webhook(after)))
}

/// An endpoint that was removed.
#[must_use]
pub fn removed_webhook(before: &Webhook) -> Change {
    let name = ActionName::RemoveWebhook;
    of_webhook(name, before.id, Some(webhook(before)), None)
}

/// An endpoint that has another secret.
#[must_use]
pub fn rotated_webhook(before: &Webhook, after: &Webhook) -> Change {
    let (name, now) = (ActionName::RotateWebhook, webhook(after));
    of_webhook(name, after.id, Some(webhook(before)), Some(now))
}

/// An endpoint that is sent a sale's events after number `position` again.
#[must_use]
pub fn replayed_webhook(before: &Webhook, after: &Webhook, sale: SaleId, position: u64) -> Change {
    let mut now = webhook(after);
    if let Some(fields) = now.as_object_mut() {
        fields.insert("replaySale".to_owned(), json!(sale.value()));
        fields.insert("replayAfter".to_owned(), json!(position));
    }
    let name = ActionName::ReplayWebhook;
    of_webhook(name, after.id, Some(webhook(before)), Some(now))
}

/// A service account that was made.
#[must_use]
pub fn made_service_account(after: &ServiceAccount) -> Change {
    of_account(ActionName::CreateUser, None, after)
}

/// A service account whose scopes or secret were replaced.
#[must_use]
pub fn changed_service_account(
    access: ServiceAccess,
    before: Option<&ServiceAccount>,
    after: &ServiceAccount,
) -> Change {
    let name = match access {
        ServiceAccess::Scopes(_) => ActionName::SetScopes,
        ServiceAccess::Secret(_) => ActionName::RenewSecret,
    };
    of_account(name, before, after)
}

fn of_webhook(
    name: ActionName,
    id: WebhookId,
    before: Option<Value>,
    after: Option<Value>,
) -> Change {
    Change {
        name,
        sale: None,
        target: format!("webhook:{id}"),
        before,
        after,
    }
}

fn of_account(name: ActionName, before: Option<&ServiceAccount>, after: &ServiceAccount) -> Change {
    Change {
        name,
        sale: None,
        target: format!("user:{}", after.user.id),
        before: before.map(account),
        after: Some(account(after)),
    }
}

fn webhook(webhook: &Webhook) -> Value {
    let settings = &webhook.settings;
    let types: Vec<_> = settings.types.iter().map(|known| known.name()).collect();
    json!({
        "url": settings.url,
        "types": types,
        "saleId": settings.sale.map(SaleId::value),
        "maxBatch": settings.max_batch,
        "perSecond": settings.per_second,
        "disabled": webhook.state.disabled,
    })
}

fn account(account: &ServiceAccount) -> Value {
    json!({
        "userId": account.user.id.to_string(),
        "username": account.user.username,
        "role": Role::Service.to_sql(),
        "scopes": account.scopes.to_string(),
    })
}
