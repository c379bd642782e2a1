//! Makes the events of a plan happen, and brings everything up again when the time for faults is over.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use flashsale::{
    clock::Clock,
    ids::{AttemptId, SaleId, UserId},
    port::{Attempt, GateReads, LogEnds, LogEntry, LogRecord, Offset, Partition, RawRecord},
};

use super::{
    node::{Node, NodeRole},
    operator::operate,
    plan::{Blow, Event, Kind, Poison, Server},
    shopper::newcomer,
    world::{World, shopper, short},
};

/// Nobody's id.
const UNKNOWN_USER: i64 = 99_999;

/// The processes of a system, by role; one process has both.
pub(super) struct System {
    pub(super) apis: Vec<Arc<Node>>,
    pub(super) workers: Vec<Arc<Node>>,
}

impl System {
    pub(super) fn start(world: &Arc<World>) -> Self {
        let (apis, workers) = if world.plan.kind == Kind::Embedded {
            let node = Node::new(world, NodeRole::Everything, 1);
            (vec![Arc::clone(&node)], vec![node])
        } else {
            let make = |role, count| (1..=count).map(|n| Node::new(world, role, n)).collect();
            (
                make(NodeRole::Api, world.plan.apis),
                make(NodeRole::Worker, world.plan.workers),
            )
        };
        let system = Self { apis, workers };
        system.bring_up();
        system
    }

    /// Starts what does not run, wakes what is paused.
    pub(super) fn bring_up(&self) {
        for node in self.nodes() {
            if let Some(running) = node.running() {
                running.process.resume();
            }
            node.start();
        }
    }

    /// True when every API serves.
    pub(super) fn serves(&self) -> bool {
        self.apis.iter().all(|node| {
            node.running()
                .is_some_and(|running| running.front().is_some())
        })
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.apis.iter().chain(&self.workers)
    }
}

/// Makes one event happen.
pub(super) fn happen(world: &Arc<World>, system: &System, event: Event) {
    world.note(|| format!("EVENT {event:?}"));
    match event {
        Event::Api(number, blow) => strike(world, system.apis.get(number), blow),
        Event::Worker(number, blow) => strike(world, system.workers.get(number), blow),
        Event::Away {
            server,
            refused,
            for_ms,
        } => {
            world.send_away(server, world.now() + for_ms, refused);
        }
        Event::EmptyGate => world.empty_gate(),
        Event::SaveGate => world.save_gate(),
        Event::RestartGate { forgets } => {
            world.send_away(Server::Gate, world.now() + 20, true);
            world.restart_gate(forgets);
        }
        Event::CutLog { share } => cut(world, share),
        Event::MakeLogAnew => {
            let gone = world.log.make_anew();
            world.seen().log_made_anew = true;
            for (partition, records) in gone {
                world.destroyed(partition, &records);
            }
        }
        Event::Poison(poison) => write(world, poison),
        Event::Operate(number, operation) => {
            if let Some(running) = system.apis.get(number).and_then(|node| node.running()) {
                operate(world, &running, operation);
            }
        }
        Event::SetSwitch(switch) => {
            world.ledger.set_switch(world.sale, switch);
            world.terms_changed();
        }
        Event::SetEnd(from_now) => {
            let end = world.clock().now() + TimeDelta::milliseconds(from_now);
            world.ledger.set_end(world.sale, end);
            world.terms_changed();
        }
        Event::SetUnits(units) => {
            world.seen().units_moved = true;
            world.seen().may_be_short = true;
            let sold = world.ledger.initial(world.sale) - world.ledger.remaining(world.sale);
            world.ledger.set_initial_stock(world.sale, units.max(sold));
        }
        Event::EndOrder(number) => end_order(world, number),
        Event::LoseKey(part) => world.lose_key(part),
        Event::ForeignGate => world.hand_gate_over(),
        Event::SaveLedger => world.save_ledger(),
        Event::SetLedgerBack => world.set_ledger_back(),
        Event::AddPartition => world.log.add_partition(),
        Event::DeleteAccount(number) => {
            if let Some(user) = shopper(number)
                && world.ledger.delete_account(user)
            {
                world.note(|| format!("the account of shopper {user} is deleted"));
                world.seen().without_account.insert(user);
            }
        }
        Event::Register(number) => register(world, system, number),
    }
}

