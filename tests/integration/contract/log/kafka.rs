//! The log on Kafka: its bed for the suite, and what only a broker can do.

use std::{collections::HashSet, time::Duration};

use flashsale::{
    engine::kafka::KafkaLog,
    port::{AttemptLog, DeadLetter, Offset, Partition, RawRecord},
};

use super::{Buried, LogBed, attempt};
use crate::support::kafka::Topic;

/// A topic of its own.
pub struct KafkaBed {
    topic: Topic,
    log: KafkaLog,
}

impl LogBed for KafkaBed {
    async fn start() -> Self {
        let (topic, log) = kafka().await;
        Self { topic, log }
    }

    fn log(&self) -> &dyn AttemptLog {
        &self.log
    }

    async fn write_by_hand(&self, records: &[&str]) {
        let records: Vec<_> = records.iter().map(|value| ("42", *value)).collect();
        self.topic.produce_with_apache_s_client(&records);
    }

    async fn dead_letters(&self) -> Vec<Buried> {
        let letters = self
            .topic
            .records(&self.topic.config.dead_letter_topic)
            .await;
        let buried = |record: rskafka::record::Record| {
            let header = |name: &str| String::from_utf8(record.headers[name].clone()).unwrap();
            assert_eq!(header("flashsale.topic"), self.topic.config.topic);
            Buried {
                cause: header("flashsale.cause"),
                partition: header("flashsale.partition").parse().unwrap(),
                offset: header("flashsale.offset").parse().unwrap(),
                key: record.key,
                value: record.value,
            }
        };
        letters
            .into_iter()
            .map(|(_, letter)| buried(letter.record))
            .collect()
    }
}

async fn kafka() -> (Topic, KafkaLog) {
    let topic = Topic::create().await;
    let log = KafkaLog::connect(&topic.config).await.unwrap();
    (topic, log)
}

#[tokio::test]
async fn our_partitions_are_those_of_apache_s_own_client() {
    let (topic, log) = kafka().await;
    let attempts: Vec<_> = (1..=40).map(|n| attempt(n * 997)).collect();
    assert!(log.append(&attempts).await.iter().all(Result::is_ok));
    let theirs: Vec<_> = attempts
        .iter()
        .map(|a| (a.user.to_string(), "{}"))
        .collect();
    let theirs: Vec<_> = theirs
        .iter()
        .map(|(key, value)| (key.as_str(), *value))
        .collect();
    topic.produce_with_apache_s_client(&theirs);
    let placed: HashSet<_> = topic
        .records(&topic.config.topic)
        .await
        .into_iter()
        .map(|(p, r)| (r.record.key.unwrap(), p))
        .collect();
    assert_eq!(
        placed.len(),
        40,
        "each key is in one partition, whoever produced it"
    );
}

#[tokio::test]
async fn a_log_that_cannot_be_reached_says_so_within_its_timeout() {
    let (topic, log) = kafka().await;
    drop(log);
    let mut config = topic.config.clone();
    // A port that takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for broker in [
        silent.local_addr().unwrap().to_string(),
        "127.0.0.1:1".to_owned(),
    ] {
        config.append_timeout = Duration::from_millis(500);
        config.brokers = vec![broker];
        let begun = std::time::Instant::now();
        match KafkaLog::connect(&config).await {
            Err(error) => assert!(
                error.is_passing() && error.to_string().contains("KAFKA_BROKERS"),
                "{error}"
            ),
            Ok(_) => panic!("there was no way to Kafka"),
        }
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "it took {:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test]
async fn a_missing_topic_is_named_with_the_command_that_makes_it() {
    let mut config = crate::support::kafka::config();
    config.topic = "test.never-made".to_owned();
    config.dead_letter_topic = "test.never-made.dlq".to_owned();
    match KafkaLog::connect(&config).await {
        Err(error) => {
            assert!(!error.is_passing());
            assert!(
                error.to_string().contains("test.never-made")
                    && error.to_string().contains("migrate"),
                "{error}"
            );
        }
        Ok(_) => panic!("there is no such topic"),
    }
}

#[tokio::test]
async fn dead_letters_are_buried_however_many_and_however_large_they_are() {
    let bed = KafkaBed::start().await;
    let letter = |offset: i64, size: usize| DeadLetter {
        partition: Partition(0),
        offset: Offset(offset),
        cause: "not an attempt".to_owned(),
        raw: RawRecord {
            key: Some(b"42".to_vec()),
            value: Some(vec![b'x'; size]),
        },
        buried_at: attempt(1).at,
    };
    // Together they are three times what the broker takes at once; the last is too large with its headers alone.
    let mut letters: Vec<_> = (0..1_500).map(|offset| letter(offset, 2_000)).collect();
    letters.push(letter(1_500, 1_048_500));
    bed.log.dead_letter(&letters).await.unwrap();
    let buried = bed.dead_letters().await;
    let offsets: Vec<i64> = buried.iter().map(|letter| letter.offset).collect();
    assert_eq!(
        offsets,
        (0..=1_500).collect::<Vec<i64>>(),
        "each once, in order"
    );
    let values = |letters: &[Buried]| {
        letters
            .iter()
            .filter(|letter| letter.value.is_some())
            .count()
    };
    assert_eq!(values(&buried[..1_500]), 1_500);
    assert_eq!(buried[1_500].value, None);
    let found = super::find_letters(&bed.log).await;
    assert_eq!(found[1_499].omitted_bytes, None);
    assert_eq!(found[1_500].omitted_bytes, Some(1_048_500));
}
