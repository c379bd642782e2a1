//! The feed of results: one subscription to the gate's announcements for all listeners of this node, and readings of what
//! announcements do not say: at the beginning, after a gap, and from time to time.
//!
//! Sales are followed and read apart: what the gate cannot answer of one changes nothing for the others.

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
    port::{Announcement, News, ResultAnnouncements, ResultReading},
    sale::{PublicPhase, SaleCatalog, SaleWithResults},
    telemetry::{LogThrottle, Span, SpanKind, metric, traced_attempt_of},
};

/// Shoppers whose results are read at once.
const BATCH: usize = 400;
/// Sales that are read at once.
const AT_ONCE: usize = 8;
/// Most sales that are followed.
const MAX_SALES: usize = 64;
/// Interval between checks whether other sales are listed, and whether anybody still listens.
const CHECK: Duration = Duration::from_millis(500);
/// Checks in which all results are read again, a share each time, for announcements that were lost without a trace: a minute.
const REREAD_CHECKS: usize = 120;
/// Pause after a subscription that could not be opened. Results are read as often meanwhile.
const RESUBSCRIBE: Duration = Duration::from_secs(2);
/// Pause after a subscription that broke.
const BROKEN: Duration = Duration::from_millis(500);
/// Interval between readings of sales in doubt, to find those that are certain again.
const PROBE: Duration = Duration::from_secs(2);
/// How long [`ResultFeed::read_once`] waits.
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
    /// There are listeners.
    wanted: Notify,
    /// There are results to read.
    unread: Notify,
    /// There are sales in doubt.
    doubt: Notify,
}

type Followed = BTreeMap<SaleId, ProductId>;

impl ResultFeed {
    /// Starts the feed. All listeners are let go when the process begins to drain; single readings go on until it stops.
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

    /// What this shopper is told now, for clients that ask again and again. Many who ask at once are read together.
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
                    // An error: the process begins to drain, and this reading begins again.
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

    /// Until other sales are listed, or nobody listens.
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

    /// Follows sales until announcements of them may have been missed, and returns them.
    async fn follow_group(&self, group: Vec<SaleId>, followed: &Followed) -> Vec<SaleId> {
        static LOG_THROTTLE: LogThrottle = LogThrottle::new();
        let subscribed = self.gate.announcements(&group).await;
        // What was recorded before the subscription was not announced to it.
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
                    for (user, found) in users.iter().zip(found) {
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

    /// What these shoppers are told of one sale. If that cannot be read, the sale is in doubt.
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

    /// Looks at the sales in doubt. One that has become certain, or answers again, is read again for everybody.
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
                self.look_at(sale, product.zip(user))
            });
            join_all(looks).await;
        }
    }

    async fn look_at(&self, sale: SaleId, asked: Option<(ProductId, UserId)>) {
        let Some((product, user)) = asked else {
            // It is listed no more, or certain for everybody, but announcements may have been passed over.
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

/// Notes that a shopper who listens was told of an order, if the attempt is traced: the announcement says so, and within one process
/// the transaction that settled it.
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

/// The sales of which shoppers may still get results: first those that are sold from, then those that start next, then those that
/// ended last.
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
