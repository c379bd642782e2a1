//! The stock gate: the hot path, which decides atomically who holds a unit of which sale.
//!
//! For every sale the gate keeps the units still available, the *holders* (one attempt a shopper) and the *pending*
//! attempts: held, and not yet recorded as settled. When every settlement is recorded,
//! `available + pending + withdrawn = remaining units of the ledger`; every operation here keeps that balance. At every moment
//! `available + holders + withdrawn` is the sale's total. Units are *withdrawn* when they were set aside to leave the sale,
//! each for one movement of the ledger, until the ledger has lowered its numbers.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use std::time::Duration;
use uuid::Uuid;

use super::{
    ClaimOutcome, CloseRequest, EndOrdersOutcome, LoadStart, LoadStep, Movement, MovementId,
    MovementMode, ResultAnnouncements, Settlement, TermsOutcome, UnloadOutcome, WithdrawOutcome,
};
use crate::ids::{AttemptId, ProductId, SaleId, UserId};

/// The gate did not do what it was asked, or is not known to have done it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GateError {
    /// Nothing took place: there is no connection, or the gate refused before it changed anything.
    #[error("the stock gate does not serve: {0}")]
    Refused(String),
    /// It did not answer, or answered with an error. Whether the operation took place is unknown.
    #[error("the stock gate: {0}")]
    Unknown(String),
}

/// When a sale is open: `start <= now < end`, by the gate's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaleWindow {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

impl SaleWindow {
    /// The moment within it that is nearest to another, to the millisecond: when somebody whom the gate let in must have come,
    /// if another clock says otherwise.
    #[must_use]
    pub fn nearest(&self, moment: DateTime<Utc>) -> DateTime<Utc> {
        let last = self.end - TimeDelta::milliseconds(1);
        moment.min(last).max(self.start)
    }
}

/// Whether a sale takes attempts within its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SaleSwitch {
    #[default]
    On,
    /// An operator paused it.
    Paused,
    /// For good: it answers as one that has ended.
    Cancelled,
}

/// What an operator decides about a sale, as the ledger has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaleTerms {
    /// Goes up with every change of the others. Settling changes none of them.
    pub version: u64,
    pub window: SaleWindow,
    pub switch: SaleSwitch,
    /// The units that there are: the ledger's initial stock.
    pub total: u64,
}

/// Why a sale was closed until it is loaded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The server behind the gate was restarted since the sale was loaded, and may have lost writes.
    Restarted,
    /// What says how many units are available was lost.
    StockLost,
    /// What says which attempts are pending was lost.
    PendingLost,
    /// What says how the sale stands was lost.
    MetaLost,
    /// `available + holders + withdrawn` is not the total: the holders were lost, or somebody wrote into the gate.
    OffBalance,
    /// The caller asked for it ([`CloseRequest::Unconditional`]).
    Requested,
}

/// The answer to one shopper who asks for a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReserveOutcome {
    /// A unit was taken for this attempt, which is now pending.
    Reserved,
    /// The shopper holds a unit already, by this attempt. A pending one is thereby claimed: its release is refused from
    /// now on, since another answer relies on it.
    AlreadyHeld {
        attempt: AttemptId,
        standing: Standing,
    },
    SoldOut,
    NotStarted,
    /// Its window is over, or it was cancelled.
    Ended,
    /// Its window is open, and an operator has paused it.
    Paused,
    /// The gate does not know the sale (yet, or any more), or it is being loaded.
    Closed,
}

/// How far a held attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Accepted; the ledger's decision is not recorded yet.
    Pending,
    /// An order stands.
    Success,
}

/// The answer to giving a unit back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// The unit can be bought again; no order can come of the attempt through the gate.
    Released,
    /// Somebody else answers for the attempt (a second press, or the relay): it stays held.
    Claimed,
    /// The attempt holds nothing: never reserved, already released, already settled, or the gate was emptied.
    NotHeld,
}

