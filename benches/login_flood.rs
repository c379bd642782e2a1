//! What a flood of wrong logins from one address costs the shoppers who buy: accepted attempts a second from 64 connections,
//! with 2,000 wrong logins a second beside them and without. Load, flood and system share the machine, and the rounds take
//! turns, so that whatever else it does falls on both alike.
//!
//! `cargo bench --bench login_flood -- [seconds]` of each of the twenty-two rounds, 3 unless said otherwise. Each pair of rounds
//! gives a share; fails if the one in the middle is below 90 %.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // nobody but its reader is served
#![allow(clippy::cast_precision_loss, clippy::print_stdout)]

#[path = "support/system.rs"]
mod system;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use system::{Client, Server, attempt, prepare, token, wait_until_open};
use tempfile::TempDir;

const BUYERS: usize = 64;
const FLOODERS: u32 = 8;
/// Wrong logins a second, of all flooders.
const FLOOD: u32 = 2_000;
/// Of each kind: many and short, since the machine has other things to do now and then.
const ROUNDS: usize = 11;
/// Accounts for every second: more attempts than these the system does not take.
const SHOPPERS_A_SECOND: usize = 16_000;
const WANTED: f64 = 0.9;

/// What the flood was answered.
#[derive(Default)]
struct Answers {
    /// A password was compared.
    compared: AtomicUsize,
    /// 429.
    refused: AtomicUsize,
}

fn main() -> ExitCode {
    let secs = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(3);
    let round = Duration::from_secs(secs);
    let directory = TempDir::with_prefix_in("flashsale-bench", "target").unwrap();
    let data = directory.path().join("data");
    let shoppers = SHOPPERS_A_SECOND * usize::try_from(secs).unwrap() * ROUNDS * 2;
    prepare(&data, shoppers);
    let server = Server::start(&data);
    wait_until_open(&server);

    let (next, answers) = (AtomicUsize::new(1), Answers::default());
    // Not measured: caches and connections warm up.
    buy(&server, &next, Duration::from_secs(2));
    let (mut quiet, mut flooded, mut shares) = (0, 0, Vec::new());
    for number in 1..=ROUNDS {
        let alone = buy(&server, &next, round);
        let beside = thread::scope(|scope| {
            for flooder in 0..FLOODERS {
                let (server, answers) = (&server, &answers);
                scope.spawn(move || flood(server, flooder, round, answers));
            }
            buy(&server, &next, round)
        });
        println!(
            "round {number}: attempts alone {:>7.0} /s, beside the flood {:>7.0} /s",
            alone as f64 / round.as_secs_f64(),
            beside as f64 / round.as_secs_f64()
        );
        quiet += alone;
        flooded += beside;
        shares.push(beside as f64 / alone as f64);
    }
    assert!(next.into_inner() <= shoppers, "it ran out of shoppers");
    let time = round.as_secs_f64() * ROUNDS as f64;
    let (compared, refused) = (answers.compared.into_inner(), answers.refused.into_inner());
    println!(
        "flood: {:.0} wrong logins a second, {compared} passwords compared, {refused} answered 429",
        (compared + refused) as f64 / time
    );
    shares.sort_by(f64::total_cmp);
    let share = shares[ROUNDS / 2];
    println!(
        "attempts beside the flood: {:.1} % of those alone in the round in the middle, {:.1} % of all",
        share * 100.0,
        flooded as f64 / quiet as f64 * 100.0
    );
    ExitCode::from(u8::from(share < WANTED))
}

/// Every shopper buys once, from 64 connections, for this time; how many.
fn buy(server: &Server, next: &AtomicUsize, time: Duration) -> usize {
    let end = Instant::now() + time;
    thread::scope(|scope| {
        let buyers: Vec<_> = (0..BUYERS)
            .map(|_| {
                scope.spawn(move || {
                    let (mut client, mut bought) = (Client::connect(server), 0);
                    while Instant::now() < end {
                        let user = next.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(client.send(&attempt(&token(user))), 200);
                        bought += 1;
                    }
                    bought
                })
            })
            .collect();
        buyers.into_iter().map(|buyer| buyer.join().unwrap()).sum()
    })
}

/// Wrong logins at an even pace, with another name each time: that there are no such accounts makes them no cheaper.
fn flood(server: &Server, flooder: u32, time: Duration, answers: &Answers) {
    let (begun, mut client) = (Instant::now(), Client::connect(server));
    let pace = Duration::from_secs(1) * FLOODERS / FLOOD;
    for turn in 0.. {
        let due = pace * turn;
        if due >= time {
            return;
        }
        thread::sleep(due.saturating_sub(begun.elapsed()));
        let body = format!(r#"{{"username":"nobody{flooder}-{turn}","password":"a wrong one"}}"#);
        let head = "POST /api/auth/login HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json";
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let counter = match client.send(request.as_bytes()) {
            401 => &answers.compared,
            429 => &answers.refused,
            other => panic!("a login is answered {other}"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
