//! The results that have to be read for listening shoppers, the most urgent first: results whose change was announced, each in its
//! sale alone; then all results of shoppers who just came; and last the results that are read again in case an announcement was
//! lost.

use std::collections::{BTreeMap, HashSet};

use crate::ids::{SaleId, UserId};

/// The results that have to be read. A shopper is in each set only once, so that the size is bounded by the numbers of listeners
/// and sales.
#[derive(Default)]
pub(super) struct Unread {
    announced: BTreeMap<SaleId, HashSet<UserId>>,
    entered: HashSet<UserId>,
    again: BTreeMap<SaleId, HashSet<UserId>>,
}

/// One reading, of several shoppers together.
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

    /// The next reading, of at most `most` shoppers. The unread results of a sale that cannot be read are forgotten, so that they
    /// do not delay those of other sales. Such a sale is read again as a whole later.
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
