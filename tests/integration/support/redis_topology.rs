//! More than one Redis server: a primary with a replica, Sentinels, a cluster with replicas, certificates for TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // clippy.toml exempts only the tests' own bodies

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use flashsale::config::{RedisConfig, Secret, SentinelConfig, TlsConfig, TlsMode};

use super::{
    mode::ServerTls,
    process::free_port,
    redis::{RedisOptions, RedisServer, cli},
};

/// How long servers may take to find each other.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the Sentinels call the primary.
const MASTER: &str = "flashsale";

/// Waits for a condition of servers; panics when it takes too long.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes one server the replica of another, and waits until it has all data.
pub fn replicate(replica: &RedisServer, primary: &RedisServer) {
    let port = primary.port().to_string();
    assert_eq!(replica.cli(&["REPLICAOF", "127.0.0.1", &port]), "OK");
    wait_for("the replica has all data", || {
        replica
            .cli(&["INFO", "replication"])
            .contains("master_link_status:up")
    });
}

/// Quick to copy the data, since tests wait for it.
pub fn quick() -> [&'static str; 2] {
    ["--repl-diskless-sync-delay", "0"]
}

/// A primary and a replica that has all data.
pub fn pair() -> (RedisServer, RedisServer) {
    let server = || RedisServer::start_with(RedisOptions::default(), &quick());
    let (primary, replica) = (server(), server());
    replicate(&replica, &primary);
    (primary, replica)
}

/// The same, speaking TLS and asking for a password. The certificates must stay there as long as servers or Sentinels start.
pub fn pair_over_tls(certificates: &Certificates) -> (RedisServer, RedisServer) {
    let options = RedisOptions {
        password: Some("a password"),
        ..RedisOptions::default()
    };
    let server = || {
        let [name, value] = quick();
        let more = [name, value, "--masterauth", "a password"];
        RedisServer::start_over(Some(&certificates.of_server()), options, &more)
    };
    let (primary, replica) = (server(), server());
    replicate(&replica, &primary);
    (primary, replica)
}

/// Three Sentinels that watch a primary, and speak TLS and ask for a password if it does.
pub struct Sentinels {
    children: Vec<Child>,
    /// For `redis-cli`.
    plain_ports: Vec<u16>,
    /// For clients.
    ports: Vec<u16>,
    password: Option<&'static str>,
    _dir: tempfile::TempDir,
}

impl Sentinels {
    pub fn start(primary: &RedisServer) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plain_ports: Vec<_> = (0..3).map(|_| free_port()).collect();
        let ports = match primary.tls() {
            Some(_) => (0..3).map(|_| free_port()).collect(),
            None => plain_ports.clone(),
        };
        let children = plain_ports.iter().zip(&ports).map(|(plain_port, port)| {
            let own = format!(
                "port {plain_port}\nbind 127.0.0.1\nsentinel monitor {MASTER} 127.0.0.1 {} 2\n\
                 sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 5000",
                primary.port()
            );
            let tls = primary.tls().map(|tls| tls.redis_settings(*port));
            let tls = tls.into_iter().flatten();
            // Of the servers, and their own.
            let password = primary.password().map(|password| {
                format!("sentinel auth-pass {MASTER} \"{password}\"\nrequirepass \"{password}\"")
            });
            let settings: Vec<_> = [own]
                .into_iter()
                .chain(tls.map(|(name, value)| format!("{name} {value}")))
                .chain(password)
                .collect();
            let file = dir.path().join(format!("{plain_port}.conf"));
            std::fs::write(&file, settings.join("\n") + "\n").unwrap();
            Command::new("redis-server")
                .arg(&file)
                .arg("--sentinel")
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server is missing: install the package redis-server")
        });
        let sentinels = Self {
            children: children.collect(),
            plain_ports,
            ports,
            password: primary.password(),
            _dir: dir,
        };
        wait_for("the Sentinels know each other and the replica", || {
            sentinels.plain_ports.iter().all(|port| {
                let found = sentinels.cli(*port, &["SENTINEL", "MASTER", MASTER]);
                let value = |name| found.lines().skip_while(|line| *line != name).nth(1);
                value("num-other-sentinels") == Some("2") && value("num-slaves") == Some("1")
            })
        });
        sentinels
    }

    fn cli(&self, port: u16, command: &[&str]) -> String {
        cli(port, self.password, &[], command)
    }

    pub fn config(&self, of: &RedisServer, command_timeout: Duration) -> RedisConfig {
        RedisConfig {
            // Not asked: the Sentinels say where.
            port: 1,
            sentinel: Some(SentinelConfig {
                addresses: self
                    .ports
                    .iter()
                    .map(|port| ("127.0.0.1".to_owned(), *port))
                    .collect(),
                master: MASTER.to_owned(),
                username: None,
                password: self.password.map(Secret::new),
            }),
            ..of.config(command_timeout)
        }
    }

    /// Gives them a user `looker` with this password, who may ask with this right.
    pub fn add_user(&self, password: &str, right: &str) {
        for port in &self.plain_ports {
            let password = format!(">{password}");
            let rule = ["ACL", "SETUSER", "looker", "on", &password, "-@all", right];
            assert_eq!(cli(*port, None, &[], &rule), "OK");
        }
    }

    /// Tells them to make the replica the primary, as an operator does.
    pub fn fail_over(&self) {
        wait_for("a Sentinel agrees to fail over", || {
            self.cli(self.plain_ports[0], &["SENTINEL", "FAILOVER", MASTER]) == "OK"
        });
    }
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A cluster of a test's own: three masters, and a replica for each if wanted.
pub struct OwnCluster {
    pub nodes: Vec<RedisServer>,
}

