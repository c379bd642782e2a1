//! Events: how fast a worker settles a backlog with events on beside off, and how long after the commit each kind of consumer has an event.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use flashsale::{engine::kafka::create_topics, ids::UserId};
use rskafka::client::{
    ClientBuilder,
    partition::{OffsetAt, UnknownTopicHandling},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    bed::{TestBed, tokens},
    measure::{Path, attempt, median},
    paths,
    support::{kafka, system::System, wait_until},
};

/// What is left for a worker to settle in each round.
const BACKLOG: usize = 50_000;
/// Of each kind.
const ROUNDS: usize = 3;
/// Orders in a second while delivery is measured.
const RATE: u64 = 1_000;
const PARTITIONS: i32 = 3;

/// How late each event was, in milliseconds.
type Delays = Arc<Mutex<Vec<f64>>>;

pub async fn run(time: Duration) {
    let pressing = usize::try_from(RATE * time.as_secs()).unwrap();
    let mut bed = TestBed::start(BACKLOG.max(pressing), PARTITIONS).await;
    let topic = format!("{}.events", bed.system.topic.config.topic);
    bed.system.topic.config.events_topic = Some(topic.clone());
    create_topics(&bed.system.topic.config).await.unwrap();
    bed.serve().await;
    bed.work().await;
    drain_side_by_side(&mut bed, &topic).await;
    delivery(&mut bed, &topic, pressing).await;
    bed.audit().await;
}

/// Restarts the workers with events on or off.
async fn switch(bed: &mut TestBed, on: Option<&str>) {
    bed.end_workers().await;
    for (name, value) in [
        ("EVENTS_ENABLED", on.map(|_| "true")),
        ("KAFKA_TOPIC_EVENTS", on),
        ("EVENTS_WEBHOOKS_TO_PRIVATE_NETWORKS", on.map(|_| "true")),
    ] {
        match value {
            Some(value) => drop(
                bed.system
                    .environment
                    .insert(name.to_owned(), value.to_owned()),
            ),
            None => drop(bed.system.environment.remove(name)),
        }
    }
    if on.is_none() {
        // Switching events off leaves what was recorded, and the row that says so.
        bed.system.sql("DELETE FROM event_recording").await;
    }
    bed.work().await;
}

async fn drain_side_by_side(bed: &mut TestBed, topic: &str) {
    let [mut off, mut on] = [(); 2].map(|()| Vec::new());
    // The first round of each kind warms up and is not counted.
    for round in 0..=ROUNDS {
        for (setting, rates) in [(None, &mut off), (Some(topic), &mut on)] {
            switch(bed, setting).await;
            let target = bed.target();
            let drained = paths::drain(bed, &target, BACKLOG, 1).await;
            println!(
                "events {}: {:.0} orders/s",
                if setting.is_some() { "on" } else { "off" },
                drained.rate
            );
            if round > 0 {
                rates.push(drained.rate);
            }
        }
    }
    let (off, on) = (median(off), median(on));
    println!(
        "settling a backlog: events off {off:.0} orders/s, on {on:.0} orders/s: {:.1} %",
        on / off * 100.0
    );
}

/// Delays of the topic, of a program that pulls, and of an endpoint, while shoppers buy at a steady rate. The time of an event is that at
/// which its row was written: the commit comes after it, so that these delays are not too short.
async fn delivery(bed: &mut TestBed, topic: &str, orders: usize) {
    switch(bed, Some(topic)).await;
    wait_until("events are recorded", Duration::from_secs(10), || async {
        bed.system
            .number("SELECT count(*) FROM event_recording")
            .await
            == 1
    })
    .await;
    let (sale, _) = bed.sale(orders).await;
    let [from_topic, pulled, sent]: [Delays; 3] = Default::default();
    let url = receive(sale, Arc::clone(&sent)).await;
    let add = [
        "webhook",
        "add",
        &url,
        "--max-batch",
        "100",
        "--per-second",
        "100",
        "--by",
        "bench",
    ];
    let (added, output) = bed.system.run(&add).outcome().await;
    assert!(added, "{output}");
    // A worker sends to a new endpoint within two seconds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for partition in 0..PARTITIONS {
        tokio::spawn(follow(
            bed.system.topic.config.clone(),
            topic.to_owned(),
            partition,
            sale,
            Arc::clone(&from_topic),
        ));
    }
    tokio::spawn(pull(
        bed.apis[0].url.clone(),
        program(bed).await,
        sale,
        Arc::clone(&pulled),
    ));

    let target = bed.target();
    let buying = Path {
        name: "delivery",
        target: &target,
        method: "POST",
        uri: attempt(sale),
        tokens: &bed.tokens[..orders],
        status: 200,
        buys: true,
        meters: Vec::new(),
        time: Duration::ZERO,
    };
    // It blocks this thread only: the tasks that receive events run on the runtime's workers.
    let pressed = buying.press_all_at(RATE as f64);
    assert_eq!(pressed.answers(), orders as u64);
    for (name, delays) in [
        ("the topic", from_topic),
        ("pull", pulled),
        ("a webhook", sent),
    ] {
        let count = || async { delays.lock().unwrap().len() >= orders };
        wait_until("every order is delivered", Duration::from_mins(1), count).await;
        let mut delays = std::mem::take(&mut *delays.lock().unwrap());
        delays.sort_by(f64::total_cmp);
        let at = |percent: usize| delays[(delays.len() - 1) * percent / 100];
        println!(
            "{} events at {RATE} orders/s by {name}: p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms",
            delays.len(),
            at(50),
            at(99),
            at(100)
        );
    }
}

