//! Units and their holders: reserves and releases units, and lists and claims pending attempts.

use std::time::Duration;

use async_trait::async_trait;
use fred::prelude::Value;

use super::{
    RedisGate,
    connection::Connection,
    keys::{CALL_SIZE, attempt_arg, parse_attempt, shopper_args, user_arg},
    reply::{self, unexpected},
    scripts::SCRIPTS,
};
use crate::{
    ids::{SaleId, UserId},
    port::{
        ClaimOutcome, GateError, Holder, PendingAttempts, PendingEntry, ReleaseOutcome,
        Reservations, ReserveOutcome, Standing,
    },
};

/// Upper limit on the number of pending attempts that one call lists.
const MAX_OVERDUE: usize = 1_000;

#[async_trait]
impl Reservations for RedisGate {
    fn is_durable(&self) -> bool {
        true
    }

    async fn reserve(
        &self,
        sale: SaleId,
        asked: &[Holder],
    ) -> Result<Vec<ReserveOutcome>, GateError> {
        reserve(&self.connection, sale, asked).await
    }

    async fn release(&self, sale: SaleId, holder: Holder) -> Result<ReleaseOutcome, GateError> {
        release(&self.connection, sale, holder).await
    }
}

#[async_trait]
impl PendingAttempts for RedisGate {
    async fn overdue(
        &self,
        sale: SaleId,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, GateError> {
        overdue(&self.connection, sale, age, limit).await
    }

    async fn claim(
        &self,
        sale: SaleId,
        holders: &[Holder],
    ) -> Result<Vec<ClaimOutcome>, GateError> {
        claim(&self.connection, sale, holders).await
    }
}

pub(super) async fn reserve(
    connection: &Connection,
    sale: SaleId,
    asked: &[Holder],
) -> Result<Vec<ReserveOutcome>, GateError> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let args = shopper_args(connection.args(), asked);
    let answer = reply::list(
        connection
            .run_on(&SCRIPTS.attempt_purchase, sale, args)
            .await?,
    )?;
    let mut parts = answer.iter();
    let codes = parts
        .next()
        .ok_or_else(|| unexpected("no codes"))
        .and_then(reply::bytes)?;
    if codes.len() != asked.len() {
        return Err(unexpected("not one code a shopper"));
    }
    codes
        .iter()
        .map(|code| match code {
            b'R' => Ok(ReserveOutcome::Reserved),
            b'S' => Ok(ReserveOutcome::SoldOut),
            b'N' => Ok(ReserveOutcome::NotStarted),
            b'E' => Ok(ReserveOutcome::Ended),
            b'P' => Ok(ReserveOutcome::Paused),
            b'X' => Ok(ReserveOutcome::Closed),
            b'H' => parts
                .next()
                .ok_or_else(|| unexpected("no holder"))
                .and_then(already_held),
            _ => Err(unexpected("an unknown code")),
        })
        .collect()
}

fn already_held(value: &Value) -> Result<ReserveOutcome, GateError> {
    let (state, attempt) = reply::bytes(value)?
        .split_first()
        .ok_or_else(|| unexpected("an empty holder"))?;
    let standing = match state {
        b'p' | b'c' => Standing::Pending,
        b's' | b'l' => Standing::Success,
        _ => return Err(unexpected("an unknown state")),
    };
    let attempt = parse_attempt(attempt).ok_or_else(|| unexpected("not an attempt id"))?;
    Ok(ReserveOutcome::AlreadyHeld { attempt, standing })
}

pub(super) async fn release(
    connection: &Connection,
    sale: SaleId,
    holder: Holder,
) -> Result<ReleaseOutcome, GateError> {
    let mut args = connection.args();
    args.extend([user_arg(holder.user), attempt_arg(holder.attempt)]);
    let answer = connection
        .run_on(&SCRIPTS.restore_stock, sale, args)
        .await?;
    match reply::text(&answer)? {
        "R" => Ok(ReleaseOutcome::Released),
        "C" => Ok(ReleaseOutcome::Claimed),
        "N" => Ok(ReleaseOutcome::NotHeld),
        _ => Err(unexpected("an unknown code")),
    }
}

pub(super) async fn claim(
    connection: &Connection,
    sale: SaleId,
    holders: &[Holder],
) -> Result<Vec<ClaimOutcome>, GateError> {
    let mut claimed = Vec::with_capacity(holders.len());
    for part in holders.chunks(CALL_SIZE) {
        let args = shopper_args(connection.args(), part);
        let answer = connection
            .run_on(&SCRIPTS.claim_pending, sale, args)
            .await?;
        let codes = reply::bytes(&answer)?;
        if codes.len() != part.len() {
            return Err(unexpected("not one code a shopper"));
        }
        claimed.extend(codes.iter().map(|code| match code {
            b'1' => ClaimOutcome::Claimed,
            _ => ClaimOutcome::NotPending,
        }));
    }
    Ok(claimed)
}

pub(super) async fn overdue(
    connection: &Connection,
    sale: SaleId,
    age: Duration,
    limit: usize,
) -> Result<Vec<PendingEntry>, GateError> {
    let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit.min(MAX_OVERDUE)).unwrap_or(0);
    let mut args = connection.args();
    args.extend([age_ms.into(), limit.into()]);
    let answer = reply::list(connection.run_on(&SCRIPTS.overdue, sale, args).await?)?;
    answer
        .chunks_exact(3)
        .map(|entry| match entry {
            [user, attempt, since] => Ok(PendingEntry {
                user: parse_user(user)?,
                attempt: parse_attempt(reply::bytes(attempt)?)
                    .ok_or_else(|| unexpected("not an attempt id"))?,
                since: reply::time(since)?,
            }),
            _ => Err(unexpected("an entry cut short")),
        })
        .collect()
}

pub(super) fn parse_user(value: &Value) -> Result<UserId, GateError> {
    reply::number(value)
        .ok()
        .and_then(UserId::new)
        .ok_or_else(|| unexpected("not a user id"))
}
