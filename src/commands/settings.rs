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
    let embedded = command.is_embedded();
    // With --embedded no server is asked.
    let of = |servers: &'static [&'static str]| if embedded { EMBEDDED } else { servers };
    let more: Vec<&[&str]> = match command {
        Command::Serve(_) if embedded => {
            vec![EMBEDDED, WORKER, SEED, &["server.", "auth.", "limits."]]
        }
        Command::Serve(_) => vec![SERVERS, &["server.", "auth.", "limits.", "events."]],
        Command::Work(_) => vec![SERVERS, WORKER],
        Command::Migrate(_) => vec![of(&["postgres.", "kafka.", "events.enabled"])],
        Command::Seed(_) => vec![of(&["postgres."]), SEED],
        Command::Product(_) | Command::Sale(_) | Command::Order(_) | Command::DeadLetters(_) => {
            vec![of(SERVERS), &["operator."]]
        }
        Command::Actions(_) | Command::Audit(_) => vec![of(SERVERS)],
        Command::User(user) => {
            let hashes: &[&str] = if user.sets_password() {
                &["auth.password_"]
            } else {
                &[]
            };
            vec![of(SERVERS), &["operator."], hashes]
        }
        Command::Attempts(_) => vec![of(&["postgres."]), &["operator."]],
        Command::Webhook(_) => vec![of(&["postgres."]), &["operator.", "events."]],
        Command::Backup(_) => vec![EMBEDDED],
        Command::Export(_) => vec![EMBEDDED, &["worker."]],
        Command::Import(_) => vec![&["postgres.", "original."]],
        Command::Doctor(_) if embedded => {
            vec![EMBEDDED, WORKER, &["server.", "auth.", "limits."]]
        }
        Command::Doctor(_) => vec![SERVERS, WORKER, &["server.", "auth.", "limits."]],
        Command::Stress(stress) if stress.uses_servers() => vec![SERVERS, &["stress.", "auth."]],
        Command::Stress(_) => vec![&["stress."]],
        Command::Openapi(_) => vec![],
    };
    ALWAYS.iter().chain(more.concat().iter()).copied().collect()
}
