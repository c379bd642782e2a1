//! Loads a sale into the gate: a new sale, or one that the gate has lost. The sale stays closed until every attempt that is in
//! the log now is settled: only then is the ledger's number of remaining units right.

use std::time::Instant;

use metrics::{counter, histogram};

use super::{WorkerSettings, barrier::Barrier};
use crate::{
    port::{LoadStart, LoadStep, LoadToken, PortError, Ports, SaleListing},
    telemetry::metric,
};

/// Maximum number of holders that one call loads.
const CHUNK: usize = 5_000;
/// Another worker may restart a loading that has made no progress for this long.
const LOAD_LEASE: std::time::Duration = std::time::Duration::from_secs(10);

/// The progress of loading one sale.
#[derive(Default)]
pub(super) struct Rebuild {
    barrier: Option<Barrier>,
}

impl Rebuild {
    /// Takes the next step.
    pub(super) async fn step(
        &mut self,
        engines: &Ports,
        settings: &WorkerSettings,
        listing: &SaleListing,
    ) -> Result<(), PortError> {
        let mut barrier = if let Some(barrier) = self.barrier.take() {
            barrier
        } else {
            // Pending attempts that were missing from the gate's list of pending attempts are listed again: the relay has to
            // complete them before the sale is loaded.
            if engines.gate.relist(listing.id).await? > 0 {
                return Ok(());
            }
            let barrier = Barrier::now(engines).await?;
            tracing::info!(sale = %listing.id, "the gate does not have the sale: loading it once the log is settled");
            barrier
        };
        if barrier.is_passed(engines, &settings.group).await? {
            load(engines, settings, listing).await
        } else {
            self.barrier = Some(barrier);
            Ok(())
        }
    }
}

async fn load(
    engines: &Ports,
    settings: &WorkerSettings,
    listing: &SaleListing,
) -> Result<(), PortError> {
    let (sale, gate) = (listing.id, &engines.gate);
    let (token, since) = (LoadToken(engines.clock.new_id()), Instant::now());
    if gate.begin_load(sale, token, LOAD_LEASE).await? == LoadStart::OpenOrLoading {
        return Ok(());
    }
    let Some(snapshot) = engines.ledger.snapshot(sale).await? else {
        return Ok(());
    };
    for holders in snapshot.holders.chunks(CHUNK) {
        if gate.load_holders(sale, token, holders).await? == LoadStep::Superseded {
            return Ok(());
        }
    }
    let terms = snapshot.terms();
    let expires = terms.window.end + settings.keep;
    let opened = gate
        .open(
            sale,
            token,
            terms,
            snapshot.remaining,
            &snapshot.movements,
            expires,
        )
        .await?;
    if opened == LoadStep::Applied {
        histogram!(metric::GATE_LOAD_DURATION).record(since.elapsed());
        counter!(metric::GATE_LOADS).increment(1);
        tracing::info!(%sale, units = snapshot.remaining, holders = snapshot.holders.len(), "the gate has the sale");
    }
    Ok(())
}
