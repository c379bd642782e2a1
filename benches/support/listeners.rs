//! Measures listeners of results at one node: memory for each stream, and the time from the answer to a press until the result is
//! pushed, while some of the listeners buy at a given rate. Then the rate at which other shoppers buy, with and without the listeners.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{sleep, sleep_until},
};

use super::system::{Client, attempt_in, cpu_secs, memory_mb, token};

const KIB_WANTED: f64 = 20.0;
const P99_WANTED: Duration = Duration::from_millis(300);
const RATE_WANTED: f64 = 0.9;
/// Presses of each measurement of the rate, by shoppers who do not listen.
const PRESSES: usize = 30_000;
/// Measurements of the rate: one to warm up, beside the listeners, and without them, twice each.
const ROUNDS: usize = 5;
/// Listeners of one address, as many as a node lets in.
const OF_ADDRESS: usize = 200;
/// Addresses of one /24, which has twice the limit of an address.
const OF_BLOCK: usize = 2;

/// Connections of buyers.
const CONNECTIONS: usize = 64;

/// Accounts beside the listeners and those of [`PRESSES`].
const SPARE: usize = 10;

/// When each listener was answered, and when it was told.
struct Times {
    answered: Vec<OnceLock<Instant>>,
    told: Vec<OnceLock<Instant>>,
    ready: AtomicUsize,
}

/// An API node with an open sale that has a unit for everybody.
#[derive(Clone, Copy)]
pub struct Node {
    pub address: SocketAddr,
    pub pid: u32,
    pub sale: i64,
}

impl Node {
    /// One press by itself; its status.
    fn press(&self, user: usize) -> u16 {
        let request = attempt_in(self.sale, &token(user));
        Client::connect_to(&self.address.to_string()).send(&request)
    }
}

/// How many accounts, and units, a measurement takes.
pub const fn accounts(listeners: usize) -> usize {
    listeners + SPARE + ROUNDS * PRESSES
}

