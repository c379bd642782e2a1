//! What shoppers are told of a product: the result keys, and how they stand beside what the sale itself knows.

use std::time::Duration;

use fred::{
    prelude::Value,
    types::{Key, scripts::Script},
};
use futures::future::try_join_all;

use super::{
    connection::Connection,
    keys::{
        CALL_SIZE, format_result, holders_key, meta_key, parse_result, parse_result_of, result_key,
        user_arg,
    },
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
    call(
        connection,
        &SCRIPTS.set_user_result,
        &[ttl_secs.into()],
        results,
    )
    .await
}

/// Forgets those that still stand like this.
pub(super) async fn forget(
    connection: &Connection,
    results: &[ResultEntry],
) -> Result<(), GateError> {
    call(connection, &SCRIPTS.forget_results, &[], results).await
}

/// Calls a script on results: many a call, on a cluster one.
async fn call(
    connection: &Connection,
    script: &Script,
    head: &[Value],
    results: &[ResultEntry],
) -> Result<(), GateError> {
    for part in results.chunks(CALL_SIZE) {
        let calls = part
            .chunks(if connection.clustered { 1 } else { CALL_SIZE })
            .map(|entries| {
                let keys = entries
                    .iter()
                    .map(|entry| result_key(entry.user, entry.product))
                    .collect();
                let mut args = head.to_vec();
                args.extend(
                    entries
                        .iter()
                        .map(|entry| Value::from(format_result(entry.result, entry.sale))),
                );
                connection.run(script, keys, args)
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
    // One server reads all at one moment. On a cluster they are on different nodes: the sale comes first, because a
    // result is written before the sale forgets its holder.
    let (standing, written) = match sale {
        Some(sale) if !connection.clustered => standing(connection, sale, user, Some(&key)).await?,
        Some(sale) => {
            let (standing, _) = standing(connection, sale, user, None).await?;
            (standing, connection.get(key).await?)
        }
        None => (Standing::None, connection.get(key).await?),
    };
    if standing != Standing::None && standing != Standing::Closed {
        return Ok(standing.tells());
    }
    let Some((result, of)) = parse(&written)? else {
        return Ok(None);
    };
    match of {
        // Who was refused in a sale may have got a unit of it later; and nobody knows while it is being loaded.
        Some(of) if result == PurchaseResult::Failed => {
            let standing = if sale == Some(of) {
                standing
            } else {
                self::standing(connection, of, user, None).await?.0
            };
            Ok(match standing {
                Standing::None => Some(result),
                standing => standing.tells(),
            })
        }
        _ => Ok(Some(result)),
    }
}

/// What was written for these shoppers about this sale, many reads at a time.
pub(super) async fn stored(
    connection: &Connection,
    sale: SaleId,
    product: ProductId,
    users: &[UserId],
) -> Result<Vec<Option<PurchaseResult>>, GateError> {
    let mut results = Vec::with_capacity(users.len());
    for part in users.chunks(CALL_SIZE) {
        let reads = part
            .iter()
            .map(|user| connection.get(result_key(*user, product)));
        for value in try_join_all(reads).await? {
            results.push(if value.is_null() {
                None
            } else {
                parse_result_of(reply::text(&value)?, sale)
            });
        }
    }
    Ok(results)
}

/// True if the shopper holds a unit that is not settled, and so waits to be told.
pub(super) async fn is_awaited(
    connection: &Connection,
    sale: SaleId,
    user: UserId,
) -> Result<bool, GateError> {
    let (standing, _) = standing(connection, sale, user, None).await?;
    Ok(standing == Standing::Pending)
}

/// How a shopper stands in a sale.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    None,
    /// Unknown, since the sale is being loaded.
    Closed,
    Pending,
    Ordered,
}

impl Standing {
    fn tells(self) -> Option<PurchaseResult> {
        (self == Self::Ordered).then_some(PurchaseResult::Success)
    }
}

/// How a shopper stands and what the key says, if one is given.
async fn standing(
    connection: &Connection,
    sale: SaleId,
    user: UserId,
    result: Option<&Key>,
) -> Result<(Standing, Value), GateError> {
    let mut keys = vec![holders_key(sale), meta_key(sale)];
    keys.extend(result.cloned());
    let answer = reply::list(
        connection
            .run(&SCRIPTS.user_status, keys, vec![user_arg(user)])
            .await?,
    )?;
    let [state, closed, written] = answer.as_slice() else {
        return Err(unexpected("not a state and a result"));
    };
    let standing = match reply::text(state)? {
        "p" | "c" => Standing::Pending,
        "s" | "l" => Standing::Ordered,
        "" if reply::number(closed)? == 1 => Standing::Closed,
        "" => Standing::None,
        _ => return Err(unexpected("an unknown state")),
    };
    Ok((standing, written.clone()))
}

/// What a key says, and of which sale.
fn parse(value: &Value) -> Result<Option<(PurchaseResult, Option<SaleId>)>, GateError> {
    if value.is_null() {
        Ok(None)
    } else {
        Ok(parse_result(reply::text(value)?))
    }
}
