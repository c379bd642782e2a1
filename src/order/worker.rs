//! The consumer: leases partitions of the log, settles their records, and heals what others left undone.
//!
//! Any number of workers share the partitions fairly. A lease is for efficiency only: what makes settling exact is the
//! compare-and-set of the partition's offset inside the ledger's transaction.

mod closing;
mod partition;
mod rebuild;
mod reconcile;
mod relay;
mod sale_controller;
mod settler;
mod terms;
mod withdrawals;

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

use self::{partition::PartitionReader, sale_controller::SaleController, settler::Settler};
use crate::port::{Lease, Member, Partition, Ports, Position};

/// How often a worker looks whether the log has more or fewer partitions. The log remembers it, so that it costs nothing.
const LOOK_AT_PARTITIONS: Duration = Duration::from_secs(1);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Workers of one group share the partitions.
    pub group: String,
    /// Unique to the process.
    pub id: String,
    /// A silent worker's partitions are taken over after so long.
    pub lease: Duration,
    /// An attempt that is pending for so long is looked into.
    pub pending_age: Duration,
    /// How long a sale's keys stay in the gate after its end.
    pub keep: Duration,
}

/// A consumer process.
pub struct Worker {
    engines: Ports,
    settings: WorkerSettings,
    member: Member,
    settler: Arc<Settler>,
    /// How many the log had at the last heartbeat.
    partitions: i32,
    readers: BTreeMap<Partition, RunningReader>,
    /// How far partitions were settled whose readers were dropped because the ledger did not answer: it may be set back
    /// meanwhile.
    dropped: BTreeMap<Partition, i64>,
    sale_controller: Option<Task>,
    /// Told to stop, and not through with what they were doing.
    stopping: Vec<Task>,
}

/// A task that reads a partition, and how far it has settled it.
struct RunningReader {
    task: Task,
    settled: Arc<AtomicI64>,
}

/// A task that can be told to stop after what it is doing.
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
            settler: Arc::new(Settler::new(Arc::clone(&engines.ledger))),
            engines,
            partitions: 0,
            settings,
            member,
            readers: BTreeMap::new(),
            dropped: BTreeMap::new(),
            sale_controller: None,
            stopping: Vec::new(),
        }
    }

    /// Works until told to stop; then ends what runs and hands everything back.
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
                    if !failing {
                        tracing::warn!(%error, "leases cannot be renewed");
                    }
                    failing = true;
                    if renewed.elapsed() >= self.settings.lease {
                        // Others may have the partitions by now; reading on would only be fenced out.
                        self.stop_all().await;
                    }
                }
            }
            self.reap_finished().await;
            if self.rest(&stop).await {
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

    /// Waits until the leases are to be renewed, or the log has more or fewer partitions than before. True when told to stop.
    async fn rest(&self, stop: &CancellationToken) -> bool {
        let next = Instant::now() + self.settings.lease / 3;
        while self.engines.log.partitions() == self.partitions && Instant::now() < next {
            let look = next.min(Instant::now() + LOOK_AT_PARTITIONS);
            if tokio::time::timeout_at(look, stop.cancelled())
                .await
                .is_ok()
            {
                return true;
            }
        }
        stop.is_cancelled()
    }

    /// Renews the leases and brings the running readers in line with them.
    async fn heartbeat(&mut self) -> Result<(), crate::port::LedgerError> {
        let partitions = self.engines.log.partitions();
        // Before the ledger answers: one that does not must not be asked all the time.
        self.partitions = partitions;
        // Before the leases are read: the ledger is never behind this, unless it was set back.
        let settled = self.settled();
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
                // Its records are in the log, and a reader without new ones would never find out.
                tracing::error!(partition = %lease.partition, offset = %lease.next, "the ledger was set back: its records are read again");
                set_back.push(lease.partition);
            }
        }
        if !set_back.is_empty() {
            // Before any partition is read again, and again until it is done: records of a sale that was made longer since
            // would be rejected.
            self.engines.ledger.forget_admission_windows().await?;
            counter!("flashsale_ledger_set_back_total").increment(set_back.len() as u64);
        }
        for partition in set_back {
            let reader = self.readers.remove(&partition);
            self.stop_later(reader.map(|reader| reader.task));
        }
        self.dropped.clear();
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
        for lease in &leases {
            self.read(lease);
        }
        self.keep_sale_controller(
            leases
                .first()
                .is_some_and(|lease| lease.partition == Partition(0)),
        );
        #[allow(clippy::cast_precision_loss)] // partitions
        gauge!("flashsale_partitions_owned").set(leases.len() as f64);
        Ok(())
    }

    /// How far each partition was settled that is read, or was read when the ledger stopped to answer.
    fn settled(&self) -> BTreeMap<Partition, i64> {
        let readers = self.readers.iter();
        let read =
            readers.map(|(partition, reader)| (*partition, reader.settled.load(Ordering::Acquire)));
        let mut settled = self.dropped.clone();
        settled.extend(read);
        settled
    }

    /// Reads a leased partition, if it is not being read.
    fn read(&mut self, lease: &Lease) {
        // A reader ends by itself only when another worker took the partition; the lease says it is ours again.
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

    /// The owner of partition 0 runs the sale controller. One at a time is enough; two at once do no harm.
    fn keep_sale_controller(&mut self, mine: bool) {
        let running = self
            .sale_controller
            .as_ref()
            .is_some_and(|task| !task.handle.is_finished());
        if mine && !running {
            let controller = SaleController::new(self.engines.clone(), self.settings.clone());
            let before = self
                .sale_controller
                .replace(spawn(|stop| controller.run(stop)));
            self.stop_later(before);
        } else if !mine {
            let running = self.sale_controller.take();
            self.stop_later(running);
        }
    }

    /// Tells a task to stop, and does not wait for it: a heartbeat must not be late because a server is slow. Whoever
    /// takes the partition meanwhile is safe, since only one of the two can move its offset.
    fn stop_later(&mut self, task: Option<Task>) {
        if let Some(task) = task {
            task.stop.cancel();
            self.stopping.push(task);
        }
    }

    /// Removes the tasks that have ended. A panic in one is a panic of the worker, which takes the process down.
    async fn reap_finished(&mut self) {
        let (ended, stopping) = std::mem::take(&mut self.stopping)
            .into_iter()
            .partition(|task: &Task| task.handle.is_finished());
        self.stopping = stopping;
        for task in ended {
            task.end().await;
        }
    }

    async fn stop_all(&mut self) {
        self.dropped = self.settled();
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
    /// Waits for the end, and passes a panic on.
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
    // The worker owns its readers: it stops and awaits them itself, and sees their panics.
    #[allow(clippy::disallowed_methods)]
    let handle = tokio::spawn(run(stop.clone()));
    Task { stop, handle }
}
