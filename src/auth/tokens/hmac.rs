//! HS256 for jsonwebtoken, on `ring`, which TLS uses anyway. There is no other algorithm in this program: a token that asks for
//! one cannot be verified, whatever its key.

use std::sync::Once;

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    signature::{Error as SignatureError, Signer, Verifier},
};
use ring::hmac::{self, HMAC_SHA256, Key};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(signer(*algorithm, key)?)),
    verifier_factory: |algorithm, key| Ok(Box::new(verifier(*algorithm, key)?)),
    // For keys in JSON (RFC 7517), of which there are none.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes jsonwebtoken use it, from now on and in the whole process.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // It fails if there is one already, which is this one.
        let _ = PROVIDER.install_default();
    });
}

struct Hs256(Key);

fn signer(algorithm: Algorithm, key: &EncodingKey) -> Result<Hs256, Error> {
    hs256(algorithm, key.family(), key.as_bytes())
}

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Hs256, Error> {
    hs256(algorithm, key.family(), key.try_get_as_bytes()?)
}

fn hs256(algorithm: Algorithm, family: AlgorithmFamily, key: &[u8]) -> Result<Hs256, Error> {
    if algorithm != Algorithm::HS256 {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    if family != AlgorithmFamily::Hmac {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(Hs256(Key::new(HMAC_SHA256, key)))
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    /// Takes as long whichever byte differs.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        hmac::verify(&self.0, message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}
