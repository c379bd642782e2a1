//! The Redis keys of the gate, and the format of their values.
//!
//! All keys of one sale share the hash tag `{<sale>}`, so that a cluster has them on one node:
//! - `flashsale:{<sale>}:stock`: units that can be reserved;
//! - `flashsale:{<sale>}:holders`: hash from user id to a state letter and the attempt id. `p` is pending, `c` is pending and
//!   claimed, `s` is an order, `l` is an order that was recorded while the sale was not open;
//! - `flashsale:{<sale>}:pending`: sorted set of exactly the users in state `p` or `c`, by the time of their reservation or
//!   last claim (ms). Their attempts are in `holders`. Opening the sale adds the mark `ledger:<id>` with the score infinity; if
//!   the mark of an open sale is missing, the key was lost;
//! - `flashsale:{<sale>}:meta`: hash of `state` (`open`, `loading`, `closed`), `start`, `end`, `expires`,
//!   `load_started` (ms), `token`, `run_id` of the server, `late` (orders recorded while loading), `returns` (the holders epoch; both have
//!   the names that released versions write), `ledger` (whose sale it is), `version`, `total` and `switch` (`on`, `paused`,
//!   `cancelled`) of the terms in force, `unlisted` while holders of a closed sale may be missing from `pending`, and, once units
//!   were set aside to leave the sale, `w:<movement>` for each movement that is not cleared, and `withdrawn`, their sum;
//! - `flashsale:{<sale>}:ended`: set of the attempts whose orders the ledger has ended and that were taken out of `holders`.
//!
//! Attempt ids are stored as their 16 bytes, which is shorter than text and needs no encoding on the hot path.
//! Results have the original service's key, `flashsale:result:<user>:<product>`, which is not in the sale's slot.
//! `flashsale:accounts:<ledger>` is the highest account id that was assigned. `flashsale:nodes:<ledger>` is a hash from the id of each
//! process to the time of its last report (ms), a space, and the report as JSON.

use std::fmt::Write;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fred::{prelude::Value, types::Key};
use uuid::Uuid;

use crate::{
    ids::{AttemptId, LedgerTag, ProductId, SaleId, UserId},
    port::{Holder, PurchaseResult},
};

/// Maximum number of shoppers in one call. The server needs about 1 ms for such a call, and does nothing else meanwhile.
pub(super) const CALL_SIZE: usize = 400;

/// The keys of a sale, in the order in which the scripts take them.
pub(super) fn sale_keys(sale: SaleId) -> Vec<Key> {
    ["stock", "holders", "pending", "meta", "ended"]
        .iter()
        .map(|name| sale_key(sale, name))
        .collect()
}

pub(super) fn holders_key(sale: SaleId) -> Key {
    sale_key(sale, "holders")
}

pub(super) fn meta_key(sale: SaleId) -> Key {
    sale_key(sale, "meta")
}

pub(super) fn stock_key(sale: SaleId) -> Key {
    sale_key(sale, "stock")
}

pub(super) fn pending_key(sale: SaleId) -> Key {
    sale_key(sale, "pending")
}

pub(super) fn result_key(user: UserId, product: ProductId) -> Key {
    format!("flashsale:result:{user}:{product}").into()
}

/// The channel on which results of a sale are announced. It has the sale's hash tag, for sharded channels have slots as keys do.
pub(super) fn channel(sale: SaleId) -> String {
    format!("flashsale:{{{sale}}}:results")
}

pub(super) fn sale_of_channel(channel: &str) -> Option<SaleId> {
    let sale = channel
        .strip_prefix("flashsale:{")?
        .strip_suffix("}:results")?;
    sale.parse().ok().and_then(SaleId::new)
}

/// The result keys of many shoppers, in one allocation.
pub(super) fn result_keys(of: impl Iterator<Item = (UserId, ProductId)>) -> Vec<Key> {
    let (mut text, mut ends) = (String::new(), Vec::new());
    for (user, product) in of {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "flashsale:result:{user}:{product}");
        ends.push(text.len());
    }
    let mut rest = Bytes::from(text);
    let mut start = 0;
    ends.into_iter()
        .map(|end| {
            let key = rest.split_to(end - start);
            start = end;
            key.into()
        })
        .collect()
}

/// The key of a ledger's account mark, such as `flashsale:accounts:1a2b3c4d`.
pub(super) fn account_mark_key(ledger: Option<LedgerTag>) -> Key {
    match ledger {
        Some(ledger) => format!("flashsale:accounts:{ledger}").into(),
        None => "flashsale:accounts".into(),
    }
}

