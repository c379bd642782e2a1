//! The gate's note of the highest account id.

use async_trait::async_trait;

use crate::port::GateError;

/// The note of the highest account id that was handed out. It outlives a ledger that is set back.
#[async_trait]
pub trait AccountMarks: Send + Sync {
    /// The highest account id that a node of this ledger ever noted here, so that it outlives a ledger that is set back. `None`
    /// if there is no note: the gate is new to this ledger, or was emptied.
    async fn account_mark(&self) -> Result<Option<i64>, GateError>;

    /// Notes that account ids up to this one were handed out. A higher note stays.
    async fn raise_account_mark(&self, to: i64) -> Result<(), GateError>;
}
