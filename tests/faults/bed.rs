//! A whole system for faults: servers of its own, two API nodes and two workers, and a wire wherever one of them talks to
//! another or to shoppers.

use std::{collections::BTreeMap, sync::Arc};

use flashsale::config::{Config, Sources};

use crate::support::{
    api::{Api, Shopper},
    broker::Broker,
    kafka,
    postgres::TestDatabase,
    postgres_server::PostgresServer,
    process::Process,
    redis::{RedisOptions, RedisServer},
    system::{Servers, System},
    wire::{Traffic, Wire},
};

/// Which of the nodes are APIs; the others are workers.
const APIS: std::ops::Range<usize> = 0..2;
const NODES: usize = 4;

/// Accounts that are put into the ledger at once.
const ACCOUNTS_AT_ONCE: usize = 4_000;

/// Lines of a process that are shown after a failure.
const SHOWN: usize = 60;

/// The system. Fields are dropped in this order: processes before their servers.
pub struct Bed {
    pub nodes: Vec<Node>,
    pub shoppers: Arc<Vec<Shopper>>,
    /// The limits that the processes have.
    pub config: Config,
    pub system: Servers,
    pub broker: Broker,
    pub postgres: PostgresServer,
}

/// A process with its wires.
pub struct Node {
    command: &'static str,
    environment: BTreeMap<String, String>,
    pub process: Process,
    pub redis: Wire,
    pub kafka: Wire,
    pub postgres: Wire,
    /// Where shoppers come in, at an API.
    pub front: Option<Wire>,
}

impl Bed {
    /// With so many accounts.
    pub async fn start(accounts: usize) -> Self {
        let mut kafka_wires = Vec::new();
        for _ in 0..NODES {
            // Led to the broker as soon as there is one: it has to know their ports first.
            kafka_wires.push(Wire::to("127.0.0.1", 1).await);
        }
        let ports: Vec<_> = kafka_wires.iter().map(|wire| wire.port).collect();
        let (broker, postgres) =
            tokio::join!(Broker::start_behind(&ports), PostgresServer::start());
        for (wire, port) in kafka_wires.iter().zip(broker.ports_behind()) {
            wire.lead_to(*port);
        }
        let redis = RedisServer::start(RedisOptions {
            durable: true,
            ..RedisOptions::default()
        });
        let database = TestDatabase::create_on(postgres.config("flash_sale")).await;
        let redis_config = redis.config(std::time::Duration::from_secs(2));
        let kafka = kafka::config_of(vec![broker.address()]);
        let mut system = Servers::of(database, Some(redis), redis_config, kafka).await;
        // The limits of the table are the program's own.
        for hurried in ["WORKER_LEASE_SECS", "WORKER_PENDING_AGE_SECS"] {
            system.environment.remove(hurried);
        }
        let config = Config::load(&Sources {
            intent: flashsale::config::Intent::default(),
            file: None,
            variables: system.environment.clone(),
        })
        .unwrap();
        let mut nodes = Vec::new();
        for (n, kafka) in kafka_wires.into_iter().enumerate() {
            let command = if APIS.contains(&n) { "serve" } else { "work" };
            nodes.push(Node::start(command, &system, kafka, &config).await);
        }
        let mut shoppers = Vec::new();
        while shoppers.len() < accounts {
            shoppers.extend(system.shoppers(ACCOUNTS_AT_ONCE).await);
        }
        Self {
            nodes,
            shoppers: Arc::new(shoppers),
            config,
            system,
            broker,
            postgres,
        }
    }

    pub fn redis(&mut self) -> &mut RedisServer {
        self.system.redis.as_mut().expect("it is our own")
    }

    /// Tokens are good for an hour only.
    pub fn renew_tokens(&mut self) {
        let shoppers = self.shoppers.iter();
        let renewed = shoppers.map(|shopper| Shopper::with_account(shopper.id));
        self.shoppers = Arc::new(renewed.collect());
    }

