//! Secrets of service accounts: 256 random bits in hexadecimal digits, of which only the hash is stored. A secret that nobody chose
//! is not guessed, so that its hash needs no salt and no work.

use sha2::{Digest, Sha256};

use super::{PasswordError, reset_token::random_digits};
use crate::port::SecretHash;

/// A secret, to be shown once. Without `Debug`.
pub struct ClientSecret(String);

impl ClientSecret {
    /// Makes one.
    pub fn generate() -> Result<Self, PasswordError> {
        random_digits::<32>().map(Self)
    }

    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        hash(&self.0)
    }
}

/// What is stored of a secret. Hashes are compared, so that the time it takes says nothing about the secret.
pub(super) fn hash(secret: &str) -> SecretHash {
    SecretHash(Sha256::digest(secret).into())
}
