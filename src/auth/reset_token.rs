//! One-time tokens with which a password is reset: 256 random bits in hexadecimal digits, of which only the hash is stored.

use std::{fmt::Write, time::Duration};

use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

use super::PasswordError;
use crate::port::ResetHash;

/// Time for which a token is valid.
pub const RESET_LIFETIME: Duration = Duration::from_hours(1);

/// Of a password that nobody chose: 120 bits.
const PASSWORD_BYTES: usize = 15;

/// A token, to be shown once. Without `Debug`.
pub struct ResetToken(String);

impl ResetToken {
    /// Makes a new token.
    pub fn generate() -> Result<Self, PasswordError> {
        random_digits::<32>().map(Self)
    }

    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The hash that is stored of this token.
    #[must_use]
    pub fn hash(&self) -> ResetHash {
        hash(&self.0)
    }
}

/// The hash of a text. If the text is a token, this is the hash that is stored of it.
pub(super) fn hash(token: &str) -> ResetHash {
    ResetHash(Sha256::digest(token.trim()).into())
}

/// A random password, for an account whose password nobody chooses.
pub fn random_password() -> Result<String, PasswordError> {
    random_digits::<PASSWORD_BYTES>()
}

pub(super) fn random_digits<const BYTES: usize>() -> Result<String, PasswordError> {
    let mut bytes = [0; BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| PasswordError::Hashing("the system gives no random numbers".to_owned()))?;
    let mut digits = String::with_capacity(2 * BYTES);
    for byte in bytes {
        // Writing to a text does not fail.
        let _ = write!(digits, "{byte:02x}");
    }
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_found_by_their_hash() {
        let (one, other) = (
            ResetToken::generate().unwrap(),
            ResetToken::generate().unwrap(),
        );
        assert_eq!(one.reveal().len(), 64);
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(hash(&format!(" {}\n", one.reveal())), one.hash());
        assert_ne!(one.hash(), other.hash());
        assert_eq!(random_password().unwrap().len(), 30);
    }
}
