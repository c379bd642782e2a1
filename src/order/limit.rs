//! Limits how often one shopper presses "buy", and how often all shoppers of one network do together.

use std::time::Duration;

use crate::{
    config::LimitsConfig,
    ids::UserId,
    limit::{Limiter, Network, NetworkLimiter, TooMany},
};

const MINUTE: Duration = Duration::from_mins(1);

/// The limits of presses, for all sales together.
pub struct AttemptLimit {
    by_user: Limiter,
    /// Limits many accounts of one network together: they belong to a company, or to one person.
    by_network: NetworkLimiter,
    /// True if the limit of networks applies to clients on this machine, too.
    loopback: bool,
}

impl AttemptLimit {
    #[must_use]
    pub fn new(config: &LimitsConfig) -> Self {
        Self {
            by_user: Limiter::new(config.attempts_per_user, MINUTE),
            by_network: NetworkLimiter::new(config.attempts_per_address, MINUTE),
            loopback: config.loopback,
        }
    }

    /// Counts a press, or refuses it. A press above the shopper's own limit does not count for the network. Whether
    /// this machine has a limit as a network is one setting for presses, logins and registrations.
    pub fn check(&self, user: UserId, from: Network) -> Result<(), TooMany> {
        self.check_user(user)?;
        if from.is_loopback() && !self.loopback {
            return Ok(());
        }
        self.by_network.take(from, 1)
    }

    /// Does the same for a press that a program of the shop sends for a shopper. The network has no limit then, since all such
    /// presses come from one network.
    pub fn check_user(&self, user: UserId) -> Result<(), TooMany> {
        self.by_user.take(&user, 1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn pressed(limit: &AttemptLimit, users: std::ops::Range<i64>, from: IpAddr) -> usize {
        let users = users.filter_map(UserId::new);
        users
            .flat_map(|user| std::iter::repeat_n(user, 10))
            .filter(|user| limit.check(*user, from.into()).is_ok())
            .count()
    }

    fn limit(loopback: bool) -> AttemptLimit {
        AttemptLimit::new(&LimitsConfig {
            logins_per_address: 0,
            failed_logins_per_account: 0,
            registrations_per_address: 0,
            registrations_per_account: 0,
            attempts_per_user: 6,
            attempts_per_address: 60,
            loopback,
        })
    }

    #[test]
    fn this_machine_has_the_limit_of_a_network_if_the_setting_says_so() {
        let here = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(pressed(&limit(true), 1..101, here), 60);
        assert_eq!(pressed(&limit(false), 1..101, here), 600);
    }

    #[test]
    fn many_accounts_of_one_network_share_its_allowance() {
        let limit = limit(false);
        let [one, other] = [[192, 0, 2, 1], [198, 51, 100, 1]].map(IpAddr::from);
        assert_eq!(pressed(&limit, 1..2, one), 6, "of a shopper");
        assert_eq!(pressed(&limit, 2..1_000, one), 54, "of the network");
        assert_eq!(pressed(&limit, 1_001..1_002, other), 6, "of another one");
    }
}
