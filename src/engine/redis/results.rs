//! What shoppers are told of a product: the result keys, and how they stand beside what the sale itself knows.

use std::time::Duration;

use fred::prelude::Value;
use futures::future::try_join_all;

use super::{
    connection::Connection,
    keys::{CALL_SIZE, format_result, holders_key, parse_result, result_key, user_arg},
    reply::{self, unexpected},
    scripts::SCRIPTS,
};
use crate::{
    ids::{ProductId, SaleId, UserId},
    port::{GateError, PurchaseResult, ResultEntry},
};

/// Writes results, many a call; on a cluster one a call, sent together, since their keys are on different nodes.
pub(super) async fn write(
    connection: &Connection,
    ttl: Duration,
    results: &[ResultEntry],
) -> Result<(), GateError> {
    let ttl_secs = i64::try_from(ttl.as_secs().max(1)).unwrap_or(i64::MAX);
    for part in results.chunks(CALL_SIZE) {
        let calls = part
            .chunks(if connection.clustered { 1 } else { CALL_SIZE })
            .map(|entries| {
                let keys = entries
                    .iter()
                    .map(|entry| result_key(entry.user, entry.product))
                    .collect();
                let mut args: Vec<Value> = vec![ttl_secs.into()];
                args.extend(
                    entries
                        .iter()
                        .map(|entry| Value::from(format_result(entry.result, entry.sale))),
                );
                connection.run(&SCRIPTS.set_user_result, keys, args)
            });
        try_join_all(calls).await?;
    }
    Ok(())
}

/// Who holds a unit of the sale is told how that stands; everyone else what was written for them.
pub(super) async fn read(
    connection: &Connection,
    user: UserId,
    product: ProductId,
    sale: Option<SaleId>,
) -> Result<Option<PurchaseResult>, GateError> {
    let key = result_key(user, product);
    let Some(sale) = sale else {
        return written(&connection.get(key).await?);
    };
    // One server reads both at one moment. On a cluster they are on different nodes: the sale comes first, because a
    // result is written before the sale forgets its holder.
    let mut keys = vec![holders_key(sale)];
    if !connection.clustered {
        keys.push(key.clone());
    }
    let answer = reply::list(
        connection
            .run(&SCRIPTS.user_status, keys, vec![user_arg(user)])
            .await?,
    )?;
    let [state, result] = answer.as_slice() else {
        return Err(unexpected("not a state and a result"));
    };
    match reply::text(state)? {
        "p" | "c" => Ok(None),
        "s" | "l" => Ok(Some(PurchaseResult::Success)),
        "" if connection.clustered => written(&connection.get(key).await?),
        "" => written(result),
        _ => Err(unexpected("an unknown state")),
    }
}

/// True if the shopper holds a unit that is not settled, and so waits to be told.
pub(super) async fn is_awaited(
    connection: &Connection,
    sale: SaleId,
    user: UserId,
) -> Result<bool, GateError> {
    let keys = vec![holders_key(sale)];
    let answer = connection
        .run(&SCRIPTS.user_status, keys, vec![user_arg(user)])
        .await?;
    let answer = reply::list(answer)?;
    let state = answer.first().ok_or_else(|| unexpected("no state"))?;
    Ok(matches!(reply::text(state)?, "p" | "c"))
}

fn written(value: &Value) -> Result<Option<PurchaseResult>, GateError> {
    if value.is_null() {
        Ok(None)
    } else {
        Ok(parse_result(reply::text(value)?))
    }
}
