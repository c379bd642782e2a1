//! What is kept under which key, and how values are written.
//!
//! All keys of one sale share the hash tag `{<sale>}`, so that a cluster has them on one node:
//! - `flashsale:{<sale>}:stock`: units that can be reserved;
//! - `flashsale:{<sale>}:holders`: hash of user id to a state letter and the attempt id. `p` pending, `c` pending and
//!   claimed, `s` an order stands, `l` an order stands that was recorded while the sale was not open;
//! - `flashsale:{<sale>}:pending`: sorted set of the users in state `p` or `c`, and of no others, by the time of their
//!   reservation or last claim (ms). Their attempts are in `holders`. From the opening on it also has the mark
//!   `ledger:<id>`, scored infinity: without it, the key was lost;
//! - `flashsale:{<sale>}:meta`: hash of `state` (`open`, `loading`, `closed`), `start`, `end`, `expires`,
//!   `load_started` (ms), `token`, `run_id` of the server, `late`, `returns`, `ledger` (whose sale it is), `version` and
//!   `total` of the terms in force, and `unlisted` while holders of a closed sale may be missing from `pending`;
//! - `flashsale:{<sale>}:ended`: set of attempts whose orders the ledger has ended and that were taken out.
//!
//! Attempt ids are kept as their 16 bytes: shorter than any text, and nothing has to be encoded on the hot path.
//! Results are under the original service's key, `flashsale:result:<user>:<product>`, outside the sale's slot.

use std::fmt::Write;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use fred::{prelude::Value, types::Key};
use uuid::Uuid;

use crate::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Holder, PurchaseResult, ResultEntry},
};

/// How many shoppers go into one call where any number may come: about a millisecond, in which the server does nothing
/// else.
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

/// Many of them, in one piece of memory.
pub(super) fn result_keys(of: impl Iterator<Item = (UserId, ProductId)>) -> Vec<Key> {
    let (mut text, mut ends) = (String::new(), Vec::new());
    for (user, product) in of {
        // A string takes whatever is written to it.
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

fn sale_key(sale: SaleId, name: &str) -> Key {
    format!("flashsale:{{{sale}}}:{name}").into()
}

/// The attempts' ids in one string, then the users: how scripts take shoppers. `head` comes before both.
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

/// A result as it is kept: with the sale that it came from.
pub(super) fn format_result(entry: &ResultEntry) -> Value {
    let word = match entry.result {
        PurchaseResult::Success => "SUCCESS",
        PurchaseResult::Failed => "FAILED",
    };
    format!("{word}:{}", entry.sale).into()
}

/// A kept result and its sale. The original service wrote the bare word.
pub(super) fn parse_result(text: &str) -> Option<(PurchaseResult, Option<SaleId>)> {
    let (word, sale) = text.split_once(':').unwrap_or((text, ""));
    let sale = sale.parse().ok().and_then(SaleId::new);
    match word {
        "SUCCESS" => Some((PurchaseResult::Success, sale)),
        "FAILED" => Some((PurchaseResult::Failed, sale)),
        _ => None,
    }
}

/// A kept result, if it is of this sale. Of the original service's bare words, SUCCESS may be of an earlier sale; a FAILED
/// over an order of this one is wrong whatever it was of.
pub(super) fn parse_result_of(text: &str, sale: SaleId) -> Option<PurchaseResult> {
    let (result, of) = parse_result(text)?;
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

    fn written(result: PurchaseResult, sale: SaleId) -> String {
        let entry = ResultEntry {
            sale,
            product: ProductId::new(1).unwrap(),
            user: UserId::new(1).unwrap(),
            result,
        };
        format_result(&entry).into_string().unwrap()
    }

    #[test]
    fn results_are_read_with_and_without_their_sale() {
        let sale = SaleId::new(7).unwrap();
        for result in [PurchaseResult::Success, PurchaseResult::Failed] {
            let written = written(result, sale);
            assert_eq!(parse_result(&written), Some((result, Some(sale))));
        }
        let (success, failed) = (PurchaseResult::Success, PurchaseResult::Failed);
        assert_eq!(parse_result("SUCCESS"), Some((success, None)));
        assert_eq!(parse_result("FAILED"), Some((failed, None)));
        assert_eq!(parse_result(""), None);
        assert_eq!(parse_result("SUCCESSFUL"), None);
    }

    #[test]
    fn a_result_of_another_sale_is_none_of_this_one() {
        let (sale, other) = (SaleId::new(7).unwrap(), SaleId::new(77).unwrap());
        for result in [PurchaseResult::Success, PurchaseResult::Failed] {
            let text = written(result, sale);
            assert_eq!(parse_result_of(&text, sale), Some(result));
            assert_eq!(parse_result_of(&text, other), None);
        }
        assert_eq!(parse_result_of("SUCCESS", sale), None);
        assert_eq!(
            parse_result_of("FAILED", sale),
            Some(PurchaseResult::Failed)
        );
    }
}
