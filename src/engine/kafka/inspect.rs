//! How the topics are set up, for `doctor`: replicas and settings, which rskafka does not ask for. One connection, which
//! reads only.

use std::{collections::BTreeMap, time::Duration};

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        DescribeConfigsRequest, MetadataRequest, RequestHeader, ResponseHeader,
        SaslAuthenticateRequest, SaslHandshakeRequest, TopicName,
        describe_configs_request::DescribeConfigsResource, metadata_request::MetadataRequestTopic,
    },
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{ConnectError, session};
use crate::config::{KafkaConfig, SaslConfig, SaslMechanism};

/// Versions that brokers from 2.1 to 4.x understand.
const METADATA_VERSION: i16 = 7;
const DESCRIBE_CONFIGS_VERSION: i16 = 1;
const SASL_HANDSHAKE_VERSION: i16 = 1;
const SASL_AUTHENTICATE_VERSION: i16 = 0;

/// `ConfigResource.Type.TOPIC`
const TOPIC: i8 = 2;
/// An answer with the settings of two topics has some 10 KB; partitions come on top.
const LONGEST_ANSWER: u32 = 16 << 20;

/// What was found.
#[derive(Debug, Clone)]
pub struct Inspection {
    pub brokers: usize,
    /// The topic of the attempts, then that of the dead letters.
    pub topics: Vec<Topic>,
}

/// A topic, as its partitions are kept and set.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub partitions: usize,
    /// Of the partition with the fewest.
    pub replicas: usize,
    /// Partitions that lack a replica that is in sync.
    pub under_replicated: usize,
    /// Partitions that nobody leads.
    pub leaderless: usize,
    /// By Kafka's names.
    pub settings: BTreeMap<String, String>,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Logging in takes more than this connection knows.
    #[error("not asked: this check knows the SASL mechanism PLAIN only")]
    Mechanism,
}

/// Asks the first broker that answers.
pub async fn inspect(config: &KafkaConfig) -> Result<Inspection, InspectError> {
    let mut trouble = ConnectError::Unreachable("there is no broker".to_owned());
    for broker in &config.brokers {
        match timeout(config.append_timeout * 2, ask(config, broker)).await {
            Ok(Ok(inspection)) => return Ok(inspection),
            Ok(Err(InspectError::Connect(error))) => trouble = error,
            Ok(Err(error)) => return Err(error),
            Err(_) => trouble = ConnectError::Unreachable(format!("{broker}: no answer in time")),
        }
    }
    Err(trouble.into())
}

async fn ask(config: &KafkaConfig, broker: &str) -> Result<Inspection, InspectError> {
    let mut connection = Connection::open(config, broker).await?;
    if let Some(sasl) = &config.sasl {
        connection.log_in(sasl).await?;
    }
    let names = [&config.topic, &config.dead_letter_topic];
    let topics =
        names.map(|name| MetadataRequestTopic::default().with_name(Some(TopicName(text(name)))));
    let request = MetadataRequest::default()
        .with_allow_auto_topic_creation(false)
        .with_topics(Some(topics.to_vec()));
    let found = connection.call(request, METADATA_VERSION).await?;
    let resources = names.map(|name| {
        DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(name))
            .with_configuration_keys(None)
    });
    let request = DescribeConfigsRequest::default().with_resources(resources.to_vec());
    let described = connection.call(request, DESCRIBE_CONFIGS_VERSION).await?;

    let mut topics = Vec::new();
    for name in names {
        let topic = found.topics.iter().find(|topic| {
            topic.error_code == 0 && topic.name.as_ref().is_some_and(|it| it.0.as_str() == name)
        });
        let topic = topic.ok_or_else(|| ConnectError::TopicMissing(name.clone()))?;
        let settings = described
            .results
            .iter()
            .find(|result| result.resource_name.as_str() == name);
        let settings = settings.into_iter().flat_map(|result| &result.configs);
        topics.push(Topic {
            name: name.clone(),
            partitions: topic.partitions.len(),
            replicas: topic
                .partitions
                .iter()
                .map(|it| it.replica_nodes.len())
                .min()
                .unwrap_or(0),
            under_replicated: topic
                .partitions
                .iter()
                .filter(|it| it.isr_nodes.len() < it.replica_nodes.len())
                .count(),
            leaderless: topic
                .partitions
                .iter()
                .filter(|it| it.leader_id.0 < 0)
                .count(),
            settings: settings
                .filter_map(|setting| {
                    Some((
                        setting.name.to_string(),
                        setting.value.as_ref()?.to_string(),
                    ))
                })
                .collect(),
        });
    }
    Ok(Inspection {
        brokers: found.brokers.len(),
        topics,
    })
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

