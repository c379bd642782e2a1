//! Reads the rows of the original's tables with the operator's changes, in the order and form of an export.

use std::{
    collections::{BTreeMap, btree_map::Values},
    iter::Peekable,
};

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    pg::Pg,
    sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Fed, Line, Original, OriginalError, Sealer};
use crate::engine::{
    postgres::Prepared,
    transfer::{
        OrderRow, ProductRow, SaleRow, UserRow,
        changes::{Changes, NewUserRowChange},
    },
};

/// The cursors are declared anew for each pass. `CLOSE ALL` closes those of the pass before.
const CURSORS: &str = "
    CLOSE ALL;
    DECLARE users_there NO SCROLL CURSOR FOR
        SELECT id::bigint AS id, username::text AS username, coalesce(email::text, '') AS email,
            coalesce(password_hash::text, '') AS password_hash, full_name::text AS full_name,
            coalesce(created_at, now()) AS created_at
        FROM users ORDER BY users.id;
    DECLARE orders_there NO SCROLL CURSOR FOR
        SELECT id::bigint AS id, order_uuid, sale_id::bigint AS sale_id, user_id::bigint AS user_id,
            product_id::bigint AS product_id, status::text AS status, coalesce(created_at, now()) AS created_at
        FROM orders ORDER BY orders.sale_id, orders.user_id";
const FETCH_USERS: &str = "FETCH 5000 FROM users_there";
const FETCH_ORDERS: &str = "FETCH 5000 FROM orders_there";

const PRODUCTS: &str = "
    SELECT id::bigint AS id, sku::text AS sku, name::text AS name, coalesce(description::text, '') AS description,
        coalesce(created_at, now()) AS created_at
    FROM products ORDER BY products.id";

const SALES: &str = "
    SELECT id::bigint AS id, product_id::bigint AS product_id, start_at AS start_time, end_at AS end_time,
        initial_stock::bigint AS initial_stock, coalesce(created_at, now()) AS created_at
    FROM flash_sales ORDER BY flash_sales.id";

/// Namespace of the UUIDs that are derived for orders without one.
const ORDER_IDS: Uuid = Uuid::from_u128(0x0d1f_6a52_8a0e_4f0e_8a31_53b6_51c9_44e7);

/// The receiver of the rows was dropped.
struct Gone;

impl Original {
    /// Starts a pass: the next reads begin with the first rows.
    pub(super) async fn begin_pass(&mut self) -> Result<(), OriginalError> {
        Ok(self.session.batch_execute(CURSORS).await?)
    }

    /// The next orders that the changes do not skip, each with its id in the original; `None` after the last.
    pub(super) async fn next_orders(
        &mut self,
        changes: &Changes,
    ) -> Result<Option<Vec<(i64, OrderRow)>>, OriginalError> {
        let rows: Vec<Order> = self.load(FETCH_ORDERS).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut orders = Vec::with_capacity(rows.len());
        for row in rows {
            let (id, mut order) = (row.id, OrderRow::from(row));
            if changes.order(id, &mut order) {
                orders.push((id, order));
            }
        }
        Ok(Some(orders))
    }

    pub(super) async fn products(
        &mut self,
        changes: &Changes,
    ) -> Result<Vec<ProductRow>, OriginalError> {
        let rows: Vec<Product> = self.load(PRODUCTS).await?;
        let mut products: Vec<_> = rows.into_iter().map(ProductRow::from).collect();
        for product in &mut products {
            changes.product(product);
        }
        Ok(products)
    }

    /// All sales. The remaining units are the initial ones.
    pub(super) async fn sales(&mut self, changes: &Changes) -> Result<Vec<SaleRow>, OriginalError> {
        let rows: Vec<Sale> = self.load(SALES).await?;
        let mut sales: Vec<_> = rows.into_iter().map(SaleRow::from).collect();
        for sale in &mut sales {
            changes.sale(sale);
            sale.remaining_stock = sale.initial_stock;
        }
        Ok(sales)
    }

    /// Sends all rows in the order of an export. Returns the sealer of the sent rows.
    pub(super) async fn feed_rows(
        &mut self,
        changes: &Changes,
        sold: &BTreeMap<i64, i64>,
        rows: &mpsc::Sender<Fed>,
    ) -> Result<Sealer, OriginalError> {
        let mut sealer = Sealer::default();
        match self.feed_all(changes, sold, rows, &mut sealer).await {
            Ok(Ok(()) | Err(Gone)) => Ok(sealer),
            Err(error) => Err(error),
        }
    }

    async fn feed_all(
        &mut self,
        changes: &Changes,
        sold: &BTreeMap<i64, i64>,
        rows: &mpsc::Sender<Fed>,
        sealer: &mut Sealer,
    ) -> Result<Result<(), Gone>, OriginalError> {
        self.begin_pass().await?;
        let mut accounts = Accounts::new(changes);
        while let Some(users) = accounts.next(self).await? {
            if pass_on(users.into_iter().map(Line::User), rows, sealer).await? == Err(()) {
                return Ok(Err(Gone));
            }
        }
        let products = self.products(changes).await?;
        if pass_on(products.into_iter().map(Line::Product), rows, sealer).await? == Err(()) {
            return Ok(Err(Gone));
        }
        let mut sales = self.sales(changes).await?;
        for sale in &mut sales {
            sale.remaining_stock -= sold.get(&sale.id).copied().unwrap_or_default();
        }
        if pass_on(sales.into_iter().map(Line::Sale), rows, sealer).await? == Err(()) {
            return Ok(Err(Gone));
        }
        while let Some(orders) = self.next_orders(changes).await? {
            let orders = orders.into_iter().map(|(_, order)| Line::Order(order));
            if pass_on(orders, rows, sealer).await? == Err(()) {
                return Ok(Err(Gone));
            }
        }
        Ok(Ok(()))
    }

