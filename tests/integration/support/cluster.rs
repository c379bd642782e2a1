//! Three Kafka brokers of a test's own, each also a controller, with a wire in front of each for what the others fetch from it.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use flashsale::config::KafkaConfig;
use futures::future::join_all;
use uuid::Uuid;

use super::{
    kafka::{self, java},
    process::{free_port, send_signal},
    wait_until,
    wire::{Traffic, Wire},
};

const BROKERS: usize = 3;

/// The brokers. Killed, and their data deleted, on drop.
pub struct Cluster {
    members: Vec<Member>,
}

/// A broker, by its number from 1 on.
struct Member {
    child: Option<Child>,
    dir: PathBuf,
    port: u16,
    /// What the other brokers connect to.
    replication: Wire,
}

impl Cluster {
    /// Three brokers that keep three replicas, of which two must confirm a record.
    pub async fn start() -> Self {
        let controllers: Vec<_> = (0..BROKERS).map(|_| free_port()).collect();
        let voters: Vec<_> = (1..)
            .zip(&controllers)
            .map(|(id, port)| format!("{id}@127.0.0.1:{port}"))
            .collect();
        let mut members = Vec::new();
        for (id, controller) in (1..).zip(&controllers) {
            let internal = free_port();
            let member = Member {
                child: None,
                dir: std::env::temp_dir().join(format!("flashsale-kafka-{}", Uuid::new_v4())),
                port: free_port(),
                replication: Wire::to("127.0.0.1", internal).await,
            };
            member.configure(id, &voters.join(","), *controller, internal);
            members.push(member);
        }
        // All at once: a JVM takes more than a second to start.
        let formats: Vec<_> = members
            .iter()
            .map(|member| {
                java("kafka.tools.StorageTool")
                    .args(["format", "--cluster-id=4L6g3nShT-eMCtK--X86sw", "-c"])
                    .arg(member.dir.join("server.properties"))
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .expect("java runs")
            })
            .collect();
        for mut format in formats {
            assert!(
                format.wait().unwrap().success(),
                "Kafka's storage cannot be formatted"
            );
        }
        for member in &mut members {
            member.run();
        }
        let cluster = Self { members };
        join_all((0..BROKERS).map(|place| cluster.wait_until_ready(place))).await;
        cluster
    }

    /// How clients get to all of them.
    pub fn config(&self) -> KafkaConfig {
        let brokers = self.members.iter();
        let brokers = brokers.map(|member| format!("127.0.0.1:{}", member.port));
        KafkaConfig {
            replication_factor: 3,
            ..kafka::config_of(brokers.collect())
        }
    }

    /// What brokers ask of each other comes so much later. A leader hears from the next fetch that a replica has a record: so it
    /// hears late, and meanwhile the record waits although another broker has it.
    pub fn slow_replication(&self, late: Duration) {
        for member in &self.members {
            member.replication.set(Traffic::AskedLate(late));
        }
    }

    pub fn normal_replication(&self) {
        for member in &self.members {
            member.replication.set(Traffic::Flowing);
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self, id: i32) {
        let mut child = self.member(id).child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM: the broker hands its partitions over, and ends.
    pub fn terminate(&self, id: i32) {
        let place = usize::try_from(id - 1).unwrap();
        send_signal(
            self.members[place].child.as_ref().expect("it runs").id(),
            "TERM",
        );
    }

    /// Waits for the end of a broker that was told to end, and kills it if it takes too long.
    pub async fn wait_for_end(&mut self, id: i32) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut child = self.member(id).child.take().expect("it ran");
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts those again that do not run.
    pub async fn start_missing(&mut self) {
        let mut missing = Vec::new();
        for (place, member) in self.members.iter_mut().enumerate() {
            if member.child.is_none() {
                member.run();
                missing.push(place);
            }
        }
        join_all(
            missing
                .into_iter()
                .map(|place| self.wait_until_ready(place)),
        )
        .await;
    }

    /// The leader of each partition, and how many replicas are in sync, as the first broker that answers says.
    pub async fn leaders(&self, topic: &str) -> Vec<(i32, usize)> {
        for member in self.members.iter().filter(|member| member.child.is_some()) {
            if let Some(leaders) = kafka::leaders(member.port, topic).await {
                return leaders;
            }
        }
        Vec::new()
    }

    /// Waits until every partition has a leader and so many replicas in sync.
    pub async fn wait_for_replicas(&self, topic: &str, in_sync: usize) {
        let what = format!("every partition has {in_sync} replicas in sync");
        wait_until(&what, Duration::from_secs(40), || async {
            let leaders = self.leaders(topic).await;
            !leaders.is_empty()
                && leaders
                    .iter()
                    .all(|(id, count)| *id > 0 && *count == in_sync)
        })
        .await;
    }

    fn member(&mut self, id: i32) -> &mut Member {
        &mut self.members[usize::try_from(id - 1).unwrap()]
    }

    async fn wait_until_ready(&self, place: usize) {
        let address = format!("127.0.0.1:{}", self.members[place].port);
        wait_until("a broker answers", Duration::from_mins(1), || async {
            let client = rskafka::client::ClientBuilder::new(vec![address.clone()])
                .backoff_config(rskafka::BackoffConfig {
                    deadline: Some(Duration::ZERO),
                    ..rskafka::BackoffConfig::default()
                })
                .build();
            tokio::time::timeout(Duration::from_secs(1), client)
                .await
                .is_ok_and(|client| client.is_ok())
        })
        .await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            if let Some(child) = &mut member.child {
                let _ = child.kill();
                let _ = child.wait();
            }
            let _ = fs::remove_dir_all(&member.dir);
        }
    }
}

impl Member {
    fn configure(&self, id: usize, voters: &str, controller: u16, internal: u16) {
        fs::create_dir_all(&self.dir).unwrap();
        let (port, wire) = (self.port, self.replication.port);
        let properties = format!(
            "process.roles=broker,controller\nnode.id={id}\ncontroller.quorum.voters={voters}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},INTERNAL://127.0.0.1:{wire}\n\
             controller.listener.names=CONTROLLER\ninter.broker.listener.name=INTERNAL\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\nauto.create.topics.enable=false\noffsets.topic.replication.factor=1\n\
             min.insync.replicas=2\ndefault.replication.factor=3\n\
             broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n\
             controlled.shutdown.enable=true\nlog.cleaner.enable=false\nlog.index.size.max.bytes=1048576\n\
             num.network.threads=2\nnum.io.threads=2\n",
            self.dir.join("data").display()
        );
        fs::write(self.dir.join("server.properties"), properties).unwrap();
    }

    fn run(&mut self) {
        let child = java("kafka.Kafka")
            .arg(self.dir.join("server.properties"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("java runs");
        self.child = Some(child);
    }
}
