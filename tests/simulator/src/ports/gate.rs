//! The gate over a connection.

use std::{sync::Arc, time::Duration};

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
        SaleTermsControl, Settlement, ShopperResults, TermsOutcome, UnloadOutcome, WithdrawOutcome,
    },
};

use super::{RemoteGate, describe, moved, named, of_gate, settlements};

/// Without faults: no process of a simulation listens.
#[async_trait]
impl ResultAnnouncements for RemoteGate {
    async fn announcements(&self, sales: &[SaleId]) -> Result<AnnouncementStream, GateError> {
        self.gate.announcements(sales).await
    }

    async fn results_in(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<ResultReading>, GateError> {
        self.gate.results_in(sale, product, users).await
    }
}

#[async_trait]
impl Reservations for RemoteGate {
    fn is_durable(&self) -> bool {
        self.gate.is_durable()
    }

    async fn reserve(
        &self,
        sale: SaleId,
        asked: &[Holder],
    ) -> Result<Vec<ReserveOutcome>, GateError> {
        let (gate, asked) = (Arc::clone(&self.gate), asked.to_vec());
        let what = || format!("gate.reserve({})", named(&asked));
        let taken = asked.clone();
        let effect = move || {
            let (gate, asked) = (Arc::clone(&gate), taken.clone());
            async move { gate.reserve(sale, &asked).await }
        };
        of_gate(self.connection.call(what, describe, effect).await)
    }

    async fn release(&self, sale: SaleId, holder: Holder) -> Result<ReleaseOutcome, GateError> {
        of_gate(call!(self.gate.release(sale, holder), || {
            format!("gate.release({})", named(&[holder]))
        }))
    }
}

#[async_trait]
impl ShopperResults for RemoteGate {
    async fn write_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        let (gate, taken) = (Arc::clone(&self.gate), results.to_vec());
        let what = || {
            let users: Vec<_> = results.iter().map(|entry| entry.user.to_string()).collect();
            format!("gate.write_results(FAILED for {})", users.join(", "))
        };
        let effect = move || {
            let (gate, results) = (Arc::clone(&gate), taken.clone());
            async move { gate.write_results(&results).await }
        };
        of_gate(self.connection.call(what, describe, effect).await)
    }

    async fn read_result(
        &self,
        user: UserId,
        product: ProductId,
        sale: Option<SaleId>,
    ) -> Result<Option<PurchaseResult>, GateError> {
        of_gate(call!(self.gate.read_result(user, product, sale), || {
            format!("gate.read_result({user})")
        }))
    }

    async fn forget_results(&self, results: &[ResultEntry]) -> Result<(), GateError> {
        self.gate.forget_results(results).await
    }
}

#[async_trait]
impl GateReads for RemoteGate {
    async fn status(&self, sale: SaleId) -> Result<GateStatus, GateError> {
        let world = &self.connection.world;
        let now = self.gate.status(sale).await;
        if now.is_ok_and(|now| now.is_contradictory()) && !world.seen().key_lost {
            world.broken("the gate's units and holders do not add up".to_owned());
        }
        of_gate(call!(self.gate.status(sale), || "gate.status".to_owned()))
    }

    async fn holders(&self, sale: SaleId) -> Result<Vec<UserId>, GateError> {
        of_gate(call!(self.gate.holders(sale), || "gate.holders".to_owned()))
    }
}

#[async_trait]
impl OutcomeRecording for RemoteGate {
    async fn record(&self, sale: SaleId, recorded: &[Settlement]) -> Result<(), GateError> {
        let (gate, taken) = (Arc::clone(&self.gate), recorded.to_vec());
        let what = || format!("gate.record({})", settlements(recorded));
        let effect = move || {
            let (gate, recorded) = (Arc::clone(&gate), taken.clone());
            async move { gate.record(sale, &recorded).await }
        };
        of_gate(self.connection.call(what, describe, effect).await)
    }

    async fn end_orders(
        &self,
        sale: SaleId,
        product: ProductId,
        ended: &[Holder],
    ) -> Result<EndOrdersOutcome, GateError> {
        let (gate, taken) = (Arc::clone(&self.gate), ended.to_vec());
        let what = || format!("gate.end_orders({})", named(ended));
        let effect = move || {
            let (gate, ended) = (Arc::clone(&gate), taken.clone());
            async move { gate.end_orders(sale, product, &ended).await }
        };
        of_gate(self.connection.call(what, describe, effect).await)
    }
}

#[async_trait]
impl PendingAttempts for RemoteGate {
    async fn overdue(
        &self,
        sale: SaleId,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, GateError> {
        of_gate(call!(self.gate.overdue(sale, age, limit), || {
            format!("gate.overdue({} ms)", age.as_millis())
        }))
    }

    async fn claim(
        &self,
        sale: SaleId,
        holders: &[Holder],
    ) -> Result<Vec<ClaimOutcome>, GateError> {
        let (gate, taken) = (Arc::clone(&self.gate), holders.to_vec());
        let what = || format!("gate.claim({})", named(holders));
        let effect = move || {
            let (gate, holders) = (Arc::clone(&gate), taken.clone());
            async move { gate.claim(sale, &holders).await }
        };
        of_gate(self.connection.call(what, describe, effect).await)
    }
}

#[async_trait]
impl SaleLoading for RemoteGate {
    async fn close(
        &self,
        sale: SaleId,
        request: CloseRequest,
    ) -> Result<Option<CloseReason>, GateError> {
        of_gate(call!(self.gate.close(sale, request), || {
            format!("gate.close({request:?})")
        }))
    }

