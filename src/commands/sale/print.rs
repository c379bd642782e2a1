//! Sales for people, and as JSON.

use chrono::{DateTime, Utc};

use super::{
    super::{
        operator::{plain, told},
        target::Target,
    },
    BalanceBody, SaleBody, SaleDetailBody, SteeredBody, StockBody, print_json, say,
};
use crate::{
    port::SaleRecord,
    rules::lifecycle::{Phase, phase},
    sale::{Balance, BalanceSource, Shifted, Steered},
};

/// How answers are printed.
pub(super) struct Printer<'a> {
    pub(super) json: bool,
    pub(super) target: &'a Target,
}

impl Printer<'_> {
    pub(super) fn list(&self, sales: &[SaleRecord], bodies: &[SaleBody]) -> anyhow::Result<()> {
        if self.json {
            return Ok(print_json(&bodies)?);
        }
        for (sale, body) in sales.iter().zip(bodies) {
            line(sale, &format!("{:?}", body.phase).to_lowercase());
        }
        say!("{} sales", sales.len());
        Ok(())
    }

    pub(super) fn sale(&self, sale: &SaleRecord, now: DateTime<Utc>) -> anyhow::Result<()> {
        if self.json {
            return Ok(print_json(&SaleBody::of(sale, now))?);
        }
        whole(sale, now);
        Ok(())
    }

    pub(super) fn detail(
        &self,
        sale: &SaleRecord,
        body: &SaleDetailBody,
        balance: Balance,
    ) -> anyhow::Result<()> {
        if self.json {
            return Ok(print_json(body)?);
        }
        whole(sale, balance.at);
        units(balance);
        Ok(())
    }

    pub(super) fn balance(&self, body: &BalanceBody, balance: Balance) -> anyhow::Result<()> {
        if self.json {
            return Ok(print_json(body)?);
        }
        units(balance);
        Ok(())
    }

    pub(super) fn steered(
        &self,
        steered: &Steered,
        body: &SteeredBody,
        now: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        if self.json {
            return Ok(print_json(body)?);
        }
        whole(&steered.sale, now);
        say!("  {}", told(steered.applied, self.target));
        Ok(())
    }

    pub(super) fn shifted(
        &self,
        shifted: &Shifted,
        body: &StockBody,
        balance: Balance,
    ) -> anyhow::Result<()> {
        if self.json {
            return Ok(print_json(body)?);
        }
        match shifted.done {
            Some(done) => say!("{done:+} units of {:+} asked for", shifted.requested),
            None => say!(
                "{:+} units are asked for; how many there are is for the gate to say",
                shifted.requested
            ),
        }
        say!("  {}", told(shifted.applied, self.target));
        units(balance);
        Ok(())
    }
}

fn line(sale: &SaleRecord, phase: &str) {
    let time = |at: DateTime<Utc>| at.format("%FT%TZ").to_string();
    say!(
        "{}  {phase:<9}  product {}  {} to {}  {} of {} units left",
        sale.id,
        sale.product,
        time(sale.window.start),
        time(sale.window.end),
        sale.remaining_stock,
        sale.initial_stock
    );
}

fn whole(sale: &SaleRecord, now: DateTime<Utc>) {
    let phase = match phase(sale, now) {
        Phase::Draft => "draft",
        Phase::Scheduled => "scheduled",
        Phase::Open => "open",
        Phase::Paused => "paused",
        Phase::Ended => "ended",
        Phase::Cancelled => "cancelled",
    };
    line(sale, phase);
    if !sale.note.is_empty() {
        say!("  {}", plain(&sale.note));
    }
    say!("  version {}", sale.version);
}

fn units(balance: Balance) {
    let Balance {
        total,
        available,
        pending,
        sold,
        withdrawn,
        drift,
        ..
    } = balance;
    let by = match balance.source {
        BalanceSource::Gate => "gate",
        BalanceSource::Ledger => "ledger; the gate is not asked, or does not have it",
    };
    say!(
        "  units: {total} in all, {available} available, {pending} pending, {sold} sold, {withdrawn} on their way out (by the {by})"
    );
    if drift != 0 {
        say!("  {drift} UNITS ARE MISSING: run `flashsale audit`");
    }
}
