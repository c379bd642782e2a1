//! A connection to one broker, for requests that rskafka does not offer or whose failures it does not explain: TLS, login and
//! a few requests, one after the other. Errors are classified by type and code, and name the settings that are wrong.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream::FuturesUnordered};
use kafka_protocol::{
    messages::{
        MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader, SaslAuthenticateRequest,
        SaslHandshakeRequest, TopicName, metadata_request::MetadataRequestTopic,
        metadata_response::MetadataResponseTopic,
    },
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
};
use rskafka::client::error::ProtocolError;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

pub(super) use super::security::Security;
use super::{ConnectError, security};

/// Versions of the requests, which brokers from 2.1 to 4.x understand.
const METADATA_VERSION: i16 = 7;
const SASL_HANDSHAKE_VERSION: i16 = 1;
const SASL_AUTHENTICATE_VERSION: i16 = 0;

/// Largest accepted response, in bytes. The settings of two topics take about 10 KB, and their partitions some more.
const MAX_RESPONSE_BYTES: u32 = 16 << 20;
/// The first byte of a TLS alert. A Kafka response begins with its length, which is far below 0x15000000 bytes.
const TLS_ALERT: u8 = 0x15;
/// Delay between the starts of connections to two successive brokers, which then run concurrently.
const NEXT_BROKER_DELAY: Duration = Duration::from_millis(250);
/// Maximum number of messages in one login; SCRAM has three.
const MAX_LOGIN_STEPS: usize = 8;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(super) struct Connection {
    stream: Box<dyn Stream>,
    broker: String,
    security: Security,
    client_id: String,
    calls: i32,
}

impl Connection {
    /// Connects to the first of these brokers that accepts the client. Each is tried
    /// [`NEXT_BROKER_DELAY`] after the one before it, whether that one has answered or not.
    pub(super) async fn to_any(
        brokers: &[String],
        client_id: &str,
        security: &Security,
    ) -> Result<Self, ConnectError> {
        let mut trials: FuturesUnordered<_> = brokers
            .iter()
            .zip(0..)
            .map(|(broker, place)| async move {
                tokio::time::sleep(NEXT_BROKER_DELAY * place).await;
                Self::open(broker, client_id, security).await
            })
            .collect();
        let mut failure = ConnectError::Unreachable("there is no broker".to_owned());
        let mut is_permanent = false;
        while let Some(trial) = trials.next().await {
            match trial {
                Ok(connection) => return Ok(connection),
                // The error of a wrong setting is reported rather than that of a broker that is down.
                Err(error) if !is_permanent => {
                    is_permanent = !error.is_passing();
                    failure = error;
                }
                Err(_) => {}
            }
        }
        Err(failure)
    }

    /// Connects to one broker, with TLS and login as configured.
    async fn open(
        broker: &str,
        client_id: &str,
        security: &Security,
    ) -> Result<Self, ConnectError> {
        let unreachable =
            |error: std::io::Error| connect_error_of(broker, security.tls().is_some(), &error);
        let stream = TcpStream::connect(broker).await.map_err(unreachable)?;
        let stream: Box<dyn Stream> = if let Some(tls) = security.tls() {
            let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host);
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                .map_err(|error| ConnectError::Unreachable(format!("{broker}: {error}")))?;
            let connect = TlsConnector::from(tls).connect(name, stream);
            Box::new(connect.await.map_err(unreachable)?)
        } else {
            Box::new(stream)
        };
        let mut connection = Self {
            stream,
            broker: broker.to_owned(),
            security: security.clone(),
            client_id: client_id.to_owned(),
            calls: 0,
        };
        if let Some(login) = security.login().await? {
            connection.log_in(login).await?;
        }
        Ok(connection)
    }

    async fn log_in(&mut self, mut login: security::Login) -> Result<(), ConnectError> {
        let mechanism = login.mechanism();
        let handshake =
            SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer = self.call(handshake, SASL_HANDSHAKE_VERSION).await?;
        if answer.error_code != 0 {
            let offered: Vec<_> = answer.mechanisms.iter().map(StrBytes::as_str).collect();
            return Err(ConnectError::MechanismRefused {
                mechanism,
                offered: offered.join(", "),
            });
        }
        let mut received: Option<Vec<u8>> = None;
        for _ in 0..MAX_LOGIN_STEPS {
            let step = login.step(received.as_deref());
            let Some(message) = step.map_err(ConnectError::CredentialsRefused)? else {
                return Ok(());
            };
            let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
            let answer = self.call(request, SASL_AUTHENTICATE_VERSION).await?;
            if let Some(code) = ProtocolError::new(answer.error_code) {
                let text = answer
                    .error_message
                    .map_or_else(String::new, |text| format!(": {}", text.as_str()));
                return Err(ConnectError::CredentialsRefused(format!("{code:?}{text}")));
            }
            received = Some(answer.auth_bytes.to_vec());
        }
        Err(ConnectError::CredentialsRefused(
            "the login does not end".to_owned(),
        ))
    }

    pub(super) async fn call<R: Request>(
        &mut self,
        request: R,
        version: i16,
    ) -> Result<R::Response, ConnectError> {
        let unreachable =
            |error: &dyn std::fmt::Display| ConnectError::Unreachable(error.to_string());
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
            .map_err(|error| unreachable(&error))?;
        let length = u32::try_from(message.len()).map_err(|error| unreachable(&error))?;
        let exchange = async {
            let mut sent = length.to_be_bytes().to_vec();
            sent.extend_from_slice(&message);
            let written = match self.stream.write_all(&sent).await {
                Ok(()) => self.stream.flush().await,
                Err(error) => Err(error),
            };
            let mut head = [0; 4];
            if let Err(error) = written {
                // A broker that refuses the client certificate sends an alert after the handshake and may have closed the
                // connection by now. The alert can still be read, and explains more than the failed write.
                return match self.stream.read_exact(&mut head).await {
                    Err(alert) if alert.get_ref().is_some() => Err(alert),
                    _ => Err(error),
                };
            }
            self.stream.read_exact(&mut head).await?;
            let length = u32::from_be_bytes(head);
            if length > MAX_RESPONSE_BYTES {
                return Ok(Err(head[0]));
            }
            let mut answer = vec![0; length as usize];
            self.stream.read_exact(&mut answer).await?;
            Ok(Ok(answer))
        };
        let answer = exchange.await.map_err(|error: std::io::Error| {
            connect_error_of(&self.broker, self.security.tls().is_some(), &error)
        })?;
        let mut answer = match answer {
            Ok(answer) => Bytes::from(answer),
            Err(TLS_ALERT) if self.security.tls().is_none() => {
                return Err(ConnectError::OnlyTls(self.broker.clone()));
            }
            Err(_) => return Err(unreachable(&format!("{}: this is not Kafka", self.broker))),
        };
        ResponseHeader::decode(&mut answer, R::Response::header_version(version))
            .and_then(|_| R::Response::decode(&mut answer, version))
            .map_err(|error| unreachable(&error))
    }
}

