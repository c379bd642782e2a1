//! Building blocks of the HTTP API: the server, the bodies of responses and errors, and extractors for handlers.
//!
//! Nothing here knows a feature: `api` defines the paths and maps errors of the domain to responses.

mod answer;
mod buffered;
mod client;
mod conditional;
mod cors;
mod document;
mod drain;
mod error;
mod error_code;
mod events;
mod extract;
mod farewell;
mod file;
mod finish;
mod framing;
mod identity;
mod networks;
mod open_connections;
mod parameters;
mod seats;
mod server;
mod statuses;
mod stream;
mod threads;

pub use answer::{Success, timestamp};
pub use client::Client;
pub use conditional::{IDEMPOTENCY_REPLAYED, IdempotencyKeyHeader, IfMatch, tagged};
pub use document::Document;
pub use drain::Draining;
pub use error::{ApiError, ErrorBody, ProblemBody};
pub use error_code::ErrorCode;
pub use events::{HEARTBEAT, event, stream_of, until_heartbeat, until_retry, wants_stream};
pub use extract::{Bulk, Fields, PathId};
pub use file::{REVALIDATED, StaticFile, hex};
pub use finish::{RouteMetrics, UNMATCHED, finish};
pub use open_connections::OpenConnections;
pub use parameters::Parameters;
pub use seats::ListenerSeats;
pub use server::{Bound, bind, serve};
pub use statuses::Statuses;
