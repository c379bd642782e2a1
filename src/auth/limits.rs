//! Limits how often accounts are made and logged in to, from one network and for one account.
//!
//! A limit is decided by what the client sent alone, before a password is hashed or an account is looked up. So the decision does
//! not depend on whether the account exists.

use std::time::Duration;

use crate::{
    account_key::AccountKey,
    config::LimitsConfig,
    limit::{Limiter, Network, NetworkLimiter, TooMany},
};

const MINUTE: Duration = Duration::from_mins(1);
/// The period over which failed logins to one account are counted.
const FAILURES: Duration = Duration::from_mins(15);
/// A failed login counts as this many logins of its network. A successful one counts as one, since it costs a hash, too.
const FAILED_COUNTS: u32 = 20;
/// An account is under attack if it has as many failures as this number of networks may cause.
const ATTACKERS: u32 = 10;

/// The limits of registering and logging in.
pub struct AuthLimits {
    registrations_by_network: NetworkLimiter,
    registrations_by_name: Limiter,
    logins_by_network: NetworkLimiter,
    /// A failed login counts as this many logins of its network.
    failed_counts: u32,
    /// Limits failed logins from one network to one account.
    failures: Limiter,
    /// Counts failed logins from all networks to one account.
    failures_by_account: Limiter,
    /// True if the limits of networks apply to clients on this machine, too.
    loopback: bool,
}

/// The charge of a login that was let in. The login counts as failed until it is known not to have failed.
pub(super) struct LoginCharge<'a> {
    limits: &'a AuthLimits,
    account: AccountLimitKey,
    from: Network,
    of_network: u32,
    of_pair: u32,
    of_account: u32,
}

/// The charge of a reset, or of the exchange of a token, that was let in. It counts as failed until it is known not to have
/// failed.
pub(super) struct NetworkCharge<'a> {
    limits: &'a AuthLimits,
    from: Network,
    uses: u32,
}

impl NetworkCharge<'_> {
    /// Lowers the charge to one login of the network.
    pub(super) fn did_not_fail(self) {
        let uses = self.uses.saturating_sub(1);
        self.limits.logins_by_network.give_back(self.from, uses);
    }
}

/// The key of a name as it was sent. All spellings of a name have the same key.
type AccountLimitKey = AccountKey;

impl AuthLimits {
    #[must_use]
    pub fn new(config: &LimitsConfig) -> Self {
        let failures = config.failed_logins_per_account;
        let logins_by_network = NetworkLimiter::new(config.logins_per_address, MINUTE);
        Self {
            registrations_by_network: NetworkLimiter::new(config.registrations_per_address, MINUTE),
            registrations_by_name: Limiter::new(config.registrations_per_account, MINUTE),
            failed_counts: FAILED_COUNTS.min(logins_by_network.burst()).max(1),
            logins_by_network,
            failures: Limiter::new(failures, FAILURES),
            failures_by_account: Limiter::new(failures.saturating_mul(ATTACKERS), FAILURES),
            loopback: config.loopback,
        }
    }

    /// The number of uses that the network is charged: `uses`, or 0 if the network is this machine and has no limits.
    fn uses_of(&self, from: Network, uses: u32) -> u32 {
        if self.loopback || !from.is_loopback() {
            uses
        } else {
            0
        }
    }

    pub(super) fn registration(&self, username: &str, from: Network) -> Result<(), TooMany> {
        self.registrations_by_network
            .take(from, self.uses_of(from, 1))?;
        let account = AccountKey::of(username);
        self.registrations_by_name.take(&account, 1)
    }

    /// Lets in or refuses a change by a signed-in account. The change counts as a successful login of its network.
    pub(super) fn change(&self, from: Network) -> Result<(), TooMany> {
        self.logins_by_network.take(from, self.uses_of(from, 1))
    }

