//! Errors of connecting to Kafka. Each message names the settings to check.

/// A failure to connect to Kafka, to log in, or to find or create a topic.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// No broker gives a usable answer; a later try may succeed.
    #[error("Kafka cannot be reached ({0}); see KAFKA_BROKERS, KAFKA_TLS and KAFKA_SASL_MECHANISM")]
    Unreachable(String),
    #[error("Kafka expects TLS on {0}; see KAFKA_TLS and KAFKA_BROKERS")]
    OnlyTls(String),
    #[error(
        "a Kafka broker announces {0}, another machine, where connections would not be encrypted; set KAFKA_TLS=verify-full, or KAFKA_TLS=disable in a private network"
    )]
    AnnouncedElsewhere(String),
    #[error("Kafka has no TLS on {0}; see KAFKA_TLS and KAFKA_BROKERS")]
    NoTls(String),
    #[error(
        "Kafka's certificate is not trusted ({0}); see KAFKA_CA_FILE, and the names in KAFKA_BROKERS"
    )]
    NotTrusted(String),
    #[error("Kafka refuses the client certificate ({0}); see KAFKA_CERT_FILE and KAFKA_KEY_FILE")]
    CertificateRefused(String),
    #[error(
        "Kafka does not take a login by {mechanism} here, but by: {offered}; see KAFKA_SASL_MECHANISM"
    )]
    MechanismRefused {
        mechanism: &'static str,
        offered: String,
    },
    #[error(
        "Kafka refuses the credentials ({0}); see KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, or KAFKA_SASL_TOKEN_FILE"
    )]
    CredentialsRefused(String),
    /// The file cannot be read or has no valid token. The process that writes it may be late, so a later try may succeed.
    #[error("KAFKA_SASL_TOKEN_FILE: {0}")]
    TokenFile(String),
    #[error(
        "Kafka has no topic {0}; run `flashsale migrate` first, or see KAFKA_TOPIC_FLASH_SALE_ATTEMPTS"
    )]
    TopicMissing(String),
    #[error("Kafka does not let this user see topic {0}; it needs the ACL operation Describe")]
    TopicForbidden(String),
    #[error(
        "Kafka refuses to make topic {topic} ({cause}); see KAFKA_PARTITIONS and KAFKA_REPLICATION_FACTOR"
    )]
    TopicRefused { topic: String, cause: String },
    #[error("Kafka does not let this user make topic {0}; it needs the ACL operation Create")]
    CreateForbidden(String),
    #[error("{0}")]
    Tls(String),
}

impl ConnectError {
    /// True if the same call may succeed later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TokenFile(_) => true,
            Self::OnlyTls(_)
            | Self::NoTls(_)
            | Self::AnnouncedElsewhere(_)
            | Self::NotTrusted(_)
            | Self::CertificateRefused(_)
            | Self::MechanismRefused { .. }
            | Self::CredentialsRefused(_)
            | Self::TopicMissing(_)
            | Self::TopicForbidden(_)
            | Self::TopicRefused { .. }
            | Self::CreateForbidden(_)
            | Self::Tls(_) => false,
        }
    }
}
