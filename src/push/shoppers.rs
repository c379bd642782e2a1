//! The shoppers who listen for their results, with what each is told: the latest state of each sale, kept once however many
//! streams a shopper has.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{
    ids::{ProductId, SaleId, UserId},
    port::ShopperResult,
};

/// Most streams of one account on one node.
const PER_ACCOUNT: usize = 10;

/// What a shopper is told.
#[derive(Debug, Clone, Default)]
pub struct ShopperState {
    /// The number of the last reading.
    read: u64,
    pub results: BTreeMap<SaleId, SaleResult>,
}

/// What is told of one sale.
#[derive(Debug, Clone, Copy)]
pub struct SaleResult {
    pub product: ProductId,
    pub result: ShopperResult,
    /// The number of the announcement or reading that said so.
    since: u64,
}

/// All who listen.
#[derive(Default)]
pub(super) struct Shoppers(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    states: HashMap<UserId, watch::Sender<ShopperState>>,
    /// Those whose results have to be read.
    unread: HashSet<UserId>,
    /// Numbers announcements, readings and streams in their order. A reading that began before an announcement does not overwrite
    /// it, and one that began before a stream did not read for it.
    count: u64,
    closed: bool,
}

/// One stream of a shopper. The shopper is forgotten with the last one.
pub struct ResultListener {
    shoppers: Arc<Shoppers>,
    user: UserId,
    number: u64,
    pub state: watch::Receiver<ShopperState>,
}

impl Shoppers {
    /// Adds a stream. `None` if the shopper has as many as may be. If the process drains, the stream ends at once.
    pub(super) fn enter(self: &Arc<Self>, user: UserId) -> Option<ResultListener> {
        let mut inner = self.lock();
        let state = if inner.closed {
            watch::Sender::default().subscribe()
        } else {
            let sender = inner.states.entry(user).or_default();
            if sender.receiver_count() >= PER_ACCOUNT {
                return None;
            }
            let state = sender.subscribe();
            inner.unread.insert(user);
            state
        };
        let number = inner.next();
        drop(inner);
        Some(ResultListener {
            shoppers: Arc::clone(self),
            user,
            number,
            state,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().states.is_empty()
    }

    pub(super) fn mark_all_unread(&self) {
        let inner = &mut *self.lock();
        inner.unread.extend(inner.states.keys().copied());
    }

    /// Marks one, if the shopper listens here. True if so.
    pub(super) fn mark_unread(&self, user: UserId) -> bool {
        let mut inner = self.lock();
        let listens = inner.states.contains_key(&user);
        if listens {
            inner.unread.insert(user);
        }
        listens
    }

    /// Some of those whose results have to be read, and the number that the reading has.
    pub(super) fn take_unread(&self, most: usize) -> (Vec<UserId>, u64) {
        let mut inner = self.lock();
        let users: Vec<_> = inner.unread.iter().take(most).copied().collect();
        for user in &users {
            inner.unread.remove(user);
        }
        (users, inner.next())
    }

    /// An order of the shopper stands, as was announced just now.
    pub(super) fn ordered(&self, user: UserId, sale: SaleId, product: ProductId) {
        let mut inner = self.lock();
        let since = inner.next();
        if let Some(sender) = inner.states.get(&user) {
            let told = SaleResult {
                product,
                result: ShopperResult::Success,
                since,
            };
            sender.send_if_modified(|state| state.tell(sale, told));
        }
    }

    /// What a reading of these sales found, by sale.
    pub(super) fn apply(
        &self,
        user: UserId,
        reading: u64,
        found: impl Iterator<Item = (SaleId, ProductId, Option<ShopperResult>)>,
    ) {
        let inner = self.lock();
        let Some(sender) = inner.states.get(&user) else {
            return;
        };
        sender.send_modify(|state| {
            state.read = reading;
            for (sale, product, result) in found {
                let newer = |told: &SaleResult| told.since > reading;
                if state.results.get(&sale).is_some_and(newer) {
                    continue;
                }
                match result {
                    Some(result) => {
                        let since = reading;
                        let told = SaleResult {
                            product,
                            result,
                            since,
                        };
                        state.tell(sale, told);
                    }
                    // The order has ended, and the shopper may buy again: the next result is told even if it is the same.
                    None => drop(state.results.remove(&sale)),
                }
            }
        });
    }

    /// Ends all streams, and those that begin from now on.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.states.clear();
        inner.unread.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

impl ResultListener {
    /// Whether the results were read since this stream began, as of this state.
    #[must_use]
    pub fn is_read(&self, state: &ShopperState) -> bool {
        state.read > self.number
    }
}

impl ShopperState {
    /// True if the result is another one than before.
    fn tell(&mut self, sale: SaleId, told: SaleResult) -> bool {
        let before = self.results.insert(sale, told);
        before.is_none_or(|before| before.result != told.result)
    }
}

impl Drop for ResultListener {
    fn drop(&mut self) {
        let mut inner = self.shoppers.lock();
        // This one still counts.
        let is_last = |sender: &watch::Sender<ShopperState>| sender.receiver_count() <= 1;
        if inner.states.get(&self.user).is_some_and(is_last) {
            inner.states.remove(&self.user);
            inner.unread.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> (UserId, SaleId, ProductId) {
        let (user, sale) = (UserId::new(1).unwrap(), SaleId::new(2).unwrap());
        (user, sale, ProductId::new(3).unwrap())
    }

    fn told(listener: &ResultListener) -> Option<ShopperResult> {
        let (_, sale, _) = ids();
        let state = listener.state.borrow();
        state.results.get(&sale).map(|told| told.result)
    }

    #[test]
    fn a_reading_does_not_overwrite_an_announcement_that_came_after_it_began() {
        let (user, sale, product) = ids();
        let shoppers = Arc::new(Shoppers::default());
        let listener = shoppers.enter(user).unwrap();
        let (users, reading) = shoppers.take_unread(10);
        assert_eq!(users, [user]);
        shoppers.ordered(user, sale, product);
        let pending = Some(ShopperResult::Pending);
        shoppers.apply(user, reading, [(sale, product, pending)].into_iter());
        assert_eq!(told(&listener), Some(ShopperResult::Success));
        assert!(listener.is_read(&listener.state.borrow()));
        let second = shoppers.enter(user).unwrap();
        assert!(!second.is_read(&second.state.borrow()));

        shoppers.mark_all_unread();
        let (_, reading) = shoppers.take_unread(10);
        shoppers.apply(user, reading, [(sale, product, None)].into_iter());
        assert_eq!(told(&listener), None, "the order has ended");
    }

    #[test]
    fn a_shopper_has_ten_streams_and_is_forgotten_after_the_last() {
        let (user, _, _) = ids();
        let shoppers = Arc::new(Shoppers::default());
        let mut listeners: Vec<_> = (0..10).map(|_| shoppers.enter(user).unwrap()).collect();
        assert!(shoppers.enter(user).is_none());
        listeners.pop();
        assert!(shoppers.enter(user).is_some());
        drop(listeners);
        assert!(shoppers.is_empty());
        assert!(!shoppers.mark_unread(user));
        assert_eq!(shoppers.take_unread(10).0, []);
    }

    #[test]
    fn streams_end_when_the_process_drains_and_new_ones_end_at_once() {
        let (user, _, _) = ids();
        let shoppers = Arc::new(Shoppers::default());
        let before = shoppers.enter(user).unwrap();
        shoppers.close();
        let after = shoppers.enter(user).unwrap();
        for listener in [before, after] {
            assert!(listener.state.has_changed().is_err());
        }
    }
}
