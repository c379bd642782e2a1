//! What operators change, and how the control loop completes it, on models of the engines.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use flashsale::{
    clock::{Clock, SystemClock},
    ids::{AttemptId, ProductId, SaleId, UserId},
    order::{SaleController, WorkerSettings},
    port::{
        Attempt, ConsumerGroup, GateStatus, Holder, Ledger, LogEnds, Member, Movement, MovementId,
        MovementMode, MovementState, Offer, Offset, Outcome, Ports, Position, Reservations,
        ReserveOutcome, Restock, SaleChange, SaleListing, SaleStatus, SaleSwitch, SaleTermsControl,
        SaleWindow, SettleBatch, Settling, TermsOutcome, WithdrawOutcome, Withdrawals,
    },
};
use flashsale_simulator::model::{LedgerRead, ModelGate, ModelLedger, ModelLog};
use futures::FutureExt;
use uuid::Uuid;

const KEEP: Duration = Duration::from_hours(24);

/// A sale of some units that the gate has, and the control loop.
struct Bed {
    ledger: Arc<ModelLedger>,
    gate: Arc<ModelGate>,
    log: Arc<ModelLog>,
    controller: SaleController,
    sale: SaleId,
}

impl Bed {
    async fn with(units: u64) -> Self {
        let clock = Arc::new(SystemClock);
        let ledger = Arc::new(ModelLedger::new(clock.clone()));
        let gate = Arc::new(ModelGate::server(clock.clone()).of_ledger(ledger.id()));
        let log = Arc::new(ModelLog::new(1));
        let sale = SaleId::new(1).unwrap();
        ledger.add_sale(listing(sale, units, TimeDelta::hours(1)));
        let engines = Ports {
            gate: gate.clone(),
            log: log.clone(),
            ledger: ledger.clone(),
            clock,
        };
        let settings = WorkerSettings {
            group: "workers".to_owned(),
            id: "1".to_owned(),
            lease: Duration::from_secs(10),
            pending_age: Duration::ZERO,
            keep: KEEP,
        };
        let mut bed = Self {
            ledger,
            gate,
            log,
            controller: SaleController::new(engines, settings),
            sale,
        };
        bed.rounds(3).await;
        assert!(bed.gate.is_open(sale));
        bed
    }

    async fn rounds(&mut self, count: u32) {
        for _ in 0..count {
            self.controller.round().await.unwrap();
        }
    }

    fn begin(&self, units: u32) -> Movement {
        let begun = self
            .ledger
            .begin_withdrawal(self.sale, units, MovementMode::UpTo);
        begun.unwrap()
    }

    fn node(&self) -> Node {
        Node {
            ledger: Arc::clone(&self.ledger),
            gate: Arc::clone(&self.gate),
            sale: self.sale,
        }
    }

    async fn change(&self, change: &SaleChange) {
        self.node().change(change).await;
    }

    async fn complete(&self, movement: &Movement) {
        self.node().complete(movement).await;
    }

    /// A shopper holds a unit, and has an order of it that the gate was not told of.
    async fn order(&self, number: i64) -> Holder {
        let holder = Holder {
            user: UserId::new(number).unwrap(),
            attempt: AttemptId(Uuid::from_u128(u128::try_from(number).unwrap())),
        };
        self.ledger.add_shopper(holder.user);
        let reserved = self.gate.reserve(self.sale, &[holder]).await.unwrap();
        assert_eq!(reserved, [ReserveOutcome::Reserved]);
        let (group, topic) = ("workers".to_owned(), self.log.name().to_owned());
        let member = Member {
            group: group.clone(),
            topic: topic.clone(),
            id: "1".to_owned(),
        };
        let lease = self.ledger.heartbeat(&member, 1, Duration::from_secs(9));
        let (leases, _) = lease.await.unwrap();
        let (from, partition) = (leases[0].next, leases[0].partition);
        let batch = SettleBatch {
            position: Position {
                group,
                topic,
                partition,
            },
            from,
            to: Offset(from.0 + 1),
            last: Some(holder.attempt),
            attempts: vec![Attempt {
                id: holder.attempt,
                sale: self.sale,
                product: self.listing().product,
                user: holder.user,
                at: SystemClock.now(),
            }],
            rejected: Vec::new(),
            reached: None,
        };
        let settled = self.ledger.settle(&[batch]).await.unwrap();
        assert_eq!(settled[0][0].outcome, Outcome::Ordered);
        holder
    }

    fn listing(&self) -> SaleListing {
        self.node().listing()
    }

