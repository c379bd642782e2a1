//! Gives back units that shoppers were not told of, as soon as the gate answers again.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    ids::SaleId,
    lifecycle::Lifecycle,
    order::batcher::{Batcher, Limits},
    port::{Holder, Reservations},
};

const UNDO: Limits = Limits {
    waiting: 16_384,
    batch: 256,
};
/// Longest time for which a batch is tried. The relay later finds the attempts that still hold a unit, and appends them. Their
/// shoppers were told that the outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);

/// A reservation that may exist. Its shopper was told that the outcome is unknown.
pub(super) struct Undo {
    pub(super) sale: SaleId,
    pub(super) holder: Holder,
}

pub(super) fn spawn(lifecycle: &Lifecycle, gate: Arc<dyn Reservations>) -> Batcher<Undo> {
    let stop = lifecycle.stop().clone();
    Batcher::spawn(lifecycle, "undo", UNDO, move |batch: Vec<Undo>| {
        let (gate, stop) = (Arc::clone(&gate), stop.clone());
        async move {
            let deadline = Instant::now() + PATIENCE;
            for undo in batch {
                while gate.release(undo.sale, undo.holder).await.is_err() {
                    if Instant::now() >= deadline || stop.is_cancelled() {
                        return;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}
