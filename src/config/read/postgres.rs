//! Reads the settings of PostgreSQL, and of the original's database, which an import reads.

use super::super::{
    Pooler, PostgresConfig, Secret, TlsConfig, TlsMode,
    address::Address,
    reader::Reader,
    tls::{self, Named},
};

pub(super) fn postgres(read: &mut Reader, production: bool) -> PostgresConfig {
    let host = postgres_hosts(read, "postgres.host");
    let named = named_hosts(&host);
    let hosts: Vec<&str> = named.iter().map(String::as_str).collect();
    let servers = Named {
        hosts: &hosts,
        announce_others: false,
    };
    let tls = tls::read(read, "postgres", &servers, production);
    PostgresConfig {
        host,
        tls,
        pooler: read.choice(
            "postgres.pooler",
            &[("none", Pooler::None), ("transaction", Pooler::Transaction)],
        ),
        port: read.number("postgres.port", 1..=u16::MAX),
        user: read.required("postgres.user"),
        password: Secret::new(read.text("postgres.password")),
        database: read.required("postgres.database"),
        pool_size: read.number("postgres.pool_size", 2..=10_000),
        pool_timeout: read.millis("postgres.pool_timeout_ms", 50..=60_000),
        statement_timeout: read.millis("postgres.statement_timeout_ms", 100..=600_000),
    }
}

/// The connection to the original's database: that of `ours`, except for the settings that `original` has.
pub(super) fn original(
    read: &mut Reader,
    production: bool,
    ours: &PostgresConfig,
) -> PostgresConfig {
    let host = read
        .optional("original.host")
        .map(|_| postgres_hosts(read, "original.host"));
    let is_set = |read: &Reader, setting| read.optional(setting).is_some();
    // Both share this setting, whose other problems were reported when `ours` was read.
    let is_elsewhere = |hosts: &str| !tls::are_local(named_hosts(hosts));
    if ours.tls.mode == TlsMode::Require
        && production
        && host.as_deref().is_some_and(is_elsewhere)
        && !is_elsewhere(&ours.host)
    {
        read.problem("postgres.tls", tls::REQUIRE_REFUSED);
    }
    PostgresConfig {
        tls: match &host {
            Some(host) if read.text("postgres.tls").eq_ignore_ascii_case("auto") => TlsConfig {
                mode: tls::automatic(named_hosts(host), production),
                ..ours.tls.clone()
            },
            Some(_) | None => ours.tls.clone(),
        },
        host: host.unwrap_or_else(|| ours.host.clone()),
        port: if is_set(read, "original.port") {
            read.number("original.port", 1..=u16::MAX)
        } else {
            ours.port
        },
        user: read
            .optional("original.user")
            .unwrap_or_else(|| ours.user.clone()),
        password: read
            .optional("original.password")
            .map_or_else(|| ours.password.clone(), Secret::new),
        // Works with a pooler too: the import reads the database in one transaction.
        pooler: Pooler::None,
        ..ours.clone()
    }
}

/// Checks a list of addresses and of directories of Unix sockets, and returns it separated by commas.
fn postgres_hosts(read: &mut Reader, setting: &str) -> String {
    let items = read.list(setting);
    if items.is_empty() {
        read.problem(setting, "must name at least one address");
    }
    let hosts = items.into_iter().map(|item| {
        if item.starts_with('/') {
            return item;
        }
        let address = read.parse_address(setting, &item);
        if address.port == Some(0) {
            read.problem(setting, "names port 0, which nobody can connect to");
        }
        address.to_string()
    });
    hosts.collect::<Vec<_>>().join(",")
}

/// The hosts of [`postgres_hosts`] without ports. Sockets, which are always on this machine, are left out.
fn named_hosts(hosts: &str) -> Vec<String> {
    let addresses = hosts.split(',').filter_map(|host| host.parse().ok());
    addresses.map(|address: Address| address.host).collect()
}
