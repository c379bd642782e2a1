//! `flashsale stress`: a sale's load from one machine, what it measured, and whether the promises were kept.

mod html;
mod json;
mod outcome;
mod progress;
mod sale;
mod text;
mod virtual_users;

use std::{num::NonZeroU32, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use self::{
    outcome::{Audited, Outcome, Settings},
    sale::ChosenSale,
    virtual_users::VirtualUsers,
};
use super::{audit, connect};
use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    ids::{SaleId, UserId},
    port::Ports,
    stress::{
        Connection, Load, Plan, Request, Target, Token, api,
        presses::{Pressed, Told, press},
        promises::{Counts, Promise, Standing},
        results::{self, Ending},
    },
};

/// The exit code when no run could be made, or when it could not be found out whether a promise was kept.
pub(super) const NOT_RUN: u8 = 2;
const BROKEN: u8 = 1;

/// Press "buy" as many shoppers on a running system; measure it, and check the promises
///
/// Every shopper presses once (--presses) on the sale that the system shows, over --concurrent connections: each asks again
/// as soon as it is answered. Or at a --rate: then it is fixed beforehand when each request is due, and a late one counts
/// from when it was due, so that a system that stalls cannot hide it. Afterwards every shopper's result is read, and what
/// was answered is compared with it. --audit looks into the servers as well, as `flashsale audit` does.
///
/// It buys: the units are gone, and the accounts stay. Run it before the sale, on a sale made for it.
///
/// Shoppers register and log in, which a system lets one address do 60 and 600 times a minute, but in development the machine
/// that it runs on. For more than a few hundred from elsewhere,
/// start `serve` with LIMIT_REGISTRATIONS_PER_ADDRESS=0 and LIMIT_LOGINS_PER_ADDRESS=0. Or use --mint-tokens where the
/// settings of the deployment are at hand: it adds accounts stress-RUN-N, which nobody can log in to, to the PostgreSQL
/// database that POSTGRES_* names, also in production, and signs their tokens with JWT_SECRET. --first-user N uses the
/// accounts N, N+1, ... instead and adds none.
///
/// Exit code 0: every promise was kept. 1: one was broken. 2: no run could be made, or it could not be found out. Answers
/// like 429 or 503 break no promise; they are counted.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown, clippy::struct_excessive_bools)] // shown as help
#[command(after_long_help = json::SCHEMA)]
pub(super) struct Stress {
    /// Shoppers [default: STRESS_TEST_USERS, 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    users: Option<u32>,
    /// Connections [default: STRESS_TEST_CONCURRENT, 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50_000))]
    concurrent: Option<u32>,
    /// The API [default: API_BASE_URL, http://localhost:3000]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The sale; without it the one that the system shows
    #[arg(long, value_name = "ID")]
    sale: Option<SaleId>,
    /// How often every shopper presses
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_most::<1_000_000>)]
    presses: NonZeroU32,
    /// Presses a second, whatever the answers do; without it, as fast as answers come
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// End the presses after so long, even if some are left
    #[arg(long, value_name = "SECS", value_parser = at_most::<86_400>)]
    seconds: Option<NonZeroU32>,
    /// Threads that press
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// For an answer, in seconds
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = at_most::<3_600>)]
    timeout: NonZeroU32,
    /// For all shoppers to be made, in seconds
    #[arg(long, value_name = "SECS", default_value = "600", value_parser = at_most::<86_400>)]
    setup_timeout: NonZeroU32,
    /// For all results to be there, in seconds
    #[arg(long, value_name = "SECS", default_value = "60", value_parser = at_most::<86_400>)]
    settle_timeout: NonZeroU32,
    /// Add the accounts to the database and sign their tokens; implies --audit
    #[arg(long)]
    mint_tokens: bool,
    /// Use accounts that are there, from this id on
    #[arg(long, value_name = "ID", requires = "mint_tokens")]
    first_user: Option<UserId>,
    /// Audit the sale on its servers afterwards
    #[arg(long)]
    audit: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Write a page about the run
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok();
    rate.filter(|rate: &f64| (0.001..=10_000_000.0).contains(rate))
        .ok_or_else(|| "must be a number above 0, at most 10000000".to_owned())
}

