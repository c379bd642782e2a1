//! Judges the setup of Redis.

use super::report::{self, Check};
use crate::{
    config::RedisConfig,
    engine::redis::inspect::{Inspection, Node},
};

const AREA: &str = "redis";
/// Number of slots of every Redis Cluster.
const SLOTS: u64 = 16_384;

pub(super) fn judge(config: &RedisConfig, found: &Inspection) -> Vec<Check> {
    let mut checks = vec![mode(config, found)];
    if let Some(cluster) = &found.cluster {
        let served = format!(
            "{} of {SLOTS} slots served, state {}",
            cluster.slots_ok, cluster.state
        );
        checks.push(
            if cluster.state == "ok" && cluster.slots_ok == SLOTS && cluster.failing == 0 {
                Check::ok(AREA, "cluster", served)
            } else {
                Check::failed(
                    AREA,
                    "cluster",
                    format!("{served}, masters that fail: {}", cluster.failing),
                )
                .advise(
                    "sales of the missing slots cannot be sold; see `redis-cli --cluster check`",
                )
            },
        );
    }
    for node in &found.nodes {
        checks.extend([
            role(node),
            eviction(node),
            memory(node),
            persistence(node),
            clients(node),
        ]);
        checks.push(report::clock(
            AREA,
            node.clock_ahead_ms,
            "it opens the sales",
        ));
    }
    checks
}

fn mode(config: &RedisConfig, found: &Inspection) -> Check {
    let clustered = found.cluster.is_some();
    let version = found.nodes.first().map_or("", |node| node.version.as_str());
    let kind = if clustered { "cluster" } else { "server" };
    let found = format!(
        "version {version}, a {kind}, REDIS_CLUSTER_MODE={}",
        config.cluster_mode
    );
    if clustered == config.cluster_mode {
        Check::ok(AREA, "mode", found)
    } else {
        Check::failed(AREA, "mode", found).advise("set REDIS_CLUSTER_MODE to what it is")
    }
}

fn role(node: &Node) -> Check {
    let address = node.address.clone();
    if node.is_replica {
        Check::failed(AREA, "role", format!("{address} is a replica"))
            .advise("name the primary in REDIS_HOST")
    } else {
        Check::ok(AREA, "role", format!("{address} is a primary"))
    }
}

fn eviction(node: &Node) -> Check {
    let found = format!("{} at {}", node.eviction, node.address);
    if node.eviction == "noeviction" {
        Check::ok(AREA, "eviction", found)
    } else if node.max_memory == 0 {
        Check::warning(
            AREA,
            "eviction",
            format!("{found}, without a limit of memory"),
        )
        .advise("set maxmemory-policy noeviction before somebody sets a limit")
    } else {
        Check::failed(AREA, "eviction", found)
            .advise("a full Redis would forget sales; set maxmemory-policy noeviction")
    }
}

fn memory(node: &Node) -> Check {
    let mb = |bytes: u64| bytes / 1_000_000;
    let found = format!(
        "{} MB used of {} MB",
        mb(node.used_memory),
        mb(node.max_memory)
    );
    if node.max_memory == 0 {
        Check::ok(
            AREA,
            "memory",
            format!("{} MB used, no limit", mb(node.used_memory)),
        )
    } else if node.used_memory >= node.max_memory / 10 * 9 {
        Check::failed(AREA, "memory", found)
            .advise("raise maxmemory, or clear away what is not needed")
    } else if node.used_memory >= node.max_memory / 10 * 7 {
        Check::warning(AREA, "memory", found).advise("a million holders need some 200 MB more")
    } else {
        Check::ok(AREA, "memory", found)
    }
}

fn persistence(node: &Node) -> Check {
    match (node.append_only, node.snapshots) {
        (true, _) => Check::ok(AREA, "persistence", "append-only file".to_owned()),
        (false, Some(false)) => Check::warning(AREA, "persistence", "none".to_owned())
            .advise("a restart forgets results of shoppers without a unit, and sales are loaded anew; set appendonly yes"),
        (false, _) => Check::warning(AREA, "persistence", "snapshots only".to_owned())
            .advise("a crash loses what came after the last one; it heals, but sales close meanwhile; set appendonly yes"),
    }
}

