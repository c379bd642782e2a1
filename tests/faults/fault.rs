//! What can happen to a system, and how it is made to happen.

use std::{fmt, time::Duration};

use futures::future::join_all;
use rskafka::client::partition::{OffsetAt, UnknownTopicHandling};

use crate::{
    bed::{Bed, Node},
    support::{
        redis::{RedisOptions, RedisServer},
        redis_topology::{quick, replicate},
        wire::{Traffic, Wire},
    },
};

/// How long whatever passes by itself takes.
pub const LASTING: Duration = Duration::from_secs(5);
/// How long what was killed stays away before it is started again.
const AWAY: Duration = Duration::from_secs(1);
/// How much later replies come.
const LATE: Duration = Duration::from_millis(300);
/// What happens between a snapshot and its use, and before the log is cut.
const MEANWHILE: Duration = Duration::from_secs(2);

/// A part of the system. Of API nodes and workers there are two, of which one is hit: of the workers the one that takes
/// care of gate and log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Api,
    Worker,
    Redis,
    Kafka,
    Postgres,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Killed(Part),
    Paused(Part),
    Cut(Part),
    Late(Part),
    /// The network holds back what the part sends and is sent, and nobody is told.
    Silent(Part),
    ApiWithoutServers,
    RedisEmptied,
    RedisFromSnapshot,
    /// The replica becomes the primary, the old primary its replica, and no connection is cut; the address moves later. Then the
    /// same back.
    RedisDemoted,
    /// The primary is killed and its replica takes its place; then it is given back.
    RedisFailedOver,
    /// It answers and refuses every write.
    RedisNotWriting,
    LogCut,
    OutOfConnections,
    /// Two at once: units have to go back, and slowly.
    KafkaKilledRedisLate,
}

impl Part {
    const ALL: [Self; 5] = [
        Self::Api,
        Self::Worker,
        Self::Redis,
        Self::Kafka,
        Self::Postgres,
    ];
}

impl Fault {
    /// Every row of the table, in its order.
    pub fn all() -> Vec<Self> {
        let of = [
            Self::Killed,
            Self::Paused,
            Self::Cut,
            Self::Late,
            Self::Silent,
        ];
        let parts = Part::ALL.iter();
        let mut all: Vec<_> = parts
            .flat_map(|part| of.iter().map(|fault| fault(*part)))
            .collect();
        all.extend([
            Self::ApiWithoutServers,
            Self::RedisEmptied,
            Self::RedisFromSnapshot,
            Self::RedisDemoted,
            Self::RedisFailedOver,
            Self::RedisNotWriting,
            Self::LogCut,
            Self::OutOfConnections,
            Self::KafkaKilledRedisLate,
        ]);
        all
    }

    /// The nastiest, for every run of the tests.
    pub fn nastiest() -> Vec<Self> {
        vec![
            Self::Killed(Part::Api),
            Self::Paused(Part::Kafka),
            Self::RedisFromSnapshot,
            Self::LogCut,
        ]
    }

    /// What is hit, if it is one of the five.
    pub fn part(self) -> Part {
        match self {
            Self::Killed(part)
            | Self::Paused(part)
            | Self::Cut(part)
            | Self::Late(part)
            | Self::Silent(part) => part,
            Self::ApiWithoutServers => Part::Api,
            Self::RedisEmptied
            | Self::RedisFromSnapshot
            | Self::RedisDemoted
            | Self::RedisFailedOver
            | Self::RedisNotWriting => Part::Redis,
            Self::LogCut | Self::KafkaKilledRedisLate => Part::Kafka,
            Self::OutOfConnections => Part::Postgres,
        }
    }

    /// Whether it comes between shoppers and an API, so that they see broken connections.
    pub fn is_seen_by_shoppers(self) -> bool {
        self.part() == Part::Api && self != Self::ApiWithoutServers
    }

    /// For how long it holds up the connection between a shopper and an API by itself.
    pub fn holds_shoppers(self) -> Duration {
        match self {
            Self::Paused(Part::Api) | Self::Silent(Part::Api) => LASTING,
            Self::Late(Part::Api) => LATE,
            _ => Duration::ZERO,
        }
    }

    /// Whether Redis loses what it had, or is restarted and so may have: sales are loaded anew from the ledger, and an
    /// attempt that was on its way meanwhile may find the last unit gone.
    pub fn reloads_the_gate(self) -> bool {
        matches!(
            self,
            Self::Killed(Part::Redis)
                | Self::RedisEmptied
                | Self::RedisFromSnapshot
                | Self::RedisDemoted
                | Self::RedisFailedOver
        )
    }

