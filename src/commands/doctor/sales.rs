//! Judges whether current and coming sales can be sold, and whether workers settle the log.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::report::Check;
use crate::port::{GateStatus, NodeKind, Offset, Partition, SaleListing, SaleSwitch};

const AREA: &str = "sales";
/// A sale that starts later than this may still be missing in the gate: a worker loads it within about one second.
const TIME_TO_LOAD: TimeDelta = TimeDelta::seconds(5);
/// Number of unsettled records above which there is a warning: one worker settles them in about five seconds.
const SHORT_BACKLOG: i64 = 100_000;

/// The facts that Redis, Kafka and PostgreSQL report about sales.
pub(super) struct Facts {
    /// Number of live workers.
    pub(super) workers: i64,
    /// The version and kind of each process that serves or works.
    pub(super) processes: Vec<(String, NodeKind)>,
    pub(super) partitions: Vec<PartitionProgress>,
    /// The sales that are not over, with their state in the gate.
    pub(super) sales: Vec<(SaleListing, GateStatus)>,
}

/// How far a partition is settled. `settled` is `None` if no worker ever had a lease on it.
pub(super) struct PartitionProgress {
    pub(super) partition: Partition,
    pub(super) earliest: Offset,
    pub(super) settled: Option<Offset>,
    pub(super) end: Offset,
}

pub(super) fn judge(facts: &Facts, now: DateTime<Utc>) -> Vec<Check> {
    let mut checks = vec![
        workers(facts),
        versions(&facts.processes),
        backlog(&facts.partitions),
    ];
    if facts.sales.is_empty() {
        checks.push(
            Check::warning(AREA, "listed", "none is on, and none will be".to_owned())
                .advise("add a row to flash_sales, or run `flashsale seed` for a demo"),
        );
    }
    for (listing, status) in &facts.sales {
        checks.push(stock(listing, status, now));
    }
    checks
}

fn workers(facts: &Facts) -> Check {
    let partitions = i64::try_from(facts.partitions.len()).unwrap_or(i64::MAX);
    let summary = format!("{} live, for {partitions} partitions", facts.workers);
    if facts.workers == 0 {
        Check::failed(AREA, "workers", summary)
            .advise("no sale is opened and nothing settled; start `flashsale work`")
    } else if facts.workers > partitions {
        Check::warning(AREA, "workers", summary)
            .advise("those beyond the partitions have nothing to do")
    } else {
        Check::ok(AREA, "workers", summary)
    }
}

/// An older worker takes records of a newer version for damaged, and writes them to the dead letters.
fn versions(processes: &[(String, NodeKind)]) -> Check {
    let mut found: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (version, kind) in processes {
        let (api, worker) = found.entry(version).or_default();
        match kind {
            NodeKind::Api | NodeKind::Embedded => *api += 1,
            NodeKind::Worker => *worker += 1,
        }
    }
    let named = |(version, (api, worker)): (&&str, &(usize, usize))| {
        format!("{version} ({api} serve, {worker} work)")
    };
    let summary = found.iter().map(named).collect::<Vec<_>>().join(", ");
    match found.len() {
        0 => Check::ok(AREA, "versions", "no process runs".to_owned()),
        1 => Check::ok(AREA, "versions", summary),
        _ => Check::warning(AREA, "versions", summary).advise(
            "finish the rollout, `work` before `serve`: an older worker cannot read records of a newer version",
        ),
    }
}

fn backlog(partitions: &[PartitionProgress]) -> Check {
    let lost = partitions
        .iter()
        .find(|it| it.settled.is_some_and(|settled| settled < it.earliest));
    if let Some(lost) = lost {
        let summary = format!(
            "partition {} was cut before all of it was settled",
            lost.partition
        );
        return Check::failed(AREA, "backlog", summary)
            .advise("raise retention.ms; the worker goes on with what is left");
    }
    let waits = partitions
        .iter()
        .map(|it| it.end.0 - it.settled.map_or(it.earliest.0, |settled| settled.0));
    let waiting: i64 = waits.map(|waits| waits.max(0)).sum();
    let summary = format!("{waiting} records are not settled");
    if waiting > SHORT_BACKLOG {
        Check::warning(AREA, "backlog", summary)
            .advise("a new sale opens only behind it; start more workers, or wait")
    } else {
        Check::ok(AREA, "backlog", summary)
    }
}

