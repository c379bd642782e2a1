//! The port, over what the gate has in memory.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flashsale::{
    ids::{ProductId, SaleId, UserId},
    port::{
        AccountMarks, AnnouncementStream, ClaimOutcome, CloseReason, CloseRequest,
        EndOrdersOutcome, GateAudit, GateError, GateProbe, GateReads, GateStatus, HeldUnit, Holder,
        LoadStart, LoadStep, LoadToken, Movement, MovementId, MovementMode, OutcomeRecording,
        PendingAttempts, PendingEntry, PurchaseResult, ReleaseOutcome, Reservations,
        ReserveOutcome, ResultAnnouncements, ResultEntry, ResultReading, SaleLoading, SaleTerms,
        SaleTermsControl, Settlement, ShopperResults, Standing, TermsOutcome, UnloadOutcome,
        WithdrawOutcome,
    },
    rules::shopper_result::{Holders, reading, result},
};

use super::{super::results::forget_results, Kept, Kind, ModelGate};

#[async_trait]
impl ResultAnnouncements for ModelGate {
    async fn announcements(&self, sales: &[SaleId]) -> Result<AnnouncementStream, GateError> {
        Ok(self.announced.follow(sales))
    }

    async fn results_in(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<ResultReading>, GateError> {
        let stored = self.stored_results(sale, product, users).await?;
        let holders = self.holders_known(sale);
        let of_all = users.iter().zip(stored);
        let told =
            of_all.map(|(user, stored)| reading(self.standing(sale, *user), stored, holders));
        Ok(told.collect())
    }
}

#[async_trait]
impl Reservations for ModelGate {
    fn is_durable(&self) -> bool {
        matches!(self.kind, Kind::Server)
    }

    async fn reserve(
        &self,
        sale: SaleId,
        asked: &[Holder],
    ) -> Result<Vec<ReserveOutcome>, GateError> {
        let outcomes = self.with_sure(sale, |sale, now| {
            let answer = |holder: &Holder| sale.reserve(*holder, now);
            asked.iter().map(answer).collect()
        });
        Ok(outcomes.unwrap_or_else(|| vec![ReserveOutcome::Closed; asked.len()]))
    }

    async fn release(&self, sale: SaleId, holder: Holder) -> Result<ReleaseOutcome, GateError> {
        let outcome = self.with_own(sale, |kept, _| kept.sale.release(holder));
        Ok(outcome.unwrap_or(ReleaseOutcome::NotHeld))
    }
}

#[async_trait]
impl ShopperResults for ModelGate {
    async fn write_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        self.write(results);
        self.announced.tell_written(results);
        Ok(())
    }

    async fn read_result(
        &self,
        user: UserId,
        product: ProductId,
        sale: Option<SaleId>,
    ) -> Result<Option<PurchaseResult>, GateError> {
        let unit = sale.and_then(|sale| self.standing(sale, user));
        if unit.is_some() {
            return Ok(result(unit, None, Holders::Complete));
        }
        let written = self.written(user, product);
        Ok(written.and_then(|(of, stored)| {
            result(
                self.standing(of, user),
                Some(stored),
                self.holders_known(of),
            )
        }))
    }

    async fn forget_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        match &self.kind {
            Kind::Server => forget_results(self.state().results_of(self.ledger), results),
            Kind::InProcess { ledger, .. } => ledger.forget_results(results),
        }
        Ok(())
    }
}

#[async_trait]
impl GateReads for ModelGate {
    async fn status(&self, sale: SaleId) -> Result<GateStatus, GateError> {
        if let Some(status) = self.with_sure(sale, |sale, _| sale.status()) {
            return Ok(status);
        }
        let before = self.with_own(sale, |kept, _| kept.sale.status());
        Ok(match before {
            None | Some(GateStatus::Unknown) => GateStatus::Unknown,
            Some(GateStatus::Open { pending, .. } | GateStatus::Closed { pending }) => {
                GateStatus::Closed { pending }
            }
        })
    }

    async fn holders(&self, sale: SaleId) -> Result<Vec<UserId>, GateError> {
        let users = self.with_own(sale, |kept, _| kept.sale.users());
        let mut users = users.unwrap_or_default();
        users.sort_unstable();
        Ok(users)
    }
}

#[async_trait]
impl OutcomeRecording for ModelGate {
    /// The results first, the sale second, as in every gate.
    async fn record(&self, sale: SaleId, settlements: &[Settlement]) -> Result<(), GateError> {
        let results: Vec<_> = settlements
            .iter()
            .filter_map(|settlement| self.result_of(settlement))
            .collect();
        self.write(&results);
        self.with_own(sale, |kept, _| kept.sale.record(settlements));
        let ordered = |user| self.standing(sale, user) == Some(Standing::Success);
        let users = || settlements.iter().map(|settlement| settlement.attempt.user);
        self.announced.tell(sale, users, ordered);
        Ok(())
    }

    async fn end_orders(
        &self,
        sale: SaleId,
        product: ProductId,
        ended: &[Holder],
    ) -> Result<EndOrdersOutcome, GateError> {
        let results: Vec<_> = ended
            .iter()
            .map(|holder| ResultEntry {
                sale,
                product,
                user: holder.user,
                result: PurchaseResult::Success,
            })
            .collect();
        self.forget_results(&results).await?;
        let taken = self.with_sure(sale, |sale, _| sale.end_orders(ended));
        if taken == Some(EndOrdersOutcome::TakenOut) {
            let users = || ended.iter().map(|holder| holder.user);
            self.announced.tell(sale, users, |_| false);
        }
        Ok(taken.unwrap_or(EndOrdersOutcome::NotOpen))
    }
}

