//! The log over a connection.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use flashsale::port::{
    AppendError, Attempt, AttemptLog, DeadLetter, DeadLetterPage, LogBatch, LogEnds, LogError,
    Offset, Partition,
};

use super::{
    super::{
        connection::{Connection, Failure},
        lock::lock,
    },
    RemoteLog, attempts, describe, of_log,
};
use crate::model::ModelLog;

/// Milliseconds between two looks at how many partitions there are.
const LOOK_MS: u64 = 300;

impl RemoteLog {
    pub(in super::super) fn new(connection: Connection, log: Arc<ModelLog>) -> Self {
        let looked = (log.partitions(), connection.world.now());
        Self {
            connection,
            log,
            looked: Mutex::new(looked),
        }
    }
}

#[async_trait]
impl LogEnds for RemoteLog {
    fn name(&self) -> &str {
        self.log.name()
    }

    async fn ends(&self) -> Result<BTreeMap<Partition, Offset>, LogError> {
        of_log(call!(self.log.ends(), || "log.ends".to_owned()))
    }
}

#[async_trait]
impl AttemptLog for RemoteLog {
    /// As of the last look: the one that is due is on its way.
    fn partitions(&self) -> i32 {
        let now = self.connection.world.now();
        let mut looked = lock(&self.looked);
        let (known, at) = *looked;
        if now >= at + LOOK_MS {
            *looked = (self.log.partitions(), now);
        }
        known
    }

    /// Partition by partition, each with a fate of its own, as a produce request is.
    async fn append(&self, appended: &[Attempt]) -> Vec<Result<(), AppendError>> {
        let mut by_partition: BTreeMap<Partition, Vec<Attempt>> = BTreeMap::new();
        for attempt in appended {
            let partition = self.log.partition_of(attempt.user);
            by_partition.entry(partition).or_default().push(*attempt);
        }
        let parts = by_partition
            .into_iter()
            .map(|(partition, part)| async move {
                let (log, taken) = (Arc::clone(&self.log), part.clone());
                let what = || format!("log.append({})", attempts(&part));
                let effect = move || {
                    let (log, part) = (Arc::clone(&log), taken.clone());
                    async move { log.append(&part).await }
                };
                let done = |_: &Vec<_>| "Written".to_owned();
                let answer = match self.connection.call(what, done, effect).await {
                    Ok(_) => Ok(()),
                    Err(Failure::Refused(cause)) => Err(AppendError::NotWritten(cause)),
                    Err(Failure::Unknown(cause)) => Err(AppendError::Unknown(cause)),
                };
                (partition, answer)
            });
        let answers: BTreeMap<_, _> = futures::future::join_all(parts).await.into_iter().collect();
        appended
            .iter()
            .map(|attempt| {
                let answer = answers.get(&self.log.partition_of(attempt.user));
                answer.cloned().unwrap_or(Ok(()))
            })
            .collect()
    }

    async fn read(&self, partition: Partition, from: Offset) -> Result<LogBatch, LogError> {
        let log = Arc::clone(&self.log);
        let what = || format!("log.read({partition} from {from})");
        let done = |answer: &Result<LogBatch, LogError>| match answer {
            Ok(batch) => format!("{} records", batch.records.len()),
            Err(error) => error.to_string(),
        };
        let effect = move || {
            let log = Arc::clone(&log);
            async move { log.read(partition, from).await }
        };
        of_log(self.connection.call(what, done, effect).await)
    }

    async fn earliest(&self, partition: Partition) -> Result<Offset, LogError> {
        of_log(call!(self.log.earliest(partition), || {
            format!("log.earliest({partition})")
        }))
    }

    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), LogError> {
        let (log, taken) = (Arc::clone(&self.log), letters.to_vec());
        let what = || format!("log.dead_letter({} letters)", letters.len());
        let effect = move || {
            let (log, letters) = (Arc::clone(&log), taken.clone());
            async move { log.dead_letter(&letters).await }
        };
        of_log(self.connection.call(what, describe, effect).await)
    }

    fn dead_letter_partitions(&self) -> i32 {
        self.log.dead_letter_partitions()
    }

    async fn read_dead_letters(
        &self,
        partition: Partition,
        from: Offset,
    ) -> Result<DeadLetterPage, LogError> {
        self.log.read_dead_letters(partition, from).await
    }

    async fn ping(&self) -> Result<(), LogError> {
        of_log(call!(self.log.ping(), || "log.ping".to_owned()))
    }
}
