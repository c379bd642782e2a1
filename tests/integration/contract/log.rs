//! What every attempt log must do.

use std::{collections::HashSet, time::Duration};

use chrono::DateTime;
use flashsale::{
    config::{KafkaConfig, SaslConfig, SaslMechanism, Secret},
    engine::kafka::KafkaLog,
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Attempt, AttemptLog, DeadLetter, LogEntry, LogError, Offset, Partition, RawRecord},
};

use crate::support::{
    broker::{Broker, LOGIN},
    kafka::Topic,
};

fn attempt(user: i64) -> Attempt {
    Attempt {
        id: AttemptId::generate(),
        sale: SaleId::new(1).unwrap(),
        product: ProductId::new(1).unwrap(),
        user: UserId::new(user).unwrap(),
        at: DateTime::from_timestamp_millis(1_767_268_800_123).unwrap(),
    }
}

/// Everything in the log, by partition and in order.
async fn read_all(log: &dyn AttemptLog) -> Vec<(Partition, Vec<Attempt>)> {
    let mut all = Vec::new();
    for (partition, end) in log.ends().await.unwrap() {
        let (mut next, mut attempts) = (log.earliest(partition).await.unwrap(), Vec::new());
        while next < end {
            let batch = log.read(partition, next).await.unwrap();
            assert!(batch.next > next, "reading moves on");
            attempts.extend(batch.records.into_iter().map(|record| match record.entry {
                LogEntry::Attempt(attempt) => attempt,
                LogEntry::Garbage(cause) => panic!("{cause}"),
            }));
            next = batch.next;
        }
        all.push((partition, attempts));
    }
    all
}

async fn kafka() -> (Topic, KafkaLog) {
    let topic = Topic::create().await;
    let log = KafkaLog::connect(&topic.config).await.unwrap();
    (topic, log)
}

