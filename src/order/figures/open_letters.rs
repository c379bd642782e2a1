//! Counts the dead letters that await a decision, in the background.

use std::{sync::Arc, time::Duration};

use metrics::gauge;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    order::dead_letters::{DeadLetters, Undecided},
    telemetry::{self, metric},
};

/// Time for which a count is not repeated, since counting reads the log.
const FRESH: Duration = Duration::from_secs(10);
/// Delay of the first count after the start, and interval between counts if nobody asks. Both are for the metrics.
const AT_START: Duration = Duration::from_secs(2);
const FOR_METRICS: Duration = Duration::from_secs(30);
/// Longest time of one count.
const LONGEST_COUNT: Duration = Duration::from_secs(10);
/// Longest time for which a caller waits for the first count.
const PATIENCE: Duration = Duration::from_millis(700);
/// Highest number of letters that are counted.
const MOST: u64 = 1_000;
/// Number of letters in a page.
const PAGE: usize = 500;
/// Highest number of pages that are read. The bound is needed because most letters may be decided, and so not be counted.
const MOST_PAGES: usize = 4;

/// The number of open dead letters, at most a thousand.
pub struct OpenLetters {
    letters: Arc<DeadLetters>,
    asked: Notify,
    count: watch::Sender<Count>,
}

/// The last count.
#[derive(Clone, Copy)]
enum Count {
    NotYet,
    Unreadable,
    Letters(u64),
}

impl OpenLetters {
    #[must_use]
    pub fn new(letters: Arc<DeadLetters>) -> Self {
        Self {
            letters,
            asked: Notify::new(),
            count: watch::Sender::new(Count::NotYet),
        }
    }

    /// Counts when somebody asks, but at most once in ten seconds, and every 30 s for the metrics, until `stop` is cancelled.
    pub async fn keep_counting(&self, stop: CancellationToken) {
        let mut counted_at: Option<Instant> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.asked.notified() => {}
                () = sleep(if counted_at.is_some() { FOR_METRICS } else { AT_START }) => {}
            }
            if counted_at.is_some_and(|at| at.elapsed() < FRESH) {
                continue;
            }
            let counted = tokio::select! {
                () = stop.cancelled() => return,
                counted = timeout(LONGEST_COUNT, self.read()) => counted,
            };
            counted_at = Some(Instant::now());
            let count = match counted {
                Ok(Ok(count)) => Count::Letters(count),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "open dead letters cannot be counted");
                    Count::Unreadable
                }
                Err(_) => Count::Unreadable,
            };
            match count {
                #[allow(clippy::cast_precision_loss)] // at most a thousand
                Count::Letters(count) => gauge!(metric::DEAD_LETTERS_OPEN).set(count as f64),
                Count::NotYet | Count::Unreadable => {
                    telemetry::forget(metric::DEAD_LETTERS_OPEN, &[]);
                }
            }
            self.count.send_replace(count);
        }
    }

    /// The last count, about ten seconds old at most if somebody asks all the time. `None` while the letters cannot be read.
    pub(super) async fn count(&self) -> Option<u64> {
        self.asked.notify_one();
        let mut counts = self.count.subscribe();
        let counted = counts.wait_for(|count| !matches!(count, Count::NotYet));
        match *timeout(PATIENCE, counted).await.ok()?.ok()? {
            Count::Letters(count) => Some(count),
            Count::NotYet | Count::Unreadable => None,
        }
    }

    async fn read(&self) -> Result<u64, Undecided> {
        let (mut count, mut after) = (0, None);
        for _ in 0..MOST_PAGES {
            let page = self.letters.page(after, true, PAGE).await?;
            count += page.items.len() as u64;
            after = page.next;
            if after.is_none() || count >= MOST {
                break;
            }
        }
        Ok(count.min(MOST))
    }
}
