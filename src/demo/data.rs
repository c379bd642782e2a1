//! The demo accounts and products.

use crate::{
    port::{NewProduct, Role},
    sale::forms::{Invalid, ProductForm},
};

/// An account whose password is public.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    pub username: &'static str,
    pub email: &'static str,
    pub password: &'static str,
    pub role: Role,
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
        role: Role::Admin,
    },
    Account {
        username: "user1",
        email: "user1@example.com",
        password: "password123",
        role: Role::User,
    },
    Account {
        username: "user2",
        email: "user2@example.com",
        password: "password123",
        role: Role::User,
    },
    Account {
        username: "user3",
        email: "user3@example.com",
        password: "password123",
        role: Role::User,
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

impl Product {
    /// The product as operators send it, checked as theirs are.
    pub(super) fn form(&self) -> Result<NewProduct, Invalid> {
        NewProduct::try_from(ProductForm {
            sku: Some(self.sku.to_owned()),
            name: Some(self.name.to_owned()),
            description: Some(self.description.to_owned()),
            image_url: Some(self.image_url.to_owned()),
            price_cents: Some(self.price_cents),
            currency: Some("USD".to_owned()),
            prior_price_cents: None,
            reason: None,
        })
    }
}