#[tokio::test]
async fn what_is_appended_is_read_back_in_order_within_a_shopper() {
    let (_topic, log) = kafka().await;
    let attempts: Vec<_> = (0..500).map(|n| attempt(n % 50 + 1)).collect();
    for half in attempts.chunks(250) {
        assert!(log.append(half).await.iter().all(Result::is_ok));
    }
    let read = read_all(&log).await;
    assert_eq!(read.len(), 3);
    assert!(
        read.iter().all(|(_, attempts)| !attempts.is_empty()),
        "50 shoppers spread over 3 partitions"
    );
    for user in 1..=50 {
        let user = UserId::new(user).unwrap();
        let expected: Vec<_> = attempts
            .iter()
            .filter(|a| a.user == user)
            .copied()
            .collect();
        let partitions: Vec<_> = read
            .iter()
            .filter(|(_, list)| list.iter().any(|a| a.user == user))
            .collect();
        assert_eq!(partitions.len(), 1, "one partition a shopper");
        let found: Vec<_> = partitions[0]
            .1
            .iter()
            .filter(|a| a.user == user)
            .copied()
            .collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn reading_at_the_end_waits_a_little_and_answers_with_nothing() {
    let (_topic, log) = kafka().await;
    let batch = log.read(Partition(0), Offset(0)).await.unwrap();
    assert_eq!(
        (batch.records.len(), batch.next, batch.end),
        (0, Offset(0), Offset(0))
    );
}

#[tokio::test]
async fn an_offset_outside_the_log_is_reported_with_what_is_there() {
    let (_topic, log) = kafka().await;
    let end = {
        assert!(log.append(&[attempt(1)]).await[0].is_ok());
        log.ends()
            .await
            .unwrap()
            .into_iter()
            .find(|(_, end)| end.0 == 1)
            .unwrap()
    };
    match log.read(end.0, Offset(7)).await {
        Err(LogError::OutOfRange {
            asked,
            earliest,
            end,
        }) => {
            assert_eq!((asked, earliest, end), (Offset(7), Offset(0), Offset(1)));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn dead_letters_keep_the_bytes_and_say_where_from_and_why() {
    let (topic, log) = kafka().await;
    let raw = RawRecord {
        key: Some(b"\xffkey".to_vec()),
        value: Some(b"\x00garbage".to_vec()),
    };
    let letter = DeadLetter {
        partition: Partition(2),
        offset: Offset(41),
        cause: "not an attempt".to_owned(),
        raw: raw.clone(),
        buried_at: attempt(1).at,
    };
    log.bury(&[letter]).await.unwrap();
    let letters = topic.records(&topic.config.dead_letter_topic).await;
    assert_eq!(letters.len(), 1);
    let record = &letters[0].1.record;
    assert_eq!(
        (record.key.clone(), record.value.clone()),
        (raw.key, raw.value)
    );
    let header = |name: &str| String::from_utf8(record.headers[name].clone()).unwrap();
    assert_eq!(header("flashsale.cause"), "not an attempt");
    assert_eq!(header("flashsale.topic"), topic.config.topic);
    assert_eq!(
        (header("flashsale.partition"), header("flashsale.offset")),
        ("2".to_owned(), "41".to_owned())
    );
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
async fn records_of_another_client_are_read_and_garbage_is_named() {
    let (topic, log) = kafka().await;
    topic.produce_with_apache_s_client(&[
        (
            "42",
            include_str!("../../golden/attempt-original-numbers.json").trim_end(),
        ),
        ("42", "not json"),
        (
            "42",
            include_str!("../../golden/attempt-v1.json").trim_end(),
        ),
    ]);
    let (partition, _) = log
        .ends()
        .await
        .unwrap()
        .into_iter()
        .find(|(_, end)| end.0 == 3)
        .unwrap();
    let batch = log.read(partition, Offset(0)).await.unwrap();
    let entries: Vec<_> = batch.records.iter().map(|record| &record.entry).collect();
    assert!(matches!(entries[0], LogEntry::Attempt(attempt) if attempt.user.value() == 42));
    assert!(matches!(entries[1], LogEntry::Garbage(cause) if cause.contains("not an attempt")));
    assert_eq!(
        batch.records[1].raw.value.as_deref(),
        Some(b"not json".as_slice())
    );
    assert!(matches!(entries[2], LogEntry::Attempt(attempt) if attempt.sale.value() == 7));
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
async fn a_cluster_with_tls_and_a_login_is_used_like_any_other() {
    let broker = Broker::start_secured().await;
    let topic = Topic::create_on(KafkaConfig {
        brokers: vec![broker.address()],
        ..crate::support::kafka::config()
    })
    .await;
    let login = |password: &str| {
        Some(SaslConfig {
            mechanism: SaslMechanism::Plain,
            username: LOGIN.0.to_owned(),
            password: Secret::new(password),
        })
    };
    let secured = KafkaConfig {
        brokers: vec![broker.secured_address()],
        tls: true,
        ca_file: Some(broker.authorities()),
        sasl: login(LOGIN.1),
        ..topic.config.clone()
    };
    let log = KafkaLog::connect(&secured).await.unwrap();
    assert!(
        log.append(&[attempt(1), attempt(2)])
            .await
            .iter()
            .all(Result::is_ok)
    );
    assert_eq!(
        read_all(&log)
            .await
            .iter()
            .map(|(_, attempts)| attempts.len())
            .sum::<usize>(),
        2
    );

    let wrong_password = KafkaConfig {
        sasl: login("wrong"),
        ..secured.clone()
    };
    let refused = KafkaLog::connect(&wrong_password)
        .await
        .err()
        .expect("a wrong password is refused");
    assert!(
        !refused.is_passing() && refused.to_string().contains("KAFKA_SASL_PASSWORD"),
        "{refused}"
    );
    let not_trusted = KafkaConfig {
        ca_file: None,
        ..secured.clone()
    };
    assert!(
        KafkaLog::connect(&not_trusted).await.is_err(),
        "the system does not know the authority"
    );
    let missing = KafkaConfig {
        ca_file: Some("/nowhere.pem".to_owned()),
        ..secured
    };
    let named = KafkaLog::connect(&missing)
        .await
        .err()
        .expect("there is no such file")
        .to_string();
    assert!(
        named.contains("KAFKA_CA_FILE") && named.contains("/nowhere.pem"),
        "{named}"
    );
}
