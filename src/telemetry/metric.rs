//! The table of all metrics: the only place that names one.
//!
//! Names follow the conventions of Prometheus and OpenTelemetry: the unit is a base unit and stands at the end of the name
//! (`_seconds`, `_bytes`), before `_total` for counters. `docs/METRICS.md` is made from this table by `make metrics-doc`.

use std::fmt::Write;

use super::histogram::MOST_BOUNDS;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only goes up; starts at 0 with the process.
    Counter,
    /// A value at one moment.
    Gauge,
    /// Counts of values by their size. Holds the upper bounds of the buckets, without the last one, which has none.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// In which it is measured: a base unit, or the name of what is counted.
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// Metrics of one part of the system.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    pub title: &'static str,
    pub metrics: &'static [Metric],
}

/// From half a millisecond, less than a round trip to a server, to the longest timeout.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Numbers of items that are handled with one call.
const ITEMS: &[f64] = &[1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0];

const _: () = assert!(SECONDS.len() <= MOST_BOUNDS && ITEMS.len() <= MOST_BOUNDS);

/// Declares the constants of the names, and [`TABLE`] with all metrics in the same order.
macro_rules! table {
    ($($title:literal {$(
        $id:ident = $name:literal $kind:expr, $unit:literal, [$($label:literal),*], $help:literal;
    )*})*) => {
        $($(pub const $id: &str = $name;)*)*

        /// Every metric.
        pub static TABLE: &[Section] = &[$(Section {
            title: $title,
            metrics: &[$(Metric {
                name: $id,
                kind: $kind,
                unit: $unit,
                labels: &[$($label),*],
                help: $help,
            }),*],
        }),*];
    };
}

use Kind::{Counter, Gauge, Histogram};