fn clients(node: &Node) -> Check {
    let Some(most) = node.max_clients else {
        return Check::ok(AREA, "clients", format!("{} connected", node.clients));
    };
    let found = format!("{} connected of {most}", node.clients);
    if node.clients >= most / 10 * 9 {
        Check::failed(AREA, "clients", found).advise("raise maxclients")
    } else {
        Check::ok(AREA, "clients", found)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::redis::inspect::Cluster;

    fn sound() -> (RedisConfig, Inspection) {
        let config = RedisConfig {
            host: "redis".to_owned(),
            port: 6379,
            username: None,
            password: None,
            cluster_mode: false,
            sentinel: None,
            tls: crate::config::TlsConfig::NONE,
            passwords_in_clear: false,
            command_timeout: Duration::from_secs(1),
        };
        let node = Node {
            address: "redis:6379".to_owned(),
            version: "7.0.15".to_owned(),
            is_replica: false,
            is_clustered: false,
            eviction: "noeviction".to_owned(),
            max_memory: 1_000_000_000,
            used_memory: 1_000_000,
            append_only: true,
            snapshots: Some(true),
            clients: 3,
            max_clients: Some(10_000),
            clock_ahead_ms: -3,
        };
        (
            config,
            Inspection {
                cluster: None,
                nodes: vec![node],
            },
        )
    }

    /// The checks that are not ok after a change to a sound setup.
    fn after(change: impl FnOnce(&mut RedisConfig, &mut Inspection)) -> Vec<String> {
        let (mut config, mut found) = sound();
        change(&mut config, &mut found);
        report::problems(&judge(&config, &found))
    }

    #[test]
    fn each_problem_is_reported_by_its_own_check() {
        let none: [&str; 0] = [];
        assert_eq!(after(|_, _| {}), none);
        assert_eq!(
            after(|_, found| found.nodes[0].is_replica = true),
            ["redis role: Failed"]
        );
        assert_eq!(
            after(|_, found| found.nodes[0].eviction = "allkeys-lru".to_owned()),
            ["redis eviction: Failed"]
        );
        assert_eq!(
            after(|_, found| {
                found.nodes[0].eviction = "volatile-ttl".to_owned();
                found.nodes[0].max_memory = 0;
            }),
            ["redis eviction: Warning"]
        );
        assert_eq!(
            after(|_, found| found.nodes[0].used_memory = 950_000_000),
            ["redis memory: Failed"]
        );
        assert_eq!(
            after(|_, found| found.nodes[0].used_memory = 750_000_000),
            ["redis memory: Warning"]
        );
        assert_eq!(
            after(|_, found| found.nodes[0].append_only = false),
            ["redis persistence: Warning"]
        );
        assert_eq!(
            after(|_, found| found.nodes[0].clients = 9_990),
            ["redis clients: Failed"]
        );
        assert_eq!(
            after(|_, found| found.nodes[0].clock_ahead_ms = 400),
            ["redis clock: Warning"]
        );
        assert_eq!(
            after(|_, found| found.nodes[0].clock_ahead_ms = -1_400),
            ["redis clock: Failed"]
        );
        assert_eq!(
            after(|config, _| config.cluster_mode = true),
            ["redis mode: Failed"]
        );
    }

    #[test]
    fn a_cluster_must_serve_every_slot() {
        let clustered = |slots_ok, failing| {
            after(|config, found| {
                config.cluster_mode = true;
                let state = "ok".to_owned();
                found.cluster = Some(Cluster {
                    state,
                    slots_ok,
                    failing,
                });
            })
        };
        assert!(clustered(SLOTS, 0).is_empty());
        assert_eq!(clustered(SLOTS - 1, 0), ["redis cluster: Failed"]);
        assert_eq!(clustered(SLOTS, 1), ["redis cluster: Failed"]);
    }
}
