//! Repairs what can safely be repaired: the gate and the results are brought in line with the ledger, which is taken as right.
//! The ledger itself is never changed.

use std::time::Duration;

use tokio::time::Instant;

use super::{Audit, AuditError, Finding, Report, SaleAudit};
use crate::{
    ids::{AttemptId, SaleId, UserId},
    port::{
        Attempt, GateStatus, Outcome, PurchaseResult, ResultEntry, SaleListing, Settlement,
        UnloadOutcome,
    },
};

/// Time limit of waiting until no attempt of a sale is pending, and then of waiting until a worker has loaded the sale.
const WAIT_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two tries while waiting.
const PAUSE: Duration = Duration::from_millis(200);

/// A repair for findings of one sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairAction {
    /// Write the result SUCCESS for these shoppers, who have orders.
    TellSuccess(Vec<UserId>),
    /// Delete the result SUCCESS of these shoppers, who have no orders.
    ForgetSuccess(Vec<UserId>),
    /// Record these orders in the gate, as the worker that settled them should have done.
    RecordOrders(Vec<(UserId, AttemptId)>),
    /// Unload the sale from the gate, so that a worker loads it again.
    Reload,
}

/// The outcome of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairOutcome {
    Done,
    /// The repair is not possible now, for this reason.
    NotYet(&'static str),
}

/// The repairs of a sale, in the order in which they must be applied. There is none for a finding that a person must decide
/// about.
#[must_use]
pub fn plan(sheet: &SaleAudit) -> Vec<RepairAction> {
    let (mut success, mut forget, mut record, mut reload) = (vec![], vec![], vec![], false);
    for finding in &sheet.findings {
        match *finding {
            Finding::FailedDespiteOrder { user } => success.push(user),
            Finding::SuccessWithoutOrder { user } => forget.push(user),
            Finding::UnknownOrder { user, attempt } => record.push((user, attempt)),
            Finding::OffBalance { .. } | Finding::HolderWithoutOrder { .. } => reload = true,
            Finding::Oversold { .. }
            | Finding::WrongRemaining { .. }
            | Finding::SecondOrder { .. }
            | Finding::SecondOrderOfAttempt { .. }
            | Finding::OrderOfFailedAttempt { .. } => {}
        }
    }
    let mut actions = Vec::new();
    if !success.is_empty() {
        actions.push(RepairAction::TellSuccess(success));
    }
    if !forget.is_empty() {
        actions.push(RepairAction::ForgetSuccess(forget));
    }
    if reload {
        // Loading the sale again also brings the unknown orders into the gate.
        actions.push(RepairAction::Reload);
    } else if !record.is_empty() {
        actions.push(RepairAction::RecordOrders(record));
    }
    actions
}

/// True if none of the findings can be repaired here.
#[must_use]
pub fn is_beyond_repair(report: &Report) -> bool {
    report.sheets.iter().all(|sheet| plan(sheet).is_empty())
}

impl Audit {
    /// Applies a repair to a sale.
    pub async fn apply_repair(
        &self,
        listing: &SaleListing,
        action: &RepairAction,
    ) -> Result<RepairOutcome, AuditError> {
        let gate = &self.engines.gate;
        match action {
            RepairAction::TellSuccess(users) => {
                gate.write_results(&success_results(listing, users)).await?;
                Ok(RepairOutcome::Done)
            }
            RepairAction::ForgetSuccess(users) => {
                gate.forget_results(&success_results(listing, users))
                    .await?;
                Ok(RepairOutcome::Done)
            }
            RepairAction::RecordOrders(orders) => {
                let settlement = |&(user, id): &(UserId, AttemptId)| Settlement {
                    attempt: Attempt {
                        id,
                        sale: listing.id,
                        product: listing.product,
                        user,
                        at: self.engines.clock.now(),
                    },
                    outcome: Outcome::Ordered,
                };
                let settlements: Vec<_> = orders.iter().map(settlement).collect();
                gate.record(listing.id, &settlements).await?;
                Ok(RepairOutcome::Done)
            }
            RepairAction::Reload => self.reload(listing.id).await,
        }
    }

    async fn reload(&self, sale: SaleId) -> Result<RepairOutcome, AuditError> {
        let gate = &self.engines.gate;
        let deadline = Instant::now() + WAIT_LIMIT;
        while gate.unload(sale).await? == UnloadOutcome::AttemptsPending {
            if Instant::now() >= deadline {
                return Ok(RepairOutcome::NotYet(
                    "attempts are in flight; try again when it is quiet",
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
        if self
            .is_open_before(sale, Instant::now() + WAIT_LIMIT)
            .await?
        {
            Ok(RepairOutcome::Done)
        } else {
            Ok(RepairOutcome::NotYet(
                "closed until a worker loads it: is one running?",
            ))
        }
    }

    async fn is_open_before(&self, sale: SaleId, deadline: Instant) -> Result<bool, AuditError> {
        while !matches!(
            self.engines.gate.status(sale).await?,
            GateStatus::Open { .. }
        ) {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(true)
    }
}

fn success_results(listing: &SaleListing, users: &[UserId]) -> Vec<ResultEntry> {
    let entry = |user: &UserId| ResultEntry {
        sale: listing.id,
        product: listing.product,
        user: *user,
        result: PurchaseResult::Success,
    };
    users.iter().map(entry).collect()
}
