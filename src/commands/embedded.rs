//! The embedded system: opens and migrates its data file, makes demo data in an empty one, and starts its worker in the process of
//! the API.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use tokio::time::{sleep, timeout};

use super::{
    demo_data::{demo_data, make},
    target::must_hold_data,
    work::{new_id, spawn_worker, start_events},
};
use crate::{
    api::Node,
    auth::{Fit, Passwords},
    clock::{Clock, SystemClock},
    config::{AuthConfig, Config},
    demo::{self, Seeding},
    engine::embedded::{DataDirectory, DataFile, Embedded, LedgerBeside, OpenError, SqliteLedger},
    ids::SaleId,
    lifecycle::Lifecycle,
    port::{
        AccountStore, Administration, GateReads, GateStatus, Ledger, NodeKind, PartitionOwners,
        Ports, SaleListing, WebhookChanges, Webhooks,
    },
    terminal::{Plain, say},
};

/// The only consumer group of a data file.
pub(super) const GROUP: &str = "flash-sale-worker-group";

/// How long the addresses wait for the worker to open the sale. It takes some milliseconds, unless much of the log is not settled.
const OPENING: Duration = Duration::from_secs(2);
/// Pause between two looks whether it is open.
const LOOK: Duration = Duration::from_millis(10);

/// The running engines of this process.
pub(super) struct Running {
    engines: Embedded,
    clock: Arc<dyn Clock>,
    /// The path of the data file.
    file: PathBuf,
    /// Whether this start made demo data.
    seeded: bool,
}

/// Opens the data directory, seeds it if its file is empty and `seed_if_empty` is set, and starts the worker.
pub(super) async fn start(
    lifecycle: &Lifecycle,
    config: &Config,
    directory: PathBuf,
    seed_if_empty: bool,
) -> anyhow::Result<(Running, Node)> {
    let mut running = open_new(config, directory).await?;
    if seed_if_empty {
        running.seeded = seed_if_missing(config, &running).await?;
    }
    let (failure, stop) = (running.engines.failure(), lifecycle.stop().clone());
    lifecycle.spawn("data file", async move {
        tokio::select! {
            cause = failure => {
                tracing::error!(cause, "the data file cannot be written");
            }
            () = stop.cancelled() => {}
        }
    });
    let id = new_id(NodeKind::Embedded);
    let worker = if config.worker.enabled {
        let mut config = config.clone();
        GROUP.clone_into(&mut config.kafka.consumer_group);
        let webhooks: Arc<dyn Webhooks> = running.webhooks();
        let receivers = (None, webhooks);
        start_events(lifecycle, &config, &running.ports(), receivers, &id).await?;
        Some(spawn_worker(lifecycle, &config, running.ports(), &id))
    } else {
        tracing::warn!(
            "the consumer is disabled (ENABLE_CONSUMER=false): no sale is opened and nothing is settled"
        );
        None
    };
    let node = Node {
        id,
        kind: NodeKind::Embedded,
        worker,
    };
    Ok((running, node))
}

fn open(config: &Config, directory: &Path) -> anyhow::Result<Running> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut data = DataFile::open(directory)?;
    data.migrate()?;
    Ok(Running {
        file: data.path(),
        engines: data.start(&clock, config.sale.result_ttl)?,
        clock,
        seeded: false,
    })
}

/// Makes the demo data if the file is empty, or if a start that was to make it was killed. True if something was made.
async fn seed_if_missing(config: &Config, running: &Running) -> anyhow::Result<bool> {
    let (accounts, admin) = (running.accounts(), running.administration());
    let demo = demo_data(config, accounts.as_ref(), admin.as_ref());
    if !demo.is_missing().await? {
        return Ok(false);
    }
    let seeded = make(config, &demo).await;
    let seeded = seeded.context("the demo data could not be made")?;
    for left_out in seeded.iter().filter(|part| part.state == Seeding::LeftOut) {
        tracing::warn!(what = left_out.what, "left out of the demo data");
    }
    Ok(seeded.iter().any(|part| part.state == Seeding::Made))
}

/// Opens the engines of a data directory that no process serves; makes its file if it is missing. Starts no worker.
pub(super) async fn open_new(config: &Config, directory: PathBuf) -> anyhow::Result<Running> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || open(&config, &directory)).await?
}

/// Opens the engines of a data directory that no process serves. Starts no worker, and changes nothing.
pub(super) async fn look_into(config: &Config, directory: PathBuf) -> anyhow::Result<Running> {
    must_hold_data(&directory)?;
    let ttl = config.sale.result_ttl;
    let open = move || {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut data = DataFile::open(&directory)?;
        let is_current = data.migrations()?.iter().all(|migration| migration.applied);
        anyhow::ensure!(
            is_current,
            "{} lacks migrations; run `flashsale migrate --embedded`",
            data.path().display()
        );
        Ok(Running {
            file: data.path(),
            engines: data.look_into(&clock, ttl)?,
            clock,
            seeded: false,
        })
    };
    tokio::task::spawn_blocking(open).await?
}

/// The ledger of a data directory, whether another process serves it or not.
pub(super) enum OpenLedger {
    Alone(Running),
    Beside(LedgerBeside),
}

