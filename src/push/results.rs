//! The feed of results. All listeners of this node share one subscription to the gate's announcements. The feed also reads results
//! that announcements do not tell: when a listener comes, after a gap in the announcements, and from time to time.
//!
//! Each sale is followed and read separately. If the gate cannot answer for one sale, the others are not affected.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use futures::{
    StreamExt,
    future::join_all,
    stream::{self, FuturesUnordered},
};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    shoppers::{Doubt, NotLetIn, ResultListener, ShopperState, Shoppers},
    unread::Reading,
};
use crate::{
    ids::{ProductId, SaleId, UserId},
    lifecycle::Lifecycle,
    port::{Announcement, News, ResultAnnouncements, ResultReading, zip_answers},
    sale::{PublicPhase, SaleCatalog, SaleWithResults},
    telemetry::{LogThrottle, Span, SpanKind, metric, traced_attempt_of},
};

/// Highest number of shoppers whose results are read together.
const BATCH: usize = 400;
/// Highest number of sales that are read at the same time.
const AT_ONCE: usize = 8;
/// Highest number of sales that are followed.
const MAX_SALES: usize = 64;
/// Interval between two checks whether the list of sales has changed and whether anybody still listens.
const CHECK: Duration = Duration::from_millis(500);
/// Number of checks, of a minute together, in which the results of all shoppers are read again, a share at each check. This finds
/// results whose announcements were lost without a trace.
const REREAD_CHECKS: usize = 120;
/// Pause after a subscription that could not be opened. Each try also reads the results, so that listeners get them at this
/// interval meanwhile.
const RESUBSCRIBE: Duration = Duration::from_secs(2);
/// Pause after a subscription that broke.
const BROKEN: Duration = Duration::from_millis(500);
/// Interval between two readings of the sales in doubt, which find the sales that are certain again.
const PROBE: Duration = Duration::from_secs(2);
/// Longest time for which [`ResultFeed::read_once`] waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why results cannot be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    #[error("the account waits for too many readings")]
    TooMany,
    #[error("the results could not be read in time")]
    TooLate,
}

/// Tells shoppers their results.
pub struct ResultFeed {
    gate: Arc<dyn ResultAnnouncements>,
    /// The sales to follow now, with their products.
    sales: Box<dyn Fn() -> Followed + Send + Sync>,
    shoppers: Arc<Shoppers>,
    /// Notified when a listener comes.
    wanted: Notify,
    /// Notified when there are results to read.
    unread: Notify,
    /// Notified when a sale comes into doubt.
    doubt: Notify,
}

type Followed = BTreeMap<SaleId, ProductId>;

impl ResultFeed {
    /// Starts the feed. When the process begins to drain, the streams of all listeners end. Single readings go on until the
    /// process stops.
    pub fn start(
        lifecycle: &Lifecycle,
        gate: Arc<dyn ResultAnnouncements>,
        catalog: Arc<SaleCatalog>,
    ) -> Arc<Self> {
        let sales = move || most_relevant(catalog.sales_with_results(), catalog.now());
        Self::start_with(lifecycle, gate, Box::new(sales))
    }

    fn start_with(
        lifecycle: &Lifecycle,
        gate: Arc<dyn ResultAnnouncements>,
        sales: Box<dyn Fn() -> Followed + Send + Sync>,
    ) -> Arc<Self> {
        let feed = Arc::new(Self {
            gate,
            sales,
            shoppers: Arc::default(),
            wanted: Notify::new(),
            unread: Notify::new(),
            doubt: Notify::new(),
        });
        let (run, stop) = (Arc::clone(&feed), lifecycle.stop().clone());
        let drain = lifecycle.ending().drain.clone();
        lifecycle.spawn("result feed", async move {
            let close = async {
                drain.cancelled().await;
                run.shoppers.close();
                pending::<()>().await;
            };
            tokio::select! {
                () = run.follow() => {}
                () = run.read() => {}
                () = run.probe() => {}
                () = close => {}
                () = stop.cancelled() => {}
            }
        });
        feed
    }

    /// Adds a stream of this shopper.
    pub fn listen(&self, user: UserId) -> Result<ResultListener, NotLetIn> {
        let listener = self.shoppers.enter(user)?;
        self.wanted.notify_one();
        self.unread.notify_one();
        Ok(listener)
    }

