//! A Kafka broker of a test's own, which can be paused, killed and started again.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use uuid::Uuid;

use super::{kafka::java, wait_until};

/// A broker that is its own controller, on free ports of the loopback interface. Killed, and its data deleted, on drop.
pub struct Broker {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl Broker {
    pub async fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("flashsale-kafka-{}", Uuid::new_v4()));
        fs::create_dir_all(&dir).unwrap();
        let (port, controller) = (free_port(), free_port());
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
             log.dirs={}\nauto.create.topics.enable=false\noffsets.topic.replication.factor=1\n\
             broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n",
            dir.join("data").display()
        );
        fs::write(dir.join("server.properties"), properties).unwrap();
        let formatted = java("kafka.tools.StorageTool")
            .args(["format", "--cluster-id=4L6g3nShT-eMCtK--X86sw", "-c"])
            .arg(dir.join("server.properties"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("java runs");
        assert!(formatted.success(), "Kafka's storage cannot be formatted");
        let broker = Self {
            child: run(&dir),
            dir,
            port,
        };
        broker.wait_until_ready().await;
        broker
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, on the same ports and data.
    pub async fn restart(&mut self) {
        self.child = run(&self.dir);
        self.wait_until_ready().await;
    }

    async fn wait_until_ready(&self) {
        wait_until("the broker answers", Duration::from_mins(1), || async {
            let client = rskafka::client::ClientBuilder::new(vec![self.address()])
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

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn run(dir: &std::path::Path) -> Child {
    java("kafka.Kafka")
        .arg(dir.join("server.properties"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("java runs")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
