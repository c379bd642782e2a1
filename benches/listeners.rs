//! Listeners of results at one embedded node (`support/listeners.rs`); on servers: `cargo bench --bench speed -- listeners`.
//!
//! `cargo bench --bench listeners -- [listeners] [orders a second] [seconds]`. It needs two files for each listener
//! (`ulimit -n`), one in each process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // nobody but its reader is served
#![allow(clippy::cast_precision_loss, clippy::print_stdout)]
#![allow(clippy::disallowed_methods)] // it has no lifecycle

#[path = "support/listeners.rs"]
mod listeners;
#[path = "support/system.rs"]
mod system;

use std::process::ExitCode;

use listeners::{Node, accounts, measure};
use system::{Server, prepare, wait_until_open};
use tempfile::TempDir;

#[tokio::main]
async fn main() -> ExitCode {
    let numbers = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse().ok());
    let numbers: Vec<usize> = numbers.collect();
    let number = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let (listeners, rate, secs) = (number(0, 10_000), number(1, 1_000), number(2, 8));
    let directory = TempDir::with_prefix_in("flashsale-bench", "target").unwrap();
    let data = directory.path().join("data");
    prepare(&data, accounts(listeners));
    let server = Server::start(&data);
    wait_until_open(&server);
    let node = Node {
        address: server.url()["http://".len()..].parse().unwrap(),
        pid: server.pid(),
        sale: 1,
    };
    if measure(node, listeners, rate, secs).await {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
