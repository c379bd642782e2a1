//! The action log: appending to it with a change, and reading it. The file has one writer, so entries have one order.

use chrono::{DateTime, Utc};
use diesel::{
    SqliteConnection,
    prelude::*,
    sql_types::{BigInt, Binary, Nullable, Text},
};

use super::super::{
    Prepared,
    values::{millis, time},
};
use crate::{
    engine::number::to_bigint,
    ids::SaleId,
    port::{Action, ActionEntry, ActionId, ActionLogCheck, Change, MovementId},
    rules::action_log::{self, ChainCheck, ErasedPerson, Hash, Head, StoredAction},
};

/// Number of entries that a check reads at a time.
const VERIFY_PAGE: u32 = 1_000;

const HEAD: &str = "SELECT last_id, last_hash FROM admin_actions_head";

const MOVE_HEAD: &str = "UPDATE admin_actions_head SET last_id = ?, last_hash = ?";

const APPEND: &str = "
    INSERT INTO admin_actions
        (id, at, action, flash_sale_id, target, actor, role, address, reason, before, after, previous_hash, hash)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const AFTER: &str = "SELECT * FROM admin_actions WHERE id > ? ORDER BY id LIMIT ?";

const BEFORE: &str = "SELECT * FROM admin_actions WHERE id < ? ORDER BY id DESC LIMIT ?";

const OF_SALE: &str =
    "SELECT * FROM admin_actions WHERE flash_sale_id = ? AND id < ? ORDER BY id DESC LIMIT ?";

/// Finds the entries that may contain data of a person: they are about the account, or contain one of two texts.
const ABOUT: &str = "
    SELECT * FROM admin_actions WHERE target = ?
        OR instr(lower(reason || ' ' || coalesce(before, '') || ' ' || coalesce(after, '')), lower(?)) > 0
        OR instr(lower(reason || ' ' || coalesce(before, '') || ' ' || coalesce(after, '')), lower(?)) > 0
    ORDER BY id LIMIT ?";

const OF_MOVEMENT: &str =
    "SELECT * FROM admin_actions WHERE id = (SELECT action_id FROM stock_movements WHERE id = ?)";

#[derive(QueryableByName)]
struct HeadRow {
    #[diesel(sql_type = BigInt)]
    last_id: i64,
    #[diesel(sql_type = Binary)]
    last_hash: Vec<u8>,
}

#[derive(QueryableByName)]
struct ActionRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    at: i64,
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
            at: time(self.at),
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

/// Appends an entry, in the piece of work that makes the change.
pub(in super::super) fn append(
    conn: &mut SqliteConnection,
    now: DateTime<Utc>,
    change: &Change,
    entry: &ActionEntry,
) -> QueryResult<ActionId> {
    let row: HeadRow = Prepared::new(HEAD).get_result(conn)?;
    let head = Head {
        id: row.last_id,
        hash: Hash::try_from(row.last_hash.as_slice()).unwrap_or_default(),
    };
    let stored = action_log::next(&head, now, change, entry);
    Prepared::new(APPEND)
        .bind::<BigInt, _>(stored.id)
        .bind::<BigInt, _>(millis(stored.at))
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
        .execute(conn)?;
    Prepared::new(MOVE_HEAD)
        .bind::<BigInt, _>(stored.id)
        .bind::<Binary, _>(stored.hash)
        .execute(conn)?;
    Ok(ActionId(stored.id))
}

/// Entries with ids above `after`, in their order, at most `limit`.
fn after(conn: &mut SqliteConnection, after: i64, limit: u32) -> QueryResult<Vec<StoredAction>> {
    let rows: Vec<ActionRow> = Prepared::new(AFTER)
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(i64::from(limit))
        .load(conn)?;
    Ok(rows.into_iter().map(ActionRow::stored).collect())
}

/// Entries with ids below `before`, the newest first, at most `limit`.
pub(super) fn before(
    conn: &mut SqliteConnection,
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
        .load(conn)?;
    let action = |row: ActionRow| row.stored().to_action();
    Ok(rows.into_iter().map(action).collect())
}

/// The entries that may contain data of a person, at most one more than an erasure may change. Reads the whole log.
pub(super) fn about(
    conn: &mut SqliteConnection,
    person: &ErasedPerson,
) -> QueryResult<Vec<StoredAction>> {
    let [one, other] = person.searched();
    let limit = ErasedPerson::MOST_ENTRIES + 1;
    let rows: Vec<ActionRow> = Prepared::new(ABOUT)
        .bind::<Text, _>(person.target())
        .bind::<Nullable<Text>, _>(one)
        .bind::<Nullable<Text>, _>(other)
        .bind::<BigInt, _>(to_bigint(limit))
        .load(conn)?;
    Ok(rows.into_iter().map(ActionRow::stored).collect())
}

/// Actor and reason of the entry that began a withdrawal.
pub(super) fn of_movement(
    conn: &mut SqliteConnection,
    movement: MovementId,
) -> QueryResult<ActionEntry> {
    let row: ActionRow = Prepared::new(OF_MOVEMENT)
        .bind::<Binary, _>(movement.0.as_bytes().to_vec())
        .get_result(conn)?;
    let action = row.stored().to_action();
    Ok(ActionEntry {
        actor: action.actor,
        reason: action.reason,
        key: None,
    })
}

/// Checks the whole log.
pub(in super::super) fn verify(conn: &mut SqliteConnection) -> QueryResult<ActionLogCheck> {
    let mut check = ChainCheck::default();
    loop {
        let page = after(conn, check.entries(), VERIFY_PAGE)?;
        if let Err(broken) = page.iter().try_for_each(|entry| check.check(entry)) {
            return Ok(check.report(Some(&broken)));
        }
        if page.len() < VERIFY_PAGE as usize {
            let head = head(conn)?;
            return Ok(check.report(check.finish(head.as_ref()).err().as_ref()));
        }
    }
}

/// The end of the log as it is stored; `None` if it was removed or damaged by hand.
fn head(conn: &mut SqliteConnection) -> QueryResult<Option<Head>> {
    let row: Option<HeadRow> = Prepared::new(HEAD).get_result(conn).optional()?;
    Ok(row.and_then(|row| {
        let hash = Hash::try_from(row.last_hash.as_slice()).ok()?;
        Some(Head {
            id: row.last_id,
            hash,
        })
    }))
}
