//! What shoppers are told of a product: the result keys, and how they stand beside what the sale itself knows. A result of
//! another ledger counts as none, and is overwritten.

use std::{collections::BTreeMap, time::Duration};

use fred::{
    prelude::Value,
    types::{Key, scripts::Script},
};
use futures::future::{join_all, try_join_all};

use super::{
    connection::Connection,
    keys::{
        CALL_SIZE, count, format_result, holders_key, meta_key, parse_result, parse_result_of,
        pending_key, result_key, result_keys, stock_key, user_arg,
    },
    reply::{self, unexpected},
    scripts::SCRIPTS,
};
use crate::{
    ids::{LedgerTag, ProductId, SaleId, UserId},
    port::{GateError, PurchaseResult, ResultEntry, ResultQuery},
};

/// Writes results, many a call, those of later sales last; on a cluster one a call, sent together, since their keys are on
/// different nodes.
pub(super) async fn write(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    ttl: Duration,
    results: &[ResultEntry],
) -> Result<(), GateError> {
    let ttl_secs = i64::try_from(ttl.as_secs().max(1)).unwrap_or(i64::MAX);
    let mut by_sale = results.to_vec();
    by_sale.sort_by_key(|entry| entry.sale);
    call(
        connection,
        &SCRIPTS.set_user_result,
        &[ttl_secs.into()],
        &by_sale,
        |entry| vec![format_result(ledger, entry.sale, entry.result).into()],
    )
    .await
}

/// Forgets those that still stand like this.
pub(super) async fn forget(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    results: &[ResultEntry],
) -> Result<(), GateError> {
    call(connection, &SCRIPTS.forget_results, &[], results, |entry| {
        [ledger, None]
            .map(|ledger| format_result(ledger, entry.sale, entry.result).into())
            .into()
    })
    .await
}

/// Calls a script on results: many a call, on a cluster one. `values` are the script's arguments about entries that are alike.
async fn call(
    connection: &Connection,
    script: &Script,
    head: &[Value],
    results: &[ResultEntry],
    values: impl Fn(&ResultEntry) -> Vec<Value>,
) -> Result<(), GateError> {
    for part in results.chunks(CALL_SIZE) {
        let calls = part
            .chunks(if connection.clustered { 1 } else { CALL_SIZE })
            .map(|entries| {
                let keys = result_keys(entries.iter().map(|entry| (entry.user, entry.product)));
                let mut args = head.to_vec();
                for alike in entries.chunk_by(|a, b| (a.sale, a.result) == (b.sale, b.result)) {
                    args.push(count(alike.len()));
                    args.extend(alike.first().map(&values).into_iter().flatten());
                }
                connection.run(script, keys, args)
            });
        try_join_all(calls).await?;
    }
    Ok(())
}

/// Who holds a unit of the sale is told how that stands; everyone else what was written for them.
pub(super) async fn read(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    user: UserId,
    product: ProductId,
    sale: Option<SaleId>,
) -> Result<Option<PurchaseResult>, GateError> {
    let key = result_key(user, product);
    // One server reads all at one moment. On a cluster they are on different nodes: the sale comes first, because a
    // result is written before the sale forgets its holder.
    let (standing, written) = match sale {
        Some(sale) if !connection.clustered => standing(connection, sale, user, Some(key)).await?,
        Some(sale) => {
            let (standing, _) = standing(connection, sale, user, None).await?;
            (standing, connection.get(key).await?)
        }
        None => (UnitState::None, connection.get(key).await?),
    };
    decide_result(connection, ledger, user, sale, standing, &written).await
}

/// The same for many: those who ask about the same sale in one call, where one server has all keys.
pub(super) async fn read_many(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    asked: &[ResultQuery],
) -> Vec<Result<Option<PurchaseResult>, GateError>> {
    let mut together: BTreeMap<(Option<SaleId>, ProductId), Vec<usize>> = BTreeMap::new();
    for (index, question) in asked.iter().enumerate() {
        let about = (question.sale, question.product);
        together.entry(about).or_default().push(index);
    }
    let together = together.iter().flat_map(|((sale, product), indexes)| {
        let parts = indexes.chunks(CALL_SIZE);
        parts.map(move |indexes| (*sale, *product, indexes))
    });
    let answers = together.map(|(sale, product, indexes)| async move {
        let users: Vec<_> = indexes
            .iter()
            .filter_map(|index| asked.get(*index))
            .map(|question| question.user)
            .collect();
        (
            indexes,
            read_of_sale(connection, ledger, sale, product, &users).await,
        )
    });
    let lost = || Err(GateError::Unknown("no answer to a question".to_owned()));
    let mut all: Vec<_> = asked.iter().map(|_| lost()).collect();
    for (indexes, answers) in join_all(answers).await {
        for (index, answer) in indexes.iter().zip(answers) {
            if let Some(slot) = all.get_mut(*index) {
                *slot = answer;
            }
        }
    }
    all
}