/// Deletes one of the orders, if there is one.
fn end_order(world: &World, number: usize) {
    let orders = world.ledger.orders(world.sale);
    let Some(user) = orders.keys().nth(number % orders.len().max(1)).copied() else {
        return;
    };
    if let Some(attempt) = world.ledger.end_order(world.sale, user) {
        world.note(|| format!("the order {} of {user} is deleted", short(attempt)));
        let mut seen = world.seen();
        seen.units_moved = true;
        seen.ended.insert(attempt);
        seen.ended_of.insert(user);
    }
}

/// Somebody registers at a node and shops from then on.
fn register(world: &Arc<World>, system: &System, number: usize) {
    let Some(node) = system.apis.get(number).and_then(|node| node.running()) else {
        return;
    };
    let (world, nodes) = (Arc::clone(world), system.apis.clone());
    let chance = world.chance().fork();
    world.flying.fetch_add(1, Ordering::Relaxed);
    world.outside.clone().spawn(async move {
        if let Some(shopper) = newcomer(&world, nodes, &node, chance).await {
            shopper.run().await;
        }
        world.flying.fetch_sub(1, Ordering::Relaxed);
    });
}

/// Makes something happen to one process.
fn strike(world: &World, node: Option<&Arc<Node>>, blow: Blow) {
    let Some(node) = node.cloned() else {
        return;
    };
    match blow {
        Blow::Crash { down } => {
            node.kill();
            world.outside.spawn(async move {
                tokio::time::sleep(Duration::from_millis(down)).await;
                node.start();
            });
        }
        Blow::Pause { for_ms } => {
            let Some(running) = node.running() else {
                return;
            };
            running.process.pause();
            world.outside.spawn(async move {
                tokio::time::sleep(Duration::from_millis(for_ms)).await;
                running.process.resume();
            });
        }
        Blow::Stop { grace } => {
            world.outside.spawn(async move {
                node.stop(Duration::from_millis(grace)).await;
                node.start();
            });
        }
        Blow::Skew { by } => node.set_skew(by),
    }
}

/// Retention takes the oldest records of every partition.
fn cut(world: &World, share: u64) {
    for (partition, end) in world.log.ends_now() {
        let records = world.log.all(partition);
        let count = u64::try_from(records.len()).unwrap_or(0) * share / 1_000;
        let kept = usize::try_from(count).unwrap_or(0);
        let before = records.get(kept).map_or(end, |record| record.offset);
        let gone = world.log.cut(partition, before);
        world.destroyed(partition, &gone);
    }
}

/// Writes a record by another hand.
fn write(world: &World, poison: Poison) {
    let ends = world.log.ends_now();
    let known: Vec<Attempt> = ends
        .keys()
        .flat_map(|partition| world.log.all(*partition))
        .filter_map(|record| match record.entry {
            // Of a real shopper: only one of two records of one id is settled, and the other one is no dead letter.
            LogEntry::Attempt(attempt) if attempt.user.value() < UNKNOWN_USER => Some(attempt),
            LogEntry::Attempt(_) | LogEntry::Undecodable(_) | LogEntry::OtherLedger(_) => None,
        })
        .collect();
    let any = |attempts: &[Attempt]| {
        let index = world.chance().index(attempts.len());
        attempts.get(index).copied()
    };
    let clock = world.clock();
    let window = world.window();
    let fresh = |user: UserId| Attempt {
        id: AttemptId(clock.new_id()),
        sale: world.sale,
        product: world.product,
        user,
        at: window.nearest(clock.now()),
    };
    let stranger = world.plan.shoppers + 1;
    let (attempt, dead) = match poison {
        Poison::Undecodable => (None, true),
        Poison::UnknownUser => (UserId::new(UNKNOWN_USER).map(fresh), true),
        Poison::UnknownSale => {
            let attempt = shopper(1).map(|user| Attempt {
                sale: SaleId::try_from(77).unwrap_or(world.sale),
                ..fresh(user)
            });
            (attempt, true)
        }
        Poison::Duplicate => (any(&known), false),
        Poison::ForeignId => {
            // Of one that is settled: whoever comes first with an id has it.
            let settled: Vec<_> = known
                .iter()
                .filter(|attempt| world.ledger.outcome(attempt.id).is_some())
                .copied()
                .collect();
            let attempt = any(&settled).and_then(|of| {
                let user = shopper(stranger)?;
                (of.user != user).then_some(Attempt { user, ..of })
            });
            let copied = attempt.map(|attempt| attempt.id);
            world.seen().copied.extend(copied);
            (attempt, false)
        }
        Poison::PastTheGate => {
            let attempt = shopper(stranger).map(fresh);
            world.seen().may_be_short = true;
            world
                .seen()
                .past_the_gate
                .extend(attempt.map(|attempt| attempt.id));
            (attempt, false)
        }
    };
    if attempt.is_none() && !dead {
        return;
    }
    if poison != Poison::Duplicate {
        let id = attempt.map(|attempt| attempt.id);
        world.seen().by_hand.extend(id);
    }
    let partition = attempt.map_or(Partition(0), |attempt| world.log.partition_of(attempt.user));
    let text = attempt.map_or_else(
        || "no attempt".to_owned(),
        |attempt| {
            world.note(|| format!("somebody writes {} of {}", short(attempt.id), attempt.user));
            record(&attempt)
        },
    );
    let offset = ends.get(&partition).copied().unwrap_or(Offset(0));
    if dead {
        let record = (partition, offset, attempt.map(|attempt| attempt.id));
        world.seen().poison.push(record);
    }
    world.log.write_by_hand(
        partition,
        RawRecord {
            key: None,
            value: Some(text.into_bytes()),
        },
    );
}

