//! What one machine does with the embedded system: accepted attempts a second, each on disk before its answer, from 64
//! connections with the load generator beside it; and, in the same run, what plain loops of SQLite inserts with the same
//! durability reach on this disk.
//!
//! `cargo bench --bench embedded -- [attempts]`, 200,000 unless said otherwise. The figures are for docs/PERFORMANCE.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // nobody but its reader is served
#![allow(clippy::cast_precision_loss, clippy::print_stdout)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use diesel::{
    Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query,
    sql_types::Binary,
};
use jsonwebtoken::{EncodingKey, Header, encode};
use tempfile::TempDir;

const CONNECTIONS: usize = 64;
const SECRET: &str = "a secret of the benchmark with more than 32 bytes";

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

/// A data file with an account for every attempt and a sale with a unit for each.
fn prepare(data: &Path, attempts: usize) {
    let migrated = flashsale(data, &["migrate"]).status().unwrap();
    assert!(migrated.success());
    let file = data.join("flashsale.db");
    let mut conn = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    conn.batch_execute(&format!(
        "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {attempts})
         INSERT INTO users (id, username, email, password_hash)
         SELECT id, 'shopper' || id, 'shopper' || id || '@example.com', '-' FROM n;
         INSERT INTO products (id, sku, name, price_cents) VALUES (1, 'BENCH', 'A thing', 1);
         INSERT INTO flash_sales (id, product_id, start_time, end_time, initial_stock, remaining_stock)
         VALUES (1, 1, CAST(unixepoch() * 1000 AS INTEGER) - 60000, CAST(unixepoch() * 1000 AS INTEGER) + 3600000, {attempts}, {attempts});"
    ))
    .unwrap();
}

fn flashsale(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flashsale"));
    command
        .args(arguments)
        .args(["--embedded", "--data-dir", data.to_str().unwrap()])
        .env_clear()
        .envs([
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("JWT_SECRET", SECRET),
            ("LOG_LEVEL", "warn"),
        ])
        .stdout(Stdio::null());
    command
}

/// A running system; killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut child = flashsale(data, &["serve"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .find_map(|line| Some(line.unwrap().split_once("http://")?.1.to_owned()))
            .expect("it says where it is");
        // Whatever it prints later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address: url,
        }
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// User and system time. `/proc/<pid>/stat` counts in hundredths of a second.
    fn cpu_secs(&self) -> f64 {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: f64 = fields[11..13]
            .iter()
            .map(|ticks| ticks.parse::<f64>().unwrap())
            .sum();
        ticks / 100.0
    }

    fn memory_mb(&self) -> f64 {
        let status = self.proc("status");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<f64>()
            .unwrap()
            / 1e3
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn token(user: usize) -> String {
    let exp = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 3_600;
    let claims = serde_json::json!({"userId": user.to_string(), "username": "shopper", "role": "user", "iat": exp - 3_600, "exp": exp});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).unwrap()
}

/// A keep-alive connection that asks and waits for the answer.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(&server.address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    fn send(&mut self, request: &[u8]) -> u16 {
        self.stream.get_mut().write_all(request).unwrap();
        let (mut status, mut length, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.trim().parse().unwrap();
            } else if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        status
    }
}

fn attempt(token: &str) -> Vec<u8> {
    format!("POST /api/flash-sale/attempt/1 HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

/// Nobody's attempt is refused by an open sale as the holder's or for its account only later: a status will do.
fn wait_until_open(server: &Server) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut client = TcpStream::connect(&server.address).unwrap();
        client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        client.read_to_string(&mut page).unwrap();
        if page.contains("flashsale_sale_open{sale=\"1\"} 1") {
            return;
        }
        assert!(Instant::now() < deadline, "the sale does not open");
        std::thread::sleep(Duration::from_millis(5));
    }
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
