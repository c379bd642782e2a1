//! Kafka with TLS, logins, client certificates and permissions; and what is said when one of them is wrong.

use std::{fs, time::Duration};

use flashsale::{
    config::{KafkaConfig, SaslConfig, SaslMechanism, Secret, TlsConfig, TlsMode},
    engine::kafka::{ConnectError, KafkaLog, create_topics, inspect},
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Attempt, AttemptLog, DeadLetter, LogEnds, Offset, Partition, RawRecord},
};

use crate::support::{
    broker::{Broker, LOGIN, USERS},
    kafka::{self, Topic},
    wait_until,
};

/// Codes of Kafka's `AclOperation`.
const READ: i8 = 3;
const WRITE: i8 = 4;
const CREATE: i8 = 5;
const DESCRIBE: i8 = 8;
const DESCRIBE_CONFIGS: i8 = 10;

fn attempt(user: i64) -> Attempt {
    Attempt {
        id: AttemptId::generate(),
        sale: SaleId::new(1).unwrap(),
        product: ProductId::new(1).unwrap(),
        user: UserId::new(user).unwrap(),
        at: chrono::DateTime::UNIX_EPOCH,
    }
}

/// A broker, a topic, and how to get to it with TLS and without a login.
async fn secured() -> (Broker, Topic, KafkaConfig) {
    let broker = Broker::start_secured().await;
    let topic = Topic::create_on(kafka::config_of(vec![broker.address()])).await;
    let tls = KafkaConfig {
        brokers: vec![broker.secured_address()],
        tls: TlsConfig {
            mode: TlsMode::VerifyFull,
            ca_file: Some(broker.authorities()),
            identity: None,
        },
        ..topic.config.clone()
    };
    (broker, topic, tls)
}

#[allow(clippy::unnecessary_wraps)] // as the configuration has it
fn login(mechanism: SaslMechanism, user: &str, password: &str) -> Option<SaslConfig> {
    Some(SaslConfig::Password {
        mechanism,
        username: user.to_owned(),
        password: Secret::new(password),
    })
}

/// A token as Kafka's own tests make them: it says who it is, and nobody signed it.
fn token(user: &str, lives: Duration) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    let now = chrono::Utc::now().timestamp();
    let until = now + i64::try_from(lives.as_secs()).unwrap();
    let claims = format!(r#"{{"sub":"{user}","iat":{now},"exp":{until}}}"#);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims))
}

/// Appends and reads by every way in; the topic's settings are read, too.
async fn works(config: &KafkaConfig) {
    let log = KafkaLog::connect(config).await.unwrap();
    let answers = log.append(&[attempt(1), attempt(2)]).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let ends = log.ends().await.unwrap();
    assert!(ends.values().map(|end| end.0).sum::<i64>() >= 2);
    let found = inspect::inspect(config).await.unwrap();
    assert!(found.topics[0].settings.contains_key("retention.ms"));
}

/// It is refused, not for a moment but until somebody changes these settings.
async fn is_refused(config: &KafkaConfig, settings: &[&str]) -> ConnectError {
    let refused = KafkaLog::connect(config)
        .await
        .err()
        .expect("it is refused");
    let text = refused.to_string();
    assert!(!refused.is_passing(), "{text}");
    for setting in settings {
        assert!(text.contains(setting), "{setting} is not in: {text}");
    }
    refused
}

/// One after the other, on one broker: starting it takes longest.
#[tokio::test]
async fn a_secured_cluster_is_used_and_what_is_wrong_is_named() {
    let (broker, topic, tls) = secured().await;
    a_cluster_with_tls_is_used_like_any_other_by_every_way_to_log_in(&broker, &tls).await;
    a_token_is_read_from_its_file_at_each_login(&broker, &tls).await;
    what_is_wrong_is_told_by_the_settings_that_say_it(&broker, &tls).await;
    each_command_needs_no_more_than_its_permissions(&broker, &topic, &tls).await;
}

