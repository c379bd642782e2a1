//! Every path of the system side by side under load, on real servers, and what it costs as it grows. Load and system share
//! the machine, so a figure says most beside the bare handler's of the same run.
//!
//! `cargo bench --bench speed -- [--seconds N] [paths] [growth] [accounts] [events] [listeners] [pause]`: `paths` and `growth` unless one is named. These write
//! the tables of docs/PERFORMANCE.md; the others print. Needs the servers and the environment of `scripts/services.sh`; `make bench` sees to
//! that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // nobody but its reader is served
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss
)]

mod accounts;
mod bare;
mod bed;
mod document;
mod events;
mod growth;
#[path = "../support/listeners.rs"]
mod listeners;
mod measure;
mod meter;
mod one_process;
mod paths;
mod pause;
mod plot;
mod pushed;
#[path = "../support/system.rs"]
mod system;

/// What the integration tests stand on as well.
#[allow(dead_code, unused_imports)] // they use more of it
#[path = "../../tests/integration/support"]
mod support {
    pub mod api;
    pub mod broker;
    pub mod embedded;
    pub mod issuer;
    pub mod kafka;
    pub mod mode;
    pub mod postgres;
    pub mod process;
    pub mod redis;
    pub mod system;
    mod wait;

    pub use wait::{holds_within, wait_until};
}

use std::time::Duration;

const SECONDS: u64 = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if has(bare::ARGUMENT) {
        return bare::serve();
    }
    let seconds = arguments
        .iter()
        .position(|argument| argument == "--seconds");
    let seconds = seconds.map_or(SECONDS, |at| {
        let number = arguments.get(at + 1).and_then(|text| text.parse().ok());
        number.expect("--seconds NUMBER")
    });
    let time = Duration::from_secs(seconds);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let is_any_named = [
            "paths",
            "growth",
            "accounts",
            "events",
            "listeners",
            "pause",
        ]
        .into_iter()
        .any(has);
        if has("paths") || !is_any_named {
            document::write_paths(&paths::run(time).await, time);
        }
        if has("growth") || !is_any_named {
            document::write_growth(&growth::run(time).await);
        }
        if has("accounts") {
            accounts::run(time).await;
        }
        if has("events") {
            events::run(time).await;
        }
        if has("listeners") {
            pushed::run().await;
        }
        if has("pause") {
            pause::run().await;
        }
    });
}
