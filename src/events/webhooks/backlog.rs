//! When the events that each endpoint has not got are counted: a metric for each endpoint to which this worker sends.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    port::WebhookId,
    telemetry::{self, metric},
};

/// Interval between two counts for an endpoint to which nothing is sent at the moment, because its last request failed.
const INTERVAL: Duration = Duration::from_secs(5);

/// The endpoints that are shown.
#[derive(Default)]
pub(super) struct Backlog {
    counted: BTreeMap<WebhookId, Instant>,
}

impl Backlog {
    /// Whether the events of this endpoint are to be counted again.
    pub(super) fn is_due(&self, id: WebhookId) -> bool {
        self.counted
            .get(&id)
            .is_none_or(|at| at.elapsed() >= INTERVAL)
    }

    /// The events of this endpoint are counted now.
    pub(super) fn note(&mut self, id: WebhookId) {
        self.counted.insert(id, Instant::now());
    }

    /// Takes the metric of all other endpoints away: they are gone or disabled, or another worker sends to them.
    pub(super) fn keep(&mut self, shown: &BTreeSet<WebhookId>) {
        self.counted.retain(|id, _| {
            let is_shown = shown.contains(id);
            if !is_shown {
                telemetry::forget(metric::EVENTS_UNPUBLISHED, &[("consumer", id.consumer())]);
            }
            is_shown
        });
    }
}
