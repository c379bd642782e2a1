//! What `flashsale user` leaves behind: an entry of the action log, and a line of the security log.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    auth::note_account,
    port::{ActionEntry, ActionName, Actor, Administration, Role, StoredUser},
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
        let (actions, entry) = (self.actions.as_ref(), self.entry());
        note_account(actions, name, before, after, &entry)
            .await
            .context("the account was changed, and that is missing in the action log")
    }
}
