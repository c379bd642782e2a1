//! The content of a token: the account that it is for, the times of its issue and its end, and its scopes.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use crate::{
    ids::{LedgerTag, UserId},
    port::{Role, Scopes},
};

/// The account that a token is for, with the rest of the token's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Identity {
    #[serde(rename = "userId", deserialize_with = "user_id")]
    pub user: UserId,
    #[serde(default)]
    pub role: Role,
    /// When the token was issued, in seconds since 1970. A token that does not name this time may be of any age.
    #[serde(
        rename = "iat",
        default = "unknown_age",
        deserialize_with = "numeric_date"
    )]
    pub issued_at: i64,
    /// When the token expires, in seconds since 1970.
    #[serde(rename = "exp", default = "never", deserialize_with = "numeric_date")]
    pub expires_at: i64,
    /// The scopes of a service account's token. Any other token has none.
    #[serde(rename = "scope", default)]
    pub scopes: Scopes,
    /// The ledger that has the account. Tokens of older versions and of the original service do not name it.
    #[serde(rename = "lid", default, deserialize_with = "ledger")]
    pub(super) ledger: Option<LedgerTag>,
}

impl Identity {
    /// A shopper's, as a token issued then says it.
    #[must_use]
    pub fn of_shopper(user: UserId, issued_at: i64) -> Self {
        Self {
            user,
            role: Role::User,
            issued_at,
            expires_at: never(),
            scopes: Scopes::NONE,
            ledger: None,
        }
    }
}

/// The end of an identity that has none. No token leads to it, since the JWT library refuses tokens that do not name their end.
fn never() -> i64 {
    i64::MAX
}

fn unknown_age() -> i64 {
    i64::MIN
}

fn ledger<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LedgerTag>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(de::Error::custom)
}

/// Reads seconds since 1970, which may have a fraction (RFC 7519, section 2: `NumericDate`).
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("seconds since 1970")
        }

        fn visit_i64<E: de::Error>(self, secs: i64) -> Result<i64, E> {
            Ok(secs)
        }

        fn visit_u64<E: de::Error>(self, secs: u64) -> Result<i64, E> {
            i64::try_from(secs).map_err(E::custom)
        }

        fn visit_f64<E: de::Error>(self, secs: f64) -> Result<i64, E> {
            // Rounded down. A number that fits no i64 becomes the nearest that does, which is as far from now.
            #[allow(clippy::cast_possible_truncation)]
            let whole = secs.floor() as i64;
            Ok(whole)
        }
    }

    deserializer.deserialize_any(Visitor)
}

/// Reads an id that is a text, as we write it, or a number, as some clients' tools do.
fn user_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UserId, D::Error> {
    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = UserId;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a user id")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<UserId, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<UserId, E> {
            UserId::try_from(number).map_err(E::custom)
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<UserId, E> {
            i64::try_from(number)
                .map_err(E::custom)
                .and_then(|number| self.visit_i64(number))
        }
    }

    deserializer.deserialize_any(Visitor)
}
