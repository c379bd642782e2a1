//! Keeps the number of partitions of both topics up to date. Partitions may be added while the system runs, and a topic that
//! is deleted and created again may have fewer.
//!
//! Readers, and tasks that wait until the log is settled, use the latest count. Producers use new partitions only
//! `NEW_PARTITION_DELAY` after they were first seen: by then every broker knows them, even one whose metadata lags behind. So a
//! rebuild that asks for the ends of the log cannot miss a partition that has records.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use metrics::gauge;
use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    task::JoinHandle,
    time::Instant,
};

use super::{
    ConnectError,
    connection::{Connection, Security, metadata_of},
};
use crate::{
    config::KafkaConfig,
    telemetry::{LogThrottle, metric},
};

/// Interval between two requests for the counts.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);
/// Minimum interval, which applies after a request found its partition missing.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_millis(500);
/// Time from the first sight of new partitions until producers use them.
const NEW_PARTITION_DELAY: Duration = Duration::from_secs(5);
/// Number of successive answers with fewer partitions after which the lower count is accepted. A broker whose metadata lags
/// behind reports too few for a moment only.
const LOWER_ANSWERS: u32 = 3;

static LOG_THROTTLE: LogThrottle = LogThrottle::new();

/// The partition counts of both topics, and the connection on which brokers are asked for them.
pub(super) struct Partitions {
    brokers: Vec<String>,
    client_id: String,
    security: Security,
    timeout: Duration,
    attempts: String,
    letters: String,
    connection: AsyncMutex<Option<Connection>>,
    counts: Mutex<PartitionCounts>,
    wake: Notify,
}

/// The task that refreshes the counts. Dropping this value stops it.
pub(super) struct RefreshTask(JoinHandle<()>);

impl Drop for RefreshTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The partition counts of both topics.
struct PartitionCounts {
    attempts: Count,
    letters: Count,
}

/// The partition count of one topic.
#[derive(Debug, Clone, Copy)]
struct Count {
    /// The latest accepted count, which readers use.
    latest: i32,
    /// The count that producers use.
    producers: i32,
    /// When `latest` was first seen.
    grown_at: Instant,
    /// Number of successive answers below `latest`.
    lower_answers: u32,
}

impl Count {
    fn new(partitions: i32, at: Instant) -> Self {
        Self {
            latest: partitions,
            producers: partitions,
            grown_at: at,
            lower_answers: 0,
        }
    }

    /// Applies the count that a broker reported.
    fn observe(&mut self, partitions: i32, at: Instant) {
        if partitions < self.latest {
            self.lower_answers += 1;
            if self.lower_answers >= LOWER_ANSWERS {
                *self = Self::new(partitions, at);
            }
            return;
        }
        self.lower_answers = 0;
        if partitions > self.latest {
            self.latest = partitions;
            self.grown_at = at;
        }
    }

    /// The count for producers, which follows `latest` after [`NEW_PARTITION_DELAY`].
    fn for_producers(&mut self, at: Instant) -> i32 {
        if self.producers != self.latest && at.duration_since(self.grown_at) >= NEW_PARTITION_DELAY
        {
            self.producers = self.latest;
        }
        self.producers
    }
}

impl Partitions {
    /// Connects, within the append timeout, and reads the counts of both topics.
    pub(super) async fn connect(
        config: &KafkaConfig,
        security: &Security,
    ) -> Result<Self, ConnectError> {
        let now = Instant::now();
        let partitions = Self {
            brokers: config.brokers.clone(),
            client_id: config.client_id.clone(),
            security: security.clone(),
            timeout: config.append_timeout,
            attempts: config.topic.clone(),
            letters: config.dead_letter_topic.clone(),
            connection: AsyncMutex::new(None),
            counts: Mutex::new(PartitionCounts {
                attempts: Count::new(0, now),
                letters: Count::new(0, now),
            }),
            wake: Notify::new(),
        };
        let [attempts, letters] = partitions.ask().await?;
        *partitions.counts() = PartitionCounts {
            attempts: Count::new(attempts, now),
            letters: Count::new(letters, now),
        };
        Ok(partitions)
    }

