//! Reads the records of one partition, settles them in the ledger, and then records their outcomes in the gate.

mod dead_letters;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use metrics::{counter, gauge};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{record::record, settler::Settler};
use crate::{
    ids::{AttemptId, UserId},
    order::{figures::SettlementCounts, trace},
    port::{
        Attempt, Lease, LedgerError, LogBatch, LogEntry, LogError, LogRecord, Offset, Outcome,
        Ports, Position, SeekOutcome, SettleBatch, SettleError, Settlement,
    },
    telemetry::{self, metric},
};

/// Pause after a failure. Doubled after each further failure, up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Tries to record settlements in the gate. The sale controller later records those that are left.
const RECORD_TRIES: u32 = 5;

/// How long after a check, or after the last records, the log is taken to be the same without another check: in a shorter time
/// no topic is deleted, made anew and filled again.
const CHECK_VALID_FOR: Duration = Duration::from_millis(250);

/// Reads one partition for as long as it is leased.
pub(super) struct PartitionReader {
    engines: Ports,
    settler: Arc<Settler>,
    counts: Arc<SettlementCounts>,
    position: Position,
    /// Offset of the next record to read.
    next: Offset,
    /// The attempt of the record before `next`; `None` if that record is not an attempt or not known.
    last: Option<AttemptId>,
    /// When the log was last known to be the one to which `next` belongs. `None` before the first check and after a failure.
    same_log_at: Option<Instant>,
    /// Every record before this offset is settled, as the ledger confirmed last. The worker reads it.
    settled: Arc<AtomicI64>,
    /// Cancelled when the reader is to stop.
    stop: CancellationToken,
}

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("another worker has the partition")]
    Fenced,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("records that were written as dead letters were rejected again")]
    UnsettleableAgain,
}

impl PartitionReader {
    pub(super) fn new(
        engines: Ports,
        settler: Arc<Settler>,
        counts: Arc<SettlementCounts>,
        position: Position,
        lease: Lease,
    ) -> Self {
        Self {
            engines,
            settler,
            counts,
            position,
            next: lease.next,
            last: lease.last,
            same_log_at: None,
            settled: Arc::new(AtomicI64::new(lease.next.0)),
            stop: CancellationToken::new(),
        }
    }