    /// The results of this shopper now, for clients that poll. The results of many shoppers who ask at the same time are read
    /// together.
    pub async fn read_once(&self, user: UserId) -> Result<ShopperState, NotRead> {
        let read = async {
            loop {
                let listener = self.shoppers.enter_once(user);
                let mut listener = listener.map_err(|_| NotRead::TooMany)?;
                self.unread.notify_one();
                loop {
                    let state = listener.state.borrow_and_update().clone();
                    if listener.is_read(&state) {
                        return Ok(state);
                    }
                    // An error means that `close` dropped the sender because the process begins to drain. The reading is then
                    // begun again.
                    if listener.state.changed().await.is_err() {
                        break;
                    }
                }
            }
        };
        timeout(PATIENCE, read)
            .await
            .unwrap_or(Err(NotRead::TooLate))
    }

    async fn follow(&self) {
        loop {
            if self.shoppers.is_empty() {
                self.wanted.notified().await;
                continue;
            }
            let followed = self.followed();
            tokio::select! {
                () = self.follow_all(&followed) => {}
                () = self.outdated(&followed) => {}
            }
        }
    }

    /// Returns when the list of sales has changed or nobody listens any more.
    async fn outdated(&self, followed: &Followed) {
        let sales: Vec<_> = followed.keys().copied().collect();
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        check.tick().await;
        loop {
            check.tick().await;
            if self.shoppers.is_empty() || self.followed() != *followed {
                return;
            }
            self.shoppers.read_share_again(REREAD_CHECKS, &sales);
            self.unread.notify_one();
        }
    }

    async fn follow_all(&self, followed: &Followed) {
        let mut groups = FuturesUnordered::new();
        let mut unfollowed = followed.keys().copied().collect::<Vec<_>>();
        loop {
            for group in self.gate.groups(&unfollowed) {
                groups.push(self.follow_group(group, followed));
            }
            match groups.next().await {
                Some(group) => unfollowed = group,
                None => pending().await,
            }
        }
    }

    /// Follows these sales until some of their announcements may have been missed. Returns the sales.
    async fn follow_group(&self, group: Vec<SaleId>, followed: &Followed) -> Vec<SaleId> {
        static LOG_THROTTLE: LogThrottle = LogThrottle::new();
        let subscribed = self.gate.announcements(&group).await;
        // Results that were recorded before the subscription began were not announced to it.
        self.shoppers.read_again(group.iter().copied());
        self.unread.notify_one();
        match subscribed {
            Ok(mut announcements) => {
                while let Some(announcement) = announcements.next().await {
                    self.pass_on(&announcement, followed);
                }
                metrics::counter!(metric::ANNOUNCEMENTS_INTERRUPTED).increment(1);
                sleep(BROKEN).await;
            }
            Err(error) => {
                if LOG_THROTTLE.allow() {
                    tracing::warn!(%error, sales = group.len(), "the gate's announcements of some sales cannot be followed; their results are read every 2 s meanwhile");
                }
                sleep(RESUBSCRIBE).await;
            }
        }
        group
    }

    fn pass_on(&self, announcement: &Announcement, followed: &Followed) {
        let sale = announcement.sale;
        let Some(product) = followed.get(&sale) else {
            return;
        };
        let mut any_unread = false;
        for (user, news) in &announcement.news {
            match news {
                News::Ordered => {
                    let since = Instant::now();
                    if self.shoppers.ordered(*user, sale, *product) {
                        trace_push(sale, *user, since);
                    }
                }
                News::Changed => any_unread |= self.shoppers.mark_unread(sale, *user),
            }
        }
        if any_unread {
            self.unread.notify_one();
        }
    }

    async fn read(&self) {
        loop {
            let followed = self.followed();
            let is_followed = |sale| followed.contains_key(&sale);
            match self.shoppers.take_unread(BATCH, is_followed) {
                None => self.unread.notified().await,
                Some((Reading::OfSale(sale, users), number)) => {
                    let Some(product) = followed.get(&sale) else {
                        continue;
                    };
                    let found = self.read_sale(sale, *product, &users).await;
                    for (user, found) in zip_answers(&users, found) {
                        let found = [(sale, *product, found)].into_iter();
                        self.shoppers.apply(*user, number, false, found);
                    }
                }
                Some((Reading::OfAllSales(users), number)) => {
                    self.read_all(&followed, &users, number).await;
                }
            }
        }
    }

