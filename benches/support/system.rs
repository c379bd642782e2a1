//! An embedded system under load: its data, its process, and clients who ask it. For all measurements.

#![allow(dead_code)] // none of them needs all of it

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use flashsale::{
    auth::Tokens,
    clock::{Clock, SystemClock},
    config::{AuthConfig, Secret},
    ids::UserId,
    port::Role,
};

/// What signs the tokens; that of the integration tests, on whose systems some measure.
pub const SECRET: &str = "a secret of the tests with more than 32 bytes";

/// A data file with an account for every attempt and a sale with a unit for each.
pub fn prepare(data: &Path, attempts: usize) {
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
pub struct Server {
    child: Child,
    address: String,
}

impl Server {
    pub fn start(data: &Path) -> Self {
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

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn cpu_secs(&self) -> f64 {
        cpu_secs(self.pid())
    }

    pub fn memory_mb(&self) -> f64 {
        memory_mb(self.pid())
    }
}

fn proc(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
}

/// User and system time of a process. `/proc/<pid>/stat` counts in hundredths of a second.
pub fn cpu_secs(pid: u32) -> f64 {
    let stat = proc(pid, "stat");
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

/// The resident memory of a process.
pub fn memory_mb(pid: u32) -> f64 {
    let status = proc(pid, "status");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kb = line.split_whitespace().nth(1).unwrap();
    kb.parse::<f64>().unwrap() / 1e3
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub fn token(user: usize) -> String {
    let tokens = Tokens::new(&AuthConfig {
        jwt_secret: Secret::new(SECRET),
        jwt_secret_previous: None,
        token_ttl: Duration::from_hours(1),
        password_memory_kib: 64,
        password_passes: 1,
        password_threads: 1,
        password_queue: 1,
        password_blocklist: false,
    });
    let user = UserId::new(i64::try_from(user).unwrap()).unwrap();
    tokens
        .issue(user, "shopper", Role::User, SystemClock.now())
        .unwrap()
}

/// A keep-alive connection that asks and waits for the answer.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(server: &Server) -> Self {
        Self::connect_to(&server.address)
    }

    pub fn connect_to(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub fn send(&mut self, request: &[u8]) -> u16 {
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

pub fn attempt(token: &str) -> Vec<u8> {
    attempt_in(1, token)
}

pub fn attempt_in(sale: i64, token: &str) -> Vec<u8> {
    format!("POST /api/flash-sale/attempt/{sale} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

/// Nobody's attempt is refused by an open sale as the holder's or for its account only later: a status will do.
pub fn wait_until_open(server: &Server) {
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
