//! Reads what became of the shoppers' purchases, again and again until every shopper has a result.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    api::{self, PurchaseStatus, Refusal},
    load::Load,
    request::{Request, Token},
    schedule::Plan,
};

/// The first and the longest pause between two readings. Each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The result that a shopper is told in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Success,
    Failed,
    /// There is no result.
    Missing,
    /// The result was never read, or the last reading failed.
    Unreadable,
}

/// Reads the [`result`](api::result) of each of these shoppers until `is_over` is true for it, or until `patience` has passed.
/// Returns the last ending of each shopper.
///
/// Blocks the calling thread. Fails only if the runtime of a thread cannot be started.
pub fn read(
    load: &Load<'_>,
    result: &Request,
    tokens: &[&Token],
    patience: Duration,
    is_over: impl Fn(Ending) -> bool,
) -> io::Result<Vec<Ending>> {
    let endings: Vec<_> = tokens
        .iter()
        .map(|_| Mutex::new(Ending::Unreadable))
        .collect();
    let ending = |shopper: usize| {
        let slot = endings.get(shopper)?;
        Some(slot.lock().unwrap_or_else(PoisonError::into_inner))
    };
    let mut waiting: Vec<usize> = (0..tokens.len()).collect();
    let (deadline, mut pause) = (Instant::now() + patience, FIRST_PAUSE);
    while !waiting.is_empty() {
        let of = |number: u64| {
            let number = usize::try_from(number).ok()?;
            waiting.get(number).copied()
        };
        let round = Load {
            connections: load.connections.min(waiting.len()),
            plan: Plan {
                requests: Some(waiting.len() as u64),
                duration: Some(deadline.saturating_duration_since(Instant::now())),
                ..Plan::default()
            },
            ..load.clone()
        };
        round.run(
            |number| match of(number).and_then(|shopper| tokens.get(shopper)) {
                Some(token) => result.with_token(token),
                None => result.clone(),
            },
            |number, answer| {
                let Some(mut ending) = of(number).and_then(ending) else {
                    return;
                };
                *ending = match answer.map_err(Refusal::from).and_then(api::purchase) {
                    Ok(Some(PurchaseStatus::Success)) => Ending::Success,
                    Ok(Some(PurchaseStatus::Failed)) => Ending::Failed,
                    Ok(None) => Ending::Missing,
                    Err(_) => Ending::Unreadable,
                };
            },
        )?;
        waiting.retain(|shopper| ending(*shopper).is_some_and(|ending| !is_over(*ending)));
        if waiting.is_empty() || Instant::now() + pause >= deadline {
            break;
        }
        std::thread::sleep(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
    }
    Ok(endings
        .into_iter()
        .map(|ending| ending.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect())
}
