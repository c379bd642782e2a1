//! The data to try things out with: accounts, products and one sale. The ledgers' `seed` modules write it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::SaleConfig;

/// An account whose password is known to everybody.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    pub username: &'static str,
    pub email: &'static str,
    pub password: &'static str,
    pub role: &'static str,
}

/// A product.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    pub sku: &'static str,
    pub name: &'static str,
    pub description: &'static str,
    pub price_cents: i64,
}

pub const ACCOUNTS: [Account; 4] = [
    Account {
        username: "admin",
        email: "admin@example.com",
        password: "admin123",
        role: "admin",
    },
    Account {
        username: "user1",
        email: "user1@example.com",
        password: "password123",
        role: "user",
    },
    Account {
        username: "user2",
        email: "user2@example.com",
        password: "password123",
        role: "user",
    },
    Account {
        username: "user3",
        email: "user3@example.com",
        password: "password123",
        role: "user",
    },
];

pub const PRODUCTS: [Product; 3] = [
    Product {
        sku: "FLASH-001",
        name: "Premium Smartphone",
        description: "Latest model smartphone with advanced features",
        price_cents: 99_900,
    },
    Product {
        sku: "FLASH-002",
        name: "Wireless Headphones",
        description: "Noise-cancelling headphones with a long-lasting battery",
        price_cents: 19_900,
    },
    Product {
        sku: "FLASH-003",
        name: "Smart Watch",
        description: "Fitness tracking and notifications on the wrist",
        price_cents: 29_900,
    },
];

/// The configured sale cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSale {
    #[error("the sale would end before it starts (FLASH_SALE_START_TIME, FLASH_SALE_END_TIME)")]
    Window,
    #[error("a sale has {} units at most (FLASH_SALE_TOTAL_STOCK)", i32::MAX)]
    Stock,
}

/// The sale to make, unless its product has one in the way.
#[derive(Debug, Clone)]
pub struct DemoSale {
    pub sku: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub stock: i32,
    /// A sale of the product that ends after `start` and starts before this is in the way: one that overlaps or, when no
    /// window is configured, any that is running or to come.
    pub clear_until: DateTime<Utc>,
}

/// What was done about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeded {
    /// What it is, for people: `user admin`, `product FLASH-001`, `sale 1 of FLASH-001`.
    pub what: String,
    /// False if it was there already.
    pub created: bool,
}

impl Account {
    #[must_use]
    pub fn seeded(&self, created: bool) -> Seeded {
        Seeded {
            what: format!("user {}", self.username),
            created,
        }
    }
}

impl Product {
    #[must_use]
    pub fn seeded(&self, created: bool) -> Seeded {
        Seeded {
            what: format!("product {}", self.sku),
            created,
        }
    }
}

impl DemoSale {
    /// As it is configured; from now on for 24 hours if that says nothing.
    pub fn of(config: &SaleConfig, now: DateTime<Utc>) -> Result<Self, InvalidSale> {
        let start = config.start.unwrap_or(now);
        let end = config.end.unwrap_or(start + TimeDelta::hours(24));
        if end <= start {
            return Err(InvalidSale::Window);
        }
        let is_configured = config.start.is_some() || config.end.is_some();
        Ok(Self {
            sku: config.product_sku.clone(),
            start,
            end,
            stock: i32::try_from(config.total_stock).map_err(|_| InvalidSale::Stock)?,
            // A hundred years: all that is to come.
            clear_until: if is_configured {
                end
            } else {
                start + TimeDelta::days(36_500)
            },
        })
    }

    /// This sale (or one in its way) was there.
    #[must_use]
    pub fn there(&self, id: i64) -> Seeded {
        Seeded {
            what: format!("sale {id} of {}", self.sku),
            created: false,
        }
    }

    #[must_use]
    pub fn made(&self, id: i64) -> Seeded {
        let window = format!(
            "{} to {}",
            self.start.format("%FT%TZ"),
            self.end.format("%FT%TZ")
        );
        Seeded {
            what: format!("sale {id} of {}, {} units, {window}", self.sku, self.stock),
            created: true,
        }
    }
}
