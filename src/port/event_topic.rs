//! The topic that events are published to.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::LogError;

/// An event as a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// Records with the same key are in the same partition, in order.
    pub key: String,
    pub value: Vec<u8>,
    pub headers: Vec<(&'static str, String)>,
    pub at: DateTime<Utc>,
}

/// Publishes events. Every call answers within a bounded time.
#[async_trait]
pub trait EventTopic: Send + Sync {
    fn name(&self) -> &str;

    /// Writes records durably, in order within each partition. After an error any of them may have been written.
    async fn publish(&self, records: Vec<EventRecord>) -> Result<(), LogError>;
}