/// A record as the log's readers know it.
fn record(attempt: &Attempt) -> String {
    let at: DateTime<Utc> = attempt.at;
    format!(
        r#"{{"v":1,"attemptId":"{}","userId":"{}","productId":{},"saleId":{},"timestamp":{}}}"#,
        attempt.id,
        attempt.user,
        attempt.product,
        attempt.sale,
        at.timestamp_millis()
    )
}

/// True if no worker will read the record, and the gate that knew of it has forgotten.
fn is_erased(world: &World, record: &LogRecord) -> bool {
    match &record.entry {
        LogEntry::Attempt(attempt) => world.seen().erased.contains(&attempt.id),
        LogEntry::Undecodable(_) | LogEntry::OtherLedger(_) => false,
    }
}

/// True when nothing is under way any more: the log is settled, nothing is pending, and the gate has what the ledger has.
pub(super) async fn is_quiet(world: &World) -> bool {
    use flashsale::port::GateStatus;

    let committed = world
        .ledger
        .progress_of(super::world::GROUP, world.log.name());
    let anew = world.seen().log_made_anew;
    let settled = world.log.ends_now().iter().all(|(partition, end)| {
        let next = committed.get(partition).copied().unwrap_or(Offset(0));
        // A log that was made anew may be as long as what was read of the old one, or shorter until its next record comes.
        let records = || world.log.all(*partition);
        if anew {
            next >= *end
                && records()
                    .iter()
                    .all(|record| is_done(world, *partition, record) || is_erased(world, record))
        } else {
            next == *end
        }
    });
    if world.flying.load(Ordering::Relaxed) > 0 {
        return false;
    }
    let Some(listing) = world.ledger.listing(world.sale) else {
        return false;
    };
    let status = world.gate().status(world.sale).await;
    let contradicts = status.as_ref().is_ok_and(GateStatus::is_contradictory);
    match status {
        Ok(GateStatus::Open {
            window,
            switch,
            available,
            pending,
            version,
            total,
            withdrawn,
            ..
        }) => {
            let signed = |units| i64::try_from(units).unwrap_or(i64::MAX);
            let informed = world.ledger.gate_is_up_to_date(world.sale, version);
            // The ledger may have had other terms of this version before it was set back.
            let agrees = (window, switch, total, available)
                == (
                    listing.window,
                    listing.switch,
                    signed(listing.initial_stock),
                    signed(listing.remaining_stock),
                );
            settled && informed && agrees && !contradicts && pending == 0 && withdrawn.is_empty()
        }
        Ok(GateStatus::Closed { .. } | GateStatus::Unknown) | Err(_) => false,
    }
}

/// True if a record is settled or buried.
fn is_done(world: &World, partition: Partition, record: &LogRecord) -> bool {
    let letters = world.log.all_dead_letters();
    let is_letter = || {
        let mut letters = letters.iter();
        letters.any(|letter| (letter.partition, letter.offset) == (partition, record.offset))
    };
    match &record.entry {
        LogEntry::Attempt(attempt) => world.ledger.outcome(attempt.id).is_some(),
        LogEntry::Undecodable(_) => is_letter(),
        LogEntry::OtherLedger(_) => true,
    }
}
