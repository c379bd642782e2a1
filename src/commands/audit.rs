//! `flashsale audit`: whether every promise holds, and repairs.

pub(super) mod json;
pub(super) mod text;

use std::{process::ExitCode, time::Duration};

use clap::Args;

use super::{connect, embedded, target::Target};
use crate::{
    config::Config,
    ids::SaleId,
    lifecycle::Lifecycle,
    order::audit::{
        Audit as Auditor, RepairAction, RepairOutcome, Report,
        repair::{is_beyond_repair, plan},
    },
    port::Ports,
};

/// The exit code when it could not be found out whether the promises hold.
pub(super) const UNKNOWN: u8 = 2;
const BROKEN: u8 = 1;

/// Looks at a suspicious sale, and the pause between two of them: longer together than a worker tries to tell Redis what it
/// settled.
const LOOKS: u32 = 6;
const PAUSE: Duration = Duration::from_secs(2);

/// Check that every promise holds: the balance sheet of every sale, from gate, log and ledger
///
/// Shows for each sale what it began with, what is sold, what remains, what is pending and available in the gate, what is
/// in the log and not settled yet, and dead letters without a decision; then whatever breaks a promise: units too many or
/// missing, two orders of one shopper, shoppers who are told something else than their order says, a gate that knows other
/// buyers than the ledger, a log that was cut before it was settled.
///
/// It may run in the middle of a sale and writes nothing: it compares only what holds at every moment, and looks again for
/// some ten seconds at whatever could be an attempt in flight.
///
/// Exit code 0: every promise holds. 1: one is broken. 2: it could not be found out, since a server did not answer.
///
/// --repair lists what can safely be mended, and --repair --yes mends it: results that contradict the orders are set right,
/// orders that the gate does not know are told to it, and a sale that is off balance in the gate is closed, as soon as
/// nothing of it is pending, and loaded anew from the ledger by a worker; shoppers are answered 503 meanwhile. Orders are
/// never touched: what is wrong in the ledger itself is for a person to decide.
///
/// With --embedded it audits a data directory that is not being served. The gate is in the memory of `serve`, so the sheet
/// has no line of it.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown, clippy::struct_excessive_bools)] // shown as help
pub(super) struct Audit {
    /// Only this sale
    #[arg(long, value_name = "ID")]
    sale: Option<SaleId>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// List what can safely be mended; with --yes, mend it
    #[arg(long)]
    repair: bool,
    /// Yes, mend it
    #[arg(long, requires = "repair")]
    yes: bool,
    #[command(flatten)]
    pub(super) target: Target,
}

/// A action of a sale, and what came of it: `None` if it was not tried.
pub(super) struct Repair {
    sale: SaleId,
    action: RepairAction,
    came: Option<RepairOutcome>,
}

impl Audit {
    /// True with --embedded.
    pub(super) fn is_embedded(&self) -> bool {
        self.target.is_embedded()
    }

    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        if let Some(directory) = self.target.data_dir(&config)? {
            let engines = embedded::look_into(&config, directory).await?;
            let code = self.audit(&config, engines.ports()).await;
            drop(engines.close().await);
            return code;
        }
        let lifecycle = Lifecycle::default();
        lifecycle.stop_on_signals()?;
        let stop = lifecycle.stop();
        let ports = connect::servers(&config, stop).await?;
        tokio::select! {
            code = self.audit(&config, ports) => code,
            () = stop.cancelled() => anyhow::bail!("stopped"),
        }
    }

    async fn audit(&self, config: &Config, engines: Ports) -> anyhow::Result<ExitCode> {
        let auditor = auditor(config, engines);
        let mut report = auditor.run(self.sale).await?;
        let mut repairs = Vec::new();
        if self.repair {
            repairs = plans(&report);
            if self.yes && !repairs.is_empty() {
                if !self.json {
                    text::report(&report);
                }
                apply_repair(&auditor, &report, &mut repairs).await?;
                if !self.json {
                    text::repairs(&repairs);
                }
                report = auditor.run(self.sale).await?;
            }
        }
        if self.json {
            json::print(&report, self.repair.then_some(&repairs))?;
        } else {
            text::report(&report);
            if self.repair && !self.yes {
                text::repairs(&repairs);
            } else if !report.is_clean() && !self.repair && !is_beyond_repair(&report) {
                text::hint();
            }
        }
        Ok(if report.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(BROKEN)
        })
    }
}

pub(super) fn auditor(config: &Config, engines: Ports) -> Auditor {
    Auditor {
        engines,
        group: config.kafka.consumer_group.clone(),
        looks: LOOKS,
        pause: PAUSE,
    }
}

fn plans(report: &Report) -> Vec<Repair> {
    let of_sale = |sheet: &crate::order::audit::SaleAudit| {
        let sale = sheet.listing.id;
        plan(sheet).into_iter().map(move |action| Repair {
            sale,
            action,
            came: None,
        })
    };
    report.sheets.iter().flat_map(of_sale).collect()
}

async fn apply_repair(
    auditor: &Auditor,
    report: &Report,
    repairs: &mut [Repair],
) -> anyhow::Result<()> {
    for repair in repairs {
        let sheet = report
            .sheets
            .iter()
            .find(|sheet| sheet.listing.id == repair.sale);
        if let Some(sheet) = sheet {
            repair.came = Some(auditor.apply_repair(&sheet.listing, &repair.action).await?);
        }
    }
    Ok(())
}
