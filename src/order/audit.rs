//! The audit: checks whether gate, log and ledger keep the promises. This file compares what was read, without I/O; `read`
//! reads it through the ports, and `repair` repairs what can safely be repaired.
//!
//! # Why it may run in the middle of a sale
//!
//! Two servers cannot be read at the same moment. So the audit reads a sale in this order: the ledger (*before*), the gate, the
//! results, the ledger again (*after*). It compares only conditions that hold at every moment, whatever is in flight:
//!
//! - The ledger is read in one snapshot. It has `remaining + orders = initial`, at most one order a shopper and an attempt, and
//!   no order of an attempt whose recorded outcome is another one. Always.
//! - `available + holders + withdrawn = initial` in an open gate, read in one step: reserving and giving back move a unit
//!   between the first two, recording an order keeps its holder, or takes a unit for a holder who was not known, units on
//!   their way out of the sale move from the first to the last, and a sale is opened so.
//!   Together with the next two this is the balance of `docs/REFERENCE.md`, `available + pending + withdrawn = remaining +
//!   orders not yet counted`, and unlike that it needs only one server to be read.
//! - A holder who is ordered in the gate has an order *after*: the gate is told after the commit. An order that an operator
//!   ends stays in the gate until the workers have taken it out, within two seconds.
//! - A shopper whose stored result is SUCCESS has an order *after*, with the same exception.
//! - A shopper with an order *before* is a holder in an open gate as soon as the worker has recorded the order there. From then
//!   on the stored result is not FAILED either, unless the shopper is pending.
//!
//! The last three conditions may fail for a moment, until a worker has recorded an order or taken one out. So a suspicious sale
//! is read several times, and only findings of every reading are reported.
//!
//! A pending attempt is no finding: a worker will settle and record it. The relay appends it to the log again if necessary, and
//! also takes care of old pending entries.

pub mod document;
pub mod read;
pub mod repair;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem::Discriminant,
};

pub use read::{Audit, AuditError};
pub use repair::{RepairAction, RepairOutcome};

use crate::{
    ids::{AttemptId, SaleId, UserId},
    port::{
        ActionLogCheck, GateStatus, HeldUnit, Holder, Offset, Partition, PurchaseResult,
        SaleListing, SaleSnapshot, SettledAttempt, Standing,
    },
};

/// One reading of a sale, in the order of the fields.
#[derive(Debug, Clone)]
pub struct SaleReading {
    pub before: SaleSnapshot,
    pub status: GateStatus,
    pub held_units: Vec<HeldUnit>,
    /// The stored results of this sale.
    pub stored: BTreeMap<UserId, PurchaseResult>,
    pub after: SaleSnapshot,
}

/// The settled attempts of a sale that have no order, or whose order contradicts their outcome. A recorded outcome never
/// changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Attempts whose outcome is an order, which has been removed by hand.
    pub removed: Vec<Holder>,
    /// Attempts with another outcome that have an order nevertheless.
    pub contradicted: Vec<Holder>,
    /// All shoppers with an attempt that has no order.
    pub without_order: BTreeSet<UserId>,
}

/// Something that breaks a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    Oversold {
        orders: u64,
        initial: u64,
    },
    /// The ledger's remaining stock is not `initial` minus the orders.
    WrongRemaining {
        remaining: u64,
        expected: i64,
    },
    SecondOrder {
        user: UserId,
    },
    SecondOrderOfAttempt {
        attempt: AttemptId,
    },
    /// The attempt was recorded as failed, and has an order.
    OrderOfFailedAttempt {
        user: UserId,
        attempt: AttemptId,
    },
    /// The gate's units are more or fewer than the sale has.
    OffBalance {
        available: i64,
        holders: u64,
        withdrawn: u64,
        initial: u64,
    },
    /// The shopper's unit is ordered in the gate, and the ledger has no order.
    HolderWithoutOrder {
        user: UserId,
        attempt: AttemptId,
    },
    /// The shopper of an order is no holder in the gate, which would sell the unit again.
    UnknownOrder {
        user: UserId,
        attempt: AttemptId,
    },
    FailedDespiteOrder {
        user: UserId,
    },
    SuccessWithoutOrder {
        user: UserId,
    },
}