/// What a shopper is told of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurchaseResult {
    Success,
    Failed,
}

/// A shopper's result to be kept for status reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultEntry {
    pub sale: SaleId,
    pub product: ProductId,
    pub user: UserId,
    pub result: PurchaseResult,
}

/// A shopper who asks for a result; `sale` is the product's current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultQuery {
    pub user: UserId,
    pub product: ProductId,
    pub sale: Option<SaleId>,
}

/// A shopper who holds a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    pub user: UserId,
    pub attempt: AttemptId,
}

/// A shopper who holds a unit, and how far that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldUnit {
    pub user: UserId,
    pub attempt: AttemptId,
    pub standing: Standing,
}

/// A held attempt whose settlement is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingEntry {
    pub user: UserId,
    pub attempt: AttemptId,
    /// When it was reserved or last claimed, by the gate's clock.
    pub since: DateTime<Utc>,
}

/// Names one loading of a sale, so that two loaders cannot mix theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadToken(pub Uuid);

/// What the gate knows of a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateStatus {
    /// Nothing: it was never loaded, or the gate was emptied.
    Unknown,
    /// Known but closed: being loaded, or closed because the server behind the gate was restarted since it was loaded and
    /// may have lost writes.
    Closed { pending: u64 },
    Open {
        window: SaleWindow,
        switch: SaleSwitch,
        /// Units that can be reserved now. Below zero while the ledger has sold more than the gate knew.
        available: i64,
        pending: u64,
        /// Everyone who holds a unit, pending or ordered. At every moment `available + holders + withdrawn` is the total.
        holders: u64,
        /// Units set aside, by movement, in the order of ids. Also movements for which none could be. Empty nearly always.
        withdrawn: Vec<(MovementId, u64)>,
        /// Raised whenever a unit comes back, an order of an unknown shopper is recorded, window or switch change, or the sale is
        /// opened; it never takes an earlier value. While it stands still and the sale gives no units (none is available, it is
        /// over or cancelled), the set of holders can only shrink.
        holders_epoch: u64,
        /// Of the terms in force; 0 if the sale was loaded by a program that knew no terms.
        version: u64,
        /// Of the terms in force. Another number than the ledger's while a change is on its way.
        total: i64,
        /// What the gate keeps is complete, as far as one look can tell.
        complete: bool,
    },
}

impl GateStatus {
    /// True if what the gate keeps of an open sale contradicts itself: some of it was lost.
    #[must_use]
    pub fn is_contradictory(&self) -> bool {
        match self {
            Self::Open {
                available,
                holders,
                total,
                complete,
                ..
            } => {
                let given = holders.saturating_add(self.withdrawn_units());
                !complete || i64::try_from(given).is_ok_and(|given| available + given != *total)
            }
            Self::Unknown | Self::Closed { .. } => false,
        }
    }

    /// Units that are set aside, of all movements.
    #[must_use]
    pub fn withdrawn_units(&self) -> u64 {
        match self {
            Self::Open { withdrawn, .. } => withdrawn.iter().map(|(_, units)| units).sum(),
            Self::Unknown | Self::Closed { .. } => 0,
        }
    }
}

/// The hot path. Every method is idempotent by attempt id, because a client may send it twice after a broken connection,
/// and answers within a bounded time.
#[async_trait]
pub trait StockGate: ResultAnnouncements {
    /// True if the gate keeps its state when this process ends. Only then may an attempt that is pending here count as accepted
    /// before the log is known to have it.
    fn is_durable(&self) -> bool;

    /// Decides for shoppers of one sale, in this order, in one atomic step. One outcome for each holder asked for.
    ///
    /// A shopper who holds a unit gets `AlreadyHeld` whatever window and switch say; repeated with the same attempt id, a
    /// reservation answers `AlreadyHeld` with that id.
    async fn reserve(
        &self,
        sale: SaleId,
        asked: &[Holder],
    ) -> Result<Vec<ReserveOutcome>, GateError>;