    async fn relist(&self, sale: SaleId) -> Result<u64, GateError> {
        of_gate(call!(self.gate.relist(sale), || "gate.relist".to_owned()))
    }

    async fn begin_load(
        &self,
        sale: SaleId,
        token: LoadToken,
        lease: Duration,
    ) -> Result<LoadStart, GateError> {
        of_gate(call!(self.gate.begin_load(sale, token, lease), || {
            "gate.begin_load".to_owned()
        }))
    }

    async fn load_holders(
        &self,
        sale: SaleId,
        token: LoadToken,
        holders: &[Holder],
    ) -> Result<LoadStep, GateError> {
        let (gate, loaded) = (Arc::clone(&self.gate), holders.to_vec());
        let what = || format!("gate.load_holders({})", named(holders));
        let effect = move || {
            let (gate, holders) = (Arc::clone(&gate), loaded.clone());
            async move { gate.load_holders(sale, token, &holders).await }
        };
        of_gate(self.connection.call(what, describe, effect).await)
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
        let (gate, world) = (Arc::clone(&self.gate), Arc::clone(&self.connection.world));
        let set_aside = movements.to_vec();
        let what = || {
            format!(
                "gate.open({remaining} units, {} movements)",
                movements.len()
            )
        };
        let effect = move || {
            let (gate, world, movements) =
                (Arc::clone(&gate), Arc::clone(&world), set_aside.clone());
            async move {
                let opened = gate
                    .open(sale, token, terms, remaining, &movements, expires)
                    .await;
                if matches!(opened, Ok(LoadStep::Applied)) {
                    world.opened();
                }
                opened
            }
        };
        of_gate(self.connection.call(what, describe, effect).await)
    }

    async fn unload(&self, sale: SaleId) -> Result<UnloadOutcome, GateError> {
        self.gate.unload(sale).await
    }
}

#[async_trait]
impl SaleTermsControl for RemoteGate {
    async fn set_terms(
        &self,
        sale: SaleId,
        terms: SaleTerms,
        closed: &[MovementId],
        expires: DateTime<Utc>,
    ) -> Result<TermsOutcome, GateError> {
        let (gate, taken) = (Arc::clone(&self.gate), closed.to_vec());
        let what = || {
            let SaleTerms {
                version,
                total,
                switch,
                ..
            } = terms;
            let closed: Vec<_> = closed.iter().map(|id| moved(*id)).collect();
            format!("gate.set_terms({version}, {total} units, {switch:?}, closed {closed:?})")
        };
        let effect = move || {
            let (gate, closed) = (Arc::clone(&gate), taken.clone());
            async move { gate.set_terms(sale, terms, &closed, expires).await }
        };
        of_gate(self.connection.call(what, describe, effect).await)
    }

    async fn withdraw(
        &self,
        sale: SaleId,
        movement: MovementId,
        units: u32,
        mode: MovementMode,
        seen: u64,
    ) -> Result<WithdrawOutcome, GateError> {
        let what = || {
            format!(
                "gate.withdraw({}, {units} {mode:?}, seen {seen})",
                moved(movement)
            )
        };
        of_gate(call!(
            self.gate.withdraw(sale, movement, units, mode, seen),
            what
        ))
    }
}

#[async_trait]
impl GateAudit for RemoteGate {
    // What audits and repairs ask: not simulated.

    async fn held_units(&self, sale: SaleId) -> Result<Vec<HeldUnit>, GateError> {
        self.gate.held_units(sale).await
    }

    async fn stored_results(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<Option<PurchaseResult>>, GateError> {
        self.gate.stored_results(sale, product, users).await
    }
}

#[async_trait]
impl GateProbe for RemoteGate {
    async fn now(&self) -> Result<DateTime<Utc>, GateError> {
        of_gate(call!(self.gate.now(), || "gate.now()".to_owned()))
    }

    async fn ping(&self) -> Result<(), GateError> {
        of_gate(call!(self.gate.ping(), || "gate.ping".to_owned()))
    }
}

#[async_trait]
impl AccountMarks for RemoteGate {
    async fn account_mark(&self) -> Result<Option<i64>, GateError> {
        of_gate(call!(self.gate.account_mark(), || {
            "gate.account_mark".to_owned()
        }))
    }

    async fn raise_account_mark(&self, to: i64) -> Result<(), GateError> {
        of_gate(call!(self.gate.raise_account_mark(to), || {
            format!("gate.raise_account_mark({to})")
        }))
    }
}
