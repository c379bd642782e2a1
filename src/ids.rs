//! The identifiers of the domain, one type each so that the compiler tells them apart.
//!
//! Nothing else: no rules, no I/O.

use std::{fmt, num::NonZeroI64, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text or number is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a positive integer")]
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

/// One accepted press of "buy": the gate reserved a unit for it.
///
/// A UUID of version 7 for attempts of this service; of version 5, derived from the record, for log records without an id
/// (`engine::record`).
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
/// Every ledger counts its sales and users from 1. This id therefore distinguishes the gate keys, log records and tokens of one
/// ledger from those of another. A restored backup keeps the id of the database it was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerId(pub Uuid);

impl LedgerId {
    /// The id that engines use if they were given none. No ledger has this id.
    pub const NONE: Self = Self(Uuid::nil());
}

/// The last eight hexadecimal digits of a ledger's id, which results, log records and tokens carry. The probability that two
/// ledgers have the same tag is 1 in 4 billion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LedgerTag(u32);

impl LedgerId {
    /// The short form; `None` for [`LedgerId::NONE`].
    #[must_use]
    pub fn tag(self) -> Option<LedgerTag> {
        let [.., a, b, c, d] = *self.0.as_bytes();
        (self != Self::NONE).then(|| LedgerTag(u32::from_be_bytes([a, b, c, d])))
    }
}

impl fmt::Display for LedgerTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The text is not a ledger's tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be eight hexadecimal digits")]
pub struct InvalidTag;

impl FromStr for LedgerTag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidTag);
        }
        u32::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidTag)
    }
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
    fn the_tag_of_a_ledger_is_the_end_of_its_id() {
        let id = LedgerId(Uuid::from_u128(0xfeed_0000_0000_4000_8000_0000_001a_2b3c));
        let tag = id.tag().unwrap();
        assert_eq!(tag.to_string(), "001a2b3c");
        assert!(id.to_string().ends_with("001a2b3c"));
        assert_eq!("001a2b3c".parse(), Ok(tag));
        assert_eq!(LedgerId::NONE.tag(), None);
        for wrong in ["", "1a2b3c", "001a2b3cd", "+01a2b3c", "001a2b3g"] {
            assert_eq!(wrong.parse::<LedgerTag>(), Err(InvalidTag), "{wrong:?}");
        }
    }

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
