//! A process of the system: an API node or a worker, with a wire where it talks to a server or to shoppers.

use std::{collections::BTreeMap, time::Duration};

use flashsale::config::Config;

use crate::support::{
    api::Api,
    process::Process,
    system::Servers,
    wire::{Traffic, Wire},
};

/// How long a process may take to start: longer than it waits for its servers.
const START: Duration = Duration::from_secs(90);

/// A port where nobody listens.
const NOWHERE: u16 = 1;

/// A process with its wires.
pub struct Node {
    pub command: &'static str,
    environment: BTreeMap<String, String>,
    pub process: Process,
    /// What processes printed that were here before.
    printed: String,
    /// Where an API listens.
    pub port: Option<u16>,
    redis: Option<Wire>,
    kafka: Option<Wire>,
    postgres: Wire,
    /// Where shoppers come in, at an API.
    pub front: Option<Wire>,
}

impl Node {
    pub async fn start(
        command: &'static str,
        system: &Servers,
        redis: Option<Wire>,
        kafka: Option<Wire>,
        config: &Config,
    ) -> Self {
        let postgres = Wire::to(&config.postgres.host, config.postgres.port).await;
        let mut environment = system.environment.clone();
        let mut set = |name: &str, value: String| environment.insert(name.to_owned(), value);
        set("POSTGRES_PORT", postgres.port.to_string());
        if let Some(redis) = &redis {
            set("REDIS_PORT", redis.port.to_string());
        }
        if let Some(kafka) = &kafka {
            set("KAFKA_BROKERS", format!("127.0.0.1:{}", kafka.port));
        }
        let (process, port) = run(command, &environment).await;
        let front = match port {
            Some(port) => Some(Wire::to("127.0.0.1", port).await),
            None => None,
        };
        Self {
            command,
            environment,
            process,
            printed: String::new(),
            port,
            redis,
            kafka,
            postgres,
            front,
        }
    }

    /// `kill -9`. Shoppers do not get to whoever takes the port meanwhile.
    pub fn kill(&self) {
        self.process.kill();
        if let Some(front) = &self.front {
            front.lead_to(NOWHERE);
        }
    }

    /// Starts another process in the place of one that was killed, as a supervisor would.
    pub async fn start_again(&mut self) {
        self.start_again_with(&[]).await;
    }

    /// The same with more in its environment, this time.
    pub async fn start_again_with(&mut self, more: &[(&'static str, String)]) {
        let mut environment = self.environment.clone();
        environment.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        let (process, port) = run(self.command, &environment).await;
        self.printed += &(self.process.output() + "\n--- and then\n");
        self.process = process;
        self.port = port;
        if let (Some(front), Some(port)) = (&self.front, port) {
            front.lead_to(port);
        }
    }

    /// All that was printed here, also by processes before this one.
    pub fn output(&self) -> String {
        self.printed.clone() + &self.process.output()
    }

    /// For processes that are started from now on.
    pub fn use_database(&mut self, name: &str) {
        let database = ("POSTGRES_DB".to_owned(), name.to_owned());
        self.environment.extend([database]);
    }

    pub fn redis(&self) -> &Wire {
        self.redis.as_ref().expect("Redis is behind a wire")
    }

    pub fn kafka(&self) -> &Wire {
        self.kafka.as_ref().expect("Kafka is behind a wire")
    }

    pub fn postgres(&self) -> &Wire {
        &self.postgres
    }

    /// Its wires to servers.
    pub fn to_servers(&self) -> [&Wire; 3] {
        [self.redis(), self.kafka(), self.postgres()]
    }

    /// All its wires.
    pub fn set_all(&self, traffic: Traffic) {
        for wire in self.to_servers().into_iter().chain(&self.front) {
            wire.set(traffic);
        }
    }
}

/// Starts a process and waits until it does its work; the port of an API.
async fn run(command: &str, environment: &BTreeMap<String, String>) -> (Process, Option<u16>) {
    let process = Process::start(&[command], environment);
    let line = if command == "serve" {
        "serving http://"
    } else {
        "working"
    };
    process.wait_for_line_within(line, START).await;
    if command == "serve" {
        let api = Api::of(process).await;
        let port = api.url.rsplit(':').next().unwrap().parse().unwrap();
        (api.process, Some(port))
    } else {
        (process, None)
    }
}
