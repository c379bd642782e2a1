//! `simulate`: plays histories of the system under faults, for its developers.

#![allow(clippy::print_stdout)] // the output of the command

use std::{num::NonZeroU64, time::Instant};

use anyhow::bail;
use clap::Parser;
use flashsale_simulator::{self as simulator, Soak};
use uuid::Uuid;

/// Maximum number of failed histories that are printed. A soak stops at this number.
const MOST_FAILURES: usize = 10;

/// Play simulated histories of the whole system under faults, and check its promises
///
/// The seed determines a history: `--seed N` plays the history of N again, and `--trace` prints its events. Without a seed it
/// starts at a random one. docs/RELIABILITY.md says what is simulated. Exits with 1 when a promise was broken.
#[derive(Debug, Parser)]
struct Simulate {
    /// The first seed [default: a random one]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Number of histories; each has the next seed
    #[arg(long, value_name = "M", default_value = "1")]
    histories: NonZeroU64,
    /// Print the history of the first seed, whether a promise is broken or not
    #[arg(long)]
    trace: bool,
}

impl Simulate {
    fn run(self) -> anyhow::Result<()> {
        // The tests use low seeds. A random seed finds histories that were not played before.
        let seed = self.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0);
        if self.trace {
            let report = simulator::play(seed, true);
            println!("{}", report.describe());
            if report.broken.is_empty() {
                return Ok(());
            }
            bail!("{} promises were broken", report.broken.len());
        }
        let started = Instant::now();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let soak = simulator::soak(seed, self.histories.get(), threads, MOST_FAILURES);
        println!("{}", summary(&soak));
        println!(
            "from seed {seed} on, in {} ms",
            started.elapsed().as_millis()
        );
        let Some(first) = soak.failures.first() else {
            return Ok(());
        };
        for failure in &soak.failures {
            println!("seed {}: {}", failure.seed, failure.broken.join("; "));
        }
        println!("{}", simulator::play(first.seed, true).describe());
        bail!("promises were broken in {} histories", soak.failures.len());
    }
}

fn main() -> anyhow::Result<()> {
    Simulate::parse().run()
}

fn summary(soak: &Soak) -> String {
    let totals = soak.totals;
    format!(
        "{} histories of {} s in all: {} presses, {} accepted, {} orders, {} accepted attempts excused",
        soak.histories,
        totals.virtual_ms / 1_000,
        totals.presses,
        totals.accepted,
        totals.orders,
        totals.excused
    )
}
