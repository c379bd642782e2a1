//! `flashsale doctor`: checks everything that a sale needs, before it begins.
//!
//! The engines' `inspect` modules read the setup of their servers, the submodules here judge it, and this file runs and prints
//! the checks.

mod kafka;
mod postgres;
mod redis;
mod report;
mod sales;
mod settings;

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use self::{report::Check, sales::Facts};
use super::{
    embedded::GROUP,
    target::{Target, must_hold_data},
};
use crate::{
    api,
    clock::{Clock, SystemClock},
    config::Config,
    engine::{
        embedded::DataFile,
        kafka::{self as kafka_engine, KafkaLog},
        postgres::{self as postgres_engine, PostgresLedger},
        redis::{self as redis_engine, RedisGate},
    },
    port::{ClusterFigures, Ledger, NodeEntry, NodeKind, PortError, Ports},
};

/// Name of a check that fails because a server cannot be inspected. Sales are not checked then.
const SERVERS: &str = "servers";
const DATA_FILE: &str = "data file";
/// Processes of `serve` and `work`, unless it is said.
const PROCESSES: u32 = 4;

/// Check everything that a sale needs, before it begins
///
/// Prints one line for each check, with advice if there is a problem: Redis (eviction, memory, persistence, cluster slots), Kafka (partitions,
/// replicas, min.insync.replicas, retention against the backlog), PostgreSQL (migrations, constraints, durability,
/// connections against pool sizes), the clocks of all machines, secrets, live workers, and every sale that is on or about
/// to start. It changes no data and may run during a sale. Run it with the settings of the deployment, some time before a sale.
///
/// Exit code 0 if no check failed, even if there are warnings; 1 if one did.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Doctor {
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Number of `serve` and `work` processes that will run; the database must accept the connections of all of them
    #[arg(long, value_name = "N", default_value_t = PROCESSES)]
    processes: u32,
    #[command(flatten)]
    pub(super) target: Target,
}

impl Doctor {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let mut checks = settings::judge(&config);
        if let Some(directory) = self.target.data_dir(&config)? {
            must_hold_data(&directory)?;
            checks.extend(tokio::task::spawn_blocking(move || data_file(&directory)).await?);
        } else {
            checks.extend(settings::judge_servers(&config));
            checks.extend(Box::pin(servers(&config, self.processes)).await);
        }
        report::print(&checks, self.json)?;
        let failed = checks.iter().filter(|check| check.is_failed()).count();
        anyhow::ensure!(failed == 0, "checks failed: {failed} of {}", checks.len());
        Ok(())
    }
}

async fn servers(config: &Config, processes: u32) -> Vec<Check> {
    let clock = SystemClock;
    let (group, topic) = (&config.kafka.consumer_group, &config.kafka.topic);
    let (redis, kafka, postgres) = tokio::join!(
        redis_engine::inspect::inspect(&config.redis, &clock),
        kafka_engine::inspect::inspect(&config.kafka),
        postgres_engine::inspect::inspect(&config.postgres, group, topic, &clock),
    );
    let mut checks = Vec::new();
    let workers = postgres.as_ref().map_or(0, |found| found.workers);
    match redis {
        Ok(found) => checks.extend(redis::judge(&config.redis, &found)),
        Err(error) => checks.push(Check::failed("redis", SERVERS, error.to_string())),
    }
    match kafka {
        Ok(found) => checks.extend(kafka::judge(&config.kafka, &found)),
        Err(error) => checks.push(Check::failed("kafka", SERVERS, error.to_string())),
    }
    match postgres {
        Ok(found) => checks.extend(postgres::judge(&config.postgres, &found, processes)),
        Err(error) => checks.push(Check::failed("postgresql", SERVERS, error.to_string())),
    }
    if checks.iter().any(|check| check.is_about(SERVERS)) {
        return checks;
    }
    match read_facts(config, workers).await {
        Ok(facts) => checks.extend(sales::judge(&facts, clock.now())),
        Err(error) => checks.push(Check::failed("sales", "state", error.to_string())),
    }
    checks
}

