//! The feed of sales: each one that is listened to is compared with the catalog, and every change passed on.

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

/// How often the catalog is looked at, which is refreshed five times a second.
const INTERVAL: Duration = Duration::from_millis(100);

/// Makes the text of a sale. Made once for all listeners.
type Render = fn(PublicSale, &SaleCatalog) -> String;

/// A sale as its listeners are told.
#[derive(Debug, Clone)]
pub struct SaleNews {
    /// Goes up with every change on this node.
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

/// Tells listeners of sales.
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
    /// The process drains: nobody is let in.
    closed: bool,
}

impl SaleFeed {
    /// Starts the feed. All listeners are let go when the process begins to drain.
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

    /// The news of a sale, and its state now. The news end when it is there no more.
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
        // With the time of this moment. A change that the feed has not seen yet follows.
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

    /// Passes changes on. False if nobody listens any more.
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