/// Converts an I/O error of a connection. rustls wraps its own error in the I/O error.
fn connect_error_of(broker: &str, tls: bool, error: &std::io::Error) -> ConnectError {
    use rustls::{AlertDescription as Alert, Error as Tls};

    let cause = format!("{broker}: {error}");
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Tls>());
    match inner {
        Some(Tls::InvalidCertificate(_)) => ConnectError::NotTrusted(cause),
        Some(Tls::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::UnsupportedCertificate
            | Alert::AccessDenied
            | Alert::HandshakeFailure,
        )) => ConnectError::CertificateRefused(cause),
        Some(Tls::InvalidMessage(_)) => ConnectError::NoTls(broker.to_owned()),
        _ if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            ConnectError::Unreachable(format!(
                "{broker} closed the connection: a listener {}, or one that wants a login, does so",
                if tls { "without TLS" } else { "with TLS" }
            ))
        }
        _ => ConnectError::Unreachable(cause),
    }
}

/// A response with the cluster's brokers and the requested topics.
pub(super) struct Metadata(MetadataResponse);

/// Requests the metadata of the named topics. A missing topic is not created.
pub(super) async fn metadata_of(
    connection: &mut Connection,
    names: &[&String],
) -> Result<Metadata, ConnectError> {
    let topics = names
        .iter()
        .map(|name| MetadataRequestTopic::default().with_name(Some(TopicName(text(name)))));
    let request = MetadataRequest::default()
        .with_allow_auto_topic_creation(false)
        .with_topics(Some(topics.collect()));
    let found = connection.call(request, METADATA_VERSION).await?;
    for broker in &found.brokers {
        connection.security.check_announced(broker.host.as_str())?;
    }
    Ok(Metadata(found))
}

impl Metadata {
    pub(super) fn brokers(&self) -> usize {
        self.0.brokers.len()
    }

    pub(super) fn topic(&self, name: &str) -> Result<&MetadataResponseTopic, ConnectError> {
        let missing = || ConnectError::TopicMissing(name.to_owned());
        let named = |topic: &&MetadataResponseTopic| {
            topic.name.as_ref().is_some_and(|it| it.0.as_str() == name)
        };
        let topic = self.0.topics.iter().find(named).ok_or_else(missing)?;
        match ProtocolError::new(topic.error_code) {
            None => Ok(topic),
            Some(ProtocolError::UnknownTopicOrPartition) => Err(missing()),
            Some(ProtocolError::TopicAuthorizationFailed) => {
                Err(ConnectError::TopicForbidden(name.to_owned()))
            }
            Some(code) => Err(ConnectError::Unreachable(format!("topic {name}: {code:?}"))),
        }
    }

    /// How many partitions a topic has.
    pub(super) fn partitions(&self, name: &str) -> Result<i32, ConnectError> {
        let count = self.topic(name)?.partitions.len();
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