    /// Lets in or refuses a reset of a password. A failed reset counts as a failed login of its network, but of no account, since
    /// it names none.
    pub(super) fn reset(&self, from: Network) -> Result<NetworkCharge<'_>, TooMany> {
        let uses = self.uses_of(from, self.failed_counts);
        self.logins_by_network.take(from, uses)?;
        Ok(NetworkCharge {
            limits: self,
            from,
            uses,
        })
    }

    /// Lets in or refuses an exchange of a token. If the token turns out to be wrong, this counts as a failed login of its
    /// network.
    pub(super) fn exchange(&self, from: Network) -> Result<NetworkCharge<'_>, TooMany> {
        self.reset(from)
    }

    /// Lets in or refuses a login.
    ///
    /// An account is never closed to all networks, since anybody could then close the account of anybody else. Failures from one
    /// network shut out that network. If failures come from many networks, the account is under attack: each network then has a
    /// single try instead of its usual number. A single try is enough for the owner, from any network.
    pub(super) fn login(&self, username: &str, from: Network) -> Result<LoginCharge<'_>, TooMany> {
        let of_network = self.uses_of(from, self.failed_counts);
        self.logins_by_network.take(from, of_network)?;
        let account = AccountKey::of(username);
        let is_attacked = self.failures_by_account.take(&account, 1).is_err();
        let (of_account, of_pair) = if is_attacked {
            (0, self.failures.burst())
        } else {
            (1, 1)
        };
        let pair = (&account, from);
        if let Err(refused) = self.failures.take(&pair, of_pair) {
            // The password is not compared, so that this is no failure of the account.
            self.failures_by_account.give_back(&account, of_account);
            self.logins_by_network
                .give_back(from, of_network.saturating_sub(1));
            return Err(refused);
        }
        Ok(LoginCharge {
            limits: self,
            account,
            from,
            of_network,
            of_pair,
            of_account,
        })
    }
}