    async fn read_all(&self, followed: &Followed, users: &[UserId], number: u64) {
        let read = followed.clone().into_iter();
        let read: Vec<_> = read
            .map(|(sale, product)| async move {
                let found = if self.shoppers.is_answered(sale) {
                    self.read_sale(sale, product, users).await
                } else {
                    vec![ResultReading::Unknown; users.len()]
                };
                (sale, product, found)
            })
            .collect();
        let found: Vec<_> = stream::iter(read).buffer_unordered(AT_ONCE).collect().await;
        for (index, user) in users.iter().enumerate() {
            let of_user = found.iter().map(|(sale, product, found)| {
                let found = found.get(index).copied();
                (*sale, *product, found.unwrap_or(ResultReading::Unknown))
            });
            self.shoppers.apply(*user, number, true, of_user);
        }
    }

    /// Reads the results of these shoppers in one sale. If some of them cannot be read, the sale is in doubt.
    async fn read_sale(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Vec<ResultReading> {
        let read = self.gate.results_in(sale, product, users).await;
        let doubt = match &read {
            Ok(found) => found
                .contains(&ResultReading::Unknown)
                .then_some(Doubt::Unsure),
            Err(error) => {
                tracing::debug!(%error, %sale, "results of listeners cannot be read");
                Some(Doubt::Unanswered)
            }
        };
        if doubt.is_some() {
            self.shoppers.set_doubt(sale, doubt);
            self.doubt.notify_one();
        }
        read.unwrap_or_else(|_| vec![ResultReading::Unknown; users.len()])
    }

    /// Reads the sales in doubt again, each for one shopper. Once a sale is certain, or the gate answers for it again, its results
    /// are read again for all shoppers.
    async fn probe(&self) {
        loop {
            let doubtful = self.shoppers.doubtful();
            if doubtful.is_empty() {
                self.doubt.notified().await;
                continue;
            }
            sleep(PROBE).await;
            let followed = self.followed();
            let looks = doubtful.into_iter().map(|(sale, user)| {
                let product = followed.get(&sale).copied();
                self.read_doubtful_sale(sale, product.zip(user))
            });
            join_all(looks).await;
        }
    }

    async fn read_doubtful_sale(&self, sale: SaleId, asked: Option<(ProductId, UserId)>) {
        let Some((product, user)) = asked else {
            // The sale is no longer listed, or it is certain for all shoppers. Announcements may have been passed over meanwhile.
            if self.shoppers.set_doubt(sale, None) {
                self.shoppers.read_again([sale]);
                self.unread.notify_one();
            }
            return;
        };
        let doubt = match self.gate.results_in(sale, product, &[user]).await {
            Ok(found) if found.contains(&ResultReading::Unknown) => Some(Doubt::Unsure),
            Ok(_) => None,
            Err(_) => Some(Doubt::Unanswered),
        };
        if self.shoppers.set_doubt(sale, doubt) && doubt != Some(Doubt::Unanswered) {
            self.shoppers.read_again([sale]);
            self.unread.notify_one();
        }
    }

    fn followed(&self) -> Followed {
        (self.sales)()
    }
}

/// Submits a span for telling a listening shopper about an order, if the attempt is traced. Whether it is traced is known from the
/// announcement or, within one process, from the transaction that settled the attempt.
fn trace_push(sale: SaleId, user: UserId, since: Instant) {
    if let Some(traced) = traced_attempt_of(sale.value(), user.value()) {
        let context = traced.span.child();
        Span::new(
            context,
            Some(traced.span.span),
            "push",
            SpanKind::Producer,
            since,
        )
        .text("flashsale.attempt.id", traced.id.to_string())
        .submit();
    }
}

/// The sales in which shoppers may still get results, at most [`MAX_SALES`]: first the open and the paused ones, then those that
/// start next, then those that ended last.
fn most_relevant(mut sales: Vec<SaleWithResults>, now: DateTime<Utc>) -> Followed {
    sales.sort_by_key(|sale| match sale.phase {
        PublicPhase::Open | PublicPhase::Paused => (0, sale.window.start - now),
        PublicPhase::Scheduled => (1, sale.window.start - now),
        PublicPhase::Ended | PublicPhase::Cancelled => (2, now - sale.window.end),
    });
    sales.truncate(MAX_SALES);
    sales.iter().map(|sale| (sale.id, sale.product)).collect()
}

#[cfg(test)]
mod tests;