/// A whole number from 1.
fn at_most<const MOST: u32>(text: &str) -> Result<NonZeroU32, String> {
    let number = text.parse().ok();
    number
        .filter(|number: &NonZeroU32| number.get() <= MOST)
        .ok_or_else(|| format!("must be a whole number from 1 to {MOST}"))
}

impl Stress {
    /// True if it also asks the servers behind the API.
    pub(super) fn uses_servers(&self) -> bool {
        self.audit || self.mint_tokens
    }

    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let clock = SystemClock;
        let url = self.url.as_ref().unwrap_or(&config.stress.base_url);
        let target = Target::new(url)?;
        self.check_report()?;
        let mut connection = Connection::new(&target, secs(self.timeout));
        if let Err(error) = connection.connect().await {
            bail!("{url} cannot be reached: {error}");
        }
        let ports = if self.uses_servers() {
            Some(connect::servers(&config, &CancellationToken::new()).await?)
        } else {
            None
        };
        let users = self.virtual_users(&config, &target, clock.now()).await?;
        let first = users.first_token();
        let shown = sale::shown(&mut connection, &target, url, first).await?;
        let chosen = sale::choose(self.sale, shown, ports.as_ref(), clock.now()).await?;
        let attempt = api::attempt(&target, chosen.id)?;
        let result = api::result(&target, chosen.product)?;
        let tokens = users.tokens().await?;

