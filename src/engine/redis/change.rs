//! What operators change of an open sale: its terms, and units that leave it.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fred::prelude::Value;
use uuid::Uuid;

use super::{
    RedisGate,
    connection::Connection,
    keys::time_arg,
    reply::{self, unexpected},
    scripts::SCRIPTS,
};
use crate::{
    ids::SaleId,
    port::{
        GateError, MovementId, MovementMode, SaleSwitch, SaleTerms, SaleTermsControl, TermsOutcome,
        WithdrawOutcome,
    },
};

/// Movements that one call clears: a fraction of a millisecond of the server.
const CLOSED_AT_MOST: usize = 1_000;

#[async_trait]
impl SaleTermsControl for RedisGate {
    async fn set_terms(
        &self,
        sale: SaleId,
        terms: SaleTerms,
        closed: &[MovementId],
        expires: DateTime<Utc>,
    ) -> Result<TermsOutcome, GateError> {
        set_terms(&self.connection, sale, terms, closed, expires).await
    }

    async fn withdraw(
        &self,
        sale: SaleId,
        movement: MovementId,
        units: u32,
        mode: MovementMode,
        seen: u64,
    ) -> Result<WithdrawOutcome, GateError> {
        withdraw(&self.connection, sale, movement, units, mode, seen).await
    }
}

pub(super) async fn set_terms(
    connection: &Connection,
    sale: SaleId,
    terms: SaleTerms,
    closed: &[MovementId],
    expires: DateTime<Utc>,
) -> Result<TermsOutcome, GateError> {
    let mut args = connection.args();
    args.extend(terms_args(terms, expires)?);
    args.extend(
        closed
            .iter()
            .take(CLOSED_AT_MOST)
            .copied()
            .map(movement_arg),
    );
    let answer = connection.run_on(&SCRIPTS.set_terms, sale, args).await?;
    match reply::list(answer)?.as_slice() {
        [] => Ok(TermsOutcome::NotOpen),
        [are_equal, version] => {
            let version = reply::count(version)?;
            let others = TermsOutcome::OthersInForce { version };
            reply::either(are_equal, TermsOutcome::InForce, others)
        }
        _ => Err(unexpected("not terms")),
    }
}

pub(super) async fn withdraw(
    connection: &Connection,
    sale: SaleId,
    movement: MovementId,
    wanted: u32,
    mode: MovementMode,
    seen: u64,
) -> Result<WithdrawOutcome, GateError> {
    let may_be_fewer = i64::from(mode == MovementMode::UpTo);
    let mut args = connection.args();
    args.extend([
        movement_arg(movement),
        wanted.into(),
        may_be_fewer.into(),
        units(seen)?,
    ]);
    let answer = connection.run_on(&SCRIPTS.withdraw, sale, args).await?;
    match reply::number(&answer)? {
        -1 => Ok(WithdrawOutcome::NotOpen),
        -2 => Ok(WithdrawOutcome::Outdated),
        units => u32::try_from(units)
            .map(WithdrawOutcome::Withdrawn)
            .map_err(|_| unexpected("not a number of units")),
    }
}

/// The arguments of terms, as `set_terms.lua` and `initialize_stock.lua` take them.
pub(super) fn terms_args(
    terms: SaleTerms,
    expires: DateTime<Utc>,
) -> Result<[Value; 6], GateError> {
    Ok([
        units(terms.version)?,
        units(terms.total)?,
        time_arg(terms.window.start),
        time_arg(terms.window.end),
        time_arg(expires),
        format_switch(terms.switch).into(),
    ])
}

pub(super) fn units(count: u64) -> Result<Value, GateError> {
    i64::try_from(count)
        .map(Value::from)
        .map_err(|_| GateError::Unknown("more units than fit".to_owned()))
}

/// 32 hex digits.
pub(super) fn movement_arg(movement: MovementId) -> Value {
    movement.0.simple().to_string().into()
}

pub(super) fn parse_movement(value: &Value) -> Result<MovementId, GateError> {
    Uuid::try_parse(reply::text(value)?)
        .map(MovementId)
        .map_err(|_| unexpected("not a movement"))
}

pub(super) fn parse_switch(value: &Value) -> Result<SaleSwitch, GateError> {
    match reply::text(value)? {
        "on" => Ok(SaleSwitch::On),
        "paused" => Ok(SaleSwitch::Paused),
        "cancelled" => Ok(SaleSwitch::Cancelled),
        _ => Err(unexpected("an unknown switch")),
    }
}

fn format_switch(switch: SaleSwitch) -> &'static str {
    match switch {
        SaleSwitch::On => "on",
        SaleSwitch::Paused => "paused",
        SaleSwitch::Cancelled => "cancelled",
    }
}
