//! Reads the issuer's keys in the background: at the start, every few minutes, and when a token names an unknown key. They are
//! never read more often than once in ten seconds, however often this is asked for.

use std::{sync::Arc, time::Duration};

use metrics::counter;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Issuer, keys::KeySet};
use crate::{
    outgoing::HttpClient,
    telemetry::{LogThrottle, metric},
};

/// Between two readings, at least.
const INTERVAL: Duration = Duration::from_secs(10);
/// After a reading, if nobody asks: as long as a key that the issuer withdrew is still taken.
const PERIOD: Duration = Duration::from_mins(5);

impl Issuer {
    /// Keeps the keys up to date until the process ends.
    pub(super) async fn keep_keys(&self, client: HttpClient, stop: CancellationToken) {
        loop {
            let begun = Instant::now();
            let read = tokio::select! {
                read = self.read(&client) => read,
                () = stop.cancelled() => return,
            };
            // A reading that failed is repeated after the minimum interval.
            let due = begun + if read { PERIOD } else { INTERVAL };
            self.tries
                .send_modify(|tries| *tries = tries.wrapping_add(1));
            tokio::select! {
                () = sleep_until(begun + INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.asked.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Reads the keys. False if that failed; the known keys then stay.
    async fn read(&self, client: &HttpClient) -> bool {
        let read = self.fetch(client).await;
        let outcome = if read.is_ok() { "ok" } else { "failed" };
        counter!(metric::ISSUER_KEY_FETCHES, "outcome" => outcome).increment(1);
        match read {
            Ok(keys) => {
                self.take(keys);
                true
            }
            Err(cause) => {
                static LOG_THROTTLE: LogThrottle = LogThrottle::new();
                if LOG_THROTTLE.allow() {
                    tracing::warn!(
                        cause,
                        "the keys of the issuer were not read; those that are known go on"
                    );
                }
                false
            }
        }
    }

    async fn fetch(&self, client: &HttpClient) -> Result<KeySet, String> {
        let accepted = "application/jwk-set+json, application/json";
        let answer = client.get(&self.settings.jwks_url, accepted).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("the issuer answered {}", answer.status));
        }
        KeySet::read(&answer.body, &self.settings)
    }

    /// Replaces the known keys by these, and logs the differences.
    fn take(&self, keys: KeySet) {
        let before = self.keys.load();
        let is_same = before
            .as_ref()
            .is_some_and(|before| before.ids() == keys.ids() && before.ignored == keys.ignored);
        if !is_same {
            tracing::info!(keys = keys.ids().join(" "), "the keys of the issuer");
            for ignored in &keys.ignored {
                tracing::warn!(key = ignored, "a key of the issuer is not used");
            }
        }
        self.keys.store(Some(Arc::new(keys)));
    }
}
