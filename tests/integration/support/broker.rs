//! A Kafka broker of a test's own, which can be paused, killed and started again.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use uuid::Uuid;

use super::{
    kafka::java,
    process::{free_port, send_signal},
    wait_until,
};

/// A broker that is its own controller, on free ports of the loopback interface. Killed, and its data deleted, on drop.
pub struct Broker {
    child: Child,
    dir: PathBuf,
    port: u16,
    /// Of listeners besides that one.
    more_ports: Vec<u16>,
}

/// A listener besides the plain one.
struct Listener {
    port: u16,
    /// The port that clients are told to come to.
    advertised: u16,
    secured: bool,
}

impl Listener {
    fn protocol(&self) -> &'static str {
        if self.secured {
            "SASL_SSL"
        } else {
            "PLAINTEXT"
        }
    }
}

/// A login that a broker with TLS and SASL takes.
pub const LOGIN: (&str, &str) = ("shop", "a password of the tests");

impl Broker {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With a second listener that wants TLS and a login.
    pub async fn start_secured() -> Self {
        let port = free_port();
        Self::start_with(&[Listener {
            port,
            advertised: port,
            secured: true,
        }])
        .await
    }

    /// With a listener behind each of these ports of wires.
    pub async fn start_behind(wires: &[u16]) -> Self {
        let listeners: Vec<_> = wires
            .iter()
            .map(|wire| Listener {
                port: free_port(),
                advertised: *wire,
                secured: false,
            })
            .collect();
        Self::start_with(&listeners).await
    }

    async fn start_with(more: &[Listener]) -> Self {
        let dir = std::env::temp_dir().join(format!("flashsale-kafka-{}", Uuid::new_v4()));
        fs::create_dir_all(&dir).unwrap();
        let (port, controller) = (free_port(), free_port());
        let each = |of: &dyn Fn(&Listener) -> String| -> String {
            let texts = more.iter().enumerate();
            let texts: Vec<_> = texts
                .map(|(n, listener)| format!(",MORE{n}:{}", of(listener)))
                .collect();
            texts.concat()
        };
        let at = |port: u16| format!("//127.0.0.1:{port}");
        let mut properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}{}\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{}\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\nauto.create.topics.enable=false\noffsets.topic.replication.factor=1\n\
             broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n",
            each(&|listener| at(listener.port)),
            each(&|listener| at(listener.advertised)),
            each(&|listener| listener.protocol().to_owned()),
            dir.join("data").display()
        );
        if let Some(n) = more.iter().position(|listener| listener.secured) {
            make_certificate(&dir);
            properties += &secured_listener(&dir, n);
        }
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
            more_ports: more.iter().map(|listener| listener.port).collect(),
        };
        broker.wait_until_ready().await;
        broker
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Of the listener with TLS and a login.
    pub fn secured_address(&self) -> String {
        format!("127.0.0.1:{}", self.more_ports[0])
    }

    /// Of the listeners behind wires, in their order.
    pub fn ports_behind(&self) -> &[u16] {
        &self.more_ports
    }

    /// PEM of whom to trust.
    pub fn authorities(&self) -> String {
        self.dir.join("ca.pem").display().to_string()
    }

    pub fn pause(&self) {
        send_signal(self.child.id(), "STOP");
    }

    pub fn resume(&self) {
        send_signal(self.child.id(), "CONT");
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

/// A certificate authority, and a certificate of the broker signed by it.
fn make_certificate(dir: &std::path::Path) {
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=tests \
        && openssl req -newkey rsa:2048 -nodes -keyout broker.key -out broker.csr -subj /CN=127.0.0.1 \
        && printf 'subjectAltName=IP:127.0.0.1' > san \
        && openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out broker.pem \
        && openssl pkcs12 -export -in broker.pem -inkey broker.key -out broker.p12 -passout pass:changeit";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .output()
        .expect("sh runs");
    assert!(
        made.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&made.stderr)
    );
}

fn secured_listener(dir: &std::path::Path, n: usize) -> String {
    let (user, password) = LOGIN;
    let listener = format!("listener.name.more{n}");
    format!(
        "{listener}.ssl.keystore.type=PKCS12\n\
         {listener}.ssl.keystore.location={}\n\
         {listener}.ssl.keystore.password=changeit\n\
         {listener}.ssl.key.password=changeit\n\
         {listener}.sasl.enabled.mechanisms=PLAIN\n\
         {listener}.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}=\"{password}\";\n",
        dir.join("broker.p12").display()
    )
}
