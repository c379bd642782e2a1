//! How far account ids have come, noted in the gate: it outlives a ledger that is set back.
//!
//! When the note is lost (the gate was emptied), the log decides: once everything in it is settled, the ledger's ids continue
//! above every account that a record names, and the note is made anew.

use std::sync::{Arc, atomic::Ordering};

use super::{super::AuthError, AccountRefusal, Directory};
use crate::{
    ids::UserId,
    port::{
        AccountDirectory, AccountMarks, CommittedOffsets, LogEnds, NewUser, Offset, PortError,
        Registration,
    },
};

/// Returns the gate's note. If the note is lost, makes it anew, provided that the log is settled up to its present end; `None` if
/// it is not.
pub async fn raise_lost_mark(
    ledger: &dyn AccountDirectory,
    offsets: &dyn CommittedOffsets,
    gate: &dyn AccountMarks,
    log: &dyn LogEnds,
    group: &str,
) -> Result<Option<i64>, PortError> {
    if let Some(mark) = gate.account_mark().await? {
        return Ok(Some(mark));
    }
    let ends = log.ends().await?;
    let committed = offsets.committed_offsets(group, log.name()).await?;
    let is_settled = |(partition, end): (_, &Offset)| {
        end.0 == 0 || committed.get(partition).is_some_and(|next| next >= end)
    };
    if !ends.iter().all(is_settled) {
        return Ok(None);
    }
    // After the settlements: they raised it above the accounts that the log names.
    let reached = ledger.account_changes(None).await?.reached;
    gate.raise_account_mark(reached).await?;
    // Read again, since another node may have made a higher note while this one was paused.
    Ok(gate.account_mark().await?)
}

impl Directory {
    /// Makes an account. No account ever had its id, also not in a state of the ledger that is lost.
    pub async fn register(&self, new: &NewUser) -> Result<Registration, AuthError> {
        let above = self.ids_above().await?;
        let made = self.engines.ledger.register(new, above).await?;
        if let Registration::Registered(id) = made {
            self.note_made(id).await;
        }
        Ok(made)
    }

    /// Notes that an account with this id was made.
    pub(crate) async fn note_made(&self, id: UserId) {
        self.reached.fetch_max(id.value(), Ordering::Relaxed);
        self.note_reached().await;
    }

    /// The id of a new account must be above this one.
    pub(crate) async fn ids_above(&self) -> Result<i64, AccountRefusal> {
        let engines = &self.engines;
        let (ledger, offsets) = (engines.ledger.as_ref(), engines.offsets.as_ref());
        let (gate, log) = (engines.gate.as_ref(), engines.log.as_ref());
        let mark = raise_lost_mark(ledger, offsets, gate, log, &engines.group).await;
        let known = self.reached.load(Ordering::Relaxed);
        match mark {
            Ok(Some(mark)) => Ok(self.reached.fetch_max(mark, Ordering::Relaxed).max(mark)),
            Ok(None) => Err(AccountRefusal::Unavailable(
                "the gate lost its note of account ids, and the log is not settled yet".to_owned(),
            )),
            Err(PortError::Gate(_)) => self.is_in_noted_state().await.map(|()| known),
            Err(error) => Err(AccountRefusal::Unavailable(error.to_string())),
        }
    }

    /// Checks that this node may hand out ids while the gate cannot be asked. It may only if the ledger was not set back since the
    /// node read the note. Otherwise ids that other nodes have noted since then would be handed out again.
    async fn is_in_noted_state(&self) -> Result<(), AccountRefusal> {
        let unavailable = |cause: String| AccountRefusal::Unavailable(cause);
        let now = self.engines.ledger.account_changes(None).await;
        let epoch = now
            .map_err(|error| unavailable(error.to_string()))?
            .position
            .epoch;
        let noted_in = self.noted_in.load();
        if noted_in.as_deref() == Some(&epoch) {
            return Ok(());
        }
        Err(unavailable(
            "the gate cannot be asked how far account ids have come, and the ledger was restarted or set back".to_owned(),
        ))
    }

    /// Raises the gate's note to the highest id that this node knows, and learns the note. `state` is the state of the ledger,
    /// read before the note.
    pub(super) async fn follow_note(&self, state: &str) {
        if self.note_reached().await {
            self.noted_in.store(Some(Arc::new(state.to_owned())));
        }
    }

    /// Does the same without a state. False if the gate has no note, or does not answer.
    async fn note_reached(&self) -> bool {
        let engines = &self.engines;
        // No note: it is lost, and is made anew only when the log is settled. An error: the gate is asked again later.
        let Ok(Some(mark)) = engines.gate.account_mark().await else {
            return false;
        };
        let reached = self.reached.fetch_max(mark, Ordering::Relaxed).max(mark);
        if reached > mark {
            // If this fails, the note is raised a second later.
            let _ = engines.gate.raise_account_mark(reached).await;
        }
        true
    }
}
