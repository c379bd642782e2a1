//! The action log: appending to it in the transaction of a change, and reading it.
//!
//! Writers lock the row of `admin_actions_head`, so that entries have one order. Every transaction takes its locks in the same
//! order: the idempotency key, the sale's row, this one. Settling never takes this one.

use chrono::{DateTime, SubsecRound, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::super::Prepared;
use crate::{
    engine::number::to_bigint,
    ids::SaleId,
    port::{Action, ActionEntry, ActionId, ActionLogCheck, Change, MovementId},
    rules::action_log::{self, ChainCheck, ErasedPerson, Hash, Head, StoredAction},
};

/// Number of entries that a check reads at a time.
const VERIFY_PAGE: u32 = 1_000;

const LOCK_HEAD: &str = "
    SELECT last_id, last_hash, clock_timestamp() AS now FROM admin_actions_head FOR UPDATE";

const MOVE_HEAD: &str = "UPDATE admin_actions_head SET last_id = ?, last_hash = ?";

const APPEND: &str = "
    INSERT INTO admin_actions
        (id, at, action, flash_sale_id, target, actor, role, address, reason, before, after, previous_hash, hash)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?::text::json, ?::text::json, ?, ?)";

/// Entries with all columns, by the rest of the statement.
macro_rules! entries {
    ($where:literal) => {
        concat!(
            "SELECT id, at, action, flash_sale_id, target, actor, role, address, reason, before::text AS before,
                after::text AS after, previous_hash, hash
            FROM admin_actions ",
            $where
        )
    };
}

const AFTER: &str = entries!("WHERE id > ? ORDER BY id LIMIT ?");

const BEFORE: &str = entries!("WHERE id < ? ORDER BY id DESC LIMIT ?");

const OF_SALE: &str = entries!("WHERE flash_sale_id = ? AND id < ? ORDER BY id DESC LIMIT ?");

const OF_MOVEMENT: &str =
    entries!("WHERE id = (SELECT action_id FROM stock_movements WHERE id = ?)");

/// Finds the entries that may contain data of a person: they are about the account, or contain one of two texts.
const ABOUT: &str = entries!(
    "WHERE target = ? OR strpos(lower(concat_ws(' ', reason, before::text, after::text)), lower(?)) > 0
        OR strpos(lower(concat_ws(' ', reason, before::text, after::text)), lower(?)) > 0 ORDER BY id LIMIT ?"
);

const HEAD: &str = "SELECT last_id, last_hash, clock_timestamp() AS now FROM admin_actions_head";

#[derive(QueryableByName)]
struct HeadRow {
    #[diesel(sql_type = BigInt)]
    last_id: i64,
    #[diesel(sql_type = Binary)]
    last_hash: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct ActionRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    flash_sale_id: Option<i64>,
    #[diesel(sql_type = Text)]
    target: String,
    #[diesel(sql_type = Text)]
    actor: String,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Nullable<Text>)]
    address: Option<String>,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Nullable<Text>)]
    before: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    after: Option<String>,
    #[diesel(sql_type = Binary)]
    previous_hash: Vec<u8>,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
}

impl ActionRow {
    fn stored(self) -> StoredAction {
        StoredAction {
            id: self.id,
            at: self.at,
            action: self.action,
            sale: self.flash_sale_id,
            target: self.target,
            actor: self.actor,
            role: self.role,
            address: self.address,
            reason: self.reason,
            before: self.before,
            after: self.after,
            previous_hash: self.previous_hash,
            hash: self.hash,
        }
    }
}

/// The end of the log, locked until the end of the transaction.
#[derive(Clone, Copy)]
pub(in super::super) struct LockedHead {
    head: Head,
    /// The time of the ledger's clock, with milliseconds.
    pub(super) now: DateTime<Utc>,
}

/// Locks the end of the log, so that other writers of the log wait. A transaction must take this lock after the lock on a sale's
/// row, never before it.
pub(in super::super) async fn lock(conn: &mut AsyncPgConnection) -> QueryResult<LockedHead> {
    let row: HeadRow = Prepared::new(LOCK_HEAD).get_result(conn).await?;
    let head = Head {
        id: row.last_id,
        hash: Hash::try_from(row.last_hash.as_slice()).unwrap_or_default(),
    };
    Ok(LockedHead {
        head,
        now: row.now.trunc_subsecs(3),
    })
}

