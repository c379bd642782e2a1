//! TLS and login of connections to Kafka, both those of rskafka and those of `connection`.

use std::{io::Cursor, sync::Arc};

use futures::FutureExt;
use rsasl::prelude::{Mechname, SASLClient, SASLConfig as SaslClientConfig, Session};
use rskafka::client::{
    Credentials, OauthBearerCredentials, OauthCallback, SaslConfig as SaslLogin,
};
use rustls::ClientConfig;

use super::ConnectError;
use crate::{
    config::{KafkaConfig, SaslConfig, SaslMechanism, TlsMode, is_local},
    engine::tls::{self, TlsError},
};

/// Largest accepted token, in bytes. A token has a few kilobytes, so a longer text is not one.
const LONGEST_TOKEN: usize = 64 << 10;

/// The TLS and login settings of every connection.
#[derive(Clone)]
pub(super) struct Security {
    tls: Option<Arc<ClientConfig>>,
    /// Brokers on other machines must not be used, because connections are not encrypted.
    only_here: bool,
    sasl: Option<SaslConfig>,
}

/// A login in progress on a connection of `connection`.
pub(super) enum Login {
    Password {
        mechanism: &'static str,
        session: Box<Session>,
        finished: bool,
    },
    /// `OAUTHBEARER` (RFC 7628): one message, taken when it is sent.
    Token { message: Option<String> },
}

impl Security {
    pub(super) fn new(config: &KafkaConfig) -> Result<Self, ConnectError> {
        // This mode is that of named brokers which are all on this machine.
        let only_here = config.tls.mode == TlsMode::VerifyOthers;
        let tls = if only_here {
            None
        } else {
            tls::client(&config.tls)?
        };
        Ok(Self {
            tls,
            only_here,
            sasl: config.sasl.clone(),
        })
    }

    /// Checks an address that a broker announces.
    pub(super) fn check_announced(&self, host: &str) -> Result<(), ConnectError> {
        if self.only_here && !is_local(host) {
            return Err(ConnectError::AnnouncedElsewhere(host.to_owned()));
        }
        Ok(())
    }

    pub(super) fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.clone()
    }

    /// The login in rskafka's form. A token is read from its file at each login.
    pub(super) fn sasl(&self) -> Option<SaslLogin> {
        Some(match self.sasl.as_ref()? {
            SaslConfig::Password {
                mechanism,
                username,
                password,
            } => {
                let credentials = Credentials::new(username.clone(), password.reveal().to_owned());
                match mechanism {
                    SaslMechanism::Plain => SaslLogin::Plain(credentials),
                    SaslMechanism::ScramSha256 => SaslLogin::ScramSha256(credentials),
                    SaslMechanism::ScramSha512 => SaslLogin::ScramSha512(credentials),
                }
            }
            SaslConfig::OauthBearer { token_file } => {
                let file = token_file.clone();
                let callback: OauthCallback = Arc::new(move || {
                    let file = file.clone();
                    async move { read_token(&file).await.map_err(Into::into) }.boxed()
                });
                SaslLogin::Oauthbearer(OauthBearerCredentials {
                    callback,
                    authz_id: None,
                    bearer_kvs: Vec::new(),
                })
            }
        })
    }

    /// Starts the login of a new connection; `None` if no login is configured.
    pub(super) async fn login(&self) -> Result<Option<Login>, ConnectError> {
        let Some(sasl) = &self.sasl else {
            return Ok(None);
        };
        match sasl {
            SaslConfig::Password {
                mechanism,
                username,
                password,
            } => {
                let mechanism = match mechanism {
                    SaslMechanism::Plain => "PLAIN",
                    SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
                    SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
                };
                let password = password.reveal().to_owned();
                let refused = |error: &dyn std::fmt::Display| {
                    ConnectError::CredentialsRefused(error.to_string())
                };
                let config = SaslClientConfig::with_credentials(None, username.clone(), password)
                    .map_err(|error| refused(&error))?;
                let name =
                    Mechname::parse(mechanism.as_bytes()).map_err(|error| refused(&error))?;
                let session = SASLClient::new(config)
                    .start_suggested(&[name])
                    .map_err(|error| refused(&error))?;
                Ok(Some(Login::Password {
                    mechanism,
                    session: Box::new(session),
                    finished: false,
                }))
            }
            SaslConfig::OauthBearer { token_file } => {
                let token = read_token(token_file).await?;
                Ok(Some(Login::Token {
                    message: Some(format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}")),
                }))
            }
        }
    }
}

impl Login {
    pub(super) fn mechanism(&self) -> &'static str {
        match self {
            Self::Password { mechanism, .. } => mechanism,
            Self::Token { .. } => "OAUTHBEARER",
        }
    }

    /// The next message to the broker; `None` once the login is complete.
    pub(super) fn step(&mut self, received: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
        match self {
            // A broker that refuses the token answers with a message and no error code.
            Self::Token { message } => match (message.take(), received) {
                (None, Some(refusal)) if !refusal.is_empty() => {
                    Err(String::from_utf8_lossy(refusal).into_owned())
                }
                (message, _) => Ok(message.map(String::into_bytes)),
            },
            Self::Password { finished: true, .. } => Ok(None),
            Self::Password {
                session, finished, ..
            } => {
                let mut message = Cursor::new(Vec::new());
                let state = session
                    .step(received, &mut message)
                    .map_err(|error| error.to_string())?;
                *finished = state.is_finished();
                Ok(state.has_sent_message().then(|| message.into_inner()))
            }
        }
    }
}

/// Reads the token from its file, which another process may replace at any time.
async fn read_token(file: &str) -> Result<String, ConnectError> {
    let wrong = |cause: String| ConnectError::TokenFile(format!("{file}: {cause}"));
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path));
    let text = match read.await {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => return Err(wrong(error.to_string())),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let token = text.trim();
    if token.is_empty() || token.len() > LONGEST_TOKEN {
        return Err(wrong("there is no token in it".to_owned()));
    }
    // RFC 6750 allows no other characters. A control character (0x01) would end the login message early.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("this is not a token".to_owned()));
    }
    Ok(token.to_owned())
}

impl From<TlsError> for ConnectError {
    fn from(error: TlsError) -> Self {
        match &error {
            TlsError::Authorities { .. } => Self::Tls(format!("KAFKA_CA_FILE: {error}")),
            TlsError::Identity { .. } => {
                Self::Tls(format!("KAFKA_CERT_FILE, KAFKA_KEY_FILE: {error}"))
            }
            TlsError::Provider(_) => Self::Tls(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_of_this_machine_may_not_announce_another_one_unless_that_is_encrypted() {
        let security = |only_here| Security {
            tls: None,
            only_here,
            sasl: None,
        };
        let refused = security(true).check_announced("kafka.example").err();
        let told = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(
            told.contains("kafka.example") && told.contains("KAFKA_TLS"),
            "{told}"
        );
        assert!(security(true).check_announced("127.0.0.1").is_ok());
        assert!(security(false).check_announced("kafka.example").is_ok());
    }
}
