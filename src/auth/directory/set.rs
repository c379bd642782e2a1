//! The existing accounts in memory: a bit for each id, in blocks of 512, and for each block when its newest account was made.
//!
//! An entry takes 80 bytes of a table that is half to seven eighths full: 0.2 to 0.3 MB for a million accounts whose ids follow
//! each other, 90 to 160 bytes for an account that is alone in its block.

use std::{collections::HashMap, ops::RangeInclusive};

use crate::{
    ids::UserId,
    port::{ACCOUNT_BLOCK as BLOCK, AccountPage, AccountRun},
};

const WORD: i64 = 64;

/// The accounts that exist.
#[derive(Clone, Default)]
pub(super) struct AccountSet {
    blocks: HashMap<i64, Block>,
    /// The highest id that was ever added.
    last: Option<UserId>,
}

#[derive(Clone, Copy, Default)]
struct Block {
    bits: [u64; 8],
    /// When the newest of its accounts was made, in seconds since 1970. It stays when that account is removed.
    newest: i64,
}

impl AccountSet {
    /// If the account exists, a moment at which it did for sure (in seconds since 1970): its making or, mostly, that of a younger
    /// neighbour.
    pub(super) fn made_by(&self, id: UserId) -> Option<i64> {
        let block = self.blocks.get(&(id.value() / BLOCK))?;
        let (word, bit) = place(id.value());
        let is_there = block.bits.get(word)? >> bit & 1 == 1;
        is_there.then_some(block.newest)
    }

    pub(super) fn add_page(&mut self, page: &AccountPage) {
        for run in &page.runs {
            self.add_run(run);
        }
    }

    fn add_run(&mut self, run: &AccountRun) {
        let newest = run.newest.timestamp();
        for id in run.first.value()..=run.last.value() {
            let block = self.blocks.entry(id / BLOCK).or_default();
            let (word, bit) = place(id);
            if let Some(word) = block.bits.get_mut(word) {
                *word |= 1 << bit;
            }
            block.newest = block.newest.max(newest);
        }
        self.last = self.last.max(Some(run.last));
    }

    /// Adds all accounts of another set.
    pub(super) fn merge(&mut self, other: &Self) {
        for (number, more) in &other.blocks {
            let block = self.blocks.entry(*number).or_default();
            for (word, more) in block.bits.iter_mut().zip(more.bits) {
                *word |= more;
            }
            block.newest = block.newest.max(more.newest);
        }
        self.last = self.last.max(other.last);
    }

    /// Removes all accounts with these ids.
    pub(super) fn remove(&mut self, ids: &RangeInclusive<i64>) {
        let (first, last) = (*ids.start(), *ids.end());
        let touched = first / BLOCK..=last / BLOCK;
        self.blocks.retain(|number, block| {
            if !touched.contains(number) {
                return true;
            }
            let start = number * BLOCK;
            for id in first.max(start)..=last.min(start.saturating_add(BLOCK - 1)) {
                let (word, bit) = place(id);
                if let Some(word) = block.bits.get_mut(word) {
                    *word &= !(1 << bit);
                }
            }
            block.bits.iter().any(|word| *word != 0)
        });
    }

    /// The highest id that was ever added: accounts above it are unknown.
    pub(super) fn last(&self) -> Option<UserId> {
        self.last
    }

    pub(super) fn len(&self) -> u64 {
        let words = self.blocks.values().flat_map(|block| block.bits);
        words.map(|word| u64::from(word.count_ones())).sum()
    }
}

/// The word of a block, and the bit of the word.
fn place(id: i64) -> (usize, u32) {
    let within = id.rem_euclid(BLOCK);
    let word = usize::try_from(within / WORD).unwrap_or(usize::MAX);
    (word, u32::try_from(within % WORD).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    fn id(value: i64) -> UserId {
        UserId::new(value).unwrap()
    }

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(secs, 999_000_000).unwrap()
    }

    fn set() -> AccountSet {
        let mut set = AccountSet::default();
        set.add_page(&AccountPage::of([
            (id(1), at(10)),
            (id(2), at(20)),
            (id(511), at(30)),
            (id(513), at(40)),
            (id(i64::MAX), at(50)),
        ]));
        set
    }

    #[test]
    fn an_account_is_known_with_the_time_of_the_newest_in_its_block() {
        let set = set();
        for (known, made_by) in [(1, 30), (2, 30), (511, 30), (513, 40), (i64::MAX, 50)] {
            assert_eq!(set.made_by(id(known)), Some(made_by), "{known}");
        }
        for unknown in [3, 510, 512, 1024, i64::MAX - 1] {
            assert_eq!(set.made_by(id(unknown)), None, "{unknown}");
        }
        assert_eq!((set.len(), set.last()), (5, UserId::new(i64::MAX)));
    }

    #[test]
    fn a_removed_account_is_unknown_and_its_neighbours_stay() {
        let mut set = set();
        set.remove(&(2..=511));
        assert_eq!(
            [1, 2, 511, 513].map(|known| set.made_by(id(known)).is_some()),
            [true, false, false, true]
        );
        set.remove(&(1..=i64::MAX));
        assert_eq!((set.len(), set.blocks.len()), (0, 0));
        // Ids below it are not handed out again.
        assert_eq!(set.last(), UserId::new(i64::MAX));
    }

    #[test]
    fn a_million_accounts_take_less_than_a_third_of_a_megabyte() {
        let mut set = AccountSet::default();
        set.add_page(&AccountPage {
            runs: vec![AccountRun {
                first: id(1),
                last: id(1_000_000),
                newest: at(1),
            }],
        });
        let bytes = set.blocks.capacity() * 8 / 7 * (size_of::<(i64, Block)>() + 1);
        assert!(bytes < 333_000, "{bytes} bytes");
        assert_eq!(set.len(), 1_000_000);
    }
}
