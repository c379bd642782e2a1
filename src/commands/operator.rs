//! What the commands of operators share: who acts, where the system is, and what is told of a change.

use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::{connect, embedded, target::Target};
use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    lifecycle::Lifecycle,
    port::{ActionEntry, Actor},
    sale::{Applied, Steering},
    terminal::Plain,
};

/// Who acts.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Who {
    /// Who decides [default: FLASHSALE_OPERATOR, or the user of the operating system: LOGNAME, USER]
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) by: Option<String>,
}

impl Who {
    pub(super) fn name(&self, config: &Config) -> anyhow::Result<String> {
        let name = self.by.clone().or_else(|| config.operator.name.clone());
        name.filter(|name| !name.is_empty())
            .context("who decides? Say so with --by, or set FLASHSALE_OPERATOR")
    }

    /// What is kept of a change. Who works on this machine needs no account, and has every right.
    pub(super) fn entry(&self, config: &Config, reason: String) -> anyhow::Result<ActionEntry> {
        Ok(ActionEntry {
            actor: Actor {
                name: format!("cli:{}", self.name(config)?),
                role: "cli".to_owned(),
                address: None,
            },
            reason,
            key: None,
        })
    }
}

/// Does this with the system's sales: on its servers, or in a data directory, whether that is served or not.
pub(super) async fn with_steering<T>(
    target: &Target,
    config: &Config,
    work: impl AsyncFnOnce(&Steering) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let keep = config.sale.result_ttl;
    if let Some(directory) = target.data_dir(config)? {
        let opened = embedded::ledger(config, directory).await?;
        let ledger = opened.ledger();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let steering = Steering {
            admin: ledger.clone(),
            withdrawals: ledger.clone(),
            ended_orders: ledger,
            // It is in the memory of `serve`, which looks for changes twice a second.
            gate: None,
            clock,
            keep,
        };
        let done = work(&steering).await;
        drop(steering);
        opened.close().await;
        return done;
    }
    let lifecycle = Lifecycle::default();
    lifecycle.stop_on_signals()?;
    let stop = lifecycle.stop();
    let (ports, ledger) = connect::system(config, stop).await?;
    let steering = Steering {
        admin: ledger,
        withdrawals: ports.ledger.clone(),
        ended_orders: ports.ledger,
        gate: Some(ports.gate),
        clock: ports.clock,
        keep,
    };
    tokio::select! {
        done = work(&steering) => done,
        () = stop.cancelled() => anyhow::bail!("stopped"),
    }
}

/// Since when a change is in force.
pub(super) fn told(applied: Applied, target: &Target) -> String {
    match applied {
        Applied::At(at) => format!("in force since {}", at.format("%FT%T%.3fZ")),
        Applied::Later if target.is_embedded() => {
            "in force within two seconds if `flashsale serve --embedded` runs, else from its next start on"
                .to_owned()
        }
        Applied::Later => "in force within two seconds, once a worker has told the gate".to_owned(),
    }
}

/// A text from outside, on one line.
pub(super) fn plain(text: &str) -> String {
    Plain(text).to_string()
}
