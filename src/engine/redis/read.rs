//! Reads the state of a sale, without changing it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fred::{prelude::Value, types::scripts::Script};

use super::{
    RedisGate,
    change::{parse_movement, parse_switch},
    connection::Connection,
    hold::parse_user,
    keys::{holders_key, meta_key, parse_attempt},
    reply::{self, unexpected},
    results,
    scripts::SCRIPTS,
};
use crate::{
    ids::{ProductId, SaleId, UserId},
    port::{
        GateAudit, GateError, GateReads, GateStatus, HeldUnit, MovementId, PurchaseResult,
        SaleWindow, Standing,
    },
};

/// Number of holders in a page, which takes less than 1 ms of the server's time.
const PAGE: i64 = 500;

#[async_trait]
impl GateReads for RedisGate {
    async fn status(&self, sale: SaleId) -> Result<GateStatus, GateError> {
        status(&self.connection, sale).await
    }

    async fn holders(&self, sale: SaleId) -> Result<Vec<UserId>, GateError> {
        holders(&self.connection, sale).await
    }
}

#[async_trait]
impl GateAudit for RedisGate {
    async fn held_units(&self, sale: SaleId) -> Result<Vec<HeldUnit>, GateError> {
        held_units(&self.connection, sale).await
    }

    async fn stored_results(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<Option<PurchaseResult>>, GateError> {
        results::stored(&self.connection, self.ledger.tag(), sale, product, users).await
    }
}

pub(super) async fn status(connection: &Connection, sale: SaleId) -> Result<GateStatus, GateError> {
    let answer = reply::list(
        connection
            .run_on(&SCRIPTS.sale_status, sale, connection.args())
            .await?,
    )?;
    match answer.as_slice() {
        [] => Ok(GateStatus::Unknown),
        [pending] => Ok(GateStatus::Closed {
            pending: reply::count(pending)?,
        }),
        [
            pending,
            available,
            start,
            end,
            holders_epoch,
            holders,
            version,
            total,
            mark,
            switch,
            movements @ ..,
        ] => Ok(GateStatus::Open {
            window: SaleWindow {
                start: reply::time(start)?,
                end: reply::time(end)?,
            },
            switch: parse_switch(switch)?,
            available: reply::number(available)?,
            pending: reply::count(pending)?,
            holders: reply::count(holders)?,
            holders_epoch: reply::count(holders_epoch)?,
            version: reply::count(version)?,
            total: reply::number(total)?,
            complete: reply::yes(mark)?,
            withdrawn: parse_withdrawn(movements)?,
        }),
        _ => Err(unexpected("not a status")),
    }
}

/// In the order of ids. A scan may meet a field twice.
fn parse_withdrawn(pairs: &[Value]) -> Result<Vec<(MovementId, u64)>, GateError> {
    let mut withdrawn = BTreeMap::new();
    for pair in pairs.chunks(2) {
        let [movement, units] = pair else {
            return Err(unexpected("a movement cut short"));
        };
        withdrawn.insert(parse_movement(movement)?, reply::count(units)?);
    }
    Ok(withdrawn.into_iter().collect())
}

/// The server's clock. It is read by a script, since the connection only runs scripts and reads keys. The key is never written;
/// on a cluster it selects the master that is asked.
pub(super) async fn now(connection: &Connection) -> Result<DateTime<Utc>, GateError> {
    let key = vec!["flashsale:clock".into()];
    let millis = connection
        .run(&SCRIPTS.server_time, key, Vec::new())
        .await?;
    reply::time(&millis)
}

pub(super) async fn holders(
    connection: &Connection,
    sale: SaleId,
) -> Result<Vec<UserId>, GateError> {
    let mut users = Vec::new();
    let found = scan(connection, &SCRIPTS.list_holders, sale).await?;
    for user in &found {
        users.push(parse_user(user)?);
    }
    // HSCAN may return a holder twice while the server resizes the hash.
    users.sort_unstable();
    users.dedup();
    Ok(users)
}

pub(super) async fn held_units(
    connection: &Connection,
    sale: SaleId,
) -> Result<Vec<HeldUnit>, GateError> {
    let found = scan(connection, &SCRIPTS.list_held_units, sale).await?;
    let mut held_units = BTreeMap::new();
    for pair in found.chunks(2) {
        let [user, held] = pair else {
            return Err(unexpected("a held unit cut short"));
        };
        let held_unit = parse_held_unit(user, held)?;
        held_units.insert(held_unit.user, held_unit);
    }
    Ok(held_units.into_values().collect())
}

/// The results of a paging script, from all pages. A holder may be in them twice.
async fn scan(
    connection: &Connection,
    script: &Script,
    sale: SaleId,
) -> Result<Vec<Value>, GateError> {
    let mut all = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let mut args = connection.args();
        args.extend([cursor.as_str().into(), PAGE.into()]);
        let keys = vec![holders_key(sale), meta_key(sale)];
        let page = connection.run(script, keys, args).await?;
        let mut page = reply::list(page)?.into_iter();
        let next = page.next().ok_or_else(|| unexpected("no cursor"))?;
        all.extend(page);
        reply::text(&next)?.clone_into(&mut cursor);
        if cursor == "0" {
            return Ok(all);
        }
    }
}

/// Parses a user id and a value of `holders`, whose format is in `keys`.
fn parse_held_unit(user: &Value, held: &Value) -> Result<HeldUnit, GateError> {
    let (state, attempt) = reply::bytes(held)?
        .split_first()
        .ok_or_else(|| unexpected("a holder without a state"))?;
    let standing = match state {
        b'p' | b'c' => Standing::Pending,
        b's' | b'l' => Standing::Success,
        _ => return Err(unexpected("an unknown state")),
    };
    Ok(HeldUnit {
        user: parse_user(user)?,
        attempt: parse_attempt(attempt).ok_or_else(|| unexpected("not an attempt id"))?,
        standing,
    })
}