    /// Gives back the unit of an attempt that surely was not logged.
    async fn release(&self, sale: SaleId, holder: Holder) -> Result<ReleaseOutcome, GateError>;

    /// Records what the ledger decided, for settlements of one sale: the attempts are no longer pending; a failed one
    /// gives its unit back; an order of a shopper whom the gate does not know takes a unit (`available` may go below
    /// zero); shoppers' results are written, FAILED never over a SUCCESS of the same sale, and that of a rejected attempt
    /// only if its shopper waits for one: its record may name anybody.
    ///
    /// While a sale is being loaded, orders recorded meanwhile are kept aside and counted when it opens. For an unknown
    /// sale only the results are written.
    async fn record(&self, sale: SaleId, settlements: &[Settlement]) -> Result<(), GateError>;

    /// Writes results of shoppers who were refused. Never over a SUCCESS of the same sale.
    async fn write_results(&self, results: &[ResultEntry]) -> Result<(), GateError>;

    /// What to tell a shopper of a product. With `sale`, the product's current one: a shopper who holds a unit of it is
    /// told that attempt's standing (pending: `None`), never an older result. A FAILED is told only if the shopper holds no
    /// unit of its sale and that sale is not being loaded: whoever is told FAILED gets no order.
    async fn read_result(
        &self,
        user: UserId,
        product: ProductId,
        sale: Option<SaleId>,
    ) -> Result<Option<PurchaseResult>, GateError>;

    /// True if one [`read_results`](Self::read_results) of many costs less than many [`read_result`](Self::read_result).
    fn prefers_batched_reads(&self) -> bool {
        false
    }

    /// [`read_result`](Self::read_result) for many, in order.
    async fn read_results(
        &self,
        asked: &[ResultQuery],
    ) -> Vec<Result<Option<PurchaseResult>, GateError>> {
        let answers = asked
            .iter()
            .map(|question| self.read_result(question.user, question.product, question.sale));
        join_all(answers).await
    }

    /// The state of a sale. Reads only.
    async fn status(&self, sale: SaleId) -> Result<GateStatus, GateError>;

    /// All who hold a unit, in no order; at least those who hold one during the whole call.
    async fn holders(&self, sale: SaleId) -> Result<Vec<UserId>, GateError>;

    /// Closes a sale until it is loaded anew. From a restart of the server on, a sale answers as a closed one even before this.
    /// The reason, if it closed the sale now.
    async fn close(
        &self,
        sale: SaleId,
        request: CloseRequest,
    ) -> Result<Option<CloseReason>, GateError>;

    /// Of a closed sale: lists those as pending again who hold a pending attempt and are not listed. How many. A sale that
    /// lost its list must not be loaded anew before: an attempt may be known here and nowhere else.
    async fn relist(&self, sale: SaleId) -> Result<u64, GateError>;

    /// Takes orders out that the ledger has ended, at most 1,000: each unit can be bought again, the shopper may buy again and
    /// is not told SUCCESS any more. An order of one of these attempts that is recorded later takes no unit.
    async fn end_orders(
        &self,
        sale: SaleId,
        product: ProductId,
        ended: &[Holder],
    ) -> Result<EndOrdersOutcome, GateError>;

