//! Shoppers' results of a product: the result keys, and which of them are valid in view of the sale's holders. A result of
//! another ledger counts as missing, and is overwritten.

mod unit;
mod write;

use std::collections::BTreeMap;

use async_trait::async_trait;
use fred::prelude::Value;
use futures::future::join_all;

use self::unit::{UnitState, read_unit_state, read_unit_states};
pub(super) use self::write::{forget, write};
use super::{
    RedisGate,
    connection::Connection,
    keys::{CALL_SIZE, parse_result, parse_result_of, result_key, result_keys},
    reply,
};
use crate::{
    ids::{LedgerTag, ProductId, SaleId, UserId},
    port::{GateError, PurchaseResult, ResultEntry, ResultQuery, ResultReading, ShopperResults},
    rules::shopper_result::{reading, result},
};

#[async_trait]
impl ShopperResults for RedisGate {
    /// False on a cluster: a batch's keys are on different nodes, and a node that does not answer would delay the answers of
    /// the others.
    fn prefers_batched_reads(&self) -> bool {
        !self.connection.clustered
    }

    async fn write_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        write::write_and_announce(
            &self.connection,
            self.ledger.tag(),
            self.result_ttl,
            results,
        )
        .await
    }

    async fn read_result(
        &self,
        user: UserId,
        product: ProductId,
        sale: Option<SaleId>,
    ) -> Result<Option<PurchaseResult>, GateError> {
        read(&self.connection, self.ledger.tag(), user, product, sale).await
    }

    async fn read_results(
        &self,
        asked: &[ResultQuery],
    ) -> Vec<Result<Option<PurchaseResult>, GateError>> {
        read_many(&self.connection, self.ledger.tag(), asked).await
    }

    async fn forget_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        forget(&self.connection, self.ledger.tag(), results).await
    }
}

/// The result of one shopper. For a holder of a unit of the sale it follows from the unit's state, otherwise from the stored
/// result.
pub(super) async fn read(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    user: UserId,
    product: ProductId,
    sale: Option<SaleId>,
) -> Result<Option<PurchaseResult>, GateError> {
    let key = result_key(user, product);
    // A single server reads all keys at one moment. On a cluster the keys are on different nodes. The sale is read first
    // there, because a result is written before its holder is removed from the sale.
    let (unit_state, written) = match sale {
        Some(sale) if !connection.clustered => {
            read_unit_state(connection, sale, user, Some(key)).await?
        }
        Some(sale) => {
            let (unit_state, _) = read_unit_state(connection, sale, user, None).await?;
            (unit_state, connection.get(key).await?)
        }
        None => (UnitState::None, connection.get(key).await?),
    };
    match decide(ledger, sale, unit_state, &written)? {
        StoredReading::Known(result) => Ok(result),
        StoredReading::DependsOn(other, stored) => {
            of_sale_of_result(connection, user, other, stored).await
        }
    }
}

