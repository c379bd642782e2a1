//! The audit: whether gate, log and ledger keep the promises. Here is the comparison of what was read, without I/O; `read`
//! reads it behind the ports, `repair` mends what can safely be mended.
//!
//! # Why it may run in the middle of a sale
//!
//! No two servers can be read at one moment. So a sale is looked at in this order: the ledger (*before*), the gate, the
//! results, the ledger again (*after*); and only that is compared which holds at every moment, whatever is in flight:
//!
//! - The ledger is read in one snapshot, in which `remaining + orders = initial`, one order a shopper and an attempt, and
//!   no order of an attempt whose recorded outcome is another one. Always.
//! - `available + holders + withdrawn = initial` in an open gate, read in one step: reserving and giving back move a unit
//!   between the first two, recording an order keeps its holder, or takes a unit for a holder who was not known, units on
//!   their way out of the sale move from the first to the last, and a sale is opened so.
//!   Together with the next two this is the balance of `docs/ARCHITECTURE.md`, `available + pending + withdrawn = remaining +
//!   orders not yet counted`, and unlike that it needs only one server to be read.
//! - A holder who is ordered in the gate has an order *after*: the gate is told after the commit. An order that an operator
//!   ends stays in the gate until the workers have taken it out, within two seconds.
//! - A shopper who is told SUCCESS has an order *after*, with the same exception.
//! - A shopper with an order *before* is known to an open gate, or will be as soon as the worker that settled it has told
//!   the gate. And a shopper with an order *before* who is not pending is not told FAILED, or not for long.
//!
//! The last three lag behind while a worker is about to record or to take out; so a suspicion is looked at several times,
//! and only what was found every time is reported.
//!
//! An attempt that is pending explains itself: sooner or later it is settled and recorded, by the relay if by nobody else.
//! Old pending entries are the relay's business, not the audit's.

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
        GateStatus, HeldUnit, Holder, Offset, Partition, PurchaseResult, SaleListing, SaleSnapshot,
        SettledAttempt, Standing,
    },
};

/// One look at a sale.
#[derive(Debug, Clone)]
pub struct SaleReading {
    pub before: SaleSnapshot,
    pub status: GateStatus,
    pub held_units: Vec<HeldUnit>,
    /// What is kept to be told of this sale.
    pub stored: BTreeMap<UserId, PurchaseResult>,
    pub after: SaleSnapshot,
}

/// What the settled attempts of a sale say about its orders. It cannot change while it is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Their order was made and has been removed by hand.
    pub removed: Vec<Holder>,
    /// Their outcome was another one, and yet an order of theirs stands.
    pub contradicted: Vec<Holder>,
    /// Everyone with an attempt that has no order.
    pub without_order: BTreeSet<UserId>,
}

/// Something that breaks a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    Oversold {
        orders: u64,
        initial: u64,
    },
    /// The ledger's stock is not what its orders leave.
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
    /// The attempt was recorded as failed, and its order stands.
    OrderOfFailedAttempt {
        user: UserId,
        attempt: AttemptId,
    },
    /// The gate has more or fewer units than there are.
    OffBalance {
        available: i64,
        holders: u64,
        withdrawn: u64,
        initial: u64,
    },
    /// Ordered in the gate, without an order.
    HolderWithoutOrder {
        user: UserId,
        attempt: AttemptId,
    },
    /// An order whose shopper the gate does not know: it would sell the unit again.
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
    /// SUCCESS orders.
    pub sold: u64,
    /// Orders that were made and have been removed by hand: no promise of ours, but worth knowing.
    pub removed: u64,
    /// Shoppers whose attempt was logged and settled, and who have no order: no unit was left, or the record was rejected. With a
    /// gate that never gave away a unit twice there are none.
    pub without_unit: u64,
    pub status: GateStatus,
    /// Records that are in the log and not settled.
    pub unsettled: u64,
    /// Dead letters about which nothing is decided.
    pub dead_letters: u64,
    pub findings: Vec<Finding>,
}

