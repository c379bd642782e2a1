//! Rolling restarts of two nodes behind HAProxy and nginx, under load, without retries: no request may fail.
//! `cargo test --test rolling -- --help`.
//!
//! This test has a `main` of its own instead of the usual test harness, because the command line chooses the number of restarts.
//! The proxies run with the configurations in `config/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a panic fails the test
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a program of its own, which reports on standard output

mod load;
mod node;
mod proxy;

/// Support code of the integration tests.
#[allow(dead_code, unused_imports)] // this test uses a part of it
#[path = "../integration/support"]
mod support {
    pub mod api;
    pub mod broker;
    pub mod embedded;
    pub mod kafka;
    pub mod mode;
    pub mod postgres;
    pub mod postgres_server;
    pub mod process;
    pub mod redis;
    pub mod system;
    mod wait;
    pub mod wire;

    pub use wait::{holds_within, wait_until};
}

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use self::{
    load::{Connections, Load},
    node::Node,
    proxy::{Haproxy, Nginx},
    support::{
        process::free_port,
        system::{Servers, System},
    },
};

const HELP: &str = "\
Rolling restarts of two nodes behind HAProxy and nginx at once, 300 requests a second through each, without retries.

cargo test --test rolling                        2 restarts of each node (part of `make test`)
cargo test --test rolling -- --restarts N        as many (`make rolling`: 10)
cargo test --test rolling -- --binary PATH       of another build, to compare; failures are counted and are no error

Needs the servers of scripts/services.sh, haproxy and nginx, which it installs.";

/// Requests a second through each proxy.
const RATE: u32 = 300;
const SHOPPERS: usize = 2_000;
/// Longer than the proxies' health checks need to notice that a node drains. The default of the setting is 5 s.
const DRAIN_DELAY_SECS: &str = "4";
/// Time under load before the first restart and after the last one.
const LOAD_AROUND_RESTARTS: Duration = Duration::from_secs(2);

/// The arguments of the command line.
struct Arguments {
    restarts: usize,
    binary: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut arguments = Arguments {
        restarts: 2,
        binary: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--restarts" => {
                let number = words.next().and_then(|number| number.parse().ok());
                arguments.restarts = number.expect("--restarts NUMBER");
            }
            "--binary" => arguments.binary = words.next().map(PathBuf::from),
            "--help" | "-h" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            // `cargo test` passes flags of the usual harness to every test program; they are ignored. A name selects single
            // tests, and this program has none of that name.
            flag if flag.starts_with('-') => {}
            _ => return ExitCode::SUCCESS,
        }
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> ExitCode {
    proxy::check_shipped();
    let system = Servers::start().await;
    let _worker = system.work().await;
    let (sale, _) = system.sale(1_000_000).await;
    let shoppers = system.shoppers(SHOPPERS).await;

    let ports = [free_port(), free_port()];
    let mut nodes = Vec::new();
    for port in ports {
        nodes.push(Node::start(&system, port, arguments.binary.as_deref()).await);
    }
    system.wait_until_open(sale).await;
    let haproxy = Haproxy::start(ports).await;
    let nginx = Nginx::start(ports).await;
    for (name, port) in [("HAProxy", haproxy.port), ("nginx", nginx.port)] {
        support::wait_until(name, Duration::from_secs(20), || async {
            load::press(port, sale, &shoppers[0]).await
        })
        .await;
    }

    let loads = [
        Load::start(
            "HAProxy",
            haproxy.port,
            Connections::Kept,
            sale,
            &shoppers,
            RATE,
        ),
        // A reload of nginx closes idle connections, on which a client may just be sending a request. Such failures are not the
        // service's, so each request has a connection of its own.
        Load::start(
            "nginx",
            nginx.port,
            Connections::OneEach,
            sale,
            &shoppers,
            RATE,
        ),
    ];
    tokio::time::sleep(LOAD_AROUND_RESTARTS).await;
    let begun = Instant::now();
    for _ in 0..arguments.restarts {
        for (index, node) in nodes.iter_mut().enumerate() {
            // nginx takes the node out only after SIGTERM. A deployment may also do it before, which is the easier order.
            node.terminate();
            nginx.set_down(Some(index)).await;
            node.start_again(&system).await;
            nginx.set_down(None).await;
            haproxy.wait_until_up(index).await;
        }
    }
    println!(
        "{} restarts of each of two nodes took {:.0} s",
        arguments.restarts,
        begun.elapsed().as_secs_f64()
    );
    tokio::time::sleep(LOAD_AROUND_RESTARTS).await;

    let mut failed = 0;
    for load in loads {
        let report = load.stop().await;
        println!("{report}");
        failed += report.failed();
        let expected = begun.elapsed().as_secs_f64() * f64::from(RATE) / 2.0;
        #[allow(clippy::cast_precision_loss)] // a count of requests
        let sent = report.sent as f64;
        assert!(sent > expected, "the load did not keep its rate: {report}");
    }
    if arguments.binary.is_none() {
        assert_eq!(failed, 0, "requests failed");
        system.check_promises(sale).await;
    }
    ExitCode::SUCCESS
}
