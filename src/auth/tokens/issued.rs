//! Verifies tokens in the very form in which [`Tokens::issue`](super::Tokens::issue) writes them, with less work than the JWT library,
//! which reads a token's header, prepares the key and reads the claims twice for every token (docs/PERFORMANCE.md).
//!
//! This module accepts tokens and refuses none: what it does not accept the library judges. It accepts a token only if its header is
//! ours byte for byte, its HMAC is right, and its claims are ours and no others, so that the library would accept it, too.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::get_current_timestamp;
use ring::hmac::{self, HMAC_SHA256};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::identity::Identity;
use crate::port::{Role, Scopes};

/// `{"typ":"JWT","alg":"HS256"}` in base64.
pub(super) const HEADER: &[u8] = b"eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9";
/// Most bytes of the claims. Those of a token with a username of 64 characters have 200.
const MAX_CLAIMS: usize = 512;
/// Bytes of a signature, and the next multiple of 3, which the decoder wants.
const SIGNATURE: usize = 33;

/// The key that tokens are signed with, ready to be used.
pub(super) struct IssuedTokens(hmac::Key);

/// The claims that are issued.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims<'a> {
    #[serde(rename = "userId", borrow)]
    user: &'a str,
    #[serde(rename = "username")]
    _username: IgnoredAny,
    role: Role,
    iat: i64,
    exp: u64,
    #[serde(default, borrow, deserialize_with = "present")]
    lid: Option<&'a str>,
    #[serde(default)]
    scope: Scopes,
}

/// The text of a claim that is there: an absent one is `None`, and `null` is none of ours.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de str>, D::Error> {
    <&str>::deserialize(deserializer).map(Some)
}

impl IssuedTokens {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, secret))
    }

    /// Whom the token speaks for; `None` if the library has to decide.
    pub(super) fn accept(&self, token: &[u8]) -> Option<Identity> {
        let rest = token.strip_prefix(HEADER)?.strip_prefix(b".")?;
        let dot = memchr::memchr(b'.', rest)?;
        let (claims, signature) = rest.split_at_checked(dot)?;
        let message = token.get(..HEADER.len() + 1 + dot)?;

        let mut decoded = [0; SIGNATURE];
        let length = BASE64_URL_SAFE_NO_PAD
            .decode_slice(signature.strip_prefix(b".")?, &mut decoded)
            .ok()?;
        hmac::verify(&self.0, message, decoded.get(..length)?).ok()?;

        let mut decoded = [0; MAX_CLAIMS];
        let length = BASE64_URL_SAFE_NO_PAD
            .decode_slice(claims, &mut decoded)
            .ok()?;
        let claims = decoded.get(..length)?;
        // serde would take a list of the values, too.
        if claims.first() != Some(&b'{') {
            return None;
        }
        let claims: Claims = serde_json::from_slice(claims).ok()?;
        // A token is no longer good in the very second it names.
        if claims.exp <= get_current_timestamp() {
            return None;
        }
        let ledger = match claims.lid {
            Some(tag) => Some(tag.parse().ok()?),
            None => None,
        };
        Some(Identity {
            user: claims.user.parse().ok()?,
            role: claims.role,
            issued_at: claims.iat,
            expires_at: i64::try_from(claims.exp).ok()?,
            scopes: claims.scope,
            ledger,
        })
    }
}