/// Notes how late an event is, if it is an order of the sale.
fn note(delays: &Delays, sale: i64, event_type: &str, of: &Value, time: &str) {
    if event_type == "order.created" && of["saleId"] == sale {
        let time: DateTime<Utc> = time.parse().unwrap();
        let late = (Utc::now() - time).num_microseconds().unwrap();
        delays.lock().unwrap().push(late as f64 / 1e3);
    }
}

/// Follows a partition of the topic of events.
async fn follow(
    config: flashsale::config::KafkaConfig,
    topic: String,
    partition: i32,
    sale: i64,
    delays: Delays,
) {
    let client = ClientBuilder::new(kafka::plain(&config))
        .build()
        .await
        .unwrap();
    let handling = UnknownTopicHandling::Error;
    let reader = client
        .partition_client(topic, partition, handling)
        .await
        .unwrap();
    let mut next = reader.get_offset(OffsetAt::Latest).await.unwrap();
    loop {
        let (records, _) = reader.fetch_records(next, 1..1_000_000, 100).await.unwrap();
        for found in records {
            next = found.offset + 1;
            let header =
                |name: &str| String::from_utf8(found.record.headers[name].clone()).unwrap();
            let data = serde_json::from_slice(found.record.value.as_ref().unwrap()).unwrap();
            note(&delays, sale, &header("ce_type"), &data, &header("ce_time"));
        }
    }
}

/// The token of a program that may read events.
async fn program(bed: &TestBed) -> String {
    let system = &bed.system;
    system
        .sql("INSERT INTO users (username, email, password_hash, role) VALUES ('puller', 'service:puller', '!', 'service')")
        .await;
    let id = system
        .number("SELECT id FROM users WHERE username = 'puller'")
        .await;
    let (id, scopes) = (UserId::new(id).unwrap(), "events:read".parse().unwrap());
    let issued = tokens().issue_to_service(id, "puller", scopes, Utc::now());
    issued.unwrap().0
}

/// Reads the sale's events, waiting for more.
async fn pull(api: String, token: String, sale: i64, delays: Delays) {
    let (client, mut after) = (reqwest::Client::new(), 0);
    loop {
        let url = format!("{api}/api/service/events?saleId={sale}&after={after}&limit=500&wait=20");
        let answer = client.get(url).bearer_auth(&token).send().await.unwrap();
        let page: Value = answer.error_for_status().unwrap().json().await.unwrap();
        for event in page["data"]["events"].as_array().unwrap() {
            let text = |field: &str| event[field].as_str().unwrap();
            note(&delays, sale, text("type"), &event["data"], text("time"));
        }
        after = page["data"]["next"].as_u64().unwrap();
    }
}

/// An endpoint. Returns its address.
async fn receive(sale: i64, delays: Delays) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(take(client, sale, Arc::clone(&delays)));
        }
    });
    url
}

/// Takes requests of one connection, until it is closed.
async fn take(mut client: TcpStream, sale: i64, delays: Delays) {
    let mut read = Vec::new();
    loop {
        let length = loop {
            if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                read.drain(..end + 4);
                break length.unwrap().trim().parse::<usize>().unwrap();
            }
            if client.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        };
        while read.len() < length {
            if client.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body: Vec<u8> = read.drain(..length).collect();
        let events: Vec<Value> = serde_json::from_slice(&body).unwrap();
        for event in &events {
            let text = |field: &str| event[field].as_str().unwrap();
            note(&delays, sale, text("type"), &event["data"], text("time"));
        }
        if client
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .is_err()
        {
            return;
        }
    }
}
