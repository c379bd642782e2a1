//! The permissions that the gate's Redis user needs, and the check that names the missing ones.

use fred::types::Key;

use super::{
    client::{Address, ConnectError, Login},
    failure::{self, Certainty},
    reply,
    scripts::SCRIPTS,
    session::{Failed, Session},
};
use crate::config::RedisConfig;

/// Commands that the scripts call; `check_rights.lua` calls each of them.
const IN_SCRIPTS: &[&str] = &[
    "decrby",
    "exists",
    "get",
    "hdel",
    "hget",
    "hincrby",
    "hlen",
    "hmget",
    "hscan",
    "hset",
    "incr",
    "incrby",
    "info",
    "pexpire",
    "pexpireat",
    "pttl",
    "sadd",
    "set",
    "sismember",
    "srem",
    "time",
    "unlink",
    "zadd",
    "zcard",
    "zrangebyscore",
    "zrem",
    "zscore",
];

/// Commands that are sent outside scripts. The optional ones are `script|load`, which only saves sending script texts later, and
/// `client|id` and `ping`, which the client library sends and which may be refused.
const BESIDE_SCRIPTS: &[&str] = &["client|id", "eval", "evalsha", "ping", "script|load"];

/// The rule for ACL SETUSER that grants exactly the permissions that are needed.
#[must_use]
pub fn rule(clustered: bool) -> String {
    let mut rule = "resetkeys ~flashsale:* resetchannels &flashsale:* -@all".to_owned();
    // `cluster|info` and `cluster|nodes` are for `doctor`.
    let cluster: &[&str] = if clustered {
        &["cluster|slots", "cluster|info", "cluster|nodes"]
    } else {
        &[]
    };
    let announcing = if clustered {
        ["spublish", "ssubscribe"]
    } else {
        ["publish", "subscribe"]
    };
    let scripts = BESIDE_SCRIPTS.iter().chain(IN_SCRIPTS);
    for command in scripts.chain(&announcing).chain(cluster) {
        rule.push_str(" +");
        rule.push_str(command);
    }
    rule
}

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The commands that a script calls: the first argument of `redis.call`, `redis.pcall`, `call` and `try`.
    fn commands_of(script: &str) -> BTreeSet<String> {
        script
            .split(['\n'])
            .map(|line| line.split("--").next().unwrap_or_default())
            .flat_map(|line| {
                line.split(['(', ' ', '\''])
                    .collect::<Vec<_>>()
                    .windows(3)
                    .map(|words| words.join("\u{0}"))
                    .collect::<Vec<_>>()
            })
            .filter_map(|words| {
                let mut words = words.split('\u{0}');
                let function = words.next()?;
                let is_call = function.ends_with("call") || function == "try";
                let name = words.find(|word| !word.is_empty())?;
                (is_call && name.len() > 1 && name.bytes().all(|byte| byte.is_ascii_uppercase()))
                    .then(|| name.to_lowercase())
            })
            .collect()
    }

    #[test]
    fn the_rule_grants_what_the_scripts_call_and_no_more() {
        let known: BTreeSet<String> = IN_SCRIPTS.iter().map(ToString::to_string).collect();
        let mut used = BTreeSet::new();
        for script in SCRIPTS.all() {
            used.extend(commands_of(script.lua().unwrap()));
        }
        assert_eq!(used, known);
        let checked = commands_of(SCRIPTS.check_rights.lua().unwrap());
        assert_eq!(checked, known, "check_rights.lua");
    }

    /// The command of `docs/OPERATIONS.md`, as a shell reads it.
    #[test]
    fn the_operations_page_grants_the_rule() {
        let page = include_str!("../../../docs/OPERATIONS.md");
        let (_, command) = page.split_once("ACL SETUSER flashsale on ").unwrap();
        let (command, _) = command.split_once("```").unwrap();
        let words: Vec<String> = command
            .replace("\\\n", " ")
            .replace('\'', "")
            .lines()
            .next()
            .unwrap()
            .split_whitespace()
            .skip(1)
            .map(str::to_owned)
            .collect();
        assert_eq!(words.join(" "), rule(false));
    }
}