    async fn load<R>(&mut self, query: &'static str) -> Result<Vec<R>, OriginalError>
    where
        R: QueryableByName<Pg> + Send + 'static,
    {
        Ok(Prepared::new(query).load(&mut self.session).await?)
    }
}

/// The UUID of an order that has none. It is the same at every read.
pub(super) fn derived(order: i64) -> Uuid {
    Uuid::new_v5(&ORDER_IDS, order.to_string().as_bytes())
}

/// Sends lines. `Err(())`: the receiver was dropped.
async fn pass_on(
    lines: impl Iterator<Item = Line>,
    rows: &mpsc::Sender<Fed>,
    sealer: &mut Sealer,
) -> Result<Result<(), ()>, OriginalError> {
    for line in lines {
        sealer.add(&line)?;
        if rows.send(Fed::Row(line)).await.is_err() {
            return Ok(Err(()));
        }
    }
    Ok(Ok(()))
}

/// Reads accounts in the order of their ids: those of the table, and those that the changes add.
pub(super) struct Accounts<'c> {
    changes: &'c Changes,
    added: Peekable<Values<'c, i64, NewUserRowChange>>,
    is_over: bool,
}

impl<'c> Accounts<'c> {
    pub(super) fn new(changes: &'c Changes) -> Self {
        Self {
            changes,
            added: changes.new_users.values().peekable(),
            is_over: false,
        }
    }

    /// The next accounts; `None` after the last.
    pub(super) async fn next(
        &mut self,
        original: &mut Original,
    ) -> Result<Option<Vec<UserRow>>, OriginalError> {
        if self.is_over {
            return Ok(None);
        }
        let rows: Vec<User> = original.load(FETCH_USERS).await?;
        self.is_over = rows.is_empty();
        let mut users = Vec::with_capacity(rows.len());
        for row in rows {
            let mut user = UserRow::from(row);
            while let Some(new) = self.added.next_if(|new| new.id <= user.id) {
                users.push(self.row(new, original.now));
            }
            self.changes.user(&mut user);
            users.push(user);
        }
        while self.is_over
            && let Some(new) = self.added.next()
        {
            users.push(self.row(new, original.now));
        }
        Ok(Some(users))
    }

    /// The row of an added account. Changes apply to it as well: a clash with it may have been found after it was proposed.
    fn row(&self, new: &NewUserRowChange, now: DateTime<Utc>) -> UserRow {
        let mut user = new.row(now);
        self.changes.user(&mut user);
        user
    }
}

#[derive(QueryableByName)]
struct User {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Text)]
    email: String,
    #[diesel(sql_type = Text)]
    password_hash: String,
    #[diesel(sql_type = Nullable<Text>)]
    full_name: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct Product {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    sku: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    description: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct Sale {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = Timestamptz)]
    start_time: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    end_time: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    initial_stock: i64,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
#[allow(clippy::struct_field_names)] // its columns
struct Order {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    order_uuid: Option<Uuid>,
    #[diesel(sql_type = BigInt)]
    sale_id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl From<User> for UserRow {
    fn from(row: User) -> Self {
        Self {
            id: row.id,
            username: row.username,
            email: row.email,
            password_hash: row.password_hash,
            full_name: row.full_name,
            // The original has no roles.
            role: "user".to_owned(),
            created_at: row.created_at,
            disabled_at: None,
            tokens_valid_from: None,
            external_identity: None,
        }
    }
}

impl From<Product> for ProductRow {
    fn from(row: Product) -> Self {
        Self {
            id: row.id,
            sku: row.sku,
            name: row.name,
            description: row.description,
            image_url: None,
            // The original has no prices.
            price_cents: 0,
            currency: "USD".to_owned(),
            prior_price_cents: None,
            created_at: row.created_at,
        }
    }
}

impl From<Sale> for SaleRow {
    fn from(row: Sale) -> Self {
        Self {
            id: row.id,
            product_id: row.product_id,
            start_time: row.start_time,
            end_time: row.end_time,
            initial_stock: row.initial_stock,
            remaining_stock: row.initial_stock,
            state: "LIVE".to_owned(),
            never_live: false,
            paused_at: None,
            note: String::new(),
            created_at: row.created_at,
        }
    }
}

impl From<Order> for OrderRow {
    /// The UUID of the order becomes the id of its attempt, and remains the id of the order.
    fn from(row: Order) -> Self {
        Self {
            sale_id: row.sale_id,
            user_id: row.user_id,
            product_id: row.product_id,
            status: row.status,
            attempt_id: row.order_uuid.unwrap_or_else(|| derived(row.id)),
            created_at: row.created_at,
        }
    }
}
