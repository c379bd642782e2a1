//! Finds all rows of another service that the database would refuse, and proposes a change that solves each problem. The caller
//! applies the operator's changes to the rows first. No I/O.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{
    ProductRow, SaleRow, UserRow,
    changes::{Changes, NewUserRowChange, OrderRowChange},
    name_owners::NameOwners,
};
use crate::account_key::AccountKey;

/// Widths of the database columns, in characters.
const USERNAME_CHARS: usize = 255;
const EMAIL_CHARS: usize = 255;
const FULL_NAME_CHARS: usize = 255;
const SKU_CHARS: usize = 100;
const PRODUCT_NAME_CHARS: usize = 255;
/// Largest number of units of a sale: the column is an INTEGER.
const MAX_UNITS: i64 = i32::MAX as i64;

/// Checks rows, kind by kind, and collects their problems.
pub struct Survey {
    problems: Vec<String>,
    /// The operator's changes, with those added that would solve the problems.
    proposals: Changes,
    usernames: NameCheck,
    emails: NameCheck,
    sales: Vec<SaleRow>,
}

/// The names of one kind that accounts have.
struct NameCheck {
    kind: &'static str,
    owners: NameOwners,
    /// Accounts whose name another account owns, with that name.
    clashing: Vec<(i64, String)>,
}

impl Survey {
    /// Starts with the operator's changes, to which proposals are added.
    #[must_use]
    pub fn new(changes: &Changes) -> Self {
        let names = |kind| NameCheck {
            kind,
            owners: NameOwners::default(),
            clashing: Vec::new(),
        };
        Self {
            problems: Vec::new(),
            proposals: changes.clone(),
            usernames: names("username"),
            emails: names("email"),
            sales: Vec::new(),
        }
    }

    pub fn user(&mut self, row: &UserRow) {
        let id = row.id;
        self.check_id("user", id);
        let of = |what: String| format!("user {id}: {what}");
        if AccountKey::of(&row.username).as_str().is_empty() {
            self.problems.push(of("the username is empty".to_owned()));
            self.change_user(id).username = Some(format!("user-{id}"));
        } else if let Some(short) = shortened(&row.username, USERNAME_CHARS) {
            self.problems.push(of(too_long("username", USERNAME_CHARS)));
            self.change_user(id).username = Some(format!("{short}-{id}"));
        } else if let Some(clash) = self.usernames.add(id, &row.username) {
            self.problems.push(clash);
        }
        if row.email.is_empty() {
            self.problems.push(of("the email is empty".to_owned()));
            self.change_user(id).email = Some(format!("user-{id}@invalid"));
        } else if shortened(&row.email, EMAIL_CHARS).is_some() {
            self.problems.push(of(too_long("email", EMAIL_CHARS)));
            self.change_user(id).email = Some(format!("user-{id}@invalid"));
        } else if let Some(clash) = self.emails.add(id, &row.email) {
            self.problems.push(clash);
        }
        let full_name = row.full_name.as_deref().unwrap_or_default();
        if let Some(short) = shortened(full_name, FULL_NAME_CHARS) {
            self.problems
                .push(of(too_long("fullName", FULL_NAME_CHARS)));
            self.change_user(id).full_name = Some(short);
        }
    }

    /// Reports an account that these orders name and that does not exist.
    pub fn missing_user(&mut self, id: i64, orders: &[i64]) {
        let (word, named) = (
            if orders.len() == 1 { "order" } else { "orders" },
            listed(orders),
        );
        self.problems
            .push(format!("{word} {named}: user {id} does not exist"));
        if id < 1 {
            for order in orders {
                self.change_order(*order).skip = true;
            }
            return;
        }
        self.proposals.new_users.insert(
            id,
            NewUserRowChange {
                id,
                username: format!("user-{id}"),
                email: format!("user-{id}@invalid"),
            },
        );
    }

