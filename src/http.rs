//! The kit that routes are made of: the server, the shape of answers and errors, what handlers take from a request.
//!
//! It knows no feature: which paths there are, and which error of the domain becomes which answer, is said in `api`.

mod answer;
mod client;
mod cors;
mod drain;
mod error;
mod error_code;
mod extract;
mod finish;
mod server;
mod stream;
mod threads;
mod upgrade;

pub use answer::{Success, timestamp};
pub use client::Client;
pub use drain::Draining;
pub use error::{ApiError, ErrorBody, ProblemBody};
pub use error_code::ErrorCode;
pub use extract::{JsonBody, PathId};
pub use finish::{Tally, finish};
pub use server::{Bound, bind, serve};
