//! Faults of Redis: one server with a replica beside it, or a cluster with replicas.
//!
//! The helpers of a cluster wait on the thread that they are called on: the load runs on others.

use super::{LASTING, MEANWHILE, wires};
use crate::{
    bed::TestBed,
    load::Load,
    node::Node,
    support::{
        redis::{RedisOptions, RedisServer},
        redis_topology::{quick, replicate, wait_for},
    },
};

pub fn emptied(bed: &mut TestBed) {
    bed.redis().flushall();
    bed.redis().cli(&["SCRIPT", "FLUSH"]);
}

pub async fn from_snapshot(bed: &mut TestBed) {
    bed.redis().save();
    tokio::time::sleep(MEANWHILE).await;
    bed.redis().restart_from_snapshot();
}

pub async fn demoted(bed: &mut TestBed) {
    let spare = spare_of(bed);
    change_roles(bed, bed.redis_ref(), &spare).await;
    bed.spare = Some(spare);
}

pub fn failed_over(bed: &mut TestBed) {
    let spare = spare_of(bed);
    bed.redis().kill();
    promote(&spare);
    lead(bed, spare.port());
    bed.spare = Some(spare);
}

/// The spare server gives the role back.
pub async fn give_back(bed: &mut TestBed) {
    let spare = bed.spare.take().expect("it has the role");
    if bed.redis_ref().cli(&["PING"]) != "PONG" {
        bed.redis().restart();
        replicate(bed.redis_ref(), &spare);
    }
    change_roles(bed, &spare, bed.redis_ref()).await;
}

pub async fn not_writing(bed: &mut TestBed) {
    let replicas = |number| {
        let set = ["CONFIG", "SET", "min-replicas-to-write", number];
        assert_eq!(bed.redis_ref().cli(&set), "OK");
    };
    replicas("1");
    tokio::time::sleep(LASTING).await;
    replicas("0");
}

pub fn key_lost(bed: &TestBed, load: &Load) {
    let key = format!("flashsale:{{{}}}:holders", load.sale);
    assert_eq!(bed.redis_cli(load.sale, &["DEL", &key]), "1");
}

/// Its keys are on both nodes for a second, then all on the new one, which does not own it yet for another.
pub async fn slot_moved(bed: &mut TestBed, load: &Load) {
    let cluster = bed.redis_cluster();
    let slot = cluster.slot_of(load.sale);
    let from = cluster.owner(slot);
    let is_other_master = |node: &usize| *node != from && cluster.nodes[*node].is_primary();
    let to = (0..cluster.nodes.len()).find(is_other_master);
    let to = to.expect("there is another master");
    cluster.begin_migration(slot, from, to);
    cluster.move_keys(slot, from, to, 1);
    tokio::time::sleep(MEANWHILE / 2).await;
    // Keys that come meanwhile are few.
    while cluster.move_keys(slot, from, to, 10) > 0 {}
    tokio::time::sleep(MEANWHILE / 2).await;
    while cluster.move_keys(slot, from, to, 10) > 0 {}
    cluster.end_migration(slot, from, to);
}

/// How long the cluster takes to elect is its own affair: half a second more than the timeout of its nodes, and the vote.
pub fn master_killed(bed: &mut TestBed, load: &Load) {
    let cluster = bed.redis_cluster();
    let slot = cluster.slot_of(load.sale);
    let master = cluster.owner(slot);
    cluster.nodes[master].kill();
    let witness = (0..cluster.nodes.len()).find(|node| *node != master);
    let witness = witness.expect("there are others");
    wait_for("a replica is elected", || {
        let owner = cluster.owner_seen_by(witness, slot);
        owner.is_some_and(|node| node != master && cluster.nodes[node].is_primary())
    });
}

/// Comes back as a replica.
pub fn start_missing(bed: &mut TestBed) {
    let cluster = bed.redis_cluster();
    for node in &mut cluster.nodes {
        if node.cli(&["PING"]) != "PONG" {
            node.restart();
        }
    }
    cluster.wait_until_whole();
}

/// A replica that has all data.
fn spare_of(bed: &TestBed) -> RedisServer {
    let spare = RedisServer::start_with(RedisOptions::default(), &quick());
    replicate(&spare, bed.redis_ref());
    spare
}

fn promote(server: &RedisServer) {
    assert_eq!(server.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
}

/// Where Redis is from now on, for connections that are made anew.
fn lead(bed: &TestBed, port: u16) {
    for wire in wires(bed, Node::redis) {
        wire.lead_to(port);
    }
}

/// Connections stay, and the address moves a while later.
async fn change_roles(bed: &TestBed, old: &RedisServer, new: &RedisServer) {
    promote(new);
    let port = new.port().to_string();
    assert_eq!(old.cli(&["REPLICAOF", "127.0.0.1", &port]), "OK");
    tokio::time::sleep(MEANWHILE).await;
    lead(bed, new.port());
}
