//! What a program of the shop may do: the scopes of a service account and of its tokens.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One thing that a service account may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Confirm, cancel and extend orders.
    SettleOrders,
    /// Press "buy" on behalf of a shopper.
    WriteAttempts,
    /// Read the events of sales.
    ReadEvents,
    /// Make accounts for the shop's shoppers.
    WriteShoppers,
}

/// A set of scopes. Its text has them in a fixed order, with single spaces between them (RFC 6749, 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

/// The text names a scope that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no scope; there are orders:settle, attempts:write, events:read and shoppers:write")]
pub struct UnknownScope(String);

impl Scope {
    pub const ALL: [Self; 4] = [
        Self::SettleOrders,
        Self::WriteAttempts,
        Self::ReadEvents,
        Self::WriteShoppers,
    ];

    /// The scope as ledgers, tokens and requests write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SettleOrders => "orders:settle",
            Self::WriteAttempts => "attempts:write",
            Self::ReadEvents => "events:read",
            Self::WriteShoppers => "shoppers:write",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Scopes {
    pub const NONE: Self = Self(0);

    #[must_use]
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// In the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.contains(*scope))
    }

    /// Whether all of them are among these.
    #[must_use]
    pub fn is_subset_of(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    /// The scopes of a text that another version may have written. Those that are not known here allow nothing.
    #[must_use]
    pub fn known(text: &str) -> Self {
        let is_named = |scope: &Scope| {
            text.split_ascii_whitespace()
                .any(|name| name == scope.name())
        };
        Scope::ALL.into_iter().filter(is_named).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    /// Takes names between spaces or commas.
    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let names = text.split([' ', ',']).filter(|name| !name.is_empty());
        names
            .map(|name| {
                let known = Scope::ALL.into_iter().find(|scope| scope.name() == name);
                known.ok_or_else(|| UnknownScope(name.chars().take(64).collect()))
            })
            .collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for scope in self.iter() {
            write!(f, "{between}{}", scope.name())?;
            between = " ";
        }
        Ok(())
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::known(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written() {
        let all: Scopes = Scope::ALL.into_iter().collect();
        let text = "orders:settle attempts:write events:read shoppers:write";
        assert_eq!(all.to_string(), text);
        assert_eq!(text.parse(), Ok(all));
        assert_eq!(
            "shoppers:write,orders:settle"
                .parse::<Scopes>()
                .unwrap()
                .to_string(),
            "orders:settle shoppers:write"
        );
        assert_eq!("".parse(), Ok(Scopes::NONE));
    }

    #[test]
    fn an_unknown_scope_is_refused_in_a_request_and_allows_nothing_in_a_token() {
        assert_eq!(
            "events:read everything".parse::<Scopes>(),
            Err(UnknownScope("everything".to_owned()))
        );
        assert_eq!(
            Scopes::known("events:read everything").to_string(),
            "events:read"
        );
        assert!(Scopes::known("orders").is_empty());
    }

    #[test]
    fn a_part_of_the_scopes_is_a_subset_and_more_than_them_is_not() {
        let read = Scopes::known("events:read");
        let both = Scopes::known("events:read orders:settle");
        assert!(
            read.is_subset_of(both) && both.is_subset_of(both) && Scopes::NONE.is_subset_of(read)
        );
        assert!(!both.is_subset_of(read));
        assert!(both.contains(Scope::SettleOrders) && !read.contains(Scope::SettleOrders));
    }
}
