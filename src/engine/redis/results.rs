//! Shoppers' results of a product: the result keys, and which of them are valid in view of the sale's holders. A result of
//! another ledger counts as missing, and is overwritten.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use fred::{
    prelude::Value,
    types::{Key, scripts::Script},
};
use futures::future::join_all;

use super::{
    RedisGate, announcements,
    connection::Connection,
    keys::{
        CALL_SIZE, channel, count, format_result, holders_key, meta_key, parse_result,
        parse_result_of, pending_key, result_key, result_keys, stock_key, user_arg,
    },
    reply::{self, unexpected},
    scripts::SCRIPTS,
};
use crate::{
    ids::{LedgerTag, ProductId, SaleId, UserId},
    port::{
        GateError, PurchaseResult, ResultEntry, ResultQuery, ResultReading, ShopperResults,
        Standing,
    },
    rules::shopper_result::{Holders, reading},
    telemetry::{LogThrottle, metric},
};

#[async_trait]
impl ShopperResults for RedisGate {
    /// False on a cluster: a batch's keys are on different nodes, and a node that does not answer would delay the answers of
    /// the others.
    fn prefers_batched_reads(&self) -> bool {
        !self.connection.clustered
    }

    async fn write_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        write_and_announce(
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

/// Writes results that are announced later, as the gate's holders change.
pub(super) async fn write(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    ttl: Duration,
    results: &[ResultEntry],
) -> Result<(), GateError> {
    store(connection, ledger, ttl, "", results).await.map(drop)
}

/// Writes results of shoppers who were refused, and announces those that were not stored before.
async fn write_and_announce(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    ttl: Duration,
    results: &[ResultEntry],
) -> Result<(), GateError> {
    if !connection.clustered {
        // The script does both: results and channels are on one server.
        return store(connection, ledger, ttl, "PUBLISH", results)
            .await
            .map(drop);
    }
    let mut changed = store(connection, ledger, ttl, "", results).await?;
    changed.sort_by_key(|entry| entry.sale);
    for of_sale in changed.chunk_by(|a, b| a.sale == b.sale) {
        let users: Vec<_> = of_sale.iter().map(|entry| entry.user).collect();
        // A failure leaves the results stored: nodes read them again from time to time.
        if let Some(ResultEntry { sale, .. }) = of_sale.first()
            && let Err(error) = announcements::announce(connection, *sale, &users).await
        {
            static LOG_THROTTLE: LogThrottle = LogThrottle::new();
            metrics::counter!(metric::ANNOUNCEMENTS_FAILED).increment(1);
            if LOG_THROTTLE.allow() {
                tracing::warn!(%error, %sale, "stored results cannot be announced; listeners are told within a minute");
            }
        }
    }
    Ok(())
}

/// Stores results in ascending order of their sales, so that the latest sale of a product is written last. A call stores many
/// results; on a cluster it stores one, because keys are on different nodes, and the calls are sent concurrently. `publish` is the
/// command that announces them, or empty. On a cluster, returns those that were not stored before.
async fn store(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    ttl: Duration,
    publish: &'static str,
    results: &[ResultEntry],
) -> Result<Vec<ResultEntry>, GateError> {
    let ttl_secs = i64::try_from(ttl.as_secs().max(1)).unwrap_or(i64::MAX);
    let mut by_sale = results.to_vec();
    by_sale.sort_by_key(|entry| entry.sale);
    let head = [ttl_secs.into(), Value::from_static_str(publish)];
    let values = |entry: &ResultEntry| {
        let result = format_result(ledger, entry.sale, entry.result);
        vec![result.into(), channel(entry.sale).into()]
    };
    let script = &SCRIPTS.set_user_result;
    let answers = call(connection, script, &head, &by_sale, values).await?;
    let mut changed = Vec::new();
    for (entries, answer) in answers {
        // There, a call stores one result.
        if reply::count(&answer)? > 0 && connection.clustered {
            changed.extend(entries);
        }
    }
    Ok(changed)
}

/// Deletes each result that is still stored with the same sale and outcome.
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
    .map(drop)
}

/// Calls a script on the keys of results: up to [`CALL_SIZE`] in a call, on a cluster one. `values` are the script's arguments
/// for successive entries with the same sale and result. Returns each call's entries with its answer.
async fn call<'a>(
    connection: &Connection,
    script: &Script,
    head: &[Value],
    results: &'a [ResultEntry],
    values: impl Fn(&ResultEntry) -> Vec<Value>,
) -> Result<Vec<(&'a [ResultEntry], Value)>, GateError> {
    let mut answers = Vec::new();
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
                let answer = connection.run(script, keys, args);
                async move { Ok::<_, GateError>((entries, answer.await?)) }
            });
        answers.extend(reply::all(calls).await?);
    }
    Ok(answers)
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
        Decision::Known(result) => Ok(result),
        Decision::DependsOn(other) => of_unit_in(connection, user, other).await,
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
            Ok(Decision::Known(result)) => Ok(result),
            Ok(Decision::DependsOn(other)) => {
                let answer = of_unit_in(connection, *user, other);
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
enum Decision {
    Known(Option<PurchaseResult>),
    /// The shopper was refused in this sale, and may have got a unit of it later.
    DependsOn(SaleId),
}

/// The result that a shopper reads, from the state of the shopper's unit in `sale` and the stored result.
fn decide(
    ledger: Option<LedgerTag>,
    sale: Option<SaleId>,
    unit_state: UnitState,
    written: &Value,
) -> Result<Decision, GateError> {
    if matches!(unit_state, UnitState::Pending | UnitState::Ordered) {
        return Ok(Decision::Known(unit_state.result()));
    }
    let Some((result, sale_of_result)) = parse(ledger, written)? else {
        return Ok(Decision::Known(None));
    };
    Ok(match sale_of_result {
        _ if result == PurchaseResult::Success => Decision::Known(Some(result)),
        Some(of) if sale != Some(of) => Decision::DependsOn(of),
        // Of this sale, or written by the original service, whose results name no sale.
        _ => Decision::Known(refused_or(unit_state)),
    })
}

/// The result of a shopper who was refused in another sale than the one that was asked about.
async fn of_unit_in(
    connection: &Connection,
    user: UserId,
    sale: SaleId,
) -> Result<Option<PurchaseResult>, GateError> {
    let (unit_state, _) = read_unit_state(connection, sale, user, None).await?;
    Ok(refused_or(unit_state))
}

/// The result of a shopper who was refused: a unit that the shopper got later counts. While the sale is being loaded, its holders are
/// not known.
fn refused_or(unit_state: UnitState) -> Option<PurchaseResult> {
    match unit_state {
        UnitState::None | UnitState::Unlisted => Some(PurchaseResult::Failed),
        unit_state => unit_state.result(),
    }
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
                let text = if written.is_null() {
                    ""
                } else {
                    reply::text(written)?
                };
                Ok(parse_result_of(ledger, text, sale))
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
            results.push(if value.is_null() {
                None
            } else {
                parse_result_of(ledger, reply::text(&value)?, sale)
            });
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

/// The state of a shopper's unit in a sale.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UnitState {
    /// The shopper holds no unit.
    None,
    /// The gate does not have the sale: nothing is known of its shoppers.
    Unlisted,
    /// Unknown: the sale is being loaded, or its keys may have lost holders.
    Closed,
    Pending,
    Ordered,
}

impl UnitState {
    /// The unit, and what is known of the sale's holders.
    fn known(self) -> (Option<Standing>, Holders) {
        match self {
            Self::None => (None, Holders::Complete),
            Self::Unlisted => (None, Holders::Absent),
            Self::Closed => (None, Holders::InDoubt),
            Self::Pending => (Some(Standing::Pending), Holders::Complete),
            Self::Ordered => (Some(Standing::Success), Holders::Complete),
        }
    }

    fn result(self) -> Option<PurchaseResult> {
        (self == Self::Ordered).then_some(PurchaseResult::Success)
    }
}

/// The state of a shopper's unit, and the value of the result key if one is given.
async fn read_unit_state(
    connection: &Connection,
    sale: SaleId,
    user: UserId,
    result: Option<Key>,
) -> Result<(UnitState, Value), GateError> {
    let results = result.into_iter().collect();
    let unit_states = read_unit_states(connection, sale, &[user], results).await?;
    unit_states
        .into_iter()
        .next()
        .ok_or_else(|| unexpected("nothing of a shopper"))
}

/// The states of shoppers' units, and the values of their result keys. `results` has one key for each shopper, or none at all.
async fn read_unit_states(
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
    let without_unit = match reply::number(closed)? {
        0 => UnitState::None,
        1 => UnitState::Closed,
        _ => UnitState::Unlisted,
    };
    let parse_state = |[state, written]: &[Value; 2]| {
        let unit_state = match reply::text(state)? {
            "p" | "c" => UnitState::Pending,
            "s" | "l" => UnitState::Ordered,
            "" => without_unit,
            _ => return Err(unexpected("an unknown state")),
        };
        Ok((unit_state, written.clone()))
    };
    shoppers.iter().map(parse_state).collect()
}

/// Parses the value of a result key: the result, and its sale if the value names one.
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
