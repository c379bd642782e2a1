//! A node that is restarted on the same port, as in a deployment.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    DRAIN_DELAY_SECS,
    support::{process::Process, system::Servers, wait_until},
};

pub struct Node {
    port: u16,
    binary: Option<PathBuf>,
    process: Process,
}

impl Node {
    /// Starts a node and waits until it is ready.
    pub async fn start(system: &Servers, port: u16, binary: Option<&Path>) -> Self {
        let node = Self {
            process: process(system, port, binary),
            binary: binary.map(Path::to_owned),
            port,
        };
        node.wait_until_ready().await;
        node
    }

    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// Waits until the node has ended, starts it again, and waits until it is ready.
    pub async fn start_again(&mut self, system: &Servers) {
        let status = self.process.end().await;
        assert!(
            status.success() || self.binary.is_some(),
            "it ends well: {}",
            self.process.output()
        );
        self.process = process(system, self.port, self.binary.as_deref());
        self.wait_until_ready().await;
    }

    async fn wait_until_ready(&self) {
        let url = format!("http://127.0.0.1:{}/health/ready", self.port);
        wait_until("the node is ready", Duration::from_secs(30), || async {
            reqwest::get(&url)
                .await
                .is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }
}

fn process(system: &Servers, port: u16, binary: Option<&Path>) -> Process {
    let port = port.to_string();
    let settings = [
        ("DRAIN_DELAY_SECS", DRAIN_DELAY_SECS),
        ("TRUSTED_PROXIES", "127.0.0.1"),
        ("PORT", &port),
    ];
    let mut environment = system.environment.clone();
    environment.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    match binary {
        None => Process::start(&["serve"], &environment),
        Some(binary) => Process::start_program(binary.as_os_str(), &["serve"], &environment),
    }
}