impl LoginCharge<'_> {
    /// Lowers the charge to one login of the network: the password was right, or it was not compared. If the client hangs up
    /// before this is known, the full charge stays, since the work was done.
    pub(super) fn did_not_fail(self) {
        let Self {
            limits,
            account,
            from,
            of_network,
            of_pair,
            of_account,
        } = self;
        limits.failures.give_back(&(&account, from), of_pair);
        limits.failures_by_account.give_back(&account, of_account);
        limits
            .logins_by_network
            .give_back(from, of_network.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn limits(logins: u32, failures: u32) -> AuthLimits {
        AuthLimits::new(&LimitsConfig {
            logins_per_address: logins,
            failed_logins_per_account: failures,
            registrations_per_address: 5,
            registrations_per_account: 2,
            attempts_per_user: 0,
            loopback: true,
            attempts_per_address: 0,
        })
    }

    /// Each in a /24 of its own.
    fn network(number: u32) -> Network {
        IpAddr::from((number << 8).to_be_bytes()).into()
    }

    /// How many wrong passwords in a row are looked at.
    fn failed(limits: &AuthLimits, account: &str, from: Network) -> usize {
        let tries = (0..10_000).map(|_| limits.login(account, from));
        tries.take_while(Result::is_ok).count()
    }

    fn right(limits: &AuthLimits, account: &str, from: Network) -> bool {
        let charge = limits.login(account, from);
        charge.map(LoginCharge::did_not_fail).is_ok()
    }

    #[test]
    fn wrong_passwords_shut_out_their_network_and_nobody_else() {
        let limits = limits(0, 20);
        assert_eq!(failed(&limits, "user1", network(1)), 20);
        assert!(!right(&limits, "USER1", network(1)), "whatever the case");
        assert!(right(&limits, "user1", network(2)));
        assert_eq!(failed(&limits, "user2", network(1)), 20, "another account");
    }

    #[test]
    fn refused_tries_of_one_network_are_no_attack_on_the_account() {
        let limits = limits(0, 20);
        for _ in 0..1_000 {
            failed(&limits, "user1", network(1));
        }
        assert_eq!(failed(&limits, "user1", network(2)), 20);
    }

    #[test]
    fn an_account_under_attack_is_open_to_who_knows_the_password() {
        let limits = limits(0, 20);
        for attacker in 1..=ATTACKERS {
            assert_eq!(failed(&limits, "user1", network(attacker)), 20);
        }
        for attacker in 100..200 {
            let tries = failed(&limits, "user1", network(attacker));
            assert_eq!(tries, 1, "a single try of each further network");
        }
        for _ in 0..100 {
            assert!(right(&limits, "user1", network(1_000)), "from anywhere");
        }
        assert_eq!(failed(&limits, "user2", network(1)), 20, "another account");
    }

    #[test]
    fn right_passwords_count_as_logins_of_their_network_only() {
        let limits = limits(600, 20);
        for _ in 0..500 {
            assert!(right(&limits, "user1", network(1)));
        }
        assert_eq!(failed(&limits, "user1", network(1)), 5, "of the network");
        assert_eq!(failed(&limits, "user1", network(2)), 20);
    }

    #[test]
    fn one_network_does_not_try_many_accounts() {
        let limits = limits(600, 20);
        let looked_at =
            (0..1_000).filter(|n| limits.login(&format!("user{n}"), network(1)).is_ok());
        assert_eq!(looked_at.count(), 30);
        assert!(limits.login("user1", network(2)).is_ok());
    }

    #[test]
    fn a_whole_48_has_the_tries_of_sixteen_networks() {
        let limits = limits(600, 20);
        let networks = (0..1_000)
            .map(|n: u16| Network::from(IpAddr::from([0x2001, 0xdb8, 1, n * 65, 0, 0, 0, 1])));
        let looked_at = networks
            .clone()
            .enumerate()
            .filter(|(n, from)| limits.login(&format!("user{n}"), *from).is_ok())
            .count();
        let registered = networks
            .enumerate()
            .filter(|(n, from)| limits.registration(&format!("user{n}"), *from).is_ok())
            .count();
        // A few come back while they are counted.
        assert!((30 * 16..30 * 20).contains(&looked_at), "{looked_at}");
        assert!((5 * 16..5 * 20).contains(&registered), "{registered}");
    }

    #[test]
    fn registrations_are_limited_by_network_and_by_name() {
        let limits = limits(0, 0);
        let register = |name: &str, from| limits.registration(name, network(from)).is_ok();
        assert!(register("user1", 1) && register("USER1", 1) && !register("user1", 1));
        assert!(!register("user1", 2) && register("user2", 1) && register("user3", 1));
        assert!(!register("user4", 1) && register("user4", 2));
    }

    #[test]
    fn this_machine_is_limited_unless_that_is_off_and_nobody_else_is_let_off() {
        let local: Vec<Network> = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]
            .map(|address| address.parse::<IpAddr>().unwrap().into())
            .into();
        for from in &local {
            let (with, mut without) = (limits(600, 0), limits(600, 0));
            without.loopback = false;
            let registered = |limits: &AuthLimits, from| {
                (0..100)
                    .take_while(|n| limits.registration(&format!("user{n}"), from).is_ok())
                    .count()
            };
            assert_eq!(registered(&with, *from), 5);
            assert_eq!(registered(&without, *from), 100);
            assert_eq!(registered(&without, network(0xcb00_7105)), 5);
            assert_eq!(failed(&with, "user1", *from), 30);
            assert_eq!(failed(&without, "user1", *from), 10_000);
            assert!(right(&without, "user1", *from));
            assert_eq!(failed(&without, "user1", network(0xcb00_7105)), 30);
        }
        let guessed = AuthLimits {
            loopback: false,
            ..limits(0, 20)
        };
        assert_eq!(
            failed(&guessed, "user1", local[0]),
            20,
            "the account's own limit stays"
        );
    }

    #[test]
    fn limits_of_zero_let_everything_through() {
        assert_eq!(failed(&limits(0, 0), "user1", network(1)), 10_000);
    }
}
