//! Who has which name, by its key, as accounts come: the first one has it.

use std::collections::HashMap;

use crate::account_key::AccountKey;

/// The accounts that have a kind of name.
#[derive(Default)]
pub(super) struct Holders(HashMap<AccountKey, Holder>);

/// The first account of a key.
struct Holder {
    id: i64,
    /// `None`: its name is its key, as most are.
    name: Option<Box<str>>,
}

impl Holders {
    /// The account has the name from now on, unless another one has it already: that one, and how it spells the name.
    pub(super) fn take(&mut self, id: i64, name: &str) -> Result<(), (i64, String)> {
        let key = AccountKey::of(name);
        if let Some(holder) = self.0.get(&key) {
            let its_name = holder.name.as_deref().unwrap_or(key.as_str());
            return Err((holder.id, its_name.to_owned()));
        }
        let name = Some(name.into()).filter(|_| name != key.as_str());
        self.0.insert(key, Holder { id, name });
        Ok(())
    }

    /// How many names are taken.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
