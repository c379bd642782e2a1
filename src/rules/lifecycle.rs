//! Which changes of a sale operators may make, in which phase of its life.
//!
//! | change | draft | scheduled | open, paused | ended | cancelled |
//! | --- | --- | --- | --- | --- | --- |
//! | edit | all | window, note | end, note | note | note |
//! | publish | yes | nothing to do | nothing to do | nothing to do | no |
//! | pause, resume | no | yes | yes | no | no |
//! | end | no | no | yes | nothing to do | no |
//! | cancel | yes | yes | yes | no | nothing to do |
//! | add units | yes | yes | yes | no | no |

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::port::{
    ActionName, AdminError, MAX_PENDING_MOVEMENTS, NewSale, SaleChange, SaleEdit, SaleRecord,
    SaleState, SaleWindow,
};

/// Where a sale stands, by the gate's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Draft,
    Scheduled,
    Open,
    /// Within its window.
    Paused,
    Ended,
    Cancelled,
}

/// The most units that a sale can have: what the ledgers' columns hold.
pub const MAX_UNITS: u32 = i32::MAX.unsigned_abs();

/// Why a change is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the stored version is {current}")]
    Stale { current: u64 },
    /// For people.
    #[error("{0}")]
    NotAllowed(String),
}

impl From<Refused> for AdminError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Stale { current } => Self::Stale { current },
            Refused::NotAllowed(cause) => Self::NotAllowed(cause),
        }
    }
}

fn refused<T>(cause: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::NotAllowed(cause.into()))
}

/// The phase of a sale at `now`, by the gate's clock. A sale that was paused before its start is scheduled until then.
#[must_use]
pub fn phase(sale: &SaleRecord, now: DateTime<Utc>) -> Phase {
    match sale.state {
        SaleState::Draft => Phase::Draft,
        SaleState::Cancelled => Phase::Cancelled,
        SaleState::Live if now < sale.window.start => Phase::Scheduled,
        SaleState::Live if now >= sale.window.end => Phase::Ended,
        SaleState::Live if sale.paused_at.is_some() => Phase::Paused,
        SaleState::Live => Phase::Open,
    }
}

/// What the action log calls a change.
#[must_use]
pub fn action(change: &SaleChange) -> ActionName {
    match change {
        SaleChange::Edit(_) => ActionName::EditSale,
        SaleChange::Publish => ActionName::PublishSale,
        SaleChange::Pause => ActionName::PauseSale,
        SaleChange::Resume => ActionName::ResumeSale,
        SaleChange::End => ActionName::EndSale,
        SaleChange::Cancel => ActionName::CancelSale,
        SaleChange::AddUnits(_) => ActionName::AddUnits,
    }
}

/// The sale after the change. It equals `sale` if there is nothing to change; its version is the ledger's to raise. Times are kept
/// to the millisecond.
pub fn apply(
    sale: &SaleRecord,
    change: &SaleChange,
    now: DateTime<Utc>,
) -> Result<SaleRecord, Refused> {
    let now = now.trunc_subsecs(3);
    let phase = phase(sale, now);
    let mut after = sale.clone();
    match change {
        SaleChange::Edit(edit) => return self::edit(sale, phase, edit, now),
        SaleChange::Publish => match phase {
            Phase::Draft if sale.window.end <= now => {
                return refused("the sale would have ended already: give it an end in the future");
            }
            Phase::Draft => after.state = SaleState::Live,
            Phase::Scheduled | Phase::Open | Phase::Paused | Phase::Ended => {}
            Phase::Cancelled => return refused("the sale is cancelled"),
        },
        SaleChange::Pause => match phase {
            // Since when it is paused stays.
            Phase::Scheduled | Phase::Open | Phase::Paused => {
                after.paused_at = after.paused_at.or(Some(now));
            }
            Phase::Draft | Phase::Ended | Phase::Cancelled => {
                return refused(cannot("paused", phase));
            }
        },
        SaleChange::Resume => match phase {
            Phase::Scheduled | Phase::Open | Phase::Paused => after.paused_at = None,
            Phase::Draft | Phase::Ended | Phase::Cancelled => {
                return refused(cannot("resumed", phase));
            }
        },
        SaleChange::End => match phase {
            // A window is never empty.
            Phase::Open | Phase::Paused => {
                after.window.end = now.max(sale.window.start + TimeDelta::milliseconds(1));
            }
            Phase::Ended => {}
            Phase::Draft | Phase::Scheduled | Phase::Cancelled => {
                return refused(cannot("ended", phase));
            }
        },
        SaleChange::Cancel => match phase {
            Phase::Draft | Phase::Scheduled | Phase::Open | Phase::Paused => {
                after.state = SaleState::Cancelled;
            }
            Phase::Cancelled => {}
            Phase::Ended => return refused(cannot("cancelled", phase)),
        },
        SaleChange::AddUnits(units) => match phase {
            Phase::Draft | Phase::Scheduled | Phase::Open | Phase::Paused => {
                after.initial_stock += u64::from(*units);
                after.remaining_stock += u64::from(*units);
                if after.initial_stock > u64::from(MAX_UNITS) {
                    return refused(format!("a sale has at most {MAX_UNITS} units"));
                }
            }
            Phase::Ended | Phase::Cancelled => {
                return refused(cannot("given more units", phase));
            }
        },
    }
    Ok(after)
}

