//! `flashsale audit`: checks whether every promise holds, and repairs what can safely be repaired.

pub(super) mod json;
mod repair;
pub(super) mod text;

use std::process::ExitCode;

use clap::Args;

use self::repair::Repair;
use super::{connect, embedded, target::Target};
use crate::{
    config::Config,
    ids::SaleId,
    lifecycle::Lifecycle,
    order::audit::{
        Audit as Auditor, Report,
        repair::{is_beyond_repair, plan},
    },
    port::Ports,
};

/// The exit code of an audit that could not be completed.
pub(super) const UNKNOWN: u8 = 2;
const BROKEN: u8 = 1;

/// Check that every promise holds, and print the balance sheet of every sale from gate, log and ledger
///
/// Shows for each sale what it began with, what is sold, what remains, what is pending and available in the gate, what is
/// in the log and not settled yet, and dead letters without a decision; then everything that breaks a promise: too many or
/// missing units, two orders of one shopper, results that contradict the orders, buyers in the gate that differ from the
/// ledger's, records that were deleted from the log before they were settled, and an entry of the action log that was changed
/// or is missing.
///
/// It may run during a sale and writes nothing. It compares only conditions that hold at every moment, and reads a suspicious
/// sale again for about ten seconds, because an attempt may be in flight.
///
/// Exit code 0: every promise holds. 1: one is broken. 2: the audit could not be completed, since a server did not answer.
///
/// --repair lists what can safely be repaired, and --repair --yes repairs it: results that contradict the orders are corrected,
/// orders that the gate does not know are recorded in it, and a sale that is off balance in the gate is unloaded as soon as
/// none of its attempts is pending, and loaded again from the ledger by a worker; shoppers are answered 503 meanwhile. Orders
/// are never changed: a person has to decide about errors in the ledger itself.
///
/// With --embedded it audits a data directory that is not being served. The gate is in the memory of `serve`, so the report
/// has no line about it.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown, clippy::struct_excessive_bools)] // shown as help
pub(super) struct Audit {
    /// Audit only this sale
    #[arg(long, value_name = "ID")]
    sale: Option<SaleId>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// List what can safely be repaired; with --yes, repair it
    #[arg(long)]
    repair: bool,
    /// Apply the repairs that --repair lists
    #[arg(long, requires = "repair")]
    yes: bool,
    #[command(flatten)]
    pub(super) target: Target,
}

impl Audit {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        if let Some(directory) = self.target.data_dir(&config)? {
            let opened = embedded::look_into(&config, directory).await;
            let engines =
                opened.map_err(|error| embedded::or_ask_its_api(error, "/api/admin/audits"))?;
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
    Auditor::of(engines, config.kafka.consumer_group.clone())
}

fn plans(report: &Report) -> Vec<Repair> {
    let of_sale = |sheet: &crate::order::audit::SaleAudit| {
        let sale = sheet.listing.id;
        plan(sheet).into_iter().map(move |action| Repair {
            sale,
            action,
            outcome: None,
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
            repair.outcome = Some(auditor.apply_repair(&sheet.listing, &repair.action).await?);
        }
    }
    Ok(())
}
