//! A database of the original service as the source of an import: it is recognised, surveyed, and read as the lines that an
//! export of it would have. Nothing is written to it: all reads are in one snapshot of a read-only transaction.

mod read;
mod recognise;
mod snapshot;

pub(super) use recognise::is_original;
pub use snapshot::{Original, OriginalError};

use std::collections::{BTreeMap, BTreeSet};

use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use tokio::sync::mpsc;
use uuid::Uuid;

use self::read::{Accounts, derived};
use super::{Prepared, import::Fed};
use crate::engine::transfer::{Line, Sealer, changes::Changes, survey::Survey};

/// Orders of accounts that do not exist.
const WITHOUT_ACCOUNT: &str = "
    SELECT o.id::bigint AS id, o.user_id::bigint AS user_id FROM orders o
    WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = o.user_id) ORDER BY o.user_id, o.id";

const OF_ANOTHER_PRODUCT: &str = "
    SELECT o.id::bigint AS id, o.product_id::bigint AS product_id, s.product_id::bigint AS of_sale
    FROM orders o JOIN flash_sales s ON s.id = o.sale_id WHERE o.product_id <> s.product_id ORDER BY o.id";

/// Orders with the same UUID as an order with a lower id.
const UUID_TWICE: &str = "
    SELECT id::bigint AS id, order_uuid FROM (
        SELECT id, order_uuid, row_number() OVER (PARTITION BY order_uuid ORDER BY id) AS place
        FROM orders WHERE order_uuid IS NOT NULL) numbered
    WHERE place > 1 ORDER BY id";

/// The existing ones of the given orders.
const EXISTING: &str = "SELECT id::bigint AS id FROM orders WHERE id = ANY(?)";

const SOLD: &str = "
    SELECT sale_id::bigint AS id, count(*) AS orders FROM orders WHERE status::text = 'SUCCESS' GROUP BY sale_id";

/// Numbers of orders that hold no unit.
const WITHOUT_UNIT: &str = "
    SELECT (SELECT count(*) FROM orders WHERE status::text = 'PENDING') AS pending,
        (SELECT count(*) FROM orders WHERE status::text = 'FAILED') AS failed";

/// The result of a survey.
pub struct Found {
    /// The rows that our schema would refuse, one text for each problem.
    pub problems: Vec<String>,
    /// The operator's changes, and further ones that would solve the problems.
    pub proposals: Changes,
    /// Number of PENDING orders. They are imported without a unit.
    pub pending: i64,
    /// Number of FAILED orders. They are imported without a unit.
    pub failed: i64,
    /// Number of accounts to which no login is possible, because no password can be compared with their stored hash.
    pub without_login: u64,
    /// Number of SUCCESS orders of each sale, without those that the changes skip.
    pub sold: BTreeMap<i64, i64>,
}

impl Original {
    /// Checks every row, with these changes applied. `is_comparable` tells whether passwords can be compared with a stored hash.
    pub async fn survey(
        &mut self,
        changes: &Changes,
        is_comparable: fn(&str) -> bool,
    ) -> Result<Found, OriginalError> {
        let mut survey = Survey::new(changes);
        let mut unused = UnusedChanges::new(changes);
        let (mut without_login, mut made) = (0, BTreeSet::new());
        self.begin_pass().await?;
        let mut accounts = Accounts::new(changes);
        while let Some(users) = accounts.next(self).await? {
            for row in users {
                unused.users.remove(&row.id);
                if changes.new_users.contains_key(&row.id) && !made.insert(row.id) {
                    survey.exists_already(row.id);
                }
                without_login += u64::from(!is_comparable(&row.password_hash));
                survey.user(&row);
            }
        }
        for row in self.products(changes).await? {
            unused.products.remove(&row.id);
            survey.product(&row);
        }
        let sold = self.sold(changes).await?;
        for row in self.sales(changes).await? {
            unused.sales.remove(&row.id);
            let sold = sold.get(&row.id).copied().unwrap_or_default();
            survey.sale(row, sold);
        }
        self.survey_orders(changes, &mut survey).await?;
        for id in unused.users {
            survey.idle_change("user", id);
        }
        for id in unused.products {
            survey.idle_change("product", id);
        }
        for id in unused.sales {
            survey.idle_change("sale", id);
        }
        let without_unit: WithoutUnitRow = Prepared::new(WITHOUT_UNIT)
            .get_result(&mut self.session)
            .await?;
        let (problems, proposals) = survey.end();
        Ok(Found {
            problems,
            proposals,
            pending: without_unit.pending,
            failed: without_unit.failed,
            without_login,
            sold,
        })
    }

