//! The three ports: all that the domain knows of the servers behind it.
//!
//! [`StockGate`] decides who gets a unit, [`AttemptLog`] keeps the accepted attempts in order, [`Ledger`] is the system
//! of record. Gate and ledger are split by role: code that reserves units takes `dyn Reservations`, not a whole gate.
//!
//! Here are the traits and the plain types they speak in; the engines that implement them are under
//! `engine`, and nothing here knows any of them.

mod account_store;
mod accounts;
mod admin;
mod answers;
mod attempt;
mod cluster_figures;
mod dead_letters;
mod event_topic;
mod gate;
mod ledger;
mod log;
mod log_record;
mod ports;
mod scopes;
mod session_rule;
mod webhooks;

pub use account_store::{AccountStore, Listed, ResetHash};
pub use accounts::{
    ACCOUNT_BLOCK, AccountChanges, AccountName, AccountPage, AccountPosition, AccountRun,
    EarlierReads, KeyClash, KeyPage, Role,
};
pub use admin::{
    Action, ActionEntry, ActionId, ActionLogCheck, ActionName, Actor, AdminError, Administration,
    AttemptHistory, Change, Changed, Fingerprint, IdempotencyKey, KeyStanding,
    MAX_PENDING_MOVEMENTS, Movement, MovementId, MovementMode, MovementState, NewProduct, NewSale,
    OrderEntry, OrderPage, Product, ProductChange, Restock, SaleChange, SaleEdit, SaleRecord,
    SaleState, StoredAnswer,
};
pub use answers::zip_answers;
pub use attempt::{Attempt, Outcome, Settlement};
pub use cluster_figures::{
    ApiFigures, AttemptRates, ClusterFigures, NODE_ENTRY_TTL, NodeEntry, NodeKind, NodeReport,
    NodeStatus, PartitionOwners, WorkerFigures,
};
pub use dead_letters::{
    DeadLetterAction, DeadLetterDecision, DeadLetterEntry, DeadLetterId, DeadLetterPage,
    InvalidDeadLetterId,
};
pub use event_topic::{EventRecord, EventTopic};
pub use gate::{
    AccountMarks, Announcement, AnnouncementStream, ClaimOutcome, CloseReason, CloseRequest,
    EndOrdersOutcome, GateAudit, GateError, GateProbe, GateReads, GateStatus, HeldUnit, Holder,
    LoadStart, LoadStep, LoadToken, News, OutcomeRecording, PendingAttempts, PendingEntry,
    PurchaseResult, ReleaseOutcome, Reservations, ReserveOutcome, ResultAnnouncements, ResultEntry,
    ResultQuery, ResultReading, SaleLoading, SaleSwitch, SaleTerms, SaleTermsControl, SaleWindow,
    ShopperResult, ShopperResults, Standing, StockGate, TermsOutcome, UnloadOutcome,
    WithdrawOutcome,
};
pub use ledger::{
    AccountDirectory, AttemptRetention, CommittedOffsets, ConsumerGroup, Credentials,
    DeadLetterDecisions, EndedOrder, EndedOrders, Erasure, EventBatch, EventFeed, EventOrder,
    EventPage, EventPositions, EventRecording, EventSubject, EventTerms, EventType,
    ExternalAccount, ExternalIdentities, ExternalIdentity, Lease, Ledger, LedgerAudit, LedgerError,
    LedgerProbe, Member, NO_PASSWORD, NewUser, Offer, PasswordHashOutcome, PendingEvents,
    PersonRecord, PersonalData, Position, Registration, Rejection, RemovedPage, SaleListing,
    SaleListings, SaleSnapshot, SecretHash, SeekOutcome, ServiceAccess, ServiceAccount,
    ServiceAccountChanges, ServiceAccounts, SettleBatch, SettleError, SettledAttempt, Settling,
    StoredUser, Withdrawals, erased_name, external_name,
};
pub use log::{AppendError, AttemptLog, LogBatch, LogEnds, LogError};
pub use log_record::{DeadLetter, LogEntry, LogRecord, Offset, Partition, RawRecord};
pub use ports::Ports;
pub use scopes::{Scope, Scopes, UnknownScope};
pub use session_rule::{Access, FoundAccount, SessionRule};
pub use webhooks::{
    Delivery, MAX_DELIVERIES, MAX_WEBHOOKS, Webhook, WebhookChanges, WebhookId, WebhookSettings,
    WebhookState, Webhooks,
};

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
