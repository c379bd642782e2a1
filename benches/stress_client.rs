//! How many requests one thread of `flashsale stress` makes, against a handler that does nothing: what it can ask more than
//! a system answers is the system's figure, and not the client's.
//!
//! `cargo bench --bench stress_client -- [requests]`, 500,000 unless said otherwise.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // nobody but its reader is served
#![allow(clippy::cast_precision_loss, clippy::print_stdout)]

use std::{sync::mpsc, time::Duration};

use actix_web::{App, HttpServer, web};
use flashsale::stress::{Load, Plan, Target};

fn main() {
    let requests = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(500_000);
    let target = Target::new(&serve()).unwrap();
    for connections in [1, 64, 512] {
        let load = Load {
            target: &target,
            connections,
            threads: 1,
            timeout: Duration::from_secs(30),
            plan: Plan {
                requests: Some(requests),
                ..Plan::default()
            },
        };
        let request = target.get("/").unwrap();
        let stats = load.run(|_| request.clone(), |_, _| {}).unwrap();
        assert_eq!(stats.answers(), requests);
        let cpu = stats.cpu.unwrap_or_default().as_secs_f64();
        println!(
            "{connections:>4} connections {:>9.0} /s  {:>9.0} a second of the client's CPU ({:.2} µs each)  p50 {:.2} ms  p99 {:.2} ms",
            stats.throughput(),
            stats.answers() as f64 / cpu,
            cpu * 1e6 / stats.answers() as f64,
            stats.latency.value_at_quantile(0.5) as f64 / 1e3,
            stats.latency.value_at_quantile(0.99) as f64 / 1e3,
        );
    }
}

/// A server with one worker and a handler that does nothing; its URL.
fn serve() -> String {
    let (url, is_up) = mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let app = || App::new().route("/", web::get().to(async || "ok"));
            let server = HttpServer::new(app).workers(1).bind("127.0.0.1:0").unwrap();
            url.send(format!("http://{}", server.addrs()[0])).unwrap();
            server.run().await.unwrap();
        });
    });
    is_up.recv().unwrap()
}
