//! Units that leave an open sale: set aside for a movement of the ledger, until the ledger has lowered its numbers.

use super::{Phase, Sale, signed};
use crate::port::{MovementId, MovementMode, WithdrawOutcome};

impl Sale {
    /// Sets units aside, by the rules of `withdraw.lua`: units that are held are never taken, a repetition answers the same
    /// number, and a caller that saw older terms gets none.
    pub fn withdraw(
        &mut self,
        movement: MovementId,
        units: u32,
        mode: MovementMode,
        seen: u64,
    ) -> WithdrawOutcome {
        let (Phase::Open { terms, .. }, Some(_)) = (&self.phase, self.available) else {
            return WithdrawOutcome::NotOpen;
        };
        let taken = match self.withdrawn.get(&movement) {
            Some(before) => *before,
            None if terms.version > seen => return WithdrawOutcome::Outdated,
            None => self.set_aside(movement, units, mode),
        };
        // Never more than was asked for.
        WithdrawOutcome::Withdrawn(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    /// Takes units from what is available; how many.
    pub(super) fn set_aside(
        &mut self,
        movement: MovementId,
        units: u32,
        mode: MovementMode,
    ) -> u64 {
        let available = u64::try_from(self.available.unwrap_or(0)).unwrap_or(0);
        let wanted = u64::from(units);
        let taken = match mode {
            MovementMode::Exact if wanted > available => 0,
            MovementMode::Exact | MovementMode::UpTo => wanted.min(available),
        };
        self.withdrawn.insert(movement, taken);
        self.move_units(-signed(taken));
        taken
    }
}
