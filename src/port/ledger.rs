//! The ledger: the system of record. It keeps the promises by itself, whatever gate and log say.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    AccountChanges, AccountPage, AccountPosition, ActionLogCheck, Attempt, DeadLetterDecision,
    FoundAccount, Holder, KeyPage, Movement, MovementId, Offset, Outcome, Partition,
    PasswordHashOutcome, Role, SaleSwitch, SaleTerms, SaleWindow, SeekOutcome, SessionRule,
    Settlement,
};
use crate::ids::{AttemptId, LedgerId, ProductId, SaleId, UserId};

/// The ledger did not answer, or answered with an error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the ledger: {0}")]
pub struct LedgerError(pub String);

/// An account to be made. All text is free of NUL.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub username: String,
    pub email: String,
    /// PHC string.
    pub password_hash: String,
    pub full_name: Option<String>,
}

/// What came of making an account. Usernames and emails are unique by their
/// [`AccountKey`](crate::account_key::AccountKey).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    Registered(UserId),
    UsernameTaken,
    EmailTaken,
}

/// An account as login needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUser {
    pub id: UserId,
    pub username: String,
    pub email: String,
    pub password_hash: String,
    pub role: Role,
    /// By the ledger's clock.
    pub created_at: DateTime<Utc>,
    pub sessions: SessionRule,
}

/// What a sale's product costs and looks like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    pub image_url: Option<String>,
    /// In the currency's smallest unit.
    pub price_cents: i64,
    /// ISO 4217: three capital letters.
    pub currency: String,
    /// The price before the sale, in the same unit.
    pub prior_price_cents: Option<i64>,
}

/// A sale with its product, as the catalog shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleListing {
    pub id: SaleId,
    pub product: ProductId,
    pub product_name: String,
    pub product_description: String,
    pub offer: Offer,
    pub window: SaleWindow,
    pub switch: SaleSwitch,
    pub initial_stock: u64,
    /// Units for which no order stands.
    pub remaining_stock: u64,
    /// Goes up with every change of product, window, switch or `initial_stock`, also one by a hand-written statement.
    pub version: u64,
}

impl SaleListing {
    /// What the gate is to apply.
    #[must_use]
    pub fn terms(&self) -> SaleTerms {
        SaleTerms {
            version: self.version,
            window: self.window,
            switch: self.switch,
            total: self.initial_stock,
        }
    }
}

/// The state of a sale at one moment.
#[derive(Debug, Clone)]
pub struct SaleSnapshot {
    pub version: u64,
    pub window: SaleWindow,
    pub switch: SaleSwitch,
    pub initial: u64,
    pub remaining: u64,
    /// Everyone with an order.
    pub holders: Vec<Holder>,
    /// Withdrawals that are PENDING: their units are still in `initial` and `remaining`.
    pub movements: Vec<Movement>,
}

impl SaleSnapshot {
    /// What the gate is to apply.
    #[must_use]
    pub fn terms(&self) -> SaleTerms {
        SaleTerms {
            version: self.version,
            window: self.window,
            switch: self.switch,
            total: self.initial,
        }
    }
}

/// An order that has ended: it was deleted, or set to another status, sale or shopper by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedOrder {
    pub sale: SaleId,
    pub holder: Holder,
}

/// A settled attempt beside what stands of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettledAttempt {
    pub attempt: AttemptId,
    pub sale: SaleId,
    pub user: UserId,
    /// Its outcome was an order.
    pub ordered: bool,
    /// An order made by it stands.
    pub has_order: bool,
}

/// The position of a consumer group in a partition of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub group: String,
    /// The log's name.
    pub topic: String,
    pub partition: Partition,
}

/// A worker process of a group that reads a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub group: String,
    /// The log's name.
    pub topic: String,
    /// Unique to the process.
    pub id: String,
}

/// A partition that is this member's to read, until its time runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub partition: Partition,
    /// The first record that is not settled.
    pub next: Offset,
    /// The attempt of the last settled record, to find out whether the log is still the one that was read.
    pub last: Option<AttemptId>,
}

/// An attempt that the ledger cannot settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub attempt: AttemptId,
    pub cause: String,
}

