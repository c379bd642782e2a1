//! Mends what can safely be mended: the ledger is right, and gate and results are brought in line with it. The ledger
//! itself is never touched.

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

/// How long attempts in flight are waited for, and again a worker that is to load a sale.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// What can be done about findings of one sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairAction {
    /// Tell these shoppers SUCCESS: they have orders.
    TellSuccess(Vec<UserId>),
    /// Forget what these shoppers were told: they have no orders.
    ForgetSuccess(Vec<UserId>),
    /// Tell the gate of these orders, as the worker would have that settled them.
    RecordOrders(Vec<(UserId, AttemptId)>),
    /// Have the gate forget the sale, so that a worker loads it anew.
    Reload,
}

/// What came of a action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairOutcome {
    Done,
    /// Not now, for this reason.
    NotYet(&'static str),
}

/// What can be done about a sale, in the order in which it is to be done. What a person must decide is not in it.
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
        // Brings the unknown orders along.
        actions.push(RepairAction::Reload);
    } else if !record.is_empty() {
        actions.push(RepairAction::RecordOrders(record));
    }
    actions
}

/// True if nothing of what is broken can be mended here.
#[must_use]
pub fn is_beyond_repair(report: &Report) -> bool {
    report.sheets.iter().all(|sheet| plan(sheet).is_empty())
}

impl Audit {
    /// Applies a action to a sale.
    pub async fn apply_repair(
        &self,
        listing: &SaleListing,
        action: &RepairAction,
    ) -> Result<RepairOutcome, AuditError> {
        let gate = &self.engines.gate;
        match action {
            RepairAction::TellSuccess(users) => {
                gate.write_results(&success(listing, users)).await?;
                Ok(RepairOutcome::Done)
            }
            RepairAction::ForgetSuccess(users) => {
                gate.forget_results(&success(listing, users)).await?;
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
        let deadline = Instant::now() + PATIENCE;
        while gate.unload(sale).await? == UnloadOutcome::AttemptsPending {
            if Instant::now() >= deadline {
                return Ok(RepairOutcome::NotYet(
                    "attempts are in flight; try again when it is quiet",
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
        if self.is_open_before(sale, Instant::now() + PATIENCE).await? {
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

fn success(listing: &SaleListing, users: &[UserId]) -> Vec<ResultEntry> {
    let entry = |user: &UserId| ResultEntry {
        sale: listing.id,
        product: listing.product,
        user: *user,
        result: PurchaseResult::Success,
    };
    users.iter().map(entry).collect()
}