#[async_trait]
impl PendingAttempts for ModelGate {
    async fn overdue(
        &self,
        sale: SaleId,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, GateError> {
        let entries = self.with_own(sale, |kept, now| kept.sale.overdue(now, age, limit));
        Ok(entries.unwrap_or_default())
    }

    async fn claim(
        &self,
        sale: SaleId,
        holders: &[Holder],
    ) -> Result<Vec<ClaimOutcome>, GateError> {
        let claimed = self.with_own(sale, |kept, now| {
            let claim = |holder: &Holder| kept.sale.claim(*holder, now);
            holders.iter().map(claim).collect()
        });
        Ok(claimed.unwrap_or_else(|| vec![ClaimOutcome::NotPending; holders.len()]))
    }
}

#[async_trait]
impl SaleLoading for ModelGate {
    async fn close(
        &self,
        sale: SaleId,
        request: CloseRequest,
    ) -> Result<Option<CloseReason>, GateError> {
        let run = self.state().run;
        let is_unconditional = request == CloseRequest::Unconditional;
        let closed = self.with_own(sale, |kept, _| {
            let reason = if kept.run == run {
                is_unconditional.then_some(CloseReason::Requested)
            } else {
                Some(CloseReason::Restarted)
            };
            kept.sale.close(reason)
        });
        Ok(closed.flatten())
    }

    async fn relist(&self, sale: SaleId) -> Result<u64, GateError> {
        let listed = self.with_own(sale, |kept, now| kept.sale.relist(now));
        Ok(listed.unwrap_or(0))
    }

    async fn begin_load(
        &self,
        sale: SaleId,
        token: LoadToken,
        lease: Duration,
    ) -> Result<LoadStart, GateError> {
        self.with(sale, |_, _| ()); // forgets it if its time is over
        if self.with_own(sale, |_, _| ()).is_none() {
            self.state().sales.insert(sale, Kept::default()); // unknown, or another ledger's
        }
        let run = self.state().run;
        let ledger = self.ledger;
        let begun = self.with(sale, |kept, now| {
            let begun = kept.sale.begin_load(token, now, lease);
            if begun == LoadStart::Begun {
                kept.run = run;
                kept.ledger = Some(ledger);
            }
            begun
        });
        Ok(begun.unwrap_or(LoadStart::OpenOrLoading))
    }

    async fn load_holders(
        &self,
        sale: SaleId,
        token: LoadToken,
        holders: &[Holder],
    ) -> Result<LoadStep, GateError> {
        let loaded = self.with_own(sale, |kept, now| {
            kept.sale.load_holders(token, holders, now)
        });
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
        let run = self.state().run;
        let opened = self.with_own(sale, |kept, _| {
            if kept.run == run {
                let sale = &mut kept.sale;
                sale.open(token, terms, remaining, movements, expires, micros)
            } else {
                // After a restart during the load a part of it may be forgotten.
                LoadStep::Superseded
            }
        });
        Ok(opened.unwrap_or(LoadStep::Superseded))
    }

    async fn unload(&self, sale: SaleId) -> Result<UnloadOutcome, GateError> {
        let unloaded = self.with_own(sale, |kept, _| kept.sale.unload());
        Ok(unloaded.unwrap_or(UnloadOutcome::Unloaded))
    }
}

#[async_trait]
impl SaleTermsControl for ModelGate {
    async fn set_terms(
        &self,
        sale: SaleId,
        terms: SaleTerms,
        closed: &[MovementId],
        expires: DateTime<Utc>,
    ) -> Result<TermsOutcome, GateError> {
        let set = self.with_own(sale, |kept, _| kept.sale.set_terms(terms, closed, expires));
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
        let outcome = self.with_sure(sale, |sale, _| sale.withdraw(movement, units, mode, seen));
        Ok(outcome.unwrap_or(WithdrawOutcome::NotOpen))
    }
}

#[async_trait]
impl GateAudit for ModelGate {
    async fn held_units(&self, sale: SaleId) -> Result<Vec<HeldUnit>, GateError> {
        let mut held_units = self.units_of(sale);
        held_units.sort_unstable_by_key(|held_unit| held_unit.user);
        Ok(held_units)
    }

    async fn stored_results(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<Option<PurchaseResult>>, GateError> {
        let stored = |user: &UserId| match &self.kind {
            Kind::Server => {
                let key = (*user, product);
                let written = self.state().results_of(self.ledger).get(&key).copied();
                written.filter(|(of, _)| *of == sale)
            }
            Kind::InProcess { ledger, .. } => ledger
                .stored_result(*user, product)
                .filter(|(of, _)| *of == sale),
        };
        Ok(users
            .iter()
            .map(|user| stored(user).map(|(_, result)| result))
            .collect())
    }
}

#[async_trait]
impl GateProbe for ModelGate {
    async fn now(&self) -> Result<DateTime<Utc>, GateError> {
        Ok(self.clock.now())
    }

    async fn ping(&self) -> Result<(), GateError> {
        Ok(())
    }
}

#[async_trait]
impl AccountMarks for ModelGate {
    async fn account_mark(&self) -> Result<Option<i64>, GateError> {
        Ok(match self.kind {
            Kind::Server => self.noted_accounts(),
            Kind::InProcess { .. } => Some(0),
        })
    }

    async fn raise_account_mark(&self, to: i64) -> Result<(), GateError> {
        let mut state = self.state();
        let mark = state.account_marks.entry(self.ledger).or_default();
        *mark = to.max(*mark);
        Ok(())
    }
}
