//! Reads what an audit compares, through the ports: page by page, so that no server is blocked for long, and without writing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::DateTime;

use super::{
    Attempts, LogAudit, PartitionAudit, Report, SaleAudit, SaleReading, compare, note_attempts,
    persisting,
};
use crate::{
    ids::{SaleId, UserId},
    port::{
        DeadLetterEntry, GateError, LedgerError, LogEntry, LogError, Offset, Partition, Ports,
        SaleListing, SaleSnapshot, zip_answers,
    },
};

/// Number of settled attempts in one page.
const ATTEMPTS_PER_PAGE: u32 = 10_000;
/// Maximum number of unsettled records that are read, to count them by sale. A worker settles as many in one or two seconds.
const MAX_RECORDS: u64 = 50_000;
/// Number of dead letters after which no more pages of them are read.
const MAX_DEAD_LETTERS: usize = 100_000;

/// An audit of a system.
pub struct Audit {
    pub engines: Ports,
    /// The consumer group whose committed offsets show what is settled.
    pub group: String,
    /// Number of readings of a suspicious sale before its findings are reported.
    pub looks: u32,
    /// The pause between two readings. All pauses together must be longer than a worker takes to record a settlement in the
    /// gate, including repeated tries.
    pub pause: Duration,
}

/// Why an audit could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("there is no sale {0}")]
    NoSuchSale(SaleId),
}

/// A number of records or dead letters for each sale.
type SaleCounts = BTreeMap<SaleId, u64>;

impl Audit {
    /// One that reports what it found in six looks within ten seconds: longer than a worker tries to tell the gate what it settled.
    #[must_use]
    pub fn of(engines: Ports, group: String) -> Self {
        Self {
            engines,
            group,
            looks: 6,
            pause: Duration::from_secs(2),
        }
    }

    /// Audits every sale, or only the given one.
    pub async fn run(&self, only: Option<SaleId>) -> Result<Report, AuditError> {
        let mut listings = self.engines.ledger.sales(DateTime::UNIX_EPOCH).await?;
        if let Some(only) = only {
            listings.retain(|listing| listing.id == only);
            if listings.is_empty() {
                return Err(AuditError::NoSuchSale(only));
            }
        }
        let (mut log, unsettled) = self.log().await?;
        let letters = self.undecided_dead_letters(&mut log).await?;
        let attempts = self.attempts().await?;
        let nothing = Attempts::default();
        let attempts_of = |sale| attempts.get(&sale).unwrap_or(&nothing);

        let mut sheets = Vec::with_capacity(listings.len());
        for listing in listings {
            let attempts = attempts_of(listing.id);
            let look = self.look(&listing, attempts).await?;
            sheets.push(SaleAudit {
                initial: look.after.initial,
                remaining: look.after.remaining,
                sold: look.after.holders.len() as u64,
                removed: attempts.removed.len() as u64,
                without_unit: without_unit(&look, attempts),
                status: look.status.clone(),
                unsettled: unsettled.get(&listing.id).copied().unwrap_or(0),
                dead_letters: letters.get(&listing.id).copied().unwrap_or(0),
                findings: compare(&look, attempts),
                listing,
            });
        }
        for _ in 1..self.looks {
            let mut suspicious = sheets
                .iter_mut()
                .filter(|sheet| !sheet.findings.is_empty())
                .peekable();
            if suspicious.peek().is_none() {
                break;
            }
            tokio::time::sleep(self.pause).await;
            for sheet in suspicious {
                let attempts = attempts_of(sheet.listing.id);
                let look = self.look(&sheet.listing, attempts).await?;
                sheet.findings = persisting(&sheet.findings, compare(&look, attempts));
                sheet.initial = look.after.initial;
                sheet.remaining = look.after.remaining;
                sheet.sold = look.after.holders.len() as u64;
                sheet.status = look.status;
            }
        }
        // A worker whose next record was deleted continues at the earliest one, so the log may be in order a moment later.
        if log.cut().next().is_some() {
            tokio::time::sleep(self.pause).await;
            log.partitions = self.log().await?.0.partitions;
        }
        let actions = self.engines.ledger.verify_actions().await?;
        Ok(Report {
            log,
            sheets,
            actions,
        })
    }

    /// Reads a sale, in the order that the comparison requires.
    async fn look(
        &self,
        listing: &SaleListing,
        attempts: &Attempts,
    ) -> Result<SaleReading, AuditError> {
        let (sale, gate) = (listing.id, &self.engines.gate);
        let before = self.snapshot(sale).await?;
        let status = gate.status(sale).await?;
        let held_units = gate.held_units(sale).await?;
        let mut users: BTreeSet<UserId> = before.holders.iter().map(|order| order.user).collect();
        users.extend(held_units.iter().map(|held_unit| held_unit.user));
        users.extend(&attempts.without_order);
        let users: Vec<UserId> = users.into_iter().collect();
        let stored = gate.stored_results(sale, listing.product, &users).await?;
        let stored = zip_answers(users, stored)
            .filter_map(|(user, result)| Some((user, result?)))
            .collect();
        Ok(SaleReading {
            before,
            status,
            held_units,
            stored,
            after: self.snapshot(sale).await?,
        })
    }

