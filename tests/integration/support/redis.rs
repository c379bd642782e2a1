//! A Redis server of a test's own, which can be paused, killed and started again; and where the shared cluster is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // clippy.toml exempts only the tests' own bodies

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use flashsale::config::{RedisConfig, Secret, TlsConfig, TlsMode};
use uuid::Uuid;

use super::{
    mode::{self, ServerTls},
    process::{free_port, send_signal, signal_if_there},
};

/// How long a server may take to answer after its start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// What kind of server a test wants.
#[derive(Default, Clone, Copy)]
pub struct RedisOptions {
    pub password: Option<&'static str>,
    /// Writes every command to disk before it answers, so that a kill loses nothing.
    pub durable: bool,
    /// Writes commands to disk every second, as most servers do.
    pub everysec: bool,
}

/// A private server on a free port of the loopback interface. Killed, and its data deleted, on drop.
pub struct RedisServer {
    child: Child,
    /// Where clients are served; over TLS in a run that wants that.
    port: u16,
    /// Where `redis-cli` is served, without TLS. Mostly the same.
    plain_port: u16,
    /// How it speaks TLS, if it does.
    tls: Option<ServerTls>,
    dir: PathBuf,
    options: RedisOptions,
    /// More of the server's arguments.
    more: Vec<String>,
}

impl RedisServer {
    pub fn start(options: RedisOptions) -> Self {
        Self::start_with(options, &[])
    }

    /// With more of the server's own arguments. A server that gets TLS by them is left alone by the mode of the run.
    pub fn start_with(options: RedisOptions, more: &[&str]) -> Self {
        let has_own_tls = more.contains(&"--tls-port");
        if has_own_tls {
            mode::note_own_server("REDIS", "a Redis with TLS of its own");
        }
        let tls = ServerTls::of_redis().filter(|_| !has_own_tls);
        Self::start_over(tls.as_ref(), options, more)
    }

