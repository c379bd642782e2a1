//! The worker: leases partitions of the log, settles their records, and runs the sale controller.
//!
//! Any number of workers share the partitions evenly. Leases only avoid duplicate work: each record is settled exactly once
//! because the ledger's transaction compares and sets the partition's offset.

mod barrier;
mod closing;
mod partition;
mod rebuild;
mod reconcile;
mod record;
mod relay;
mod sale_controller;
mod settings;
mod settler;
mod terms;
mod withdrawals;

pub use sale_controller::SaleController;
pub use settings::WorkerSettings;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use metrics::{counter, gauge};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{partition::PartitionReader, settler::Settler};
use super::figures::SettlementCounts;
use crate::{
    port::{Lease, Member, Partition, Ports, Position},
    telemetry::metric,
};

/// Interval between checks of the log's number of partitions. The log keeps this number in memory, so a check makes no call.
const PARTITION_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The worker of one process.
pub struct Worker {
    engines: Ports,
    settings: WorkerSettings,
    member: Member,
    settler: Arc<Settler>,
    counts: Arc<SettlementCounts>,
    /// Number of partitions of the log at the last heartbeat.
    partitions: i32,
    readers: BTreeMap<Partition, RunningReader>,
    /// Settled offsets of readers that were stopped because the leases could not be renewed. The next successful heartbeat
    /// compares them with the ledger's offsets, since the ledger may have been set back meanwhile.
    settled_by_stopped: BTreeMap<Partition, i64>,
    sale_controller: Option<Task>,
    /// Tasks that were told to stop and may not have ended yet.
    stopping: Vec<Task>,
}

/// A task that reads one partition, and the offset up to which it has settled the partition.
struct RunningReader {
    task: Task,
    settled: Arc<AtomicI64>,
}

/// A task, and the token that tells it to stop after its current step.
struct Task {
    stop: CancellationToken,
    handle: JoinHandle<()>,
}

impl Worker {
    #[must_use]
    pub fn new(engines: Ports, settings: WorkerSettings) -> Self {
        let topic = engines.log.name().to_owned();
        let member = Member {
            group: settings.group.clone(),
            topic,
            id: settings.id.clone(),
        };
        Self {
            settler: Arc::new(Settler::new(engines.ledger.clone())),
            counts: Arc::default(),
            engines,
            partitions: 0,
            settings,
            member,
            readers: BTreeMap::new(),
            settled_by_stopped: BTreeMap::new(),
            sale_controller: None,
            stopping: Vec::new(),
        }
    }

    /// The counters of what the worker settles.
    #[must_use]
    pub fn counts(&self) -> Arc<SettlementCounts> {
        Arc::clone(&self.counts)
    }

