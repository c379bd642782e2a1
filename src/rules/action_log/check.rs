//! The check of the whole log: every entry is proved by its own hash, or by an erasure behind it.

use std::collections::BTreeMap;

use super::{Hash, Head, StoredAction, erasure::erased_entries};
use crate::port::ActionLogCheck;

/// What is wrong with the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("entry {expected} is missing: entry {found} follows {}", expected - 1)]
    Gap { expected: i64, found: i64 },
    #[error("entry {id} was changed: its hash is not that of its fields")]
    Changed { id: i64 },
    #[error("entry {id} does not continue the one before: previous_hash is not the hash of entry {}", id - 1)]
    Unlinked { id: i64 },
    #[error("entries {from} to {to} are missing at the end of the log")]
    CutOff { from: i64, to: i64 },
    #[error("entry {last} is the last, but admin_actions_head has {head} as the last")]
    BehindHead { last: i64, head: i64 },
    #[error("admin_actions_head has another hash than entry {id}, which is the last")]
    OtherHead { id: i64 },
    #[error("admin_actions_head has no row")]
    NoHead,
}

/// The check of a log, entry after entry in the order of their ids.
#[derive(Debug, Clone)]
pub struct ChainCheck {
    last: Head,
    /// Entries whose hash is not that of their fields, with the hash that these have: to be proved by an erasure that follows.
    unproved: BTreeMap<i64, Hash>,
}

impl Default for ChainCheck {
    fn default() -> Self {
        Self {
            last: Head::EMPTY,
            unproved: BTreeMap::new(),
        }
    }
}

impl ChainCheck {
    /// The next entry. After an error the rest of the log proves nothing.
    pub fn check(&mut self, entry: &StoredAction) -> Result<(), Broken> {
        let (id, expected) = (entry.id, self.last.id + 1);
        if id != expected {
            let found = id;
            return Err(self.first(Broken::Gap { expected, found }));
        }
        if entry.previous_hash != self.last.hash {
            return Err(self.first(Broken::Unlinked { id }));
        }
        let computed = entry.computed_hash();
        let hash = Hash::try_from(entry.hash.as_slice()).map_err(|_| Broken::Changed { id })?;
        if hash != computed {
            self.unproved.insert(id, computed);
        }
        for (erased, hash) in erased_entries(entry) {
            if self.unproved.get(&erased) == Some(&hash) {
                self.unproved.remove(&erased);
            }
        }
        self.last = Head { id, hash };
        Ok(())
    }

    /// What comes first: behind a break no erasure proves an entry before it any more.
    fn first(&self, broken: Broken) -> Broken {
        self.changed().unwrap_or(broken)
    }

    /// The first entry that nothing proves.
    fn changed(&self) -> Option<Broken> {
        let (id, _) = self.unproved.first_key_value()?;
        Some(Broken::Changed { id: *id })
    }

    /// How many entries were checked.
    #[must_use]
    pub fn entries(&self) -> i64 {
        self.last.id
    }

    /// What was found: all entries up to here are whole, and `broken` follows.
    #[must_use]
    pub fn report(&self, broken: Option<&Broken>) -> ActionLogCheck {
        let first = self.unproved.first_key_value();
        let whole = first.map_or(self.last.id, |(id, _)| id - 1);
        ActionLogCheck {
            entries: u64::try_from(whole).unwrap_or(0),
            broken: broken.map(ToString::to_string),
        }
    }

    /// The end of the log, with its head as it is stored.
    pub fn finish(&self, head: Option<&Head>) -> Result<(), Broken> {
        if let Some(changed) = self.changed() {
            return Err(changed);
        }
        let last = self.last.id;
        match head {
            None => Err(Broken::NoHead),
            Some(head) if head.id > last => Err(Broken::CutOff {
                from: last + 1,
                to: head.id,
            }),
            Some(head) if head.id < last => Err(Broken::BehindHead {
                last,
                head: head.id,
            }),
            Some(head) if head.hash != self.last.hash => Err(Broken::OtherHead { id: last }),
            Some(_) => Ok(()),
        }
    }
}