/// Reads from Redis, Kafka and PostgreSQL what the checks of sales need. The engines limit the time of each call.
async fn read_facts(config: &Config, workers: i64) -> anyhow::Result<Facts> {
    let ledger = PostgresLedger::connect(&config.postgres).await?;
    let gate = RedisGate::connect(&config.redis, config.sale.result_ttl).await?;
    let gate = gate.of_ledger(ledger.id());
    let processes = processes(gate.nodes().await?);
    let ports = Ports {
        ledger: Arc::new(ledger),
        log: Arc::new(KafkaLog::connect(&config.kafka).await?),
        gate: Arc::new(gate),
        clock: Arc::new(SystemClock),
    };
    let facts = facts(&ports, &config.kafka.consumer_group, workers).await?;
    Ok(Facts { processes, ..facts })
}

fn processes(nodes: Vec<NodeEntry>) -> Vec<(String, NodeKind)> {
    let reports = nodes.into_iter().map(|node| node.report);
    reports
        .map(|report| (report.version, report.kind))
        .collect()
}

/// The facts of everything but the processes.
async fn facts(ports: &Ports, group: &str, workers: i64) -> Result<Facts, PortError> {
    let Ports {
        gate,
        log,
        ledger,
        clock,
    } = ports;
    let (ends, committed) = (
        log.ends().await?,
        ledger.committed_offsets(group, log.name()).await?,
    );
    let mut partitions = Vec::new();
    for (partition, end) in ends {
        partitions.push(sales::PartitionProgress {
            partition,
            earliest: log.earliest(partition).await?,
            settled: committed.get(&partition).copied(),
            end,
        });
    }
    let mut listed = Vec::new();
    for listing in ledger.sales(clock.now()).await? {
        let status = gate.status(listing.id).await?;
        listed.push((listing, status));
    }
    Ok(Facts {
        workers,
        processes: Vec::new(),
        partitions,
        sales: listed,
    })
}

/// Makes the report of the servers, for the API of operators. How many processes there will be is not known there.
pub(super) fn report_of_servers(config: &Config) -> api::Doctor {
    let config = Arc::new(config.clone());
    Arc::new(move || {
        let config = Arc::clone(&config);
        Box::pin(async move {
            let mut checks = settings::judge(&config);
            checks.extend(settings::judge_servers(&config));
            checks.extend(Box::pin(servers(&config, PROCESSES)).await);
            json!(checks)
        })
    })
}

/// The same of a data file that this process serves: it was read whole when it was opened.
pub(super) fn report_of_data_file(config: &Config, ports: Ports) -> api::Doctor {
    let config = Arc::new(config.clone());
    let workers = i64::from(config.worker.enabled);
    Arc::new(move || {
        let (config, ports) = (Arc::clone(&config), ports.clone());
        Box::pin(async move {
            let mut checks = settings::judge(&config);
            match facts(&ports, GROUP, workers).await {
                Ok(facts) => checks.extend(sales::judge(&facts, ports.clock.now())),
                Err(error) => checks.push(Check::failed("sales", "state", error.to_string())),
            }
            json!(checks)
        })
    })
}

/// Checks the data file of an embedded system that is not running.
fn data_file(directory: &std::path::Path) -> Vec<Check> {
    let sound = DataFile::open(directory).and_then(|mut data| data.migrations());
    match sound {
        Err(error) => vec![Check::failed("embedded", DATA_FILE, error.to_string())],
        Ok(migrations) => {
            let missing = migrations.iter().filter(|state| !state.applied).count();
            let check = Check::ok("embedded", DATA_FILE, "every page is sound".to_owned());
            let schema = if missing == 0 {
                Check::ok("embedded", "migrations", "all applied".to_owned())
            } else {
                Check::warning("embedded", "migrations", format!("missing: {missing}"))
                    .advise("`serve --embedded` applies them at its next start")
            };
            vec![check, schema]
        }
    }
}
