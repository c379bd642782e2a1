//! Reads the settings of Kafka: topics, brokers and how they know the clients.

use super::super::{
    KafkaConfig, SaslConfig, SaslMechanism, Secret, TlsMode,
    reader::Reader,
    tls::{self, Named},
    with_port,
};

/// Of a broker whose address has no port.
const KAFKA_PORT: u16 = 9092;

pub(super) fn kafka(read: &mut Reader, production: bool) -> KafkaConfig {
    let topic = read.topic("kafka.topic");
    let dead_letter_topic = match read.optional("kafka.dead_letter_topic") {
        Some(_) => read.topic("kafka.dead_letter_topic"),
        None => format!("{topic}.dlq"),
    };
    if dead_letter_topic == topic {
        read.problem(
            "kafka.dead_letter_topic",
            "must differ from the topic of the attempts",
        );
    }
    let events_topic = read.optional("kafka.events_topic");
    let events_topic = events_topic.map(|_| read.topic("kafka.events_topic"));
    if let Some(events) = &events_topic {
        if *events == topic || *events == dead_letter_topic {
            read.problem(
                "kafka.events_topic",
                "must differ from the topics of attempts and dead letters",
            );
        }
        if !read.text("events.enabled").eq_ignore_ascii_case("true") {
            read.problem(
                "kafka.events_topic",
                "is of no use while no events are recorded: set EVENTS_ENABLED=true",
            );
        }
    }
    let brokers = read.servers("kafka.brokers", KAFKA_PORT);
    let hosts: Vec<_> = brokers.iter().map(|(host, _)| host.as_str()).collect();
    let servers = Named {
        hosts: &hosts,
        announce_others: true,
    };
    let tls = tls::read(read, "kafka", &servers, production);
    let is_encrypted = matches!(tls.mode, TlsMode::Require | TlsMode::VerifyFull);
    // rskafka 0.6 takes the part of the address before its first colon as the server name for TLS.
    if is_encrypted && let Some(host) = hosts.iter().find(|host| host.contains(':')) {
        read.problem(
            "kafka.brokers",
            &format!(
                "must name brokers by host name or IPv4 address over TLS (KAFKA_TLS), not as {host}"
            ),
        );
    }
    KafkaConfig {
        brokers: brokers
            .iter()
            .map(|(host, port)| with_port(host, *port))
            .collect(),
        client_id: read.required("kafka.client_id"),
        topic,
        dead_letter_topic,
        events_topic,
        consumer_group: read.required("kafka.consumer_group"),
        partitions: read.number("kafka.partitions", 1..=10_000),
        replication_factor: read.number("kafka.replication_factor", 1..=100),
        append_timeout: read.millis("kafka.append_timeout_ms", 50..=60_000),
        tls,
        sasl: sasl(read, is_encrypted),
    }
}

/// Without encryption, PLAIN and OAUTHBEARER are refused for brokers on this machine as well: a broker announces the addresses of
/// others, and rskafka logs in there without asking.
fn sasl(read: &mut Reader, is_encrypted: bool) -> Option<SaslConfig> {
    /// The kind of mechanism, which decides which other settings are read.
    #[derive(Clone, Copy)]
    enum Chosen {
        Password(SaslMechanism),
        Token,
    }

    read.optional("kafka.sasl_mechanism")?;
    let chosen = read.choice(
        "kafka.sasl_mechanism",
        &[
            ("PLAIN", Chosen::Password(SaslMechanism::Plain)),
            (
                "SCRAM-SHA-256",
                Chosen::Password(SaslMechanism::ScramSha256),
            ),
            (
                "SCRAM-SHA-512",
                Chosen::Password(SaslMechanism::ScramSha512),
            ),
            ("OAUTHBEARER", Chosen::Token),
        ],
    );
    let sends_in_clear = matches!(
        chosen,
        Chosen::Password(SaslMechanism::Plain) | Chosen::Token
    );
    if sends_in_clear && !is_encrypted && !read.flag("server.passwords_in_clear") {
        read.problem(
            "kafka.sasl_mechanism",
            "sends the password or token in clear, since connections are not encrypted (KAFKA_TLS), also to every broker that the named ones announce; use TLS or SCRAM, or set ALLOW_PASSWORDS_IN_CLEAR=true in a private network",
        );
    }
    Some(match chosen {
        Chosen::Password(mechanism) => SaslConfig::Password {
            mechanism,
            username: read.required("kafka.sasl_username"),
            password: Secret::new(read.required("kafka.sasl_password")),
        },
        Chosen::Token => SaslConfig::OauthBearer {
            token_file: read.required("kafka.sasl_token_file"),
        },
    })
}
