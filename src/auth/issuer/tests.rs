//! Which published keys are used. Tokens are tested against a real issuer (`tests/integration/external.rs`).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::keys::KeySet;
use crate::config::{ExchangeConfig, IssuerAlgorithm};

fn settings() -> ExchangeConfig {
    ExchangeConfig {
        issuer: "https://accounts.shop.example".to_owned(),
        audience: "flashsale".to_owned(),
        jwks_url: "https://accounts.shop.example/jwks.json".to_owned(),
        algorithms: vec![
            IssuerAlgorithm::Rs256,
            IssuerAlgorithm::Es256,
            IssuerAlgorithm::EdDsa,
        ],
        https_only: true,
    }
}

fn bytes(count: usize) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(vec![0xff; count])
}

fn rsa(bits: usize) -> Value {
    json!({"kty": "RSA", "kid": "1", "n": bytes(bits / 8), "e": "AQAB"})
}

fn ec() -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": "1", "x": bytes(32), "y": bytes(32)})
}

fn ed() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": bytes(32)})
}

fn read(keys: &[Value], settings: &ExchangeConfig) -> KeySet {
    let text = json!({ "keys": keys }).to_string();
    KeySet::read(text.as_bytes(), settings).unwrap()
}

/// Why a key is not used, if it is not.
fn cause(key: Value) -> Option<String> {
    read(&[key], &settings()).ignored.pop()
}

fn with(mut key: Value, name: &str, value: Value) -> Value {
    key[name] = value;
    key
}

#[test]
fn keys_of_the_three_algorithms_are_used() {
    for key in [
        rsa(2_048),
        rsa(4_096),
        ec(),
        ed(),
        with(ed(), "alg", json!("EdDSA")),
        with(ed(), "alg", json!("Ed25519")),
        with(rsa(2_048), "use", json!("sig")),
        with(ec(), "key_ops", json!(["verify"])),
        with(ec(), "x5c", json!(["whatever"])),
    ] {
        assert_eq!(cause(key.clone()), None, "{key}");
        assert!(read(&[key], &settings()).find("1").is_some());
    }
}

#[test]
fn other_keys_are_ignored_with_their_cause_and_the_rest_is_used() {
    for (key, expected) in [
        (rsa(1_024), "1024 bits"),
        (rsa(16_384), "16384 bits"),
        (
            with(rsa(2_048), "n", json!(format!("AAAA{}", bytes(128)))),
            "1024 bits",
        ),
        (with(rsa(2_048), "n", json!("=")), "not base64url"),
        (with(rsa(2_048), "e", Value::Null), "no e"),
        (with(ec(), "crv", json!("P-384")), "EC P-384"),
        (with(ec(), "x", json!(bytes(31))), "x has 31 bytes"),
        (with(ed(), "crv", json!("Ed448")), "OKP Ed448"),
        (with(ed(), "x", json!(bytes(33))), "x has 33 bytes"),
        (with(ed(), "use", json!("enc")), "use is not sig"),
        (with(ed(), "key_ops", json!(["sign"])), "no verify"),
        (with(rsa(2_048), "alg", json!("RS512")), "alg is not RS256"),
        (with(ed(), "alg", json!("HS256")), "alg is not EdDSA"),
        (with(ed(), "kid", Value::Null), "no kid"),
        (with(ed(), "kid", json!(7)), "is no key"),
        (
            json!({"kty": "oct", "kid": "1", "k": bytes(32)}),
            "its kind is oct",
        ),
        (json!("nonsense"), "is no key"),
    ] {
        let good = with(ec(), "kid", json!("good"));
        let set = read(&[key, good], &settings());
        let cause = set.ignored.first().cloned().unwrap_or_default();
        assert!(cause.contains(expected), "{expected}: {cause}");
        assert_eq!(set.ids(), ["good"], "{expected}");
    }
}

#[test]
fn a_key_of_an_algorithm_that_is_not_allowed_is_ignored() {
    let only = ExchangeConfig {
        algorithms: vec![IssuerAlgorithm::Es256],
        ..settings()
    };
    let set = read(&[rsa(2_048), with(ec(), "kid", json!("2"))], &only);
    assert_eq!(set.ids(), ["2"]);
    assert!(set.ignored[0].contains("does not have RS256"));
}

#[test]
fn two_keys_with_one_id_are_told_and_more_than_64_are_not_used() {
    assert!(read(&[ec(), ed()], &settings()).ignored[0].contains("same kid"));
    let many: Vec<Value> = (0..70)
        .map(|n| with(ed(), "kid", json!(n.to_string())))
        .collect();
    let set = read(&many, &settings());
    assert_eq!(set.ids().len(), 64);
    assert!(set.ignored[0].contains("more than 64"));
}

#[test]
fn what_is_no_set_of_keys_is_refused() {
    for text in ["", "[]", "{}", "{\"keys\":7}", "<html>"] {
        assert!(
            KeySet::read(text.as_bytes(), &settings()).is_err(),
            "{text}"
        );
    }
}
