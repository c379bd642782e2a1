//! How far a group of workers has settled a log.

use async_trait::async_trait;
use std::collections::BTreeMap;

use crate::port::{LedgerError, Offset, Partition};

/// Reads of committed offsets.
#[async_trait]
pub trait CommittedOffsets: Send + Sync {
    /// The committed offset of every partition that was ever leased: the first record that is not settled.
    async fn committed_offsets(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Offset>, LedgerError>;
}