    /// Checks that the account of each order exists, that its product is that of its sale, and that its UUID is unique.
    async fn survey_orders(
        &mut self,
        changes: &Changes,
        survey: &mut Survey,
    ) -> Result<(), OriginalError> {
        let mut unused: BTreeSet<i64> = changes.orders.keys().copied().collect();
        let existing: Vec<IdRow> = Prepared::new(EXISTING)
            .bind::<Array<BigInt>, _>(Vec::from_iter(unused.clone()))
            .load(&mut self.session)
            .await?;
        for row in existing {
            unused.remove(&row.id);
        }
        for id in unused {
            survey.idle_change("order", id);
        }
        let is_skipped = |id: &i64| changes.orders.get(id).is_some_and(|change| change.skip);
        let rows: Vec<OrderUserRow> = Prepared::new(WITHOUT_ACCOUNT)
            .load(&mut self.session)
            .await?;
        let mut missing: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for row in rows.iter().filter(|row| !is_skipped(&row.id)) {
            if !changes.new_users.contains_key(&row.user_id) {
                missing.entry(row.user_id).or_default().push(row.id);
            }
        }
        for (user, orders) in missing {
            survey.missing_user(user, &orders);
        }
        let rows: Vec<OrderProductRow> = Prepared::new(OF_ANOTHER_PRODUCT)
            .load(&mut self.session)
            .await?;
        for row in rows.iter().filter(|row| !is_skipped(&row.id)) {
            let change = changes.orders.get(&row.id);
            if change.and_then(|change| change.product_id) != Some(row.of_sale) {
                survey.other_product(row.id, row.product_id, row.of_sale);
            }
        }
        let rows: Vec<OrderUuidRow> = Prepared::new(UUID_TWICE).load(&mut self.session).await?;
        for row in rows.iter().filter(|row| !is_skipped(&row.id)) {
            let change = changes.orders.get(&row.id);
            if change.and_then(|change| change.order_uuid).is_none() {
                survey.uuid_twice(row.id, row.order_uuid, derived(row.id));
            }
        }
        Ok(())
    }

    /// Number of SUCCESS orders of each sale, without those that the changes skip.
    async fn sold(&mut self, changes: &Changes) -> Result<BTreeMap<i64, i64>, OriginalError> {
        let rows: Vec<SoldRow> = Prepared::new(SOLD).load(&mut self.session).await?;
        let mut sold: BTreeMap<i64, i64> =
            rows.into_iter().map(|row| (row.id, row.orders)).collect();
        let skipped = changes.orders.values().filter(|change| change.skip);
        let skipped: BTreeSet<i64> = skipped.map(|change| change.id).collect();
        if !skipped.is_empty() {
            let all = Changes::default();
            self.begin_pass().await?;
            while let Some(orders) = self.next_orders(&all).await? {
                for (id, order) in orders {
                    if order.status == "SUCCESS" && skipped.contains(&id) {
                        *sold.entry(order.sale_id).or_default() -= 1;
                    }
                }
            }
        }
        Ok(sold)
    }

    /// Sends all rows with these changes, in the form of an export, until the end or until the receiver is dropped. `sold` is
    /// [`Found::sold`] of the survey with the same changes.
    pub async fn feed(
        mut self,
        changes: &Changes,
        sold: &BTreeMap<i64, i64>,
        rows: mpsc::Sender<Fed>,
    ) {
        let end = match self.feed_rows(changes, sold, &rows).await {
            Ok(sealer) => Fed::End(sealer.seals()),
            Err(error) => Fed::Broken(std::io::Error::other(error).into()),
        };
        // `send` fails only if the receiver is dropped: the import has ended.
        let _ = rows.send(end).await;
    }
}

/// The ids of changes for which no row was found yet.
struct UnusedChanges {
    users: BTreeSet<i64>,
    products: BTreeSet<i64>,
    sales: BTreeSet<i64>,
}

impl UnusedChanges {
    fn new(changes: &Changes) -> Self {
        Self {
            users: changes.users.keys().copied().collect(),
            products: changes.products.keys().copied().collect(),
            sales: changes.sales.keys().copied().collect(),
        }
    }
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct OrderUserRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
}

#[derive(QueryableByName)]
struct OrderProductRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    product_id: i64,
    #[diesel(sql_type = BigInt)]
    of_sale: i64,
}

#[derive(QueryableByName)]
struct OrderUuidRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = SqlUuid)]
    order_uuid: Uuid,
}

#[derive(QueryableByName)]
struct SoldRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    orders: i64,
}

#[derive(QueryableByName)]
struct WithoutUnitRow {
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = BigInt)]
    failed: i64,
}
