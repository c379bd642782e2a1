//! An audit as one JSON document, for programs. Ids of users are texts, as in the API; names and codes are stable.

use serde_json::{Value, json};

use super::{Finding, LogAudit, PartitionAudit, Report, SaleAudit};
use crate::port::{GateStatus, Partition};

/// The whole report.
#[must_use]
pub fn of(report: &Report) -> Value {
    json!({
        "clean": report.is_clean(),
        "sales": report.sheets.iter().map(sale).collect::<Vec<_>>(),
        "log": log(&report.log),
        "actionLog": { "entries": report.actions.entries, "broken": report.actions.broken },
    })
}

/// The code of a finding.
#[must_use]
pub fn kind(finding: &Finding) -> &'static str {
    match finding {
        Finding::Oversold { .. } => "oversold",
        Finding::WrongRemaining { .. } => "wrong_remaining",
        Finding::SecondOrder { .. } => "second_order",
        Finding::SecondOrderOfAttempt { .. } => "second_order_of_attempt",
        Finding::OrderOfFailedAttempt { .. } => "order_of_failed_attempt",
        Finding::OffBalance { .. } => "off_balance",
        Finding::HolderWithoutOrder { .. } => "holder_without_order",
        Finding::UnknownOrder { .. } => "unknown_order",
        Finding::FailedDespiteOrder { .. } => "failed_despite_order",
        Finding::SuccessWithoutOrder { .. } => "success_without_order",
    }
}

fn sale(sheet: &SaleAudit) -> Value {
    json!({
        "id": sheet.listing.id.value(),
        "productId": sheet.listing.product.value(),
        "initial": sheet.initial,
        "sold": sheet.sold,
        "remaining": sheet.remaining,
        "removedByHand": sheet.removed,
        "loggedWithoutOrder": sheet.without_unit,
        "gate": gate(&sheet.status),
        "notSettled": sheet.unsettled,
        "deadLetters": sheet.dead_letters,
        "findings": sheet.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn gate(status: &GateStatus) -> Value {
    match status {
        GateStatus::Unknown => Value::Null,
        GateStatus::Closed { pending } => json!({ "state": "closed", "pending": pending }),
        GateStatus::Open {
            available,
            pending,
            holders,
            ..
        } => json!({
            "state": "open",
            "available": available,
            "pending": pending,
            "ordered": holders.saturating_sub(*pending),
            "withdrawn": status.withdrawn_units(),
        }),
    }
}

fn finding(finding: &Finding) -> Value {
    let mut fields = match *finding {
        Finding::Oversold { orders, initial } => json!({ "orders": orders, "initial": initial }),
        Finding::WrongRemaining {
            remaining,
            expected,
        } => json!({ "remaining": remaining, "expected": expected }),
        Finding::SecondOrderOfAttempt { attempt } => json!({ "attemptId": attempt }),
        Finding::OffBalance {
            available,
            holders,
            withdrawn,
            initial,
        } => json!({
            "available": available,
            "holders": holders,
            "withdrawn": withdrawn,
            "initial": initial,
        }),
        Finding::SecondOrder { user }
        | Finding::FailedDespiteOrder { user }
        | Finding::SuccessWithoutOrder { user } => json!({ "userId": user.to_string() }),
        Finding::OrderOfFailedAttempt { user, attempt }
        | Finding::HolderWithoutOrder { user, attempt }
        | Finding::UnknownOrder { user, attempt } => {
            json!({ "userId": user.to_string(), "attemptId": attempt })
        }
    };
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("kind".to_owned(), kind(finding).into());
    }
    fields
}

fn log(log: &LogAudit) -> Value {
    let partition = |sheet: &PartitionAudit| {
        json!({
            "partition": sheet.partition.0,
            "earliest": sheet.earliest.0,
            "settled": sheet.settled.map(|offset| offset.0),
            "end": sheet.end.0,
        })
    };
    let cut = |(partition, records): (Partition, u64)| json!({ "kind": "cut_before_settled", "partition": partition.0, "records": records });
    json!({
        "name": log.name,
        "partitions": log.partitions.iter().map(partition).collect::<Vec<_>>(),
        "notSettled": log.unsettled,
        "notRead": log.unread,
        "deadLetters": log.dead_letters,
        "moreDeadLetters": log.more_dead_letters,
        "findings": log.cut().map(cut).collect::<Vec<_>>(),
    })
}
