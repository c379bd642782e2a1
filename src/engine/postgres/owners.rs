//! Who owns which partition, for operators.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{PostgresLedger, leases};
use crate::port::{LedgerError, Partition, PartitionOwners};

#[async_trait]
impl PartitionOwners for PostgresLedger {
    async fn partition_owners(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Option<String>>, LedgerError> {
        Ok(leases::owners(&mut *self.pool.take().await?, group, topic).await?)
    }
}
