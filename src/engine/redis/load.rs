//! How a sale comes to be open: begun, filled from the ledger, opened; and how it is closed or forgotten.

use std::time::Duration;

use chrono::{DateTime, Utc};
use fred::prelude::Value;

use super::{
    connection::Connection,
    keys::{CALL_SIZE, sale_keys, shopper_args, time_arg},
    reply,
    scripts::SCRIPTS,
};
use crate::{
    ids::SaleId,
    port::{GateError, Holder, LoadToken, SaleWindow},
};

/// How long an abandoned load stays, in milliseconds. Counted from its last sign of life, so any load is shorter.
const ABANDONED_MS: i64 = 60 * 60 * 1_000;

pub(super) async fn begin(
    connection: &Connection,
    sale: SaleId,
    token: LoadToken,
    lease: Duration,
) -> Result<bool, GateError> {
    let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    let args = vec![token_arg(token), lease_ms.into(), ABANDONED_MS.into()];
    reply::yes(
        &connection
            .run(&SCRIPTS.begin_load, sale_keys(sale), args)
            .await?,
    )
}

pub(super) async fn add_holders(
    connection: &Connection,
    sale: SaleId,
    token: LoadToken,
    holders: &[Holder],
) -> Result<bool, GateError> {
    // Asks even when there is nobody to add: the answer is about the load.
    let first = holders.get(..CALL_SIZE).unwrap_or(holders);
    let rest = holders
        .get(CALL_SIZE..)
        .unwrap_or_default()
        .chunks(CALL_SIZE);
    for part in std::iter::once(first).chain(rest) {
        let args = shopper_args(vec![token_arg(token), ABANDONED_MS.into()], part);
        if !reply::yes(
            &connection
                .run(&SCRIPTS.load_holders, sale_keys(sale), args)
                .await?,
        )? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) async fn open(
    connection: &Connection,
    sale: SaleId,
    token: LoadToken,
    window: SaleWindow,
    remaining: u64,
    expires: DateTime<Utc>,
) -> Result<bool, GateError> {
    let remaining = i64::try_from(remaining)
        .map_err(|_| GateError::Unknown("more units than fit".to_owned()))?;
    let mut args = vec![token_arg(token), remaining.into()];
    args.extend(window_args(window, expires));
    reply::yes(
        &connection
            .run(&SCRIPTS.initialize_stock, sale_keys(sale), args)
            .await?,
    )
}

pub(super) async fn set_window(
    connection: &Connection,
    sale: SaleId,
    window: SaleWindow,
    expires: DateTime<Utc>,
) -> Result<(), GateError> {
    let args = window_args(window, expires).to_vec();
    connection
        .run(&SCRIPTS.set_window, sale_keys(sale), args)
        .await
        .map(drop)
}

pub(super) async fn close_if_restarted(
    connection: &Connection,
    sale: SaleId,
) -> Result<bool, GateError> {
    reply::yes(
        &connection
            .run(&SCRIPTS.close_if_restarted, sale_keys(sale), Vec::new())
            .await?,
    )
}

pub(super) async fn unload(connection: &Connection, sale: SaleId) -> Result<bool, GateError> {
    reply::yes(
        &connection
            .run(&SCRIPTS.unload_sale, sale_keys(sale), Vec::new())
            .await?,
    )
}

fn token_arg(token: LoadToken) -> Value {
    token.0.to_string().into()
}

fn window_args(window: SaleWindow, expires: DateTime<Utc>) -> [Value; 3] {
    [
        time_arg(window.start),
        time_arg(window.end),
        time_arg(expires),
    ]
}
