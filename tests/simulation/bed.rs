//! A sale on models of the engines, the control loop that keeps it, and other processes that change it meanwhile.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use flashsale::{
    clock::{Clock, SystemClock},
    ids::{AttemptId, ProductId, SaleId, UserId},
    order::{SaleController, Worker, WorkerSettings},
    port::{
        Attempt, ConsumerGroup, GateReads, GateStatus, Holder, Ledger, Member, Movement,
        MovementId, MovementMode, Offer, Offset, Outcome, Ports, Position, Reservations,
        ReserveOutcome, SaleChange, SaleListing, SaleSwitch, SaleTermsControl, SaleWindow,
        SettleBatch, Settlement, Settling, TermsOutcome, WithdrawOutcome, Withdrawals,
    },
};
use flashsale_simulator::model::{ModelGate, ModelLedger, ModelLog};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The name of the log.
const TOPIC: &str = "attempts";
const KEEP: Duration = Duration::from_hours(24);

/// A sale of some units that the gate has, and the control loop.
pub struct Bed {
    pub ledger: Arc<ModelLedger>,
    pub gate: Arc<ModelGate>,
    pub log: Arc<ModelLog>,
    pub controller: SaleController,
    pub sale: SaleId,
}

impl Bed {
    pub async fn with(units: u64) -> Self {
        Self::on(1, units).await
    }

    /// With a log of some partitions.
    pub async fn on(partitions: i32, units: u64) -> Self {
        let clock = Arc::new(SystemClock);
        let ledger = Arc::new(ModelLedger::new(clock.clone()));
        let gate = Arc::new(ModelGate::server(clock.clone()).of_ledger(ledger.id()));
        let log = Arc::new(ModelLog::new(partitions));
        let sale = SaleId::new(1).unwrap();
        ledger.add_sale(listing(sale, units, TimeDelta::hours(1)));
        let engines = Ports {
            gate: gate.clone(),
            log: log.clone(),
            ledger: ledger.clone(),
            clock,
        };
        let mut bed = Self {
            ledger,
            gate,
            log,
            controller: SaleController::new(engines, settings()),
            sale,
        };
        bed.rounds(3).await;
        assert!(bed.gate.is_open(sale));
        bed
    }

    pub async fn rounds(&mut self, count: u32) {
        for _ in 0..count {
            self.controller.round().await.unwrap();
        }
    }

    pub fn begin(&self, units: u32) -> Movement {
        let begun = self
            .ledger
            .begin_withdrawal(self.sale, units, MovementMode::UpTo);
        begun.unwrap()
    }

    pub fn node(&self) -> Node {
        Node {
            ledger: Arc::clone(&self.ledger),
            gate: Arc::clone(&self.gate),
            sale: self.sale,
        }
    }

    pub async fn change(&self, change: &SaleChange) {
        self.node().change(change).await;
    }

    pub async fn complete(&self, movement: &Movement) {
        self.node().complete(movement).await;
    }

    fn engines(&self) -> Ports {
        Ports {
            gate: self.gate.clone(),
            log: self.log.clone(),
            ledger: self.ledger.clone(),
            clock: Arc::new(SystemClock),
        }
    }

    /// The control loop of another worker.
    pub fn other_controller(&self) -> SaleController {
        SaleController::new(self.engines(), settings())
    }

    /// A worker of the whole log, beside which something else is done.
    pub async fn beside_a_worker(&self, work: impl Future<Output = ()>) {
        let engines = self.engines();
        let stop = CancellationToken::new();
        let ended = stop.clone();
        let work = async move {
            work.await;
            ended.cancel();
        };
        futures::join!(Worker::new(engines, settings()).run(stop), work);
    }

    /// A shopper holds a unit.
    pub async fn hold(&self, number: i64) -> Holder {
        let holder = holder(number);
        self.ledger.add_shopper(holder.user);
        let reserved = self.gate.reserve(self.sale, &[holder]).await.unwrap();
        assert_eq!(reserved, [ReserveOutcome::Reserved]);
        holder
    }

    /// A shopper holds a unit, and has an order of it that the gate was not told of.
    pub async fn order(&self, number: i64) -> Holder {
        let holder = self.hold(number).await;
        let settled = self.node().settle(holder).await;
        assert_eq!(settled.outcome, Outcome::Ordered);
        holder
    }

    pub fn listing(&self) -> SaleListing {
        self.node().listing()
    }

    pub async fn status(&self) -> GateStatus {
        self.gate.status(self.sale).await.unwrap()
    }

    pub async fn available(&self) -> i64 {
        match self.status().await {
            GateStatus::Open { available, .. } => available,
            other => panic!("{other:?}"),
        }
    }

    /// The gate has the ledger's terms and units, and nothing is set aside.
    pub async fn check_agreement(&self) {
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

/// Another process: an API node through which an operator works on the sale, or a worker.
pub struct Node {
    pub ledger: Arc<ModelLedger>,
    pub gate: Arc<ModelGate>,
    pub sale: SaleId,
}

impl Node {
    /// An operator's change, in the ledger and in the gate.
    pub async fn change(&self, change: &SaleChange) {
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
    pub async fn complete(&self, movement: &Movement) {
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

    /// An attempt of this sale.
    pub fn attempt(&self, holder: Holder) -> Attempt {
        Attempt {
            id: holder.attempt,
            sale: self.sale,
            product: self.listing().product,
            user: holder.user,
            at: SystemClock.now(),
        }
    }

    /// Settles an attempt that is the next record of the first partition.
    pub async fn settle(&self, holder: Holder) -> Settlement {
        self.settle_at(holder, SystemClock.now()).await
    }

    /// The same for one that was made at another time.
    pub async fn settle_at(&self, holder: Holder, at: DateTime<Utc>) -> Settlement {
        let (group, topic) = (settings().group, TOPIC.to_owned());
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
                at,
                ..self.attempt(holder)
            }],
            offsets: Vec::new(),
            rejected: Vec::new(),
            reached: None,
        };
        let mut settled = self.ledger.settle(&[batch]).await.unwrap();
        settled.remove(0).remove(0)
    }

    pub fn listing(&self) -> SaleListing {
        self.ledger.listing(self.sale).unwrap()
    }
}

/// How long a worker may run the control loop without renewing its lease.
pub const LEASE: Duration = Duration::from_secs(10);

fn settings() -> WorkerSettings {
    WorkerSettings {
        group: "workers".to_owned(),
        id: "1".to_owned(),
        lease: LEASE,
        pending_age: Duration::ZERO,
        keep: KEEP,
    }
}

/// A shopper with this number, and an attempt of theirs.
pub fn holder(number: i64) -> Holder {
    Holder {
        user: UserId::new(number).unwrap(),
        attempt: AttemptId(Uuid::from_u128(u128::try_from(number).unwrap())),
    }
}

pub fn listing(id: SaleId, units: u64, end_from_now: TimeDelta) -> SaleListing {
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
