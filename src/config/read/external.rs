//! Reads the settings of accounts that the shop keeps, and of its issuer.

use super::super::{ExchangeConfig, ExternalConfig, IssuerAlgorithm, reader::Reader};

pub(super) fn external(read: &mut Reader, production: bool) -> ExternalConfig {
    let local_accounts = read.flag("external.local_accounts");
    let issuer = read.optional("external.issuer");
    if !local_accounts && issuer.is_none() {
        let what = "is false, while EXTERNAL_ISSUER is empty: nobody could buy";
        read.problem("external.local_accounts", what);
    }
    let exchange = exchange(read, issuer.as_deref(), production);
    ExternalConfig {
        local_accounts,
        issuer,
        exchange,
    }
}

fn exchange(read: &mut Reader, issuer: Option<&str>, production: bool) -> Option<ExchangeConfig> {
    let algorithms = algorithms(read, "external.algorithms");
    let audience = read.optional("external.audience");
    let Some(jwks_url) = read.optional("external.jwks_url") else {
        if audience.is_some() {
            let what = "is set, while EXTERNAL_JWKS_URL is empty: no token could be verified";
            read.problem("external.audience", what);
        }
        return None;
    };
    let is_address = jwks_url.starts_with("https://") || jwks_url.starts_with("http://");
    if !is_address || jwks_url.contains('@') {
        let what =
            "must begin with https:// or, in development, http://, without a user or a password";
        read.problem("external.jwks_url", what);
    } else if production && !jwks_url.starts_with("https://") {
        let what = "must begin with https:// in production: whoever changes the keys on their way can be anybody";
        read.problem("external.jwks_url", what);
    }
    if issuer.is_none() {
        let what = "must name the issuer, as its tokens do, when EXTERNAL_JWKS_URL is set";
        read.problem("external.issuer", what);
    }
    if audience.is_none() {
        let what = "must not be empty when EXTERNAL_JWKS_URL is set: tokens for other services would be taken";
        read.problem("external.audience", what);
    }
    Some(ExchangeConfig {
        issuer: issuer.unwrap_or_default().to_owned(),
        audience: audience.unwrap_or_default(),
        jwks_url,
        algorithms,
        https_only: production,
    })
}

fn algorithms(read: &mut Reader, setting: &str) -> Vec<IssuerAlgorithm> {
    const NAMES: [(&str, IssuerAlgorithm); 3] = [
        ("RS256", IssuerAlgorithm::Rs256),
        ("ES256", IssuerAlgorithm::Es256),
        ("EdDSA", IssuerAlgorithm::EdDsa),
    ];
    let of = |name: &String| {
        let known = NAMES.iter().find(|(known, _)| known == name);
        known.map(|(_, algorithm)| *algorithm)
    };
    let algorithms: Option<Vec<_>> = read.list(setting).iter().map(of).collect();
    let algorithms = algorithms.unwrap_or_default();
    if algorithms.is_empty() {
        let what = "must be one or more of RS256, ES256 and EdDSA, comma-separated";
        read.problem(setting, what);
    }
    algorithms
}
