//! The shoppers who listen for their results, and the latest result of each sale that each shopper is told. These results are kept
//! once for a shopper, who may have several streams.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::unread::{Reading, Unread};
use crate::{
    ids::{ProductId, SaleId, UserId},
    port::{ResultReading, ShopperResult},
};

/// Highest number of streams of one account on one node.
const PER_ACCOUNT: usize = 10;
/// Highest number of streams and waiting readings of one account on one node. A page that gets no stream polls, which takes a
/// reading.
const WITH_READINGS: usize = 20;

/// Why a shopper cannot listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotLetIn {
    #[error("the account has too many streams")]
    TooManyStreams,
    #[error("the process drains")]
    Draining,
}

/// The results that a shopper is told.
#[derive(Debug, Clone, Default)]
pub struct ShopperState {
    /// Increases with every change on this node.
    pub number: u64,
    pub results: BTreeMap<SaleId, SaleResult>,
    /// The sales that were read with certainty. If such a sale is not in `results`, the shopper has no order in it.
    pub certain: BTreeSet<SaleId>,
    /// The number of the last reading of all sales.
    read: u64,
}

/// The result that a shopper is told of one sale.
#[derive(Debug, Clone, Copy)]
pub struct SaleResult {
    pub product: ProductId,
    pub result: ShopperResult,
    /// The number of the announcement or reading that said so.
    since: u64,
}

/// Why a sale is not read with certainty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The gate does not answer for it.
    Unanswered,
    /// The gate does not know who holds its units.
    Unsure,
}

/// All shoppers who listen on this node.
#[derive(Default)]
pub(super) struct Shoppers(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    states: HashMap<UserId, watch::Sender<ShopperState>>,
    unread: Unread,
    /// The sales that are not read with certainty.
    doubtful: BTreeMap<SaleId, Doubt>,
    round: Round,
    /// The last number. Announcements, readings and streams are numbered in one order. A reading that began before an announcement
    /// does not overwrite what was announced. A reading that began before a stream does not count as a reading for this stream.
    count: u64,
    closed: bool,
}

/// A round in which the results of all shoppers are read again, share by share.
#[derive(Default)]
struct Round {
    /// The shoppers who listened when the round began.
    users: Vec<UserId>,
    /// How many of them have had their turn.
    begun: usize,
    /// Number of shares that have had their turn.
    step: usize,
}

/// One stream, or one waiting reading, of a shopper. When the last one is dropped, the shopper is forgotten.
pub struct ResultListener {
    shoppers: Arc<Shoppers>,
    user: UserId,
    number: u64,
    pub state: watch::Receiver<ShopperState>,
}

impl Shoppers {
    /// Adds a stream.
    pub(super) fn enter(self: &Arc<Self>, user: UserId) -> Result<ResultListener, NotLetIn> {
        if self.lock().closed {
            return Err(NotLetIn::Draining);
        }
        self.add(user, PER_ACCOUNT)
    }

    /// Adds one waiting reading. It is accepted also while the process drains.
    pub(super) fn enter_once(self: &Arc<Self>, user: UserId) -> Result<ResultListener, NotLetIn> {
        self.add(user, WITH_READINGS)
    }

