//! The check that names the permissions that the gate's Redis user lacks. `acl_rule` grants them.

use fred::types::Key;

use super::{
    acl_rule::rule,
    client::{Address, ConnectError, Login},
    failure::{self, Certainty},
    reply,
    scripts::SCRIPTS,
    session::{Failed, Session},
};
use crate::config::RedisConfig;

/// Fails if the user lacks a permission, or if the server accepts no writes.
pub(super) async fn check(
    config: &RedisConfig,
    session: &Session,
    probe_key: &str,
) -> Result<(), ConnectError> {
    let keys: Vec<Key> = ["", ":hash", ":sorted", ":set"]
        .iter()
        .map(|suffix| format!("{probe_key}{suffix}").into())
        .collect();
    // A channel in the keys' slot. Nobody subscribes to it.
    let channel = format!("{probe_key}:channel");
    let announcing = [announcing_command(config).into(), channel.into()];
    let answer = session
        .run(&SCRIPTS.check_rights, &keys, &announcing, false)
        .await
        .map_err(|failed| missing_or(config, session, failed))?;
    let names = reply::list(answer)
        .and_then(|names| {
            let names: Result<Vec<_>, _> = names
                .iter()
                .map(|name| reply::text(name).map(as_rule))
                .collect();
            names
        })
        .map_err(|error| ConnectError::Unreachable(error.to_string()))?;
    if !names.is_empty() {
        return Err(missing(config, names.join(" ")));
    }
    // EVAL is checked although it is not needed yet: it is as soon as the server has lost a script.
    session
        .send_text(&SCRIPTS.probe_write, &keys)
        .await
        .map(drop)
        .map_err(|failed| missing_or(config, session, failed))
}

/// Fails if the user may not subscribe to announcements. On a connection of its own, which can be used for nothing else afterwards.
pub(super) async fn check_subscribing(
    config: &RedisConfig,
    address: &Address,
    probe_key: &str,
) -> Result<(), ConnectError> {
    let session = Session::bare(config, address, Login::of(config)).await?;
    let channel = format!("{probe_key}:channel");
    let subscribed = session.subscribe(vec![channel], config.cluster_mode).await;
    match subscribed.map_err(|failed| missing_or(config, &session, failed)) {
        Err(error @ ConnectError::RightsMissing { .. }) => Err(error),
        // What passes is noticed when announcements are followed.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A missing command, or a missing channel, as a rule grants it.
fn as_rule(name: &str) -> String {
    if name.starts_with('&') {
        name.to_owned()
    } else {
        format!("+{name}")
    }
}

fn announcing_command(config: &RedisConfig) -> &'static str {
    if config.cluster_mode {
        "SPUBLISH"
    } else {
        "PUBLISH"
    }
}

/// Converts a failed command: a missing permission is reported with the rule that grants it, any other error as it is.
#[allow(clippy::needless_pass_by_value)] // for map_err
pub(super) fn missing_or(config: &RedisConfig, session: &Session, failed: Failed) -> ConnectError {
    if failure::code(&failed.error) == Some("NOPERM")
        && failed.failure.certainty != Certainty::InDoubt
    {
        missing(config, failed.error.details().to_owned())
    } else {
        ConnectError::at(&session.address, &failed.error)
    }
}

fn missing(config: &RedisConfig, missing: String) -> ConnectError {
    ConnectError::RightsMissing {
        user: Login::of(config).username.unwrap_or("default").to_owned(),
        missing,
        rule: rule(config.cluster_mode),
    }
}
