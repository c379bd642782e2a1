//! Secrets that are known, weak or missing.

use super::report::Check;
use crate::config::{Config, KNOWN_JWT_SECRET, KNOWN_POSTGRES_PASSWORD, SECRET_BYTES};

const AREA: &str = "settings";

/// What every system needs.
pub(super) fn judge(config: &Config) -> Vec<Check> {
    let secret = config.auth.jwt_secret.reveal();
    let length = secret.len();
    let tokens = if secret == KNOWN_JWT_SECRET {
        Check::failed(
            AREA,
            "JWT_SECRET",
            "is the default, with which anybody can forge a token".to_owned(),
        )
        .advise("set one of your own, e.g. from `openssl rand -base64 32`")
    } else if length < SECRET_BYTES {
        Check::warning(
            AREA,
            "JWT_SECRET",
            format!("has {length} bytes, under {SECRET_BYTES}"),
        )
        .advise("set a longer one, e.g. from `openssl rand -base64 32`")
    } else {
        Check::ok(
            AREA,
            "JWT_SECRET",
            format!("is not the default, {length} bytes"),
        )
    };
    let mode = if config.server.production {
        Check::ok(AREA, "NODE_ENV", "production".to_owned())
    } else {
        Check::warning(AREA, "NODE_ENV", "development".to_owned())
            .advise("production refuses known and weak secrets at start")
    };
    vec![tokens, mode]
}

/// What a system on servers needs, too.
pub(super) fn judge_servers(config: &Config) -> Vec<Check> {
    let password = if config.postgres.password.reveal() == KNOWN_POSTGRES_PASSWORD {
        Check::warning(AREA, "POSTGRES_PASSWORD", "is the default".to_owned())
            .advise("set one of your own")
    } else {
        Check::ok(AREA, "POSTGRES_PASSWORD", "is not the default".to_owned())
    };
    let redis = if config.redis.password.is_none() {
        Check::warning(AREA, "REDIS_PASSWORD", "is not set".to_owned())
            .advise("whoever reaches Redis can give units away; set one, or keep Redis unreachable")
    } else {
        Check::ok(AREA, "REDIS_PASSWORD", "is set".to_owned())
    };
    vec![password, redis]
}
