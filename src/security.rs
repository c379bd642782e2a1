//! The security log: who did what, from which address, and with which outcome. Each event is one line with the target `security`,
//! for people and for programs that read logs.
//!
//! The lines contain no secret: no password, no token, and of the data from a client only the shortened name. A name that contains
//! `@` is replaced: people type their e-mail address where a user name is asked for, and an erasure does not reach log lines. The log
//! (`telemetry`) escapes the name, so that it cannot end the line or imitate another field.
//!
//! A flood of events does not fill the disk: the number of lines is limited for each network and for all together. The next line
//! has the number of lines that were left out. Metrics count all logins and registrations.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::limit::{Limiter, Network};

/// Most lines of one kind of event in a [`PERIOD`], from all networks together.
const LINES_PER_PERIOD: u32 = 200;
/// Most lines of one kind of event in a [`PERIOD`], from one network.
const LINES_OF_NETWORK: u32 = 20;
const PERIOD: Duration = Duration::from_secs(10);
/// Characters of a name that are logged. More of them give no more information.
const NAME_CHARS: usize = 64;
/// What is logged in the place of a name that may be an e-mail address.
const EMAIL: &str = "(an e-mail address)";

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    Registration,
    Login,
    /// A login that is refused without a check, because logins from its network, or to its account from there, failed too often.
    LockOut,
    /// All tokens of an account were ended by its owner.
    Logout,
    PasswordChange,
    PasswordReset,
    /// A person made an account, or changed one that is not their own.
    Account,
    /// An operator's decision about a dead letter.
    DeadLetter,
    /// A path of operators was asked for without a good token, or with one that does not have the right for it.
    AdminAccess,
    /// The same on a path of the shop's programs, whose right is a scope.
    ServiceAccess,
    /// A program asked for a token.
    ServiceToken,
    /// Somebody sent a token of the shop's issuer.
    Exchange,
}

impl Event {
    const ALL: [Self; 12] = [
        Self::Registration,
        Self::Login,
        Self::LockOut,
        Self::Logout,
        Self::PasswordChange,
        Self::PasswordReset,
        Self::Account,
        Self::DeadLetter,
        Self::AdminAccess,
        Self::ServiceAccess,
        Self::ServiceToken,
        Self::Exchange,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Login => "login",
            Self::LockOut => "lock_out",
            Self::Logout => "logout",
            Self::PasswordChange => "password_change",
            Self::PasswordReset => "password_reset",
            Self::Account => "account",
            Self::DeadLetter => "dead_letter",
            Self::AdminAccess => "admin_access",
            Self::ServiceAccess => "service_access",
            Self::ServiceToken => "service_token",
            Self::Exchange => "exchange",
        }
    }
}

/// Limits the number of lines.
struct Throttle {
    all: Limiter,
    by_network: Limiter,
    left_out: [AtomicU64; Event::ALL.len()],
}

impl Throttle {
    fn new() -> Self {
        Self {
            all: Limiter::new(LINES_PER_PERIOD, PERIOD),
            by_network: Limiter::new(LINES_OF_NETWORK, PERIOD),
            left_out: Default::default(),
        }
    }

    /// If a line of this event may be written, the number of its lines that were left out since the last one.
    fn admit_line(&self, event: Event, from: Option<Network>) -> Option<u64> {
        let network_has_room =
            from.is_none_or(|from| self.by_network.take(&(event, from), 1).is_ok());
        let has_room = network_has_room && self.all.take(&event, 1).is_ok();
        let index = Event::ALL.iter().position(|known| *known == event)?;
        let left_out = self.left_out.get(index)?;
        if has_room {
            Some(left_out.swap(0, Ordering::Relaxed))
        } else {
            left_out.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// Writes a line, if the limits allow it. `outcome` is a fixed word, `who` the name that a client or an operator gave, and
/// `about` the object of the event, empty if there is none. `from` is `None` for an operator, who works on this machine.
pub fn note(event: Event, outcome: &str, who: &str, from: Option<Network>, about: &str) {
    static THROTTLE: LazyLock<Throttle> = LazyLock::new(Throttle::new);
    let Some(left_out) = THROTTLE.admit_line(event, from) else {
        return;
    };
    let (event, who) = (event.name(), logged(who));
    let address = from.map_or_else(|| "local".to_owned(), |from| from.address().to_string());
    let about = logged(about);
    tracing::info!(
        target: "security",
        event,
        outcome,
        who = who.as_str(),
        address,
        about = about.as_str(),
        left_out,
        "security"
    );
}

/// A name as it is logged.
fn logged(name: &str) -> String {
    // Other signs that are the same after NFKC, as in the keys of accounts.
    if name.contains(['@', '\u{ff20}', '\u{fe6b}']) {
        return EMAIL.to_owned();
    }
    shortened(name)
}

fn shortened(name: &str) -> String {
    let mut shortened: String = name.chars().take(NAME_CHARS).collect();
    if name.chars().nth(NAME_CHARS).is_some() {
        shortened.push('…');
    }
    shortened
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn network(address: [u8; 4]) -> Network {
        IpAddr::from(address).into()
    }

    #[test]
    fn lines_are_limited_by_network_and_event_and_in_total() {
        let throttle = Throttle::new();
        let lines = |event, last| {
            let from = Some(network([192, 0, 2, last]));
            (0..50)
                .filter(|_| throttle.admit_line(event, from).is_some())
                .count()
        };
        // The limits admit a few more lines while the test counts.
        let about = |expected: usize, lines: usize| (expected..expected * 5 / 4).contains(&lines);
        assert!(about(20, lines(Event::Login, 1)));
        assert!(about(20, lines(Event::Login, 2)), "another network");
        assert!(about(20, lines(Event::LockOut, 1)), "another event");
        let all: usize = (3..100).map(|last| lines(Event::Login, last)).sum();
        assert!(about(160, all), "of all networks together: {all}");
    }

    #[test]
    fn lines_that_are_left_out_are_counted() {
        let throttle = Throttle::new();
        let from = Some(network([192, 0, 2, 1]));
        for _ in 0..1_034 {
            throttle.admit_line(Event::Login, from);
        }
        assert_eq!(throttle.admit_line(Event::Registration, from), Some(0));
        let next = throttle.admit_line(Event::Login, Some(network([192, 0, 2, 2])));
        assert!(next.is_some_and(|left_out| (1_000..=1_014).contains(&left_out)));
    }

    #[test]
    fn an_email_address_is_not_logged() {
        for name in [
            "ada@example.com",
            "ada lovelace <ada@example.com>",
            "@",
            "ada\u{ff20}example.com",
        ] {
            assert_eq!(logged(name), EMAIL, "{name}");
        }
        assert_eq!(logged("ada.lovelace"), "ada.lovelace");
    }

    #[test]
    fn only_the_beginning_of_a_long_name_is_logged() {
        let whole = "\u{1b}".repeat(NAME_CHARS);
        assert_eq!(shortened(&whole), whole);
        assert_eq!(shortened(&format!("{whole}x")), format!("{whole}…"));
    }
}
