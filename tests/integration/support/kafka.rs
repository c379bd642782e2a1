//! The real Kafka that `scripts/services.sh up` starts: a topic for every test, and another client than ours.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use flashsale::{
    config::{KafkaConfig, TlsConfig, TlsMode},
    engine::kafka::{KafkaLog, create_topics},
    port::LogEnds,
};
use uuid::Uuid;

/// A topic of a test's own, with its dead letters. Deleted at the end.
pub struct Topic {
    pub config: KafkaConfig,
}

impl Topic {
    /// Makes both topics with 3 partitions.
    pub async fn create() -> Self {
        Self::create_on(config()).await
    }

    /// The same on a broker of a test's own.
    pub async fn create_on(mut config: KafkaConfig) -> Self {
        config.topic = format!("test.{}", Uuid::new_v4().simple());
        config.dead_letter_topic = format!("{}.dlq", config.topic);
        create_topics(&config).await.unwrap_or_else(|error| {
            panic!("{error}\nThese tests need a real Kafka: run `scripts/services.sh up`.")
        });
        Self { config }
    }

    /// Makes the topic anew, empty.
    pub async fn recreate(&self) {
        self.delete().await;
        let mut tries = 0;
        // Deleting goes on in the background for a while.
        while let Err(error) = create_topics(&self.config).await {
            tries += 1;
            assert!(tries < 50, "{error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Writes records into a partition and deletes all before an offset, as retention does.
    pub async fn cut(&self, partition: i32, before: i64) {
        use rskafka::{
            client::partition::{Compression, UnknownTopicHandling},
            record::Record,
        };

        let client = rskafka::client::ClientBuilder::new(plain(&self.config))
            .build()
            .await
            .unwrap();
        let writer = client
            .partition_client(&self.config.topic, partition, UnknownTopicHandling::Error)
            .await
            .unwrap();
        let record = Record {
            key: None,
            value: Some(b"{}".to_vec()),
            headers: std::collections::BTreeMap::new(),
            timestamp: chrono::Utc::now(),
        };
        let records = (0..=before).map(|_| record.clone()).collect();
        let written = writer.produce(records, Compression::NoCompression).await;
        written.unwrap();
        writer.delete_records(before, 5_000).await.unwrap();
    }

    /// Deletes topics whose names are this one's with something behind.
    pub async fn delete_others(&self, suffixes: &[&str]) {
        let client = rskafka::client::ClientBuilder::new(plain(&self.config))
            .build()
            .await
            .unwrap();
        let controller = client.controller_client().unwrap();
        for suffix in suffixes {
            let name = format!("{}{suffix}", self.config.topic);
            controller.delete_topic(name, 5_000).await.unwrap();
        }
    }

    async fn delete(&self) {
        let client = rskafka::client::ClientBuilder::new(plain(&self.config))
            .build()
            .await
            .unwrap();
        let controller = client.controller_client().unwrap();
        for topic in [&self.config.topic, &self.config.dead_letter_topic] {
            controller.delete_topic(topic, 5_000).await.unwrap();
        }
        let mut looks = 0;
        while client
            .list_topics()
            .await
            .unwrap()
            .iter()
            .any(|topic| topic.name == self.config.topic)
        {
            looks += 1;
            assert!(looks < 100, "the topic does not go away");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Produces records with Apache Kafka's own console producer, `key\tvalue` each.
    pub fn produce_with_apache_s_client(&self, records: &[(&str, &str)]) {
        let lines: Vec<_> = records
            .iter()
            .map(|(key, value)| format!("{key}\t{value}\n"))
            .collect();
        let mut child = java("org.apache.kafka.tools.ConsoleProducer")
            .args([
                "--bootstrap-server",
                &plain(&self.config)[0],
                "--topic",
                &self.config.topic,
            ])
            .args(["--property", "parse.key=true"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("java runs");
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.concat().as_bytes())
            .unwrap();
        assert!(
            child.wait().unwrap().success(),
            "the console producer failed"
        );
    }

    /// Every record of a topic: partition, offset, key, value, headers.
    pub async fn records(&self, topic: &str) -> Vec<(i32, rskafka::record::RecordAndOffset)> {
        use rskafka::client::partition::{OffsetAt, UnknownTopicHandling};

        let client = rskafka::client::ClientBuilder::new(plain(&self.config))
            .build()
            .await
            .unwrap();
        let mut all = Vec::new();
        for partition in 0..self.config.partitions {
            let reader = client
                .partition_client(topic, partition, UnknownTopicHandling::Error)
                .await
                .unwrap();
            let mut next = reader.get_offset(OffsetAt::Earliest).await.unwrap();
            let end = reader.get_offset(OffsetAt::Latest).await.unwrap();
            while next < end {
                let (records, _) = reader.fetch_records(next, 1..1_000_000, 100).await.unwrap();
                next = records.last().map_or(next, |record| record.offset + 1);
                all.extend(records.into_iter().map(|record| (partition, record)));
            }
        }
        all
    }
}

/// The ends of all partitions. A broker that was paused has no leaders for a moment.
pub async fn ends(config: &KafkaConfig) -> Vec<i64> {
    let log = KafkaLog::connect(config).await.expect("Kafka answers");
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match log.ends().await {
            Ok(ends) => return ends.into_values().map(|end| end.0).collect(),
            Err(error) => assert!(Instant::now() < deadline, "Kafka answers {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let (brokers, topics) = (
            plain(&self.config),
            [
                self.config.topic.clone(),
                self.config.dead_letter_topic.clone(),
            ],
        );
        // A thread with a runtime of its own: the test's runtime cannot be waited for here.
        let deleted = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let delete = async {
                let client = rskafka::client::ClientBuilder::new(brokers)
                    .build()
                    .await
                    .ok()?;
                let controller = client.controller_client().ok()?;
                for topic in topics {
                    controller.delete_topic(topic, 5_000).await.ok();
                }
                Some(())
            };
            let _ = runtime
                .block_on(async { tokio::time::timeout(Duration::from_secs(5), delete).await });
        });
        let _ = deleted.join();
    }
}

/// The leader of each partition of a topic, and how many replicas are in sync, as the broker on a port says.
pub async fn leaders(port: u16, topic: &str) -> Option<Vec<(i32, usize)>> {
    use kafka_protocol::{
        messages::{MetadataRequest, TopicName, metadata_request::MetadataRequestTopic},
        protocol::StrBytes,
    };

    let name = TopicName(StrBytes::from_string(topic.to_owned()));
    let topic = MetadataRequestTopic::default().with_name(Some(name));
    let request = MetadataRequest::default().with_topics(Some(vec![topic]));
    let answer = ask(port, request, 7);
    let answer = tokio::time::timeout(Duration::from_secs(1), answer);
    let answer = answer.await.ok()??;
    let partitions = &answer.topics.first()?.partitions;
    let mut leaders: Vec<_> = partitions
        .iter()
        .map(|it| (it.partition_index, (it.leader_id.0, it.isr_nodes.len())))
        .collect();
    leaders.sort_unstable();
    Some(leaders.into_iter().map(|(_, leader)| leader).collect())
}

/// Raises the number of a topic's partitions, as `kafka-topics.sh --alter` does.
pub async fn add_partitions(port: u16, topic: &str, wanted: i32) {
    use kafka_protocol::{
        messages::{
            CreatePartitionsRequest, TopicName, create_partitions_request::CreatePartitionsTopic,
        },
        protocol::StrBytes,
    };

    let topic = CreatePartitionsTopic::default()
        .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_count(wanted)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(5_000);
    let answer = ask(port, request, 1).await.expect("the broker answers");
    assert_eq!(answer.results[0].error_code, 0, "{answer:?}");
    let topic = answer.results[0].name.0.to_string();
    let patience = Duration::from_secs(20);
    super::wait_until("the broker knows them", patience, || async {
        let leaders = leaders(port, &topic).await.unwrap_or_default();
        i32::try_from(leaders.len()) == Ok(wanted) && leaders.iter().all(|(leader, _)| *leader >= 0)
    })
    .await;
    // A busy broker names a leader before that leader takes requests.
    super::wait_until("their leaders answer", patience, || async {
        let asked = tokio::time::timeout(Duration::from_secs(2), ends_of_all(port, &topic, wanted));
        asked.await.is_ok_and(|ends| ends.is_ok())
    })
    .await;
}

/// Asks the leader of every partition for the end of its log.
async fn ends_of_all(
    port: u16,
    topic: &str,
    partitions: i32,
) -> Result<(), rskafka::client::error::Error> {
    use rskafka::client::partition::{OffsetAt, UnknownTopicHandling};

    let client = rskafka::client::ClientBuilder::new(vec![format!("127.0.0.1:{port}")])
        .build()
        .await?;
    for partition in 0..partitions {
        let client = client
            .partition_client(topic, partition, UnknownTopicHandling::Retry)
            .await?;
        client.get_offset(OffsetAt::Latest).await?;
    }
    Ok(())
}

/// Lets a user do this (a code of Kafka's `AclOperation`) with topics whose names begin so, as `kafka-acls.sh --add` does.
pub async fn allow(port: u16, user: &str, operations: &[i8], topics: &str, prefixed: bool) {
    use kafka_protocol::{
        messages::{CreateAclsRequest, create_acls_request::AclCreation},
        protocol::StrBytes,
    };

    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let creations = operations.iter().map(|operation| {
        AclCreation::default()
            .with_resource_type(2) // a topic
            .with_resource_name(text(topics))
            .with_resource_pattern_type(if prefixed { 4 } else { 3 })
            .with_principal(text(&format!("User:{user}")))
            .with_host(text("*"))
            .with_operation(*operation)
            .with_permission_type(3) // it is allowed
    });
    let request = CreateAclsRequest::default().with_creations(creations.collect());
    let answer = ask(port, request, 1).await.expect("the broker answers");
    assert!(
        answer.results.iter().all(|result| result.error_code == 0),
        "{answer:?}"
    );
}

/// Asks a plain broker one thing that rskafka does not ask for; `None` if there is no proper answer.
async fn ask<R: kafka_protocol::protocol::Request>(
    port: u16,
    request: R,
    version: i16,
) -> Option<R::Response> {
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::{
        messages::{RequestHeader, ResponseHeader},
        protocol::{Decodable, Encodable, HeaderVersion},
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(1);
    let mut message = BytesMut::new();
    header
        .encode(&mut message, R::header_version(version))
        .unwrap();
    request.encode(&mut message, version).unwrap();
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .ok()?;
    stream
        .write_u32(u32::try_from(message.len()).unwrap())
        .await
        .ok()?;
    stream.write_all(&message).await.ok()?;
    let mut answer = vec![0; stream.read_u32().await.ok()? as usize];
    stream.read_exact(&mut answer).await.ok()?;
    let mut answer = Bytes::from(answer);
    ResponseHeader::decode(&mut answer, R::Response::header_version(version)).ok()?;
    R::Response::decode(&mut answer, version).ok()
}

/// Where Kafka is, as the environment says; the ports of `scripts/services.sh` otherwise.
pub fn config() -> KafkaConfig {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let brokers = variable("KAFKA_BROKERS").unwrap_or_else(|| "127.0.0.1:29093".to_owned());
    let replicas = variable("KAFKA_REPLICATION_FACTOR").unwrap_or_else(|| "1".to_owned());
    KafkaConfig {
        brokers: brokers.split(',').map(str::to_owned).collect(),
        client_id: "flashsale-tests".to_owned(),
        topic: String::new(),
        dead_letter_topic: String::new(),
        events_topic: None,
        consumer_group: "flash-sale-worker-group".to_owned(),
        partitions: 3,
        replication_factor: replicas.parse().unwrap(),
        append_timeout: Duration::from_secs(3),
        tls: super::mode::tls("KAFKA"),
        sasl: None,
    }
}

/// A broker of the test's own, whatever the environment says about others.
pub fn config_of(brokers: Vec<String>) -> KafkaConfig {
    KafkaConfig {
        brokers,
        replication_factor: 1,
        tls: TlsConfig::NONE,
        ..config()
    }
}

/// The same brokers without TLS, for the clients of the tests.
pub fn plain(config: &KafkaConfig) -> Vec<String> {
    match std::env::var("FLASHSALE_TEST_KAFKA_PLAIN") {
        Ok(plain) if config.tls.mode != TlsMode::Disable => vec![plain],
        _ => config.brokers.clone(),
    }
}

/// What processes are told about Kafka.
pub fn environment(config: &KafkaConfig) -> Vec<(String, String)> {
    let mut pairs = vec![
        ("KAFKA_BROKERS".to_owned(), config.brokers.join(",")),
        (
            "KAFKA_TOPIC_FLASH_SALE_ATTEMPTS".to_owned(),
            config.topic.clone(),
        ),
    ];
    pairs.extend(super::mode::tls_environment("KAFKA", &config.tls));
    pairs
}

/// A tool of Apache Kafka's own Java client.
pub fn java(class: &str) -> Command {
    let jars = std::env::var("FLASHSALE_KAFKA_LIBS").unwrap_or_else(|_| {
        panic!("FLASHSALE_KAFKA_LIBS is not set: run the tests with `make test`, or eval `scripts/services.sh env`")
    });
    let mut java = Command::new("java");
    java.args([
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        &format!("{jars}/*"),
        class,
    ]);
    java
}