        let plan = Plan {
            requests: Some(u64::from(self.users(&config)) * u64::from(self.presses.get())),
            duration: self.seconds.map(secs),
            rate: self.rate,
        };
        let load = Load {
            target: &target,
            connections: self.concurrent.unwrap_or(config.stress.concurrent) as usize,
            threads: usize::from(self.threads),
            timeout: secs(self.timeout),
            plan,
        };
        let settings = Settings {
            url: url.clone(),
            sale: chosen.id,
            product: chosen.product,
            product_name: chosen.name.clone(),
            initial_stock: chosen.initial_stock,
            shoppers: tokens.len(),
            is_minted: self.mint_tokens,
            presses: self.presses.get(),
            connections: load.connections,
            threads: load.threads,
            rate: plan.rate,
            seconds: self.seconds.map(NonZeroU32::get),
            started_at: clock.now(),
        };
        let pressed = block_in_place(|| {
            let bar = progress::counting("pressing", plan.requests.unwrap_or_default());
            press(&load, &attempt, &tokens, || bar.count())
        })?;
        let mut counts =
            block_in_place(|| self.read_results(&load, &chosen, &result, &tokens, &pressed))?;
        counts.remaining_stock =
            sale::remaining(&mut connection, &target, first, &chosen, &counts).await;
        if let (None, Some(ports)) = (counts.remaining_stock, &ports) {
            let snapshot = ports.ledger.snapshot(chosen.id).await.ok().flatten();
            counts.remaining_stock = snapshot.map(|snapshot| snapshot.remaining);
        }
        let audited = match ports {
            Some(ports) => Some(audit_sale(&config, ports, chosen.id).await),
            None => None,
        };
        let mut promises = counts.judge();
        promises.extend(audited.as_ref().map(Audited::promise));
        let outcome = Outcome {
            settings,
            pressed,
            counts,
            promises,
            audited,
        };
        self.tell(&outcome)?;
        Ok(exit_code(&outcome.promises, &outcome.counts))
    }

    fn users(&self, config: &Config) -> u32 {
        self.users.unwrap_or(config.stress.users)
    }

    /// A report that cannot be written is better known before the load than after it.
    fn check_report(&self) -> anyhow::Result<()> {
        if let Some(path) = &self.report {
            std::fs::File::options()
                .append(true)
                .create(true)
                .open(path)
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }

    async fn virtual_users<'a>(
        &'a self,
        config: &'a Config,
        target: &'a Target,
        now: chrono::DateTime<chrono::Utc>,
    ) -> anyhow::Result<VirtualUsers<'a>> {
        let users = self.users(config);
        if self.mint_tokens {
            VirtualUsers::minted(config, self.first_user, users, now).await
        } else {
            let (timeout, patience) = (secs(self.timeout), secs(self.setup_timeout));
            VirtualUsers::registered(target, timeout, patience, users).await
        }
    }

    /// Waits for the results of everyone who was accepted, and looks at those of everyone who was refused.
    fn read_results(
        &self,
        load: &Load<'_>,
        chosen: &ChosenSale,
        result: &Request,
        tokens: &[Token],
        pressed: &Pressed,
    ) -> std::io::Result<Counts> {
        assert_eq!(tokens.len(), pressed.told.len(), "an entry a shopper");
        let of = |is_meant: &dyn Fn(&Told) -> bool| -> Vec<&Token> {
            let told = tokens.iter().zip(&pressed.told);
            told.filter(|(_, told)| is_meant(told))
                .map(|(token, _)| token)
                .collect()
        };
        let accepted = of(&|told| told.accepted > 0);
        let refused = of(&|told| told.is_refused());
        let patience = secs(self.settle_timeout);
        let endings = results::read(load, result, &accepted, patience, |ending| {
            matches!(ending, Ending::Success | Ending::Failed)
        })?;
        let of_refused = results::read(load, result, &refused, patience, |ending| {
            ending != Ending::Unreadable
        })?;
        let untold = of(&|told| told.accepted == 0 && told.other > 0);
        let of_untold = results::read(load, result, &untold, patience, |ending| {
            ending != Ending::Unreadable
        })?;
        let count = |endings: &[Ending], wanted| {
            endings.iter().filter(|ending| **ending == wanted).count() as u64
        };
        let contradicted = pressed.told.iter().filter(|told| told.is_contradicted);
        Ok(Counts {
            initial_stock: chosen.initial_stock,
            remaining_stock: None,
            accepted: accepted.len() as u64,
            success: count(&endings, Ending::Success),
            failed: count(&endings, Ending::Failed),
            missing: count(&endings, Ending::Missing),
            unreadable: count(&endings, Ending::Unreadable),
            contradicted: contradicted.count() as u64,
            refused: refused.len() as u64,
            refused_success: count(&of_refused, Ending::Success),
            refused_unreadable: count(&of_refused, Ending::Unreadable),
            untold_success: count(&of_untold, Ending::Success),
            untold_unreadable: count(&of_untold, Ending::Unreadable),
        })
    }

    fn tell(&self, outcome: &Outcome) -> anyhow::Result<()> {
        if self.json {
            json::print(outcome)?;
        } else {
            text::print(outcome);
        }
        if let Some(path) = &self.report {
            std::fs::write(path, html::page(outcome))
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }
}

fn secs(secs: NonZeroU32) -> Duration {
    Duration::from_secs(secs.get().into())
}

async fn audit_sale(config: &Config, ports: Ports, sale: SaleId) -> Audited {
    let _bar = progress::waiting("auditing");
    let auditor = audit::auditor(config, ports);
    let report = auditor.run(Some(sale)).await;
    Audited(report.map_err(|error| error.to_string()))
}

/// A run in which nobody was let in or refused has shown nothing.
fn exit_code(promises: &[Promise], counts: &Counts) -> ExitCode {
    let any = |standing| promises.iter().any(|promise| promise.standing == standing);
    if any(Standing::Broken) {
        ExitCode::from(BROKEN)
    } else if any(Standing::Unknown) || counts.accepted + counts.refused == 0 {
        ExitCode::from(NOT_RUN)
    } else {
        ExitCode::SUCCESS
    }
}
