//! Taking a person out of the action log, so that the chain still proves the rest.
//!
//! An entry that was written keeps its hash. What it says of the person is replaced, and the entry of the erasure lists which entries
//! are different since then, each with the hash that its fields have now. So an entry is proved either by its own hash or by a
//! later erasure, which is itself an entry of the chain.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Hash, StoredAction};
use crate::{
    ids::UserId,
    port::{ActionEntry, ActionName, AdminError, Change},
};

/// What takes the place of a reason that names the person.
pub const ERASED: &str = "[erased]";
/// What takes the place of a state before or after a change.
pub const ERASED_STATE: &str = r#"{"erased":true}"#;

/// The person whose traces are erased.
#[derive(Debug, Clone)]
pub struct ErasedPerson {
    user: UserId,
    /// Addresses that mean the person wherever they occur.
    texts: Vec<String>,
}

impl ErasedPerson {
    /// Most entries that one erasure changes, so that its own entry stays of a size that is read at once.
    pub const MOST_ENTRIES: usize = 10_000;

    /// The person with this address and this subject of the shop's issuer. Of an account without an address there is none, and a subject
    /// that is none is too short to mean the person wherever it occurs.
    #[must_use]
    pub fn new(user: UserId, email: String, subject: Option<String>) -> Self {
        let texts = [Some(email), subject].into_iter().flatten();
        Self {
            user,
            texts: texts.filter(|text| text.contains('@')).collect(),
        }
    }

    /// Two texts, one of which is in everything that [`names`](Self::names) the person, for a search that ignores case: of each text the
    /// longest part of ASCII characters with the `@`, since databases differ in how they fold others. A part without it could be a
    /// single dot, which is in almost every entry.
    #[must_use]
    pub fn searched(&self) -> [Option<String>; 2] {
        let longest = |text: &String| {
            let parts = text.split(|letter: char| !letter.is_ascii());
            let part = parts.max_by_key(|part| (part.contains('@'), part.len()));
            part.map(str::to_owned)
        };
        [0, 1].map(|number| self.texts.get(number).and_then(longest))
    }

    /// What the log calls the account.
    #[must_use]
    pub fn target(&self) -> String {
        format!("user:{}", self.user)
    }

    /// Whether one of the texts occurs, and not as a part of a longer address.
    #[must_use]
    pub fn names(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.texts.iter().any(|one| {
            let one = one.to_lowercase();
            text.match_indices(&one).any(|(at, _)| {
                let before = text.get(..at).and_then(|before| before.chars().next_back());
                let after = text
                    .get(at + one.len()..)
                    .and_then(|after| after.chars().next());
                !before.is_some_and(|c| c.is_alphanumeric() || "._%+-".contains(c))
                    && !after.is_some_and(|c| c.is_alphanumeric() || c == '-')
            })
        })
    }

    /// Those of these entries that say something of the person, without it.
    pub fn erase_all(&self, entries: &[StoredAction]) -> Result<Vec<StoredAction>, AdminError> {
        if entries.len() > Self::MOST_ENTRIES {
            return Err(AdminError::NotAllowed(format!(
                "more than {} entries of the action log may name the person",
                Self::MOST_ENTRIES
            )));
        }
        let erased = entries.iter().filter_map(|entry| self.erase_from(entry));
        Ok(erased.collect())
    }

    /// The entry without what it says of the person; `None` if it says nothing. Entries about the account lose both states, which have
    /// its name; all others lose what contains one of the texts. Of an erasure the list of entries stays.
    fn erase_from(&self, entry: &StoredAction) -> Option<StoredAction> {
        let is_erasure = entry.action == ActionName::EraseUser.as_str();
        let is_about = entry.target == self.target();
        let state = |text: &Option<String>| {
            let is_replaced = |text: &String| !is_erasure && (is_about || self.names(text));
            text.clone().map(|text| {
                if is_replaced(&text) {
                    ERASED_STATE.to_owned()
                } else {
                    text
                }
            })
        };
        let reason = if self.names(&entry.reason) {
            ERASED.to_owned()
        } else {
            entry.reason.clone()
        };
        let erased = StoredAction {
            reason,
            before: state(&entry.before),
            after: state(&entry.after),
            ..entry.clone()
        };
        (erased != *entry).then_some(erased)
    }

    /// What is kept of the erasure besides that: its reason may name the person, too.
    #[must_use]
    pub fn entry(&self, entry: &ActionEntry) -> ActionEntry {
        let mut entry = entry.clone();
        if self.names(&entry.reason) {
            ERASED.clone_into(&mut entry.reason);
        }
        entry
    }

    /// The erasure as the log describes it, with the entries that it changed.
    #[must_use]
    pub fn change(&self, erased: &[StoredAction]) -> Change {
        let entries = erased
            .iter()
            .map(|entry| json!({ "id": entry.id, "hash": hex(&entry.computed_hash()) }));
        Change {
            name: ActionName::EraseUser,
            sale: None,
            target: self.target(),
            before: None,
            after: Some(json!({
                "userId": self.user.to_string(),
                "entries": entries.collect::<Vec<_>>(),
            })),
        }
    }
}

/// The entries that an erasure says are different, with the hashes that they have since. Empty for any other entry.
pub(super) fn erased_entries(entry: &StoredAction) -> Vec<(i64, Hash)> {
    if entry.action != ActionName::EraseUser.as_str() {
        return Vec::new();
    }
    let after: Value = entry
        .after
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let listed = after.get("entries").and_then(Value::as_array);
    let listed = listed.map_or(&[][..], Vec::as_slice);
    let read = |listed: &Value| {
        let hash = listed.get("hash")?.as_str()?;
        Some((listed.get("id")?.as_i64()?, unhex(hash)?))
    };
    listed.iter().filter_map(read).collect()
}

fn hex(hash: &Hash) -> String {
    let mut digits = String::with_capacity(2 * hash.len());
    for byte in hash {
        // Writing to a text does not fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

fn unhex(digits: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    if !digits.is_ascii() || digits.len() != 2 * hash.len() {
        return None;
    }
    for (number, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * number..2 * number + 2)?, 16).ok()?;
    }
    Some(hash)
}
