//! Workers, Kafka and PostgreSQL are killed while shoppers buy: the topic, pull and an endpoint each see every event, and no other.
//!
//! `make events` runs it with 10,000 orders and 20 kills.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use flashsale::{engine::kafka::create_topics, port::Role};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    check,
    receiver::Receiver,
    recording::{Consumer, ON, Recording},
};
use crate::{
    admin::desk::Desk,
    support::{
        api::{Api, Shopper},
        broker::Broker,
        kafka,
        postgres::TestDatabase,
        postgres_server::PostgresServer,
        process::Process,
        redis::{RedisOptions, RedisServer},
        seed::Seed,
        system::{Servers, System},
        wait_until,
    },
};

/// Shoppers who press at the same time.
const AT_ONCE: usize = 20;
/// How long a shopper goes on pressing.
const TRIES: u32 = 600;

/// A number of the environment.
#[allow(clippy::disallowed_methods)] // of the make target
fn size(name: &str, otherwise: usize) -> usize {
    let given = env::var(name).ok();
    given.map_or(otherwise, |text| text.parse().unwrap())
}

/// Presses until the shopper is accepted.
async fn buy(api: &Api, sale: i64, shopper: Shopper) {
    for _ in 0..TRIES {
        match api.try_attempt(sale, &shopper).await {
            Ok((200, _)) => return,
            Ok((503, _)) | Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            Ok(other) => panic!("{other:?}"),
        }
    }
    panic!("shopper {} was not accepted", shopper.id);
}

/// Reads the sale's events, waiting for more, until told to stop and nothing more comes.
async fn pull(consumer: &Consumer, sale: i64, stop: &AtomicBool) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    loop {
        let is_last = stop.load(Ordering::SeqCst);
        let after = events.len();
        let url = format!(
            "{}/api/service/events?saleId={sale}&after={after}&limit=500&wait=1",
            consumer.2
        );
        let answer = consumer
            .1
            .get(url)
            .bearer_auth(&consumer.0.token)
            .send()
            .await;
        let page: Option<Value> = match answer {
            Ok(answer) if answer.status() == 200 => answer.json().await.ok(),
            // PostgreSQL is away.
            _ => None,
        };
        let Some(mut page) = page else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Value::Array(more) = page["data"]["events"].take() else {
            panic!("{page}");
        };
        if more.is_empty() && is_last {
            return events;
        }
        events.extend(more);
    }
}

/// The events of the topic by their numbers. Copies must be the same event.
async fn of_topic(system: &Servers, topic: &str) -> BTreeMap<u64, String> {
    let mut ids: BTreeMap<u64, String> = BTreeMap::new();
    for (_, found) in system.topic.records(topic).await {
        let header = |name: &str| {
            let value = found.record.headers.get(name).unwrap();
            String::from_utf8(value.clone()).unwrap()
        };
        let (number, id) = (header("ce_sequence").parse().unwrap(), header("ce_id"));
        assert_eq!(header("ce_specversion"), "1.0");
        let known = ids.entry(number).or_insert_with(|| id.clone());
        assert_eq!(*known, id, "event {number} has one id");
    }
    ids
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Worker,
    Kafka,
    PostgreSql,
}

/// After how many orders which process is killed, from a seed. The first three kills are of each of them, in any order.
fn plan(orders: usize, kills: usize) -> Vec<(usize, Victim)> {
    const ALL: [Victim; 3] = [Victim::Worker, Victim::Kafka, Victim::PostgreSql];
    let mut seed = Seed::print();
    let mut below = |end: usize| usize::try_from(seed.below(end as u64)).unwrap();
    let mut plan: Vec<_> = (0..kills)
        .map(|kill| {
            let drawn = ALL[below(ALL.len())];
            (below(orders), ALL.get(kill).copied().unwrap_or(drawn))
        })
        .collect();
    plan.sort_by_key(|(due, _)| *due);
    eprintln!("kills after so many orders: {plan:?}");
    plan
}

#[tokio::test]
async fn every_consumer_sees_every_event_whoever_is_killed() {
    let (orders, kills) = (
        size("FLASHSALE_TEST_EVENT_ORDERS", 200),
        size("FLASHSALE_TEST_EVENT_KILLS", 6),
    );
    let (mut broker, mut postgres) = tokio::join!(Broker::start(), PostgresServer::start());
    let database = TestDatabase::create_on(postgres.config("shop")).await;
    let redis = RedisServer::start(RedisOptions::default());
    let redis_config = redis.config(Duration::from_secs(2));
    let kafka = kafka::config_of(vec![broker.address()]);
    let mut system = Servers::of(database, Some(redis), redis_config, kafka).await;
    let topic = format!("{}.events", system.topic.config.topic);
    system.topic.config.events_topic = Some(topic.clone());
    create_topics(&system.topic.config).await.unwrap();
    let more = [
        ("KAFKA_TOPIC_EVENTS", topic.as_str()),
        ("WORKER_LEASE_SECS", "3"),
    ];
    let more = more.iter().chain(&ON);
    let more = more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    system.environment.extend(more);

    let api = system.serve().await;
    let mut workers: Vec<Process> = vec![system.work().await, system.work().await];
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let receiver = Receiver::start().await;
    let endpoint = json!({"url": receiver.url, "maxBatch": 100, "perSecond": 100});
    desk.post("/webhooks", endpoint).await.expect(201);
    let sale = system
        .recorded_sale(&api, u32::try_from(orders).unwrap())
        .await;
    let shoppers = system.shoppers(orders).await;
    let buyers: BTreeSet<i64> = shoppers.iter().map(|shopper| shopper.id).collect();
    let consumer = Consumer::of(&api, &system).await;

    let (bought, stop) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let buying = stream::iter(shoppers).for_each_concurrent(AT_ONCE, |shopper| async {
        buy(&api, sale, shopper).await;
        bought.fetch_add(1, Ordering::SeqCst);
        // So that the kills come while there are orders.
        tokio::time::sleep(Duration::from_millis(20)).await;
    });
    let killing = async {
        for (due, victim) in plan(orders, kills) {
            while bought.load(Ordering::SeqCst) < due {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            match victim {
                Victim::Worker => {
                    let oldest = workers.remove(0);
                    oldest.kill();
                    workers.push(system.run(&["work"]));
                }
                Victim::Kafka => {
                    broker.kill();
                    broker.restart().await;
                }
                Victim::PostgreSql => {
                    postgres.kill();
                    postgres.restart().await;
                }
            }
        }
        workers
    };
    let until_the_end = async {
        let (workers, ()) = tokio::join!(killing, buying);
        let patience = Duration::from_mins(1);
        wait_until("all is settled", patience, || async {
            system.log_is_settled().await
                && system.balance(sale).await.orders == i64::try_from(orders).unwrap()
        })
        .await;
        stop.store(true, Ordering::SeqCst);
        workers
    };
    let (events, workers) = tokio::join!(pull(&consumer, sale, &stop), until_the_end);
    check(&events, &buyers);
    let pulled: BTreeMap<u64, String> = (1..)
        .zip(&events)
        .map(|(number, event)| (number, event["id"].as_str().unwrap().to_owned()))
        .collect();
    wait_until("the topic has all", Duration::from_mins(1), || async {
        of_topic(&system, &topic).await.len() >= events.len()
    })
    .await;
    assert_eq!(of_topic(&system, &topic).await, pulled);
    wait_until("the endpoint has all", Duration::from_mins(1), || async {
        receiver.events().len() >= events.len()
    })
    .await;
    assert_eq!(receiver.events(), events, "in order, without repetitions");
    drop(workers);
}