/// Records of one partition, to be settled.
#[derive(Debug, Clone)]
pub struct SettleBatch {
    pub position: Position,
    /// Where the worker believes the partition stands.
    pub from: Offset,
    /// Where it stands afterwards.
    pub to: Offset,
    /// The attempt of the record right before `to`, if it has one: becomes [`Lease::last`].
    pub last: Option<AttemptId>,
    /// In the log's order; the same attempt may come more than once.
    pub attempts: Vec<Attempt>,
    /// Those among them that are dead letters already.
    pub rejected: Vec<Rejection>,
    /// The highest account among the records that carry this ledger's id. If one of the attempts has no account, the ledger
    /// was set back: ids of new accounts continue above this one. A ledger that has its log in the same file goes back with it,
    /// and need not.
    pub reached: Option<UserId>,
}

/// Why nothing was settled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SettleError {
    /// A partition does not stand where the worker believed: another worker has it.
    #[error("fenced out: the partition is not at the expected offset")]
    Fenced,
    /// These attempts cannot be settled. Write them to the dead letters, then settle their batch with them among `rejected`.
    #[error("{} attempts cannot be settled", .0.len())]
    Unsettleable(Vec<Rejection>),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The system of record. Every call answers within a bounded time.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Which ledger this is. Read when the ledger is opened; it never changes.
    fn id(&self) -> LedgerId;

    /// Makes an account with the role `user`. Its id is higher than `above` and than every id that was handed out before, in
    /// this state of the ledger, also of accounts that were deleted.
    async fn register(&self, user: &NewUser, above: i64) -> Result<Registration, LedgerError>;

    /// Sees to it that ids of new accounts are higher than `id`.
    async fn continue_accounts_above(&self, id: UserId) -> Result<(), LedgerError>;

    /// What became of accounts since a position; with `None`, the position of now.
    async fn account_changes(
        &self,
        since: Option<&AccountPosition>,
    ) -> Result<AccountChanges, LedgerError>;

    /// The accounts with the lowest ids above `after`, at most `limit`: fewer only at the end.
    async fn accounts_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<AccountPage, LedgerError>;

    /// Those of these accounts that exist.
    async fn find_accounts(&self, ids: &[UserId]) -> Result<Vec<FoundAccount>, LedgerError>;

    /// The accounts with the lowest ids above `after` that are disabled, or whose tokens were ended after `since` (in seconds since
    /// 1970), at most `limit`. A ledger in which nobody ends sessions has none.
    async fn ended_sessions(
        &self,
        _after: Option<UserId>,
        _since: i64,
        _limit: u32,
    ) -> Result<Vec<(UserId, SessionRule)>, LedgerError> {
        Ok(Vec::new())
    }

    /// Computes the keys of accounts that have none, of those with the lowest ids above `after`, at most `limit`: of accounts
    /// made by hand, or by a version without keys. A ledger that computes every key when it makes an account has none.
    async fn set_missing_keys(&self, _after: i64, _limit: u32) -> Result<KeyPage, LedgerError> {
        Ok(KeyPage::default())
    }

    /// The account whose username has the key of this one. An account without a key, since an older one has it, is found by its
    /// exact username.
    async fn find_user(&self, username: &str) -> Result<Option<StoredUser>, LedgerError>;

    /// Puts another password hash in the place of this one.
    async fn replace_password_hash(
        &self,
        user: UserId,
        old: &str,
        new: &str,
    ) -> Result<PasswordHashOutcome, LedgerError>;

    /// All sales but drafts that end after `since`, and the last one that ended before it, by start.
    /// Windows are to the millisecond, as the gate keeps them.
    async fn sales(&self, since: DateTime<Utc>) -> Result<Vec<SaleListing>, LedgerError>;

    /// Settles batches of one group and log, each of another partition, in ONE transaction, all of them or none: moves each partition from `from`
    /// to `to` if it stands at `from` (compare and set), takes units, inserts orders, records the outcome of every attempt.
    /// For each batch one settlement for each of its attempts, in order; attempts settled before answer as they did then, or
    /// [`Outcome::Released`] if their order has ended.
    async fn settle(&self, batches: &[SettleBatch]) -> Result<Vec<Vec<Settlement>>, SettleError>;

    /// Forgets when the sales were open, so that every time of an attempt is taken: the ledger was set back, and may have lost
    /// that a sale was made longer. Changes no terms. What is forgotten stays so.
    async fn forget_admission_windows(&self) -> Result<(), LedgerError>;

    /// The outcomes of those of these attempts that are settled.
    async fn outcomes(
        &self,
        attempts: &[AttemptId],
    ) -> Result<BTreeMap<AttemptId, Outcome>, LedgerError>;

    /// Remaining units, holders and PENDING withdrawals of a sale, consistent with each other. `None` when there is no such
    /// sale. A DRAFT is as a cancelled one.
    async fn snapshot(&self, sale: SaleId) -> Result<Option<SaleSnapshot>, LedgerError>;

    /// Orders of these sales that have ended and that the gate is not known to have taken out, at most `limit` a sale.
    async fn ended_orders(
        &self,
        sales: &[SaleId],
        limit: u32,
    ) -> Result<Vec<EndedOrder>, LedgerError>;

    /// Notes that the gate has taken these out.
    async fn note_ended(&self, orders: &[EndedOrder]) -> Result<(), LedgerError>;

    /// Withdrawals of these sales that are PENDING, the oldest first. A sale has at most [`MAX_PENDING_MOVEMENTS`](super::MAX_PENDING_MOVEMENTS).
    async fn pending_movements(&self, sales: &[SaleId]) -> Result<Vec<Movement>, LedgerError>;

    /// Withdrawals that are PENDING though their sale ended before `since`, at most 100. [`Ledger::sales`] since then does not list
    /// these sales.
    async fn unlisted_movements(&self, since: DateTime<Utc>) -> Result<Vec<Movement>, LedgerError>;

    /// Those of these withdrawals that exist.
    async fn movements(&self, ids: &[MovementId]) -> Result<Vec<Movement>, LedgerError>;

    /// Completes a PENDING withdrawal with the number of units that the gate took: lowers the sale's initial and remaining units by it
    /// in the same transaction, which raises the version, and notes it in the action log. `0` closes it as REFUSED. Repeated, it
    /// answers what is stored. `None`: there is no such withdrawal.
    ///
    /// If fewer units remain than were taken, since a statement written by hand has lowered them meanwhile, only those are taken
    /// from the ledger: `applied` says how many.
    async fn close_withdrawal(
        &self,
        movement: MovementId,
        taken: u32,
    ) -> Result<Option<Movement>, LedgerError>;

    /// Says that this member lives, renews its leases for `ttl`, forgets members that have been silent for longer, and
    /// leases free partitions up to its fair share. Answers with all that it holds now and its fair share: the live
    /// members in the order of their ids get the partitions evenly, the first ones one more if it does not divide. A
    /// member that holds more than its share is expected to release the rest.
    async fn heartbeat(
        &self,
        member: &Member,
        partitions: i32,
        ttl: Duration,
    ) -> Result<(Vec<Lease>, usize), LedgerError>;

    /// Releases partitions that this member holds.
    async fn release(&self, member: &Member, partitions: &[Partition]) -> Result<(), LedgerError>;

    /// Releases everything and takes the member off the list.
    async fn leave(&self, member: &Member) -> Result<(), LedgerError>;

    /// The committed offset of every partition that was ever leased: the first record that is not settled.
    async fn committed_offsets(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError>;

    /// Moves a partition from offset `from` to another one without settling, if it stands there.
    async fn seek(
        &self,
        position: &Position,
        from: Offset,
        to: Offset,
    ) -> Result<SeekOutcome, LedgerError>;

    /// Settled attempts in the order of their ids, behind `after`, at most `limit`: fewer only at the end. For audits.
    async fn settled(
        &self,
        after: Option<AttemptId>,
        limit: u32,
    ) -> Result<Vec<SettledAttempt>, LedgerError>;

    /// Notes durably what was decided about a dead letter of this log. Notes are never changed.
    async fn note_decision(
        &self,
        log: &str,
        decision: &DeadLetterDecision,
    ) -> Result<(), LedgerError>;

    /// What was decided about the dead letters of this log, the oldest first.
    async fn decisions(&self, log: &str) -> Result<Vec<DeadLetterDecision>, LedgerError>;

    /// Checks the hash chain of the action log, from its first entry to its head. A ledger that keeps no such log has none to
    /// check.
    async fn verify_actions(&self) -> Result<ActionLogCheck, LedgerError> {
        Ok(ActionLogCheck::default())
    }

    /// Answers when the ledger does.
    async fn ping(&self) -> Result<(), LedgerError>;
}
