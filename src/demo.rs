//! Demo data: accounts, products and one sale, to try things out with. It is made through the ports through which operators make
//! theirs, with entries in the action log. What is there already stays as it is.

mod data;
mod sale;

use std::{collections::BTreeMap, fmt::Display};

use chrono::{DateTime, Utc};

pub use self::{
    data::{ACCOUNTS, Account, PRODUCTS, Product},
    sale::InvalidSale,
};

use self::sale::{DemoSale, Room};
use crate::{
    auth::note_account,
    config::SaleConfig,
    ids::{ProductId, SaleId},
    port::{
        AccountStore, ActionEntry, ActionName, Actor, AdminError, Administration, LedgerError,
        Listed, NewUser, Registration, SaleChange, SaleRecord,
    },
    sale::forms::Invalid,
};

/// Products or sales that are read at once.
const PAGE: u32 = 500;
/// The reason in the action log.
const REASON: &str = "Demo data";
/// Entries of the action log that are more than making demo data leaves.
const MANY_ACTIONS: u32 = 50;

/// Why the demo data was not made, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("no product has the SKU \"{0}\" (FLASH_SALE_PRODUCT_ID)")]
    UnknownProduct(String),
    #[error(transparent)]
    Sale(#[from] InvalidSale),
    #[error("hashing a password: {0}")]
    Hash(String),
    #[error(transparent)]
    Product(#[from] Invalid),
    #[error("making demo data: {0}")]
    Change(#[from] AdminError),
    #[error("making demo data: {0}")]
    Ledger(#[from] LedgerError),
}

/// One account, product or sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeded {
    /// For people: `user admin`, `product FLASH-001`, `sale 1 of FLASH-001`.
    pub what: String,
    pub state: Seeding,
}

/// What became of a part of the demo data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeding {
    Made,
    /// It was there already.
    There,
    /// A sale that would be over at once is not made: nobody could buy, and operators cannot make one either.
    LeftOut,
}

impl Seeding {
    fn made_if(is_made: bool) -> Self {
        if is_made { Self::Made } else { Self::There }
    }
}

/// Makes the demo data.
pub struct DemoData<'a> {
    pub accounts: &'a dyn AccountStore,
    pub admin: &'a dyn Administration,
    /// Who makes it, for the action log: the user of the operating system, if known.
    pub by: Option<&'a str>,
    pub now: DateTime<Utc>,
}