async fn a_cluster_with_tls_is_used_like_any_other_by_every_way_to_log_in(
    broker: &Broker,
    tls: &KafkaConfig,
) {
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha256] {
        works(&KafkaConfig {
            sasl: login(mechanism, LOGIN.0, LOGIN.1),
            ..tls.clone()
        })
        .await;
    }
    let (certificate, key) = broker.identity();
    let certified = KafkaConfig {
        brokers: vec![broker.certified_address()],
        tls: TlsConfig {
            identity: Some((certificate, key)),
            ..tls.tls.clone()
        },
        ..tls.clone()
    };
    works(&certified).await;
    works(&KafkaConfig {
        tls: TlsConfig {
            mode: TlsMode::Require,
            ..TlsConfig::NONE
        },
        sasl: login(SaslMechanism::Plain, LOGIN.0, LOGIN.1),
        ..tls.clone()
    })
    .await;
}

async fn a_token_is_read_from_its_file_at_each_login(broker: &Broker, tls: &KafkaConfig) {
    let file = broker.file("token");
    let bearer = KafkaConfig {
        sasl: Some(SaslConfig::OauthBearer {
            token_file: file.display().to_string(),
        }),
        ..tls.clone()
    };
    let missing = KafkaLog::connect(&bearer).await.err().expect("no token");
    assert!(missing.is_passing(), "its writer may be late: {missing}");
    assert!(missing.to_string().contains("KAFKA_SASL_TOKEN_FILE"));
    fs::write(&file, "not a token\n").unwrap();
    assert!(KafkaLog::connect(&bearer).await.is_err());
    fs::write(&file, "stale").unwrap();
    is_refused(&bearer, &["KAFKA_SASL_TOKEN_FILE"]).await;
    // Another process exchanges it.
    fs::write(
        &file,
        format!("{}\n", token(LOGIN.0, Duration::from_mins(5))),
    )
    .unwrap();
    works(&bearer).await;
}

async fn what_is_wrong_is_told_by_the_settings_that_say_it(broker: &Broker, tls: &KafkaConfig) {
    let plain_login = login(SaslMechanism::Plain, LOGIN.0, LOGIN.1);
    let right = KafkaConfig {
        sasl: plain_login.clone(),
        ..tls.clone()
    };

    let wrong = KafkaConfig {
        sasl: login(SaslMechanism::Plain, LOGIN.0, "wrong"),
        ..tls.clone()
    };
    let refused = is_refused(&wrong, &["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"]).await;
    assert!(!refused.to_string().contains("wrong"), "{refused}");
    let wrong = KafkaConfig {
        sasl: login(SaslMechanism::ScramSha256, LOGIN.0, "wrong"),
        ..tls.clone()
    };
    is_refused(&wrong, &["KAFKA_SASL_PASSWORD"]).await;
    let wrong = KafkaConfig {
        sasl: login(SaslMechanism::ScramSha512, LOGIN.0, LOGIN.1),
        ..tls.clone()
    };
    is_refused(
        &wrong,
        &["KAFKA_SASL_MECHANISM", "SCRAM-SHA-512", "OAUTHBEARER"],
    )
    .await;

    let not_trusted = KafkaConfig {
        tls: TlsConfig {
            mode: TlsMode::VerifyFull,
            ..TlsConfig::NONE
        },
        ..right.clone()
    };
    is_refused(&not_trusted, &["KAFKA_CA_FILE"]).await;
    let missing = KafkaConfig {
        tls: TlsConfig {
            ca_file: Some("/nowhere.pem".to_owned()),
            ..right.tls.clone()
        },
        ..right.clone()
    };
    is_refused(&missing, &["KAFKA_CA_FILE", "/nowhere.pem"]).await;
    let wrong_name = KafkaConfig {
        brokers: vec![broker.secured_address().replace("127.0.0.1", "localhost")],
        ..right.clone()
    };
    is_refused(&wrong_name, &["KAFKA_BROKERS"]).await;

    let no_certificate = KafkaConfig {
        brokers: vec![broker.certified_address()],
        ..tls.clone()
    };
    is_refused(&no_certificate, &["KAFKA_CERT_FILE", "KAFKA_KEY_FILE"]).await;

    let without_tls = KafkaConfig {
        tls: TlsConfig::NONE,
        ..right.clone()
    };
    is_refused(&without_tls, &["KAFKA_TLS", "expects TLS"]).await;
    // A plain listener closes the connection without a word, as one does that is about to stop.
    let only_plain = KafkaConfig {
        brokers: vec![broker.address()],
        ..right
    };
    let closed = KafkaLog::connect(&only_plain).await.err().expect("no TLS");
    assert!(closed.to_string().contains("KAFKA_TLS"), "{closed}");
    let no_login = KafkaLog::connect(tls).await.err().expect("no login");
    assert!(
        no_login.to_string().contains("KAFKA_SASL_MECHANISM"),
        "{no_login}"
    );
}