    async fn status(&self) -> GateStatus {
        self.gate.status(self.sale).await.unwrap()
    }

    async fn available(&self) -> i64 {
        match self.status().await {
            GateStatus::Open { available, .. } => available,
            other => panic!("{other:?}"),
        }
    }

    /// The gate has the ledger's terms and units, and nothing is set aside.
    async fn check_agreement(&self) {
        let GateStatus::Open {
            window,
            switch,
            available,
            version,
            total,
            withdrawn,
            ..
        } = self.status().await
        else {
            panic!("the sale is not open");
        };
        let row = self.listing();
        let signed = |units| i64::try_from(units).unwrap();
        assert_eq!(
            (window, switch, version),
            (row.window, row.switch, row.version)
        );
        assert_eq!(
            (total, available),
            (signed(row.initial_stock), signed(row.remaining_stock))
        );
        assert_eq!(withdrawn, []);
    }
}

/// An API node through which an operator works on the sale.
struct Node {
    ledger: Arc<ModelLedger>,
    gate: Arc<ModelGate>,
    sale: SaleId,
}

impl Node {
    /// An operator's change, in the ledger and in the gate.
    async fn change(&self, change: &SaleChange) {
        let changed = self
            .ledger
            .change_sale(self.sale, change, SystemClock.now());
        assert!(changed.is_some());
        assert_eq!(self.apply(&[]).await, TermsOutcome::InForce);
    }

    async fn apply(&self, closed: &[MovementId]) -> TermsOutcome {
        let terms = self.listing().terms();
        let expires = terms.window.end + KEEP;
        let set = self.gate.set_terms(self.sale, terms, closed, expires);
        set.await.unwrap()
    }

    /// An API node completes a withdrawal.
    async fn complete(&self, movement: &Movement) {
        let Movement {
            id,
            requested,
            mode,
            ..
        } = *movement;
        let version = self.listing().version;
        let taken = self.gate.withdraw(self.sale, id, requested, mode, version);
        assert_eq!(taken.await.unwrap(), WithdrawOutcome::Withdrawn(requested));
        let closed = self.ledger.close_withdrawal(id, requested).await.unwrap();
        assert_eq!(closed.unwrap().applied, requested);
        assert_eq!(self.apply(&[id]).await, TermsOutcome::InForce);
    }

    fn listing(&self) -> SaleListing {
        self.ledger.listing(self.sale).unwrap()
    }
}

fn listing(id: SaleId, units: u64, end_from_now: TimeDelta) -> SaleListing {
    let now = SystemClock.now();
    SaleListing {
        id,
        product: ProductId::new(1).unwrap(),
        product_name: String::new(),
        product_description: String::new(),
        offer: Offer::default(),
        window: SaleWindow {
            start: now - TimeDelta::days(9),
            end: now + end_from_now,
        },
        switch: SaleSwitch::On,
        initial_stock: units,
        remaining_stock: units,
        version: 1,
    }
}

#[tokio::test]
async fn a_ledger_set_back_to_a_pending_withdrawal_is_found_and_the_sale_loaded_anew() {
    let mut bed = Bed::with(10).await;
    let movement = bed.begin(3);
    let backup = bed.ledger.image();
    bed.complete(&movement).await;
    bed.change(&SaleChange::Pause).await;
    bed.ledger.set_back(&backup);
    bed.rounds(20).await;
    bed.check_agreement().await;
    assert_eq!(
        bed.listing().initial_stock,
        7,
        "the withdrawal is made anew"
    );
}

#[tokio::test]
async fn units_set_aside_for_a_withdrawal_that_the_ledger_has_lost_come_back() {
    let mut bed = Bed::with(10).await;
    let backup = bed.ledger.image();
    let movement = bed.begin(3);
    bed.change(&SaleChange::Pause).await;
    bed.change(&SaleChange::Resume).await;
    let version = bed.listing().version;
    let taken = bed
        .gate
        .withdraw(bed.sale, movement.id, 3, movement.mode, version);
    assert_eq!(taken.await.unwrap(), WithdrawOutcome::Withdrawn(3));
    bed.ledger.set_back(&backup);
    bed.rounds(20).await;
    bed.check_agreement().await;
    assert_eq!(bed.available().await, 10);
}

#[tokio::test]
async fn units_that_were_added_before_a_withdrawal_can_be_taken_by_it() {
    let mut bed = Bed::with(10).await;
    let (more, now) = (SaleChange::AddUnits(5), SystemClock.now());
    assert!(bed.ledger.change_sale(bed.sale, &more, now).is_some());
    bed.begin(15);
    bed.rounds(3).await;
    bed.check_agreement().await;
    assert_eq!(bed.listing().initial_stock, 0);
}