struct Connection {
    stream: Box<dyn Stream>,
    client_id: String,
    calls: i32,
}

impl Connection {
    async fn open(config: &KafkaConfig, broker: &str) -> Result<Self, ConnectError> {
        let unreachable =
            |error: &dyn std::fmt::Display| ConnectError::Unreachable(format!("{broker}: {error}"));
        let stream = TcpStream::connect(broker)
            .await
            .map_err(|error| unreachable(&error))?;
        let stream: Box<dyn Stream> = if config.tls {
            let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host);
            let name =
                ServerName::try_from(host.to_owned()).map_err(|error| unreachable(&error))?;
            let tls = TlsConnector::from(session::tls(config.ca_file.as_deref())?);
            Box::new(
                tls.connect(name, stream)
                    .await
                    .map_err(|error| unreachable(&error))?,
            )
        } else {
            Box::new(stream)
        };
        Ok(Self {
            stream,
            client_id: config.client_id.clone(),
            calls: 0,
        })
    }

    async fn log_in(&mut self, sasl: &SaslConfig) -> Result<(), InspectError> {
        if sasl.mechanism != SaslMechanism::Plain {
            return Err(InspectError::Mechanism);
        }
        let handshake =
            SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
        self.call(handshake, SASL_HANDSHAKE_VERSION).await?;
        // RFC 4616
        let message = format!("\0{}\0{}", sasl.username, sasl.password.reveal());
        let login = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
        let answer = self.call(login, SASL_AUTHENTICATE_VERSION).await?;
        if answer.error_code == 0 {
            return Ok(());
        }
        let cause = answer.error_message.map(|message| message.to_string());
        Err(ConnectError::CredentialsRefused(cause.unwrap_or_default()).into())
    }

    async fn call<R: Request>(
        &mut self,
        request: R,
        version: i16,
    ) -> Result<R::Response, ConnectError> {
        let wrong = |error: &dyn std::fmt::Display| ConnectError::Unreachable(error.to_string());
        self.calls += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.calls)
            .with_client_id(Some(text(&self.client_id)));
        let mut message = BytesMut::new();
        header
            .encode(&mut message, R::header_version(version))
            .and_then(|()| request.encode(&mut message, version))
            .map_err(|error| wrong(&error))?;
        let length = u32::try_from(message.len()).map_err(|error| wrong(&error))?;
        let exchange = async {
            self.stream.write_u32(length).await?;
            self.stream.write_all(&message).await?;
            self.stream.flush().await?;
            let length = self.stream.read_u32().await?;
            if length > LONGEST_ANSWER {
                return Err(std::io::Error::other(format!(
                    "an answer of {length} bytes"
                )));
            }
            let mut answer = vec![0; length as usize];
            self.stream.read_exact(&mut answer).await?;
            Ok(answer)
        };
        let mut answer = Bytes::from(exchange.await.map_err(|error| wrong(&error))?);
        ResponseHeader::decode(&mut answer, R::Response::header_version(version))
            .and_then(|_| R::Response::decode(&mut answer, version))
            .map_err(|error| wrong(&error))
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Topic {
    /// A setting that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.settings.get(name)?.parse().ok()
    }

    /// How long records stay; `None` for ever.
    #[must_use]
    pub fn retention(&self) -> Option<Duration> {
        let millis = self.number("retention.ms")?;
        u64::try_from(millis).ok().map(Duration::from_millis)
    }
}
