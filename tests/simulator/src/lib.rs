//! Whole histories of the system, simulated: many shoppers, API nodes and workers as the real domain code, on models of
//! the three servers, under a virtual clock, with faults; and the promises checked on what shoppers were told as well as
//! on what is stored.
//!
//! A history follows from its seed alone: one thread, virtual time, ids that count, chances from one generator. So a
//! broken promise is found again, with a trace of who did what and when.
//!
//! `plan` draws what will happen, `world` holds what is shared, `node` runs processes (`process` pauses and kills them),
//! `connection` is where calls go wrong and `ports` are the ports over it, `shopper` presses and remembers, `director` makes
//! the events happen, `operator` changes the sale, `history` plays it all, `promises` judges.

mod chance;
mod clock;
mod connection;
mod director;
mod fate;
mod history;
mod lock;
pub mod model;
mod node;
mod operator;
mod plan;
mod ports;
mod press;
mod process;
mod promises;
mod report;
mod shopper;
mod world;

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

pub use report::{HistoryReport, HistoryTotals, OPERATIONS};
use tracing::subscriber::NoSubscriber;

/// What came of many histories.
#[derive(Debug, Clone, Default)]
pub struct Soak {
    pub histories: u64,
    pub totals: HistoryTotals,
    /// Those with a broken promise, by seed.
    pub failures: Vec<HistoryReport>,
}

/// Plays the history of a seed. Takes a thread without a runtime.
///
/// # Panics
/// If no runtime can be made.
#[must_use]
pub fn play(seed: u64, traced: bool) -> HistoryReport {
    // What the domain logs of faults that are meant to be is no news.
    tracing::subscriber::with_default(NoSubscriber::default(), || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        #[allow(clippy::expect_used)]
        // a thread's own scheduler needs nothing that could be missing
        let runtime = runtime.expect("a runtime");
        runtime.block_on(history::play(seed, traced))
    })
}

/// Plays the histories of so many seeds from `first` on, on so many threads; stops early once `most_failures` have failed.
#[must_use]
pub fn soak(first: u64, histories: u64, threads: usize, most_failures: usize) -> Soak {
    let (next, soak) = (AtomicU64::new(0), Mutex::new(Soak::default()));
    let lock = || soak.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= histories || lock().failures.len() >= most_failures {
                        return;
                    }
                    let report = play(first.wrapping_add(number), false);
                    let mut soak = lock();
                    soak.histories += 1;
                    soak.totals.add(report.totals);
                    if !report.broken.is_empty() {
                        soak.failures.push(report);
                    }
                }
            });
        }
    });
    let mut soak = soak.into_inner().unwrap_or_else(PoisonError::into_inner);
    soak.failures.sort_by_key(|report| report.seed);
    soak
}
