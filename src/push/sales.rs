//! The feed of sales. It compares each sale that has listeners with the catalog and tells the listeners every change.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use crate::{
    ids::SaleId,
    lifecycle::Lifecycle,
    sale::{PublicSale, SaleCatalog},
};

/// Interval between two comparisons with the catalog, which is refreshed five times a second.
const INTERVAL: Duration = Duration::from_millis(100);

/// Makes the text about a sale. For a change, the text is made once for all listeners.
type Render = fn(PublicSale, &SaleCatalog) -> String;

/// The state of a sale as its listeners are told.
#[derive(Debug, Clone)]
pub struct SaleNews {
    /// Increases with every change on this node.
    pub id: u64,
    pub text: Arc<str>,
    sale: PublicSale,
}

/// Why a sale cannot be listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSaleNews {
    #[error("there is no such sale")]
    UnknownSale,
    #[error("the process drains")]
    Draining,
}

/// Tells listeners the changes of sales.
pub struct SaleFeed {
    catalog: Arc<SaleCatalog>,
    render: Render,
    listened: Mutex<Listened>,
    changes: AtomicU64,
    wanted: Notify,
}

#[derive(Default)]
struct Listened {
    sales: BTreeMap<SaleId, watch::Sender<SaleNews>>,
    /// True once the process drains: no listener is accepted any more.
    closed: bool,
}

impl SaleFeed {
    /// Starts the feed. The news of all listeners end when the process begins to drain.
    pub fn start(lifecycle: &Lifecycle, catalog: Arc<SaleCatalog>, render: Render) -> Arc<Self> {
        let feed = Arc::new(Self {
            catalog,
            render,
            listened: Mutex::default(),
            changes: AtomicU64::new(0),
            wanted: Notify::new(),
        });
        let (followed, stop) = (Arc::clone(&feed), lifecycle.stop().clone());
        let drain = lifecycle.ending().drain.clone();
        lifecycle.spawn("sale feed", async move {
            tokio::select! {
                () = followed.follow() => {}
                () = drain.cancelled() => followed.close(),
            }
            stop.cancelled().await;
        });
        feed
    }

    /// The state of a sale now, and the news about it from now on. The news end when the sale no longer exists.
    pub fn listen(
        &self,
        sale: SaleId,
    ) -> Result<(SaleNews, watch::Receiver<SaleNews>), NoSaleNews> {
        let public = self.catalog.public_sale(sale);
        let public = public.ok_or(NoSaleNews::UnknownSale)?;
        let mut listened = self.listened();
        if listened.closed {
            return Err(NoSaleNews::Draining);
        }
        let sender = listened
            .sales
            .entry(sale)
            .or_insert_with(|| watch::Sender::new(self.news(public.clone())));
        let receiver = sender.subscribe();
        let mut now = receiver.borrow().clone();
        // The text is made anew, with the time of this moment. A change that the feed has not noticed yet follows as news.
        now.text = (self.render)(now.sale.clone(), &self.catalog).into();
        drop(listened);
        self.wanted.notify_one();
        Ok((now, receiver))
    }

    fn news(&self, sale: PublicSale) -> SaleNews {
        SaleNews {
            id: self.changes.fetch_add(1, Ordering::Relaxed) + 1,
            text: (self.render)(sale.clone(), &self.catalog).into(),
            sale,
        }
    }

    async fn follow(&self) {
        loop {
            if self.compare() {
                sleep(INTERVAL).await;
            } else {
                self.wanted.notified().await;
            }
        }
    }

    /// Compares the sales with the catalog and tells their listeners the changes. False if nobody listens any more.
    fn compare(&self) -> bool {
        let mut listened = self.listened();
        listened.sales.retain(|id, sender| {
            if sender.is_closed() {
                return false;
            }
            let Some(sale) = self.catalog.public_sale(*id) else {
                return false;
            };
            if sender.borrow().sale != sale {
                sender.send_replace(self.news(sale));
            }
            true
        });
        !listened.sales.is_empty()
    }

    fn close(&self) {
        let mut listened = self.listened();
        listened.closed = true;
        listened.sales.clear();
    }

    fn listened(&self) -> MutexGuard<'_, Listened> {
        self.listened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
