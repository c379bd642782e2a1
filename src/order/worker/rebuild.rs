//! Loads a sale into the gate: a new sale, or one that the gate has lost. The sale stays closed until every attempt that is in
//! the log now is settled: only then is the ledger's number of remaining units right.

use metrics::{counter, histogram};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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
    waiting: Option<Waiting>,
}

/// A sale that is loaded once the log is settled up to a barrier.
struct Waiting {
    barrier: Barrier,
    /// When it was last certain that the gate does not have the sale.
    looked: Instant,
}

impl Rebuild {
    /// Takes the next step for a sale that the gate did not have when it was asked at `looked`, unless `stop` is cancelled.
    pub(super) async fn step(
        &mut self,
        engines: &Ports,
        settings: &WorkerSettings,
        listing: &SaleListing,
        looked: Instant,
        stop: &CancellationToken,
    ) -> Result<(), PortError> {
        let before = self.waiting.take();
        let (mut barrier, since) = if let Some(Waiting { barrier, looked }) = before {
            (barrier, looked)
        } else {
            // Pending attempts that were missing from the gate's list of pending attempts are listed again: the relay has to
            // complete them before the sale is loaded.
            if engines.gate.relist(listing.id).await? > 0 {
                return Ok(());
            }
            let barrier = Barrier::now(engines).await?;
            tracing::info!(sale = %listing.id, "the gate does not have the sale: loading it once the log is settled");
            (barrier, looked)
        };
        let is_passed = barrier.is_passed(engines, &settings.group).await?;
        // Another worker may have taken over, and the gate may have had the sale and lost it again: attempts of then are behind
        // the barrier.
        if stop.is_cancelled() || since.elapsed() > settings.lease {
            return Ok(());
        }
        if is_passed {
            load(engines, settings, listing).await
        } else {
            self.waiting = Some(Waiting { barrier, looked });
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
