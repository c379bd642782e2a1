//! How far account ids have come, noted in the gate: it outlives a ledger that is set back.
//!
//! When the note is lost (the gate was emptied), the log decides: once everything in it is settled, the ledger's ids continue
//! above every account that a record names, and the note is made anew.

use std::sync::atomic::Ordering;

use super::{AccountRefusal, Directory};
use crate::port::{AttemptLog, GateError, Ledger, LedgerError, LogError, Offset, StockGate};

/// Why the note could not be looked after.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Makes the note anew if it is lost and the log is settled as far as it goes now; the note, if there is one.
pub async fn raise_lost_mark(
    ledger: &dyn Ledger,
    gate: &dyn StockGate,
    log: &dyn AttemptLog,
    group: &str,
) -> Result<Option<i64>, MarkError> {
    if let Some(mark) = gate.account_mark().await? {
        return Ok(Some(mark));
    }
    let ends = log.ends().await?;
    let progress = ledger.progress(group, log.name()).await?;
    let is_settled = |(partition, end): (_, &Offset)| {
        end.0 == 0 || progress.get(partition).is_some_and(|next| next >= end)
    };
    if !ends.iter().all(is_settled) {
        return Ok(None);
    }
    // After the settlements: they raised it above the accounts that the log names.
    let reached = ledger.account_changes(None).await?.reached;
    gate.raise_account_mark(reached).await?;
    Ok(Some(reached))
}

impl Directory {
    /// The id above which a new account's has to be.
    ///
    /// While the gate cannot be asked, what this node knows has to do: it read the note at least once a second before.
    pub(in crate::auth) async fn ids_above(&self) -> Result<i64, AccountRefusal> {
        let engines = &self.engines;
        let (ledger, gate, log) = (&engines.ledger, &engines.gate, &engines.log);
        let mark =
            raise_lost_mark(ledger.as_ref(), gate.as_ref(), log.as_ref(), &engines.group).await;
        let known = self.reached.load(Ordering::Relaxed);
        match mark {
            Ok(Some(mark)) => Ok(self.reached.fetch_max(mark, Ordering::Relaxed).max(mark)),
            Ok(None) => Err(AccountRefusal::Unavailable(
                "the gate lost its note of account ids, and the log is not settled yet".to_owned(),
            )),
            Err(MarkError::Gate(_)) => Ok(known),
            Err(error) => Err(AccountRefusal::Unavailable(error.to_string())),
        }
    }

    /// Notes in the gate how far ids have come, if it does not have that yet, and learns what it has.
    pub(super) async fn note_reached(&self) {
        let engines = &self.engines;
        // Without it, it is lost, and made anew only when the log is settled; or the gate is away, and asked again.
        let Ok(Some(mark)) = engines.gate.account_mark().await else {
            return;
        };
        let reached = self.reached.fetch_max(mark, Ordering::Relaxed).max(mark);
        if reached > mark {
            // What cannot be noted now is noted a second later.
            let _ = engines.gate.raise_account_mark(reached).await;
        }
    }
}
