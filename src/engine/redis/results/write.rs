//! Storing, announcing and deleting result keys.

use std::time::Duration;

use fred::{prelude::Value, types::scripts::Script};

use super::super::{
    announcements,
    connection::Connection,
    keys::{CALL_SIZE, channel, count, format_result, result_keys},
    reply,
    scripts::SCRIPTS,
};
use crate::{
    ids::LedgerTag,
    port::{GateError, ResultEntry},
    telemetry::{LogThrottle, metric},
};

/// Writes results that are announced later, as the gate's holders change.
pub(in super::super) async fn write(
    connection: &Connection,
    ledger: Option<LedgerTag>,
    ttl: Duration,
    results: &[ResultEntry],
) -> Result<(), GateError> {
    store(connection, ledger, ttl, "", results).await.map(drop)
}

/// Writes results of shoppers who were refused, and announces those that were not stored before.
pub(super) async fn write_and_announce(
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
pub(in super::super) async fn forget(
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