    /// Where shoppers can come in.
    pub fn fronts(&self) -> Vec<u16> {
        let fronts = self.nodes.iter().filter_map(|node| node.front.as_ref());
        fronts.map(|front| front.port).collect()
    }

    /// The worker that takes care of gate and log: the owner of partition 0.
    pub async fn caretaker(&mut self) -> &mut Node {
        let owner = "SELECT owner FROM consumer_partitions WHERE partition = 0";
        let rows = self.system.database.query(owner).await;
        let owner: Option<String> = rows.first().and_then(|row| row.get(0));
        let of = owner.and_then(|owner| {
            let owns = |node: &Node| node.process.output().contains(&owner);
            self.nodes.iter().position(owns)
        });
        &mut self.nodes[of.unwrap_or(APIS.end)]
    }

    /// The last that each process printed.
    pub fn show_output(&self) {
        for (n, node) in self.nodes.iter().enumerate() {
            let output = node.process.output();
            let lines: Vec<_> = output.lines().rev().take(SHOWN).collect();
            println!("--- {} ({n}):", node.command);
            for line in lines.iter().rev() {
                println!("{line}");
            }
        }
    }

    /// Whoever should run runs, and both APIs find all their servers.
    pub async fn assert_whole(&mut self) {
        for node in &mut self.nodes {
            assert!(
                node.process.is_running(),
                "`{}` ended by itself:\n{}",
                node.command,
                node.process.output()
            );
        }
        for port in self.fronts() {
            crate::support::wait_until(
                "an API is ready",
                std::time::Duration::from_secs(10),
                || async {
                    let answer =
                        reqwest::get(format!("http://127.0.0.1:{port}/health/ready")).await;
                    answer.is_ok_and(|answer| answer.status() == 200)
                },
            )
            .await;
        }
    }
}

impl Drop for Bed {
    /// After a fault that was not ended: whatever is paused would neither end nor answer those who wait for it.
    fn drop(&mut self) {
        self.broker.resume();
        self.postgres.resume();
        self.redis().resume();
    }
}

impl Node {
    async fn start(command: &'static str, system: &Servers, kafka: Wire, config: &Config) -> Self {
        let redis = Wire::to(&config.redis.host, config.redis.port).await;
        let postgres = Wire::to(&config.postgres.host, config.postgres.port).await;
        let mut environment = system.environment.clone();
        for (name, value) in [
            ("REDIS_PORT", redis.port.to_string()),
            ("POSTGRES_PORT", postgres.port.to_string()),
            ("KAFKA_BROKERS", format!("127.0.0.1:{}", kafka.port)),
        ] {
            environment.insert(name.to_owned(), value);
        }
        let (process, port) = run(command, &environment).await;
        let front = match port {
            Some(port) => Some(Wire::to("127.0.0.1", port).await),
            None => None,
        };
        Self {
            command,
            environment,
            process,
            redis,
            kafka,
            postgres,
            front,
        }
    }

    /// Starts another process in the place of one that was killed, as a supervisor would.
    pub async fn start_again(&mut self) {
        let (process, port) = run(self.command, &self.environment).await;
        self.process = process;
        if let (Some(front), Some(port)) = (&self.front, port) {
            front.lead_to(port);
        }
    }

    /// Its wires to servers.
    pub fn to_servers(&self) -> [&Wire; 3] {
        [&self.redis, &self.kafka, &self.postgres]
    }

    /// All its wires.
    pub fn set_all(&self, traffic: Traffic) {
        for wire in self.to_servers().into_iter().chain(&self.front) {
            wire.set(traffic);
        }
    }
}

/// Starts a process and waits until it does its work; the port of an API.
async fn run(command: &str, environment: &BTreeMap<String, String>) -> (Process, Option<u16>) {
    let process = Process::start(&[command], environment);
    if command == "serve" {
        let api = Api::of(process).await;
        let port = api.url.rsplit(':').next().unwrap().parse().unwrap();
        (api.process, Some(port))
    } else {
        process.wait_for_line("working").await;
        (process, None)
    }
}
