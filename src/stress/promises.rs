//! Judges the promises that can be checked through the API, from counts alone: nothing is read here.

/// What was counted after the presses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub initial_stock: u64,
    /// As the last reading of the sale's status showed it.
    pub remaining_stock: Option<u64>,
    /// Shoppers with an accepted press.
    pub accepted: u64,
    /// Of the accepted shoppers: those who were told SUCCESS, FAILED or nothing yet, and those whose result could not be read.
    pub success: u64,
    pub failed: u64,
    pub missing: u64,
    pub unreadable: u64,
    /// Of the accepted shoppers: those whose accepted presses were not all answered with one and the same attempt id.
    pub contradicted: u64,
    /// Shoppers whose every press was refused for lack of units.
    pub refused: u64,
    /// Of the refused shoppers: those who were told SUCCESS, and those whose result could not be read.
    pub refused_success: u64,
    pub refused_unreadable: u64,
    /// Of all other shoppers who pressed: those who were told SUCCESS, and those whose result could not be read.
    pub untold_success: u64,
    pub untold_unreadable: u64,
}

/// How a promise stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Kept,
    Broken,
    /// The counts do not tell.
    Unknown,
}

impl Standing {
    /// The name for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }
}

/// A promise, and what the counts say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// For programs.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    pub standing: Standing,
    pub found: String,
}

impl Counts {
    /// Judges every promise that these counts say something about.
    #[must_use]
    pub fn judge(&self) -> Vec<Promise> {
        vec![
            self.never_oversold(),
            self.nothing_lost(),
            self.refused_get_nothing(),
            self.one_attempt_each(),
            self.balance(),
        ]
    }

    fn never_oversold(&self) -> Promise {
        let success = self.success + self.refused_success + self.untold_success;
        let standing = if success > self.initial_stock {
            Standing::Broken
        } else if self.unreadable + self.refused_unreadable + self.untold_unreadable > 0 {
            Standing::Unknown
        } else {
            Standing::Kept
        };
        Promise {
            name: "never_oversold",
            title: "never oversold",
            standing,
            found: format!("{success} SUCCESS of {} units", self.initial_stock),
        }
    }

    fn nothing_lost(&self) -> Promise {
        // A shopper without a result may still get one. Why a shopper FAILED although units remain is for the audit to explain.
        let is_unclear = self.failed > 0 && self.remaining_stock.is_none_or(|left| left > 0);
        let standing = if self.missing > 0 || self.unreadable > 0 || is_unclear {
            Standing::Unknown
        } else {
            Standing::Kept
        };
        Promise {
            name: "nothing_accepted_is_lost",
            title: "nothing accepted is lost",
            standing,
            found: format!(
                "{} shoppers accepted: {} SUCCESS, {} FAILED, {} without a result, {} not readable",
                self.accepted, self.success, self.failed, self.missing, self.unreadable
            ),
        }
    }

    fn refused_get_nothing(&self) -> Promise {
        let standing = if self.refused_success > 0 {
            Standing::Broken
        } else if self.refused_unreadable > 0 {
            Standing::Unknown
        } else {
            Standing::Kept
        };
        Promise {
            name: "refused_get_nothing",
            title: "who was refused gets nothing",
            standing,
            found: format!(
                "{} shoppers were told \"sold out\", {} of them SUCCESS afterwards, {} not readable",
                self.refused, self.refused_success, self.refused_unreadable
            ),
        }
    }

    fn one_attempt_each(&self) -> Promise {
        Promise {
            name: "one_attempt_each",
            title: "pressing again is the same attempt",
            standing: kept(self.contradicted == 0),
            found: format!(
                "{} of {} accepted shoppers were told more than one attempt, or none",
                self.contradicted, self.accepted
            ),
        }
    }

    fn balance(&self) -> Promise {
        let (standing, remaining) = match self.remaining_stock {
            None => (Standing::Unknown, "an unknown number".to_owned()),
            Some(remaining) => (
                kept(
                    (self.success + self.untold_success).saturating_add(remaining)
                        <= self.initial_stock,
                ),
                remaining.to_string(),
            ),
        };
        Promise {
            name: "sold_and_remaining_fit",
            title: "sold and remaining are no more than there were",
            standing,
            found: format!(
                "{} SUCCESS and {remaining} remaining of {} units",
                self.success + self.untold_success,
                self.initial_stock
            ),
        }
    }
}

fn kept(is_kept: bool) -> Standing {
    if is_kept {
        Standing::Kept
    } else {
        Standing::Broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Counts = Counts {
        initial_stock: 3,
        remaining_stock: Some(0),
        accepted: 4,
        success: 3,
        failed: 1,
        missing: 0,
        unreadable: 0,
        contradicted: 0,
        refused: 10,
        refused_success: 0,
        refused_unreadable: 0,
        untold_success: 0,
        untold_unreadable: 0,
    };

    fn not_kept(counts: Counts) -> Vec<(&'static str, Standing)> {
        let promises = counts.judge().into_iter();
        promises
            .filter(|promise| promise.standing != Standing::Kept)
            .map(|promise| (promise.name, promise.standing))
            .collect()
    }

    #[test]
    fn a_sale_that_went_well_keeps_them_all() {
        assert_eq!(not_kept(FINE), []);
    }

    #[test]
    fn each_is_broken_by_its_own() {
        use Standing::{Broken, Unknown};
        let oversold = Counts { success: 4, ..FINE };
        assert_eq!(
            not_kept(oversold),
            [
                ("never_oversold", Broken),
                ("sold_and_remaining_fit", Broken)
            ]
        );
        let lost = Counts { missing: 1, ..FINE };
        assert_eq!(not_kept(lost), [("nothing_accepted_is_lost", Unknown)]);
        let unclear = Counts {
            success: 2,
            failed: 2,
            remaining_stock: Some(1),
            ..FINE
        };
        assert_eq!(not_kept(unclear), [("nothing_accepted_is_lost", Unknown)]);
        let untold = Counts {
            untold_success: 1,
            ..FINE
        };
        assert_eq!(
            not_kept(untold),
            [
                ("never_oversold", Broken),
                ("sold_and_remaining_fit", Broken)
            ]
        );
        let unreadable = Counts {
            unreadable: 1,
            ..FINE
        };
        assert_eq!(
            not_kept(unreadable),
            [
                ("never_oversold", Unknown),
                ("nothing_accepted_is_lost", Unknown)
            ]
        );
        let liar = Counts {
            success: 2,
            refused_success: 1,
            ..FINE
        };
        assert_eq!(not_kept(liar), [("refused_get_nothing", Broken)]);
        let twice = Counts {
            contradicted: 1,
            ..FINE
        };
        assert_eq!(not_kept(twice), [("one_attempt_each", Broken)]);
        let remaining_stock = Some(1);
        let leak = Counts {
            remaining_stock,
            ..FINE
        };
        assert_eq!(
            not_kept(leak),
            [
                ("nothing_accepted_is_lost", Unknown),
                ("sold_and_remaining_fit", Broken)
            ]
        );
    }
}
