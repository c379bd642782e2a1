//! What one machine does with the embedded system: accepted attempts a second, each on disk before its answer, from 64
//! connections with the load generator beside it; and, in the same run, what plain loops of SQLite inserts with the same
//! durability reach on this disk.
//!
//! `cargo bench --bench embedded -- [attempts]`, 200,000 unless said otherwise. The figures are for docs/PERFORMANCE.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // nobody but its reader is served
#![allow(clippy::cast_precision_loss, clippy::print_stdout)]

#[path = "support/system.rs"]
mod system;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use diesel::{
    Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query,
    sql_types::Binary,
};
use system::{Client, Server, attempt, prepare, token, wait_until_open};
use tempfile::TempDir;

const CONNECTIONS: usize = 64;

fn main() {
    let attempts = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(200_000);
    let directory = TempDir::with_prefix_in("flashsale-bench", "target").unwrap();
    let single = plain_inserts(directory.path(), 1, Duration::from_secs(3));
    let grouped = plain_inserts(directory.path(), CONNECTIONS, Duration::from_secs(3));
    println!("plain SQLite loop, one insert a commit          {single:>9.0} /s");
    println!("plain SQLite loop, {CONNECTIONS} inserts a commit         {grouped:>9.0} /s");

    let data = directory.path().join("data");
    prepare(&data, attempts);
    let start = Instant::now();
    let server = Server::start(&data);
    println!(
        "start to serving                                {:>9.0} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    wait_until_open(&server);

    let (begun, cpu) = (Instant::now(), server.cpu_secs());
    let latencies = attempt_all(&server, attempts);
    let took = begun.elapsed().as_secs_f64();
    let rate = attempts as f64 / took;
    let cpu = (server.cpu_secs() - cpu) / attempts as f64 * 1e6;
    println!("accepted attempts, {CONNECTIONS} connections              {rate:>9.0} /s");
    println!(
        "  ratio to one insert a commit                  {:>9.2}",
        rate / single
    );
    println!(
        "  ratio to {CONNECTIONS} inserts a commit               {:>9.2}",
        rate / grouped
    );
    println!("  CPU of the process, worker included           {cpu:>9.1} µs each");
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        println!(
            "  {name:<6}                                        {:>9.2} ms",
            at(&latencies, share)
        );
    }
    let settled = settled(&data, attempts);
    let took = begun.elapsed().as_secs_f64();
    println!(
        "orders, until the last one stood                {:>9.0} /s",
        settled as f64 / took
    );
    println!(
        "memory afterwards                               {:>9.1} MB",
        server.memory_mb()
    );
    let size = fs::metadata(data.join("flashsale.db")).unwrap().len();
    println!(
        "data file                                       {:>9.1} MB",
        size as f64 / 1e6
    );
    assert_eq!(settled, attempts, "every accepted attempt has its order");
    drop(server);

    let start = Instant::now();
    let server = Server::start(&data);
    let answers = start.elapsed();
    wait_until_open(&server);
    println!("after kill -9, with {attempts} orders");
    println!(
        "  start to first answer                         {:>9.0} ms",
        answers.as_secs_f64() * 1e3
    );
    println!(
        "  start to open                                 {:>9.0} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
}

/// Inserts of a row the size of a logged attempt, so many a transaction.
fn plain_inserts(directory: &Path, group: usize, duration: Duration) -> f64 {
    let file = directory.join(format!("plain-{group}.db"));
    let mut conn = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    conn.batch_execute(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096;
         CREATE TABLE records (id INTEGER PRIMARY KEY, record BLOB NOT NULL)",
    )
    .unwrap();
    let (begun, mut inserted) = (Instant::now(), 0);
    while begun.elapsed() < duration {
        conn.batch_execute("BEGIN IMMEDIATE").unwrap();
        for _ in 0..group {
            sql_query("INSERT INTO records (record) VALUES (?)")
                .bind::<Binary, _>(vec![b'x'; 130])
                .execute(&mut conn)
                .unwrap();
        }
        conn.batch_execute("COMMIT").unwrap();
        inserted += group;
    }
    inserted as f64 / begun.elapsed().as_secs_f64()
}

/// One attempt for every shopper; how long each took, sorted, in milliseconds.
fn attempt_all(server: &Server, attempts: usize) -> Vec<f64> {
    let each = attempts / CONNECTIONS;
    let mut latencies: Vec<f64> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let first = number * each + 1;
                let last = if number + 1 == CONNECTIONS {
                    attempts
                } else {
                    first + each - 1
                };
                scope.spawn(move || {
                    let mut client = Client::connect(server);
                    let mut latencies = Vec::with_capacity(each);
                    for user in first..=last {
                        let request = attempt(&token(user));
                        let begun = Instant::now();
                        assert_eq!(client.send(&request), 200);
                        latencies.push(begun.elapsed().as_secs_f64() * 1e3);
                    }
                    latencies
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    latencies.sort_by(f64::total_cmp);
    latencies
}

fn at(sorted: &[f64], share: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // an index
    let index = (sorted.len() as f64 * share) as usize;
    sorted[index.min(sorted.len() - 1)]
}

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    orders: i64,
}

/// Waits until so many orders stand.
fn settled(data: &Path, attempts: usize) -> usize {
    let file = data.join("flashsale.db");
    let mut conn = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    conn.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let row: CountRow = sql_query(
            "SELECT initial_stock - remaining_stock AS orders FROM flash_sales WHERE id = 1",
        )
        .get_result(&mut conn)
        .unwrap();
        let orders = usize::try_from(row.orders).unwrap();
        if orders >= attempts || Instant::now() > deadline {
            return orders;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