    pub fn product(&mut self, row: &ProductRow) {
        let id = row.id;
        self.check_id("product", id);
        if let Some(short) = shortened(&row.sku, SKU_CHARS) {
            let what = too_long("sku", SKU_CHARS);
            self.problems.push(format!("product {id}: {what}"));
            let change = self.proposals.products.entry(id).or_default();
            (change.id, change.sku) = (id, Some(format!("{short}-{id}")));
        }
        if let Some(short) = shortened(&row.name, PRODUCT_NAME_CHARS) {
            let what = too_long("name", PRODUCT_NAME_CHARS);
            self.problems.push(format!("product {id}: {what}"));
            let change = self.proposals.products.entry(id).or_default();
            (change.id, change.name) = (id, Some(short));
        }
        if row.price_cents < 0 {
            self.problems
                .push(format!("product {id}: priceCents is below 0"));
        }
    }

    /// Checks a sale, which has `sold` SUCCESS orders.
    pub fn sale(&mut self, row: SaleRow, sold: i64) {
        let id = row.id;
        self.check_id("sale", id);
        if row.initial_stock > MAX_UNITS {
            self.problems.push(format!(
                "sale {id}: {} units are more than {MAX_UNITS}",
                row.initial_stock
            ));
            self.change_sale(id).initial_stock = Some(MAX_UNITS);
        } else if sold > row.initial_stock {
            self.problems.push(format!(
                "sale {id}: {sold} SUCCESS orders of {} units: it was oversold",
                row.initial_stock
            ));
            self.change_sale(id).initial_stock = Some(sold);
        }
        self.sales.push(row);
    }

    /// Reports an order that names another product than its sale.
    pub fn other_product(&mut self, order: i64, product: i64, of_sale: i64) {
        self.problems.push(format!(
            "order {order}: it names product {product}, and its sale product {of_sale}"
        ));
        self.change_order(order).product_id = Some(of_sale);
    }

    /// Reports an order with the UUID of an earlier one; `instead` is the proposed UUID.
    pub fn uuid_twice(&mut self, order: i64, uuid: uuid::Uuid, instead: uuid::Uuid) {
        self.problems.push(format!(
            "order {order}: its order_uuid {uuid} is that of another order"
        ));
        self.change_order(order).order_uuid = Some(instead);
    }

    /// Reports a new account in the changes whose id an existing account has.
    pub fn exists_already(&mut self, id: i64) {
        self.problems
            .push(format!("the changes make user {id}, who exists"));
    }

    /// Reports a change of a row that does not exist.
    pub fn idle_change(&mut self, what: &str, id: i64) {
        self.problems.push(format!(
            "the changes name {what} {id}, which does not exist"
        ));
    }

    /// All problems, and the changes that would solve them.
    #[must_use]
    pub fn end(mut self) -> (Vec<String>, Changes) {
        for (id, name) in std::mem::take(&mut self.usernames.clashing) {
            let free = (0..).map(|n| match n {
                0 => format!("{name}-{id}"),
                n => format!("{name}-{id}-{n}"),
            });
            let free = self.usernames.first_free(id, free);
            self.change_user(id).username = free;
        }
        for (id, email) in std::mem::take(&mut self.emails.clashing) {
            let (name, host) = email.rsplit_once('@').unwrap_or((&email, "invalid"));
            let free = (0..).map(|n| match n {
                0 => format!("{name}+{id}@{host}"),
                n => format!("{name}+{id}-{n}@{host}"),
            });
            let free = self.emails.first_free(id, free);
            self.change_user(id).email = free;
        }
        self.windows();
        (self.problems, self.proposals)
    }