    /// Runs until `stop` is cancelled; then stops its tasks and releases its leases.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut renewed = Instant::now();
        let mut failing = false;
        loop {
            match self.heartbeat().await {
                Ok(()) => {
                    renewed = Instant::now();
                    failing = false;
                }
                Err(error) => {
                    counter!(metric::LEASE_FAILURES).increment(1);
                    if !failing {
                        tracing::warn!(%error, "leases cannot be renewed");
                    }
                    failing = true;
                    if renewed.elapsed() >= self.settings.lease {
                        // Other workers may have leased the partitions by now, and would fence out these readers.
                        self.stop_all().await;
                    }
                }
            }
            self.reap_finished().await;
            if self.wait_for_next_heartbeat(&stop).await {
                break;
            }
        }
        self.stop_all().await;
        match self.engines.ledger.leave(&self.member).await {
            Ok(()) => tracing::info!("partitions are handed back"),
            Err(error) => {
                tracing::warn!(%error, "partitions could not be handed back; their leases will run out");
            }
        }
    }

    /// Waits for a third of the lease, or until the log's number of partitions has changed. Returns true if the worker is to
    /// stop.
    async fn wait_for_next_heartbeat(&self, stop: &CancellationToken) -> bool {
        let next = Instant::now() + self.settings.lease / 3;
        while self.engines.log.partitions() == self.partitions && Instant::now() < next {
            let check = next.min(Instant::now() + PARTITION_CHECK_INTERVAL);
            if tokio::time::timeout_at(check, stop.cancelled())
                .await
                .is_ok()
            {
                return true;
            }
        }
        stop.is_cancelled()
    }

    /// Renews the leases, then starts and stops readers so that each leased partition has one.
    async fn heartbeat(&mut self) -> Result<(), crate::port::LedgerError> {
        let partitions = self.engines.log.partitions();
        // Set before the call: if the ledger fails, the next heartbeat still waits for its interval.
        self.partitions = partitions;
        // These offsets are read before the ledger's offsets. So the ledger's are at least as high, unless the ledger was set
        // back.
        let settled = self.settled_offsets();
        let (mut leases, share) = self
            .engines
            .ledger
            .heartbeat(&self.member, partitions, self.settings.lease)
            .await?;
        leases.sort_by_key(|lease| lease.partition);
        let mut set_back = Vec::new();
        for lease in &leases {
            if settled
                .get(&lease.partition)
                .is_some_and(|settled| lease.next.0 < *settled)
            {
                // The records are still in the log, but a reader notices the difference only when further records arrive.
                tracing::error!(partition = %lease.partition, offset = %lease.next, "the ledger was set back: its records are read again");
                set_back.push(lease.partition);
            }
        }
        if !set_back.is_empty() {
            // Before a partition is read again: settling would reject records of a sale whose extension the ledger has lost. If
            // this call fails, the next heartbeat finds the same partitions and repeats it.
            self.engines.ledger.forget_admission_windows().await?;
            counter!(metric::LEDGER_SET_BACK).increment(set_back.len() as u64);
        }
        for partition in set_back {
            let reader = self.readers.remove(&partition);
            self.stop_later(reader.map(|reader| reader.task));
        }
        self.settled_by_stopped.clear();
        let surplus: Vec<_> = leases
            .split_off(share.min(leases.len()))
            .iter()
            .map(|lease| lease.partition)
            .collect();

        let lost: Vec<_> = self
            .readers
            .keys()
            .filter(|p| !leases.iter().any(|l| l.partition == **p))
            .copied()
            .collect();
        for partition in lost {
            tracing::info!(%partition, "partition is given up");
            let reader = self.readers.remove(&partition);
            self.stop_later(reader.map(|reader| reader.task));
        }
        if !surplus.is_empty() {
            self.engines.ledger.release(&self.member, &surplus).await?;
        }
        self.counts
            .set_partitions(leases.iter().map(|lease| lease.partition));
        for lease in &leases {
            self.ensure_reader(lease);
        }
        self.run_sale_controller_if(
            leases
                .first()
                .is_some_and(|lease| lease.partition == Partition(0)),
        );
        #[allow(clippy::cast_precision_loss)] // partitions
        gauge!(metric::PARTITIONS_OWNED).set(leases.len() as f64);
        Ok(())
    }

    /// The settled offset of each partition that has a reader, or had one when the leases could not be renewed.
    fn settled_offsets(&self) -> BTreeMap<Partition, i64> {
        let readers = self.readers.iter();
        let by_readers =
            readers.map(|(partition, reader)| (*partition, reader.settled.load(Ordering::Acquire)));
        let mut settled = self.settled_by_stopped.clone();
        settled.extend(by_readers);
        settled
    }

    /// Starts a reader for a leased partition that has none.
    fn ensure_reader(&mut self, lease: &Lease) {
        // A reader ends by itself only when another worker fences it out. The lease shows that the partition is ours again.
        if self
            .readers
            .get(&lease.partition)
            .is_some_and(|reader| !reader.task.handle.is_finished())
        {
            return;
        }
        tracing::info!(partition = %lease.partition, offset = %lease.next, "partition is taken");
        let position = Position {
            group: self.settings.group.clone(),
            topic: self.member.topic.clone(),
            partition: lease.partition,
        };
        let reader = PartitionReader::new(
            self.engines.clone(),
            Arc::clone(&self.settler),
            Arc::clone(&self.counts),
            position,
            *lease,
        );
        let settled = reader.settled();
        let task = spawn(|stop| reader.run(stop));
        let before = self
            .readers
            .insert(lease.partition, RunningReader { task, settled });
        self.stop_later(before.map(|reader| reader.task));
    }

    /// Starts or stops the sale controller, which the worker that leases partition 0 runs. Two controllers at once, while the
    /// lease changes hands, do no harm.
    fn run_sale_controller_if(&mut self, has_first_partition: bool) {
        let running = self
            .sale_controller
            .as_ref()
            .is_some_and(|task| !task.handle.is_finished());
        if has_first_partition && !running {
            let controller = SaleController::new(self.engines.clone(), self.settings.clone());
            let before = self
                .sale_controller
                .replace(spawn(|stop| controller.run(stop)));
            self.stop_later(before);
        } else if !has_first_partition {
            let running = self.sale_controller.take();
            self.stop_later(running);
        }
    }

    /// Tells a task to stop without waiting for its end, so that a slow server does not delay the heartbeats. Another worker may
    /// read the partition meanwhile: only one of the two readers can move its offset.
    fn stop_later(&mut self, task: Option<Task>) {
        if let Some(task) = task {
            task.stop.cancel();
            self.stopping.push(task);
        }
    }

    /// Removes the stopping tasks that have ended. A panic in a task is resumed in the worker, which ends the process.
    async fn reap_finished(&mut self) {
        let (ended, stopping) = std::mem::take(&mut self.stopping)
            .into_iter()
            .partition(|task: &Task| task.handle.is_finished());
        self.stopping = stopping;
        for task in ended {
            task.end().await;
        }
    }

    /// Stops all tasks and waits for their end.
    async fn stop_all(&mut self) {
        self.settled_by_stopped = self.settled_offsets();
        self.counts.set_partitions(std::iter::empty());
        let tasks: Vec<_> = std::mem::take(&mut self.readers)
            .into_values()
            .map(|reader| reader.task)
            .chain(self.sale_controller.take())
            .chain(std::mem::take(&mut self.stopping))
            .collect();
        for task in &tasks {
            task.stop.cancel();
        }
        for task in tasks {
            task.end().await;
        }
    }
}

impl Task {
    /// Waits for the end of the task, and resumes its panic.
    async fn end(self) {
        if let Err(error) = self.handle.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

fn spawn<F: Future<Output = ()> + Send + 'static>(
    run: impl FnOnce(CancellationToken) -> F,
) -> Task {
    let stop = CancellationToken::new();
    // The worker owns its tasks: it stops and awaits them itself, and resumes their panics.
    #[allow(clippy::disallowed_methods)]
    let handle = tokio::spawn(run(stop.clone()));
    Task { stop, handle }
}