/// docs/OPERATIONS.md lists them.
async fn each_command_needs_no_more_than_its_permissions(
    broker: &Broker,
    topic: &Topic,
    tls: &KafkaConfig,
) {
    let of = |user: &str| KafkaConfig {
        sasl: login(SaslMechanism::Plain, user, user),
        ..tls.clone()
    };
    let [serve, work, migrate] = USERS;
    let refused = is_refused(&of(serve), &["Describe", &topic.config.topic]).await;
    assert!(matches!(refused, ConnectError::TopicForbidden(_)));

    let (attempts, letters) = (&topic.config.topic, &topic.config.dead_letter_topic);
    let port = broker.port();
    kafka::allow(port, serve, &[WRITE], attempts, false).await;
    kafka::allow(port, serve, &[DESCRIBE], letters, false).await;
    kafka::allow(port, work, &[READ, WRITE], attempts, false).await;
    kafka::allow(port, work, &[READ, WRITE], letters, false).await;
    kafka::allow(
        port,
        migrate,
        &[CREATE, DESCRIBE, DESCRIBE_CONFIGS],
        "shop.",
        true,
    )
    .await;

    // Permissions reach the broker a moment later.
    wait_until("`serve` is let in", Duration::from_secs(10), || async {
        KafkaLog::connect(&of(serve)).await.is_ok()
    })
    .await;
    let log = KafkaLog::connect(&of(serve)).await.unwrap();
    assert!(log.append(&[attempt(1)]).await[0].is_ok());
    log.ping().await.unwrap();
    log.ends().await.unwrap();
    assert!(
        log.read(Partition(0), Offset(0)).await.is_err(),
        "it need not read"
    );

    let log = KafkaLog::connect(&of(work)).await.unwrap();
    assert!(
        log.append(&[attempt(1)]).await[0].is_ok(),
        "the relay appends"
    );
    for partition in log.ends().await.unwrap().into_keys() {
        let from = log.earliest(partition).await.unwrap();
        log.read(partition, from).await.unwrap();
    }
    let letter = DeadLetter {
        partition: Partition(0),
        offset: Offset(0),
        cause: "a test".to_owned(),
        raw: RawRecord {
            key: None,
            value: None,
        },
        buried_at: chrono::DateTime::UNIX_EPOCH,
    };
    log.dead_letter(&[letter]).await.unwrap();
    log.read_dead_letters(Partition(0), Offset(0))
        .await
        .unwrap();

    let found = inspect::inspect(&of(work)).await.unwrap();
    assert!(found.topics[0].settings_hidden, "it need not know them");

    let own = KafkaConfig {
        topic: "shop.attempts".to_owned(),
        dead_letter_topic: "shop.attempts.dlq".to_owned(),
        ..of(migrate)
    };
    let made = create_topics(&own).await.unwrap();
    assert!(
        made.iter()
            .all(|(_, partitions, new)| *partitions == 3 && *new)
    );
    assert!(inspect::inspect(&own).await.is_ok());
    let others = KafkaConfig {
        topic: "others".to_owned(),
        ..own
    };
    let refused = create_topics(&others).await.expect_err("it may not");
    assert!(
        matches!(refused, ConnectError::CreateForbidden(_)),
        "{refused}"
    );
}
