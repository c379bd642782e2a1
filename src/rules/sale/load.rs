//! A sale is brought into the gate from the ledger, step by step, and out of it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Held, Phase, Sale, State, millis, signed};
use crate::port::{
    Holder, LoadStart, LoadStep, LoadToken, Movement, MovementMode, SaleTerms, UnloadOutcome,
};

/// How long a loading that nobody goes on with stays.
const ABANDONED_AFTER_MS: i64 = 600_000;

impl Sale {
    /// Forgets everything, unless something is pending.
    pub fn unload(&mut self) -> UnloadOutcome {
        if !self.pending.is_empty() {
            return UnloadOutcome::AttemptsPending;
        }
        *self = Self {
            holders_epoch: self.holders_epoch,
            ended: std::mem::take(&mut self.ended),
            ..Self::default()
        };
        UnloadOutcome::Unloaded
    }

    pub fn begin_load(&mut self, token: LoadToken, now: i64, lease: Duration) -> LoadStart {
        match self.phase {
            Phase::Open { .. } if self.available.is_some() => return LoadStart::OpenOrLoading,
            // Sent again: what this load has brought since must stay.
            Phase::Loading { token: before, .. } if before == token => return LoadStart::Begun,
            Phase::Loading { started, .. } => {
                let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
                if (0..lease).contains(&(now - started)) {
                    return LoadStart::OpenOrLoading;
                }
            }
            Phase::Open { .. } | Phase::Closed | Phase::Lost | Phase::New => {}
        }
        *self = Self {
            phase: Phase::Loading {
                token,
                started: now,
                recorded_while_loading: 0,
            },
            expires: Some(now + ABANDONED_AFTER_MS),
            holders_epoch: self.holders_epoch,
            ended: std::mem::take(&mut self.ended),
            product: self.product,
            ..Self::default()
        };
        LoadStart::Begun
    }

    pub fn load_holders(&mut self, token: LoadToken, holders: &[Holder], now: i64) -> LoadStep {
        let Phase::Loading {
            token: current,
            recorded_while_loading,
            ..
        } = &mut self.phase
        else {
            return LoadStep::Superseded;
        };
        if *current != token {
            return LoadStep::Superseded;
        }
        for holder in holders {
            // The snapshot is younger than all that ended before this loading began.
            self.ended.remove(&holder.attempt);
            let held = Held {
                attempt: holder.attempt,
                state: State::Ordered,
            };
            let before = self.holders.insert(holder.user.into(), held);
            // Recorded before it was loaded: the snapshot counts this order, so `recorded_while_loading` must not.
            if before.is_some_and(|held| held.state == State::RecordedWhileLoading) {
                *recorded_while_loading -= 1;
            }
        }
        self.expires = Some(now + ABANDONED_AFTER_MS);
        LoadStep::Applied
    }

    /// `micros` is the clock: `holders_epoch` never takes a value that it had before, even in an earlier process, and
    /// microseconds run ahead of any count.
    pub fn open(
        &mut self,
        token: LoadToken,
        terms: SaleTerms,
        remaining: u64,
        movements: &[Movement],
        expires: DateTime<Utc>,
        micros: i64,
    ) -> LoadStep {
        match self.phase {
            // Sent again: units may have been taken since.
            Phase::Open { token: current, .. } if current == token => LoadStep::Applied,
            Phase::Loading {
                token: current,
                recorded_while_loading,
                ..
            } if current == token => {
                self.available = Some(signed(remaining) - recorded_while_loading);
                self.holders_epoch = u64::try_from(micros)
                    .unwrap_or(0)
                    .max(self.holders_epoch + 1);
                self.phase = Phase::Open { token, terms };
                self.expires = Some(millis(expires));
                for movement in movements {
                    self.set_aside(movement.id, movement.requested, MovementMode::UpTo);
                }
                LoadStep::Applied
            }
            Phase::Open { .. }
            | Phase::Loading { .. }
            | Phase::Closed
            | Phase::Lost
            | Phase::New => LoadStep::Superseded,
        }
    }
}
