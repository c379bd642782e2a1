//! Tokens as attackers and the original service make them.

use ring::hmac;
use serde_json::{Value, json};

use super::*;
use crate::port::Scope;
use crate::{
    clock::{Clock, SystemClock},
    config::Secret,
};

const SECRET: &str = "a secret of the tests, with more than 32 bytes";

fn config() -> AuthConfig {
    AuthConfig {
        jwt_secret: Secret::new(SECRET),
        jwt_secret_previous: None,
        token_ttl: Duration::from_mins(1),
        password_memory_kib: 64,
        password_passes: 1,
        password_threads: 1,
        password_queue: 1,
        password_blocklist: false,
    }
}

fn tokens() -> Tokens {
    Tokens::new(&config())
}

fn now() -> i64 {
    SystemClock.now().timestamp()
}

fn claims() -> Value {
    json!({"userId": "7", "username": "user1", "role": "admin", "iat": now(), "exp": now() + 60})
}

fn with(field: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[field] = value;
    claims
}

fn without(field: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(field);
    claims
}

/// Signed by hand: the program itself knows HS256 only.
fn signed_as(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    sign(
        algorithm,
        secret,
        &json!({"typ": "JWT", "alg": algorithm}),
        claims,
    )
}

fn sign(algorithm: Algorithm, secret: &str, header: &Value, claims: &Value) -> String {
    let hash = match algorithm {
        Algorithm::HS384 => hmac::HMAC_SHA384,
        Algorithm::HS512 => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let message = format!(
        "{}.{}",
        base64url(header.to_string().as_bytes()),
        base64url(claims.to_string().as_bytes())
    );
    let signature = hmac::sign(&hmac::Key::new(hash, secret.as_bytes()), message.as_bytes());
    format!("{message}.{}", base64url(signature.as_ref()))
}

fn signed(claims: &Value) -> String {
    signed_as(Algorithm::HS256, SECRET, claims)
}

/// The token with a header of its own, still signed by us as HS256 over that header.
fn with_header(header: &Value, claims: &Value) -> String {
    sign(Algorithm::HS256, SECRET, header, claims)
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            out.push(char::from(
                ALPHABET[(bits >> (18 - 6 * place) & 63) as usize],
            ));
        }
    }
    out
}

fn verdict(token: &str) -> Result<(i64, Role), TokenError> {
    tokens()
        .verify(token)
        .map(|identity| (identity.user.value(), identity.role))
}

#[test]
fn what_is_issued_is_accepted() {
    let user = UserId::new(7).unwrap();
    let token = tokens()
        .issue(user, "user1", Role::User, SystemClock.now())
        .unwrap();
    assert_eq!(verdict(&token), Ok((7, Role::User)));
    assert_eq!(verdict(&signed(&claims())), Ok((7, Role::Admin)));
    assert_eq!(
        verdict(&with_header(&json!({"alg": "HS256"}), &claims())),
        Ok((7, Role::Admin)),
        "the tests' signer"
    );
}

#[test]
fn an_issued_token_is_read_alike_in_the_short_way_and_by_the_library() {
    let (tokens, user, now) = (tokens_of(1), UserId::new(7).unwrap(), SystemClock.now());
    let shopper = tokens.issue(user, "user1", Role::User, now).unwrap();
    let scopes = Scope::ALL.into_iter().collect();
    let (service, _) = tokens.issue_to_service(user, "shop", scopes, now).unwrap();
    for token in [shopper, service] {
        let read = tokens.issued.accept(token.as_bytes());
        assert_eq!(read, Some(tokens.decode(token.as_bytes()).unwrap()));
    }
}

