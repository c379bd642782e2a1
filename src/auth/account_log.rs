//! Records a change of an account by an operator: an entry in the action log, and a line in the security log.

use serde_json::{Value, json};

use crate::{
    port::{Access, ActionEntry, ActionName, AdminError, Administration, Change, StoredUser},
    security::{self, Event},
};

/// Records a change that was made.
pub async fn note_account(
    actions: &dyn Administration,
    name: ActionName,
    before: Option<&StoredUser>,
    after: &StoredUser,
    entry: &ActionEntry,
) -> Result<(), AdminError> {
    let actor = &entry.actor;
    let who = actor.name.strip_prefix("cli:").unwrap_or(&actor.name);
    let from = actor.address.map(Into::into);
    security::note(Event::Account, outcome(name), who, from, &after.username);
    let change = Change {
        name,
        sale: None,
        target: format!("user:{}", after.id),
        before: before.map(state),
        after: Some(state(after)),
    };
    actions.note_action(&change, entry).await.map(drop)
}

/// An account without its secrets.
fn state(user: &StoredUser) -> Value {
    json!({
        "userId": user.id.to_string(),
        "username": user.username,
        "role": user.role.to_sql(),
        "disabled": user.sessions.access == Access::Disabled,
    })
}

/// The name of a change in the security log.
fn outcome(name: ActionName) -> &'static str {
    match name {
        ActionName::CreateUser => "made",
        ActionName::SetRole => "role_set",
        ActionName::DisableUser => "disabled",
        ActionName::EnableUser => "enabled",
        ActionName::SetPassword => "password_set",
        _ => "changed",
    }
}
