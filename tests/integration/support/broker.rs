//! A Kafka broker of a test's own, which can be paused, killed and started again.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    kafka::java,
    mode,
    process::{free_port, send_signal},
    wait_until,
};

/// How long a broker may take to end by itself.
const PATIENCE_FOR_AN_END: Duration = Duration::from_secs(20);

/// A broker that is also a controller, on free ports of the loopback interface. Killed, and its data deleted, on drop.
pub struct Broker {
    /// `None` while it does not run.
    child: Option<Child>,
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
    kind: Kind,
}

/// How clients prove who they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// With TLS and SASL.
    Login,
    /// With TLS and a certificate of their own.
    Certificate,
}

impl Listener {
    fn new(kind: Kind) -> Self {
        let port = free_port();
        Self {
            port,
            advertised: port,
            kind,
        }
    }

    fn protocol(&self) -> &'static str {
        match self.kind {
            Kind::Plain => "PLAINTEXT",
            Kind::Login => "SASL_SSL",
            Kind::Certificate => "SSL",
        }
    }
}

/// A login that a broker with TLS and SASL takes. The certificate of a client is this user's, too.
pub const LOGIN: (&str, &str) = ("shop", "a password of the tests");
/// Users besides, whose password is their name, by PLAIN.
pub const USERS: [&str; 3] = ["serve", "work", "migrate"];

impl Broker {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With a listener that wants TLS and a login, and one that wants TLS and a certificate. Whoever comes to the plain one may
    /// do everything, and so may the user of `LOGIN`; the others need ACLs.
    pub async fn start_secured() -> Self {
        Self::start_with(&[Listener::new(Kind::Login), Listener::new(Kind::Certificate)]).await
    }

    /// With a listener behind each of these ports of wires.
    pub async fn start_behind(wires: &[u16]) -> Self {
        let listeners: Vec<_> = wires
            .iter()
            .map(|wire| Listener {
                port: free_port(),
                advertised: *wire,
                kind: Kind::Plain,
            })
            .collect();
        Self::start_with(&listeners).await
    }

