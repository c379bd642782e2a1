//! How many partitions the topics have, at this moment: partitions may be added while the system runs, and a topic that is
//! made anew may have fewer.
//!
//! Readers, and those who wait until the log is settled, go by the newest count. Producers use new partitions only
//! `GROWN_FOR` after they were first seen: by then every broker that is asked knows of them, also one whose metadata lags
//! behind. So a rebuild that asks for the ends of the log cannot miss a partition that has records.

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
use crate::{config::KafkaConfig, telemetry::LogThrottle};

/// How often the brokers are asked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often at most, when a partition turned out to be unknown.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long new partitions are known before producers use them.
const GROWN_FOR: Duration = Duration::from_secs(5);
/// Looks in a row that must see fewer partitions: a broker whose metadata lags behind does so for a moment.
const FEWER_LOOKS: u32 = 3;

static LOG_THROTTLE: LogThrottle = LogThrottle::new();

/// The counts of both topics, and the connection that they are asked on.
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

/// Asks again and again; ends with its owner.
pub(super) struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The partitions of both topics.
struct PartitionCounts {
    attempts: Count,
    letters: Count,
}

/// The partitions of one topic.
#[derive(Debug, Clone, Copy)]
struct Count {
    /// As last seen.
    now: i32,
    /// That producers use.
    used: i32,
    /// When the newest ones were first seen.
    grown: Instant,
    /// Looks in a row that saw fewer.
    fewer: u32,
}

impl Count {
    fn new(partitions: i32, at: Instant) -> Self {
        Self {
            now: partitions,
            used: partitions,
            grown: at,
            fewer: 0,
        }
    }

    /// Takes note of what a broker says.
    fn saw(&mut self, partitions: i32, at: Instant) {
        if partitions < self.now {
            self.fewer += 1;
            if self.fewer >= FEWER_LOOKS {
                *self = Self::new(partitions, at);
            }
            return;
        }
        self.fewer = 0;
        if partitions > self.now {
            self.now = partitions;
            self.grown = at;
        }
    }

    /// How many producers use.
    fn used(&mut self, at: Instant) -> i32 {
        if self.used != self.now && at.duration_since(self.grown) >= GROWN_FOR {
            self.used = self.now;
        }
        self.used
    }
}

impl Partitions {
    /// Connects, within the append timeout, and looks the topics up.
    pub(super) async fn look_up(
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

    /// Of the attempts' topic, as last seen.
    pub(super) fn attempts(&self) -> i32 {
        self.counts().attempts.now
    }

    /// Of the attempts' topic, for producers.
    pub(super) fn for_appends(&self) -> i32 {
        self.counts().attempts.used(Instant::now())
    }

    /// Of the dead letters' topic, for readers.
    pub(super) fn dead_letters(&self) -> i32 {
        self.counts().letters.now
    }

    /// Asks a broker now.
    pub(super) async fn look(&self) -> Result<(), ConnectError> {
        let [attempts, letters] = self.ask().await?;
        let now = Instant::now();
        let mut counts = self.counts();
        let before = counts.attempts.now;
        counts.attempts.saw(attempts, now);
        counts.letters.saw(letters, now);
        if counts.attempts.now != before {
            let (topic, now) = (&self.attempts, counts.attempts.now);
            tracing::warn!(topic, before, now, "the number of partitions changed");
        }
        gauge!("flashsale_log_partitions").set(f64::from(counts.attempts.now));
        Ok(())
    }

    /// Has the watch ask soon: a partition was unknown to its broker.
    pub(super) fn look_soon(&self) {
        self.wake.notify_one();
    }

    /// Keeps asking until the owner is dropped.
    pub(super) fn watch(self: &Arc<Self>) -> Watch {
        let partitions = Arc::clone(self);
        // It belongs to the log, whoever uses it, and ends with it.
        #[allow(clippy::disallowed_methods)]
        Watch(tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_AGAIN).await;
                let rest = LOOK_EVERY.saturating_sub(LOOK_AGAIN);
                let _ = tokio::time::timeout(rest, partitions.wake.notified()).await;
                if let Err(error) = partitions.look().await
                    && LOG_THROTTLE.allow()
                {
                    tracing::warn!(%error, "the number of partitions cannot be looked up");
                }
            }
        }))
    }

    async fn ask(&self) -> Result<[i32; 2], ConnectError> {
        let ask = async {
            let mut kept = self.connection.lock().await;
            // A kept connection may have been closed for being idle, or its broker stopped: then a new one tells.
            if let Some(mut connection) = kept.take()
                && let Ok(seen) = self.ask_on(&mut connection).await
            {
                *kept = Some(connection);
                return Ok(seen);
            }
            let mut connection =
                Connection::to_any(&self.brokers, &self.client_id, &self.security).await?;
            let seen = self.ask_on(&mut connection).await?;
            *kept = Some(connection);
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
        count.saw(6, start + Duration::from_secs(10));
        assert_eq!(count.now, 6);
        assert_eq!(count.used(start + Duration::from_secs(14)), 3);
        count.saw(6, start + Duration::from_secs(14));
        assert_eq!(count.used(start + Duration::from_secs(15)), 6);
    }

    #[test]
    fn fewer_partitions_are_believed_when_they_are_seen_again_and_again() {
        let start = Instant::now();
        let mut count = Count::new(6, start);
        count.saw(3, start);
        count.saw(3, start);
        count.saw(6, start);
        count.saw(3, start);
        count.saw(3, start);
        assert_eq!((count.now, count.used(start)), (6, 6));
        count.saw(3, start);
        assert_eq!((count.now, count.used(start)), (3, 3));
    }
}