table! {
    "HTTP" {
        HTTP_REQUESTS = "flashsale_http_requests_total" Counter, "requests", ["method", "route", "status"],
            "Requests that were answered.";
        HTTP_REQUEST_DURATION = "flashsale_http_request_duration_seconds" Histogram(SECONDS), "seconds", ["method", "route", "status_class"],
            "Time from the head of a request to the head of its answer. status_class is 2xx, 3xx, 4xx or 5xx.";
        HTTP_TURNED_AWAY = "flashsale_http_turned_away_total" Counter, "connections", ["reason"],
            "Connections that were refused or cut off: malformed, head_too_large, buffers_full, network_crowded and others.";
        HTTP_CONNECTIONS = "flashsale_http_connections" Gauge, "connections", [],
            "Open connections of the API's port.";
        LISTENERS = "flashsale_listeners" Gauge, "streams", [],
            "Open streams of events.";
        LISTENERS_REFUSED = "flashsale_listeners_refused_total" Counter, "streams", ["reason"],
            "Streams of events that were refused: full (MAX_LISTENERS) or network (MAX_LISTENERS_PER_NETWORK).";
    }
    "Attempts" {
        ATTEMPTS = "flashsale_attempts_total" Counter, "attempts", ["outcome"],
            "Attempts by their answer. already_held is a repeated attempt of a shopper who has the unit, and is not counted as accepted.";
        ATTEMPT_DURATION = "flashsale_attempt_duration_seconds" Histogram(SECONDS), "seconds", ["outcome"],
            "Time of attempts about which the gate was asked: accepted, already_held, refused (for example sold out) or failed (a server).";
        GATE_CALL_DURATION = "flashsale_gate_call_duration_seconds" Histogram(SECONDS), "seconds", ["call", "outcome"],
            "Time of calls to the gate (Redis): reserve, release, record, read_results and write_results, each for a batch. outcome is ok or error.";
        LOG_APPEND_DURATION = "flashsale_log_append_duration_seconds" Histogram(SECONDS), "seconds", ["outcome"],
            "Time until a batch of attempts was in the log (Kafka). outcome is ok or error, if one attempt was not certainly written.";
        QUEUE_LENGTH = "flashsale_queue_length" Gauge, "items", ["queue"],
            "Items that wait: attempts for the gate (reserve) and the log (append), units to give back (undo), results to write (results) and to read (questions).";
        QUEUE_LIMIT = "flashsale_queue_limit" Gauge, "items", ["queue"],
            "Items that may wait. More attempts are answered 503 busy.";
        BATCH_ITEMS = "flashsale_batch_items" Histogram(ITEMS), "items", ["queue"],
            "Items of a queue that were handled with one call.";
        RESULTS_LOST = "flashsale_results_lost_total" Counter, "results", [],
            "Results of refused shoppers that were not written. Their shoppers are told nothing by the status endpoint.";
        ANNOUNCEMENTS_FAILED = "flashsale_announcements_failed_total" Counter, "calls", [],
            "Stored refusals that could not be announced. Their shoppers are told by the next reading, within a minute.";
        ANNOUNCEMENTS_INTERRUPTED = "flashsale_announcements_interrupted_total" Counter, "subscriptions", [],
            "Subscriptions that broke: Redis restarted, failed over or cut the connection off. Results were read again.";
    }
    "Settlement" {
        OLDEST_UNSETTLED = "flashsale_oldest_unsettled_seconds" Gauge, "seconds", [],
            "Age of the oldest pending entry of the gate: an accepted attempt without an order. Entries younger than a second are left out.";
        CONSUMER_LAG = "flashsale_consumer_lag_records" Gauge, "records", ["partition"],
            "Records of a partition that are not settled, as its worker saw them last.";
        CONSUMER_LAG_SECONDS = "flashsale_consumer_lag_seconds" Gauge, "seconds", ["partition"],
            "Age of the first attempt that a worker read last, when it read it; 0 if there was none.";
        SETTLE_DURATION = "flashsale_settle_duration_seconds" Histogram(SECONDS), "seconds", ["outcome"],
            "Time of a transaction that settles attempts (PostgreSQL). outcome is ok or error.";
        SETTLE_BATCH = "flashsale_settle_batch_attempts" Histogram(ITEMS), "attempts", [],
            "Attempts that were settled in one transaction.";
        SETTLED = "flashsale_settled_total" Counter, "attempts", ["outcome"],
            "Settled attempts: ordered, sold_out, already_ordered, released, no_account or rejected.";
        DEAD_LETTERS = "flashsale_dead_letters_total" Counter, "records", [],
            "Records that became dead letters.";
        DEAD_LETTERS_OPEN = "flashsale_dead_letters_open" Gauge, "records", [],
            "Dead letters that await a decision, up to 1,000. Counted every 30 s by API nodes.";
        RECORDS_LEFT = "flashsale_records_left_total" Counter, "attempts", [],
            "Settled attempts whose outcome could not be recorded in the gate and was left to the relay.";
        WORKER_FAILURES = "flashsale_worker_failures_total" Counter, "steps", [],
            "Steps of partition readers that failed and were tried again.";
        LEASE_FAILURES = "flashsale_lease_failures_total" Counter, "heartbeats", [],
            "Heartbeats of workers that failed: the leases of their partitions were not renewed.";
        PARTITIONS_OWNED = "flashsale_partitions_owned" Gauge, "partitions", [],
            "Partitions that this worker leases.";
        LOG_PARTITIONS = "flashsale_log_partitions" Gauge, "partitions", [],
            "Partitions of the topic of attempts.";
        LOG_RESTARTS = "flashsale_log_restarts_total" Counter, "partitions", [],
            "Partitions that were read again from their earliest record, because the topic was cut or made anew.";
        FOREIGN_RECORDS = "flashsale_foreign_records_total" Counter, "records", [],
            "Records of another ledger in the topic, which were skipped.";
        LEDGER_SET_BACK = "flashsale_ledger_set_back_total" Counter, "partitions", [],
            "Partitions whose offset PostgreSQL set back to an earlier state. The log is read again.";
    }
    "Sales" {
        SALE_LOADED = "flashsale_sale_loaded" Gauge, "boolean", ["sale"],
            "1 if the gate has the sale and decides about it. Sales are shown by the worker that reads partition 0.";
        SALE_OPEN = "flashsale_sale_open" Gauge, "boolean", ["sale"],
            "1 if the sale is loaded, and neither paused nor cancelled.";
        SALE_PAUSED = "flashsale_sale_paused" Gauge, "boolean", ["sale"],
            "1 if the sale is loaded and paused.";
        SALE_TOTAL = "flashsale_sale_units" Gauge, "units", ["sale"],
            "Units of the sale in the gate.";
        SALE_AVAILABLE = "flashsale_sale_available_units" Gauge, "units", ["sale"],
            "Units that can be bought now.";
        SALE_HELD = "flashsale_sale_held_units" Gauge, "units", ["sale"],
            "Units that shoppers hold: pending and ordered ones.";
        SALE_PENDING = "flashsale_sale_pending_attempts" Gauge, "attempts", ["sale"],
            "Accepted attempts that are not settled.";
        SALE_WITHDRAWN = "flashsale_sale_withdrawn_units" Gauge, "units", ["sale"],
            "Units set aside to leave the sale that the ledger has not removed yet.";
        SALE_DRIFT = "flashsale_sale_drift_units" Gauge, "units", ["sale"],
            "Units of which nobody knows where they are: units - available - held - withdrawn. Must be 0.";
        RECONCILE_DURATION = "flashsale_reconcile_duration_seconds" Histogram(SECONDS), "seconds", ["outcome"],
            "Time of a round in which the sale controller compares all sales with the gate. outcome is ok or error.";
        GATE_LOADS = "flashsale_gate_loads_total" Counter, "loads", [],
            "Sales that were loaded into the gate: new ones, and those that it had lost.";
        GATE_LOAD_DURATION = "flashsale_gate_load_duration_seconds" Histogram(SECONDS), "seconds", [],
            "Time to load a sale with its holders into the gate.";
        GATE_CONTRADICTIONS = "flashsale_gate_contradictions_total" Counter, "sales", [],
            "Sales that were closed and loaded anew because their keys in Redis contradicted each other: a key was evicted or deleted.";
        GATE_FOREIGN_SALES = "flashsale_gate_foreign_sales_total" Counter, "sales", [],
            "Sales of another database that this one replaced in Redis: again and again if two shops share it.";
        RELAY_RECORDED = "flashsale_relay_recorded_total" Counter, "attempts", [],
            "Settled attempts that the relay recorded in the gate.";
        RELAY_APPENDED = "flashsale_relay_appended_total" Counter, "attempts", [],
            "Pending attempts that were not in the log, appended by the relay.";
        ORDERS_RECONCILED = "flashsale_orders_reconciled_total" Counter, "orders", [],
            "Orders that the gate was not told of, recorded there.";
        ORDERS_ENDED = "flashsale_orders_ended_total" Counter, "orders", [],
            "Orders that ended and were taken out of the gate.";
        WITHDRAWALS_COMPLETED = "flashsale_withdrawals_completed_total" Counter, "withdrawals", ["result"],
            "Withdrawals that an API node left to the sale controller: applied or refused.";
    }
    "Events" {
        EVENTS_UNPUBLISHED = "flashsale_events_unpublished" Gauge, "events", ["consumer"],
            "Events that a consumer (topic, or webhook:<id> of an endpoint that is enabled) has not got yet, as the worker that delivers to it counted them last.";
        EVENTS_PUBLISHED = "flashsale_events_published_total" Counter, "events", ["consumer"],
            "Events that were published.";
        EVENT_FAILURES = "flashsale_event_failures_total" Counter, "tries", ["consumer"],
            "Tries to publish events that failed and are repeated.";
        EVENTS_LOST = "flashsale_events_lost_total" Counter, "events", [],
            "Events that were removed, after their time, before a consumer got them.";
        WEBHOOK_REQUESTS = "flashsale_webhook_requests_total" Counter, "requests", ["outcome"],
            "Requests to webhooks: accepted, failed, or gone (410).";
    }
    "Accounts" {
        LOGINS = "flashsale_logins_total" Counter, "logins", ["outcome"],
            "Logins: ok, wrong_credentials, too_many and others.";
        REGISTRATIONS = "flashsale_registrations_total" Counter, "registrations", ["outcome"],
            "Registrations: ok, username_taken, email_taken, too_many and others.";
        SESSION_CHANGES = "flashsale_session_changes_total" Counter, "requests", ["change", "outcome"],
            "Requests that end sessions. change is logout, change or reset (of the password).";
        EXCHANGES = "flashsale_exchanges_total" Counter, "exchanges", ["outcome"],
            "Tokens of the shop's issuer that were exchanged: ok, or why not.";
        SERVICE_TOKENS = "flashsale_service_tokens_total" Counter, "tokens", ["outcome"],
            "Requests of programs of the shop for a token: ok, or why not.";
        ISSUER_KEY_FETCHES = "flashsale_issuer_key_fetches_total" Counter, "requests", ["outcome"],
            "Requests for the keys of the shop's issuer: ok or failed.";
        PASSWORD_HASH_DURATION = "flashsale_password_hash_duration_seconds" Histogram(SECONDS), "seconds", [],
            "Time of hashing or comparing passwords of one request, without waiting.";
        PASSWORD_QUEUE = "flashsale_password_queue_length" Gauge, "requests", [],
            "Requests that hash passwords or wait for it.";
        PASSWORD_QUEUE_LIMIT = "flashsale_password_queue_limit" Gauge, "requests", [],
            "Requests that may hash passwords or wait for it. More are answered 503 busy.";
        PASSWORDS_RENEWED = "flashsale_passwords_renewed_total" Counter, "accounts", [],
            "Hashes of the original service that were replaced at a login.";
        UNKNOWN_ACCOUNTS = "flashsale_unknown_accounts_total" Counter, "requests", [],
            "Requests with a valid token of an account that does not exist.";
        ACCOUNTS_KNOWN = "flashsale_accounts_known" Gauge, "accounts", [],
            "Accounts in the memory of this node.";
        ACCOUNTS_WITH_ENDED_TOKENS = "flashsale_accounts_with_ended_tokens" Gauge, "accounts", [],
            "Accounts in the memory of this node whose earlier tokens are refused.";
        ACCOUNT_RELOADS = "flashsale_account_reloads_total" Counter, "readings", [],
            "Readings of all accounts because the changes could not be followed.";
    }
    "Servers" {
        DEPENDENCY_UP = "flashsale_dependency_up" Gauge, "boolean", ["dependency"],
            "1 if gate (Redis), log (Kafka), ledger (PostgreSQL), clock and settlement are as readiness wants them. Looked at every 2 s.";
        CLOCK_OFFSET = "flashsale_clock_offset_seconds" Gauge, "seconds", [],
            "This machine's clock minus the gate's.";
        POSTGRES_POOL = "flashsale_postgres_pool_connections" Gauge, "connections", ["state"],
            "Connections to PostgreSQL: idle or in_use.";
        POSTGRES_POOL_LIMIT = "flashsale_postgres_pool_limit" Gauge, "connections", [],
            "Connections to PostgreSQL that this process may have.";
        POSTGRES_POOL_WAITING = "flashsale_postgres_pool_waiting" Gauge, "callers", [],
            "Callers that wait for a connection to PostgreSQL.";
        REDIS_RECONNECTS = "flashsale_redis_reconnects_total" Counter, "connections", [],
            "Connections to Redis that were opened again.";
        REDIS_DISCARDED = "flashsale_redis_connections_discarded_total" Counter, "connections", ["cause"],
            "Connections to Redis that were given up. cause is silence: no answer in time.";
        REDIS_REDIRECTIONS = "flashsale_redis_redirections_total" Counter, "calls", [],
            "Calls that a node of the Redis Cluster sent to another node.";
    }
    "Traces" {
        TRACE_SPANS = "flashsale_trace_spans_total" Counter, "spans", ["outcome"],
            "Spans of traced requests: exported to the collector (OTLP_ENDPOINT), failed to be, or dropped because too many waited.";
    }
    "Process" {
        BUILD_INFO = "flashsale_build_info" Gauge, "constant", ["version", "kind"],
            "Always 1. kind is api, worker or embedded.";
        PROCESS_CPU = "process_cpu_seconds_total" Counter, "seconds", [],
            "Processor time of this process, user and system.";
        PROCESS_RESIDENT = "process_resident_memory_bytes" Gauge, "bytes", [],
            "Memory of this process that is in RAM.";
        PROCESS_VIRTUAL = "process_virtual_memory_bytes" Gauge, "bytes", [],
            "Address space of this process.";
        PROCESS_OPEN_FDS = "process_open_fds" Gauge, "files", [],
            "Open file descriptors.";
        PROCESS_MAX_FDS = "process_max_fds" Gauge, "files", [],
            "Largest possible number of open file descriptors.";
        PROCESS_START = "process_start_time_seconds" Gauge, "seconds", [],
            "When this process started, in seconds since 1970.";
        PROCESS_THREADS = "process_threads" Gauge, "threads", [],
            "Threads of this process.";
    }
}

