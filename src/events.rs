//! Events of sales for systems outside: what consumers receive ([`envelope`]), by asking ([`feed`]) or by being sent it
//! ([`publisher`], [`webhooks`]).
//!
//! The ledger numbers and records events in the transactions of the changes (`port::ledger::events`). Everything here
//! reads them afterwards, and nothing here changes orders or sales.

pub mod envelope;
pub mod feed;
mod leases;
pub mod publisher;
mod unread;
pub mod webhooks;

pub use envelope::Event;
pub use feed::{Feed, FeedError, FeedPage};
pub use publisher::{Publisher, PublisherSettings, Receivers};