    async fn snapshot(&self, sale: SaleId) -> Result<SaleSnapshot, AuditError> {
        let snapshot = self.engines.ledger.snapshot(sale).await?;
        snapshot.ok_or(AuditError::NoSuchSale(sale))
    }

    /// Reads all settled attempts. New ones have ever larger ids, and a page is read much faster than it is settled, so the loop
    /// ends under load, too.
    async fn attempts(&self) -> Result<BTreeMap<SaleId, Attempts>, AuditError> {
        let (mut sales, mut after) = (BTreeMap::new(), None);
        loop {
            let page = self
                .engines
                .ledger
                .settled(after, ATTEMPTS_PER_PAGE)
                .await?;
            note_attempts(&mut sales, &page);
            after = page.last().map(|last| last.attempt);
            if (page.len() as u64) < u64::from(ATTEMPTS_PER_PAGE) {
                return Ok(sales);
            }
        }
    }

    /// Reads how far the log is settled, and counts the unsettled records by sale.
    async fn log(&self) -> Result<(LogAudit, SaleCounts), AuditError> {
        let log = &self.engines.log;
        // Committed offsets are read before the ends of the log: a record that is settled in between counts as not settled, and
        // an unsettled record never counts as settled.
        let committed = self
            .engines
            .ledger
            .committed_offsets(&self.group, log.name())
            .await?;
        let mut sheet = LogAudit {
            name: log.name().to_owned(),
            ..LogAudit::default()
        };
        let mut counts = SaleCounts::new();
        for (partition, end) in log.ends().await? {
            let earliest = log.earliest(partition).await?;
            let settled = committed.get(&partition).copied();
            sheet.partitions.push(PartitionAudit {
                partition,
                earliest,
                end,
                settled,
            });
            // A committed offset beyond the end means that the log was created anew; workers read that from its beginning.
            let from = settled.filter(|settled| *settled <= end);
            let from = from.unwrap_or(earliest).max(earliest);
            let unsettled = u64::try_from(end.0 - from.0).unwrap_or(0);
            let readable =
                unsettled.min(MAX_RECORDS.saturating_sub(sheet.unsettled - sheet.unread));
            sheet.unsettled += unsettled;
            sheet.unread += unsettled - readable;
            let until = Offset(from.0 + i64::try_from(readable).unwrap_or(0));
            self.count_records(partition, from, until, &mut counts)
                .await?;
        }
        Ok((sheet, counts))
    }

    async fn count_records(
        &self,
        partition: Partition,
        from: Offset,
        until: Offset,
        counts: &mut SaleCounts,
    ) -> Result<(), AuditError> {
        let mut next = from;
        while next < until {
            let batch = match self.engines.log.read(partition, next).await {
                Ok(batch) if batch.next > next => batch,
                // The records were deleted meanwhile or cannot be read now, and are counted for no sale.
                Ok(_) | Err(LogError::OutOfRange { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let records = batch.records.iter();
            for record in records.filter(|record| record.offset < until) {
                if let LogEntry::Attempt(attempt) = record.entry {
                    *counts.entry(attempt.sale).or_default() += 1;
                }
            }
            next = batch.next;
        }
        Ok(())
    }

    /// Counts the dead letters without a decision, by sale and in total.
    async fn undecided_dead_letters(&self, sheet: &mut LogAudit) -> Result<SaleCounts, AuditError> {
        let Ports { log, ledger, .. } = &self.engines;
        let decided: BTreeSet<_> = ledger
            .decisions(log.name())
            .await?
            .into_iter()
            .map(|decision| (decision.letter, decision.buried_at.timestamp_millis()))
            .collect();
        let is_open = |found: &DeadLetterEntry| {
            !decided.contains(&(found.id, found.letter.buried_at.timestamp_millis()))
        };
        let (mut counts, mut read) = (SaleCounts::new(), 0);
        for partition in (0..log.dead_letter_partitions()).map(Partition) {
            let mut next = Offset(0);
            loop {
                if read >= MAX_DEAD_LETTERS {
                    sheet.more_dead_letters = true;
                    return Ok(counts);
                }
                let page = log.read_dead_letters(partition, next).await?;
                read += page.entries.len();
                for found in page.entries.iter().filter(|found| is_open(found)) {
                    sheet.dead_letters += 1;
                    if let LogEntry::Attempt(attempt) = found.entry {
                        *counts.entry(attempt.sale).or_default() += 1;
                    }
                }
                if page.next >= page.end || page.next <= next {
                    break;
                }
                next = page.next;
            }
        }
        Ok(counts)
    }
}

/// Number of shoppers with a settled attempt who have neither an order nor one that was removed by hand.
fn without_unit(look: &SaleReading, attempts: &Attempts) -> u64 {
    let orders: BTreeSet<UserId> = look.after.holders.iter().map(|order| order.user).collect();
    let removed: BTreeSet<UserId> = attempts.removed.iter().map(|order| order.user).collect();
    let users = attempts.without_order.iter();
    users
        .filter(|user| !orders.contains(user) && !removed.contains(user))
        .count() as u64
}
