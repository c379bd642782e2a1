//! Verifies tokens of the shop's issuer, and reads their subjects.
//!
//! The issuer's public keys are kept in memory (`keys`) and read in the background (`refresh`). So a token costs no request. It is
//! verified by the key that it names, with the algorithm of that key. While the issuer is down, the known keys stay valid.

mod keys;
mod refresh;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use jsonwebtoken::{decode, decode_header, errors::ErrorKind};
use serde::Deserialize;
use tokio::sync::{Notify, Semaphore, watch};

use self::keys::KeySet;
use super::{TokenError, subject::is_subject, tokens::provider};
use crate::{
    config::ExchangeConfig,
    lifecycle::Lifecycle,
    outgoing::{AddressPolicy, ClientError, ClientOptions, HttpClient, Schemes},
};

/// How long a token whose key is unknown waits for the keys to be read again. Two readings do not end within it: they begin at least 10 s
/// apart, and one takes 5 s at most.
const PATIENCE: Duration = Duration::from_secs(2);
/// Highest number of such tokens that wait at the same time. Others are refused at once.
const WAITING: usize = 64;
/// Longest time of one reading of the keys.
const FETCH: Duration = Duration::from_secs(5);
/// Largest set of keys that is read, in bytes.
const LONGEST_SET: usize = 256 * 1024;
/// Longest id of a key, in characters.
const KEY_ID_CHARS: usize = 255;

/// The shop's issuer, and its keys.
pub struct Issuer {
    settings: ExchangeConfig,
    /// `None` until the keys were read for the first time.
    keys: ArcSwapOption<KeySet>,
    /// Notified when the keys should be read again.
    asked: Notify,
    /// Number of times that reading the keys was tried.
    tries: watch::Sender<u64>,
    waiting: Semaphore,
}

/// The settings of the accounts that the shop keeps.
#[derive(Clone)]
pub struct ExternalAccounts {
    /// The name of the issuer.
    pub issuer: String,
    /// Verifies the issuer's tokens; `None` if none are exchanged.
    pub tokens: Option<Arc<Issuer>>,
}

/// Why a token of the issuer gives no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerRefusal {
    /// The token is refused. The text is for the log, since clients are not told what is wrong with a token.
    Token(TokenError, &'static str),
    /// No keys were read since this process started.
    NoKeys,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// It must be a text (RFC 7519, 4.1.1). The JWT library would also accept a list that contains the right name.
    #[serde(rename = "iss")]
    _issuer: String,
}

impl Issuer {
    /// Starts reading the keys in the background.
    pub fn start(
        lifecycle: &Lifecycle,
        settings: ExchangeConfig,
    ) -> Result<Arc<Self>, ClientError> {
        provider::install();
        let client = HttpClient::new(ClientOptions {
            addresses: AddressPolicy::Any,
            schemes: if settings.https_only {
                Schemes::HttpsOnly
            } else {
                Schemes::HttpAndHttps
            },
            timeout: FETCH,
            max_body: LONGEST_SET,
        })?;
        let issuer = Arc::new(Self {
            settings,
            keys: ArcSwapOption::empty(),
            asked: Notify::new(),
            tries: watch::Sender::new(0),
            waiting: Semaphore::new(WAITING),
        });
        let (refreshed, stop) = (Arc::clone(&issuer), lifecycle.stop().clone());
        lifecycle.spawn("issuer keys", async move {
            refreshed.keep_keys(client, stop).await;
        });
        Ok(issuer)
    }

    /// The subject of a token, by the machine's clock, which the JWT library reads itself.
    pub async fn verify(&self, token: &str) -> Result<String, IssuerRefusal> {
        let invalid = |what| IssuerRefusal::Token(TokenError::Invalid, what);
        let header = decode_header(token).map_err(|_| invalid("no_token"))?;
        // The header names extensions that must be understood (RFC 7515, 4.1.11). This service knows none.
        if header.crit.is_some() {
            return Err(invalid("extension"));
        }
        let id = header.kid;
        let id = id.filter(|id| id.chars().count() <= KEY_ID_CHARS);
        let id = id.ok_or(invalid("no_key_id"))?;
        if !self.knows(&id) {
            self.ask().await;
        }
        let keys = self.keys.load();
        let keys = keys.as_ref().ok_or(IssuerRefusal::NoKeys)?;
        let key = keys.find(&id).ok_or(invalid("unknown_key"))?;
        // The key determines the algorithm. A token whose header names another one is refused.
        let data = decode::<Claims>(token, &key.verifying, &key.validation);
        let claims = data
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => IssuerRefusal::Token(TokenError::Expired, "expired"),
                kind => invalid(wrong(kind)),
            })?
            .claims;
        if is_subject(&claims.sub) {
            Ok(claims.sub)
        } else {
            Err(invalid("subject"))
        }
    }

    fn knows(&self, id: &str) -> bool {
        let keys = self.keys.load();
        keys.as_ref().is_some_and(|keys| keys.find(id).is_some())
    }

    /// Asks for the keys to be read again, and waits for that for a short time. However many tokens ask, the keys are read at most
    /// once in ten seconds.
    async fn ask(&self) {
        let mut tries = self.tries.subscribe();
        self.asked.notify_one();
        let Ok(_place) = self.waiting.try_acquire() else {
            return;
        };
        let _ = tokio::time::timeout(PATIENCE, tries.changed()).await;
    }
}

/// The name in the log for what is wrong with a token.
fn wrong(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "signature",
        ErrorKind::InvalidAlgorithm => "algorithm",
        ErrorKind::InvalidIssuer => "issuer",
        ErrorKind::InvalidAudience => "audience",
        ErrorKind::ImmatureSignature => "not_yet_valid",
        ErrorKind::MissingRequiredClaim(_) => "claim_missing",
        // Of the claims' types, or in the encoding.
        _ => "malformed",
    }
}

#[cfg(test)]
mod tests;