    /// Checks that every sale ends after its start, and not after the start of the next sale of its product.
    fn windows(&mut self) {
        let mut by_product: BTreeMap<i64, Vec<SaleRow>> = BTreeMap::new();
        for sale in std::mem::take(&mut self.sales) {
            by_product.entry(sale.product_id).or_default().push(sale);
        }
        for sales in by_product.values_mut() {
            for sale in sales.iter_mut() {
                if sale.end_time <= sale.start_time {
                    self.problems.push(format!(
                        "sale {}: it ends at {} and starts at {}",
                        sale.id,
                        time(sale.end_time),
                        time(sale.start_time)
                    ));
                    sale.end_time = sale.start_time + TimeDelta::seconds(1);
                    self.change_sale(sale.id).end_time = Some(sale.end_time);
                }
            }
            sales.sort_by_key(|sale| (sale.start_time, sale.id));
            let mut before: Option<&mut SaleRow> = None;
            for sale in sales {
                if let Some(before) = before.as_deref_mut()
                    && before.end_time > sale.start_time
                {
                    self.problems.push(format!(
                        "sales {} and {} of product {}: the one ends at {}, and the other starts at {}",
                        before.id,
                        sale.id,
                        sale.product_id,
                        time(before.end_time),
                        time(sale.start_time)
                    ));
                    if before.start_time < sale.start_time {
                        before.end_time = sale.start_time;
                        self.change_sale(before.id).end_time = Some(before.end_time);
                    } else {
                        sale.start_time = before.end_time;
                        sale.end_time = sale.end_time.max(sale.start_time + TimeDelta::seconds(1));
                        let (start, end) = (sale.start_time, sale.end_time);
                        let change = self.change_sale(sale.id);
                        (change.start_time, change.end_time) = (Some(start), Some(end));
                    }
                }
                before = Some(sale);
            }
        }
    }

    fn check_id(&mut self, what: &str, id: i64) {
        if id < 1 {
            self.problems
                .push(format!("{what} {id}: an id must be 1 or more"));
        }
    }

    fn change_user(&mut self, id: i64) -> &mut super::changes::UserRowChange {
        let change = self.proposals.users.entry(id).or_default();
        change.id = id;
        change
    }

    fn change_sale(&mut self, id: i64) -> &mut super::changes::SaleRowChange {
        let change = self.proposals.sales.entry(id).or_default();
        change.id = id;
        change
    }

    fn change_order(&mut self, id: i64) -> &mut OrderRowChange {
        let change = self.proposals.orders.entry(id).or_default();
        change.id = id;
        change
    }
}

impl NameCheck {
    /// Adds a name of an account. Returns the problem if another account has the name already.
    fn add(&mut self, id: i64, name: &str) -> Option<String> {
        let (owner, owner_name) = self.owners.take(id, name).err()?;
        self.clashing.push((id, name.to_owned()));
        let kind = self.kind;
        Some(format!(
            "user {id}: the {kind} {name:?} is that of user {owner}, {owner_name:?}"
        ))
    }

    /// Assigns the first of these names that is free to the account.
    fn first_free(&mut self, id: i64, names: impl Iterator<Item = String>) -> Option<String> {
        // The names differ, so one more of them than there are owned names contains a free one.
        let tries = self.owners.len() + 1;
        names
            .take(tries)
            .find(|name| self.owners.take(id, name).is_ok())
    }
}

/// The start of a text that is too long for its column, 21 characters shorter than the column so that `-` and an id can follow.
/// `None` if the text fits.
fn shortened(text: &str, most: usize) -> Option<String> {
    let is_too_long = text.chars().nth(most).is_some();
    is_too_long.then(|| text.chars().take(most - 21).collect())
}

fn too_long(what: &str, most: usize) -> String {
    format!("the {what} has more than {most} characters")
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The first ten ids, and the number of the others.
fn listed(ids: &[i64]) -> String {
    let first: Vec<String> = ids.iter().take(10).map(ToString::to_string).collect();
    let more = ids.len() - first.len();
    let more = (more > 0).then(|| format!(" and {more} more"));
    first.join(", ") + &more.unwrap_or_default()
}

#[cfg(test)]
mod tests;