/// The results of many shoppers, in order. Outside a cluster, queries about the same sale and product share a call.
pub(super) async fn read_many(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    asked: &[ResultQuery],
) -> Vec<Result<Option<PurchaseResult>, GateError>> {
    let mut groups: BTreeMap<(Option<SaleId>, ProductId), Vec<usize>> = BTreeMap::new();
    for (index, question) in asked.iter().enumerate() {
        let about = (question.sale, question.product);
        groups.entry(about).or_default().push(index);
    }
    let groups = groups.iter().flat_map(|((sale, product), indexes)| {
        let parts = indexes.chunks(CALL_SIZE);
        parts.map(move |indexes| (*sale, *product, indexes))
    });
    let answers = groups.map(|(sale, product, indexes)| async move {
        let users: Vec<_> = indexes
            .iter()
            .filter_map(|index| asked.get(*index))
            .map(|question| question.user)
            .collect();
        let answers = read_of_sale(connection, ledger, sale, product, &users).await;
        (indexes, answers)
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
    let unit_states = match read_unit_states(connection, of, users, keys).await {
        Ok(unit_states) => unit_states,
        Err(error) => return users.iter().map(|_| Err(error.clone())).collect(),
    };
    let (mut answers, mut open) = (Vec::with_capacity(users.len()), Vec::new());
    for (index, (user, (unit_state, written))) in users.iter().zip(&unit_states).enumerate() {
        answers.push(match decide(ledger, sale, *unit_state, written) {
            Ok(StoredReading::Known(result)) => Ok(result),
            Ok(StoredReading::DependsOn(other, stored)) => {
                let answer = of_sale_of_result(connection, *user, other, stored);
                open.push(async move { (index, answer.await) });
                // Replaced below.
                Ok(None)
            }
            Err(error) => Err(error),
        });
    }
    for (index, answer) in join_all(open).await {
        if let Some(slot) = answers.get_mut(index) {
            *slot = answer;
        }
    }
    answers
}

/// What is known of a result from the state of the shopper's unit and the stored result.
enum StoredReading {
    Known(Option<PurchaseResult>),
    /// The stored result is of another sale than the one that was asked about, and counts by the shopper's unit of that one.
    DependsOn(SaleId, PurchaseResult),
}

/// The result that a shopper reads, from the state of the shopper's unit in `sale` and the stored result.
fn decide(
    ledger: Option<LedgerTag>,
    sale: Option<SaleId>,
    unit_state: UnitState,
    written: &Value,
) -> Result<StoredReading, GateError> {
    let (unit, holders) = unit_state.known();
    if unit.is_some() {
        return Ok(StoredReading::Known(result(unit, None, holders)));
    }
    let Some((stored, sale_of_result)) = parse_result(ledger, reply::text_or_empty(written)?)
    else {
        return Ok(StoredReading::Known(None));
    };
    Ok(match sale_of_result {
        Some(of) if sale != Some(of) => StoredReading::DependsOn(of, stored),
        // Written by the original service, whose results name no sale: an order of it is in no gate.
        None if stored == PurchaseResult::Success => StoredReading::Known(Some(stored)),
        _ => StoredReading::Known(result(unit, Some(stored), holders)),
    })
}

/// The result of a shopper whose stored result is of this sale, which is not the one that was asked about.
async fn of_sale_of_result(
    connection: &Connection,
    user: UserId,
    sale: SaleId,
    stored: PurchaseResult,
) -> Result<Option<PurchaseResult>, GateError> {
    let (unit_state, _) = read_unit_state(connection, sale, user, None).await?;
    let (unit, holders) = unit_state.known();
    Ok(result(unit, Some(stored), holders))
}

/// What shoppers are told of this sale, by the rules of [`read`], from results of this very sale.
pub(super) async fn of_sale(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    sale: SaleId,
    product: ProductId,
    users: &[UserId],
) -> Result<Vec<ResultReading>, GateError> {
    let mut all = Vec::with_capacity(users.len());
    for part in users.chunks(CALL_SIZE) {
        // As in `read`: on a cluster the sale first.
        let keys = if connection.clustered {
            Vec::new()
        } else {
            result_keys(part.iter().map(|user| (*user, product)))
        };
        let units = read_unit_states(connection, sale, part, keys).await?;
        let written = if connection.clustered {
            stored(connection, ledger, sale, product, part).await?
        } else {
            let of_sale = |written: &Value| {
                Ok(parse_result_of(
                    ledger,
                    reply::text_or_empty(written)?,
                    sale,
                ))
            };
            let written = units.iter().map(|(_, written)| of_sale(written));
            written.collect::<Result<Vec<_>, GateError>>()?
        };
        all.extend(units.iter().zip(written).map(|((unit_state, _), written)| {
            let (unit, holders) = unit_state.known();
            reading(unit, written, holders)
        }));
    }
    Ok(all)
}

/// The stored results of these shoppers for this sale, read in batches of [`CALL_SIZE`] concurrent calls.
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
        for value in reply::all(reads).await? {
            results.push(parse_result_of(ledger, reply::text_or_empty(&value)?, sale));
        }
    }
    Ok(results)
}

/// True if the shopper holds a pending unit, and so waits for a result.
pub(super) async fn is_awaited(
    connection: &Connection,
    sale: SaleId,
    user: UserId,
) -> Result<bool, GateError> {
    let (unit_state, _) = read_unit_state(connection, sale, user, None).await?;
    Ok(unit_state == UnitState::Pending)
}
