//! Faults of Kafka: of its topic, and of three brokers.

use std::time::Duration;

use futures::future::join_all;
use rskafka::client::partition::{OffsetAt, UnknownTopicHandling};

use super::{LASTING, LATE, MEANWHILE, redis};
use crate::{bed::TestBed, support::kafka};

/// Until producers use partitions that were added: 7 s, and some.
const USED: Duration = Duration::from_secs(9);
/// Partitions that are added at once, and that a topic may come to have.
const ADDED: usize = 3;
const MOST_PARTITIONS: usize = 12;

/// Nobody reads for a while; then everything in the log is deleted, as by a retention that is far too short, and the
/// workers go on.
pub async fn log_cut(bed: &mut TestBed) {
    let workers: Vec<_> = bed
        .nodes
        .iter()
        .filter(|node| node.front.is_none())
        .collect();
    for worker in &workers {
        worker.process.pause();
    }
    tokio::time::sleep(MEANWHILE).await;
    let config = &bed.system.topic.config;
    let client = rskafka::client::ClientBuilder::new(config.brokers.clone())
        .build()
        .await
        .unwrap();
    let partitions = kafka::ends(config).await.len();
    let cuts = (0..partitions).map(|partition| {
        let client = &client;
        let partition = i32::try_from(partition).unwrap();
        async move {
            let partition = client
                .partition_client(&config.topic, partition, UnknownTopicHandling::Error)
                .await
                .unwrap();
            let end = partition.get_offset(OffsetAt::Latest).await.unwrap();
            partition.delete_records(end, 5_000).await.unwrap();
        }
    });
    join_all(cuts).await;
    for worker in &workers {
        worker.process.resume();
    }
}

/// When they are used, Redis is emptied: the sale may open only when they are settled as well.
pub async fn partitions_added(bed: &mut TestBed) {
    let (port, config) = (bed.broker().port(), &bed.system.topic.config);
    let wanted = kafka::ends(config).await.len() + ADDED;
    if wanted <= MOST_PARTITIONS {
        let wanted = i32::try_from(wanted).unwrap();
        kafka::add_partitions(port, &config.topic, wanted).await;
        tokio::time::sleep(USED).await;
        let used = kafka::ends(config).await;
        assert!(
            used.iter().rev().take(ADDED).all(|end| *end > 0),
            "partitions that were added are not used: {used:?}"
        );
    }
    redis::emptied(bed);
}

/// How long the others take to elect is their own affair: the timeout of a broker's session, and the vote.
pub async fn leader_killed(bed: &mut TestBed) {
    let topic = bed.system.topic.config.topic.clone();
    let brokers = bed.brokers();
    let leader = brokers.leaders(&topic).await[0].0;
    brokers.broker(leader).kill();
    brokers.wait_for_replicas(&topic, 2..=2).await;
}

/// The scene in which records that are answered with an error may be written: the leader has appended them, and hands over
/// while they wait for the only other replica.
pub async fn leader_moved(bed: &mut TestBed) {
    let topic = bed.system.topic.config.topic.clone();
    let brokers = bed.brokers();
    let leader = brokers.leaders(&topic).await[0].0;
    let dead = if leader == 3 { 2 } else { leader + 1 };
    brokers.broker(dead).kill();
    brokers.wait_for_replicas(&topic, 2..=2).await;
    brokers.slow_replication(LATE);
    tokio::time::sleep(LASTING).await;
    brokers.broker(leader).terminate();
    brokers.broker(leader).wait_for_end().await;
    brokers.normal_replication();
    brokers.start_missing().await;
    brokers.wait_for_replicas(&topic, 2..=3).await;
}

pub async fn start_missing(bed: &mut TestBed) {
    let topic = bed.system.topic.config.topic.clone();
    let brokers = bed.brokers();
    brokers.start_missing().await;
    brokers.wait_for_replicas(&topic, 3..=3).await;
}