/// A sale's balance sheet.
#[derive(Debug, Clone)]
pub struct SaleAudit {
    pub listing: SaleListing,
    pub initial: u64,
    pub remaining: u64,
    /// Number of SUCCESS orders.
    pub sold: u64,
    /// Number of orders that have been removed by hand. They break no promise, but are reported.
    pub removed: u64,
    /// Number of shoppers with a settled attempt and no order, except removed ones: no unit was left, the account did not exist,
    /// or the record was rejected.
    pub without_unit: u64,
    pub status: GateStatus,
    /// Number of records in the log that are not settled.
    pub unsettled: u64,
    /// Number of dead letters without a decision.
    pub dead_letters: u64,
    pub findings: Vec<Finding>,
}

/// How far a partition of the log is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionAudit {
    pub partition: Partition,
    pub earliest: Offset,
    pub end: Offset,
    /// The offset of the first record that is not settled; `None` while the consumer group has committed nothing.
    pub settled: Option<Offset>,
}

/// The state of the log, which belongs to no single sale.
#[derive(Debug, Clone, Default)]
pub struct LogAudit {
    pub name: String,
    pub partitions: Vec<PartitionAudit>,
    /// Number of records that are not settled, computed from the offsets.
    pub unsettled: u64,
    /// Number of those that were not read because there are too many. They are counted for no sale.
    pub unread: u64,
    /// Number of dead letters without a decision, whether they name a sale or not.
    pub dead_letters: u64,
    /// True if there are more dead letters than were read.
    pub more_dead_letters: bool,
}

/// The result of an audit.
#[derive(Debug, Clone)]
pub struct Report {
    pub log: LogAudit,
    pub sheets: Vec<SaleAudit>,
    /// Whether the action log is as it was written.
    pub actions: ActionLogCheck,
}

impl Report {
    /// True if no promise is broken.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.actions.broken.is_none()
            && self.log.cut().next().is_none()
            && self.sheets.iter().all(|sheet| sheet.findings.is_empty())
    }
}

impl LogAudit {
    /// The partitions with records that were deleted before they were settled, and the number of those records.
    pub fn cut(&self) -> impl Iterator<Item = (Partition, u64)> {
        self.partitions.iter().filter_map(|sheet| {
            let missing = sheet.earliest.0 - sheet.settled?.0;
            let missing = u64::try_from(missing).ok().filter(|missing| *missing > 0)?;
            Some((sheet.partition, missing))
        })
    }
}

impl Finding {
    /// The subject of a finding: its fields without the figures that change during a sale, so that it is the same in every
    /// reading.
    fn subject(&self) -> (Discriminant<Self>, Option<UserId>, Option<AttemptId>) {
        let (user, attempt) = match self {
            Self::Oversold { .. } | Self::WrongRemaining { .. } | Self::OffBalance { .. } => {
                (None, None)
            }
            Self::SecondOrder { user }
            | Self::FailedDespiteOrder { user }
            | Self::SuccessWithoutOrder { user } => (Some(*user), None),
            Self::SecondOrderOfAttempt { attempt } => (None, Some(*attempt)),
            Self::OrderOfFailedAttempt { user, attempt }
            | Self::HolderWithoutOrder { user, attempt }
            | Self::UnknownOrder { user, attempt } => (Some(*user), Some(*attempt)),
        };
        (std::mem::discriminant(self), user, attempt)
    }
}

/// The findings of a later reading whose subjects an earlier reading had as well.
#[must_use]
pub fn persisting(earlier: &[Finding], later: Vec<Finding>) -> Vec<Finding> {
    let known: std::collections::HashSet<_> = earlier.iter().map(Finding::subject).collect();
    later
        .into_iter()
        .filter(|finding| known.contains(&finding.subject()))
        .collect()
}