fn stock(listing: &SaleListing, status: &GateStatus, now: DateTime<Utc>) -> Check {
    let when = if listing.switch == SaleSwitch::Cancelled {
        "cancelled".to_owned()
    } else if listing.window.end <= now {
        "ended".to_owned()
    } else if listing.switch == SaleSwitch::Paused {
        "paused".to_owned()
    } else if listing.window.start <= now {
        "on".to_owned()
    } else {
        let secs = (listing.window.start - now).num_seconds();
        let start = std::time::Duration::from_secs(secs.unsigned_abs());
        format!("starts in {}", humantime::format_duration(start))
    };
    let summary = format!(
        "sale {} of {}, {when}: {} of {} units left",
        listing.id, listing.product_name, listing.remaining_stock, listing.initial_stock
    );
    match status {
        GateStatus::Open { window, switch, .. }
            if *window != listing.window || *switch != listing.switch =>
        {
            Check::warning(
                AREA,
                "stock",
                format!("{summary}; the gate has other terms"),
            )
            .advise("a worker sets them within a second; look again")
        }
        GateStatus::Open {
            available, pending, ..
        } => Check::ok(
            AREA,
            "stock",
            format!("{summary}; the gate has {available} and {pending} on their way"),
        ),
        GateStatus::Closed { .. } | GateStatus::Unknown
            if listing.window.start - now > TIME_TO_LOAD =>
        {
            Check::warning(AREA, "stock", format!("{summary}; not in the gate yet"))
                .advise("a worker loads it within seconds once the backlog is settled")
        }
        GateStatus::Closed { .. } | GateStatus::Unknown => {
            Check::failed(AREA, "stock", format!("{summary}; closed in the gate")).advise(
                "shoppers are answered 503 until a worker has loaded it; see the workers' log",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report, *};
    use crate::{
        ids::{ProductId, SaleId},
        port::SaleWindow,
    };

    fn after(change: impl FnOnce(&mut Facts)) -> Vec<String> {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let window = SaleWindow {
            start: now + TimeDelta::seconds(60),
            end: now + TimeDelta::hours(1),
        };
        let listing = SaleListing {
            switch: crate::port::SaleSwitch::On,
            id: SaleId::new(1).unwrap(),
            product: ProductId::new(1).unwrap(),
            product_name: "Phone".to_owned(),
            product_description: String::new(),
            offer: crate::port::Offer::default(),
            window,
            initial_stock: 10,
            remaining_stock: 10,
            version: 1,
        };
        let status = GateStatus::Open {
            window,
            switch: crate::port::SaleSwitch::On,
            available: 10,
            pending: 0,
            holders_epoch: 1,
            holders: 0,
            version: 1,
            total: 10,
            complete: true,
            withdrawn: Vec::new(),
        };
        let partition = PartitionProgress {
            partition: Partition(0),
            earliest: Offset(5),
            settled: Some(Offset(9)),
            end: Offset(10),
        };
        let mut facts = Facts {
            workers: 1,
            processes: [NodeKind::Api, NodeKind::Worker]
                .map(|kind| ("1.0.0".to_owned(), kind))
                .into(),
            partitions: vec![partition],
            sales: vec![(listing, status)],
        };
        change(&mut facts);
        report::problems(&judge(&facts, now))
    }

    #[test]
    fn each_problem_is_reported_by_its_own_check() {
        let none: [&str; 0] = [];
        assert_eq!(after(|_| {}), none);
        assert_eq!(after(|facts| facts.workers = 0), ["sales workers: Failed"]);
        assert_eq!(after(|facts| facts.workers = 2), ["sales workers: Warning"]);
        assert_eq!(
            after(|facts| facts.processes[1].0 = "1.1.0".to_owned()),
            ["sales versions: Warning"]
        );
        assert_eq!(after(|facts| facts.processes.clear()), none);
        assert_eq!(
            after(|facts| facts.sales.clear()),
            ["sales listed: Warning"]
        );
        assert_eq!(
            after(|facts| facts.partitions[0].end = Offset(200_000)),
            ["sales backlog: Warning"]
        );
        assert_eq!(
            after(|facts| facts.partitions[0].settled = Some(Offset(4))),
            ["sales backlog: Failed"]
        );
        assert_eq!(after(|facts| facts.partitions[0].settled = None), none);
        assert_eq!(
            after(|facts| facts.sales[0].1 = GateStatus::Unknown),
            ["sales stock: Warning"]
        );
        assert_eq!(
            after(|facts| {
                facts.sales[0].0.window.start -= TimeDelta::seconds(58);
                facts.sales[0].1 = GateStatus::Closed { pending: 0 };
            }),
            ["sales stock: Failed"]
        );
        assert_eq!(
            after(|facts| facts.sales[0].0.window.end += TimeDelta::hours(1)),
            ["sales stock: Warning"]
        );
    }

    #[test]
    fn a_sale_whose_window_is_over_is_said_to_have_ended() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let listing = SaleListing {
            switch: crate::port::SaleSwitch::On,
            id: SaleId::new(1).unwrap(),
            product: ProductId::new(1).unwrap(),
            product_name: "Phone".to_owned(),
            product_description: String::new(),
            offer: crate::port::Offer::default(),
            window: SaleWindow {
                start: now - TimeDelta::hours(1),
                end: now,
            },
            initial_stock: 10,
            remaining_stock: 6,
            version: 1,
        };
        let check = stock(&listing, &GateStatus::Closed { pending: 0 }, now);
        let shown = format!("{check:?}");
        assert!(shown.contains("ended: 6 of 10 units left"), "{shown}");
    }
}
