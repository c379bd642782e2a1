//! A sale in the gate beside the ledger's view of it, so that every test can check the balance.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use flashsale::{
    clock::{Clock, SystemClock},
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        Attempt, GateStatus, Holder, LoadStart, LoadStep, LoadToken, Movement, MovementId, Outcome,
        PurchaseResult, ReserveOutcome, ResultQuery, SaleTerms, SaleWindow, Settlement, StockGate,
        TermsOutcome,
    },
};
use uuid::Uuid;

use super::Engine;

pub const LEASE: Duration = Duration::from_secs(30);

/// One sale of a product of its own.
pub struct Scene<E> {
    pub engine: E,
    pub gate: Arc<dyn StockGate>,
    pub sale: SaleId,
    pub product: ProductId,
    /// What the ledger has left; tests change it with every order that they let it make.
    pub remaining: i64,
}

impl<E: Engine> Scene<E> {
    /// A sale that the gate does not know yet.
    pub fn unknown(engine: E) -> Self {
        let gate = engine.gate();
        Self {
            engine,
            gate,
            sale: new_sale(),
            product: ProductId::new(random_id()).unwrap(),
            remaining: 0,
        }
    }

    /// A sale that is open now.
    pub async fn open(engine: E, stock: u64) -> Self {
        Self::with_window(engine, stock, open_window()).await
    }

    pub async fn with_window(engine: E, stock: u64, window: SaleWindow) -> Self {
        let mut scene = Self::unknown(engine);
        scene.load(stock, window, &[]).await;
        scene
    }

    /// Loads and opens the sale as a worker does.
    pub async fn load(&mut self, remaining: u64, window: SaleWindow, holders: &[Holder]) {
        let (token, total) = (new_token(), remaining + holders.len() as u64);
        assert_eq!(
            self.gate.begin_load(self.sale, token, LEASE).await.unwrap(),
            LoadStart::Begun
        );
        assert_eq!(
            self.gate
                .load_holders(self.sale, token, holders)
                .await
                .unwrap(),
            LoadStep::Applied
        );
        self.open_loaded(token, terms(window, total), remaining, &[])
            .await;
    }

    /// Loads and opens the sale, which nobody has bought of, while movements are PENDING.
    pub async fn load_with(&mut self, terms: SaleTerms, remaining: u64, movements: &[Movement]) {
        let token = new_token();
        let begun = self.gate.begin_load(self.sale, token, LEASE).await;
        assert_eq!(begun.unwrap(), LoadStart::Begun);
        self.open_loaded(token, terms, remaining, movements).await;
    }

    pub async fn open_loaded(
        &mut self,
        token: LoadToken,
        terms: SaleTerms,
        remaining: u64,
        movements: &[Movement],
    ) {
        let opened = self.gate.open(
            self.sale,
            token,
            terms,
            remaining,
            movements,
            in_two_hours(),
        );
        assert_eq!(opened.await.unwrap(), LoadStep::Applied);
        self.remaining = i64::try_from(remaining).unwrap();
        self.check_balance().await;
    }

    pub async fn reserve(&self, holder: Holder) -> ReserveOutcome {
        self.gate.reserve(self.sale, &[holder]).await.unwrap()[0]
    }

    /// A new shopper who holds a unit, pending.
    pub async fn reserved(&self) -> Holder {
        let holder = new_shopper();
        assert_eq!(self.reserve(holder).await, ReserveOutcome::Reserved);
        holder
    }

    pub fn settlement(&self, holder: Holder, outcome: Outcome) -> Settlement {
        let Holder { user, attempt } = holder;
        let at = SystemClock.now();
        let attempt = Attempt {
            id: attempt,
            sale: self.sale,
            product: self.product,
            user,
            at,
        };
        Settlement { attempt, outcome }
    }

    pub async fn record(&self, holder: Holder, outcome: Outcome) {
        self.gate
            .record(self.sale, &[self.settlement(holder, outcome)])
            .await
            .unwrap();
    }

    /// Records twice, because a worker may; the balance must hold after each.
    pub async fn record_twice(&self, holder: Holder, outcome: Outcome) {
        for _ in 0..2 {
            self.record(holder, outcome).await;
            self.check_balance().await;
        }
    }

    /// Asked alone and among others, which must make no difference.
    pub async fn result(&self, user: UserId) -> Option<PurchaseResult> {
        let alone = self
            .gate
            .read_result(user, self.product, Some(self.sale))
            .await
            .unwrap();
        let question = ResultQuery {
            user,
            product: self.product,
            sale: Some(self.sale),
        };
        let nobody = ResultQuery {
            user: new_shopper().user,
            ..question
        };
        let unnamed = ResultQuery {
            sale: None,
            ..question
        };
        let told = self.results(&[nobody, question, unnamed, question]).await;
        assert_eq!((told[0], told[1], told[3]), (None, alone, alone));
        let unnamed_alone = self.gate.read_result(user, self.product, None).await;
        assert_eq!(told[2], unnamed_alone.unwrap());
        alone
    }

