//! The rule for ACL SETUSER with the permissions that the gate's Redis user needs.

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
        ["spublish", "ssubscribe", "pubsub|shardnumsub"]
    } else {
        ["publish", "subscribe", "pubsub|numsub"]
    };
    let scripts = BESIDE_SCRIPTS.iter().chain(IN_SCRIPTS);
    for command in scripts.chain(&announcing).chain(cluster) {
        rule.push_str(" +");
        rule.push_str(command);
    }
    rule
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::scripts::SCRIPTS, *};

    /// Those for announcements, which differ between one server and a cluster.
    const ANNOUNCING: [&str; 2] = ["pubsub", "spublish"];

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
            .filter(|name| !ANNOUNCING.contains(&name.as_str()))
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