impl DemoData<'_> {
    /// True if the ledger is empty, or has nothing but demo data that an earlier run did not complete.
    pub async fn is_missing(&self) -> Result<bool, LedgerError> {
        let actions = self.admin.actions(None, None, MANY_ACTIONS).await?;
        if actions.is_empty() {
            let accounts = self.accounts.list_accounts(Listed::All, None, 1).await?;
            let products = self.admin.products(None, 1).await?;
            let sales = self.admin.sale_records(None, None, 1).await?;
            return Ok(accounts.is_empty() && products.is_empty() && sales.is_empty());
        }
        // The sale is published last.
        let is_first_part = |name| name != ActionName::PublishSale;
        Ok(actions
            .iter()
            .all(|action| action.reason == REASON && is_first_part(action.name)))
    }

    /// Makes what is missing. Nothing is made if the sale's settings are not valid; a sale that is over is left out. `hash` returns the
    /// PHC string of a password; it is called only for accounts that are missing.
    pub async fn make<E: Display>(
        &self,
        sale: &SaleConfig,
        hash: &(dyn Fn(&str) -> Result<String, E> + Sync),
    ) -> Result<Vec<Seeded>, DemoError> {
        let sale = DemoSale::of(sale, self.now)?;
        let known = self.known_products(&sale.sku).await?;
        let is_demo = PRODUCTS.iter().any(|product| product.sku == sale.sku);
        if !is_demo && !known.contains_key(&sale.sku) {
            return Err(DemoError::UnknownProduct(sale.sku));
        }
        // Products come first, since each is one transaction with its entry in the action log. An account and its entry are two: a
        // start that is killed between them, with an empty log, would leave accounts that no later start takes for demo data.
        let mut products = Vec::new();
        for product in &PRODUCTS {
            let is_there = known.contains_key(product.sku);
            products.push(Seeded {
                what: format!("product {}", product.sku),
                state: Seeding::made_if(!is_there && self.make_product(product).await?),
            });
        }
        let mut report = Vec::new();
        for account in &ACCOUNTS {
            report.push(Seeded {
                what: format!("user {}", account.username),
                state: Seeding::made_if(self.make_account(account, hash).await?),
            });
        }
        report.extend(products);
        report.push(self.make_sale(&sale).await?);
        Ok(report)
    }

    /// False if it is there.
    async fn make_account<E: Display>(
        &self,
        account: &Account,
        hash: &(dyn Fn(&str) -> Result<String, E> + Sync),
    ) -> Result<bool, DemoError> {
        let (username, email) = (account.username, account.email);
        let is_there = self.admin.find_user(username).await?.is_some()
            || self.accounts.account_of_email(email).await?.is_some();
        if is_there {
            return Ok(false);
        }
        let hash = hash(account.password).map_err(|error| DemoError::Hash(error.to_string()))?;
        let user = NewUser {
            username: username.to_owned(),
            email: email.to_owned(),
            password_hash: hash,
            full_name: None,
        };
        let id = match self.accounts.add_account(&user, account.role, 0).await? {
            Registration::Registered(id) => id,
            // By another process, since it was looked for.
            Registration::UsernameTaken | Registration::EmailTaken => return Ok(false),
        };
        if let Some(made) = self.accounts.account(id).await? {
            let name = ActionName::CreateUser;
            note_account(self.admin, name, None, &made, &self.entry()).await?;
        }
        Ok(true)
    }

    /// False if it is there.
    async fn make_product(&self, product: &Product) -> Result<bool, DemoError> {
        match self
            .admin
            .create_product(&product.form()?, &self.entry())
            .await
        {
            Ok(_) => Ok(true),
            // By another process, since it was looked for.
            Err(AdminError::SkuTaken) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn make_sale(&self, sale: &DemoSale) -> Result<Seeded, DemoError> {
        let products = self.known_products(&sale.sku).await?;
        let product = products.get(&sale.sku);
        let product = *product.ok_or_else(|| DemoError::UnknownProduct(sale.sku.clone()))?;
        let there = |id: SaleId| Seeded {
            what: format!("sale {id} of {}", sale.sku),
            state: Seeding::There,
        };
        let draft = match sale.room(&self.sales_of(product).await?, self.now) {
            Room::Taken(id) => return Ok(there(id)),
            _ if sale.has_ended(self.now) => {
                let settings = "FLASH_SALE_START_TIME, FLASH_SALE_END_TIME";
                return Ok(Seeded {
                    what: format!(
                        "sale of {}, which would be over already ({settings})",
                        sale.sku
                    ),
                    state: Seeding::LeftOut,
                });
            }
            Room::Draft(id) => id,
            Room::Free => {
                let draft = sale.draft(product);
                self.admin.create_sale(&draft, &self.entry()).await?.id
            }
        };
        let change = async |change| {
            let entry = self.entry();
            self.admin
                .change_sale(draft, &change, self.now, &entry)
                .await
        };
        match change(SaleChange::Publish).await {
            Ok(published) => Ok(made(sale, &published.after)),
            // Another process makes the demo data at the same time.
            Err(AdminError::Overlaps { other }) => {
                change(SaleChange::Cancel).await?;
                Ok(there(other))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The demo products that are there, and the one with this SKU. Reads all products.
    async fn known_products(&self, sku: &str) -> Result<BTreeMap<String, ProductId>, LedgerError> {
        let is_wanted =
            |known: &str| known == sku || PRODUCTS.iter().any(|product| product.sku == known);
        let (mut found, mut after) = (BTreeMap::new(), None);
        loop {
            let page = self.admin.products(after, PAGE).await?;
            after = page.last().map(|product| product.id);
            let is_last = page.len() < PAGE as usize;
            let wanted = page
                .into_iter()
                .filter(|product| is_wanted(&product.fields.sku));
            found.extend(wanted.map(|product| (product.fields.sku, product.id)));
            if is_last {
                return Ok(found);
            }
        }
    }

    async fn sales_of(&self, product: ProductId) -> Result<Vec<SaleRecord>, LedgerError> {
        let (mut sales, mut before) = (Vec::new(), None);
        loop {
            let page = self.admin.sale_records(Some(product), before, PAGE).await?;
            before = page.last().map(|sale| sale.id);
            let is_last = page.len() < PAGE as usize;
            sales.extend(page);
            if is_last {
                return Ok(sales);
            }
        }
    }

    fn entry(&self) -> ActionEntry {
        ActionEntry {
            actor: Actor {
                name: format!("cli:{}", self.by.unwrap_or("seed")),
                role: "cli".to_owned(),
                address: None,
            },
            reason: REASON.to_owned(),
            key: None,
        }
    }
}

fn made(sale: &DemoSale, record: &SaleRecord) -> Seeded {
    let (start, end) = (record.window.start, record.window.end);
    let window = format!("{} to {}", start.format("%FT%TZ"), end.format("%FT%TZ"));
    let (id, units) = (record.id, record.initial_stock);
    Seeded {
        what: format!("sale {id} of {}, {units} units, {window}", sale.sku),
        state: Seeding::Made,
    }
}