fn cannot(done: &str, phase: Phase) -> String {
    let is = match phase {
        Phase::Draft => "is a draft",
        Phase::Scheduled => "has not started",
        Phase::Open => "is open",
        Phase::Paused => "is paused",
        Phase::Ended => "has ended",
        Phase::Cancelled => "is cancelled",
    };
    format!("a sale that {is} cannot be {done}")
}

fn edit(
    sale: &SaleRecord,
    phase: Phase,
    edit: &SaleEdit,
    now: DateTime<Utc>,
) -> Result<SaleRecord, Refused> {
    if edit.expected != sale.version {
        return Err(Refused::Stale {
            current: sale.version,
        });
    }
    let mut after = sale.clone();
    if let Some(product) = edit.product {
        after.product = product;
    }
    if let Some(start) = edit.start {
        after.window.start = start.trunc_subsecs(3);
    }
    if let Some(end) = edit.end {
        after.window.end = end.trunc_subsecs(3);
    }
    if let Some(note) = &edit.note {
        after.note.clone_from(note);
    }
    if let Some(units) = edit.units {
        set_units(&mut after, u64::from(units))?;
    }
    let product = after.product != sale.product;
    let start = after.window.start != sale.window.start;
    let end = after.window.end != sale.window.end;
    let units = after.initial_stock != sale.initial_stock;
    match phase {
        Phase::Scheduled | Phase::Open | Phase::Paused if units => {
            return refused("units of a published sale are added and withdrawn");
        }
        // API nodes write the product of their catalog, which may be a second old, into the records of attempts: a sale whose
        // product changed after that would have records that cannot be settled.
        Phase::Scheduled | Phase::Open | Phase::Paused if product => {
            return refused("the product of a published sale cannot be changed");
        }
        Phase::Open | Phase::Paused if start => {
            return refused("the start of a sale that has started cannot be changed");
        }
        Phase::Ended | Phase::Cancelled if product || start || units || end => {
            return refused(cannot("changed, except for its note", phase));
        }
        Phase::Draft
        | Phase::Scheduled
        | Phase::Open
        | Phase::Paused
        | Phase::Ended
        | Phase::Cancelled => {}
    }
    check_window(after.window)?;
    if matches!(phase, Phase::Open | Phase::Paused) && end && after.window.end <= now {
        return refused("the new end is in the past: end the sale instead");
    }
    if phase == Phase::Scheduled && (end || start) && after.window.end <= now {
        return refused("the new end is in the past: cancel the sale instead");
    }
    Ok(after)
}

/// Whether a draft can be made.
pub fn check_new(sale: &NewSale) -> Result<(), Refused> {
    if sale.units > MAX_UNITS {
        return refused(format!("a sale has at most {MAX_UNITS} units"));
    }
    check_window(SaleWindow {
        start: sale.window.start.trunc_subsecs(3),
        end: sale.window.end.trunc_subsecs(3),
    })
}

fn check_window(window: SaleWindow) -> Result<(), Refused> {
    if window.end <= window.start {
        return refused("a sale ends after its start");
    }
    Ok(())
}

/// Only of a draft, which has no orders.
fn set_units(sale: &mut SaleRecord, units: u64) -> Result<(), Refused> {
    let sold = sale.initial_stock - sale.remaining_stock;
    if units > u64::from(MAX_UNITS) {
        return refused(format!("a sale has at most {MAX_UNITS} units"));
    }
    let Some(remaining) = units.checked_sub(sold) else {
        return refused(format!("{sold} units are sold"));
    };
    sale.initial_stock = units;
    sale.remaining_stock = remaining;
    Ok(())
}

/// Whether an order with this stored status may be cancelled. One that ended before is refused: what became of its unit was decided
/// then, and may be other than what is asked for now.
pub fn cancel_order(status: &str) -> Result<(), Refused> {
    match status {
        "FAILED" => refused(
            "the order has ended already; the action log says whether its unit was put on sale again",
        ),
        _ => Ok(()),
    }
}

/// Whether a withdrawal may begin at `now` while `pending` others are PENDING. Units of a draft are lowered by an edit.
pub fn withdraw(
    sale: &SaleRecord,
    units: u32,
    pending: usize,
    now: DateTime<Utc>,
) -> Result<(), Refused> {
    match phase(sale, now) {
        _ if !(1..=MAX_UNITS).contains(&units) => {
            refused(format!("1 to {MAX_UNITS} units can be withdrawn"))
        }
        _ if pending >= MAX_PENDING_MOVEMENTS => refused(format!(
            "{pending} withdrawals of the sale are under way: wait for one to complete"
        )),
        Phase::Scheduled | Phase::Open | Phase::Paused => Ok(()),
        Phase::Draft => refused("units of a draft are set by editing it"),
        phase @ (Phase::Ended | Phase::Cancelled) => refused(cannot("reduced", phase)),
    }
}

#[cfg(test)]
mod tests;