impl OwnCluster {
    pub fn start(replicas: usize) -> Self {
        let nodes: Vec<_> = (0..3 * (1 + replicas))
            .map(|_| {
                let bus = free_port().to_string();
                let more = [
                    "--cluster-enabled",
                    "yes",
                    "--cluster-node-timeout",
                    "1500",
                    "--cluster-port",
                    &bus,
                    "--repl-diskless-sync-delay",
                    "0",
                ];
                RedisServer::start_with(RedisOptions::default(), &more)
            })
            .collect();
        let addresses: Vec<_> = nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.plain_port()))
            .collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        let count = replicas.to_string();
        create.extend(["--cluster-replicas", &count, "--cluster-yes"]);
        let answer = cli(nodes[0].plain_port(), None, &[], &create);
        assert!(answer.contains("All 16384 slots covered"), "{answer}");
        let cluster = Self { nodes };
        cluster.wait_until_whole();
        cluster
    }

    /// Until every node knows all slots, and every replica has all data.
    pub fn wait_until_whole(&self) {
        wait_for("the cluster is whole", || {
            self.nodes.iter().all(|node| {
                let state = node.cli(&["CLUSTER", "INFO"]);
                state.contains("cluster_state:ok") && state.contains("cluster_slots_ok:16384")
            })
        });
        wait_for("every replica has all data", || {
            self.nodes.iter().all(|node| {
                let state = node.cli(&["INFO", "replication"]);
                state.contains("role:master") || state.contains("master_link_status:up")
            })
        });
    }

    pub fn config(&self, command_timeout: Duration) -> RedisConfig {
        RedisConfig {
            cluster_mode: true,
            ..self.nodes[0].config(command_timeout)
        }
    }

    /// The index of the node that serves a slot.
    pub fn owner(&self, slot: u16) -> usize {
        self.owner_seen_by(0, slot).expect("the slot is served")
    }

    /// The same, as one of the nodes sees it.
    pub fn owner_seen_by(&self, node: usize, slot: u16) -> Option<usize> {
        let answer = self.nodes[node].cli(&["CLUSTER", "SLOTS"]);
        let lines: Vec<_> = answer.lines().collect();
        // First and last slot, then host, port and id of the master.
        let port: u16 = lines.windows(4).find_map(|part| {
            let first: u16 = part[0].trim().parse().ok()?;
            let last: u16 = part[1].trim().parse().ok()?;
            let is_range = part[2] == "127.0.0.1" && (first..=last).contains(&slot);
            is_range.then(|| part[3].parse().ok())?
        })?;
        self.nodes.iter().position(|node| node.plain_port() == port)
    }

    /// A master besides this one, and not the node that every process asks for the others.
    pub fn another_master(&self, besides: usize) -> usize {
        let is_master = |node: &usize| self.nodes[*node].is_primary();
        (1..self.nodes.len())
            .find(|node| *node != besides && is_master(node))
            .expect("there are three masters")
    }

    /// The slot of a sale's keys.
    pub fn slot_of(&self, sale: i64) -> u16 {
        let key = format!("flashsale:{{{sale}}}:meta");
        self.nodes[0]
            .cli(&["CLUSTER", "KEYSLOT", &key])
            .parse()
            .unwrap()
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].cli(&["CLUSTER", "MYID"])
    }

    /// Begins to move a slot: from now on nodes answer ASK and TRYAGAIN.
    pub fn begin_migration(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        let setslot = |node: usize, state: &str, other: usize| {
            let id = self.id(other);
            assert_eq!(
                self.nodes[node].cli(&["CLUSTER", "SETSLOT", &slot, state, &id]),
                "OK"
            );
        };
        setslot(to, "IMPORTING", from);
        setslot(from, "MIGRATING", to);
    }

    /// Moves keys of a slot one by one; returns how many.
    pub fn move_keys(&self, slot: u16, from: usize, to: usize, most: usize) -> usize {
        let (slot, most) = (slot.to_string(), most.to_string());
        let keys = self.nodes[from].cli(&["CLUSTER", "GETKEYSINSLOT", &slot, &most]);
        let port = self.nodes[to].port().to_string();
        for key in keys.lines().filter(|key| !key.is_empty()) {
            let answer = self.nodes[from].cli(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
            assert!(
                ["OK", "NOKEY"].contains(&answer.as_str()),
                "{key}: {answer}"
            );
        }
        keys.lines().filter(|key| !key.is_empty()).count()
    }

    /// Tells every master that the slot has moved.
    pub fn end_migration(&self, slot: u16, from: usize, to: usize) {
        let (slot, id) = (slot.to_string(), self.id(to));
        let masters = (0..self.nodes.len()).filter(|node| self.nodes[*node].is_primary());
        let others: Vec<_> = masters
            .filter(|node| *node != to && *node != from)
            .collect();
        for node in [to, from].into_iter().chain(others) {
            let _ = self.nodes[node].cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        }
        // Replicas too: one that does not know it yet is not elected at the first try.
        let number = slot.parse().unwrap();
        wait_for("every node knows where the slot is", || {
            (0..self.nodes.len()).all(|node| self.owner_seen_by(node, number) == Some(to))
        });
    }
}

