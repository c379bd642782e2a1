//! A constant rate of presses through a proxy. Every response other than 200 is a failure.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use tokio::{
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::support::api::Shopper;

const TICK: Duration = Duration::from_millis(20);
/// Longest time that a client waits for a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Number of requests without a response at which the test fails: at this number, the service has stopped responding.
const MAX_UNDER_WAY: usize = 5_000;

/// How many requests a client sends on one connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    Kept,
    OneEach,
}

pub struct Load {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<Report>,
}

/// The numbers of replies, by status and body or by the error of the connection.
#[derive(Debug, Default)]
pub struct Report {
    name: &'static str,
    pub sent: usize,
    replies: BTreeMap<String, usize>,
}

/// Sends one press through a proxy, on a connection of its own. True if it was accepted.
pub async fn press(port: u16, sale: i64, shopper: &Shopper) -> bool {
    let client = reqwest::Client::new();
    ask(&client, &url(port, sale), shopper).await == "200"
}

fn url(port: u16, sale: i64) -> String {
    format!("http://127.0.0.1:{port}/api/flash-sale/attempt/{sale}")
}

async fn ask(client: &reqwest::Client, url: &str, shopper: &Shopper) -> String {
    let request = client.post(url).bearer_auth(&shopper.token);
    match request.send().await {
        Ok(response) => {
            let status = response.status().as_u16();
            match response.text().await {
                Ok(_) if status == 200 => "200".to_owned(),
                Ok(body) => format!("{status} {}", body.replace(['\n', '\r'], " ")),
                Err(error) => format!("{status}, then {error:?}"),
            }
        }
        Err(error) => format!("{error:?}"),
    }
}

impl Load {
    pub fn start(
        name: &'static str,
        port: u16,
        connections: Connections,
        sale: i64,
        shoppers: &[Shopper],
        rate: u32,
    ) -> Self {
        let client = reqwest::Client::builder().timeout(RESPONSE_TIMEOUT);
        let client = match connections {
            Connections::Kept => client,
            Connections::OneEach => client.pool_max_idle_per_host(0),
        };
        let client = client.build().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(send_until_stopped(
            name,
            client,
            url(port, sale),
            shoppers.to_vec(),
            rate,
            stop.clone(),
        ));
        Self { name, stop, task }
    }

    pub async fn stop(self) -> Report {
        self.stop.cancel();
        self.task
            .await
            .unwrap_or_else(|error| panic!("the load on {}: {error}", self.name))
    }
}

async fn send_until_stopped(
    name: &'static str,
    client: reqwest::Client,
    url: String,
    shoppers: Vec<Shopper>,
    rate: u32,
    stop: CancellationToken,
) -> Report {
    let url: Arc<str> = url.into();
    let mut report = Report {
        name,
        ..Report::default()
    };
    let mut under_way = JoinSet::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let per_tick = (TICK * rate).as_secs().max(1);
    let mut shoppers = shoppers.iter().cycle();
    while !stop.is_cancelled() {
        ticks.tick().await;
        for shopper in shoppers.by_ref().take(usize::try_from(per_tick).unwrap()) {
            let (client, url, shopper) = (client.clone(), Arc::clone(&url), shopper.clone());
            under_way.spawn(async move { ask(&client, &url, &shopper).await });
            report.sent += 1;
        }
        while let Some(ended) = under_way.try_join_next() {
            report.count(ended.unwrap());
        }
        assert!(
            under_way.len() < MAX_UNDER_WAY,
            "answers do not come any more"
        );
    }
    // Each of these requests ends within RESPONSE_TIMEOUT.
    while let Some(ended) = under_way.join_next().await {
        report.count(ended.unwrap());
    }
    report
}

impl Report {
    fn count(&mut self, reply: String) {
        *self.replies.entry(reply).or_default() += 1;
    }

    pub fn failed(&self) -> usize {
        let replies = self.replies.iter();
        replies
            .filter(|(reply, _)| *reply != "200")
            .map(|(_, count)| count)
            .sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, failed) = (self.name, self.failed());
        write!(f, "{name}: {failed} of {} requests failed", self.sent)?;
        for (reply, count) in self.replies.iter().filter(|(reply, _)| *reply != "200") {
            write!(f, "\n  {count} x {reply}")?;
        }
        Ok(())
    }
}
