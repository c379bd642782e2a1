//! Demo data: accounts, products and one sale. The ledgers' `seed` modules write it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::SaleConfig;

/// An account whose password is public.
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
    /// A path on the API's server, where the pages' pictures are.
    pub image_url: &'static str,
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
        image_url: "assets/latest/shop/pictures/smartphone.svg",
        price_cents: 99_900,
    },
    Product {
        sku: "FLASH-002",
        name: "Wireless Headphones",
        description: "Noise-cancelling headphones with a long-lasting battery",
        image_url: "assets/latest/shop/pictures/headphones.svg",
        price_cents: 19_900,
    },
    Product {
        sku: "FLASH-003",
        name: "Smart Watch",
        description: "Fitness tracking and notifications on the wrist",
        image_url: "assets/latest/shop/pictures/watch.svg",
        price_cents: 29_900,
    },
];

/// Why the configured sale cannot be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSale {
    #[error("the sale would end before it starts (FLASH_SALE_START_TIME, FLASH_SALE_END_TIME)")]
    Window,
    #[error("a sale has {} units at most (FLASH_SALE_TOTAL_STOCK)", i32::MAX)]
    Stock,
}

/// The sale to create, unless its product has a conflicting one.
#[derive(Debug, Clone)]
pub struct DemoSale {
    pub sku: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub stock: i32,
    /// A sale of the product conflicts if it ends after `start` and starts before this time. With a configured window these
    /// are the sales that overlap it, otherwise all running and future sales.
    pub clear_until: DateTime<Utc>,
}

/// The result of seeding one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeded {
    /// A name of the row for people: `user admin`, `product FLASH-001`, `sale 1 of FLASH-001`.
    pub what: String,
    /// False if the row existed already.
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
    /// The configured sale. By default it starts now, and ends 24 hours after its start.
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
            // About 100 years, to cover all future sales.
            clear_until: if is_configured {
                end
            } else {
                start + TimeDelta::days(36_500)
            },
        })
    }

    /// The result if this sale or a conflicting one exists already, under the given id.
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