    fn add(self: &Arc<Self>, user: UserId, most: usize) -> Result<ResultListener, NotLetIn> {
        let mut inner = self.lock();
        let sender = inner.states.entry(user).or_default();
        if sender.receiver_count() >= most {
            return Err(NotLetIn::TooManyStreams);
        }
        let state = sender.subscribe();
        inner.unread.entered(user);
        let number = inner.next();
        drop(inner);
        Ok(ResultListener {
            shoppers: Arc::clone(self),
            user,
            number,
            state,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().states.is_empty()
    }

    /// Marks the results of all shoppers in these sales as to be read again.
    pub(super) fn read_again(&self, sales: impl IntoIterator<Item = SaleId>) {
        let inner = &mut *self.lock();
        for sale in sales {
            inner.unread.again(sale, inner.states.keys().copied());
        }
    }

    /// Marks the results of the next share of shoppers in these sales as to be read again. `steps` shares are all shoppers.
    pub(super) fn read_share_again(&self, steps: usize, sales: &[SaleId]) {
        let inner = &mut *self.lock();
        let Inner {
            states,
            unread,
            round,
            ..
        } = inner;
        if round.step == 0 {
            round.users = states.keys().copied().collect();
            round.begun = 0;
        }
        round.step += 1;
        let until = round.users.len() * round.step / steps.max(1);
        let share = round.users.get(round.begun..until).unwrap_or_default();
        for sale in sales {
            let listening = share.iter().filter(|user| states.contains_key(user));
            unread.again(*sale, listening.copied());
        }
        round.begun = until;
        round.step %= steps.max(1);
    }

    /// Marks the result of the shopper in this sale as to be read, since a change was announced. True if the shopper listens here.
    pub(super) fn mark_unread(&self, sale: SaleId, user: UserId) -> bool {
        let mut inner = self.lock();
        let listens = inner.states.contains_key(&user);
        if listens {
            inner.unread.announced(sale, user);
        }
        listens
    }

    /// The next reading to be made, and its number. Readings of a sale that is not followed, or that the gate does not answer for,
    /// are left out.
    pub(super) fn take_unread(
        &self,
        most: usize,
        is_followed: impl Fn(SaleId) -> bool,
    ) -> Option<(Reading, u64)> {
        let inner = &mut *self.lock();
        let Inner {
            unread, doubtful, ..
        } = inner;
        let answers = |sale| doubtful.get(&sale) != Some(&Doubt::Unanswered);
        let reading = unread.take(most, |sale| is_followed(sale) && answers(sale))?;
        Some((reading, inner.next()))
    }

    /// Tells the shopper that an order stands, which was announced just now. True if the shopper listens and was not told before.
    pub(super) fn ordered(&self, user: UserId, sale: SaleId, product: ProductId) -> bool {
        let mut inner = self.lock();
        let since = inner.next();
        inner.states.get(&user).is_some_and(|sender| {
            let told = SaleResult {
                product,
                result: ShopperResult::Success,
                since,
            };
            sender.send_if_modified(|state| {
                state.number = since;
                state.tell(sale, told)
            })
        })
    }

    /// Tells the shopper what a reading found in each sale. `of_all` is true for a reading of all sales.
    pub(super) fn apply(
        &self,
        user: UserId,
        reading: u64,
        of_all: bool,
        found: impl Iterator<Item = (SaleId, ProductId, ResultReading)>,
    ) {
        let mut inner = self.lock();
        let number = inner.next();
        let Some(sender) = inner.states.get(&user) else {
            return;
        };
        sender.send_modify(|state| {
            state.number = number;
            if of_all {
                state.read = reading;
            }
            for (sale, product, found) in found {
                state.apply(sale, product, found, reading);
            }
        });
    }

    /// Sets or clears the doubt about a sale. True if the sale was in doubt and this doubt is now another one or cleared.
    pub(super) fn set_doubt(&self, sale: SaleId, doubt: Option<Doubt>) -> bool {
        let mut inner = self.lock();
        let before = match doubt {
            Some(doubt) => inner.doubtful.insert(sale, doubt),
            None => inner.doubtful.remove(&sale),
        };
        before.is_some() && before != doubt
    }

    /// The sales in doubt, each with one of the shoppers for whom it is not certain; `None` if it is certain for all of them.
    pub(super) fn doubtful(&self) -> Vec<(SaleId, Option<UserId>)> {
        let inner = self.lock();
        let in_doubt = |sale| {
            let mut states = inner.states.iter();
            let of = states.find(|(_, state)| !state.borrow().certain.contains(&sale));
            (sale, of.map(|(user, _)| *user))
        };
        inner.doubtful.keys().copied().map(in_doubt).collect()
    }

    pub(super) fn is_answered(&self, sale: SaleId) -> bool {
        self.lock().doubtful.get(&sale) != Some(&Doubt::Unanswered)
    }

    /// Ends all streams. From now on, [`enter`](Self::enter) refuses new ones.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.states.clear();
        inner.unread = Unread::default();
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
    /// Whether the results in `state` were all read after this stream began.
    #[must_use]
    pub fn is_read(&self, state: &ShopperState) -> bool {
        state.read > self.number
    }
}

impl ShopperState {
    /// Sets the result of a sale. True if it differs from the result before.
    fn tell(&mut self, sale: SaleId, told: SaleResult) -> bool {
        self.certain.insert(sale);
        let before = self.results.insert(sale, told);
        before.is_none_or(|before| before.result != told.result)
    }

    fn apply(&mut self, sale: SaleId, product: ProductId, found: ResultReading, reading: u64) {
        let is_newer = |told: &SaleResult| told.since > reading;
        if self.results.get(&sale).is_some_and(is_newer) {
            return;
        }
        match found {
            ResultReading::Is(result) => {
                let since = reading;
                self.tell(
                    sale,
                    SaleResult {
                        product,
                        result,
                        since,
                    },
                );
            }
            // If there was a result, the order has ended, and the shopper may buy again.
            ResultReading::Nothing => {
                self.certain.insert(sale);
                self.results.remove(&sale);
            }
            ResultReading::Unknown => drop(self.certain.remove(&sale)),
        }
    }
}

impl Drop for ResultListener {
    fn drop(&mut self) {
        let mut inner = self.shoppers.lock();
        // The receiver of the listener that is being dropped still counts.
        let is_last = |sender: &watch::Sender<ShopperState>| sender.receiver_count() <= 1;
        if inner.states.get(&self.user).is_some_and(is_last) {
            inner.states.remove(&self.user);
            inner.unread.forget(self.user);
            if inner.states.is_empty() {
                inner.doubtful.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests;