    /// Up to `limit` pending attempts that are at least this old, oldest first. Works on closed sales too.
    async fn overdue(
        &self,
        sale: SaleId,
        age: Duration,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, GateError>;

    /// Claims pending attempts before they are appended again: from now on their release is refused, and they count as
    /// new for [`StockGate::overdue`]. One answer for each.
    async fn claim(&self, sale: SaleId, holders: &[Holder])
    -> Result<Vec<ClaimOutcome>, GateError>;

    /// Starts loading a sale that is unknown or closed, dropping what was held of it.
    async fn begin_load(
        &self,
        sale: SaleId,
        token: LoadToken,
        lease: Duration,
    ) -> Result<LoadStart, GateError>;

    /// Adds holders who have an order, from the same snapshot as the units of [`StockGate::open`].
    async fn load_holders(
        &self,
        sale: SaleId,
        token: LoadToken,
        holders: &[Holder],
    ) -> Result<LoadStep, GateError>;

    /// Opens a loaded sale with the terms, and the units left, of the ledger's snapshot that the holders came from. It must
    /// have been taken after [`StockGate::begin_load`]. `movements` are the PENDING ones of the same snapshot: for each, in
    /// order, as many units are set aside as are available, so that a gate that was lost in the middle of a withdrawal does not
    /// sell what the ledger may be about to remove. Also of an `Exact` one: whoever took all of its units before may close it yet.
    /// What is kept of the sale expires at `expires`.
    async fn open(
        &self,
        sale: SaleId,
        token: LoadToken,
        terms: SaleTerms,
        remaining: u64,
        movements: &[Movement],
        expires: DateTime<Utc>,
    ) -> Result<LoadStep, GateError>;

    /// Applies terms to an open sale if their version is newer than that in force: what is available changes by as much as
    /// the total. More may be given out than the new total; then nothing is available, and the number is below zero.
    ///
    /// Units that are set aside for movements of `closed`, at most 1,000, become available at the same moment, unless other
    /// terms stay in force: `available += (total - total before) + cleared`. So the terms must be read from the ledger
    /// *after* those movements were closed there: read before, their total still counts the units that have left the sale.
    async fn set_terms(
        &self,
        sale: SaleId,
        terms: SaleTerms,
        closed: &[MovementId],
        expires: DateTime<Utc>,
    ) -> Result<TermsOutcome, GateError>;

    /// Sets units of an open sale aside for a movement that is PENDING in the ledger: nobody can reserve them. `UpTo`: as many
    /// as are available; `Exact`: all or none. Units that are held are never taken. Repeated, it answers the same
    /// number, until the movement is cleared by [`StockGate::set_terms`]. After that it would take units anew, which nobody asks
    /// for. So it takes none if newer terms are in force than `seen`, the version of the sale that the caller read from the
    /// ledger *before* it found the movement PENDING: whatever cleared the movement has raised the version above it.
    async fn withdraw(
        &self,
        sale: SaleId,
        movement: MovementId,
        units: u32,
        mode: MovementMode,
        seen: u64,
    ) -> Result<WithdrawOutcome, GateError>;

    /// Everyone who holds a unit of a sale, in pages: whoever held one all the time is there, with a standing that was
    /// true at some moment meanwhile. For audits; reads only.
    async fn held_units(&self, sale: SaleId) -> Result<Vec<HeldUnit>, GateError>;

    /// What these shoppers would be told of a sale if the gate forgot who holds its units: one answer for each, `None`
    /// where nothing is kept or it is of another sale of the product. For audits; reads only.
    async fn stored_results(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<Option<PurchaseResult>>, GateError>;

    /// Forgets written results, each only if it still stands like this.
    async fn forget_results(&self, results: &[ResultEntry]) -> Result<(), GateError>;

    /// Forgets a sale, as if the gate had been emptied of it: a worker loads it anew from the ledger.
    async fn unload(&self, sale: SaleId) -> Result<UnloadOutcome, GateError>;

    /// The time by the gate's clock, which opens and closes sales. On a cluster, of one of its masters: their clocks are to
    /// be within a second of each other.
    async fn now(&self) -> Result<DateTime<Utc>, GateError>;

    /// The highest account id that a node of this ledger ever noted here, so that it outlives a ledger that is set back. `None`
    /// if there is no note: the gate is new to this ledger, or was emptied.
    async fn account_mark(&self) -> Result<Option<i64>, GateError>;

    /// Notes that account ids up to this one were handed out. A higher note stays.
    async fn raise_account_mark(&self, to: i64) -> Result<(), GateError>;

    /// Succeeds when the gate takes writes now: a server that only answers is not enough.
    async fn ping(&self) -> Result<(), GateError>;
}
