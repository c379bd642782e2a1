//! How faults are made to happen, and how servers get their roles back afterwards.

mod kafka;
mod nodes;
mod postgres;
mod redis;

use std::time::Duration;

use crate::{
    bed::TestBed,
    fault::{Fault, Part},
    load::Load,
    node::Node,
    support::wire::{Traffic, Wire},
};

/// How long whatever passes by itself takes.
pub const LASTING: Duration = Duration::from_secs(5);
/// How much later replies come.
pub const LATE: Duration = Duration::from_millis(300);
/// How long what was killed stays away before it is started again.
const AWAY: Duration = Duration::from_secs(1);
/// Between two steps of a fault: between a snapshot and its use, before the log is cut.
const MEANWHILE: Duration = Duration::from_secs(2);

impl Fault {
    /// Lets it happen, and ends it. Returns when whatever was killed answers again, or another one serves in its place: from
    /// then on the system has to find back by itself.
    pub async fn strike(self, bed: &mut TestBed, load: &Load) {
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
            Self::RolledOver => nodes::rolled_over(bed).await,
            Self::ApiClockWrong => nodes::clock_wrong(bed).await,
            Self::RedisEmptied => redis::emptied(bed),
            Self::RedisFromSnapshot => redis::from_snapshot(bed).await,
            Self::RedisDemoted => redis::demoted(bed).await,
            Self::RedisFailedOver => redis::failed_over(bed),
            Self::RedisNotWriting => redis::not_writing(bed).await,
            Self::RedisKeyLost => redis::key_lost(bed, load),
            Self::RedisSlotMoved => redis::slot_moved(bed, load).await,
            Self::RedisMasterKilled => redis::master_killed(bed, load),
            Self::LogCut => kafka::log_cut(bed).await,
            Self::PartitionsAdded => kafka::partitions_added(bed).await,
            Self::KafkaLeaderKilled => kafka::leader_killed(bed).await,
            Self::KafkaLeaderMoved => kafka::leader_moved(bed).await,
            Self::OutOfConnections => postgres::out_of_connections(bed).await,
            Self::PostgresNotWriting => postgres::not_writing(bed).await,
            Self::LedgerSetBack => postgres::set_back(bed).await,
            Self::LedgerNew => postgres::new_ledger(bed, load).await,
            Self::AccountsDeleted => postgres::accounts_deleted(bed, load).await,
            Self::StockChanged => postgres::stock_changed(bed, load).await,
            Self::KafkaKilledRedisLate => {
                set(&wires(bed, Node::redis), Traffic::Late(LATE));
                bed.broker().kill();
                tokio::time::sleep(LASTING).await;
                bed.broker().restart().await;
                set(&wires(bed, Node::redis), Traffic::Flowing);
            }
        }
    }

    /// Gives servers the roles that they had before, or starts them again, while shoppers go on. Whether there was anything
    /// to do.
    pub async fn mend(self, bed: &mut TestBed) -> bool {
        match self {
            Self::RedisDemoted | Self::RedisFailedOver => redis::give_back(bed).await,
            Self::RedisMasterKilled => redis::start_missing(bed),
            Self::KafkaLeaderKilled | Self::KafkaLeaderMoved => kafka::start_missing(bed).await,
            _ => return false,
        }
        true
    }
}

async fn killed(part: Part, bed: &mut TestBed) {
    let node: &mut Node = match part {
        Part::Api => &mut bed.nodes[0],
        Part::Worker => bed.sale_controller().await,
        Part::Redis => {
            bed.redis().kill();
            tokio::time::sleep(AWAY).await;
            return bed.redis().restart();
        }
        Part::Kafka => {
            bed.broker().kill();
            tokio::time::sleep(AWAY).await;
            return bed.broker().restart().await;
        }
        Part::Postgres => {
            bed.postgres.kill();
            tokio::time::sleep(AWAY).await;
            return bed.postgres.restart().await;
        }
    };
    node.kill();
    tokio::time::sleep(AWAY).await;
    node.start_again().await;
}

async fn paused(part: Part, bed: &mut TestBed) {
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
            bed.broker().pause();
            tokio::time::sleep(LASTING).await;
            bed.broker().resume();
        }
        Part::Postgres => {
            bed.postgres.pause();
            tokio::time::sleep(LASTING).await;
            bed.postgres.resume();
        }
    }
}

async fn victim(part: Part, bed: &mut TestBed) -> &mut Node {
    if part == Part::Worker {
        bed.sale_controller().await
    } else {
        &mut bed.nodes[0]
    }
}

/// Of a node all wires, of a server those of all nodes.
async fn with_traffic(part: Part, traffic: Traffic, bed: &mut TestBed) {
    let wires = match part {
        Part::Api | Part::Worker => {
            let node = victim(part, bed).await;
            node.set_all(traffic);
            tokio::time::sleep(LASTING).await;
            return node.set_all(Traffic::Flowing);
        }
        Part::Redis => wires(bed, Node::redis),
        Part::Kafka => wires(bed, Node::kafka),
        Part::Postgres => wires(bed, Node::postgres),
    };
    set(&wires, traffic);
    tokio::time::sleep(LASTING).await;
    set(&wires, Traffic::Flowing);
}

/// One of the wires of every node.
fn wires(bed: &TestBed, which: fn(&Node) -> &Wire) -> Vec<&Wire> {
    bed.nodes.iter().map(which).collect()
}

fn set(wires: &[&Wire], traffic: Traffic) {
    for wire in wires {
        wire.set(traffic);
    }
}