    async fn start_with(more: &[Listener]) -> Self {
        mode::note_own_server("KAFKA", "a Kafka of its own, with its own way in");
        let mut broker = Self::prepare(more.iter().map(|listener| listener.port).collect());
        let (dir, port, controller) = (broker.dir.clone(), broker.port, free_port());
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
             inter.broker.listener.name=PLAINTEXT\n",
            each(&|listener| at(listener.port)),
            each(&|listener| at(listener.advertised)),
            each(&|listener| listener.protocol().to_owned()),
        );
        let secured = more.iter().any(|listener| listener.kind != Kind::Plain);
        if secured {
            make_certificates(&dir);
            properties += &security(&dir, more);
        }
        let (user, password) = LOGIN;
        let scram = format!("SCRAM-SHA-256=[name={user},password={password}]");
        let more = if secured {
            vec!["--add-scram", &scram]
        } else {
            Vec::new()
        };
        finish_formatting(broker.format(&properties, &more));
        broker.run();
        broker.wait_until_ready().await;
        broker
    }

    /// One that is neither formatted nor running, with ports of listeners besides the plain one.
    pub(super) fn prepare(more_ports: Vec<u16>) -> Self {
        let dir = std::env::temp_dir().join(format!("flashsale-kafka-{}", Uuid::new_v4()));
        fs::create_dir_all(&dir).unwrap();
        Self {
            child: None,
            dir,
            port: free_port(),
            more_ports,
        }
    }

    /// Begins to format its storage for these properties, which say all but what every broker of the tests has.
    pub(super) fn format(&self, properties: &str, more: &[&str]) -> Child {
        let properties = format!(
            "{properties}log.dirs={}\nauto.create.topics.enable=false\n\
             offsets.topic.replication.factor=1\n\
             broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n",
            self.dir.join("data").display()
        );
        let file = self.dir.join("server.properties");
        fs::write(&file, properties).unwrap();
        java("kafka.tools.StorageTool")
            .args(["format", "--cluster-id=4L6g3nShT-eMCtK--X86sw", "-c"])
            .arg(file)
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("java runs")
    }

    pub(super) fn run(&mut self) {
        let child = java("kafka.Kafka")
            .arg(self.dir.join("server.properties"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("java runs");
        self.child = Some(child);
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Of the listener with TLS and a login.
    pub fn secured_address(&self) -> String {
        format!("127.0.0.1:{}", self.more_ports[0])
    }

    /// Of the listener with TLS that asks for a certificate.
    pub fn certified_address(&self) -> String {
        format!("127.0.0.1:{}", self.more_ports[1])
    }

    /// PEM files: a client's certificate, and its key.
    pub fn identity(&self) -> (String, String) {
        let file = |name: &str| self.dir.join(name).display().to_string();
        (file("client.pem"), file("client.key"))
    }

    /// A file of the broker's directory, which goes with it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Of the plain listener.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Of the listeners behind wires, in their order.
    pub fn ports_behind(&self) -> &[u16] {
        &self.more_ports
    }

    /// PEM of whom to trust.
    pub fn authorities(&self) -> String {
        self.dir.join("ca.pem").display().to_string()
    }

    /// Whether it was started and not stopped since.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// SIGTERM: a broker of several hands its partitions over, and ends.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("the broker runs");
        send_signal(child.id(), name);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the broker runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for the end of a broker that was told to end, and kills it if it takes too long.
    pub async fn wait_for_end(&mut self) {
        let deadline = Instant::now() + PATIENCE_FOR_AN_END;
        let mut child = self.child.take().expect("the broker ran");
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts it again, on the same ports and data.
    pub async fn restart(&mut self) {
        self.run();
        self.wait_until_ready().await;
    }

    pub(super) async fn wait_until_ready(&self) {
        wait_until("the broker answers", Duration::from_mins(2), || async {
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
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Waits until a storage is formatted.
pub(super) fn finish_formatting(mut format: Child) {
    assert!(
        format.wait().unwrap().success(),
        "Kafka's storage cannot be formatted"
    );
}

/// A certificate authority, and certificates of the broker and of a client signed by it.
fn make_certificates(dir: &std::path::Path) {
    let script = format!(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=tests \
        && openssl req -newkey rsa:2048 -nodes -keyout broker.key -out broker.csr -subj /CN=127.0.0.1 \
        && printf 'subjectAltName=IP:127.0.0.1' > san \
        && openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out broker.pem \
        && openssl pkcs12 -export -in broker.pem -inkey broker.key -out broker.p12 -passout pass:changeit \
        && openssl req -newkey rsa:2048 -nodes -keyout client.key -out client.csr -subj /CN={} \
        && openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out client.pem",
        LOGIN.0
    );
    let made = Command::new("sh")
        .args(["-c", &script])
        .current_dir(dir)
        .output()
        .expect("sh runs");
    assert!(
        made.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// Who is let in, and what they may do.
fn security(dir: &std::path::Path, listeners: &[Listener]) -> String {
    let (user, password) = LOGIN;
    let users = USERS
        .map(|name| format!(" user_{name}=\"{name}\""))
        .concat();
    let mut properties = format!(
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS;User:{user}\n"
    );
    for (n, listener) in listeners.iter().enumerate() {
        let name = format!("listener.name.more{n}");
        let keys = format!(
            "{name}.ssl.keystore.type=PKCS12\n\
             {name}.ssl.keystore.location={}\n\
             {name}.ssl.keystore.password=changeit\n\
             {name}.ssl.key.password=changeit\n",
            dir.join("broker.p12").display()
        );
        let clients = match listener.kind {
            Kind::Plain => String::new(),
            Kind::Login => format!(
                "{name}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,OAUTHBEARER\n\
                 {name}.plain.sasl.jaas.config=\
                 org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}=\"{password}\"{users};\n\
                 {name}.scram-sha-256.sasl.jaas.config=\
                 org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
                 {name}.oauthbearer.sasl.jaas.config=\
                 org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"broker\";\n"
            ),
            Kind::Certificate => format!(
                "{name}.ssl.client.auth=required\n\
                 {name}.ssl.truststore.type=PEM\n\
                 {name}.ssl.truststore.location={}\n\
                 {name}.ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/\n",
                dir.join("ca.pem").display()
            ),
        };
        properties.push_str(&keys);
        properties.push_str(&clients);
    }
    properties
}
