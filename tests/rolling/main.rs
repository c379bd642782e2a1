//! Rolling restarts of two nodes behind HAProxy and nginx, under load, without retries: no request may fail.
//! `cargo test --test rolling -- --help`.
//!
//! Not the usual test harness: it runs the configurations of `config/`, and its length is chosen on the command line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a test ends where these do
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // it is its own program, and says what it does

mod load;
mod node;
mod proxy;

/// What the integration tests stand on as well.
#[allow(dead_code, unused_imports)] // they use more of it
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

    pub use wait::wait_until;
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
/// Longer than the proxy's health checks need to notice; the default is 5 s.
const DRAIN_DELAY_SECS: &str = "4";
/// Load before the first restart and after the last one.
const AROUND: Duration = Duration::from_secs(2);

/// What the command line asks for.
struct Wish {
    restarts: usize,
    binary: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut wish = Wish {
        restarts: 2,
        binary: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--restarts" => {
                let number = arguments.next().and_then(|number| number.parse().ok());
                wish.restarts = number.expect("--restarts NUMBER");
            }
            "--binary" => wish.binary = arguments.next().map(PathBuf::from),
            "--help" | "-h" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            // Flags of the usual harness, which `cargo test` hands to every test program, mean nothing here. A name asks
            // for some of its tests: this is none of them.
            flag if flag.starts_with('-') => {}
            _ => return ExitCode::SUCCESS,
        }
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(wish))
}

async fn run(wish: Wish) -> ExitCode {
    proxy::check_shipped();
    let system = Servers::start().await;
    let _worker = system.work().await;
    let (sale, _) = system.sale(1_000_000).await;
    let shoppers = system.shoppers(SHOPPERS).await;

    let ports = [free_port(), free_port()];
    let mut nodes = Vec::new();
    for port in ports {
        nodes.push(Node::start(&system, port, wish.binary.as_deref()).await);
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
        // A reload closes kept connections of clients, who may be about to use them: that is nginx's affair.
        Load::start(
            "nginx",
            nginx.port,
            Connections::OneEach,
            sale,
            &shoppers,
            RATE,
        ),
    ];
    tokio::time::sleep(AROUND).await;
    let begun = Instant::now();
    for _ in 0..wish.restarts {
        for (index, node) in nodes.iter_mut().enumerate() {
            // The later the harder: a deployment may as well take the node out of nginx first.
            node.terminate();
            nginx.set_down(Some(index)).await;
            node.start_again(&system).await;
            nginx.set_down(None).await;
            haproxy.wait_until_up(index).await;
        }
    }
    println!(
        "{} restarts of each of two nodes took {:.0} s",
        wish.restarts,
        begun.elapsed().as_secs_f64()
    );
    tokio::time::sleep(AROUND).await;

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
    if wish.binary.is_none() {
        assert_eq!(failed, 0, "requests failed");
        system.check_promises(sale).await;
    }
    ExitCode::SUCCESS
}
