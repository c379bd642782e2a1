//! The kit that routes are made of: the server, the shape of answers and errors, what handlers take from a request.
//!
//! It knows no feature: which paths there are, and which error of the domain becomes which answer, is said in `api`.

mod answer;
mod buffered;
mod client;
mod cors;
mod drain;
mod error;
mod error_code;
mod extract;
mod farewell;
mod finish;
mod framing;
mod networks;
mod server;
mod statuses;
mod stream;
mod threads;

pub use answer::{Success, timestamp};
pub use client::Client;
pub use drain::Draining;
pub use error::{ApiError, ErrorBody, ProblemBody};
pub use error_code::ErrorCode;
pub use extract::{Fields, PathId};
pub use finish::{RouteMetrics, UNMATCHED, finish};
pub use server::{Bound, bind, serve};
pub use statuses::Statuses;