    /// Lets it happen, and ends it. Returns when whatever was killed answers again.
    pub async fn strike(self, bed: &mut Bed) {
        match self {
            Self::Killed(part) => killed(part, bed).await,
            Self::Paused(part) => paused(part, bed).await,
            Self::Cut(part) => with_traffic(part, Traffic::Cut, bed).await,
            Self::Late(part) => with_traffic(part, Traffic::Late(LATE), bed).await,
            Self::Silent(part) => with_traffic(part, Traffic::Held, bed).await,
            Self::ApiWithoutServers => {
                set(&bed.nodes[0].to_servers(), Traffic::Cut);
                tokio::time::sleep(LASTING).await;
                set(&bed.nodes[0].to_servers(), Traffic::Flowing);
            }
            Self::RedisEmptied => {
                bed.redis().flushall();
                bed.redis().cli(&["SCRIPT", "FLUSH"]);
            }
            Self::RedisFromSnapshot => {
                bed.redis().save();
                tokio::time::sleep(MEANWHILE).await;
                bed.redis().restart_from_snapshot();
            }
            Self::RedisDemoted => {
                let spare = spare_of(bed);
                demoted(bed, &spare, true).await;
                demoted(bed, &spare, false).await;
            }
            Self::RedisFailedOver => {
                let spare = spare_of(bed);
                bed.redis().kill();
                promote(&spare);
                lead(bed, spare.port());
                tokio::time::sleep(LASTING).await;
                bed.redis().restart();
                replicate(bed.redis(), &spare);
                demoted(bed, &spare, false).await;
            }
            Self::RedisNotWriting => {
                bed.redis()
                    .cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
                tokio::time::sleep(LASTING).await;
                bed.redis()
                    .cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
            }
            Self::LogCut => log_cut(bed).await,
            Self::OutOfConnections => out_of_connections(bed).await,
            Self::KafkaKilledRedisLate => {
                set(&wires(bed, |node| &node.redis), Traffic::Late(LATE));
                bed.broker.kill();
                tokio::time::sleep(LASTING).await;
                bed.broker.restart().await;
                set(&wires(bed, |node| &node.redis), Traffic::Flowing);
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "API node",
            Self::Worker => "worker",
            Self::Redis => "Redis",
            Self::Kafka => "Kafka",
            Self::Postgres => "PostgreSQL",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed(part) => write!(f, "{part}: killed (-9), started again"),
            Self::Paused(part) => write!(f, "{part}: paused"),
            Self::Cut(part) => write!(f, "{part}: connections cut"),
            Self::Late(part) => write!(f, "{part}: every reply 300 ms late"),
            Self::Silent(part) => write!(f, "{part}: network silent"),
            Self::ApiWithoutServers => f.write_str("API node: cut from all servers"),
            Self::RedisEmptied => f.write_str("Redis: emptied"),
            Self::RedisFromSnapshot => f.write_str("Redis: restarted from an old snapshot"),
            Self::RedisDemoted => {
                f.write_str("Redis: demoted, no connection cut, address moved later")
            }
            Self::RedisFailedOver => f.write_str("Redis: killed (-9), its replica promoted"),
            Self::RedisNotWriting => f.write_str("Redis: answers and refuses writes"),
            Self::LogCut => f.write_str("Kafka: log cut before it was settled"),
            Self::OutOfConnections => f.write_str("PostgreSQL: out of connections"),
            Self::KafkaKilledRedisLate => {
                f.write_str("Kafka: killed, started again, while replies of Redis are 300 ms late")
            }
        }
    }
}

async fn killed(part: Part, bed: &mut Bed) {
    let node: &mut Node = match part {
        Part::Api => &mut bed.nodes[0],
        Part::Worker => bed.caretaker().await,
        Part::Redis => {
            bed.redis().kill();
            tokio::time::sleep(AWAY).await;
            return bed.redis().restart();
        }
        Part::Kafka => {
            bed.broker.kill();
            tokio::time::sleep(AWAY).await;
            return bed.broker.restart().await;
        }
        Part::Postgres => {
            bed.postgres.kill();
            tokio::time::sleep(AWAY).await;
            return bed.postgres.restart().await;
        }
    };
    node.process.kill();
    tokio::time::sleep(AWAY).await;
    node.start_again().await;
}

async fn paused(part: Part, bed: &mut Bed) {
    match part {
        Part::Api | Part::Worker => {
            let node = victim(part, bed).await;
            node.process.pause();
            tokio::time::sleep(LASTING).await;
            node.process.resume();
        }
        Part::Redis => {
            bed.redis().pause();
            tokio::time::sleep(LASTING).await;
            bed.redis().resume();
        }
        Part::Kafka => {
            bed.broker.pause();
            tokio::time::sleep(LASTING).await;
            bed.broker.resume();
        }
        Part::Postgres => {
            bed.postgres.pause();
            tokio::time::sleep(LASTING).await;
            bed.postgres.resume();
        }
    }
}

async fn victim(part: Part, bed: &mut Bed) -> &mut Node {
    if part == Part::Worker {
        bed.caretaker().await
    } else {
        &mut bed.nodes[0]
    }
}

/// Of a node all wires, of a server those of all nodes.
async fn with_traffic(part: Part, traffic: Traffic, bed: &mut Bed) {
    let wires = match part {
        Part::Api | Part::Worker => {
            let node = victim(part, bed).await;
            node.set_all(traffic);
            tokio::time::sleep(LASTING).await;
            return node.set_all(Traffic::Flowing);
        }
        Part::Redis => wires(bed, |node| &node.redis),
        Part::Kafka => wires(bed, |node| &node.kafka),
        Part::Postgres => wires(bed, |node| &node.postgres),
    };
    set(&wires, traffic);
    tokio::time::sleep(LASTING).await;
    set(&wires, Traffic::Flowing);
}

/// A replica that has all data.
fn spare_of(bed: &mut Bed) -> RedisServer {
    let spare = RedisServer::start_with(RedisOptions::default(), &quick());
    replicate(&spare, bed.redis());
    spare
}

fn promote(server: &RedisServer) {
    assert_eq!(server.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
}

/// Where Redis is from now on, for connections that are made anew.
fn lead(bed: &Bed, port: u16) {
    for wire in wires(bed, |node| &node.redis) {
        wire.lead_to(port);
    }
}

/// The spare server takes the role over, or gives it back; connections stay, and the address moves a while later.
async fn demoted(bed: &mut Bed, spare: &RedisServer, to_spare: bool) {
    let own = bed.redis();
    let (old, new) = if to_spare {
        (&*own, spare)
    } else {
        (spare, &*own)
    };
    promote(new);
    let (port, old_port) = (new.port(), new.port().to_string());
    assert_eq!(old.cli(&["REPLICAOF", "127.0.0.1", &old_port]), "OK");
    tokio::time::sleep(MEANWHILE).await;
    lead(bed, port);
    tokio::time::sleep(LASTING).await;
}

/// One of the wires of every node.
fn wires(bed: &Bed, which: fn(&Node) -> &Wire) -> Vec<&Wire> {
    bed.nodes.iter().map(which).collect()
}

fn set(wires: &[&Wire], traffic: Traffic) {
    for wire in wires {
        wire.set(traffic);
    }
}

/// Nobody reads for a while; then everything in the log is deleted, as by a retention that is far too short, and the
/// workers go on.
async fn log_cut(bed: &mut Bed) {
    let workers: Vec<_> = bed
        .nodes
        .iter()
        .filter(|node| node.front.is_none())
        .collect();
    for worker in &workers {
        worker.process.pause();
    }
    tokio::time::sleep(MEANWHILE).await;
    let config = &bed.system.topic.config;
    let client = rskafka::client::ClientBuilder::new(config.brokers.clone())
        .build()
        .await
        .unwrap();
    let cuts = (0..config.partitions).map(|partition| {
        let client = &client;
        async move {
            let partition = client
                .partition_client(&config.topic, partition, UnknownTopicHandling::Error)
                .await
                .unwrap();
            let end = partition.get_offset(OffsetAt::Latest).await.unwrap();
            partition.delete_records(end, 5_000).await.unwrap();
        }
    });
    join_all(cuts).await;
    for worker in &workers {
        worker.process.resume();
    }
}

/// Somebody else takes every connection that the server has to give, also those that the program had.
async fn out_of_connections(bed: &mut Bed) {
    let admin = bed.postgres.admin().await.expect("PostgreSQL answers");
    let until = tokio::time::Instant::now() + LASTING;
    let mut taken = Vec::new();
    while tokio::time::Instant::now() < until {
        admin
            .batch_execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> 'postgres'",
            )
            .await
            .unwrap();
        // Until it refuses: as the superuser, who may also take those that are kept for one.
        while let Ok(client) = bed.postgres.admin().await {
            taken.push(client);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
