//! The cryptography of tokens for jsonwebtoken, on `ring`, which TLS uses anyway: HS256 for our own tokens, which are signed and verified
//! here, and RS256, ES256 and `EdDSA` (Ed25519) for those of the shop's issuer, which are verified here and never signed.
//!
//! A key belongs to one family of algorithms, and no other algorithm is ever used with it: a token that asks for HMAC cannot be
//! verified with a public key, whatever its header says. There is no other algorithm in this program, and none that is no signature.

use std::sync::Once;

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    signature::{Error as SignatureError, Signer, Verifier},
};
use ring::{
    hmac::{self, HMAC_SHA256, Key},
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
        UnparsedPublicKey, VerificationAlgorithm,
    },
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(signer(*algorithm, key)?)),
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    // For keys in JSON (RFC 7517), which `issuer::keys` reads itself.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes jsonwebtoken use it, from now on and in the whole process.
pub(in crate::auth) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // It fails if there is one already, which is this one.
        let _ = PROVIDER.install_default();
    });
}

struct Hs256(Key);

/// RS256, with the parts of the public key.
struct Rs256 {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// ES256 or `EdDSA`.
struct Elliptic {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

fn signer(algorithm: Algorithm, key: &EncodingKey) -> Result<Hs256, Error> {
    if algorithm != Algorithm::HS256 {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    of_family(key.family(), AlgorithmFamily::Hmac)?;
    Ok(Hs256(Key::new(HMAC_SHA256, key.as_bytes())))
}

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    match algorithm {
        Algorithm::HS256 => {
            of_family(key.family(), AlgorithmFamily::Hmac)?;
            Ok(Box::new(Hs256(Key::new(
                HMAC_SHA256,
                key.try_get_as_bytes()?,
            ))))
        }
        Algorithm::RS256 => {
            of_family(key.family(), AlgorithmFamily::Rsa)?;
            match key.kind() {
                DecodingKeyKind::RsaModulusExponent { n, e } => Ok(Box::new(Rs256 {
                    modulus: n.clone(),
                    exponent: e.clone(),
                })),
                DecodingKeyKind::SecretOrDer(_) => Err(ErrorKind::InvalidKeyFormat.into()),
            }
        }
        Algorithm::ES256 => {
            of_family(key.family(), AlgorithmFamily::Ec)?;
            elliptic(algorithm, &ECDSA_P256_SHA256_FIXED, key)
        }
        Algorithm::EdDSA => {
            of_family(key.family(), AlgorithmFamily::Ed)?;
            elliptic(algorithm, &ED25519, key)
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

fn elliptic(
    algorithm: Algorithm,
    verified_by: &'static dyn VerificationAlgorithm,
    key: &DecodingKey,
) -> Result<Box<dyn JwtVerifier>, Error> {
    let key = UnparsedPublicKey::new(verified_by, key.try_get_as_bytes()?.to_vec());
    Ok(Box::new(Elliptic { algorithm, key }))
}

fn of_family(family: AlgorithmFamily, expected: AlgorithmFamily) -> Result<(), Error> {
    if family == expected {
        Ok(())
    } else {
        Err(ErrorKind::InvalidKeyFormat.into())
    }
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

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let key = RsaPublicKeyComponents {
            n: &self.modulus,
            e: &self.exponent,
        };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .map_err(|_| SignatureError::new())
    }
}

impl Verifier<Vec<u8>> for Elliptic {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let verified = self.key.verify(message, signature);
        verified.map_err(|_| SignatureError::new())
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

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

impl JwtVerifier for Elliptic {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a verifier is made at all.
    fn fits(algorithm: Algorithm, key: &DecodingKey) -> bool {
        verifier(algorithm, key).is_ok()
    }

    #[test]
    fn a_key_verifies_by_the_algorithm_of_its_family_and_no_other() {
        let bytes = [7; 65];
        let keys = [
            (Algorithm::HS256, DecodingKey::from_secret(&bytes)),
            (
                Algorithm::RS256,
                DecodingKey::from_rsa_raw_components(&bytes, &bytes),
            ),
            (Algorithm::ES256, DecodingKey::from_ec_der(&bytes)),
            (Algorithm::EdDSA, DecodingKey::from_ed_der(&bytes)),
        ];
        for (own, key) in &keys {
            for (other, _) in &keys {
                assert_eq!(fits(*other, key), own == other, "{own:?} by {other:?}");
            }
            for never in [
                Algorithm::HS384,
                Algorithm::HS512,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::ES384,
            ] {
                assert!(!fits(never, key), "{own:?} by {never:?}");
            }
        }
        let public = DecodingKey::from_rsa_der(&bytes);
        assert!(!fits(Algorithm::HS256, &public) && !fits(Algorithm::RS256, &public));
    }

    #[test]
    fn nothing_but_our_own_algorithm_is_signed() {
        let secret = EncodingKey::from_secret(&[7; 32]);
        assert!(signer(Algorithm::HS256, &secret).is_ok());
        for never in [
            Algorithm::HS384,
            Algorithm::RS256,
            Algorithm::ES256,
            Algorithm::EdDSA,
        ] {
            assert!(signer(never, &secret).is_err());
        }
    }
}
