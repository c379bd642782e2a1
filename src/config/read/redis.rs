//! Reads the settings of Redis, of its Sentinels too.

use super::super::{
    RedisConfig, Secret, SentinelConfig,
    reader::Reader,
    tls::{self, Named},
};

/// Of a Sentinel whose address has no port.
const SENTINEL_PORT: u16 = 26379;

pub(super) fn redis(read: &mut Reader, production: bool) -> RedisConfig {
    let (host, port) = read.server("redis.host", "redis.port");
    let sentinel = sentinel(read);
    let cluster_mode = read.flag("redis.cluster_mode");
    let hosts: Vec<_> = match &sentinel {
        None => vec![host.as_str()],
        Some(sentinel) => sentinel
            .addresses
            .iter()
            .map(|(host, _)| host.as_str())
            .collect(),
    };
    let servers = Named {
        hosts: &hosts,
        announce_others: cluster_mode || sentinel.is_some(),
    };
    let tls = tls::read(read, "redis", &servers, production);
    RedisConfig {
        host,
        port,
        username: read.optional("redis.username"),
        password: read.optional("redis.password").map(Secret::new),
        cluster_mode,
        sentinel,
        tls,
        passwords_in_clear: read.flag("server.passwords_in_clear"),
        command_timeout: read.millis("redis.command_timeout_ms", 50..=60_000),
    }
}

fn sentinel(read: &mut Reader) -> Option<SentinelConfig> {
    if read.optional("redis.sentinels").is_none() {
        if read.optional("redis.sentinel_master").is_some() {
            read.problem("redis.sentinels", "must name the Sentinels of the primary");
        }
        return None;
    }
    if read.text("redis.cluster_mode").eq_ignore_ascii_case("true") {
        read.problem(
            "redis.sentinels",
            "must be empty in cluster mode: a cluster fails over by itself",
        );
    }
    Some(SentinelConfig {
        addresses: read.servers("redis.sentinels", SENTINEL_PORT),
        master: read.required("redis.sentinel_master"),
        username: read.optional("redis.sentinel_username"),
        password: read.optional("redis.sentinel_password").map(Secret::new),
    })
}