/// The key of the reports of a ledger's processes, such as `flashsale:nodes:1a2b3c4d`.
pub(super) fn nodes_key(ledger: Option<LedgerTag>) -> Key {
    match ledger {
        Some(ledger) => format!("flashsale:nodes:{ledger}").into(),
        None => "flashsale:nodes".into(),
    }
}

fn sale_key(sale: SaleId, name: &str) -> Key {
    format!("flashsale:{{{sale}}}:{name}").into()
}

/// The arguments of a script about shoppers: `head`, then all attempt ids in one string, then the user ids.
pub(super) fn shopper_args(head: Vec<Value>, shoppers: &[Holder]) -> Vec<Value> {
    let mut attempts = Vec::with_capacity(shoppers.len() * 16);
    for shopper in shoppers {
        attempts.extend_from_slice(shopper.attempt.0.as_bytes());
    }
    let mut args = head;
    args.reserve(shoppers.len() + 1);
    args.push(bytes(attempts));
    args.extend(shoppers.iter().map(|shopper| user_arg(shopper.user)));
    args
}

pub(super) fn user_arg(user: UserId) -> Value {
    user.value().into()
}

pub(super) fn attempt_arg(attempt: AttemptId) -> Value {
    attempt.0.as_bytes().as_slice().into()
}

pub(super) fn time_arg(time: DateTime<Utc>) -> Value {
    time.timestamp_millis().into()
}

pub(super) fn bytes(value: Vec<u8>) -> Value {
    value.into_boxed_slice().into()
}

/// An attempt id as the scripts return it.
pub(super) fn parse_attempt(bytes: &[u8]) -> Option<AttemptId> {
    Uuid::from_slice(bytes).ok().map(AttemptId)
}

pub(super) fn count(number: usize) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

/// The stored form of a result, with its sale and the sale's ledger: `SUCCESS:7:1a2b3c4d` or `FAILED@1a2b3c4d:7`.
///
/// Versions without ledger ids may run beside this one during an upgrade. They read the first form as a SUCCESS of an unknown
/// sale, and ignore the second. The second form differs because they would return a FAILED of an unknown sale without checking
/// whether its shopper got a unit later.
pub(super) fn format_result(
    ledger: Option<LedgerTag>,
    sale: SaleId,
    result: PurchaseResult,
) -> String {
    match (result, ledger) {
        (PurchaseResult::Success, Some(ledger)) => format!("SUCCESS:{sale}:{ledger}"),
        (PurchaseResult::Failed, Some(ledger)) => format!("FAILED@{ledger}:{sale}"),
        (PurchaseResult::Success, None) => format!("SUCCESS:{sale}"),
        (PurchaseResult::Failed, None) => format!("FAILED:{sale}"),
    }
}

/// Parses a stored result and, if the text names one, its sale. `None` if it is a result of another ledger than `ours`, or no
/// result at all. Versions without ledger ids wrote `SUCCESS:7` and `FAILED:7`, the original service `1` and `0`: these count
/// as results of `ours`.
pub(super) fn parse_result(
    ours: Option<LedgerTag>,
    text: &str,
) -> Option<(PurchaseResult, Option<SaleId>)> {
    match text {
        "1" => return Some((PurchaseResult::Success, None)),
        "0" => return Some((PurchaseResult::Failed, None)),
        _ => {}
    }
    let (head, rest) = text.split_once(':').unwrap_or((text, ""));
    let (word, before) = head.split_once('@').unwrap_or((head, ""));
    let (sale, behind) = rest.split_once(':').unwrap_or((rest, ""));
    let result = match word {
        "SUCCESS" => PurchaseResult::Success,
        "FAILED" => PurchaseResult::Failed,
        _ => return None,
    };
    let ledger = if before.is_empty() { behind } else { before };
    if !ledger.is_empty() {
        let ledger: LedgerTag = ledger.parse().ok()?;
        if ours.is_some_and(|ours| ours != ledger) {
            return None;
        }
    }
    Some((result, sale.parse().ok().and_then(SaleId::new)))
}

