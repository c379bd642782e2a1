//! Loading a sale from the ledger, and what may come before: closing it, listing its pending attempts again, unloading it.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::time::Duration;
use uuid::Uuid;

use crate::{
    ids::SaleId,
    port::{GateError, Holder, Movement, SaleTerms},
};

/// Names one loading of a sale, so that two loaders cannot mix theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadToken(pub Uuid);

/// The answer to starting to load a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadStart {
    /// This loading may go on.
    Begun,
    /// The sale is open, or another loading of it started less than its lease ago.
    OpenOrLoading,
}

/// The answer to a further step of a loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadStep {
    Applied,
    /// Another loading took its place, or the gate was emptied. Nothing was changed.
    Superseded,
}

/// When the gate is to close a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseRequest {
    /// Only if what it keeps of the sale is inconsistent.
    IfInconsistent,
    /// Close the sale in every state.
    Unconditional,
}

/// Why a sale was closed until it is loaded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The server behind the gate was restarted since the sale was loaded, and may have lost writes.
    Restarted,
    /// What says how many units are available was lost.
    StockLost,
    /// What says which attempts are pending was lost.
    PendingLost,
    /// What says how the sale stands was lost.
    MetaLost,
    /// `available + holders + withdrawn` is not the total: the holders were lost, or somebody wrote into the gate.
    OffBalance,
    /// The caller asked for it ([`CloseRequest::Unconditional`]).
    Requested,
}

/// The answer to unloading a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnloadOutcome {
    /// The gate does not know the sale any more.
    Unloaded,
    /// An attempt is pending. Nothing was forgotten.
    AttemptsPending,
}

/// Loads sales into the gate, and closes and unloads them.
#[async_trait]
pub trait SaleLoading: Send + Sync {
    /// Closes a sale until it is loaded anew. From a restart of the server on, a sale answers as a closed one even before this.
    /// The reason, if it closed the sale now.
    async fn close(
        &self,
        sale: SaleId,
        request: CloseRequest,
    ) -> Result<Option<CloseReason>, GateError>;

    /// Of a closed sale: lists those as pending again who hold a pending attempt and are not listed. How many. A sale that
    /// lost its list must not be loaded anew before: an attempt may be known here and nowhere else.
    async fn relist(&self, sale: SaleId) -> Result<u64, GateError>;

    /// Starts loading a sale that is unknown or closed, dropping what was held of it.
    async fn begin_load(
        &self,
        sale: SaleId,
        token: LoadToken,
        lease: Duration,
    ) -> Result<LoadStart, GateError>;

    /// Adds holders who have an order, from the same snapshot as the units of [`open`](Self::open).
    async fn load_holders(
        &self,
        sale: SaleId,
        token: LoadToken,
        holders: &[Holder],
    ) -> Result<LoadStep, GateError>;

    /// Opens a loaded sale with the terms, and the units left, of the ledger's snapshot that the holders came from. It must
    /// have been taken after [`begin_load`](Self::begin_load). `movements` are the PENDING ones of the same snapshot: for each, in
    /// order, as many units are set aside as are available, so that a gate that was lost in the middle of a withdrawal does not
    /// sell what the ledger may be about to remove. Also for `Exact`: a process that withdrew its units before may still close it.
    /// What is kept of the sale expires at `expires`.
    async fn open(
        &self,
        sale: SaleId,
        token: LoadToken,
        terms: SaleTerms,
        remaining: u64,
        movements: &[Movement],
        expires: DateTime<Utc>,
    ) -> Result<LoadStep, GateError>;

    /// Forgets a sale, as if the gate had been emptied of it: a worker loads it anew from the ledger.
    async fn unload(&self, sale: SaleId) -> Result<UnloadOutcome, GateError>;
}
