//! The three ports: all that the domain knows of the servers behind it.
//!
//! [`StockGate`] decides who gets a unit, [`AttemptLog`] keeps the accepted attempts in order, [`Ledger`] is the system
//! of record. Here are the traits and the plain types they speak in; the engines that implement them are under
//! `engine`, and nothing here knows any of them.

mod account_store;
mod accounts;
mod admin;
mod announcements;
mod attempt;
mod dead_letters;
mod gate;
mod ledger;
mod log;
mod outcomes;
mod ports;

pub use account_store::{Access, AccountStore, FoundAccount, Listed, ResetHash, SessionRule};
pub use accounts::{
    ACCOUNT_BLOCK, AccountChanges, AccountName, AccountPage, AccountPosition, AccountRun, KeyClash,
    KeyPage, Role,
};
pub use admin::{
    Action, ActionEntry, ActionId, ActionLogCheck, ActionName, Actor, AdminError, Administration,
    AttemptHistory, Changed, Fingerprint, IdempotencyKey, KeyStanding, MAX_PENDING_MOVEMENTS,
    Movement, MovementId, MovementMode, MovementState, NewProduct, NewSale, OrderEntry, OrderPage,
    Product, ProductChange, Restock, SaleChange, SaleEdit, SaleRecord, SaleState, StoredAnswer,
};
pub use announcements::{
    Announcement, AnnouncementStream, News, ResultAnnouncements, ShopperResult,
};
pub use attempt::{Attempt, Outcome, Settlement};
pub use dead_letters::{
    DeadLetterAction, DeadLetterDecision, DeadLetterEntry, DeadLetterId, DeadLetterPage,
    InvalidDeadLetterId,
};
pub use gate::{
    CloseReason, GateError, GateStatus, HeldUnit, Holder, LoadToken, PendingEntry, PurchaseResult,
    ReleaseOutcome, ReserveOutcome, ResultEntry, ResultQuery, SaleSwitch, SaleTerms, SaleWindow,
    Standing, StockGate,
};
pub use ledger::{
    EndedOrder, Lease, Ledger, LedgerError, Member, NewUser, Offer, Position, Registration,
    Rejection, SaleListing, SaleSnapshot, SettleBatch, SettleError, SettledAttempt, StoredUser,
};
pub use log::{
    AppendError, AttemptLog, DeadLetter, LogBatch, LogEntry, LogError, LogRecord, Offset,
    Partition, RawRecord,
};
pub use outcomes::{
    ClaimOutcome, CloseRequest, EndOrdersOutcome, LoadStart, LoadStep, PasswordHashOutcome,
    SeekOutcome, TermsOutcome, UnloadOutcome, WithdrawOutcome,
};
pub use ports::Ports;

/// A server behind one of the ports did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