    /// The same, speaking TLS to clients so, whatever the mode of the run.
    pub fn start_over(tls: Option<&ServerTls>, options: RedisOptions, more: &[&str]) -> Self {
        let dir = std::env::temp_dir().join(format!("flashsale-redis-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&dir).expect("the temporary directory can be written");
        // Another process may take the port between our look and the server's start: then look again.
        for _ in 0..5 {
            let mut more: Vec<String> =
                more.iter().map(|argument| (*argument).to_owned()).collect();
            let plain_port = free_port();
            let port = if tls.is_some() {
                free_port()
            } else {
                plain_port
            };
            let settings = tls.iter().flat_map(|tls| tls.redis_settings(port));
            more.extend(settings.flat_map(|(name, value)| [format!("--{name}"), value]));
            let mut server = Self {
                child: spawn(plain_port, &dir, options, &more),
                port,
                plain_port,
                tls: tls.cloned(),
                dir: dir.clone(),
                options,
                more,
            };
            if server.wait_until_ready() {
                return server;
            }
            // Not ours to drop: the directory is used again.
            let _ = server.child.kill();
            std::mem::forget(server);
        }
        panic!(
            "redis-server does not start; its output is in {}",
            dir.display()
        );
    }

    /// The configuration of a client that reaches this server.
    pub fn config(&self, command_timeout: Duration) -> RedisConfig {
        RedisConfig {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            username: None,
            password: self.options.password.map(Secret::new),
            cluster_mode: false,
            sentinel: None,
            tls: self
                .tls
                .as_ref()
                .map_or(TlsConfig::NONE, |tls| tls.client.clone()),
            passwords_in_clear: false,
            command_timeout,
        }
    }

    /// Where clients and other servers come to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where `redis-cli` comes to.
    pub fn plain_port(&self) -> u16 {
        self.plain_port
    }

    pub fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    pub fn password(&self) -> Option<&'static str> {
        self.options.password
    }

    /// Where it keeps its data.
    pub fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the process without closing its connections.
    pub fn pause(&self) {
        send_signal(self.child.id(), "STOP");
    }

    pub fn resume(&self) {
        // Where it is asked for to clean up, the server may have been killed.
        signal_if_there(self.child.id(), "CONT");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server can be waited for");
    }

    /// Starts the server again, on the same port and data; kills it before if it runs.
    pub fn restart(&mut self) {
        self.begin_restart();
        self.end_restart();
    }

    /// The same, without waiting until it has read its data.
    pub fn begin_restart(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = spawn(self.plain_port, &self.dir, self.options, &self.more);
    }

    pub fn end_restart(&mut self) {
        assert!(
            self.wait_until_ready(),
            "redis-server does not start again on port {}",
            self.port
        );
    }

    /// Keeps what there is now as a snapshot on disk, and goes on.
    pub fn save(&self) {
        assert_eq!(self.cli(&["SAVE"]), "OK");
    }

    /// Kills the server and starts it again from the last snapshot: everything later is lost. From then on it writes
    /// commands to disk again, if it did before.
    pub fn restart_from_snapshot(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let durable = std::mem::replace(&mut self.options.durable, false);
        let _ = std::fs::remove_dir_all(self.dir.join("appendonlydir"));
        self.restart();
        self.options.durable = durable;
        if durable {
            assert_eq!(self.cli(&["CONFIG", "SET", "appendonly", "yes"]), "OK");
        }
    }

    pub fn flushall(&self) {
        assert_eq!(self.cli(&["FLUSHALL"]), "OK");
    }

    /// The answer of `redis-cli` to a command, without the newline.
    pub fn cli(&self, command: &[&str]) -> String {
        cli(self.plain_port, self.options.password, &[], command)
    }

    /// Whether it takes writes, instead of copying another server. False of one that does not answer.
    pub fn is_primary(&self) -> bool {
        self.cli(&["ROLE"]).starts_with("master")
    }

    /// All keys and values, as a snapshot has them, uncompressed.
    pub fn contents(&self) -> Vec<u8> {
        assert_eq!(self.cli(&["CONFIG", "SET", "rdbcompression", "no"]), "OK");
        self.save();
        std::fs::read(self.dir.join("dump.rdb")).unwrap()
    }

    fn wait_until_ready(&mut self) -> bool {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            if self.cli(&["PING"]) == "PONG" {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Any node of the Redis Cluster that `scripts/services.sh up cluster` starts.
pub fn cluster_config(command_timeout: Duration) -> RedisConfig {
    let tls = mode::tls("REDIS");
    let (host, port) = match tls.mode {
        TlsMode::Disable => cluster_seed(),
        _ => seed("FLASHSALE_TEST_REDIS_CLUSTER_TLS", "127.0.0.1:27161"),
    };
    RedisConfig {
        host,
        port,
        username: None,
        password: None,
        cluster_mode: true,
        sentinel: None,
        tls,
        passwords_in_clear: false,
        command_timeout,
    }
}

/// The answer of `redis-cli` on the cluster, from the node that has the command's key.
pub fn cluster_cli(command: &[&str]) -> String {
    cli(cluster_seed().1, None, &["-c"], command)
}

/// How many subscriptions the nodes of the cluster have to these channels.
pub fn cluster_subscribers(channels: &[String]) -> usize {
    let (host, port) = cluster_seed();
    let seed = format!("{host}:{port}");
    let mut command = vec!["--cluster", "call", &seed, "PUBSUB", "SHARDNUMSUB"];
    command.extend(channels.iter().map(String::as_str));
    let answer = cli(port, None, &[], &command);
    // Each node answers with the channels, and after each the number of its subscriptions.
    let numbers = answer.lines().filter_map(|line| {
        let number = line.trim().trim_start_matches("(integer) ");
        number.parse::<usize>().ok()
    });
    numbers.sum()
}

/// Makes every node of the cluster forget its scripts.
pub fn cluster_flush_scripts() {
    let (host, port) = cluster_seed();
    let seed = format!("{host}:{port}");
    let answer = cli(
        port,
        None,
        &[],
        &["--cluster", "call", &seed, "SCRIPT", "FLUSH"],
    );
    assert!(answer.contains("OK"), "{answer}");
}

/// A node for `redis-cli`.
fn cluster_seed() -> (String, u16) {
    seed("FLASHSALE_TEST_REDIS_CLUSTER", "127.0.0.1:27101")
}

#[allow(clippy::disallowed_methods)] // where the cluster is, is the environment's to say
fn seed(variable: &str, default: &str) -> (String, u16) {
    let seed = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    let address = seed
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    address.unwrap_or_else(|| panic!("{variable} is host:port"))
}

pub fn cli(port: u16, password: Option<&str>, options: &[&str], command: &[&str]) -> String {
    let mut process = Command::new("redis-cli");
    process
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(options)
        .args(command);
    if let Some(password) = password {
        process.env("REDISCLI_AUTH", password);
    }
    let output = process
        .output()
        .expect("redis-cli is missing: install the package redis-server");
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

fn spawn(port: u16, dir: &PathBuf, options: RedisOptions, more: &[String]) -> Child {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .expect("the log can be written");
    let mut server = Command::new("redis-server");
    server
        .args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--dir",
        ])
        .arg(dir);
    server.args([
        "--appendonly",
        if options.durable || options.everysec {
            "yes"
        } else {
            "no"
        },
        "--appendfsync",
        if options.durable {
            "always"
        } else {
            "everysec"
        },
    ]);
    if let Some(password) = options.password {
        server.args(["--requirepass", password]);
    }
    server
        .args(more)
        .stdout(Stdio::from(log))
        .spawn()
        .expect("redis-server is missing: install the package redis-server")
}
