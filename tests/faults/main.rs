//! Faults on real servers, under a load of shoppers: `cargo test --test faults -- --help`.
//!
//! Not the usual test harness: cells run one after the other on one system, and write the table of docs/RELIABILITY.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a test ends where these do
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // it is its own program, and says what it does

mod actions;
mod bed;
mod cell;
mod check;
mod client_log;
mod fault;
mod limits;
mod load;
mod node;
mod pressure;
mod random;
mod request;
mod soak;
mod strike;
mod table;

/// What the integration tests stand on as well.
#[allow(dead_code, unused_imports)] // they use more of it
#[path = "../integration/support"]
mod support {
    pub mod api;
    pub mod broker;
    pub mod cluster;
    pub mod embedded;
    pub mod kafka;
    pub mod mode;
    pub mod postgres;
    pub mod postgres_server;
    pub mod process;
    pub mod redis;
    pub mod redis_topology;
    pub mod system;
    mod wait;
    pub mod wire;

    pub use wait::{holds_within, wait_until};
}

use std::{panic::AssertUnwindSafe, process::ExitCode, time::Duration};

use futures::FutureExt;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    bed::{TestBed, Topology},
    cell::{Row, Setting},
    fault::Fault,
    load::Pace,
};

const HELP: &str = "\
Faults on real servers, under a load of shoppers.

cargo test --test faults                        the nastiest ones (part of `make test`)
cargo test --test faults -- --all               all of them; writes the table of docs/RELIABILITY.md (`make faults`)
cargo test --test faults -- --all TEXT...       those whose names contain one of these; replaces their rows
cargo test --test faults -- --soak MINUTES [--topology clusters] [--seed N]
                                                faults at random, sale after sale (`make soak`)
cargo test --test faults -- --actions KILLS [--seed N]
                                                actions of an operator, with a process killed during each (`make actions`)
cargo test --test faults -- --list              their names

Needs PostgreSQL's programs, redis-server and Kafka's jars: scripts/services.sh installs them, and its `env` says where the
jars are. The servers themselves are the run's own.";

/// Accounts of a run of cells: each cell begins with the first.
const ACCOUNTS: usize = 8_000;
const PACE: Pace = Pace {
    attempts: 3,
    results: 1,
};
const WHOLE: Setting = Setting {
    stock: 2_500,
    pace: PACE,
};
/// So that it takes less time to sell the rest.
const SHORT: Setting = Setting {
    stock: 1_200,
    pace: PACE,
};

/// What the command line asks for.
#[derive(Default)]
struct Wish {
    all: bool,
    list: bool,
    help: bool,
    soak_minutes: Option<u64>,
    action_kills: Option<usize>,
    topology: Topology,
    seed: Option<u64>,
    names: Vec<String>,
}

impl Wish {
    /// Flags of the usual harness, which `cargo test` hands to every test program, mean nothing here.
    fn read(arguments: impl Iterator<Item = String>) -> Self {
        let mut wish = Self::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut text = || arguments.next().unwrap_or_default();
            let mut number = || text().parse().ok();
            match argument.as_str() {
                "--all" => wish.all = true,
                "--list" => wish.list = true,
                "--help" | "-h" => wish.help = true,
                "--soak" => wish.soak_minutes = Some(number().expect("--soak MINUTES")),
                "--actions" => {
                    wish.action_kills = Some(text().parse().expect("--actions KILLS"));
                }
                "--seed" => wish.seed = Some(number().expect("--seed NUMBER")),
                "--topology" => {
                    let known = Topology::named(&text());
                    wish.topology = known.expect("--topology single, or clusters");
                }
                flag if flag.starts_with('-') => {}
                name => wish.names.push(name.to_lowercase()),
            }
        }
        wish
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| u64::from(std::process::id()))
    }

    fn faults(&self) -> Vec<Fault> {
        let faults = if self.all {
            Fault::all()
        } else {
            Fault::nastiest()
        };
        let is_named = |fault: &Fault| {
            let name = fault.to_string().to_lowercase();
            self.names.is_empty() || self.names.iter().any(|part| name.contains(part))
        };
        faults.into_iter().filter(is_named).collect()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    // Whatever ends it, the servers are stopped: they go with what is dropped here.
    tokio::select! {
        code = run() => code,
        _ = terminate.recv() => ExitCode::FAILURE,
        _ = tokio::signal::ctrl_c() => ExitCode::FAILURE,
    }
}

async fn run() -> ExitCode {
    let wish = Wish::read(std::env::args().skip(1));
    if wish.help {
        println!("{HELP}");
    } else if wish.list {
        for fault in wish.faults() {
            println!("{fault}: test");
        }
    } else if let Some(kills) = wish.action_kills {
        Box::pin(actions::run(kills, wish.seed())).await;
    } else if let Some(minutes) = wish.soak_minutes {
        let seed = wish.seed();
        soak::run(Duration::from_mins(minutes), wish.topology, seed).await;
    } else {
        return Box::pin(cells(&wish)).await;
    }
    ExitCode::SUCCESS
}

/// Runs cells on one system, and on a new one after a cell that failed.
async fn cells(wish: &Wish) -> ExitCode {
    let faults = wish.faults();
    let setting = if wish.all { WHOLE } else { SHORT };
    let mut bed = None;
    let (mut rows, mut failed): (Vec<Row>, Vec<Fault>) = (Vec::new(), Vec::new());
    for fault in &faults {
        let kept = bed.take();
        let mut on = match kept.filter(|bed: &TestBed| bed.topology == fault.topology()) {
            Some(bed) => bed,
            None => TestBed::start(fault.topology(), ACCOUNTS).await,
        };
        let config = on.config.clone();
        let run = AssertUnwindSafe(cell::run(&mut on, *fault, setting)).catch_unwind();
        if let Ok(row) = run.await {
            println!("ok      {}", row.line());
            rows.push(row);
            bed = Some(on);
        } else {
            println!("FAILED  {fault}");
            on.show_output();
            failed.push(*fault);
        }
        // After each, so that what was measured stays when a run is ended early.
        if wish.all {
            table::write(&rows, &failed, setting, &config);
        }
    }
    println!("{} of {} faults did no harm", rows.len(), faults.len());
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