/// Opens it. A directory that nobody has is taken until it is closed.
pub(super) async fn ledger(config: &Config, directory: PathBuf) -> anyhow::Result<OpenLedger> {
    match look_into(config, directory.clone()).await {
        Ok(running) => Ok(OpenLedger::Alone(running)),
        Err(error) if is_in_use(&error) => {
            let ttl = config.sale.result_ttl;
            let open = move || {
                let clock: Arc<dyn Clock> = Arc::new(SystemClock);
                LedgerBeside::open(&directory, &clock, ttl)
            };
            let beside = tokio::task::spawn_blocking(open).await??;
            Ok(OpenLedger::Beside(beside))
        }
        Err(error) => Err(error),
    }
}

/// Whether a directory could not be opened since another process has it.
pub(super) fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<OpenError>(),
        Some(OpenError::InUse { .. })
    )
}

/// Of a report that needs the whole directory: names where a process that serves it makes the same.
pub(super) fn or_ask_its_api(error: anyhow::Error, path: &str) -> anyhow::Error {
    if is_in_use(&error) {
        error.context(format!(
            "while a process serves the data directory, ask its HTTP API: {path}"
        ))
    } else {
        error
    }
}

impl OpenLedger {
    pub(super) fn ledger(&self) -> Arc<SqliteLedger> {
        match self {
            Self::Alone(running) => running.engines.ledger.clone(),
            Self::Beside(beside) => beside.ledger.clone(),
        }
    }

    pub(super) async fn close(self) {
        match self {
            Self::Alone(running) => drop(running.close().await),
            Self::Beside(beside) => beside.close().await,
        }
    }
}

impl Running {
    /// The engines as ports.
    pub(super) fn ports(&self) -> Ports {
        Ports {
            gate: self.engines.gate.clone(),
            log: self.engines.log.clone(),
            ledger: self.engines.ledger.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    /// The ledger as operators use it.
    pub(super) fn administration(&self) -> Arc<dyn Administration> {
        self.engines.ledger.clone()
    }

    /// The endpoints of webhooks.
    pub(super) fn webhooks(&self) -> Arc<dyn WebhookChanges> {
        self.engines.ledger.clone()
    }

    /// Who reads the log.
    pub(super) fn owners(&self) -> Arc<dyn PartitionOwners> {
        self.engines.ledger.clone()
    }

    /// The accounts, to be changed.
    pub(super) fn accounts(&self) -> Arc<dyn AccountStore> {
        self.engines.ledger.clone()
    }

    /// Prints the addresses, the demo logins, the current sale and the path of the data: after the log lines of the start, which
    /// ends when the worker has opened the sale.
    pub(super) async fn announce(&self, url: &str, config: &Config) {
        let ports = self.ports();
        let now = self.clock.now();
        let sales = ports.ledger.sales(now).await.unwrap_or_default();
        let current = sales.iter().find(|sale| sale.window.end > now);
        if let Some(sale) = current.filter(|sale| sale.window.start <= now && config.worker.enabled)
        {
            let is_open = is_open(ports.gate.as_ref(), sale.id);
            // One that is not open by then opens later, and the page shows that.
            let _ = timeout(OPENING, is_open).await;
        }

        let server = &config.server;
        say!("");
        if server.pages.shop {
            say!("  Shop           {url}");
        }
        if server.pages.admin {
            say!("  Console        {url}/admin");
        }
        say!("  API            {url}");
        if server.api_docs {
            say!("  Documentation  {url}/api-docs");
        }
        if has_demo_logins(ports.ledger.as_ref(), &config.auth).await {
            say!("  Logins         {}", logins());
        }
        match current {
            Some(sale) => say!("  Sale           {}", described(sale)),
            None => {
                say!("  Sale           none; POST {url}/api/admin/products and /sales make one");
            }
        }
        say!("  Data           {}", Plain(self.file.display()));
        if self.seeded {
            let made = if current.is_some() {
                "demo accounts, products and a sale"
            } else {
                "demo accounts and products"
            };
            say!("                 new: {made} were made (--no-seed leaves it empty)");
        }
        say!("  Ctrl-C stops it; the data stays.\n");
    }

    /// Closes the data file. This process has the directory until the returned value is dropped.
    pub(super) async fn close(self) -> DataDirectory {
        self.engines.close().await
    }
}

/// Waits until the gate has the sale.
async fn is_open(gate: &dyn GateReads, sale: SaleId) {
    while !matches!(gate.status(sale).await, Ok(GateStatus::Open { .. })) {
        sleep(LOOK).await;
    }
}

/// True if the last demo account exists and still has its known password.
async fn has_demo_logins(ledger: &dyn Ledger, auth: &AuthConfig) -> bool {
    let Some(account) = demo::ACCOUNTS.last() else {
        return false;
    };
    let (Ok(Some(user)), Ok(passwords)) = (
        ledger.find_user(account.username).await,
        Passwords::new(auth),
    ) else {
        return false;
    };
    let password = account.password.to_owned();
    let verified = passwords
        .verify(account.username, vec![password], user.password_hash)
        .await;
    matches!(verified, Ok(Fit::Yes | Fit::Outdated))
}

fn logins() -> String {
    let known = demo::ACCOUNTS
        .iter()
        .map(|account| format!("{} / {}", account.username, account.password));
    known.collect::<Vec<_>>().join(", ")
}

fn described(sale: &SaleListing) -> String {
    let end = sale.window.end.format("%FT%TZ");
    format!(
        "{}: {} of {} units of {} left, until {end}",
        sale.id,
        sale.remaining_stock,
        sale.initial_stock,
        Plain(&sale.product_name)
    )
}
