//! Loads sales into the gate in memory, and changes open ones.

use std::{sync::PoisonError, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::MemoryGate;
use crate::{
    ids::SaleId,
    port::{
        CloseReason, CloseRequest, GateError, Holder, LoadStart, LoadStep, LoadToken, Movement,
        MovementId, MovementMode, SaleLoading, SaleTerms, SaleTermsControl, TermsOutcome,
        UnloadOutcome, WithdrawOutcome,
    },
    rules::sale::Sale,
};

#[async_trait]
impl SaleLoading for MemoryGate {
    /// Memory is lost with the process or not at all; but somebody may have a reason of their own.
    async fn close(
        &self,
        sale: SaleId,
        request: CloseRequest,
    ) -> Result<Option<CloseReason>, GateError> {
        let is_unconditional = request == CloseRequest::Unconditional;
        let reason = is_unconditional.then_some(CloseReason::Requested);
        Ok(self.with(sale, |sale, _| sale.close(reason)).flatten())
    }

    async fn relist(&self, sale: SaleId) -> Result<u64, GateError> {
        Ok(self.with(sale, Sale::relist).unwrap_or(0))
    }

    async fn begin_load(
        &self,
        sale: SaleId,
        token: LoadToken,
        lease: Duration,
    ) -> Result<LoadStart, GateError> {
        if self.with(sale, |_, _| ()).is_none() {
            let mut sales = self.sales.write().unwrap_or_else(PoisonError::into_inner);
            sales.entry(sale).or_default();
        }
        let begun = self.with(sale, |sale, now| sale.begin_load(token, now, lease));
        Ok(begun.unwrap_or(LoadStart::OpenOrLoading))
    }

    async fn load_holders(
        &self,
        sale: SaleId,
        token: LoadToken,
        holders: &[Holder],
    ) -> Result<LoadStep, GateError> {
        let loaded = self.with(sale, |sale, now| sale.load_holders(token, holders, now));
        Ok(loaded.unwrap_or(LoadStep::Superseded))
    }

    async fn open(
        &self,
        sale: SaleId,
        token: LoadToken,
        terms: SaleTerms,
        remaining: u64,
        movements: &[Movement],
        expires: DateTime<Utc>,
    ) -> Result<LoadStep, GateError> {
        let micros = self.clock.now().timestamp_micros();
        let opened = self.with(sale, |sale, _| {
            sale.open(token, terms, remaining, movements, expires, micros)
        });
        Ok(opened.unwrap_or(LoadStep::Superseded))
    }

    async fn unload(&self, sale: SaleId) -> Result<UnloadOutcome, GateError> {
        let unloaded = self.with(sale, |sale, _| sale.unload());
        Ok(unloaded.unwrap_or(UnloadOutcome::Unloaded))
    }
}

#[async_trait]
impl SaleTermsControl for MemoryGate {
    async fn set_terms(
        &self,
        sale: SaleId,
        terms: SaleTerms,
        closed: &[MovementId],
        expires: DateTime<Utc>,
    ) -> Result<TermsOutcome, GateError> {
        let set = self.with(sale, |sale, _| sale.set_terms(terms, closed, expires));
        Ok(set.unwrap_or(TermsOutcome::NotOpen))
    }

    async fn withdraw(
        &self,
        sale: SaleId,
        movement: MovementId,
        units: u32,
        mode: MovementMode,
        seen: u64,
    ) -> Result<WithdrawOutcome, GateError> {
        let outcome = self.with(sale, |sale, _| sale.withdraw(movement, units, mode, seen));
        Ok(outcome.unwrap_or(WithdrawOutcome::NotOpen))
    }
}
