//! The ledger: the system of record. It keeps the promises by itself, whatever gate and log say.
//!
//! What the ledger does is split by role, one file a role; [`Ledger`] is all of them.

mod account_directory;
mod attempt_retention;
mod audit;
mod committed_offsets;
mod consumer_group;
mod credentials;
mod dead_letter_decisions;
mod ended_orders;
mod events;
mod external_identities;
mod personal_data;
mod probe;
mod sales;
mod service_accounts;
mod settling;
mod withdrawals;

pub use account_directory::{AccountDirectory, NewUser, Registration};
pub use attempt_retention::{AttemptRetention, RemovedPage};
pub use audit::{LedgerAudit, SettledAttempt};
pub use committed_offsets::CommittedOffsets;
pub use consumer_group::{ConsumerGroup, Lease, Member, Position, SeekOutcome};
pub use credentials::{Credentials, PasswordHashOutcome, StoredUser};
pub use dead_letter_decisions::DeadLetterDecisions;
pub use ended_orders::{EndedOrder, EndedOrders};
pub use events::{
    EventBatch, EventFeed, EventOrder, EventPage, EventPositions, EventRecording, EventSubject,
    EventTerms, EventType, PendingEvents,
};
pub use external_identities::{ExternalAccount, ExternalIdentities, external_name};
pub use personal_data::{Erasure, ExternalIdentity, PersonRecord, PersonalData, erased_name};
pub use probe::LedgerProbe;
pub use sales::{Offer, SaleListing, SaleListings, SaleSnapshot};
pub use service_accounts::{
    NO_PASSWORD, SecretHash, ServiceAccess, ServiceAccount, ServiceAccountChanges, ServiceAccounts,
};
pub use settling::{Rejection, SettleBatch, SettleError, Settling};
pub use withdrawals::Withdrawals;

use crate::ids::LedgerId;

/// A whole ledger, for the places that put a process together. Everything else asks for the roles that it uses.
///
/// Every call of every role answers within a bounded time.
pub trait Ledger:
    AccountDirectory
    + Credentials
    + SaleListings
    + Settling
    + ConsumerGroup
    + CommittedOffsets
    + Withdrawals
    + EndedOrders
    + EventFeed
    + EventPositions
    + DeadLetterDecisions
    + LedgerAudit
    + LedgerProbe
{
    /// Which ledger this is. Read when the ledger is opened; it never changes.
    fn id(&self) -> LedgerId;
}

/// The ledger did not answer, or answered with an error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the ledger: {0}")]
pub struct LedgerError(pub String);
