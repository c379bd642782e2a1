//! The report of an audit for people.

use super::Repair;
use crate::{
    order::audit::{
        Finding, LogAudit, RepairAction, RepairOutcome, Report, SaleAudit, document::kind,
    },
    port::{ActionLogCheck, GateStatus},
    terminal::{Plain, say},
};

/// Maximum number of findings that are printed of each kind and sale. The JSON document has all of them.
const SHOWN: usize = 10;

pub(in super::super) fn report(report: &Report) {
    for sheet in &report.sheets {
        sale(sheet);
    }
    log(&report.log);
    actions(&report.actions);
    let broken: usize = report.sheets.iter().map(|sheet| sheet.findings.len()).sum();
    let broken = broken + report.log.cut().count() + usize::from(report.actions.broken.is_some());
    if broken == 0 {
        say!("\nEvery promise holds.");
    } else {
        say!("\nBROKEN: {broken} findings.");
    }
}

pub(super) fn repairs(repairs: &[Repair]) {
    say!("\nRepairs");
    if repairs.is_empty() {
        say!("  nothing that can safely be repaired");
    }
    for repair in repairs {
        let outcome = match repair.outcome {
            None => "would",
            Some(RepairOutcome::Done) => "done",
            Some(RepairOutcome::NotYet(cause)) => cause,
        };
        say!(
            "  sale {}: {} ({outcome})",
            repair.sale,
            action(&repair.action)
        );
    }
    if repairs.iter().any(|repair| repair.outcome.is_none()) {
        say!("Nothing was changed; --repair --yes does it.");
    }
}

pub(super) fn hint() {
    say!("--repair lists what can safely be repaired.");
}

/// The findings of a report in words, up to [`SHOWN`] of each sale.
pub(in super::super) fn findings(report: &Report) -> Vec<String> {
    let of_sale = |sheet: &SaleAudit| {
        let sale = sheet.listing.id;
        let findings = sheet.findings.iter().take(SHOWN);
        let findings =
            findings.map(move |finding| format!("sale {sale}: {}", description(finding)));
        findings.collect::<Vec<_>>()
    };
    let of_log = report.log.cut().map(|(partition, missing)| {
        format!("partition {partition}: {missing} records were deleted before they were settled")
    });
    let of_sales = report.sheets.iter().flat_map(of_sale);
    let of_actions = report.actions.broken.as_ref();
    let of_actions = of_actions.map(|broken| format!("action log: {broken}"));
    of_sales.chain(of_log).chain(of_actions).collect()
}

fn sale(sheet: &SaleAudit) {
    let listing = &sheet.listing;
    let day = |at: chrono::DateTime<chrono::Utc>| at.format("%FT%TZ").to_string();
    say!(
        "Sale {}: {}, {} to {}",
        listing.id,
        Plain(&listing.product_name),
        day(listing.window.start),
        day(listing.window.end)
    );
    say!(
        "  ledger  {} initial, {} sold, {} remaining",
        sheet.initial,
        sheet.sold,
        sheet.remaining
    );
    if sheet.removed > 0 {
        say!("          {} orders were removed by hand", sheet.removed);
    }
    if sheet.without_unit > 0 {
        say!(
            "          {} shoppers whose attempt was logged have no order: no unit was left for them, or no account",
            sheet.without_unit
        );
    }
    match &sheet.status {
        GateStatus::Unknown => {}
        GateStatus::Closed { pending } => {
            say!("  gate    closed, being loaded; {pending} pending");
        }
        GateStatus::Open {
            available,
            pending,
            holders,
            ..
        } => say!(
            "  gate    {available} available, {pending} pending, {} ordered",
            holders.saturating_sub(*pending)
        ),
    }
    if sheet.status.withdrawn_units() > 0 {
        say!(
            "          {} units are on their way out of the sale",
            sheet.status.withdrawn_units()
        );
    }
    if sheet.unsettled > 0 {
        say!("  log     {} records not settled yet", sheet.unsettled);
    }
    if sheet.dead_letters > 0 {
        say!("  dead letters without a decision: {}", sheet.dead_letters);
    }
    let mut kinds: Vec<&str> = Vec::new();
    for finding in &sheet.findings {
        if !kinds.contains(&kind(finding)) {
            kinds.push(kind(finding));
        }
    }
    for one in kinds {
        let of_kind = || sheet.findings.iter().filter(|finding| kind(finding) == one);
        for finding in of_kind().take(SHOWN) {
            say!("  BROKEN  {}", description(finding));
        }
        let more = of_kind().count().saturating_sub(SHOWN);
        if more > 0 {
            say!("          and {more} more like this");
        }
    }
}

fn log(log: &LogAudit) {
    say!(
        "Log {}: {} records not settled yet",
        Plain(&log.name),
        log.unsettled
    );
    if log.unread > 0 {
        say!(
            "  {} of them were not looked at: they count for no sale above",
            log.unread
        );
    }
    for (partition, missing) in log.cut() {
        say!(
            "  BROKEN  partition {partition}: {missing} records were deleted before they were settled (see the topic's retention)"
        );
    }
    let more = if log.more_dead_letters {
        " or more"
    } else {
        ""
    };
    say!(
        "Dead letters without a decision: {}{more}",
        log.dead_letters
    );
}

fn actions(check: &ActionLogCheck) {
    say!("Action log: {} entries as they were written", check.entries);
    if let Some(broken) = &check.broken {
        say!("  BROKEN  {broken}");
    }
}

fn description(finding: &Finding) -> String {
    match finding {
        Finding::Oversold { orders, initial } => {
            format!("oversold: {orders} orders of {initial} units")
        }
        Finding::WrongRemaining {
            remaining,
            expected,
        } => format!("the ledger says that {remaining} units remain, its orders leave {expected}"),
        Finding::SecondOrder { user } => format!("shopper {user} has more than one order"),
        Finding::SecondOrderOfAttempt { attempt } => {
            format!("attempt {attempt} has more than one order")
        }
        Finding::OrderOfFailedAttempt { user, attempt } => {
            format!("attempt {attempt} of shopper {user} was recorded as failed, and has an order")
        }
        Finding::OffBalance {
            available,
            holders,
            withdrawn,
            initial,
        } => format!(
            "the gate has {available} units available, {holders} held and {withdrawn} set aside, of {initial} units"
        ),
        Finding::HolderWithoutOrder { user, attempt } => {
            format!("shopper {user} is ordered in the gate and has no order (attempt {attempt})")
        }
        Finding::UnknownOrder { user, attempt } => {
            format!("the gate does not know the order of shopper {user} (attempt {attempt})")
        }
        Finding::FailedDespiteOrder { user } => {
            format!("shopper {user} has an order, and the stored result says FAILED")
        }
        Finding::SuccessWithoutOrder { user } => {
            format!("shopper {user} has no order, and the stored result says SUCCESS")
        }
    }
}

fn action(action: &RepairAction) -> String {
    match action {
        RepairAction::TellSuccess(users) => format!("tell {} shoppers SUCCESS", users.len()),
        RepairAction::ForgetSuccess(users) => {
            format!("forget the result of {} shoppers", users.len())
        }
        RepairAction::RecordOrders(orders) => format!("tell the gate of {} orders", orders.len()),
        RepairAction::Reload => {
            "drop it from the gate, to be loaded anew from the ledger".to_owned()
        }
    }
}
