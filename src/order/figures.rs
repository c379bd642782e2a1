//! Figures of every process, for operators. A process counts them while it works and shares them once a second; the overview reads
//! those of all processes together.
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
