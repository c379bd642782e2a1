//! Judges secrets: whether they are publicly known, weak or missing.

use super::report::Check;
use crate::config::{Config, is_known_password, weakness_of_secret};

const AREA: &str = "settings";

/// Checks the settings that every deployment needs.
pub(super) fn judge(config: &Config) -> Vec<Check> {
    let secret = config.auth.jwt_secret.reveal();
    let tokens = match weakness_of_secret(secret) {
        Some(weakness) => Check::failed(
            AREA,
            "JWT_SECRET",
            format!("{weakness}: whoever has it can forge a token"),
        )
        .advise("set one of your own, e.g. from `openssl rand -base64 32`"),
        None => Check::ok(AREA, "JWT_SECRET", format!("{} bytes", secret.len())),
    };
    let mode = if config.server.production {
        Check::ok(AREA, "NODE_ENV", "production".to_owned())
    } else {
        Check::warning(AREA, "NODE_ENV", "development".to_owned())
            .advise("production refuses known and weak secrets at start")
    };
    let mut checks = vec![tokens, mode];
    if config.auth.jwt_secret_previous.is_some() {
        let told = "is set: tokens signed with it are accepted".to_owned();
        checks.push(Check::warning(AREA, "JWT_SECRET_PREVIOUS", told).advise(
            "remove it once JWT_EXPIRES_IN has passed since the last node got the new secret",
        ));
    }
    checks
}

/// Checks the settings that a deployment on servers needs as well.
pub(super) fn judge_servers(config: &Config) -> Vec<Check> {
    let password = if is_known_password(config.postgres.password.reveal()) {
        Check::warning(
            AREA,
            "POSTGRES_PASSWORD",
            "is the default, or an obvious one".to_owned(),
        )
        .advise("set one of your own")
    } else {
        Check::ok(
            AREA,
            "POSTGRES_PASSWORD",
            "is not an obvious one".to_owned(),
        )
    };
    let redis = if config.redis.password.is_none() {
        Check::warning(AREA, "REDIS_PASSWORD", "is not set".to_owned())
            .advise("whoever reaches Redis can give units away; set one, or keep Redis unreachable")
    } else {
        Check::ok(AREA, "REDIS_PASSWORD", "is set".to_owned())
    };
    vec![password, redis]
}
