//! The work of a worker on events: it has the ledger record them, publishes them to the topic, sends webhooks and removes old
//! events.

use std::{sync::Arc, time::Duration};

use metrics::counter;
use tokio_util::sync::CancellationToken;

use super::{
    Event,
    envelope::DATA_TYPE,
    leases::Leases,
    unread::{self, next_events},
    webhooks::{Rate, Sender},
};
use crate::{
    clock::Clock,
    outgoing::Post,
    port::{
        EventRecord, EventRecording, EventTopic, Ledger, LedgerError, LogError, PendingEvents,
        SeekOutcome, Webhooks,
    },
    telemetry::{self, LogThrottle, metric},
};

/// Interval between two looks for events that are not published.
const POLL: Duration = Duration::from_millis(100);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Events that are read and published at a time.
const PAGE: u32 = 1_000;
/// Pages of one sale before it is the next sale's turn.
const PAGES: u32 = 10;
/// Interval between two removals of old events.
const PRUNE_INTERVAL: Duration = Duration::from_mins(1);
/// Batches of a sale that one removal takes at most. More follow at once.
const PRUNE_BATCHES: u32 = 1_000;
/// The slot of the topic, and of removing old events.
const SLOT: i32 = 0;

static LOG_THROTTLE: LogThrottle = LogThrottle::new();

/// Settings of a publisher.
#[derive(Debug, Clone)]
pub struct PublisherSettings {
    /// Workers of one group share the work.
    pub group: String,
    /// Unique to the process.
    pub id: String,
    /// How long a lease is valid without a heartbeat.
    pub lease: Duration,
    /// How long events are kept.
    pub retention: Duration,
}

/// The publisher of one worker.
pub struct Publisher {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    topic: Option<Arc<dyn EventTopic>>,
    sender: Sender,
    leases: Leases,
    retention: Duration,
}

/// Where events are delivered.
pub struct Receivers {
    pub topic: Option<Arc<dyn EventTopic>>,
    pub webhooks: Arc<dyn Webhooks>,
    /// Sends the requests of webhooks.
    pub client: Arc<dyn Post>,
}

/// Why events were not published.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Topic(#[from] LogError),
    /// Another worker has moved the position.
    #[error("another worker publishes these events")]
    Fenced,
}

impl Publisher {
    #[must_use]
    pub fn new(
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        receivers: Receivers,
        settings: &PublisherSettings,
    ) -> Self {
        Self {
            sender: Sender {
                ledger: Arc::clone(&ledger),
                webhooks: receivers.webhooks,
                clock: Arc::clone(&clock),
                client: receivers.client,
                rate: Rate::default(),
            },
            topic: receivers.topic,
            ledger,
            clock,
            leases: Leases::new(&settings.group, &settings.id, settings.lease),
            retention: settings.retention,
        }
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        while let Err(error) = self.ledger.record_events(EventRecording::On).await {
            tracing::warn!(%error, "events are not recorded yet");
            if tokio::time::timeout(PAUSE, stop.cancelled()).await.is_ok() {
                return;
            }
        }
        tokio::join!(
            self.leases.keep(self.ledger.as_ref(), &stop),
            self.publish(&stop),
            self.sender.run(&self.leases, &stop),
            self.prune(&stop),
        );
    }

    async fn publish(&self, stop: &CancellationToken) {
        let Some(topic) = &self.topic else {
            return;
        };
        let consumer = consumer_of(topic.as_ref());
        loop {
            let mut pause = POLL;
            if !self.leases.has(SLOT) {
                // Another worker publishes, and shows the number of unpublished events.
                let topic = [("consumer", "topic".to_owned())];
                telemetry::forget(metric::EVENTS_UNPUBLISHED, &topic);
            } else if let Err(error) = self.publish_all(topic.as_ref(), &consumer, stop).await {
                pause = PAUSE;
                counter!(metric::EVENT_FAILURES, "consumer" => "topic").increment(1);
                if LOG_THROTTLE.allow() {
                    tracing::warn!(%error, "events could not be published; they will be");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Publishes the pending events of all sales, at most [`PAGES`] pages of each sale.
    async fn publish_all(
        &self,
        topic: &dyn EventTopic,
        consumer: &str,
        stop: &CancellationToken,
    ) -> Result<(), PublishError> {
        let pending = self.ledger.pending_events(consumer).await?;
        unread::show("topic", &pending);
        for mut sale in pending {
            for _ in 0..PAGES {
                if stop.is_cancelled() || !self.leases.has(SLOT) {
                    return Ok(());
                }
                if !publish_page(&*self.ledger, topic, consumer, &mut sale).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn prune(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(PRUNE_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            if !self.leases.has(SLOT) {
                continue;
            }
            let retention = chrono::TimeDelta::from_std(self.retention).unwrap_or_default();
            let before = self.clock.now() - retention;
            loop {
                match self.ledger.prune_events(before, PRUNE_BATCHES).await {
                    Ok(0) => break,
                    Ok(_) if stop.is_cancelled() => return,
                    Ok(removed) => tracing::debug!(removed, "old events are removed"),
                    Err(error) => {
                        tracing::warn!(%error, "old events could not be removed");
                        break;
                    }
                }
            }
        }
    }
}

/// The name under which the position in a topic is stored.
fn consumer_of(topic: &dyn EventTopic) -> String {
    format!("topic:{}", topic.name())
}

/// Publishes the next events of a sale, then moves the position behind them. False if there are none.
async fn publish_page(
    ledger: &dyn Ledger,
    topic: &dyn EventTopic,
    consumer: &str,
    sale: &mut PendingEvents,
) -> Result<bool, PublishError> {
    let events = next_events(ledger, consumer, sale, PAGE).await?;
    let Some(last) = events.last().map(|event| event.sequence) else {
        return Ok(false);
    };
    let count = events.len() as u64;
    topic.publish(events.iter().map(record).collect()).await?;
    match ledger
        .advance_events(consumer, sale.sale, sale.position, last)
        .await?
    {
        SeekOutcome::Moved => {}
        SeekOutcome::Fenced => return Err(PublishError::Fenced),
    }
    counter!(metric::EVENTS_PUBLISHED, "consumer" => "topic").increment(count);
    sale.position = Some(last);
    Ok(last < sale.last)
}

/// An event as a record, in the binary form of the CloudEvents binding for Kafka: attributes are headers, and the value is `data`.
fn record(event: &Event) -> EventRecord {
    EventRecord {
        key: event.key(),
        value: event.data(),
        headers: vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", event.id.to_string()),
            ("ce_source", event.source()),
            ("ce_type", event.event_type.name().to_owned()),
            ("ce_subject", event.subject()),
            ("ce_time", event.time()),
            ("ce_dataschema", event.schema()),
            ("ce_sequence", event.sequence_text()),
            ("ce_partitionkey", event.key()),
            ("content-type", DATA_TYPE.to_owned()),
        ],
        at: event.at,
    }
}
