//! A topic that is dead for longer than events are kept: what was removed is counted as lost, once, and delivery goes on behind it.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::*;

/// Counts the events that are lost, of all publishers of this thread.
#[derive(Default)]
struct Lost(Arc<AtomicU64>);

impl Recorder for Lost {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() == metric::EVENTS_LOST {
            Counter::from_arc(Arc::clone(&self.0))
        } else {
            Counter::noop()
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Changes of the sale, with pauses between.
async fn change(world: &World, chance: &Chance, times: u32) {
    for _ in 0..times {
        tokio::time::sleep(Duration::from_millis(chance.below(120))).await;
        let added = SaleChange::AddUnits(1);
        world.ledger.change_sale(sale(), &added, world.clock.now());
    }
}

/// Changes of the sale while events are kept for a short time only.
async fn change_and_prune(world: &World, chance: &Chance) {
    for _ in 0..10 {
        change(world, chance, 5).await;
        let kept = TimeDelta::milliseconds(i64::try_from(chance.below(400)).unwrap());
        let before = world.clock.now() - kept;
        let limit = 1 + u32::try_from(chance.below(20)).unwrap();
        world.ledger.prune_events(before, limit).await.unwrap();
    }
    // One at least is kept.
    change(world, chance, 1).await;
}

/// The numbers of the events in the topic, each once, in the order of their first copies.
fn published(topic: &FailingTopic) -> Vec<u64> {
    let records = topic.records.lock().unwrap();
    let numbers = records.iter().map(|record| header(record, "ce_sequence"));
    let mut seen = BTreeSet::new();
    numbers
        .map(|number| number.parse().unwrap())
        .filter(|number| seen.insert(*number))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn events_that_are_removed_while_the_topic_is_dead_are_counted_as_lost_once() {
    for seed in 0..40 {
        let lost = Lost::default();
        let _recorder = metrics::set_default_local_recorder(&lost);
        let world = World::begin(seed).await;
        let chance = Chance(AtomicU64::new(seed * 77 + 1));
        let World { ledger, topic, .. } = &world;
        tokio::join!(
            change(&world, &chance, 5),
            publish(&world, "first", &chance, 1)
        );
        publish(&world, "before", &Chance(AtomicU64::new(1)), 8).await;
        let pending = ledger.pending_events("topic:events").await.unwrap();
        assert_eq!(pending, [], "seed {seed}");
        let last_before = published(topic).len() as u64;

        topic.is_dead.store(true, Ordering::SeqCst);
        tokio::join!(
            change_and_prune(&world, &chance),
            publish(&world, "a", &chance, 5),
            publish(&world, "b", &chance, 5),
        );
        topic.is_dead.store(false, Ordering::SeqCst);
        let first_kept = ledger.events(sale()).first().unwrap().first;
        topic.fails.store(true, Ordering::SeqCst);
        tokio::join!(
            publish(&world, "c", &chance, 5),
            publish(&world, "d", &chance, 5),
        );
        topic.fails.store(false, Ordering::SeqCst);
        publish(&world, "last", &Chance(AtomicU64::new(1)), 8).await;

        let newest = ledger.events(sale()).last().unwrap().last();
        assert!(first_kept > last_before + 1, "seed {seed}: a gap");
        let expected: Vec<u64> = (1..=last_before).chain(first_kept..=newest).collect();
        assert_eq!(published(topic), expected, "seed {seed}");
        let counted = lost.0.load(Ordering::SeqCst);
        assert_eq!(counted, first_kept - last_before - 1, "seed {seed}");
    }
}
