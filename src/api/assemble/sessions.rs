//! The accounts of the shop and the sessions of their tokens.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    auth::{
        Auth, AuthLimits, Directory, DirectoryEngines, ExternalAccounts, Issuer, Passwords, Tokens,
    },
    config::Config,
    ids::LedgerId,
    lifecycle::Lifecycle,
    port::{AccountStore, Ports},
};

/// Accounts, those that every node knows, and the tokens of their sessions.
pub(super) struct Sessions {
    pub(super) auth: Arc<Auth>,
    pub(super) directory: Arc<Directory>,
    pub(super) tokens: Arc<Tokens>,
}

pub(super) async fn open_sessions(
    lifecycle: &Lifecycle,
    config: &Config,
    ports: &Ports,
    accounts: Arc<dyn AccountStore>,
) -> anyhow::Result<Sessions> {
    let Ports {
        gate,
        log,
        ledger,
        clock,
    } = ports;
    let engines = DirectoryEngines {
        ledger: ledger.clone(),
        offsets: ledger.clone(),
        gate: gate.clone(),
        log: log.clone(),
        group: config.kafka.consumer_group.clone(),
    };
    let directory = Directory::open(lifecycle, engines)
        .await
        .context("the accounts could not be read")?;
    // The accounts of a data file may be taken along into a database (`flashsale export`), and their tokens with them.
    let issuer = if gate.is_durable() {
        ledger.id()
    } else {
        LedgerId::NONE
    };
    let tokens = Arc::new(Tokens::new(&config.auth).of_ledger(issuer));
    let external = external_accounts(lifecycle, config)?;
    let auth = Auth::new(
        ledger.clone(),
        accounts,
        Arc::clone(&directory),
        AuthLimits::new(&config.limits),
        Passwords::new(&config.auth)?.watched(),
        Arc::clone(&tokens),
        Arc::clone(clock),
    )
    .with_external(external, config.external.local_accounts);
    let auth = Arc::new(if config.server.production {
        auth.in_production()
    } else {
        auth
    });
    Ok(Sessions {
        auth,
        directory,
        tokens,
    })
}

/// The accounts of the shop; with an address of the issuer's keys, its tokens are verified.
fn external_accounts(
    lifecycle: &Lifecycle,
    config: &Config,
) -> anyhow::Result<Option<ExternalAccounts>> {
    let Some(issuer) = config.external.issuer.clone() else {
        return Ok(None);
    };
    let exchange = config.external.exchange.clone();
    let tokens = exchange.map(|exchange| Issuer::start(lifecycle, exchange));
    let tokens = tokens
        .transpose()
        .context("the keys of the issuer cannot be read")?;
    Ok(Some(ExternalAccounts { issuer, tokens }))
}
