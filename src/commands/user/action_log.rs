//! What `flashsale user` leaves behind: an entry of the action log, and a line of the security log.

use std::sync::Arc;

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    port::{Access, ActionEntry, ActionName, Actor, Administration, Change, Role, StoredUser},
    security::{self, Event},
};

/// Where changes are noted, by whom and why.
pub(super) struct ActionLog {
    pub(super) actions: Arc<dyn Administration>,
    pub(super) by: String,
    pub(super) reason: String,
}

impl ActionLog {
    /// What is kept of a change besides the change itself.
    pub(super) fn entry(&self) -> ActionEntry {
        ActionEntry {
            actor: Actor {
                name: format!("cli:{}", self.by),
                role: Role::Admin.to_sql().to_owned(),
                address: None,
            },
            reason: self.reason.clone(),
            key: None,
        }
    }

    /// Notes a change that was made.
    pub(super) async fn note(
        &self,
        name: ActionName,
        before: Option<&StoredUser>,
        after: &StoredUser,
    ) -> anyhow::Result<()> {
        security::note(
            Event::Account,
            outcome(name),
            &self.by,
            None,
            &after.username,
        );
        let entry = self.entry();
        let change = Change {
            name,
            sale: None,
            target: format!("user:{}", after.id),
            before: before.map(state),
            after: Some(state(after)),
        };
        let noted = self.actions.note_action(&change, &entry).await;
        noted
            .map(drop)
            .context("the account was changed, and that is missing in the action log")
    }
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

/// What the security log calls it.
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