/// Appends an entry. It must be called in the transaction of the change.
pub(in super::super) async fn append(
    conn: &mut AsyncPgConnection,
    locked: LockedHead,
    change: &Change,
    entry: &ActionEntry,
) -> QueryResult<ActionId> {
    let stored = action_log::next(&locked.head, locked.now, change, entry);
    Prepared::new(APPEND)
        .bind::<BigInt, _>(stored.id)
        .bind::<Timestamptz, _>(stored.at)
        .bind::<Text, _>(stored.action)
        .bind::<Nullable<BigInt>, _>(stored.sale)
        .bind::<Text, _>(stored.target)
        .bind::<Text, _>(stored.actor)
        .bind::<Text, _>(stored.role)
        .bind::<Nullable<Text>, _>(stored.address)
        .bind::<Text, _>(stored.reason)
        .bind::<Nullable<Text>, _>(stored.before)
        .bind::<Nullable<Text>, _>(stored.after)
        .bind::<Binary, _>(stored.previous_hash)
        .bind::<Binary, _>(stored.hash.clone())
        .execute(conn)
        .await?;
    Prepared::new(MOVE_HEAD)
        .bind::<BigInt, _>(stored.id)
        .bind::<Binary, _>(stored.hash)
        .execute(conn)
        .await?;
    Ok(ActionId(stored.id))
}

/// Entries with ids above `after`, in their order, at most `limit`.
async fn after(
    conn: &mut AsyncPgConnection,
    after: i64,
    limit: u32,
) -> QueryResult<Vec<StoredAction>> {
    let rows: Vec<ActionRow> = Prepared::new(AFTER)
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(ActionRow::stored).collect())
}

/// Entries with ids below `before`, the newest first, at most `limit`.
pub(super) async fn before(
    conn: &mut AsyncPgConnection,
    sale: Option<SaleId>,
    before: Option<ActionId>,
    limit: u32,
) -> QueryResult<Vec<Action>> {
    let before = before.map_or(i64::MAX, |id| id.0);
    let query = match sale {
        Some(sale) => Prepared::new(OF_SALE).bind::<BigInt, _>(sale.value()),
        None => Prepared::new(BEFORE),
    };
    let rows: Vec<ActionRow> = query
        .bind::<BigInt, _>(before)
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)
        .await?;
    let action = |row: ActionRow| row.stored().to_action();
    Ok(rows.into_iter().map(action).collect())
}

/// The entries that may contain data of a person, at most one more than an erasure may change. Reads the whole log.
pub(super) async fn about(
    conn: &mut AsyncPgConnection,
    person: &ErasedPerson,
) -> QueryResult<Vec<StoredAction>> {
    let [one, other] = person.searched();
    let limit = ErasedPerson::MOST_ENTRIES + 1;
    let rows: Vec<ActionRow> = Prepared::new(ABOUT)
        .bind::<Text, _>(person.target())
        .bind::<Nullable<Text>, _>(one)
        .bind::<Nullable<Text>, _>(other)
        .bind::<BigInt, _>(to_bigint(limit))
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(ActionRow::stored).collect())
}

/// Actor and reason of the entry that began a withdrawal.
pub(super) async fn of_movement(
    conn: &mut AsyncPgConnection,
    movement: MovementId,
) -> QueryResult<ActionEntry> {
    let row: ActionRow = Prepared::new(OF_MOVEMENT)
        .bind::<SqlUuid, _>(movement.0)
        .get_result(conn)
        .await?;
    let action = row.stored().to_action();
    Ok(ActionEntry {
        actor: action.actor,
        reason: action.reason,
        key: None,
    })
}

/// Checks the whole log. It must be called in a transaction that reads one snapshot.
pub(super) async fn verify(conn: &mut AsyncPgConnection) -> QueryResult<ActionLogCheck> {
    let mut check = ChainCheck::default();
    loop {
        let page = after(conn, check.entries(), VERIFY_PAGE).await?;
        if let Err(broken) = page.iter().try_for_each(|entry| check.check(entry)) {
            return Ok(check.report(Some(&broken)));
        }
        if page.len() < VERIFY_PAGE as usize {
            let head = head(conn).await?;
            return Ok(check.report(check.finish(head.as_ref()).err().as_ref()));
        }
    }
}

/// The end of the log as it is stored; `None` if it was removed or damaged by hand.
async fn head(conn: &mut AsyncPgConnection) -> QueryResult<Option<Head>> {
    let row: Option<HeadRow> = Prepared::new(HEAD).get_result(conn).await.optional()?;
    Ok(row.and_then(|row| {
        let hash = Hash::try_from(row.last_hash.as_slice()).ok()?;
        Some(Head {
            id: row.last_id,
            hash,
        })
    }))
}
