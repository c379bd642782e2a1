//! Shoppers who all press at once and press again until they know, while something happens to the servers.

#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml exempts only the tests' own bodies

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};

use super::api::{Api, Shopper};

/// Shoppers who press at the same time.
const AT_ONCE: usize = 40;
/// Between two presses of a shopper.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a shopper goes on.
const PATIENCE: Duration = Duration::from_secs(40);

/// What became of a rush.
pub struct Rush {
    /// Who was accepted, and when.
    pub accepted: Vec<(Shopper, Instant)>,
    pub sold_out: usize,
    /// Answers 503 by which nothing was changed, and those that leave it open.
    pub refused: usize,
    pub in_doubt: usize,
}

/// How many shoppers know what became of them, to be watched by others.
pub type Known = Arc<AtomicUsize>;

impl Rush {
    /// Lets shoppers press until each is accepted or told that all is sold. No other answer is right than those and 503 with one
    /// of its codes.
    pub async fn run(api: &Api, sale: i64, shoppers: Vec<Shopper>, known: Known) -> Self {
        let pressing = shoppers.into_iter().map(|shopper| {
            let known = Arc::clone(&known);
            async move {
                let told = press(api, sale, &shopper).await;
                known.fetch_add(1, Ordering::Relaxed);
                (shopper, told)
            }
        });
        let told: Vec<_> = stream::iter(pressing)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut rush = Self {
            accepted: Vec::new(),
            sold_out: 0,
            refused: 0,
            in_doubt: 0,
        };
        for (shopper, told) in told {
            rush.refused += told.refused;
            rush.in_doubt += told.in_doubt;
            match told.accepted {
                Some(at) => rush.accepted.push((shopper, at)),
                None => rush.sold_out += 1,
            }
        }
        rush
    }

    /// The time from an event until the next shopper was accepted. Zero if no shopper was accepted after it: a test notices an election
    /// some milliseconds late, and the last unit may be sold by then.
    pub fn accepted_after(&self, event: Instant) -> Duration {
        let times = self.accepted.iter().map(|(_, at)| *at);
        let next = times.filter(|at| *at >= event).min();
        next.map_or(Duration::ZERO, |next| next - event)
    }

    /// The longest time in which nobody was accepted.
    pub fn longest_gap(&self) -> Duration {
        let mut times: Vec<_> = self.accepted.iter().map(|(_, at)| *at).collect();
        times.sort_unstable();
        let gaps = times.iter().zip(times.iter().skip(1));
        gaps.map(|(one, next)| *next - *one)
            .max()
            .unwrap_or_default()
    }
}

struct Told {
    accepted: Option<Instant>,
    refused: usize,
    in_doubt: usize,
}

async fn press(api: &Api, sale: i64, shopper: &Shopper) -> Told {
    let begun = Instant::now();
    let mut told = Told {
        accepted: None,
        refused: 0,
        in_doubt: 0,
    };
    loop {
        let (status, body) = api.attempt(sale, shopper).await;
        match (status, body["code"].as_str()) {
            (200, _) => {
                told.accepted = Some(Instant::now());
                return told;
            }
            (409, Some("sold_out")) => return told,
            (503, Some("unavailable" | "sale_preparing")) => told.refused += 1,
            (503, Some("outcome_unknown")) => told.in_doubt += 1,
            _ => panic!("{status} {body}"),
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "after {PATIENCE:?} still {body}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}
