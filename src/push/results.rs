//! The feed of results: one subscription to the gate's announcements for all listeners of this node, and readings of what
//! announcements do not say: at the beginning, after a gap, and from time to time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::shoppers::{ResultListener, Shoppers};
use crate::{
    ids::{ProductId, SaleId, UserId},
    lifecycle::Lifecycle,
    port::{Announcement, AnnouncementStream, GateError, News, ResultAnnouncements},
    sale::SaleCatalog,
    telemetry::LogThrottle,
};

/// Shoppers whose results are read at once.
const BATCH: usize = 400;
/// Most sales that are followed: the latest by their start.
const MAX_SALES: usize = 64;
/// How often it is looked whether other sales are listed, and whether anybody still listens.
const CHECK: Duration = Duration::from_millis(500);
/// How often all results are read again, for announcements that were lost without a trace.
const REREAD: Duration = Duration::from_mins(1);
/// Pause after a subscription that could not be opened. Results are read as often meanwhile.
const RESUBSCRIBE: Duration = Duration::from_secs(2);
/// Pause after a reading that failed.
const READ_AGAIN: Duration = Duration::from_millis(500);

/// The account has as many streams as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the account has too many streams")]
pub struct TooManyStreams;

/// Tells shoppers their results.
pub struct ResultFeed {
    gate: Arc<dyn ResultAnnouncements>,
    catalog: Arc<SaleCatalog>,
    shoppers: Arc<Shoppers>,
    /// There are listeners.
    wanted: Notify,
    /// There are results to read.
    unread: Notify,
}

/// Why a subscription is used no longer.
enum Ended {
    /// Announcements may have been missed.
    Broken,
    /// Other sales are listed, or nobody listens.
    Outdated,
}

impl ResultFeed {
    /// Starts the feed. All listeners are let go when the process begins to drain.
    pub fn start(
        lifecycle: &Lifecycle,
        gate: Arc<dyn ResultAnnouncements>,
        catalog: Arc<SaleCatalog>,
    ) -> Arc<Self> {
        let feed = Arc::new(Self {
            gate,
            catalog,
            shoppers: Arc::default(),
            wanted: Notify::new(),
            unread: Notify::new(),
        });
        let (followed, stop) = (Arc::clone(&feed), lifecycle.stop().clone());
        let drain = lifecycle.ending().drain.clone();
        lifecycle.spawn("result feed", async move {
            tokio::select! {
                () = followed.follow() => {}
                () = followed.read() => {}
                () = drain.cancelled() => followed.shoppers.close(),
            }
            stop.cancelled().await;
        });
        feed
    }

    /// Adds a stream of this shopper.
    pub fn listen(&self, user: UserId) -> Result<ResultListener, TooManyStreams> {
        let listener = self.shoppers.enter(user).ok_or(TooManyStreams)?;
        self.wanted.notify_one();
        self.unread.notify_one();
        Ok(listener)
    }

    async fn follow(&self) {
        static LOG_THROTTLE: LogThrottle = LogThrottle::new();
        loop {
            if self.shoppers.is_empty() {
                self.wanted.notified().await;
                continue;
            }
            let sales = self.sales();
            let ids: Vec<_> = sales.keys().copied().collect();
            match self.gate.announcements(&ids).await {
                Ok(announcements) => {
                    // What was recorded before the subscription was not announced to it.
                    self.reread();
                    if matches!(self.receive(announcements, &sales).await, Ended::Broken) {
                        metrics::counter!("flashsale_announcements_interrupted_total").increment(1);
                        sleep(READ_AGAIN).await;
                    }
                }
                Err(error) => {
                    if LOG_THROTTLE.allow() {
                        tracing::warn!(%error, "the gate's announcements cannot be followed; results are read every 2 s meanwhile");
                    }
                    self.reread();
                    sleep(RESUBSCRIBE).await;
                }
            }
        }
    }

    async fn receive(
        &self,
        mut announcements: AnnouncementStream,
        sales: &BTreeMap<SaleId, ProductId>,
    ) -> Ended {
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut read_at = Instant::now();
        loop {
            tokio::select! {
                announcement = announcements.next() => match announcement {
                    Some(announcement) => self.pass_on(&announcement, sales),
                    None => return Ended::Broken,
                },
                _ = check.tick() => {
                    if self.shoppers.is_empty() || self.sales() != *sales {
                        return Ended::Outdated;
                    }
                    if read_at.elapsed() >= REREAD {
                        read_at = Instant::now();
                        self.reread();
                    }
                }
            }
        }
    }

    fn pass_on(&self, announcement: &Announcement, sales: &BTreeMap<SaleId, ProductId>) {
        let Some(product) = sales.get(&announcement.sale) else {
            return;
        };
        let mut any_unread = false;
        for (user, news) in &announcement.news {
            match news {
                News::Ordered => self.shoppers.ordered(*user, announcement.sale, *product),
                News::Changed => any_unread |= self.shoppers.mark_unread(*user),
            }
        }
        if any_unread {
            self.unread.notify_one();
        }
    }

    fn reread(&self) {
        self.shoppers.mark_all_unread();
        self.unread.notify_one();
    }

    async fn read(&self) {
        loop {
            let (users, reading) = self.shoppers.take_unread(BATCH);
            if users.is_empty() {
                self.unread.notified().await;
                continue;
            }
            if let Err(error) = self.read_batch(&users, reading).await {
                tracing::debug!(%error, "results of listeners cannot be read");
                for user in users {
                    self.shoppers.mark_unread(user);
                }
                sleep(READ_AGAIN).await;
            }
        }
    }

    async fn read_batch(&self, users: &[UserId], reading: u64) -> Result<(), GateError> {
        let sales = self.sales();
        let mut found = Vec::with_capacity(sales.len());
        for (sale, product) in sales {
            found.push((
                sale,
                product,
                self.gate.results_in(sale, product, users).await?,
            ));
        }
        for (index, user) in users.iter().enumerate() {
            let of_user = found.iter().map(|(sale, product, results)| {
                let result = results.get(index).copied().flatten();
                (*sale, *product, result)
            });
            self.shoppers.apply(*user, reading, of_user);
        }
        Ok(())
    }

    /// The sales that are followed, with their products.
    fn sales(&self) -> BTreeMap<SaleId, ProductId> {
        let listed = self.catalog.public_sales();
        let latest = listed.iter().rev().take(MAX_SALES);
        latest.map(|sale| (sale.id, sale.product)).collect()
    }
}
