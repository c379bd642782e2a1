//! Loads a sale: begins the load, adds the holders from the ledger, and opens the sale. Also closes and unloads sales. Changes
//! of an open sale by operators are in `change`.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fred::prelude::Value;

use super::{
    RedisGate,
    change::{movement_arg, terms_args, units},
    connection::Connection,
    keys::{CALL_SIZE, shopper_args},
    reply,
    scripts::SCRIPTS,
};
use crate::{
    ids::SaleId,
    port::{
        CloseReason, CloseRequest, GateError, Holder, LoadStart, LoadStep, LoadToken, Movement,
        SaleLoading, SaleTerms, UnloadOutcome,
    },
    telemetry::metric,
};

/// Time from the last step of an abandoned load until its keys expire, in milliseconds. The keys of a closed sale that lost
/// `meta` expire after the same time.
const ABANDONED_MS: i64 = 60 * 60 * 1_000;
/// Number of holders that one call of `relist` examines: about 1 ms of the server's time.
const RELIST_PAGE: i64 = 1_000;

#[async_trait]
impl SaleLoading for RedisGate {
    async fn close(
        &self,
        sale: SaleId,
        request: CloseRequest,
    ) -> Result<Option<CloseReason>, GateError> {
        close(&self.connection, sale, request).await
    }

    async fn relist(&self, sale: SaleId) -> Result<u64, GateError> {
        relist(&self.connection, sale).await
    }

    async fn begin_load(
        &self,
        sale: SaleId,
        token: LoadToken,
        lease: Duration,
    ) -> Result<LoadStart, GateError> {
        begin(&self.connection, sale, token, lease).await
    }

    async fn load_holders(
        &self,
        sale: SaleId,
        token: LoadToken,
        holders: &[Holder],
    ) -> Result<LoadStep, GateError> {
        add_holders(&self.connection, sale, token, holders).await
    }

    async fn open(
        &self,
        sale: SaleId,
        token: LoadToken,
        terms: SaleTerms,
        remaining: u64,
        movements: &[Movement],
        expires: DateTime<Utc>,
    ) -> Result<LoadStep, GateError> {
        let connection = &self.connection;
        open(
            connection, sale, token, terms, remaining, movements, expires,
        )
        .await
    }

    async fn unload(&self, sale: SaleId) -> Result<UnloadOutcome, GateError> {
        unload(&self.connection, sale).await
    }
}

pub(super) async fn begin(
    connection: &Connection,
    sale: SaleId,
    token: LoadToken,
    lease: Duration,
) -> Result<LoadStart, GateError> {
    let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    let mut args = connection.args();
    args.extend([token_arg(token), lease_ms.into(), ABANDONED_MS.into()]);
    let answer = connection.run_on(&SCRIPTS.begin_load, sale, args).await?;
    if answer.is_integer() {
        return reply::either(&answer, LoadStart::Begun, LoadStart::OpenOrLoading);
    }
    let ledger = reply::text(&answer)?;
    metrics::counter!(metric::GATE_FOREIGN_SALES).increment(1);
    tracing::warn!(
        %sale,
        ledger,
        "Redis had this sale of another database, which is replaced. If that shop still sells, give each a Redis of its own \
         (REDIS_HOST): on one they take the sale from each other"
    );
    Ok(LoadStart::Begun)
}

pub(super) async fn add_holders(
    connection: &Connection,
    sale: SaleId,
    token: LoadToken,
    holders: &[Holder],
) -> Result<LoadStep, GateError> {
    // The script is also called without holders, because its answer says whether the load is still the current one.
    let first = holders.get(..CALL_SIZE).unwrap_or(holders);
    let rest = holders
        .get(CALL_SIZE..)
        .unwrap_or_default()
        .chunks(CALL_SIZE);
    for part in std::iter::once(first).chain(rest) {
        let mut head = connection.args();
        head.extend([token_arg(token), ABANDONED_MS.into()]);
        let args = shopper_args(head, part);
        if !reply::yes(&connection.run_on(&SCRIPTS.load_holders, sale, args).await?)? {
            return Ok(LoadStep::Superseded);
        }
    }
    Ok(LoadStep::Applied)
}

pub(super) async fn open(
    connection: &Connection,
    sale: SaleId,
    token: LoadToken,
    terms: SaleTerms,
    remaining: u64,
    movements: &[Movement],
    expires: DateTime<Utc>,
) -> Result<LoadStep, GateError> {
    let mut args = connection.args();
    args.extend([token_arg(token), units(remaining)?]);
    args.extend(terms_args(terms, expires)?);
    for movement in movements {
        args.extend([movement_arg(movement.id), movement.requested.into()]);
    }
    let answer = connection
        .run_on(&SCRIPTS.initialize_stock, sale, args)
        .await?;
    reply::either(&answer, LoadStep::Applied, LoadStep::Superseded)
}

pub(super) async fn close(
    connection: &Connection,
    sale: SaleId,
    request: CloseRequest,
) -> Result<Option<CloseReason>, GateError> {
    let mut args = connection.args();
    let unconditional = request == CloseRequest::Unconditional;
    args.extend([ABANDONED_MS.into(), i64::from(unconditional).into()]);
    let why = connection.run_on(&SCRIPTS.close_sale, sale, args).await?;
    if why.is_null() {
        return Ok(None);
    }
    Ok(Some(match reply::text(&why)? {
        "restarted" => CloseReason::Restarted,
        "stock" => CloseReason::StockLost,
        "pending" => CloseReason::PendingLost,
        "meta" => CloseReason::MetaLost,
        "balance" => CloseReason::OffBalance,
        "told" => CloseReason::Requested,
        _ => return Err(reply::unexpected("an unknown contradiction")),
    }))
}

/// Adds the pending holders that are missing from `pending` to it, page by page. Returns their number.
pub(super) async fn relist(connection: &Connection, sale: SaleId) -> Result<u64, GateError> {
    let mut listed = 0;
    loop {
        let mut args = connection.args();
        args.push(RELIST_PAGE.into());
        let answer = reply::list(
            connection
                .run_on(&SCRIPTS.relist_pending, sale, args)
                .await?,
        )?;
        let [more, found] = answer.as_slice() else {
            return Err(reply::unexpected("not a page"));
        };
        listed += reply::count(found)?;
        if !reply::yes(more)? {
            return Ok(listed);
        }
    }
}

pub(super) async fn unload(
    connection: &Connection,
    sale: SaleId,
) -> Result<UnloadOutcome, GateError> {
    let answer = connection
        .run_on(&SCRIPTS.unload_sale, sale, connection.args())
        .await?;
    reply::either(
        &answer,
        UnloadOutcome::Unloaded,
        UnloadOutcome::AttemptsPending,
    )
}

fn token_arg(token: LoadToken) -> Value {
    token.0.to_string().into()
}
