//! Who owns which partition, for operators.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{SqliteLedger, leases, values::millis};
use crate::port::{LedgerError, Partition, PartitionOwners};

#[async_trait]
impl PartitionOwners for SqliteLedger {
    async fn partition_owners(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<Partition, Option<String>>, LedgerError> {
        let (group, topic, now) = (group.to_owned(), topic.to_owned(), millis(self.clock.now()));
        Ok(self
            .store
            .read(move |conn| leases::owners(conn, &group, &topic, now))
            .await?)
    }
}
