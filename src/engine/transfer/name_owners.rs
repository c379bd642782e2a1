//! Assigns names to accounts by the key of the name, in the order in which accounts are added: the first account owns it.

use std::collections::HashMap;

use crate::account_key::AccountKey;

/// The owners of all names of one kind, usernames or emails.
#[derive(Default)]
pub(super) struct NameOwners(HashMap<AccountKey, NameOwner>);

/// The first account with a name of this key.
struct NameOwner {
    id: i64,
    /// The account's spelling of the name; `None`, to save memory, if it is the same as the key.
    name: Option<Box<str>>,
}

impl NameOwners {
    /// Assigns the name to the account. If another account owns it already, returns that account's id and spelling of the name.
    pub(super) fn take(&mut self, id: i64, name: &str) -> Result<(), (i64, String)> {
        let key = AccountKey::of(name);
        if let Some(owner) = self.0.get(&key) {
            let its_name = owner.name.as_deref().unwrap_or(key.as_str());
            return Err((owner.id, its_name.to_owned()));
        }
        let name = Some(name.into()).filter(|_| name != key.as_str());
        self.0.insert(key, NameOwner { id, name });
        Ok(())
    }

    /// The number of names with an owner.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