/// Tokens that differ from one that is issued here by one thing each. None may be accepted in the short way, and what the library
/// says of it counts.
#[test]
fn only_tokens_as_they_are_issued_here_are_taken_in_the_short_way() {
    let tokens = tokens_of(1);
    let header = std::str::from_utf8(issued::HEADER).unwrap();
    let ours = |claims: &str| {
        let message = format!("{header}.{}", base64url(claims.as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signature = hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", base64url(signature.as_ref()))
    };
    let plain = claims().to_string();
    assert!(tokens.issued.accept(ours(&plain).as_bytes()).is_some());
    let (first, last) = (plain.replacen('{', "{\"iat\":1,", 1), now() - 1);
    for (other, verdict) in [
        (signed(&claims()), Ok(7)),
        (ours(&first), Err(TokenError::Invalid)),
        (
            ours(&with("exp", json!(last)).to_string()),
            Err(TokenError::Expired),
        ),
        (
            ours(&with("exp", json!(now())).to_string()),
            Err(TokenError::Expired),
        ),
        (
            ours(&with("exp", json!("soon")).to_string()),
            Err(TokenError::Invalid),
        ),
        (ours(&without("exp").to_string()), Err(TokenError::Invalid)),
        (
            ours(&with("nbf", json!(now() + 9)).to_string()),
            Err(TokenError::Invalid),
        ),
        (
            ours(&with("aud", json!("another")).to_string()),
            Err(TokenError::Invalid),
        ),
        (ours(&with("userId", json!(7)).to_string()), Ok(7)),
        (
            ours(&with("userId", json!("0")).to_string()),
            Err(TokenError::Invalid),
        ),
        (
            ours(&with("lid", json!("x")).to_string()),
            Err(TokenError::Invalid),
        ),
        (
            ours(&with("username", json!("n".repeat(900))).to_string()),
            Ok(7),
        ),
        (
            ours(&with("lid", json!(null)).to_string()),
            Err(TokenError::Invalid),
        ),
        (
            ours(&with("scope", json!(null)).to_string()),
            Err(TokenError::Invalid),
        ),
        (
            ours(&with("role", json!(null)).to_string()),
            Err(TokenError::Invalid),
        ),
        (
            ours(&format!(
                r#"["7","user1","user",{0},{1}]"#,
                now(),
                now() + 60
            )),
            Err(TokenError::Invalid),
        ),
        (
            ours(&format!(
                r#"["7","user1","user",{0},{1},null,""]"#,
                now(),
                now() + 60
            )),
            Err(TokenError::Invalid),
        ),
        (ours(&plain) + "=", Err(TokenError::Invalid)),
        (ours(&plain) + ".", Err(TokenError::Invalid)),
        (ours(&plain) + "AAAA", Err(TokenError::Invalid)),
        (format!("{header}."), Err(TokenError::Invalid)),
        (header.to_owned(), Err(TokenError::Invalid)),
    ] {
        assert_eq!(tokens.issued.accept(other.as_bytes()), None, "{other}");
        let read = tokens.verify(&other).map(|identity| identity.user.value());
        assert_eq!(read, verdict, "{other}");
    }
    let elsewhere = ours(&with("lid", json!("0000abcd")).to_string());
    assert_eq!(tokens.verify(&elsewhere), Err(TokenError::Invalid));
}

#[test]
fn no_bit_of_an_issued_token_may_differ() {
    let tokens = tokens();
    let user = UserId::new(7).unwrap();
    let issued = tokens
        .issue(user, "user1", Role::User, SystemClock.now())
        .unwrap();
    assert!(tokens.issued.accept(issued.as_bytes()).is_some());
    for place in 0..issued.len() {
        for bit in 0..8 {
            let mut other = issued.clone().into_bytes();
            other[place] ^= 1 << bit;
            if let Some(read) = tokens.issued.accept(&other) {
                panic!("{read:?} of {}", String::from_utf8_lossy(&other));
            }
        }
    }
}

fn tokens_of(ledger: u128) -> Tokens {
    tokens().of_ledger(LedgerId(uuid::Uuid::from_u128(ledger)))
}

#[test]
fn a_token_of_another_ledger_is_refused() {
    let user = UserId::new(7).unwrap();
    let now = SystemClock.now();
    let token = tokens_of(0x1a2b_3c4d)
        .issue(user, "user1", Role::User, now)
        .unwrap();
    let identity = tokens_of(0x1a2b_3c4d).verify(&token).unwrap();
    assert_eq!((identity.user, identity.issued_at), (user, now.timestamp()));
    assert_eq!(
        tokens_of(0x1a2b_3c4e).verify(&token),
        Err(TokenError::Invalid)
    );
    // Whoever was not told which ledger it serves takes all.
    assert!(tokens().verify(&token).is_ok());
    for wrong in [json!("1a2b3c4"), json!(7), json!(null), json!("")] {
        let token = signed(&with("lid", wrong.clone()));
        assert_eq!(
            tokens_of(0x1a2b_3c4d).verify(&token),
            Err(TokenError::Invalid),
            "{wrong}"
        );
    }
}

#[test]
fn a_token_without_a_ledger_is_taken_with_its_age() {
    let identity = tokens_of(1)
        .verify(&signed(&with("iat", json!(99))))
        .unwrap();
    assert_eq!(identity.issued_at, 99);
    // Nothing is younger than a token that does not say.
    let identity = tokens_of(1).verify(&signed(&without("iat"))).unwrap();
    assert_eq!(identity.issued_at, i64::MIN);
}

#[test]
fn a_token_of_the_previous_secret_is_taken_while_it_is_set_and_none_is_signed_with_it() {
    let with = |secret: &str, previous: Option<&str>| {
        Tokens::new(&AuthConfig {
            jwt_secret: Secret::new(secret),
            jwt_secret_previous: previous.map(Secret::new),
            ..config()
        })
    };
    let (old, new) = (
        "the old secret of a test, of 32 bytes",
        "the new secret of a test, of 32 bytes",
    );
    let user = UserId::new(7).unwrap();
    let issue = |tokens: &Tokens, at| tokens.issue(user, "user1", Role::User, at).unwrap();
    let (before, during, after) = (with(old, None), with(new, Some(old)), with(new, None));
    let now = SystemClock.now();
    let earlier = issue(&before, now);
    assert!(during.verify(&earlier).is_ok());
    assert_eq!(after.verify(&earlier), Err(TokenError::Invalid));
    let later = issue(&during, now);
    assert!(after.verify(&later).is_ok());
    assert_eq!(before.verify(&later), Err(TokenError::Invalid));
    let expired = issue(&before, now - chrono::TimeDelta::hours(1));
    assert_eq!(during.verify(&expired), Err(TokenError::Expired));
    let stranger = issue(&with("a third secret of a test, of 32 bytes", None), now);
    assert_eq!(during.verify(&stranger), Err(TokenError::Invalid));
}

#[test]
fn a_token_carries_each_role_and_a_ledgers_word_is_the_tokens() {
    let user = UserId::new(7).unwrap();
    for role in Role::ALL {
        let token = tokens().issue(user, "user1", role, SystemClock.now());
        assert_eq!(verdict(&token.unwrap()), Ok((7, role)));
        let signed_word = signed(&with("role", json!(role.to_sql())));
        assert_eq!(verdict(&signed_word), Ok((7, role)));
        assert_eq!(Role::from_sql(role.to_sql()), role);
    }
    assert_eq!(Role::from_sql("Admin"), Role::User);
    assert_eq!(Role::from_sql("owner"), Role::User);
}

#[test]
fn tokens_of_the_original_are_a_shoppers() {
    assert_eq!(verdict(&signed(&without("role"))), Ok((7, Role::User)));
    assert_eq!(
        verdict(&signed(&with("role", json!("owner")))),
        Ok((7, Role::User))
    );
    assert_eq!(
        verdict(&signed(&with("userId", json!(7)))),
        Ok((7, Role::Admin))
    );
}

#[test]
fn no_other_algorithm_is_accepted() {
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        assert_eq!(
            verdict(&signed_as(algorithm, SECRET, &claims())),
            Err(TokenError::Invalid),
            "{algorithm:?}"
        );
    }
    for algorithm in [
        "none", "None", "NONE", "", "RS256", "ES256", "PS256", "EdDSA", "HS512", "hs256",
    ] {
        let header = json!({"alg": algorithm, "typ": "JWT"});
        assert_eq!(
            verdict(&with_header(&header, &claims())),
            Err(TokenError::Invalid),
            "{algorithm:?}"
        );
        let unsigned = format!(
            "{}.{}.",
            base64url(header.to_string().as_bytes()),
            base64url(claims().to_string().as_bytes())
        );
        assert_eq!(
            verdict(&unsigned),
            Err(TokenError::Invalid),
            "{algorithm:?}"
        );
    }
    assert_eq!(
        verdict(&with_header(&json!({"typ": "JWT"}), &claims())),
        Err(TokenError::Invalid)
    );
    let critical = json!({"alg": "HS256", "crit": ["b64"], "b64": true});
    assert_eq!(
        verdict(&with_header(&critical, &claims())),
        Err(TokenError::Invalid)
    );
}

#[test]
fn forged_and_broken_tokens_are_refused() {
    let good = signed(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let other = base64url(with("userId", json!("8")).to_string().as_bytes());
    for token in [
        signed_as(
            Algorithm::HS256,
            "another secret that has more than 32 bytes",
            &claims(),
        ),
        signed_as(Algorithm::HS256, "", &claims()),
        format!("{header}.{other}.{signature}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        format!("{header}..{signature}"),
        format!("{good}.{signature}"),
        format!("{good}="),
        good[..good.len() - 2].to_owned(),
        good.replace('.', " "),
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "ü.ü.ü".to_owned(),
        "\0".to_owned(),
    ] {
        assert_eq!(verdict(&token), Err(TokenError::Invalid), "{token:?}");
    }
}

#[test]
fn a_token_has_its_time() {
    assert_eq!(
        verdict(&signed(&with("exp", json!(now() - 1)))),
        Err(TokenError::Expired)
    );
    assert_eq!(
        verdict(&signed(&with("exp", json!(now())))),
        Err(TokenError::Expired),
        "not good at exp itself"
    );
    assert_eq!(
        verdict(&signed(&with("nbf", json!(now() - 1)))),
        Ok((7, Role::Admin))
    );
    for claims in [
        without("exp"),
        with("exp", json!("tomorrow")),
        with("exp", json!(null)),
        with("exp", json!(-1)),
        with("exp", json!((now() + 60).to_string())),
        with("nbf", json!(now() + 30)),
        with("nbf", json!("later")),
        with("aud", json!("somebody else")),
    ] {
        assert_eq!(
            verdict(&signed(&claims)),
            Err(TokenError::Invalid),
            "{claims}"
        );
    }
}

#[test]
fn the_user_is_a_positive_whole_number() {
    for user in [
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!("0"),
        json!("-1"),
        json!("+1"),
        json!(" 1"),
        json!("one"),
        json!(""),
        json!("1\0"),
        json!(null),
        json!(true),
        json!(["1"]),
        json!({"id": 1}),
    ] {
        assert_eq!(
            verdict(&signed(&with("userId", user.clone()))),
            Err(TokenError::Invalid),
            "{user}"
        );
    }
    assert_eq!(
        verdict(&signed(&without("userId"))),
        Err(TokenError::Invalid)
    );
    assert_eq!(verdict(&signed(&json!("7"))), Err(TokenError::Invalid));
    assert_eq!(verdict(&signed(&json!([]))), Err(TokenError::Invalid));
}