    pub async fn results(&self, asked: &[ResultQuery]) -> Vec<Option<PurchaseResult>> {
        let answers = self.gate.read_results(asked).await;
        answers.into_iter().map(Result::unwrap).collect()
    }

    /// Available and pending units, and the holders epoch.
    pub async fn figures(&self) -> (i64, i64, u64) {
        match self.gate.status(self.sale).await.unwrap() {
            GateStatus::Open {
                available,
                pending,
                holders_epoch,
                ..
            } => (available, i64::try_from(pending).unwrap(), holders_epoch),
            other => panic!("the sale is not open: {other:?}"),
        }
    }

    /// Moves the window, with the next version of the terms.
    pub async fn set_window(&self, window: SaleWindow) {
        let (version, total) = match self.gate.status(self.sale).await.unwrap() {
            GateStatus::Open { version, total, .. } => (version, u64::try_from(total).unwrap()),
            GateStatus::Unknown | GateStatus::Closed { .. } => (0, 0),
        };
        self.set_terms(version + 1, window, total).await;
    }

    /// Applies terms of this version.
    pub async fn set_terms(&self, version: u64, window: SaleWindow, total: u64) -> TermsOutcome {
        let terms = SaleTerms {
            switch: flashsale::port::SaleSwitch::On,
            version,
            window,
            total,
        };
        let set = self.gate.set_terms(self.sale, terms, &[], in_two_hours());
        set.await.unwrap()
    }

    /// Applies terms, or finds them in force, and clears what was set aside for closed movements.
    pub async fn apply(&self, terms: SaleTerms, closed: &[MovementId]) {
        assert_eq!(self.set(terms, closed).await, TermsOutcome::InForce);
    }

    pub async fn set(&self, terms: SaleTerms, closed: &[MovementId]) -> TermsOutcome {
        let set = self
            .gate
            .set_terms(self.sale, terms, closed, in_two_hours());
        set.await.unwrap()
    }

    /// Units that are set aside, by movement.
    pub async fn withdrawn(&self) -> BTreeMap<MovementId, u64> {
        match self.gate.status(self.sale).await.unwrap() {
            GateStatus::Open { withdrawn, .. } => withdrawn.into_iter().collect(),
            other => panic!("the sale is not open: {other:?}"),
        }
    }

    /// Every settlement is recorded: what is available, pending or set aside is what the ledger has left. And the gate's own
    /// sum, `available + holders + withdrawn = total`.
    pub async fn check_balance(&self) {
        let status = self.gate.status(self.sale).await.unwrap();
        assert!(!status.is_contradictory(), "{status:?}");
        let (available, pending, _) = self.figures().await;
        let withdrawn = i64::try_from(status.withdrawn_units()).unwrap();
        assert_eq!(
            available + pending + withdrawn,
            self.remaining,
            "available {available}, pending {pending}, withdrawn {withdrawn}"
        );
    }

    pub async fn is_holder(&self, user: UserId) -> bool {
        self.gate.holders(self.sale).await.unwrap().contains(&user)
    }
}

pub fn new_sale() -> SaleId {
    SaleId::new(random_id()).unwrap()
}

pub fn new_shopper() -> Holder {
    Holder {
        user: UserId::new(random_id()).unwrap(),
        attempt: AttemptId::generate(),
    }
}

/// The same shopper with another attempt.
pub fn again(holder: Holder) -> Holder {
    Holder {
        attempt: AttemptId::generate(),
        ..holder
    }
}

pub fn new_token() -> LoadToken {
    LoadToken(Uuid::new_v4())
}

/// The terms of a sale as it is loaded first.
pub fn terms(window: SaleWindow, total: u64) -> SaleTerms {
    SaleTerms {
        switch: flashsale::port::SaleSwitch::On,
        version: 1,
        window,
        total,
    }
}

/// The same for all tests of a run: a window that is set again changes nothing.
pub fn open_window() -> SaleWindow {
    static WINDOW: LazyLock<SaleWindow> = LazyLock::new(|| window_from_now(-3_600_000, 3_600_000));
    *WINDOW
}

/// A window with these distances from now, in milliseconds.
pub fn window_from_now(start_ms: i64, end_ms: i64) -> SaleWindow {
    let now = SystemClock.now();
    SaleWindow {
        start: now + TimeDelta::milliseconds(start_ms),
        end: now + TimeDelta::milliseconds(end_ms),
    }
}

pub fn in_two_hours() -> DateTime<Utc> {
    SystemClock.now() + TimeDelta::hours(2)
}

/// Asks again until the answer is right; panics after ten seconds.
pub async fn wait_until<F: Future<Output = bool>>(what: &str, mut question: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !question().await {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Up to 2^52: what a script's numbers hold exactly is not what this suite is about.
fn random_id() -> i64 {
    i64::try_from(Uuid::new_v4().as_u128() >> 76).unwrap() + 1
}
