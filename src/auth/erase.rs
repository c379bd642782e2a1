//! Erasing a person: what the ledger stores of them, with a line of the security log.

use crate::{
    ids::UserId,
    port::{AccountStore, ActionEntry, AdminError, Erasure},
    security::{self, Event},
};

/// Takes a person out of the ledger. `None` if there is no such account. The line of the security log has the account's id alone.
pub async fn erase_person(
    accounts: &dyn AccountStore,
    id: UserId,
    entry: &ActionEntry,
) -> Result<Option<Erasure>, AdminError> {
    let erasure = accounts.erase(id, entry).await?;
    if erasure.is_some_and(|erasure| erasure.is_new) {
        let from = entry.actor.address.map(Into::into);
        let about = format!("user:{id}");
        security::note(Event::Account, "erased", &entry.actor.name, from, &about);
    }
    Ok(erasure)
}
