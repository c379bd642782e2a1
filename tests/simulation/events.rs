//! The publisher of events on models: workers that die at any moment, a topic that fails, and a ledger that goes on meanwhile.

mod endpoint;
mod gap;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use flashsale::{
    clock::Clock,
    events::{Publisher, PublisherSettings, Receivers},
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{
        Attempt, ConsumerGroup, EventPositions, EventRecord, EventTopic, LogError, Member, Offer,
        Offset, Partition, Position, SaleChange, SaleListing, SaleSwitch, SaleWindow, SettleBatch,
        Settling,
    },
    telemetry::metric,
};
use flashsale_simulator::model::ModelLedger;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::endpoint::{Endpoint, ModelWebhooks};

const SHOPPERS: i64 = 40;

/// A clock that goes with tokio's, so that leases run out in the test's time.
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> DateTime<Utc> {
        let elapsed = TimeDelta::from_std(self.0.elapsed()).unwrap();
        DateTime::from_timestamp_millis(1_800_000_000_000).unwrap() + elapsed
    }
}

/// Numbers that look random, from a seed.
struct Chance(AtomicU64);

impl Chance {
    fn below(&self, end: u64) -> u64 {
        let next = |state: u64| {
            Some(
                state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407),
            )
        };
        let state = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        (state.unwrap_or_default() >> 33) % end
    }
}

/// A topic that takes time, and fails with some of the records written.
struct FailingTopic {
    chance: Chance,
    fails: AtomicBool,
    /// Writes nothing at all.
    is_dead: AtomicBool,
    records: Mutex<Vec<EventRecord>>,
}

#[async_trait]
impl EventTopic for FailingTopic {
    fn name(&self) -> &'static str {
        "events"
    }

    async fn publish(&self, records: Vec<EventRecord>) -> Result<(), LogError> {
        tokio::time::sleep(Duration::from_millis(self.chance.below(30))).await;
        if self.is_dead.load(Ordering::SeqCst) {
            return Err(LogError::Unavailable("it is dead".to_owned()));
        }
        let fails = self.fails.load(Ordering::SeqCst) && self.chance.below(3) == 0;
        let written = if fails {
            usize::try_from(self.chance.below(records.len() as u64 + 1)).unwrap()
        } else {
            records.len()
        };
        let some = records.into_iter().take(written);
        self.records.lock().unwrap().extend(some);
        tokio::time::sleep(Duration::from_millis(self.chance.below(30))).await;
        if fails {
            return Err(LogError::Unavailable("it is down".to_owned()));
        }
        Ok(())
    }
}

fn sale() -> SaleId {
    SaleId::new(1).unwrap()
}

fn member() -> Member {
    Member {
        group: "workers".to_owned(),
        topic: "attempts".to_owned(),
        id: "settler".to_owned(),
    }
}

/// Orders, ended orders and changes of the sale, with pauses between.
async fn go_on(ledger: &ModelLedger, clock: &TokioClock, luck: &Chance) {
    let mut offset = 0;
    let mut shoppers = (1..=SHOPPERS).filter_map(UserId::new);
    for step in 0..40 {
        tokio::time::sleep(Duration::from_millis(luck.below(60))).await;
        match luck.below(6) {
            0 => {
                let change = SaleChange::AddUnits(1);
                ledger.change_sale(sale(), &change, clock.now());
            }
            1 => {
                let switch = [SaleSwitch::On, SaleSwitch::Paused][step % 2];
                ledger.set_switch(sale(), switch);
            }
            2 => {
                let buyers: Vec<_> = ledger.orders(sale()).into_keys().collect();
                if let Some(first) = buyers.first() {
                    ledger.end_order(sale(), *first);
                }
            }
            _ => {
                let count = usize::try_from(1 + luck.below(3)).unwrap();
                let attempts: Vec<_> = shoppers.by_ref().take(count).collect();
                let attempts = attempts
                    .into_iter()
                    .map(|user| attempt(user, clock))
                    .collect();
                offset = settle(ledger, offset, attempts).await;
            }
        }
    }
}

fn attempt(user: UserId, clock: &TokioClock) -> Attempt {
    Attempt {
        id: AttemptId::generate(),
        sale: sale(),
        product: ProductId::new(1).unwrap(),
        user,
        at: clock.now(),
    }
}

async fn settle(ledger: &ModelLedger, from: i64, attempts: Vec<Attempt>) -> i64 {
    let to = from + i64::try_from(attempts.len()).unwrap();
    let Member { group, topic, .. } = member();
    let batch = SettleBatch {
        position: Position {
            group,
            topic,
            partition: Partition(0),
        },
        from: Offset(from),
        to: Offset(to),
        last: attempts.last().map(|attempt| attempt.id),
        attempts,
        offsets: Vec::new(),
        rejected: Vec::new(),
        reached: None,
    };
    ledger.settle(&[batch]).await.unwrap();
    to
}

