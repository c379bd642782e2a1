//! Secrets of service accounts: 256 random bits in hexadecimal digits. Only the hash of a secret is stored. A random secret cannot
//! be guessed, so its hash needs no salt and need not be slow.

use sha2::{Digest, Sha256};

use super::{PasswordError, reset_token::random_digits};
use crate::port::SecretHash;

/// A secret, to be shown once. Without `Debug`.
pub struct ClientSecret(String);

impl ClientSecret {
    /// Makes a new secret.
    pub fn generate() -> Result<Self, PasswordError> {
        random_digits::<32>().map(Self)
    }

    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The hash that is stored of this secret.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        hash(&self.0)
    }
}

/// The hash that is stored of a secret. Secrets are compared by their hashes, so that the time of a comparison says nothing about
/// the secret.
pub(super) fn hash(secret: &str) -> SecretHash {
    SecretHash(Sha256::digest(secret).into())
}
