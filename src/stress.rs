//! Load on a running system over HTTP, for `flashsale stress` and for benches: requests at a rate or as fast as answers
//! come, how long each took, and what came back.
//!
//! [`Load`] is general: it is given each [`Request`] and told of each [`Answer`]. `exchange` is HTTP, which hyper speaks;
//! `connection` keeps connections and names failures, `schedule` says when, `stats` counts. On top of it, shoppers of a
//! sale: `api` speaks the system's words, [`shoppers`] makes them, [`presses`] has them buy, [`results`] asks what became
//! of it, [`promises`] judges. Nothing here prints.

mod answer;
pub mod api;
mod connection;
mod exchange;
mod heard;
mod load;
mod no_answer;
mod own_wakes;
pub mod presses;
pub mod promises;
mod request;
pub mod results;
mod schedule;
pub mod shoppers;
mod stats;
mod target;

pub use answer::Answer;
pub use connection::Connection;
pub use load::Load;
pub use no_answer::NoAnswer;
pub use request::{Request, Token};
pub use schedule::Plan;
pub use stats::{SLICE, Slice, Stats};
pub use target::{Target, TargetError};
