//! Tokens: JWTs signed with HS256, as the original service issues them.
//!
//! Its tokens are accepted when the secret is the same: without a role they are a shopper's. Nothing but HS256 is ever
//! accepted, whatever a token's header asks for.

mod identity;
mod issued;
pub(super) mod provider;

use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, errors::ErrorKind,
};
use serde::Serialize;

pub use identity::Identity;

use self::issued::IssuedTokens;
use crate::{
    config::AuthConfig,
    ids::{LedgerId, LedgerTag, UserId},
    port::{Role, Scopes},
};

/// The longest time that a service account's token is good.
const SERVICE_TTL: Duration = Duration::from_hours(1);

/// Why there is no identity, or no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is not valid")]
    Invalid,
    #[error("the token has expired")]
    Expired,
    #[error("a token could not be signed: {0}")]
    Unsigned(String),
}

/// Issues and verifies tokens, with keys that are prepared once.
pub struct Tokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    /// The same key, for tokens in the form in which they are issued here.
    issued: IssuedTokens,
    /// Of tokens that were signed before the secret was replaced.
    previous: Option<DecodingKey>,
    validation: Validation,
    ttl: Duration,
    ledger: Option<LedgerTag>,
}

#[derive(Serialize)]
struct Claims<'a> {
    #[serde(rename = "userId")]
    user: String,
    username: &'a str,
    role: Role,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Scopes>,
}

impl Tokens {
    #[must_use]
    pub fn new(config: &AuthConfig) -> Self {
        provider::install();
        let secret = config.jwt_secret.reveal().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.validate_nbf = true;
        // A token is no longer good in the very second it names (RFC 7519, 4.1.4).
        validation.reject_tokens_expiring_in_less_than = 1;
        Self {
            signing: EncodingKey::from_secret(secret),
            verifying: DecodingKey::from_secret(secret),
            issued: IssuedTokens::new(secret),
            previous: config
                .jwt_secret_previous
                .as_ref()
                .map(|secret| DecodingKey::from_secret(secret.reveal().as_bytes())),
            validation,
            ttl: config.token_ttl,
            ledger: None,
        }
    }

    /// The same for the accounts of this ledger: its tokens say so, and those of another ledger are refused.
    #[must_use]
    pub fn of_ledger(self, ledger: LedgerId) -> Self {
        Self {
            ledger: ledger.tag(),
            ..self
        }
    }

    /// A token that is good from `now` on for as long as set.
    pub fn issue(
        &self,
        user: UserId,
        username: &str,
        role: Role,
        now: DateTime<Utc>,
    ) -> Result<String, TokenError> {
        self.sign(user, username, role, None, now, self.ttl)
    }

    /// A token of a service account with these scopes, and how long it is good: an hour at most, so that a program that loses its
    /// credentials stops soon.
    pub fn issue_to_service(
        &self,
        user: UserId,
        client_id: &str,
        scopes: Scopes,
        now: DateTime<Utc>,
    ) -> Result<(String, Duration), TokenError> {
        let ttl = self.ttl.min(SERVICE_TTL);
        let token = self.sign(user, client_id, Role::Service, Some(scopes), now, ttl)?;
        Ok((token, ttl))
    }

    fn sign(
        &self,
        user: UserId,
        username: &str,
        role: Role,
        scope: Option<Scopes>,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<String, TokenError> {
        let iat = now.timestamp();
        let ttl_secs = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let claims = Claims {
            user: user.to_string(),
            username,
            role,
            iat,
            exp: iat.saturating_add(ttl_secs),
            lid: self.ledger.map(|ledger| ledger.to_string()),
            scope,
        };
        encode(&Header::default(), &claims, &self.signing)
            .map_err(|error| TokenError::Unsigned(error.to_string()))
    }

    /// Whom the token speaks for, by the machine's clock, which the JWT library reads itself.
    pub fn verify(&self, token: &(impl AsRef<[u8]> + ?Sized)) -> Result<Identity, TokenError> {
        let token = token.as_ref();
        let identity = match self.issued.accept(token) {
            Some(identity) => identity,
            None => self.decode(token)?,
        };
        let is_of_another =
            self.ledger.is_some() && identity.ledger.is_some() && identity.ledger != self.ledger;
        if is_of_another {
            return Err(TokenError::Invalid);
        }
        Ok(identity)
    }

    /// The same for a token of any form, as the library reads it.
    fn decode(&self, token: &[u8]) -> Result<Identity, TokenError> {
        let decoded = |key| decode::<Identity>(token, key, &self.validation);
        let data = decoded(&self.verifying).or_else(|error| match &self.previous {
            Some(previous) if *error.kind() == ErrorKind::InvalidSignature => decoded(previous),
            _ => Err(error),
        });
        let data = data.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => TokenError::Expired,
            _ => TokenError::Invalid,
        })?;
        // Extensions that must be understood (RFC 7515, 4.1.11): we understand none.
        if data.header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        Ok(data.claims)
    }
}

#[cfg(test)]
mod tests;
