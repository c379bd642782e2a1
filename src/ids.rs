//! The identifiers of the domain, one type each so that the compiler tells them apart.
//!
//! Nothing else: no rules, no I/O.

use std::{fmt, num::NonZeroI64, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is wrong with the text of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number from 1 to {}", i64::MAX)]
pub struct InvalidId;

/// Defines a positive integer id, as PostgreSQL's `BIGINT` sequences hand them out.
macro_rules! positive_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroI64);

        impl $name {
            /// The id with this value, or `None` below 1.
            #[must_use]
            pub fn new(value: i64) -> Option<Self> {
                NonZeroI64::new(value).filter(|id| id.get() > 0).map(Self)
            }

            /// The value, 1 or more.
            #[must_use]
            pub fn value(self) -> i64 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Takes decimal digits only: no sign, no blanks.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(InvalidId);
                }
                text.parse().ok().and_then(Self::new).ok_or(InvalidId)
            }
        }

        impl TryFrom<i64> for $name {
            type Error = InvalidId;

            fn try_from(value: i64) -> Result<Self, InvalidId> {
                Self::new(value).ok_or(InvalidId)
            }
        }
    };
}

positive_id! {
    /// A shopper's account.
    UserId
}
positive_id! {
    /// A product.
    ProductId
}
positive_id! {
    /// A flash sale: one product, one window, one stock.
    SaleId
}

/// One press of "buy" that was given a unit by the gate.
///
/// Version 7 for attempts of this service; version 5, derived from the content, for logged records that carry none
/// (`engine::kafka::record`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub Uuid);

impl AttemptId {
    /// A new id, ordered by time.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AttemptId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// The identity of one ledger: a random id that `migrate` gives to each database once.
///
/// Sale and user numbers of two ledgers coincide; this id tells a gate, a log record or a token of another ledger from
/// one of this ledger. A restored backup keeps the id of the database it was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LedgerId(pub Uuid);

impl LedgerId {
    /// The id of engines that were not told which ledger they serve. No ledger has it.
    pub const NONE: Self = Self(Uuid::nil());
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_positive_whole_numbers() {
        assert_eq!("1".parse::<SaleId>().map(SaleId::value), Ok(1));
        for wrong in [
            "",
            "0",
            "-1",
            "+1",
            "1.5",
            " 1",
            "1 ",
            "one",
            "99999999999999999999",
            "1\0",
        ] {
            assert_eq!(wrong.parse::<SaleId>(), Err(InvalidId), "{wrong:?}");
        }
    }
}
