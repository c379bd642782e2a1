//! Figures of every process for operators: counted on the way, shared once a second, and read together as the overview.
//!
//! `attempts` counts presses in an API node and `settlements` orders in a worker; `latency` is the histogram that is merged over
//! nodes. `reporter` shares a process's figures, `overview` reads those of all.

mod attempts;
mod latency;
mod open_letters;
mod overview;
mod reporter;
mod settlements;

pub use attempts::AttemptCounts;
pub(super) use attempts::Press;
pub use latency::Latency;
pub use open_letters::OpenLetters;
pub use overview::{Overview, Seen, Totals};
pub use reporter::{ApiSource, Reporter, WorkerSource};
pub use settlements::SettlementCounts;
