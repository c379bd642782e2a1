//! A pause under load: two API nodes at 3,000 presses a second, which an operator pauses and resumes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::Utc;
use flashsale::{ids::UserId, port::Role};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::{
    bed::{TestBed, tokens},
    support::system::System,
    system::{attempt_in, token},
};

/// Presses a second, of both nodes.
const RATE: usize = 3_000;
const NODES: usize = 2;
/// Connections to each node.
const LANES: usize = 32;
/// How long it is open, then paused, then open again.
const PHASE: Duration = Duration::from_secs(3);
const SHOPPERS: usize = 40_000;
const WANTED: Duration = Duration::from_secs(1);

/// When one press was sent and answered.
struct Press {
    sent: Instant,
    answered: Instant,
    is_accepted: bool,
    is_paused: bool,
}

pub async fn run() {
    let mut bed = TestBed::whole(SHOPPERS, 3).await;
    bed.serve().await;
    let (sale, _) = bed.sale(SHOPPERS).await;
    let operator = operator(&bed).await;
    let stop = Arc::new(AtomicBool::new(false));
    let lanes = (0..NODES * LANES).map(|lane| {
        let address = bed.apis[lane % NODES].url["http://".len()..].to_owned();
        tokio::spawn(press(address, sale, lane, Arc::clone(&stop)))
    });
    let lanes: Vec<_> = lanes.collect();
    sleep(PHASE).await;
    let (asked, paused) = change(&bed, sale, "pause", &operator).await;
    sleep(PHASE).await;
    let (_, resumed) = change(&bed, sale, "resume", &operator).await;
    sleep(PHASE).await;
    stop.store(true, Ordering::Relaxed);
    let mut presses = Vec::new();
    for (lane, of_lane) in lanes.into_iter().enumerate() {
        let node = lane % NODES;
        let of_lane = of_lane.await.unwrap();
        presses.extend(of_lane.into_iter().map(|press| (node, press)));
    }
    bed.settle(sale).await;
    bed.audit().await;

    let after = |press: &&(usize, Press)| press.1.sent > paused && press.1.answered < resumed;
    let held: Vec<_> = presses.iter().filter(after).collect();
    let let_in = held.iter().filter(|(_, press)| press.is_accepted).count();
    assert!(
        held.iter().all(|(_, press)| press.is_paused),
        "{let_in} were let in"
    );
    let first = (0..NODES).map(|node| {
        let resumed_at = presses
            .iter()
            .filter(|(at, press)| *at == node && press.sent > resumed && press.is_accepted);
        let answered = resumed_at.map(|(_, press)| press.answered);
        answered.min().unwrap() - resumed
    });
    let first: Vec<_> = first.collect();
    let accepted = presses
        .iter()
        .filter(|(_, press)| press.is_accepted)
        .count();
    let orders = bed.orders().await;
    assert_eq!(
        usize::try_from(orders).unwrap(),
        accepted,
        "orders of the accepted"
    );
    let sent = presses.iter().map(|(_, press)| press.sent);
    let took = sent.clone().max().unwrap() - sent.min().unwrap();
    let rate = presses.len() as f64 / took.as_secs_f64();
    println!(
        "{rate:.0} presses/s at {NODES} nodes: the pause was answered after {:?}; of {} presses sent after its answer none was accepted; after the resumption the nodes \
         accepted within {first:?}; {accepted} accepted, {orders} orders",
        paused - asked,
        held.len(),
    );
    assert!(paused - asked < WANTED && first.iter().all(|took| *took < WANTED));
}

/// The token of an operator.
async fn operator(bed: &TestBed) -> String {
    let id = i64::try_from(SHOPPERS).unwrap() + 1;
    bed.system
        .sql(&format!(
            "INSERT INTO users (id, username, email, password_hash, role) VALUES ({id}, 'operator', 'operator@example.com', '-', 'operator')"
        ))
        .await;
    let user = UserId::new(id).unwrap();
    let issued = tokens().issue(user, "operator", Role::Operator, Utc::now());
    issued.unwrap()
}

/// An operator's change through the first node: when it was asked for, and answered as applied.
async fn change(bed: &TestBed, sale: i64, what: &str, token: &str) -> (Instant, Instant) {
    let asked = Instant::now();
    let answer = reqwest::Client::new()
        .post(format!("{}/api/admin/sales/{sale}/{what}", bed.apis[0].url))
        .bearer_auth(token)
        .json(&serde_json::json!({"reason": "Benchmark"}))
        .send()
        .await
        .unwrap();
    let status = answer.status();
    let body = answer.text().await.unwrap();
    assert_eq!(status, 200, "{body}");
    (asked, Instant::now())
}

/// Presses of one connection at its share of the rate, each by another shopper, until told to stop.
async fn press(address: String, sale: i64, lane: usize, stop: Arc<AtomicBool>) -> Vec<Press> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut every = tokio::time::interval(
        Duration::from_secs(1) * u32::try_from(NODES * LANES).unwrap()
            / u32::try_from(RATE).unwrap(),
    );
    let (mut presses, mut buffer) = (Vec::new(), [0; 2048]);
    for user in (lane + 1..=SHOPPERS).step_by(NODES * LANES) {
        every.tick().await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let request = attempt_in(sale, &token(user));
        let sent = Instant::now();
        stream.write_all(&request).await.unwrap();
        let length = stream.read(&mut buffer).await.unwrap();
        let answer = String::from_utf8_lossy(&buffer[..length]);
        presses.push(Press {
            sent,
            answered: Instant::now(),
            is_accepted: answer.starts_with("HTTP/1.1 200"),
            is_paused: answer.starts_with("HTTP/1.1 409") && answer.contains("\"paused\""),
        });
    }
    presses
}
