//! The feed over a gate of which sales may fail.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::StreamExt;
use tokio::sync::broadcast;

use super::*;
use crate::port::{AnnouncementStream, GateError, SaleWindow, ShopperResult};

/// Nobody has a result. Sales that are down neither answer nor announce.
struct Gate {
    down: Mutex<BTreeSet<SaleId>>,
    announced: broadcast::Sender<Announcement>,
    asked: Mutex<Vec<(SaleId, usize)>>,
}

impl Gate {
    fn new(down: &[SaleId]) -> Arc<Self> {
        Arc::new(Self {
            down: Mutex::new(down.iter().copied().collect()),
            announced: broadcast::Sender::new(16),
            asked: Mutex::default(),
        })
    }

    fn answer(&self, sale: SaleId) -> Result<(), GateError> {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if down.contains(&sale) {
            return Err(GateError::Refused("down".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl ResultAnnouncements for Gate {
    fn groups(&self, sales: &[SaleId]) -> Vec<Vec<SaleId>> {
        sales.iter().map(|sale| vec![*sale]).collect()
    }

    async fn announcements(&self, sales: &[SaleId]) -> Result<AnnouncementStream, GateError> {
        let sale = sales[0];
        self.answer(sale)?;
        let announced = self.announced.subscribe();
        let announced = stream::unfold(announced, |mut announced| async move {
            let announcement = announced.recv().await.ok()?;
            Some((announcement, announced))
        });
        let of_sale = announced.filter(move |announced| {
            let is_it = announced.sale == sale;
            async move { is_it }
        });
        Ok(of_sale.boxed())
    }

    async fn results_in(
        &self,
        sale: SaleId,
        _: ProductId,
        users: &[UserId],
    ) -> Result<Vec<ResultReading>, GateError> {
        self.answer(sale)?;
        self.asked.lock().unwrap().push((sale, users.len()));
        Ok(vec![ResultReading::Nothing; users.len()])
    }
}

fn sale(id: i64) -> SaleId {
    SaleId::new(id).unwrap()
}

fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

fn product() -> ProductId {
    ProductId::new(1).unwrap()
}

fn feed_of(lifecycle: &Lifecycle, gate: &Arc<Gate>, sales: i64) -> Arc<ResultFeed> {
    let sales = move || (1..=sales).map(|id| (sale(id), product())).collect();
    ResultFeed::start_with(lifecycle, gate.clone(), Box::new(sales))
}

async fn until(listener: &mut ResultListener, is_it: impl Fn(&ShopperState) -> bool) {
    let reached = listener.state.wait_for(is_it);
    let reached = timeout(Duration::from_secs(10), reached).await;
    reached.expect("in time").expect("the feed goes on");
}

#[tokio::test(start_paused = true)]
async fn a_sale_that_fails_stops_no_other() {
    let (lifecycle, gate) = (Lifecycle::default(), Gate::new(&[sale(1)]));
    let feed = feed_of(&lifecycle, &gate, 3);
    let mut listener = feed.listen(user(1)).unwrap();
    until(&mut listener, |state| state.certain.len() == 2).await;
    assert!(listener.is_read(&listener.state.borrow()));
    assert!(!listener.state.borrow().certain.contains(&sale(1)));
    let once = feed.read_once(user(2)).await.unwrap();
    assert_eq!(once.certain, BTreeSet::from([sale(2), sale(3)]));

    let ordered = |of| Announcement {
        sale: of,
        news: vec![(user(1), News::Ordered)],
    };
    while gate.announced.receiver_count() < 2 {
        sleep(Duration::from_millis(10)).await;
    }
    gate.announced.send(ordered(sale(2))).unwrap();
    until(&mut listener, |state| state.results.contains_key(&sale(2))).await;

    gate.down.lock().unwrap().clear();
    until(&mut listener, |state| state.certain.contains(&sale(1))).await;
    while gate.announced.receiver_count() < 3 {
        sleep(Duration::from_millis(10)).await;
    }
    gate.announced.send(ordered(sale(1))).unwrap();
    until(&mut listener, |state| {
        let told = state.results.get(&sale(1));
        told.is_some_and(|told| told.result == ShopperResult::Success)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_announced_shopper_is_read_in_the_announced_sale_alone() {
    let (lifecycle, gate) = (Lifecycle::default(), Gate::new(&[]));
    let feed = feed_of(&lifecycle, &gate, 3);
    let mut listeners: Vec<_> = (1..=50).map(|id| feed.listen(user(id)).unwrap()).collect();
    for listener in &mut listeners {
        until(listener, |state| state.certain.len() == 3).await;
    }
    while gate.announced.receiver_count() < 3 || feed.shoppers.take_unread(50, |_| true).is_some() {
        sleep(Duration::from_millis(1)).await;
    }
    gate.asked.lock().unwrap().clear();
    let news = vec![(user(7), News::Changed)];
    let sale = sale(2);
    gate.announced.send(Announcement { sale, news }).unwrap();
    while gate.asked.lock().unwrap().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(gate.asked.lock().unwrap()[0], (sale, 1));
}

#[tokio::test(start_paused = true)]
async fn results_are_read_while_the_process_drains_and_nobody_listens_any_more() {
    let (lifecycle, gate) = (Lifecycle::default(), Gate::new(&[]));
    let feed = feed_of(&lifecycle, &gate, 1);
    let mut listener = feed.listen(user(1)).unwrap();
    lifecycle.ending().drain.cancel();
    let ended = async { while listener.state.changed().await.is_ok() {} };
    timeout(Duration::from_secs(1), ended)
        .await
        .expect("at once");
    assert_eq!(feed.listen(user(1)).err(), Some(NotLetIn::Draining));
    let once = feed.read_once(user(1)).await.unwrap();
    assert_eq!(once.certain, BTreeSet::from([sale(1)]));
}

#[test]
fn open_sales_are_followed_before_the_next_and_those_before_the_last() {
    let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
    let hours = chrono::Duration::hours;
    let public = |id: i64, phase, start: i64| SaleWithResults {
        id: sale(id),
        phase,
        window: SaleWindow {
            start: now + hours(start),
            end: now + hours(start + 1),
        },
        product: product(),
    };
    let mut sales = vec![
        public(1, PublicPhase::Open, 0),
        public(2, PublicPhase::Paused, 0),
        public(3, PublicPhase::Cancelled, -2),
    ];
    sales.extend((100..140).map(|id| public(id, PublicPhase::Scheduled, id)));
    sales.extend((200..240).map(|id| public(id, PublicPhase::Ended, 190 - id)));
    let followed = most_relevant(sales, now);
    assert_eq!(followed.len(), MAX_SALES);
    let expected = (1..=3).chain(100..140).chain(200..221).map(sale);
    assert_eq!(
        followed.keys().copied().collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
}
