//! Judges the setup of PostgreSQL.

use super::report::{self, Check};
use crate::{config::PostgresConfig, engine::postgres::inspect::Inspection};

const AREA: &str = "postgresql";

pub(super) fn judge(config: &PostgresConfig, found: &Inspection, processes: u32) -> Vec<Check> {
    let mut checks = vec![
        if found.is_read_only {
            Check::failed(
                AREA,
                "writes",
                format!("version {}, takes none", found.version),
            )
            .advise("name the primary in POSTGRES_HOST")
        } else {
            Check::ok(
                AREA,
                "writes",
                format!("version {}, takes them", found.version),
            )
        },
        if found.missing_migrations.is_empty() {
            Check::ok(AREA, "migrations", "all applied".to_owned())
        } else {
            Check::failed(
                AREA,
                "migrations",
                format!("missing: {}", found.missing_migrations.join(", ")),
            )
            .advise("run `flashsale migrate`")
        },
        if found.missing_guards.is_empty() {
            Check::ok(
                AREA,
                "constraints",
                "keys, checks and triggers hold the promises".to_owned(),
            )
        } else {
            Check::failed(
                AREA,
                "constraints",
                format!("missing, disabled or not validated: {}", found.missing_guards.join(", ")),
            )
            .advise("the database no longer refuses an order too many; restore them from migrations/postgres")
        },
        if found.missing_rights.is_empty() {
            Check::ok(
                AREA,
                "rights",
                format!("user \"{}\" has what serve and work need", config.user),
            )
        } else {
            Check::failed(
                AREA,
                "rights",
                format!(
                    "user \"{}\" lacks: {}",
                    config.user,
                    found.missing_rights.join(", ")
                ),
            )
            .advise(format!(
                "serve and work do not start; run `flashsale migrate run --grant-to {}` as the owner of the tables",
                config.user
            ))
        },
        if found.is_durable {
            Check::ok(
                AREA,
                "durability",
                "a commit that returned is on disk".to_owned(),
            )
        } else {
            Check::failed(
                AREA,
                "durability",
                "fsync, full_page_writes or synchronous_commit is off".to_owned(),
            )
            .advise("a crash would lose orders; set all three on")
        },
    ];
    checks.push(connections(config, found, processes));
    checks.push(report::clock(
        AREA,
        found.clock_ahead_ms,
        "it ends the workers' leases",
    ));
    checks
}

/// Checks that the server has enough connections for all processes, each of which may open its whole pool.
fn connections(config: &PostgresConfig, found: &Inspection, processes: u32) -> Check {
    let pool = i64::try_from(config.pool_size).unwrap_or(i64::MAX);
    let wanted = pool.saturating_mul(i64::from(processes));
    let summary = format!(
        "{} open of {}; {processes} processes want up to {wanted}",
        found.connections, found.max_connections
    );
    if wanted <= found.max_connections {
        Check::ok(AREA, "connections", summary)
    } else {
        Check::failed(AREA, "connections", summary)
            .advise("raise max_connections, lower POSTGRES_POOL_SIZE, or say how many there will be with --processes")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Pooler, Secret, TlsConfig};

    fn after(change: impl FnOnce(&mut Inspection)) -> Vec<String> {
        let config = PostgresConfig {
            host: "postgres".to_owned(),
            port: 5432,
            tls: TlsConfig::NONE,
            pooler: Pooler::None,
            user: "user".to_owned(),
            password: Secret::new("password".to_owned()),
            database: "shop".to_owned(),
            pool_size: 10,
            pool_timeout: Duration::from_secs(1),
            statement_timeout: Duration::from_secs(1),
        };
        let mut found = Inspection {
            version: "15.18".to_owned(),
            is_read_only: false,
            is_durable: true,
            max_connections: 97,
            connections: 12,
            missing_migrations: Vec::new(),
            missing_guards: Vec::new(),
            missing_rights: Vec::new(),
            workers: 2,
            clock_ahead_ms: 5,
        };
        change(&mut found);
        report::problems(&judge(&config, &found, 4))
    }

    #[test]
    fn each_problem_is_reported_by_its_own_check() {
        let none: [&str; 0] = [];
        assert_eq!(after(|_| {}), none);
        assert_eq!(
            after(|found| found.is_read_only = true),
            ["postgresql writes: Failed"]
        );
        assert_eq!(
            after(|found| found.is_durable = false),
            ["postgresql durability: Failed"]
        );
        assert_eq!(
            after(|found| found.max_connections = 39),
            ["postgresql connections: Failed"]
        );
        assert_eq!(after(|found| found.max_connections = 40), none);
        assert_eq!(
            after(|found| found
                .missing_guards
                .push("orders_insert_takes_units".to_owned())),
            ["postgresql constraints: Failed"]
        );
        assert_eq!(
            after(|found| found.missing_rights.push("SELECT ON orders".to_owned())),
            ["postgresql rights: Failed"]
        );
        assert_eq!(
            after(|found| found.missing_migrations.push("000600".to_owned())),
            ["postgresql migrations: Failed"]
        );
        assert_eq!(
            after(|found| found.clock_ahead_ms = 2_000),
            ["postgresql clock: Failed"]
        );
    }
}
