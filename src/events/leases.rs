//! Decides which worker delivers events to a consumer. Consumers are spread over slots, and workers lease slots as they lease
//! partitions, so that one worker at a time sends a consumer its events. Leases only avoid duplicates. No event is skipped without
//! them, since a worker moves a position only if no other worker has moved it.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    port::{ConsumerGroup, LedgerError, Member, Partition},
    telemetry::LogThrottle,
};

/// Number of slots, over which all consumers are spread.
pub(super) const SLOTS: i32 = 16;
/// The name under which slots are leased, in place of a topic's name. No topic of Kafka can have it.
const NAME: &str = "(events)";

static LOG_THROTTLE: LogThrottle = LogThrottle::new();

/// The slots of this worker.
pub(super) struct Leases {
    member: Member,
    ttl: Duration,
    held: Mutex<Held>,
}

/// The leased slots, and the time at which their leases end.
#[derive(Default)]
struct Held {
    slots: BTreeSet<i32>,
    until: Option<Instant>,
}

impl Leases {
    pub(super) fn new(group: &str, id: &str, ttl: Duration) -> Self {
        Self {
            member: Member {
                group: group.to_owned(),
                topic: NAME.to_owned(),
                id: id.to_owned(),
            },
            ttl,
            held: Mutex::default(),
        }
    }

    /// Whether this worker delivers to the consumers of a slot.
    pub(super) fn has(&self, slot: i32) -> bool {
        let held = self.held();
        held.until.is_some_and(|until| Instant::now() < until) && held.slots.contains(&slot)
    }

    /// Renews the leases until told to stop, then releases them.
    pub(super) async fn keep(&self, ledger: &dyn ConsumerGroup, stop: &CancellationToken) {
        loop {
            if let Err(error) = self.renew(ledger).await
                && LOG_THROTTLE.allow()
            {
                tracing::warn!(%error, "leases of events cannot be renewed");
            }
            tokio::select! {
                () = tokio::time::sleep(self.ttl / 3) => {}
                () = stop.cancelled() => break,
            }
        }
        self.held().slots.clear();
        if let Err(error) = ledger.leave(&self.member).await {
            tracing::warn!(%error, "leases of events could not be handed back; they will run out");
        }
    }

    async fn renew(&self, ledger: &dyn ConsumerGroup) -> Result<(), LedgerError> {
        // The ledger counts the time from when it gets the request, which is later. So the leases end here before they end in the
        // ledger.
        let until = Instant::now() + self.ttl;
        let (leases, share) = ledger.heartbeat(&self.member, SLOTS, self.ttl).await?;
        let mut slots: BTreeSet<i32> = leases.iter().map(|lease| lease.partition.0).collect();
        let mut surplus = Vec::new();
        while slots.len() > share {
            surplus.extend(slots.pop_last().map(Partition));
        }
        {
            let mut held = self.held();
            held.slots = slots;
            held.until = Some(until);
        }
        if !surplus.is_empty() {
            ledger.release(&self.member, &surplus).await?;
        }
        Ok(())
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
