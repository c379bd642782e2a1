//! A whole system for faults: servers of its own, two API nodes and two workers, and a wire where one of them talks to
//! another or to shoppers.

use std::{sync::Arc, time::Duration};

use flashsale::config::{Config, Sources};

use crate::{
    node::Node,
    support::{
        api::Shopper,
        broker::Broker,
        cluster::Cluster,
        kafka,
        postgres::TestDatabase,
        postgres_server::PostgresServer,
        redis::{RedisOptions, RedisServer},
        redis_topology::OwnCluster,
        system::{Servers, System},
        wire::Wire,
    },
};

/// Which of the nodes are APIs; the others are workers.
const APIS: std::ops::Range<usize> = 0..2;
const NODES: usize = 4;

/// Accounts that are put into the ledger at once.
const ACCOUNTS_AT_ONCE: usize = 4_000;

/// Lines of a process that are shown after a failure.
const SHOWN: usize = 60;

/// How long Redis may take to answer a command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// Long enough for kept connections of shoppers to end with an answer.
const DRAIN_DELAY_SECS: &str = "2";

/// Which servers there are, besides a PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Topology {
    /// A Redis and a broker, with wires before them.
    #[default]
    Single,
    /// A Redis Cluster of three masters with a replica each, and three brokers, of which two confirm each record. Nodes talk
    /// to them without wires, since they find them by themselves.
    Clusters,
}

impl Topology {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "single" => Some(Self::Single),
            "clusters" => Some(Self::Clusters),
            _ => None,
        }
    }
}

/// The system. Fields are dropped in this order: processes before their servers.
pub struct TestBed {
    pub topology: Topology,
    pub nodes: Vec<Node>,
    pub shoppers: Arc<Vec<Shopper>>,
    /// The limits that the processes have.
    pub config: Config,
    pub system: Servers,
    /// The Redis that has the role of `system.redis` for a while.
    pub spare: Option<RedisServer>,
    redis_cluster: Option<OwnCluster>,
    kafka: Kafka,
    pub postgres: PostgresServer,
    /// How many ledgers there were.
    ledgers: usize,
}

enum Kafka {
    One(Broker),
    Three(Cluster),
}

impl TestBed {
    /// With so many accounts.
    pub async fn start(topology: Topology, accounts: usize) -> Self {
        match topology {
            Topology::Single => Self::start_single(accounts).await,
            Topology::Clusters => Self::start_clusters(accounts).await,
        }
    }

    async fn start_single(accounts: usize) -> Self {
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
        let mut wires = Vec::new();
        for kafka in kafka_wires {
            let redis = Wire::to("127.0.0.1", redis.port()).await;
            wires.push((Some(redis), Some(kafka)));
        }
        let database = TestDatabase::create_on(postgres.config("flash_sale")).await;
        let redis_config = redis.config(COMMAND_TIMEOUT);
        let kafka = kafka::config_of(vec![broker.address()]);
        let system = Servers::of(database, Some(redis), redis_config, kafka).await;
        let servers = (None, Kafka::One(broker), postgres);
        Self::on(Topology::Single, system, servers, wires, accounts).await
    }

    async fn start_clusters(accounts: usize) -> Self {
        let (brokers, postgres) = tokio::join!(Cluster::start(), PostgresServer::start());
        let redis = OwnCluster::start(1);
        let database = TestDatabase::create_on(postgres.config("flash_sale")).await;
        let redis_config = redis.config(COMMAND_TIMEOUT);
        let system = Servers::of(database, None, redis_config, brokers.config()).await;
        let topic = system.topic.config.topic.clone();
        brokers.wait_for_replicas(&topic, 3..=3).await;
        let servers = (Some(redis), Kafka::Three(brokers), postgres);
        let wires = (0..NODES).map(|_| (None, None)).collect();
        Self::on(Topology::Clusters, system, servers, wires, accounts).await
    }

