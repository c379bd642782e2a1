//! Changes that an import makes to rows which the constraints of the database would refuse. They come from a file that the
//! operator has reviewed: lines of JSON, described in docs/COMPATIBILITY.md.

use std::{
    collections::BTreeMap,
    io::{self, BufRead},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{OrderRow, ProductRow, SaleRow, UserRow};

/// One line: the change of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RowChange {
    User(UserRowChange),
    /// Creates an account that orders name and that does not exist. Nobody can log in to it.
    NewUser(NewUserRowChange),
    Product(ProductRowChange),
    Sale(SaleRowChange),
    Order(OrderRowChange),
}

/// New values of a user's fields. A field without a value stays unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserRowChange {
    pub id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// `admin`, `operator`, `support`, `auditor` or `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RowRole>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowRole {
    Admin,
    Operator,
    Support,
    Auditor,
    User,
}

impl RowRole {
    /// As ledgers write it.
    fn to_sql(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Support => "support",
            Self::Auditor => "auditor",
            Self::User => "user",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewUserRowChange {
    pub id: i64,
    pub username: String,
    pub email: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProductRowChange {
    pub id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_cents: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SaleRowChange {
    pub id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_stock: Option<i64>,
}

/// A change of an order, which is identified by its id in the other database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderRowChange {
    pub id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_uuid: Option<Uuid>,
    /// True if the order is not to be imported. Its unit can be sold again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip: bool,
}

/// Why a file of changes is refused.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {line} is not a change: {cause}")]
    Line { line: u64, cause: String },
    #[error("line {line}: there is a change of this row before")]
    Twice { line: u64 },
}

/// All changes, by the ids of their rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub users: BTreeMap<i64, UserRowChange>,
    pub new_users: BTreeMap<i64, NewUserRowChange>,
    pub products: BTreeMap<i64, ProductRowChange>,
    pub sales: BTreeMap<i64, SaleRowChange>,
    pub orders: BTreeMap<i64, OrderRowChange>,
}

impl Changes {
    /// Reads lines of JSON. Empty lines are skipped.
    pub fn read(source: impl BufRead) -> Result<Self, ChangesError> {
        let mut changes = Self::default();
        for (line, text) in (1..).zip(source.lines()) {
            let text = text?;
            if text.trim().is_empty() {
                continue;
            }
            let change = serde_json::from_str(&text).map_err(|error| ChangesError::Line {
                line,
                cause: error.to_string(),
            })?;
            if !changes.add(change) {
                return Err(ChangesError::Twice { line });
            }
        }
        Ok(changes)
    }

    /// Adds a change. False if there was one of the same row, which it replaces.
    pub fn add(&mut self, change: RowChange) -> bool {
        match change {
            RowChange::User(change) => self.users.insert(change.id, change).is_none(),
            RowChange::NewUser(change) => self.new_users.insert(change.id, change).is_none(),
            RowChange::Product(change) => self.products.insert(change.id, change).is_none(),
            RowChange::Sale(change) => self.sales.insert(change.id, change).is_none(),
            RowChange::Order(change) => self.orders.insert(change.id, change).is_none(),
        }
    }

    pub fn user(&self, row: &mut UserRow) {
        let Some(change) = self.users.get(&row.id) else {
            return;
        };
        set(&mut row.username, change.username.as_ref());
        set(&mut row.email, change.email.as_ref());
        if change.full_name.is_some() {
            row.full_name.clone_from(&change.full_name);
        }
        if let Some(role) = change.role {
            role.to_sql().clone_into(&mut row.role);
        }
    }

    pub fn product(&self, row: &mut ProductRow) {
        if let Some(change) = self.products.get(&row.id) {
            set(&mut row.sku, change.sku.as_ref());
            set(&mut row.name, change.name.as_ref());
            set(&mut row.price_cents, change.price_cents.as_ref());
        }
    }

    pub fn sale(&self, row: &mut SaleRow) {
        if let Some(change) = self.sales.get(&row.id) {
            set(&mut row.start_time, change.start_time.as_ref());
            set(&mut row.end_time, change.end_time.as_ref());
            set(&mut row.initial_stock, change.initial_stock.as_ref());
        }
    }

    /// Applies the change of an order. False if the order is not to be imported.
    pub fn order(&self, id: i64, row: &mut OrderRow) -> bool {
        let Some(change) = self.orders.get(&id) else {
            return true;
        };
        set(&mut row.product_id, change.product_id.as_ref());
        set(&mut row.attempt_id, change.order_uuid.as_ref());
        !change.skip
    }
}

impl NewUserRowChange {
    /// The account's row, with a password hash that matches no password.
    #[must_use]
    pub fn row(&self, created_at: DateTime<Utc>) -> UserRow {
        UserRow {
            id: self.id,
            username: self.username.clone(),
            email: self.email.clone(),
            password_hash: "-".to_owned(),
            full_name: None,
            role: "user".to_owned(),
            created_at,
            disabled_at: None,
            tokens_valid_from: None,
            external_identity: None,
        }
    }
}

fn set<T: Clone>(field: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Changes, ChangesError> {
        Changes::read(text.as_bytes())
    }

    #[test]
    fn every_written_change_is_read_back() {
        let lines = [
            r#"{"user":{"id":8,"username":"joe-8"}}"#,
            r#"{"user":{"id":9,"email":"a@b.c","fullName":"A","role":"admin"}}"#,
            r#"{"newUser":{"id":99,"username":"user-99","email":"user-99@invalid"}}"#,
            r#"{"product":{"id":1,"priceCents":990}}"#,
            r#"{"sale":{"id":3,"endTime":"2026-01-01T12:00:00Z","initialStock":5}}"#,
            r#"{"order":{"id":4,"productId":2}}"#,
            r#"{"order":{"id":5,"skip":true}}"#,
        ];
        for line in lines {
            let change: RowChange = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&change).unwrap(), line);
        }
        let changes = read(&format!("\n{}\n\n", lines.join("\n"))).unwrap();
        assert_eq!((changes.users.len(), changes.orders.len()), (2, 2));
    }

    #[test]
    fn an_invalid_line_is_refused_with_its_number() {
        for wrong in [
            "x",
            "{}",
            r#"{"user":{"username":"joe"}}"#,
            r#"{"user":{"id":"8"}}"#,
            r#"{"user":{"id":8,"name":"joe"}}"#,
            r#"{"user":{"id":8,"role":"owner"}}"#,
            r#"{"account":{"id":8}}"#,
            r#"{"sale":{"id":3,"endTime":"noon"}}"#,
        ] {
            let refused = read(&format!("\n{wrong}\n")).unwrap_err().to_string();
            assert!(refused.starts_with("line 2 is not"), "{wrong}: {refused}");
        }
        let twice = "{\"user\":{\"id\":8,\"email\":\"a\"}}\n{\"user\":{\"id\":8}}";
        assert!(matches!(read(twice), Err(ChangesError::Twice { line: 2 })));
    }

    #[test]
    fn a_change_applies_to_its_row_and_to_the_fields_that_it_sets() {
        let changes = read(r#"{"user":{"id":8,"username":"joe-8"}}"#).unwrap();
        let account = |id| {
            let new = NewUserRowChange {
                id,
                username: "Joe".to_owned(),
                email: "joe@example.com".to_owned(),
            };
            let mut row = new.row(DateTime::UNIX_EPOCH);
            changes.user(&mut row);
            (row.username, row.email)
        };
        let email = "joe@example.com".to_owned();
        assert_eq!(account(8), ("joe-8".to_owned(), email.clone()));
        assert_eq!(account(9), ("Joe".to_owned(), email));
    }
}