/// What all publishers share.
struct World {
    ledger: Arc<ModelLedger>,
    clock: Arc<TokioClock>,
    topic: Arc<FailingTopic>,
    webhooks: Arc<ModelWebhooks>,
    endpoint: Arc<Endpoint>,
}

impl World {
    /// A sale that is open, its shoppers, and a topic without failures.
    async fn begin(seed: u64) -> Self {
        let clock = Arc::new(TokioClock(Instant::now()));
        let ledger = Arc::new(ModelLedger::new(clock.clone()));
        let now = clock.now();
        ledger.add_sale(SaleListing {
            id: sale(),
            product: ProductId::new(1).unwrap(),
            product_name: "a product".to_owned(),
            product_description: String::new(),
            offer: Offer::default(),
            window: SaleWindow {
                start: now - TimeDelta::hours(1),
                end: now + TimeDelta::hours(1),
            },
            initial_stock: 20,
            remaining_stock: 20,
            version: 1,
            switch: SaleSwitch::On,
        });
        for user in (1..=SHOPPERS).filter_map(UserId::new) {
            ledger.add_shopper(user);
        }
        let ttl = Duration::from_hours(1);
        ledger.heartbeat(&member(), 1, ttl).await.unwrap();
        let topic = Arc::new(FailingTopic {
            chance: Chance(AtomicU64::new(seed + 1)),
            fails: AtomicBool::new(false),
            is_dead: AtomicBool::new(false),
            records: Mutex::default(),
        });
        Self {
            ledger,
            clock,
            topic,
            webhooks: Arc::default(),
            endpoint: Arc::default(),
        }
    }
}

/// Runs publishers, each until it is killed after a while; two at a time.
async fn publish(world: &World, name: &str, chance: &Chance, kills: u64) {
    let World {
        ledger,
        clock,
        topic,
        webhooks,
        endpoint,
    } = world;
    for life in 0..kills {
        let receivers = Receivers {
            topic: Some(topic.clone()),
            webhooks: webhooks.clone(),
            client: endpoint.clone(),
        };
        let settings = PublisherSettings {
            group: "workers".to_owned(),
            id: format!("{name}{life}"),
            lease: Duration::from_millis(300),
            retention: Duration::from_hours(1),
        };
        let publisher = Publisher::new(ledger.clone(), clock.clone(), receivers, &settings);
        let killed = tokio::time::sleep(Duration::from_millis(50 + chance.below(900)));
        tokio::select! {
            () = publisher.run(CancellationToken::new()) => {}
            () = killed => {}
        }
    }
}

fn header(record: &EventRecord, wanted: &str) -> String {
    let found = record.headers.iter().find(|(name, _)| *name == wanted);
    found.unwrap().1.clone()
}

/// Every event of the sale is there, the first copies in order, and each number has one id.
fn check(topic: &FailingTopic, last: u64, buyers: &BTreeMap<UserId, AttemptId>, seed: u64) {
    let records = topic.records.lock().unwrap();
    let mut ids: BTreeMap<u64, String> = BTreeMap::new();
    let mut standing: BTreeSet<String> = BTreeSet::new();
    for record in records.iter() {
        let number: u64 = header(record, "ce_sequence").parse().unwrap();
        let id = header(record, "ce_id");
        if let Some(known) = ids.get(&number) {
            assert_eq!(*known, id, "seed {seed}: event {number} has one id");
            continue;
        }
        let next = ids.last_key_value().map_or(1, |(last, _)| last + 1);
        assert_eq!(number, next, "seed {seed}: first copies are in order");
        ids.insert(number, id);
        let subject = header(record, "ce_subject");
        match header(record, "ce_type").as_str() {
            "order.created" => assert!(standing.insert(subject), "seed {seed}"),
            "order.released" => assert!(standing.remove(&subject), "seed {seed}"),
            _ => {}
        }
    }
    assert_eq!(ids.len() as u64, last, "seed {seed}: no event is lost");
    let expected = buyers
        .values()
        .map(|attempt| format!("sale/1/order/{attempt}"));
    assert_eq!(
        standing,
        expected.collect(),
        "seed {seed}: the orders that stand"
    );
}

#[tokio::test(start_paused = true)]
async fn every_event_is_published_in_order_whatever_dies() {
    for seed in 0..40 {
        let world = World::begin(seed).await;
        let chance = Chance(AtomicU64::new(seed * 77 + 1));
        world.topic.fails.store(true, Ordering::SeqCst);
        tokio::join!(
            go_on(&world.ledger, &world.clock, &chance),
            publish(&world, "a", &chance, 5),
            publish(&world, "b", &chance, 5),
        );
        world.topic.fails.store(false, Ordering::SeqCst);
        publish(&world, "last", &Chance(AtomicU64::new(1)), 8).await;
        let World { ledger, topic, .. } = world;
        let pending = ledger.pending_events("topic:events").await.unwrap();
        assert_eq!(pending, [], "seed {seed}");
        let last = ledger.events(sale()).last().unwrap().last();
        check(&topic, last, &ledger.orders(sale()), seed);
    }
}