/// A certificate authority with certificates for a server and a client, made by the script that also makes those of
/// scripts/services.sh.
pub struct Certificates {
    dir: tempfile::TempDir,
}

impl Certificates {
    pub fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services/tls.sh");
        let commands = format!(
            "set -euo pipefail; DIR={}; fail() {{ echo \"$*\" >&2; exit 1; }}; . {}; \
             tls_certificate server; tls_certificate client",
            dir.path().display(),
            script.display()
        );
        let made = Command::new("bash")
            .args(["-c", &commands])
            .status()
            .unwrap();
        assert!(
            made.success(),
            "openssl is missing: install the package openssl"
        );
        Self { dir }
    }

    /// How a server speaks TLS with them, and clients with it.
    pub fn of_server(&self) -> ServerTls {
        ServerTls {
            certificate: self.path("server.crt"),
            key: self.path("server.key"),
            authority: self.path("ca.crt"),
            client: TlsConfig {
                mode: TlsMode::VerifyFull,
                ca_file: Some(self.path("ca.crt")),
                identity: Some((self.path("client.crt"), self.path("client.key"))),
            },
        }
    }

    pub fn path(&self, name: &str) -> String {
        let path: PathBuf = self.dir.path().join("tls").join(name);
        path.to_str().unwrap().to_owned()
    }
}