/// Prints the figures. False above 20 KiB a listener, above 300 ms at the 99th percentile, below 90 % of the rate without listeners,
/// or when a limit does not hold.
pub async fn measure(node: Node, listeners: usize, rate: usize, secs: usize) -> bool {
    // Not measured: what the first requests allocate.
    assert_eq!(node.press(listeners + 1), 200);
    let before = memory_mb(node.pid);

    let times = Arc::new(Times {
        answered: (0..listeners).map(|_| OnceLock::new()).collect(),
        told: (0..listeners).map(|_| OnceLock::new()).collect(),
        ready: AtomicUsize::new(0),
    });
    let begun = Instant::now();
    let mut streams = Vec::with_capacity(listeners);
    for index in 0..listeners {
        let stream = listen(node.address, index, &token(index + 1)).await;
        streams.push(tokio::spawn(follow(stream, index, Arc::clone(&times))));
    }
    while times.ready.load(Ordering::Relaxed) < listeners {
        sleep(Duration::from_millis(20)).await;
    }
    println!(
        "{listeners} listeners were told their results within {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let kib = (memory_mb(node.pid) - before) * 1e3 / listeners as f64;
    println!("memory: {kib:.1} KiB a listener (wanted: {KIB_WANTED} at most)");

    // Where the limit is the default one.
    let mut refused = true;
    if listeners == 10_000 {
        let mut stream = listen(node.address, listeners, &token(listeners + 2)).await;
        let mut head = vec![0; 512];
        let length = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
        refused = head.starts_with("http/1.1 503") && head.contains("retry-after");
        println!(
            "one more listener: {}",
            head.lines().next().unwrap_or_default()
        );
    }
    let buyer = node.press(listeners + 3);
    println!("a buyer meanwhile: {buyer}");

    let cpu = cpu_secs(node.pid);
    let orders = listeners.min(rate * secs);
    buy(node, rate, orders, &times).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    let told = || {
        times
            .told
            .iter()
            .filter(|told| told.get().is_some())
            .count()
    };
    while told() < orders && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    let mut latencies: Vec<_> = times
        .told
        .iter()
        .zip(&times.answered)
        .filter_map(|(told, answered)| {
            Some(told.get()?.saturating_duration_since(*answered.get()?))
        })
        .collect();
    latencies.sort_unstable();
    let percentile = |share: usize| latencies[(latencies.len() - 1) * share / 100];
    let p99 = percentile(99);
    println!(
        "{} of {orders} results at {rate} a second, from the answer to a press to the event: p50 {:?}, p99 {p99:?}, most {:?} (wanted: p99 of {P99_WANTED:?}); {:.2} s of CPU",
        latencies.len(),
        percentile(50),
        percentile(100),
        cpu_secs(node.pid) - cpu,
    );
    let all_told = latencies.len() == orders;
    let ratio = rate_beside_listeners(node, listeners + SPARE, streams).await;
    let fast = p99 <= P99_WANTED && ratio >= RATE_WANTED;
    kib <= KIB_WANTED && fast && refused && buyer == 200 && all_told
}

/// How fast shoppers from this number on buy beside the listeners, as a share of the rate after these are gone.
async fn rate_beside_listeners(node: Node, others: usize, streams: Vec<JoinHandle<()>>) -> f64 {
    let rate = async |round: usize| press(node, others + round * PRESSES).await;
    rate(0).await;
    let beside = [rate(1).await, rate(2).await];
    for stream in streams {
        stream.abort();
    }
    sleep(Duration::from_secs(2)).await;
    let without = [rate(3).await, rate(4).await];
    let ratio = (beside[0] + beside[1]) / (without[0] + without[1]);
    println!(
        "attempts at full speed: {:.0} and {:.0}/s beside the listeners, {:.0} and {:.0}/s without: {:.0} % (wanted: {:.0} % at least)",
        beside[0],
        beside[1],
        without[0],
        without[1],
        ratio * 100.0,
        RATE_WANTED * 100.0,
    );
    ratio
}

/// [`PRESSES`] of new shoppers, as fast as they are answered. How many a second.
async fn press(node: Node, first: usize) -> f64 {
    let tokens: Arc<Vec<_>> = Arc::new(
        (first..first + PRESSES)
            .map(|user| attempt_in(node.sale, &token(user)))
            .collect(),
    );
    let begun = Instant::now();
    let lanes = (0..CONNECTIONS).map(|lane| {
        let tokens = Arc::clone(&tokens);
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(node.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut buffer = [0; 2048];
            for request in tokens.iter().skip(lane).step_by(CONNECTIONS) {
                stream.write_all(request).await.unwrap();
                let length = stream.read(&mut buffer).await.unwrap();
                assert!(buffer[..length].starts_with(b"HTTP/1.1 200"));
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
    PRESSES as f64 / begun.elapsed().as_secs_f64()
}

/// Opens a stream from an address that still has room.
async fn listen(server: SocketAddr, index: usize, token: &str) -> TcpStream {
    let address = index / OF_ADDRESS;
    let (block, host) = (address / OF_BLOCK, address % OF_BLOCK);
    let [high, low] = u16::try_from(block).unwrap().to_be_bytes();
    let from = Ipv4Addr::new(127, 1 + high, low, 1 + u8::try_from(host).unwrap());
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    let request = format!(
        "GET /api/orders/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Notes when the stream is ready, and when it delivers SUCCESS. The stream stays open.
async fn follow(mut stream: TcpStream, index: usize, times: Arc<Times>) {
    let (mut text, mut is_ready) = (Vec::new(), false);
    let has = |text: &[u8], what: &[u8]| text.windows(what.len()).any(|part| part == what);
    let mut buffer = [0; 512];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let now = Instant::now();
        text.extend_from_slice(&buffer[..length]);
        if !is_ready && has(&text, b"event: ready") {
            is_ready = true;
            times.ready.fetch_add(1, Ordering::Relaxed);
            text.clear();
        }
        if has(&text, b"SUCCESS") {
            let _ = times.told[index].set(now);
            text.clear();
        }
    }
}

/// Presses of so many listeners at a rate, on some connections.
async fn buy(node: Node, rate: usize, orders: usize, times: &Arc<Times>) {
    let begun = tokio::time::Instant::now();
    let mut lanes = Vec::new();
    for lane in 0..CONNECTIONS {
        let times = Arc::clone(times);
        lanes.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(node.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut buffer = [0; 2048];
            for index in (lane..orders).step_by(CONNECTIONS) {
                let at = Duration::from_secs_f64(index as f64 / rate as f64);
                sleep_until(begun + at).await;
                let request = attempt_in(node.sale, &token(index + 1));
                stream.write_all(&request).await.unwrap();
                let length = stream.read(&mut buffer).await.unwrap();
                let _ = times.answered[index].set(Instant::now());
                assert!(
                    buffer[..length].starts_with(b"HTTP/1.1 200"),
                    "{}",
                    String::from_utf8_lossy(&buffer[..length])
                );
            }
        }));
    }
    for lane in lanes {
        lane.await.unwrap();
    }
}