/// How far a partition of the log is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionAudit {
    pub partition: Partition,
    pub earliest: Offset,
    pub end: Offset,
    /// The first record that is not settled; `None` while the group has not read it yet.
    pub settled: Option<Offset>,
}

/// What concerns no sale alone.
#[derive(Debug, Clone, Default)]
pub struct LogAudit {
    pub name: String,
    pub partitions: Vec<PartitionAudit>,
    /// Records that are not settled, by the offsets.
    pub unsettled: u64,
    /// Those that were not read because they are so many: they count for no sale.
    pub unread: u64,
    /// Dead letters about which nothing is decided, of whatever sale or none.
    pub dead_letters: u64,
    /// There are more dead letters than were read.
    pub more_dead_letters: bool,
}

/// Everything that was found.
#[derive(Debug, Clone)]
pub struct Report {
    pub log: LogAudit,
    pub sheets: Vec<SaleAudit>,
}

impl Report {
    /// True if no promise is broken.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.log.cut().next().is_none() && self.sheets.iter().all(|sheet| sheet.findings.is_empty())
    }
}

impl LogAudit {
    /// Partitions whose records were deleted before they were settled, and how many.
    pub fn cut(&self) -> impl Iterator<Item = (Partition, u64)> {
        self.partitions.iter().filter_map(|sheet| {
            let missing = sheet.earliest.0 - sheet.settled?.0;
            let missing = u64::try_from(missing).ok().filter(|missing| *missing > 0)?;
            Some((sheet.partition, missing))
        })
    }
}

impl Finding {
    /// What it is about, without figures that move in a running sale: the same in every look.
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

/// The findings of a later look that an earlier one had, too.
#[must_use]
pub fn persisting(earlier: &[Finding], later: Vec<Finding>) -> Vec<Finding> {
    let known: std::collections::HashSet<_> = earlier.iter().map(Finding::subject).collect();
    later
        .into_iter()
        .filter(|finding| known.contains(&finding.subject()))
        .collect()
}

/// Sorts settled attempts by what they say, sale by sale.
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

/// What is wrong with a sale in this look.
#[must_use]
pub fn compare(look: &SaleReading, attempts: &Attempts) -> Vec<Finding> {
    let mut findings = ledger_alone(&look.after);
    let contradicted = attempts.contradicted.iter();
    findings.extend(
        contradicted
            .map(|&Holder { user, attempt }| Finding::OrderOfFailedAttempt { user, attempt }),
    );
    findings.extend(gate_alone(look));

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
    // Who lost their order meanwhile is not about these.
    let orders = look.before.holders.iter();
    for &Holder { user, attempt } in orders.filter(|order| after.contains(&order.user)) {
        let standing = held.get(&user);
        if open && standing.is_none() {
            findings.push(Finding::UnknownOrder { user, attempt });
        }
        // Of a pending one the result is about to be written.
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

fn ledger_alone(books: &SaleSnapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    let orders = books.holders.len() as u64;
    if orders > books.initial {
        findings.push(Finding::Oversold {
            orders,
            initial: books.initial,
        });
    }
    if books.remaining + orders != books.initial {
        findings.push(Finding::WrongRemaining {
            remaining: books.remaining,
            expected: difference(books.initial, orders),
        });
    }
    let (mut users, mut attempts) = (BTreeSet::new(), BTreeSet::new());
    for &Holder { user, attempt } in &books.holders {
        if !users.insert(user) {
            findings.push(Finding::SecondOrder { user });
        }
        if !attempts.insert(attempt) {
            findings.push(Finding::SecondOrderOfAttempt { attempt });
        }
    }
    findings
}

fn gate_alone(look: &SaleReading) -> Option<Finding> {
    let GateStatus::Open {
        available, holders, ..
    } = look.status
    else {
        return None;
    };
    let initial = look.after.initial;
    let withdrawn = look.status.withdrawn_units();
    let is_balanced = available == difference(initial, holders.saturating_add(withdrawn));
    // Somebody added units just now.
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