    /// The latest count of the attempts' topic, for readers.
    pub(super) fn attempts(&self) -> i32 {
        self.counts().attempts.latest
    }

    /// The count of the attempts' topic for producers.
    pub(super) fn for_appends(&self) -> i32 {
        self.counts().attempts.for_producers(Instant::now())
    }

    /// The latest count of the dead letters' topic.
    pub(super) fn dead_letters(&self) -> i32 {
        self.counts().letters.latest
    }

    /// Asks a broker for the counts now.
    pub(super) async fn refresh(&self) -> Result<(), ConnectError> {
        let [attempts, letters] = self.ask().await?;
        let now = Instant::now();
        let mut counts = self.counts();
        let before = counts.attempts.latest;
        counts.attempts.observe(attempts, now);
        counts.letters.observe(letters, now);
        if counts.attempts.latest != before {
            let (topic, now) = (&self.attempts, counts.attempts.latest);
            tracing::warn!(topic, before, now, "the number of partitions changed");
        }
        gauge!(metric::LOG_PARTITIONS).set(f64::from(counts.attempts.latest));
        Ok(())
    }

    /// Makes the refresh task ask soon, after a request found its partition missing.
    pub(super) fn refresh_soon(&self) {
        self.wake.notify_one();
    }

    /// Starts the task that refreshes the counts.
    pub(super) fn start_refresh(self: &Arc<Self>) -> RefreshTask {
        let partitions = Arc::clone(self);
        // The log owns this task, not the process's task tracker: the task ends when the log is dropped.
        #[allow(clippy::disallowed_methods)]
        RefreshTask(tokio::spawn(async move {
            loop {
                tokio::time::sleep(MIN_REFRESH_INTERVAL).await;
                let rest = REFRESH_INTERVAL.saturating_sub(MIN_REFRESH_INTERVAL);
                let _ = tokio::time::timeout(rest, partitions.wake.notified()).await;
                if let Err(error) = partitions.refresh().await
                    && LOG_THROTTLE.allow()
                {
                    tracing::warn!(%error, "the number of partitions cannot be looked up");
                }
            }
        }))
    }

    async fn ask(&self) -> Result<[i32; 2], ConnectError> {
        let ask = async {
            let mut connection_slot = self.connection.lock().await;
            // The broker may have closed the kept connection for being idle, or may have stopped: then a new one is opened.
            if let Some(mut connection) = connection_slot.take()
                && let Ok(seen) = self.ask_on(&mut connection).await
            {
                *connection_slot = Some(connection);
                return Ok(seen);
            }
            let mut connection =
                Connection::to_any(&self.brokers, &self.client_id, &self.security).await?;
            let seen = self.ask_on(&mut connection).await?;
            *connection_slot = Some(connection);
            Ok(seen)
        };
        tokio::time::timeout(self.timeout, ask)
            .await
            .map_err(|_| ConnectError::Unreachable("no answer in time".to_owned()))?
    }

    async fn ask_on(&self, connection: &mut Connection) -> Result<[i32; 2], ConnectError> {
        let found = metadata_of(connection, &[&self.attempts, &self.letters]).await?;
        Ok([
            found.partitions(&self.attempts)?,
            found.partitions(&self.letters)?,
        ])
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, PartitionCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_partitions_are_read_at_once_and_used_when_every_broker_knows_them() {
        let start = Instant::now();
        let mut count = Count::new(3, start);
        count.observe(6, start + Duration::from_secs(10));
        assert_eq!(count.latest, 6);
        assert_eq!(count.for_producers(start + Duration::from_secs(14)), 3);
        count.observe(6, start + Duration::from_secs(14));
        assert_eq!(count.for_producers(start + Duration::from_secs(15)), 6);
    }

    #[test]
    fn fewer_partitions_are_accepted_after_three_successive_answers() {
        let start = Instant::now();
        let mut count = Count::new(6, start);
        count.observe(3, start);
        count.observe(3, start);
        count.observe(6, start);
        count.observe(3, start);
        count.observe(3, start);
        assert_eq!((count.latest, count.for_producers(start)), (6, 6));
        count.observe(3, start);
        assert_eq!((count.latest, count.for_producers(start)), (3, 3));
    }
}
