//! The ledger in the data file. Each role of the port is implemented in the module with its statements.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use diesel::{QueryResult, SqliteConnection};

use super::{
    store::{ReadError, Store},
    values::millis,
};
use crate::{
    clock::Clock,
    engine::number::to_bigint,
    ids::LedgerId,
    port::{Ledger, LedgerError, LedgerProbe},
};

/// The ledger in the data file.
pub struct SqliteLedger {
    id: LedgerId,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    /// How long a result can be read.
    pub(super) result_ttl: Duration,
}

impl SqliteLedger {
    pub(super) fn new(
        id: LedgerId,
        store: Store,
        clock: Arc<dyn Clock>,
        result_ttl: Duration,
    ) -> Self {
        Self {
            id,
            store,
            clock,
            result_ttl,
        }
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let written = self.store.write(work).await;
        written.map_err(|error| LedgerError(error.to_string()))
    }

    /// The time `duration` after now, in milliseconds since the epoch.
    pub(super) fn millis_after_now(&self, duration: Duration) -> i64 {
        millis(self.clock.now()).saturating_add(to_bigint(duration.as_millis()))
    }
}

impl From<ReadError> for LedgerError {
    fn from(error: ReadError) -> Self {
        Self(error.to_string())
    }
}

impl Ledger for SqliteLedger {
    fn id(&self) -> LedgerId {
        self.id
    }
}

#[async_trait]
impl LedgerProbe for SqliteLedger {
    async fn ping(&self) -> Result<(), LedgerError> {
        // An empty transaction: nothing is flushed, but the thread that writes must answer.
        self.write(|_| Ok(())).await
    }
}
