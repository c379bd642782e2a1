//! The HTTP contract's view of a system: one API, one worker, sales by their window.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use chrono::{DateTime, SecondsFormat, Utc};
use flashsale::ids::{ProductId, SaleId, UserId};

use super::{
    api::{self, Api},
    system::System,
};

/// A sale, how its window was asked for, and its start and end.
type Listed = (SaleId, Window, [DateTime<Utc>; 2]);

/// A running system with its API's address.
pub struct TestApp<S: System> {
    pub url: String,
    pub http: reqwest::Client,
    api: Api,
    system: S,
    sales: Mutex<Vec<Listed>>,
    _worker: S::Worker,
}

/// An account with a token.
pub struct Shopper {
    pub user_id: UserId,
    pub token: String,
}

impl From<api::Shopper> for Shopper {
    fn from(shopper: api::Shopper) -> Self {
        Self {
            user_id: UserId::new(shopper.id).unwrap(),
            token: shopper.token,
        }
    }
}

/// Where a sale stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Window {
    Upcoming,
    Open,
    Ended,
}

impl<S: System> TestApp<S> {
    pub async fn start() -> Self {
        let system = S::start().await;
        let worker = system.worker().await;
        let api = system.serve().await;
        Self {
            url: api.url.clone(),
            http: api.http.clone(),
            api,
            system,
            sales: Mutex::default(),
            _worker: worker,
        }
    }

    pub async fn register(&self, name: &str) -> Shopper {
        Shopper::from(self.api.register(name).await)
    }

    pub async fn login(&self, name: &str) -> Shopper {
        Shopper::from(self.api.login(name, "password123").await)
    }

    /// A sale of a product of its own; an open one can be bought from when this returns.
    pub async fn sale(&self, stock: u32, window: Window) -> SaleId {
        let (now, hour) = (Utc::now(), chrono::Duration::hours(1));
        let (start, end) = match window {
            Window::Upcoming => (now + hour, now + hour * 2),
            Window::Open => (now - hour, now + hour),
            Window::Ended => (now - hour * 2, now - hour),
        };
        let (sale, _) = self.system.sale_in(stock, start, end).await;
        match window {
            Window::Open => self.api.wait_until_open(&self.system, sale).await,
            Window::Upcoming | Window::Ended => self.api.wait_until_known(&self.system, sale).await,
        }
        let sale = SaleId::new(sale).unwrap();
        let listed = (sale, window, [start, end]);
        self.sales.lock().unwrap().push(listed);
        sale
    }

    /// Start and end of a sale, as the API writes them.
    pub fn window_of(&self, sale: SaleId) -> [String; 2] {
        let sales = self.sales.lock().unwrap();
        let (_, _, window) = sales.iter().find(|(id, ..)| *id == sale).unwrap();
        window.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true))
    }

    pub async fn product_of(&self, sale: SaleId) -> ProductId {
        let query = format!("SELECT product_id FROM flash_sales WHERE id = {sale}");
        ProductId::new(self.system.number(&query).await).unwrap()
    }

    /// Of every open sale so far.
    pub async fn assert_promises(&self) {
        let sales = self.sales.lock().unwrap().clone();
        for (sale, window, _) in sales {
            if window == Window::Open {
                self.system.check_promises(sale.value()).await;
            }
        }
    }
}

/// Waits for a condition, with a deadline.
pub async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