/// Parses a stored result, if it counts for this sale. A SUCCESS that names no sale does not count, since it may be of an
/// earlier sale. A FAILED that names none does, since it would contradict an order of this sale.
pub(super) fn parse_result_of(
    ours: Option<LedgerTag>,
    text: &str,
    sale: SaleId,
) -> Option<PurchaseResult> {
    let (result, of) = parse_result(ours, text)?;
    let is_of_sale = of.map_or(result == PurchaseResult::Failed, |of| of == sale);
    is_of_sale.then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sales_keys_share_its_hash_tag() {
        let sale = SaleId::new(7).unwrap();
        let keys: Vec<_> = sale_keys(sale)
            .into_iter()
            .map(|key| key.into_string().unwrap())
            .collect();
        assert_eq!(
            keys,
            [
                "flashsale:{7}:stock",
                "flashsale:{7}:holders",
                "flashsale:{7}:pending",
                "flashsale:{7}:meta",
                "flashsale:{7}:ended"
            ]
        );
    }

    #[test]
    fn a_sale_s_channel_names_it() {
        let sale = SaleId::new(7).unwrap();
        assert_eq!(channel(sale), "flashsale:{7}:results");
        assert_eq!(sale_of_channel(&channel(sale)), Some(sale));
        for other in ["flashsale:{0}:results", "flashsale:{7}:stock", "", "x"] {
            assert_eq!(sale_of_channel(other), None);
        }
    }

    #[test]
    fn keys_of_many_results_are_those_of_each() {
        let user = |id| UserId::new(id).unwrap();
        let product = |id| ProductId::new(id).unwrap();
        let of = [
            (user(1), product(2)),
            (user(123_456), product(78)),
            (user(3), product(2)),
        ];
        let each: Vec<_> = of.map(|(user, product)| result_key(user, product)).into();
        assert_eq!(result_keys(of.into_iter()), each);
        assert!(result_keys([].into_iter()).is_empty());
    }

    fn tags() -> (Option<LedgerTag>, Option<LedgerTag>) {
        (
            Some("1a2b3c4d".parse().unwrap()),
            Some("00000001".parse().unwrap()),
        )
    }

    const BOTH: [PurchaseResult; 2] = [PurchaseResult::Success, PurchaseResult::Failed];

    #[test]
    fn results_are_read_with_and_without_their_sale_and_ledger() {
        let sale = SaleId::new(7).unwrap();
        let (ours, _) = tags();
        for result in BOTH {
            for ledger in [ours, None] {
                let written = format_result(ledger, sale, result);
                let read = Some((result, Some(sale)));
                assert_eq!(parse_result(ours, &written), read, "{written}");
                assert_eq!(parse_result(None, &written), read, "{written}");
            }
        }
        let (success, failed) = (PurchaseResult::Success, PurchaseResult::Failed);
        assert_eq!(parse_result(ours, "SUCCESS"), Some((success, None)));
        assert_eq!(parse_result(ours, "FAILED"), Some((failed, None)));
        assert_eq!(parse_result(ours, "1"), Some((success, None)));
        assert_eq!(parse_result(ours, "0"), Some((failed, None)));
        for unknown in [
            "",
            "2",
            "10",
            "01",
            "1:7",
            "-1",
            "SUCCESSFUL",
            "SUCCESS:7:x",
            "FAILED@:x:7",
        ] {
            assert!(
                parse_result(ours, unknown).is_none_or(|(_, sale)| sale.is_none()),
                "{unknown}"
            );
        }
    }

    #[test]
    fn a_result_of_another_ledger_is_none() {
        let sale = SaleId::new(7).unwrap();
        let (ours, other) = tags();
        for result in BOTH {
            let written = format_result(other, sale, result);
            assert_eq!(parse_result(ours, &written), None);
            assert_eq!(parse_result_of(ours, &written, sale), None);
        }
    }

    /// `parse_result` of the version before results named a ledger.
    fn read_by_the_version_before(text: &str) -> Option<(PurchaseResult, Option<SaleId>)> {
        let (word, sale) = text.split_once(':').unwrap_or((text, ""));
        let sale = sale.parse().ok().and_then(SaleId::new);
        match word {
            "SUCCESS" => Some((PurchaseResult::Success, sale)),
            "FAILED" => Some((PurchaseResult::Failed, sale)),
            _ => None,
        }
    }

    #[test]
    fn the_version_before_tells_no_failed_of_a_sale_that_it_cannot_read() {
        let sale = SaleId::new(7).unwrap();
        let read =
            BOTH.map(|result| read_by_the_version_before(&format_result(tags().0, sale, result)));
        assert_eq!(read, [Some((PurchaseResult::Success, None)), None]);
    }

    #[test]
    fn a_result_of_another_sale_is_none_of_this_one() {
        let (sale, other) = (SaleId::new(7).unwrap(), SaleId::new(77).unwrap());
        let (ours, _) = tags();
        for result in BOTH {
            let text = format_result(ours, sale, result);
            assert_eq!(parse_result_of(ours, &text, sale), Some(result));
            assert_eq!(parse_result_of(ours, &text, other), None);
        }
        assert_eq!(parse_result_of(ours, "SUCCESS", sale), None);
        assert_eq!(parse_result_of(ours, "1", sale), None);
        assert_eq!(
            parse_result_of(ours, "0", sale),
            Some(PurchaseResult::Failed)
        );
        assert_eq!(
            parse_result_of(ours, "FAILED", sale),
            Some(PurchaseResult::Failed)
        );
    }
}
