//! An audit for programs: the document, with what was repaired.

use serde_json::{Value, json};

use super::Repair;
use crate::{
    order::audit::{RepairAction, RepairOutcome, Report, document},
    terminal::print_json,
};

pub(super) fn print(report: &Report, repairs: Option<&Vec<Repair>>) -> anyhow::Result<()> {
    let document = document(report, repairs);
    Ok(print_json(&document)?)
}

pub(in super::super) fn document(report: &Report, repairs: Option<&Vec<Repair>>) -> Value {
    let mut document = document::of(report);
    if let (Some(repairs), Some(document)) = (repairs, document.as_object_mut()) {
        let repairs: Vec<_> = repairs.iter().map(repair).collect();
        document.insert("repairs".to_owned(), repairs.into());
    }
    document
}

fn repair(repair: &Repair) -> Value {
    let (what, count) = match &repair.action {
        RepairAction::TellSuccess(users) => ("tell_success", users.len()),
        RepairAction::ForgetSuccess(users) => ("forget_success", users.len()),
        RepairAction::RecordOrders(orders) => ("record_orders", orders.len()),
        RepairAction::Reload => ("reload", 1),
    };
    let (state, cause) = match repair.outcome {
        None => ("planned", None),
        Some(RepairOutcome::Done) => ("done", None),
        Some(RepairOutcome::NotYet(cause)) => ("not_yet", Some(cause)),
    };
    json!({ "saleId": repair.sale.value(), "remedy": what, "count": count, "state": state, "cause": cause })
}