    async fn on(
        topology: Topology,
        mut system: Servers,
        (redis_cluster, kafka, postgres): (Option<OwnCluster>, Kafka, PostgresServer),
        wires: Vec<(Option<Wire>, Option<Wire>)>,
        accounts: usize,
    ) -> Self {
        // The limits of the table are the program's own.
        for hurried in [
            "WORKER_LEASE_SECS",
            "WORKER_PENDING_AGE_SECS",
            "STARTUP_TIMEOUT_SECS",
        ] {
            system.environment.remove(hurried);
        }
        let drain = ("DRAIN_DELAY_SECS".to_owned(), DRAIN_DELAY_SECS.to_owned());
        system.environment.extend([drain]);
        let config = Config::load(&Sources {
            intent: flashsale::config::Intent::default(),
            file: None,
            variables: system.environment.clone(),
        })
        .unwrap();
        let mut nodes = Vec::new();
        for (n, (redis, kafka)) in wires.into_iter().enumerate() {
            let command = if APIS.contains(&n) { "serve" } else { "work" };
            nodes.push(Node::start(command, &system, redis, kafka, &config).await);
        }
        let mut bed = Self {
            topology,
            nodes,
            shoppers: Arc::default(),
            config,
            system,
            spare: None,
            redis_cluster,
            kafka,
            postgres,
            ledgers: 1,
        };
        bed.make_accounts(accounts).await;
        bed
    }

    async fn make_accounts(&mut self, accounts: usize) {
        let mut shoppers = Vec::new();
        while shoppers.len() < accounts {
            shoppers.extend(self.system.shoppers(ACCOUNTS_AT_ONCE).await);
        }
        self.shoppers = Arc::new(shoppers);
    }

    /// Puts a new, empty database in the place of the old one, for processes that are started from now on. Its first sale and
    /// product will have these numbers, and its accounts those of before.
    pub async fn change_ledger(&mut self, sale: i64, product: i64) {
        self.ledgers += 1;
        let name = format!("flash_sale_{}", self.ledgers);
        self.system.database = TestDatabase::create_on(self.postgres.config(&name)).await;
        for node in &mut self.nodes {
            node.use_database(&name);
        }
        let database = ("POSTGRES_DB".to_owned(), name);
        self.system.environment.extend([database]);
        for (table, next) in [("flash_sales", sale), ("products", product)] {
            let restart = format!("ALTER SEQUENCE {table}_id_seq RESTART WITH {next}");
            self.system.sql(&restart).await;
        }
        let before = Arc::clone(&self.shoppers);
        self.make_accounts(before.len()).await;
        let ids = |of: &[Shopper]| of.iter().map(|shopper| shopper.id).collect::<Vec<_>>();
        assert_eq!(ids(&before), ids(&self.shoppers));
    }

    pub fn redis(&mut self) -> &mut RedisServer {
        self.system.redis.as_mut().expect("it is our own")
    }

    pub fn redis_ref(&self) -> &RedisServer {
        self.system.redis.as_ref().expect("it is our own")
    }

    pub fn redis_cluster(&mut self) -> &mut OwnCluster {
        self.redis_cluster.as_mut().expect("there is a cluster")
    }

    /// The answer of the Redis that has a sale.
    pub fn redis_cli(&self, sale: i64, command: &[&str]) -> String {
        match (&self.system.redis, &self.redis_cluster) {
            (Some(redis), _) => redis.cli(command),
            (None, Some(cluster)) => {
                cluster.nodes[cluster.owner(cluster.slot_of(sale))].cli(command)
            }
            (None, None) => panic!("there is no Redis"),
        }
    }

    pub fn broker(&mut self) -> &mut Broker {
        match &mut self.kafka {
            Kafka::One(broker) => broker,
            Kafka::Three(_) => panic!("there are three"),
        }
    }

    pub fn brokers(&mut self) -> &mut Cluster {
        match &mut self.kafka {
            Kafka::One(_) => panic!("there is one"),
            Kafka::Three(brokers) => brokers,
        }
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

    /// The worker that runs the sale controller: the owner of partition 0.
    pub async fn sale_controller(&mut self) -> &mut Node {
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
            let output = node.output();
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
            crate::support::wait_until("an API is ready", Duration::from_secs(10), || async {
                let answer = reqwest::get(format!("http://127.0.0.1:{port}/health/ready")).await;
                answer.is_ok_and(|answer| answer.status() == 200)
            })
            .await;
        }
    }
}

impl Drop for TestBed {
    /// After a fault that was not ended: whatever is paused would neither end nor answer those who wait for it.
    fn drop(&mut self) {
        self.postgres.resume();
        if let Kafka::One(broker) = &self.kafka
            && broker.is_running()
        {
            broker.resume();
        }
        if let Some(redis) = &self.system.redis {
            redis.resume();
        }
    }
}
