//! The settings that each command uses. A wrong value stops only the commands that use it: an outdated time of the sale in `.env`
//! does not stop `audit`.

use super::command::Command;

/// Settings of every command: logging, and the environment, in which known secrets may be refused.
const ALWAYS: &[&str] = &["log.", "server.environment", "server.startup_timeout_secs"];
/// Settings of the three servers.
const SERVERS: &[&str] = &["postgres.", "redis.", "kafka.", "sale.result_ttl_secs"];
/// Settings of a data directory and of the worker that runs with it.
const EMBEDDED: &[&str] = &[
    "embedded.",
    "kafka.consumer_group",
    "sale.result_ttl_secs",
    "server.shutdown_timeout_secs",
];
/// Settings of the worker and its listener.
const WORKER: &[&str] = &[
    "trace.",
    "worker.",
    "events.",
    "server.max_connections",
    "server.max_buffered_mib",
    "server.metrics_",
    "server.keep_alive_secs",
    "server.stall_timeout_secs",
    "server.request_timeout_ms",
    "server.drain_delay_secs",
    "server.shutdown_timeout_secs",
    "server.settlement_lag_secs",
];
/// Settings of the demo data.
const SEED: &[&str] = &["sale.", "auth.password_", "operator."];

/// The prefixes of the names of the settings that a command uses.
pub(super) fn used_by(command: &Command) -> Vec<&'static str> {
    let target = |embedded: bool| if embedded { EMBEDDED } else { SERVERS };
    let more: Vec<&[&str]> = match command {
        Command::Serve(serve) if serve.is_embedded() => {
            vec![EMBEDDED, WORKER, SEED, &["server.", "auth.", "limits."]]
        }
        Command::Serve(_) => vec![SERVERS, &["server.", "auth.", "limits.", "events."]],
        Command::Work(_) => vec![SERVERS, WORKER],
        Command::Migrate(migrate) => vec![if migrate.is_embedded() {
            EMBEDDED
        } else {
            &["postgres.", "kafka.", "events.enabled"]
        }],
        Command::Seed(seed) => vec![
            if seed.is_embedded() {
                EMBEDDED
            } else {
                &["postgres."]
            },
            SEED,
        ],
        Command::Product(product) => vec![target(product.is_embedded()), &["operator."]],
        Command::Sale(sale) => vec![target(sale.is_embedded()), &["operator."]],
        Command::Order(order) => vec![target(order.is_embedded()), &["operator."]],
        Command::Actions(actions) => vec![target(actions.is_embedded())],
        Command::Audit(audit) => vec![target(audit.is_embedded())],
        Command::DeadLetters(letters) => vec![target(letters.is_embedded()), &["operator."]],
        Command::User(user) => {
            let hashes: &[&str] = if user.sets_password() {
                &["auth.password_"]
            } else {
                &[]
            };
            vec![target(user.is_embedded()), &["operator."], hashes]
        }
        Command::Attempts(attempts) => {
            let ledger: &[&str] = if attempts.is_embedded() {
                EMBEDDED
            } else {
                &["postgres."]
            };
            vec![ledger, &["operator."]]
        }
        Command::Webhook(webhook) => {
            let ledger: &[&str] = if webhook.is_embedded() {
                EMBEDDED
            } else {
                &["postgres."]
            };
            vec![ledger, &["operator.", "events."]]
        }
        Command::Backup(_) => vec![EMBEDDED],
        Command::Export(_) => vec![EMBEDDED, &["worker."]],
        Command::Import(_) => vec![&["postgres.", "original."]],
        Command::Doctor(doctor) if doctor.is_embedded() => {
            vec![EMBEDDED, WORKER, &["server.", "auth.", "limits."]]
        }
        Command::Doctor(_) => vec![SERVERS, WORKER, &["server.", "auth.", "limits."]],
        Command::Stress(stress) if stress.uses_servers() => vec![SERVERS, &["stress.", "auth."]],
        Command::Stress(_) => vec![&["stress."]],
        Command::Openapi(_) => vec![],
    };
    ALWAYS.iter().chain(more.concat().iter()).copied().collect()
}
