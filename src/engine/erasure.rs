//! Rows that an erasure looks through, as both ledgers read them.

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};

use crate::rules::action_log::ErasedPerson;

/// An idempotency key with its first answer.
#[derive(QueryableByName)]
pub(super) struct KeyRow {
    #[diesel(sql_type = Text)]
    pub(super) actor: String,
    #[diesel(sql_type = Text)]
    pub(super) key: String,
    /// The key and the first answer.
    #[diesel(sql_type = Text)]
    text: String,
}

impl KeyRow {
    /// Whether the person used the key, or is named by it or by the answer.
    pub(super) fn is_of(&self, person: &ErasedPerson) -> bool {
        self.actor == person.target() || person.names(&self.text)
    }
}

/// A decision about a dead letter.
#[derive(QueryableByName)]
pub(super) struct DecisionRow {
    #[diesel(sql_type = BigInt)]
    pub(super) id: i64,
    #[diesel(sql_type = Text)]
    pub(super) reason: String,
}
