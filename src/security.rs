//! The security log: who did what from where, and whether it was let through. One line an event under the target `security`, for
//! people and for what reads logs by machine.
//!
//! Nothing secret comes here: no password, no token, and of what a client sent only the name, shortened. The log (`telemetry`)
//! escapes it, so that it cannot end a line or pretend to be another field.
//!
//! A flood does not fill the disk: one network has its share of an event's lines, and all together have another. The next line
//! says how many were left out; metrics count them all.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::limit::{Limiter, Network};

/// Lines of one kind of event in a period: all together, and from one network.
const LINES_PER_PERIOD: u32 = 200;
const LINES_OF_NETWORK: u32 = 20;
const PERIOD: Duration = Duration::from_secs(10);
/// Of a name: more says nothing more.
const NAME_CHARS: usize = 64;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    Registration,
    Login,
    /// A login that is not looked at any more: its network, or its account from there, failed too often.
    LockOut,
    /// A person decided about a dead letter.
    DeadLetter,
}

impl Event {
    const ALL: [Self; 4] = [
        Self::Registration,
        Self::Login,
        Self::LockOut,
        Self::DeadLetter,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Login => "login",
            Self::LockOut => "lock_out",
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// Which lines are written.
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

    /// How many lines of this event were left out since the last one, if there is room for one.
    fn line(&self, event: Event, from: Option<Network>) -> Option<u64> {
        let of_network = from.is_none_or(|from| self.by_network.take(&(event, from), 1).is_ok());
        let has_room = of_network && self.all.take(&event, 1).is_ok();
        let place = Event::ALL.iter().position(|known| *known == event)?;
        let left_out = self.left_out.get(place)?;
        if has_room {
            Some(left_out.swap(0, Ordering::Relaxed))
        } else {
            left_out.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// Writes a line. `outcome` is a word of ours; `who` what a client or an operator calls themselves; `from` is missing for who
/// works on this machine; `about` is what it was about, if that is not clear.
pub fn note(event: Event, outcome: &str, who: &str, from: Option<Network>, about: &str) {
    static THROTTLE: LazyLock<Throttle> = LazyLock::new(Throttle::new);
    let Some(left_out) = THROTTLE.line(event, from) else {
        return;
    };
    let (event, who) = (event.name(), shortened(who));
    let address = from.map_or_else(|| "local".to_owned(), |from| from.address().to_string());
    let about = shortened(about);
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
    fn one_network_has_its_lines_and_others_have_theirs() {
        let throttle = Throttle::new();
        let lines = |event, last| {
            let from = Some(network([192, 0, 2, last]));
            (0..50)
                .filter(|_| throttle.line(event, from).is_some())
                .count()
        };
        // A few come back while they are counted.
        let about = |expected: usize, lines: usize| (expected..expected * 5 / 4).contains(&lines);
        assert!(about(20, lines(Event::Login, 1)));
        assert!(about(20, lines(Event::Login, 2)), "another network");
        assert!(about(20, lines(Event::LockOut, 1)), "another event");
        let all: usize = (3..100).map(|last| lines(Event::Login, last)).sum();
        assert!(about(160, all), "of all networks together: {all}");
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let throttle = Throttle::new();
        let from = Some(network([192, 0, 2, 1]));
        for _ in 0..1_034 {
            throttle.line(Event::Login, from);
        }
        assert_eq!(throttle.line(Event::Registration, from), Some(0));
        let next = throttle.line(Event::Login, Some(network([192, 0, 2, 2])));
        assert!(next.is_some_and(|left_out| (1_000..=1_014).contains(&left_out)));
    }

    #[test]
    fn of_a_long_name_the_beginning_is_logged() {
        let whole = "\u{1b}".repeat(NAME_CHARS);
        assert_eq!(shortened(&whole), whole);
        assert_eq!(shortened(&format!("{whole}x")), format!("{whole}…"));
    }
}
