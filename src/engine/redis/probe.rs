//! Whether the gate answers, and its clock.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{RedisGate, read};
use crate::port::{GateError, GateProbe};

#[async_trait]
impl GateProbe for RedisGate {
    async fn now(&self) -> Result<DateTime<Utc>, GateError> {
        read::now(&self.connection).await
    }

    async fn ping(&self) -> Result<(), GateError> {
        self.connection.ping().await
    }
}