impl Kind {
    /// The word for it in Prometheus' text format.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Counter => "counter",
            Gauge => "gauge",
            Histogram(_) => "histogram",
        }
    }
}

/// Every metric, section by section.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    TABLE.iter().flat_map(|section| section.metrics)
}

/// `docs/METRICS.md`.
#[must_use]
pub fn document() -> String {
    let mut page = String::from(
        "# Metrics\n\nMade from `src/telemetry/metric.rs` by `make metrics-doc`; changes by hand are lost.\n\n\
         Every process serves them at `GET /metrics`, in production on `METRICS_PORT` only, in Prometheus' text format 0.0.4. Counters \
         without labels are there from the start; other series when they are first used. `config/prometheus/rules.yml` has rules and \
         alerts, `config/grafana/flashsale.json` a dashboard, and [RUNBOOK.md](RUNBOOK.md) says what to do when an alert fires.\n",
    );
    for section in TABLE {
        let _ = write!(
            page,
            "\n## {}\n\n| name | type | unit | labels | |\n| --- | --- | --- | --- | --- |\n",
            section.title
        );
        for metric in section.metrics {
            let labels: Vec<_> = metric
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} | {} |",
                metric.name,
                metric.kind.word(),
                metric.unit,
                labels.join(", "),
                metric.help
            );
        }
    }
    let bounds = |bounds: &[f64]| {
        bounds
            .iter()
            .map(f64::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let _ = write!(
        page,
        "\nUpper bounds of the buckets: {} of histograms in seconds, {} of the others.\n",
        bounds(SECONDS),
        bounds(ITEMS)
    );
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let mut seen = BTreeSet::new();
        for Metric {
            name,
            kind,
            unit,
            labels,
            help,
        } in all()
        {
            assert!(seen.insert(name), "{name} is there twice");
            let base = name.strip_suffix("_total").unwrap_or(name);
            assert_eq!(
                base != *name,
                *kind == Counter,
                "{name}: _total is for counters"
            );
            for measured in ["seconds", "bytes"] {
                let ends = base.ends_with(&format!("_{measured}"));
                assert_eq!(ends, *unit == measured, "{name} is in {unit}");
            }
            for reserved in ["_count", "_sum", "_bucket", "_info_total"] {
                assert!(!name.ends_with(reserved), "{name}");
            }
            assert!(
                name.starts_with("flashsale_") || name.starts_with("process_"),
                "{name}"
            );
            assert!(
                help.ends_with('.') && !help.contains(['\\', '\n', '|']),
                "{name}: {help}"
            );
            assert!(labels.iter().all(|label| *label != "le"), "{name}");
            if let Histogram(bounds) = kind {
                assert!(bounds.is_sorted_by(|a, b| a < b), "{name}");
            }
        }
    }
}
