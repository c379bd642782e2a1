//! Three Kafka brokers of a test's own, each also a controller, with a wire in front of each for what the others fetch from it.

use std::{ops::RangeInclusive, time::Duration};

use flashsale::config::KafkaConfig;
use futures::future::join_all;

use super::{
    broker::{self, Broker},
    kafka,
    process::free_port,
    wait_until,
    wire::{Traffic, Wire},
};

const BROKERS: usize = 3;

/// The brokers. Killed, and their data deleted, on drop.
pub struct Cluster {
    /// By their numbers, from 1 on.
    brokers: Vec<Broker>,
    /// What the other brokers connect to, of each.
    replication: Vec<Wire>,
}

impl Cluster {
    /// Three brokers that keep three replicas, of which two must confirm a record.
    pub async fn start() -> Self {
        let controllers: Vec<_> = (0..BROKERS).map(|_| free_port()).collect();
        let voters: Vec<_> = (1..)
            .zip(&controllers)
            .map(|(id, port)| format!("{id}@127.0.0.1:{port}"))
            .collect();
        let (mut brokers, mut replication, mut formats) = (Vec::new(), Vec::new(), Vec::new());
        for (id, controller) in (1..).zip(&controllers) {
            let internal = free_port();
            let broker = Broker::prepare(vec![internal]);
            let wire = Wire::to("127.0.0.1", internal).await;
            let properties = properties(id, &voters.join(","), *controller, &broker, wire.port);
            // All at once: a JVM takes more than a second to start.
            formats.push(broker.format(&properties, &[]));
            brokers.push(broker);
            replication.push(wire);
        }
        formats.into_iter().for_each(broker::finish_formatting);
        brokers.iter_mut().for_each(Broker::run);
        join_all(brokers.iter().map(Broker::wait_until_ready)).await;
        Self {
            brokers,
            replication,
        }
    }

    /// How clients get to all of them.
    pub fn config(&self) -> KafkaConfig {
        KafkaConfig {
            replication_factor: 3,
            ..kafka::config_of(self.brokers.iter().map(Broker::address).collect())
        }
    }

    /// The port of one that runs.
    pub fn port(&self) -> u16 {
        let running = self.brokers.iter().find(|broker| broker.is_running());
        running.expect("a broker runs").port()
    }

    /// What brokers ask of each other comes so much later. A leader hears from the next fetch that a replica has a record: so it
    /// hears late, and meanwhile the record waits although another broker has it.
    pub fn slow_replication(&self, late: Duration) {
        self.set_replication(Traffic::AskedLate(late));
    }

    pub fn normal_replication(&self) {
        self.set_replication(Traffic::Flowing);
    }

    fn set_replication(&self, traffic: Traffic) {
        for wire in &self.replication {
            wire.set(traffic);
        }
    }

    /// One of them, by its number.
    pub fn broker(&mut self, id: i32) -> &mut Broker {
        &mut self.brokers[usize::try_from(id - 1).unwrap()]
    }

    /// Starts those again that do not run.
    pub async fn start_missing(&mut self) {
        let missing = self.brokers.iter_mut();
        let missing = missing.filter(|broker| !broker.is_running());
        join_all(missing.map(Broker::restart)).await;
    }

    /// The leader of each partition, and how many replicas are in sync, as the first broker that answers says.
    pub async fn leaders(&self, topic: &str) -> Vec<(i32, usize)> {
        for broker in self.brokers.iter().filter(|broker| broker.is_running()) {
            if let Some(leaders) = kafka::leaders(broker.port(), topic).await {
                return leaders;
            }
        }
        Vec::new()
    }

    /// Waits until every partition has a leader and so many replicas in sync.
    pub async fn wait_for_replicas(&self, topic: &str, in_sync: RangeInclusive<usize>) {
        let what = format!("every partition has {in_sync:?} replicas in sync");
        wait_until(&what, Duration::from_mins(1), || async {
            let leaders = self.leaders(topic).await;
            !leaders.is_empty()
                && leaders
                    .iter()
                    .all(|(id, count)| *id > 0 && in_sync.contains(count))
        })
        .await;
    }
}

/// What a broker is configured with besides what all of the tests are.
fn properties(id: usize, voters: &str, controller: u16, broker: &Broker, wire: u16) -> String {
    let (port, internal) = (broker.port(), broker.ports_behind()[0]);
    format!(
        "process.roles=broker,controller\nnode.id={id}\ncontroller.quorum.voters={voters}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port},INTERNAL://127.0.0.1:{wire}\n\
         controller.listener.names=CONTROLLER\ninter.broker.listener.name=INTERNAL\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         min.insync.replicas=2\ndefault.replication.factor=3\n\
         controlled.shutdown.enable=true\nlog.cleaner.enable=false\nlog.index.size.max.bytes=1048576\n\
         num.network.threads=2\nnum.io.threads=2\n",
    )
}