async fn read_of_sale(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    sale: Option<SaleId>,
    product: ProductId,
    users: &[UserId],
) -> Vec<Result<Option<PurchaseResult>, GateError>> {
    let one_by_one = || {
        join_all(
            users
                .iter()
                .map(|user| read(connection, ledger, *user, product, sale)),
        )
    };
    let Some(of) = sale.filter(|_| !connection.clustered) else {
        return one_by_one().await;
    };
    let keys = result_keys(users.iter().map(|user| (*user, product)));
    match standings(connection, of, users, keys).await {
        Ok(standings) => {
            let results = users
                .iter()
                .zip(&standings)
                .map(|(user, (standing, written))| {
                    decide_result(connection, ledger, *user, sale, *standing, written)
                });
            join_all(results).await
        }
        Err(error) => users.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// The result that a shopper reads, from how they stand in the sale and what was written.
async fn decide_result(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    user: UserId,
    sale: Option<SaleId>,
    standing: UnitState,
    written: &Value,
) -> Result<Option<PurchaseResult>, GateError> {
    if standing != UnitState::None && standing != UnitState::Closed {
        return Ok(standing.result());
    }
    let Some((result, of)) = parse(ledger, written)? else {
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
                UnitState::None => Some(result),
                standing => standing.result(),
            })
        }
        // The original service said so, of whichever sale. While that is being loaded, nobody knows who has a unit of it.
        None if result == PurchaseResult::Failed && standing == UnitState::Closed => Ok(None),
        _ => Ok(Some(result)),
    }
}

/// What was written for these shoppers about this sale, many reads at a time.
pub(super) async fn stored(
    connection: &Connection,
    ledger: Option<LedgerTag>,
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
                parse_result_of(ledger, reply::text(&value)?, sale)
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
    Ok(standing == UnitState::Pending)
}

/// How a shopper stands in a sale.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UnitState {
    None,
    /// Unknown, since the sale is being loaded.
    Closed,
    Pending,
    Ordered,
}

impl UnitState {
    fn result(self) -> Option<PurchaseResult> {
        (self == Self::Ordered).then_some(PurchaseResult::Success)
    }
}

/// How a shopper stands and what the key says, if one is given.
async fn standing(
    connection: &Connection,
    sale: SaleId,
    user: UserId,
    result: Option<Key>,
) -> Result<(UnitState, Value), GateError> {
    let results = result.into_iter().collect();
    let standings = standings(connection, sale, &[user], results).await?;
    standings
        .into_iter()
        .next()
        .ok_or_else(|| unexpected("nothing of a shopper"))
}

/// How shoppers stand and what their keys say: a key for each, or none at all.
async fn standings(
    connection: &Connection,
    sale: SaleId,
    users: &[UserId],
    results: Vec<Key>,
) -> Result<Vec<(UnitState, Value)>, GateError> {
    let mut keys = vec![
        holders_key(sale),
        meta_key(sale),
        stock_key(sale),
        pending_key(sale),
    ];
    keys.extend(results);
    let mut args = connection.args();
    args.extend(users.iter().map(|user| user_arg(*user)));
    let answer = reply::list(connection.run(&SCRIPTS.user_status, keys, args).await?)?;
    let Some((closed, shoppers)) = answer.split_first() else {
        return Err(unexpected("nothing"));
    };
    let (shoppers, rest) = shoppers.as_chunks::<2>();
    if shoppers.len() != users.len() || !rest.is_empty() {
        return Err(unexpected("not a state and a result for each"));
    }
    let is_closed = reply::yes(closed)?;
    let stands = |[state, written]: &[Value; 2]| {
        let standing = match reply::text(state)? {
            "p" | "c" => UnitState::Pending,
            "s" | "l" => UnitState::Ordered,
            "" if is_closed => UnitState::Closed,
            "" => UnitState::None,
            _ => return Err(unexpected("an unknown state")),
        };
        Ok((standing, written.clone()))
    };
    shoppers.iter().map(stands).collect()
}

/// What a key says, and of which sale.
fn parse(
    ledger: Option<LedgerTag>,
    value: &Value,
) -> Result<Option<(PurchaseResult, Option<SaleId>)>, GateError> {
    if value.is_null() {
        Ok(None)
    } else {
        Ok(parse_result(ledger, reply::text(value)?))
    }
}
