//! Load on a running system over HTTP, for `flashsale stress` and for benches: requests at a rate or as fast as answers
//! come, how long each took, and what came back.
//!
//! [`Load`] is general: it is given the bytes of each request and told of each answer. `answer` reads HTTP, `connection`
//! asks, `schedule` says when, `stats` counts.

mod answer;
mod connection;
mod load;
mod schedule;
mod stats;
mod target;

pub use answer::Answer;
pub use connection::{Connection, NoAnswer};
pub use load::Load;
pub use schedule::Plan;
pub use stats::{SLICE, Slice, Stats};
pub use target::{Target, TargetError};