    /// The settled offset, which the reader keeps up to date.
    pub(super) fn settled(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.settled)
    }

    /// Reads and settles until told to stop, or fenced out by another worker. Stops between batches only.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.stop = stop.clone();
        self.read_until(&stop).await;
        // From now on, another worker shows the lag of this partition.
        let partition = [("partition", self.position.partition.to_string())];
        telemetry::forget(metric::CONSUMER_LAG, &partition);
        telemetry::forget(metric::CONSUMER_LAG_SECONDS, &partition);
    }

    async fn read_until(&mut self, stop: &CancellationToken) {
        let mut pause = FIRST_PAUSE;
        while !stop.is_cancelled() {
            match self.step().await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(StepError::Fenced) => {
                    tracing::warn!(partition = %self.position.partition, "fenced out: another worker has the partition");
                    return;
                }
                Err(error) => {
                    self.same_log_at = None;
                    counter!(metric::WORKER_FAILURES).increment(1);
                    tracing::warn!(partition = %self.position.partition, offset = %self.next, %error, "will be tried again");
                    let _ = tokio::time::timeout(pause, stop.cancelled()).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn step(&mut self) -> Result<(), StepError> {
        if self.same_log_at.is_none() {
            if self.is_another_log().await? {
                return self.start_over().await;
            }
            self.same_log_at = Some(Instant::now());
        }
        let read = self
            .engines
            .log
            .read(self.position.partition, self.next)
            .await;
        match read {
            Ok(batch) => {
                if !batch.records.is_empty() {
                    let is_checked = self
                        .same_log_at
                        .is_some_and(|at| at.elapsed() < CHECK_VALID_FOR);
                    if !is_checked && self.is_another_log().await? {
                        return self.start_over().await;
                    }
                    self.same_log_at = Some(Instant::now());
                }
                self.settle(batch).await
            }
            Err(LogError::OutOfRange {
                asked,
                earliest,
                end,
            }) => {
                tracing::error!(partition = %self.position.partition, %asked, %earliest, %end, "the log was cut or made anew");
                self.start_over_at(earliest).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// True if the topic was made anew: the record before `next` is not the attempt that was settled last. The records of the new
    /// topic are not settled, whatever the offset says.
    async fn is_another_log(&self) -> Result<bool, StepError> {
        let Some(last) = self.last else {
            return Ok(false);
        };
        let before = Offset(self.next.0 - 1);
        // If there is no record, it was removed, or the log ends before it. Reading at `next` tells which.
        let log = &self.engines.log;
        let record = log.record_at(self.position.partition, before).await?;
        let attempt = record.as_ref().and_then(attempt);
        Ok(attempt.is_some_and(|attempt| attempt.id != last))
    }

    async fn start_over(&mut self) -> Result<(), StepError> {
        tracing::error!(partition = %self.position.partition, offset = %self.next, "the log was made anew");
        let earliest = self.engines.log.earliest(self.position.partition).await?;
        self.start_over_at(earliest).await
    }

    /// Moves the offset back to the earliest record. Settling a record twice does no harm: it keeps its outcome.
    async fn start_over_at(&mut self, earliest: Offset) -> Result<(), StepError> {
        counter!(metric::LOG_RESTARTS).increment(1);
        // Lowered before the ledger's offset is: the worker must not take this for a ledger that was set back.
        self.settled.store(0, Ordering::Release);
        let outcome = self
            .engines
            .ledger
            .seek(&self.position, self.next, earliest)
            .await?;
        if outcome == SeekOutcome::Fenced {
            return Err(StepError::Fenced);
        }
        tracing::warn!(partition = %self.position.partition, offset = %earliest, "reading again from the earliest record");
        self.next = earliest;
        self.last = None;
        Ok(())
    }

    async fn settle(&mut self, batch: LogBatch) -> Result<(), StepError> {
        self.show_lag(&batch);
        self.counts
            .set_lag(self.position.partition, batch.end.0 - self.next.0);
        if batch.next == self.next {
            return Ok(());
        }
        let undecodable: Vec<_> = batch
            .records
            .iter()
            .filter_map(|record| self.undecodable(record))
            .collect();
        self.dead_letter(&undecodable).await?;
        self.report_other_ledgers(&batch.records);
        let logged = |record: &LogRecord| Some((attempt(record)?, record.offset));
        let (attempts, offsets) = batch.records.iter().filter_map(logged).unzip();
        let last = batch
            .records
            .last()
            .and_then(attempt)
            .map(|attempt| attempt.id);

        let lags = batch.end > batch.next;
        let mut settle = SettleBatch {
            position: self.position.clone(),
            from: self.next,
            to: batch.next,
            last,
            attempts,
            offsets,
            rejected: Vec::new(),
            reached: batch.records.iter().filter_map(proven_account).max(),
        };
        let since = std::time::Instant::now();
        let settlements = loop {
            match self.settler.settle(settle.clone(), lags).await {
                Ok(settlements) => break settlements,
                Err(SettleError::Fenced) => return Err(StepError::Fenced),
                Err(SettleError::Ledger(error)) => return Err(error.into()),
                Err(SettleError::Unsettleable(_)) if !settle.rejected.is_empty() => {
                    return Err(StepError::UnsettleableAgain);
                }
                Err(SettleError::Unsettleable(found)) => {
                    let letters: Vec<_> = batch
                        .records
                        .iter()
                        .filter_map(|record| self.rejected(record, &found))
                        .collect();
                    self.dead_letter(&letters).await?;
                    settle.rejected = found;
                }
            }
        };
        self.next = batch.next;
        self.last = last;
        self.show_lag(&LogBatch {
            records: Vec::new(),
            ..batch
        });
        self.settled.store(self.next.0, Ordering::Release);
        trace::settled(&settlements, self.position.partition.0, since);
        count(&settlements);
        self.counts.count(&settlements);
        self.counts
            .set_lag(self.position.partition, batch.end.0 - self.next.0);
        // An order that ended may have ended together with its unit. The sale controller takes it out of the gate, which it gives
        // the ledger's total before.
        let stands = |settlement: &Settlement| settlement.outcome != Outcome::Released;
        let settlements: Vec<_> = settlements.into_iter().filter(stands).collect();
        self.record(&settlements).await;
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)] // gauges
    fn show_lag(&self, batch: &LogBatch) {
        let partition = self.position.partition.to_string();
        let records = (batch.end.0 - self.next.0).max(0) as f64;
        gauge!(metric::CONSUMER_LAG, "partition" => partition.clone()).set(records);
        let first = batch.records.iter().find_map(attempt);
        let age = first.map(|attempt| self.engines.clock.now() - attempt.at);
        let millis = age.map_or(0, |age| age.num_milliseconds().max(0));
        gauge!(metric::CONSUMER_LAG_SECONDS, "partition" => partition).set(millis as f64 / 1_000.0);
    }

    /// Records the outcomes in the gate. The orders are committed already, so the sale controller can record later what fails
    /// here.
    async fn record(&self, settlements: &[Settlement]) {
        let mut pause = FIRST_PAUSE;
        let since = std::time::Instant::now();
        for _ in 0..RECORD_TRIES {
            match record(self.engines.gate.as_ref(), settlements).await {
                Ok(()) => return trace::recorded(settlements, since),
                Err(error) => {
                    tracing::warn!(settlements = settlements.len(), %error, "settlements are not recorded in the gate yet");
                }
            }
            if tokio::time::timeout(pause, self.stop.cancelled())
                .await
                .is_ok()
            {
                break;
            }
            pause *= 2;
        }
        counter!(metric::RECORDS_LEFT).increment(settlements.len() as u64);
        tracing::warn!(
            settlements = settlements.len(),
            "settlements are left to be recorded by the sale controller"
        );
    }
}

fn attempt(record: &LogRecord) -> Option<Attempt> {
    match record.entry {
        LogEntry::Attempt(attempt) => Some(attempt),
        LogEntry::Undecodable(_) | LogEntry::OtherLedger(_) => None,
    }
}

/// The account of an attempt that a node of this ledger logged: the account existed then, even if the ledger has lost it since.
fn proven_account(record: &LogRecord) -> Option<UserId> {
    attempt(record)
        .filter(|_| record.is_of_ledger)
        .map(|attempt| attempt.user)
}

/// Looks a counter up once for each outcome, not for each attempt.
fn count(settlements: &[Settlement]) {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for settlement in settlements {
        *counts.entry(trace::word(settlement.outcome)).or_default() += 1;
    }
    for (outcome, count) in counts {
        counter!(metric::SETTLED, "outcome" => outcome).increment(count);
    }
}
