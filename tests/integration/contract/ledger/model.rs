//! The ledger of the simulator, as its bed for the suite.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use flashsale::{
    clock::SystemClock,
    ids::{ProductId, SaleId, UserId},
    port::{Ledger, SaleListing, SaleWindow},
};
use flashsale_simulator::model::ModelLedger;

use super::bed::{TestBed, next_id};

/// A ledger, and the sales that were made in it.
pub struct ModelBed {
    ledger: Arc<ModelLedger>,
    sales: Mutex<Vec<SaleId>>,
}

impl TestBed for ModelBed {
    async fn start() -> Self {
        Self {
            ledger: Arc::new(ModelLedger::new(Arc::new(SystemClock))),
            sales: Mutex::default(),
        }
    }

    /// Every process has the same.
    async fn ledger(&self) -> Arc<dyn Ledger> {
        self.ledger.clone()
    }

    async fn shoppers(&self, count: i64) -> Vec<UserId> {
        let users: Vec<_> = (1..=count).filter_map(UserId::new).collect();
        for user in &users {
            self.ledger.add_shopper(*user);
        }
        users
    }

    async fn sale_at(&self, stock: u32, start: DateTime<Utc>, end: DateTime<Utc>) -> SaleId {
        let id = next_id();
        let sale = SaleId::new(id).unwrap();
        self.ledger.add_sale(SaleListing {
            switch: flashsale::port::SaleSwitch::On,
            id: sale,
            product: ProductId::new(id).unwrap(),
            product_name: format!("Thing {id}"),
            product_description: String::new(),
            offer: flashsale::port::Offer::default(),
            window: SaleWindow { start, end },
            initial_stock: u64::from(stock),
            remaining_stock: u64::from(stock),
            version: 1,
        });
        self.sales.lock().unwrap().push(sale);
        sale
    }

    async fn delete_account(&self, user: UserId) {
        assert!(self.ledger.delete_account(user));
    }

    async fn end_order(&self, sale: SaleId, user: UserId) {
        assert!(self.ledger.end_order(sale, user).is_some());
    }

    async fn set_units(&self, sale: SaleId, units: u32) {
        assert!(self.ledger.set_initial_stock(sale, u64::from(units)));
    }

    async fn orders(&self) -> i64 {
        let sales = self.sales.lock().unwrap();
        let orders = sales.iter().map(|sale| self.ledger.orders(*sale).len());
        i64::try_from(orders.sum::<usize>()).unwrap()
    }

    async fn attempts(&self) -> i64 {
        i64::try_from(self.ledger.settled_attempts()).unwrap()
    }

    async fn check_promises(&self) {
        for sale in self.sales.lock().unwrap().iter() {
            let orders = self.ledger.orders(*sale);
            let remaining = self.ledger.remaining(*sale);
            assert_eq!(orders.len() as u64 + remaining, self.ledger.initial(*sale));
            for attempt in orders.values() {
                let outcome = self.ledger.outcome(*attempt);
                assert_eq!(outcome, Some(flashsale::port::Outcome::Ordered));
            }
        }
    }
}
