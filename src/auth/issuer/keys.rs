//! The issuer's public keys, as it publishes them (RFC 7517, RFC 7518, RFC 8037), and which of them are used.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use crate::config::{ExchangeConfig, IssuerAlgorithm};

/// Highest number of keys that are used.
const MOST: usize = 64;
/// Tolerance in seconds for the times in a token, since the clocks of the issuer and of this machine may differ.
const LEEWAY_SECS: u64 = 30;
/// Bits of an RSA key: a shorter one can be factored, and `ring` verifies with none that is longer.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// Bytes of a coordinate on P-256, and of an Ed25519 key.
const CURVE_BYTES: usize = 32;

/// The keys that are used, by their ids.
#[derive(Default)]
pub(super) struct KeySet {
    keys: BTreeMap<String, IssuerKey>,
    /// Why the other keys are not used, for the log.
    pub ignored: Vec<String>,
}

/// A key, and the rules for the tokens that it has signed.
pub(super) struct IssuerKey {
    pub verifying: DecodingKey,
    pub validation: Validation,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// A key as it is published. The fields of keys that are not used are ignored.
#[derive(Deserialize)]
struct Published {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set of keys. A key that cannot be used is left out, and the others are used.
    pub(super) fn read(text: &[u8], settings: &ExchangeConfig) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(text)
            .map_err(|error| format!("it is no set of keys: {error}"))?;
        let mut set = Self::default();
        for value in document.keys {
            let name = value
                .get("kid")
                .and_then(serde_json::Value::as_str)
                .unwrap_or("?");
            let name: String = name.chars().take(64).collect();
            let key = serde_json::from_value::<Published>(value)
                .map_err(|_| "is no key".to_owned())
                .and_then(|published| published.read(settings));
            match key {
                Ok(_) if set.keys.len() == MOST => {
                    set.ignored
                        .push(format!("{name}: there are more than {MOST} keys"));
                    break;
                }
                Ok((id, key)) => {
                    if set.keys.insert(id, key).is_some() {
                        set.ignored
                            .push(format!("{name}: another key has the same kid"));
                    }
                }
                Err(cause) => set.ignored.push(format!("{name}: {cause}")),
            }
        }
        Ok(set)
    }

    pub(super) fn find(&self, id: &str) -> Option<&IssuerKey> {
        self.keys.get(id)
    }

    /// The ids, for the log.
    pub(super) fn ids(&self) -> Vec<&str> {
        self.keys.keys().map(String::as_str).collect()
    }
}

impl Published {
    /// The key with its id, or the reason why it is not used.
    fn read(self, settings: &ExchangeConfig) -> Result<(String, IssuerKey), String> {
        let id = self.kid.clone().filter(|id| !id.is_empty());
        let id = id.ok_or("it has no kid")?;
        if self.used_for.as_deref().is_some_and(|used| used != "sig") {
            return Err("its use is not sig".to_owned());
        }
        let operations = self.key_ops.as_deref();
        if operations.is_some_and(|all| !all.iter().any(|one| one == "verify")) {
            return Err("its key_ops have no verify".to_owned());
        }
        let (by, algorithm, name) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (IssuerAlgorithm::Rs256, Algorithm::RS256, "RS256"),
            ("EC", Some("P-256")) => (IssuerAlgorithm::Es256, Algorithm::ES256, "ES256"),
            ("OKP", Some("Ed25519")) => (IssuerAlgorithm::EdDsa, Algorithm::EdDSA, "EdDSA"),
            (kind, curve) => {
                let kind: String = kind.chars().take(16).collect();
                return Err(format!("its kind is {kind} {}", curve.unwrap_or_default()));
            }
        };
        // RFC 9864 names Ed25519 by itself.
        let is_own = |alg: &str| alg == name || (name == "EdDSA" && alg == "Ed25519");
        if self.alg.as_deref().is_some_and(|alg| !is_own(alg)) {
            return Err(format!("its alg is not {name}"));
        }
        if !settings.algorithms.contains(&by) {
            return Err(format!("EXTERNAL_ALGORITHMS does not have {name}"));
        }
        let verifying = match by {
            IssuerAlgorithm::Rs256 => rsa(&self)?,
            IssuerAlgorithm::Es256 => p256(&self)?,
            IssuerAlgorithm::EdDsa => {
                DecodingKey::from_ed_der(&fixed::<CURVE_BYTES>(self.x.as_deref(), "x")?)
            }
        };
        let key = IssuerKey {
            verifying,
            validation: validation(algorithm, settings),
        };
        Ok((id, key))
    }
}

/// The rules for tokens of a key. They allow one algorithm alone.
fn validation(algorithm: Algorithm, settings: &ExchangeConfig) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY_SECS;
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(&[&settings.audience]);
    validation
}

fn rsa(key: &Published) -> Result<DecodingKey, String> {
    let modulus = bytes(key.n.as_deref(), "n")?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let modulus = modulus.get(zeros..).unwrap_or_default();
    let first = modulus.first().map_or(8, |byte| byte.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(first as usize);
    if !RSA_BITS.contains(&bits) {
        let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
        return Err(format!("it has {bits} bits, and not {least} to {most}"));
    }
    let exponent = bytes(key.e.as_deref(), "e")?;
    Ok(DecodingKey::from_rsa_raw_components(modulus, &exponent))
}

/// An uncompressed point (SEC 1, 2.3.3).
fn p256(key: &Published) -> Result<DecodingKey, String> {
    let x = fixed::<CURVE_BYTES>(key.x.as_deref(), "x")?;
    let y = fixed::<CURVE_BYTES>(key.y.as_deref(), "y")?;
    Ok(DecodingKey::from_ec_der(&[&[4_u8][..], &x, &y].concat()))
}

fn fixed<const BYTES: usize>(text: Option<&str>, name: &str) -> Result<[u8; BYTES], String> {
    let bytes = bytes(text, name)?;
    let length = bytes.len();
    let fixed = bytes.try_into();
    fixed.map_err(|_| format!("its {name} has {length} bytes, and not {BYTES}"))
}

fn bytes(text: Option<&str>, name: &str) -> Result<Vec<u8>, String> {
    let text = text.ok_or_else(|| format!("it has no {name}"))?;
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
    bytes.map_err(|_| format!("its {name} is not base64url"))
}