/// Adds settled attempts to the summaries of their sales.
pub fn note_attempts(sales: &mut BTreeMap<SaleId, Attempts>, settled: &[SettledAttempt]) {
    for settled in settled {
        let holder = Holder {
            user: settled.user,
            attempt: settled.attempt,
        };
        match (settled.ordered, settled.has_order) {
            (true, true) => {}
            (false, true) => {
                let attempts = sales.entry(settled.sale).or_default();
                attempts.contradicted.push(holder);
            }
            (ordered, false) => {
                let attempts = sales.entry(settled.sale).or_default();
                attempts.without_order.insert(settled.user);
                if ordered {
                    attempts.removed.push(holder);
                }
            }
        }
    }
}

/// The findings of one reading of a sale.
#[must_use]
pub fn compare(look: &SaleReading, attempts: &Attempts) -> Vec<Finding> {
    let mut findings = check_ledger(&look.after);
    let contradicted = attempts.contradicted.iter();
    findings.extend(
        contradicted
            .map(|&Holder { user, attempt }| Finding::OrderOfFailedAttempt { user, attempt }),
    );
    findings.extend(check_gate(look));

    let held: HashMap<UserId, Standing> = look
        .held_units
        .iter()
        .map(|held_unit| (held_unit.user, held_unit.standing))
        .collect();
    let after: BTreeSet<UserId> = look.after.holders.iter().map(|order| order.user).collect();
    for held_unit in &look.held_units {
        if held_unit.standing == Standing::Success && !after.contains(&held_unit.user) {
            findings.push(Finding::HolderWithoutOrder {
                user: held_unit.user,
                attempt: held_unit.attempt,
            });
        }
    }
    let open = matches!(look.status, GateStatus::Open { .. });
    // Orders that ended between the two readings of the ledger are not compared.
    let orders = look.before.holders.iter();
    for &Holder { user, attempt } in orders.filter(|order| after.contains(&order.user)) {
        let standing = held.get(&user);
        if open && standing.is_none() {
            findings.push(Finding::UnknownOrder { user, attempt });
        }
        // The result of a pending shopper is about to be written.
        if standing != Some(&Standing::Pending)
            && look.stored.get(&user) == Some(&PurchaseResult::Failed)
        {
            findings.push(Finding::FailedDespiteOrder { user });
        }
    }
    for (&user, result) in &look.stored {
        if *result == PurchaseResult::Success && !after.contains(&user) {
            findings.push(Finding::SuccessWithoutOrder { user });
        }
    }
    findings
}

fn check_ledger(snapshot: &SaleSnapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    let orders = snapshot.holders.len() as u64;
    if orders > snapshot.initial {
        findings.push(Finding::Oversold {
            orders,
            initial: snapshot.initial,
        });
    }
    if snapshot.remaining + orders != snapshot.initial {
        findings.push(Finding::WrongRemaining {
            remaining: snapshot.remaining,
            expected: difference(snapshot.initial, orders),
        });
    }
    let (mut users, mut attempts) = (BTreeSet::new(), BTreeSet::new());
    for &Holder { user, attempt } in &snapshot.holders {
        if !users.insert(user) {
            findings.push(Finding::SecondOrder { user });
        }
        if !attempts.insert(attempt) {
            findings.push(Finding::SecondOrderOfAttempt { attempt });
        }
    }
    findings
}

fn check_gate(look: &SaleReading) -> Option<Finding> {
    let GateStatus::Open {
        available, holders, ..
    } = look.status
    else {
        return None;
    };
    let initial = look.after.initial;
    let withdrawn = look.status.withdrawn_units();
    let is_balanced = available == difference(initial, holders.saturating_add(withdrawn));
    // Units were added between the two readings of the ledger.
    let is_moving = look.before.initial != initial;
    (!is_balanced && !is_moving).then_some(Finding::OffBalance {
        available,
        holders,
        withdrawn,
        initial,
    })
}

fn difference(one: u64, other: u64) -> i64 {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    signed(one).saturating_sub(signed(other))
}

#[cfg(test)]
mod tests;