#[tokio::test]
async fn a_withdrawal_that_cannot_be_closed_holds_nothing_else_up() {
    let mut bed = Bed::with(10).await;
    let bought = bed.order(1).await;
    bed.rounds(3).await;
    let movement = bed.begin(3);
    bed.ledger.damage_action_log();
    let now = SystemClock.now();
    let paused = bed.ledger.change_sale(bed.sale, &SaleChange::Pause, now);
    assert!(paused.is_some());
    let ended = bed.ledger.cancel_order(bed.sale, bought.user, Restock::Yes);
    assert_eq!(ended, Some(bought.attempt));
    assert!(bed.controller.round().await.is_ok(), "the terms come first");
    for _ in 0..4 {
        assert!(bed.controller.round().await.is_err(), "it is told");
    }
    let GateStatus::Open {
        switch,
        available,
        holders,
        withdrawn,
        ..
    } = bed.status().await
    else {
        panic!("the sale is not open");
    };
    assert_eq!((switch, holders), (SaleSwitch::Paused, 0));
    assert_eq!((available, withdrawn), (7, vec![(movement.id, 3)]));
}

#[tokio::test]
async fn a_withdrawal_that_was_completed_meanwhile_is_not_made_again() {
    // The round takes it for PENDING, and has the listing of before or of after.
    for read in [LedgerRead::Sales, LedgerRead::PendingMovements] {
        let mut bed = Bed::with(3).await;
        let movement = bed.begin(2);
        let node = bed.node();
        bed.ledger.after_next(read, move || {
            node.complete(&movement).now_or_never().unwrap();
        });
        bed.rounds(1).await;
        bed.check_agreement().await;
        assert_eq!(bed.available().await, 1);
    }
}

#[tokio::test]
async fn the_relay_does_not_bring_a_unit_back_that_left_with_its_order() {
    let mut bed = Bed::with(1).await;
    let bought = bed.order(1).await;
    // After the round has read the ended orders and the listing.
    let (ledger, sale) = (Arc::clone(&bed.ledger), bed.sale);
    bed.ledger.after_next(LedgerRead::Sales, move || {
        let ended = ledger.cancel_order(sale, bought.user, Restock::No);
        assert_eq!(ended, Some(bought.attempt));
    });
    bed.rounds(1).await;
    let other = Holder {
        user: UserId::new(2).unwrap(),
        attempt: AttemptId(Uuid::from_u128(2)),
    };
    let asked = bed.gate.reserve(bed.sale, &[other]).await.unwrap();
    assert_eq!(asked, [ReserveOutcome::SoldOut]);
}

#[tokio::test]
async fn an_ended_order_stays_in_the_gate_while_that_has_terms_of_another_ledger_state() {
    let mut bed = Bed::with(2).await;
    let bought = bed.order(1).await;
    bed.rounds(3).await;
    let backup = bed.ledger.image();
    bed.change(&SaleChange::AddUnits(3)).await;
    bed.ledger.set_back(&backup);
    let ended = bed.ledger.cancel_order(bed.sale, bought.user, Restock::Yes);
    assert_eq!(ended, Some(bought.attempt));
    bed.rounds(1).await;
    assert!(matches!(
        bed.status().await,
        GateStatus::Open { holders: 1, .. }
    ));
    // The ledger has only what the gate should have, once the sale is loaded anew.
    bed.rounds(20).await;
    bed.check_agreement().await;
    assert_eq!(bed.available().await, 2);
}

#[tokio::test(start_paused = true)]
async fn withdrawals_of_sales_that_are_not_listed_any_more_are_refused() {
    let mut bed = Bed::with(2).await;
    let (old, last) = (SaleId::new(2).unwrap(), SaleId::new(3).unwrap());
    bed.ledger.add_sale(listing(old, 5, -TimeDelta::days(3)));
    bed.ledger.add_sale(listing(last, 5, -TimeDelta::days(2)));
    let begin = |sale| {
        let begun = bed.ledger.begin_withdrawal(sale, 1, MovementMode::UpTo);
        begun.unwrap().id
    };
    let pending = [begin(old), begin(last)];
    tokio::time::advance(Duration::from_mins(1)).await;
    bed.rounds(1).await;
    let closed = bed.ledger.movements(&pending).await.unwrap();
    assert_eq!(closed.len(), 2);
    assert!(closed.iter().all(|row| row.state == MovementState::Refused));
}
