//! What has to be read for shoppers who listen, in the order in which it matters: what was announced, in its sale alone; those who
//! just came, in all sales; and last what is read again in case an announcement was lost.

use std::collections::{BTreeMap, HashSet};

use crate::ids::{SaleId, UserId};

/// What has to be read. A shopper is in each set once, so its size is bounded by listeners and sales.
#[derive(Default)]
pub(super) struct Unread {
    announced: BTreeMap<SaleId, HashSet<UserId>>,
    entered: HashSet<UserId>,
    again: BTreeMap<SaleId, HashSet<UserId>>,
}

/// What is read at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    OfAllSales(Vec<UserId>),
    OfSale(SaleId, Vec<UserId>),
}

impl Unread {
    pub(super) fn announced(&mut self, sale: SaleId, user: UserId) {
        self.announced.entry(sale).or_default().insert(user);
    }

    pub(super) fn entered(&mut self, user: UserId) {
        self.entered.insert(user);
    }

    pub(super) fn again(&mut self, sale: SaleId, users: impl Iterator<Item = UserId>) {
        self.again.entry(sale).or_default().extend(users);
    }

    /// What is to be read next, of at most so many shoppers. What is unread of sales that cannot be read stays out of the way of the
    /// others, and is forgotten: such a sale is read again as a whole.
    pub(super) fn take(
        &mut self,
        most: usize,
        can_be_read: impl Fn(SaleId) -> bool,
    ) -> Option<Reading> {
        self.announced.retain(|sale, _| can_be_read(*sale));
        self.again.retain(|sale, _| can_be_read(*sale));
        if let Some(reading) = take_of_sale(&mut self.announced, most) {
            return Some(reading);
        }
        if !self.entered.is_empty() {
            return Some(Reading::OfAllSales(take(&mut self.entered, most)));
        }
        take_of_sale(&mut self.again, most)
    }

    pub(super) fn forget(&mut self, user: UserId) {
        self.entered.remove(&user);
        for sets in [&mut self.announced, &mut self.again] {
            sets.retain(|_, users| {
                users.remove(&user);
                !users.is_empty()
            });
        }
    }
}

fn take_of_sale(sets: &mut BTreeMap<SaleId, HashSet<UserId>>, most: usize) -> Option<Reading> {
    let mut first = sets.first_entry()?;
    let (sale, users) = (*first.key(), take(first.get_mut(), most));
    if first.get().is_empty() {
        first.remove();
    }
    Some(Reading::OfSale(sale, users))
}

fn take(users: &mut HashSet<UserId>, most: usize) -> Vec<UserId> {
    let taken: Vec<_> = users.iter().take(most).copied().collect();
    for user in &taken {
        users.remove(user);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_shoppers_are_read_first_and_in_their_sale_alone() {
        let user = |id| UserId::new(id).unwrap();
        let sale = |id| SaleId::new(id).unwrap();
        let mut unread = Unread::default();
        for of in [sale(1), sale(2)] {
            unread.again(of, (1..=5).map(user));
        }
        unread.entered(user(6));
        unread.announced(sale(2), user(3));
        let mut next = || unread.take(10, |of| of != sale(1));
        assert_eq!(next(), Some(Reading::OfSale(sale(2), vec![user(3)])));
        assert_eq!(next(), Some(Reading::OfAllSales(vec![user(6)])));
        let Some(Reading::OfSale(of, users)) = next() else {
            panic!("the others are read again");
        };
        assert_eq!((of, users.len()), (sale(2), 5));
        assert_eq!(next(), None, "the first sale cannot be read");
    }
}
