//! Closes a sale whose gate cannot be trusted, so that it is loaded anew. Not again and again: should the same fault be there
//! after each loading, the sale stays open for longer and longer in between. The ledger keeps the promises meanwhile.

use chrono::{DateTime, TimeDelta, Utc};
use metrics::counter;

use crate::{
    ids::SaleId,
    port::{CloseReason, CloseRequest, PortError, Ports},
    telemetry::metric,
};

/// The longest time between two closings. After a sale was open for longer, the count starts again.
const LONGEST: TimeDelta = TimeDelta::seconds(60);

/// When a sale was closed last, and how often in a row.
#[derive(Default)]
pub(super) struct Closing {
    last: Option<DateTime<Utc>>,
    in_a_row: u32,
}

impl Closing {
    /// Closes the sale if the gate finds a contradiction in what it keeps, or unconditionally; not if it was closed just now.
    /// True if it is closed now.
    pub(super) async fn close(
        &mut self,
        engines: &Ports,
        sale: SaleId,
        request: CloseRequest,
    ) -> Result<bool, PortError> {
        let now = engines.clock.now();
        if !self.is_due(now) {
            return Ok(false);
        }
        let Some(found) = engines.gate.close(sale, request).await? else {
            return Ok(false);
        };
        if found == CloseReason::Restarted {
            tracing::warn!(%sale, "the server behind the gate was restarted: closed until it is loaded anew");
        } else {
            self.note(now);
            counter!(metric::GATE_CONTRADICTIONS).increment(1);
            tracing::warn!(%sale, ?found, "what the gate keeps of the sale is wrong: closed until it is loaded anew");
        }
        Ok(true)
    }

    fn is_due(&self, now: DateTime<Utc>) -> bool {
        let Some(last) = self.last else { return true };
        let pause = TimeDelta::seconds(1_i64 << self.in_a_row.min(6)).min(LONGEST);
        // A clock that was set back says nothing.
        now < last || now - last >= pause
    }

    fn note(&mut self, now: DateTime<Utc>) {
        let quiet = self
            .last
            .is_none_or(|last| now < last || now - last > LONGEST);
        self.in_a_row = if quiet { 0 } else { self.in_a_row + 1 };
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_two_closings_grows_and_starts_again_after_a_quiet_minute() {
        let mut closing = Closing::default();
        let at = |secs| DateTime::UNIX_EPOCH + TimeDelta::seconds(secs);
        assert!(closing.is_due(at(0)));
        closing.note(at(0));
        assert!(!closing.is_due(at(0)) && closing.is_due(at(1)));
        closing.note(at(1));
        assert!(!closing.is_due(at(2)) && closing.is_due(at(3)));
        closing.note(at(3));
        assert!(!closing.is_due(at(6)) && closing.is_due(at(7)));
        for _ in 0..10 {
            closing.note(at(7));
        }
        assert!(!closing.is_due(at(66)) && closing.is_due(at(67)));
        closing.note(at(100));
        closing.note(at(161));
        assert!(closing.is_due(at(162)));
    }
}
