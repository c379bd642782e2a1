//! Makes shoppers through the API: registers an account for each and logs it in, as slowly as the system's limits demand.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    api::{self, Refusal},
    connection::Connection,
    request::Token,
    target::Target,
};

/// Shoppers that are made at the same time. Each costs the system a password hash, so that more of them would only wait.
const AT_ONCE: usize = 8;
/// Shortest pause after an answer of 429 or 503, also if its `Retry-After` names a shorter one or is missing. A refused request is
/// sent again and again, so that too short a pause loses nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the shoppers could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ShoppersError {
    #[error("a {what} failed: {refusal}")]
    Refused {
        what: &'static str,
        refusal: Refusal,
    },
    #[error(
        "only {made} of {count} shoppers could be made within {} s, since the system limits {what}s: raise \
         LIMIT_REGISTRATIONS_PER_ADDRESS and LIMIT_LOGINS_PER_ADDRESS of `serve` (0: no limit), or use --mint-tokens, \
         fewer --users or a longer --setup-timeout",
        patience.as_secs()
    )]
    Limited {
        made: u32,
        count: u32,
        what: &'static str,
        patience: Duration,
    },
}

/// The settings for making shoppers.
pub struct Recruiting<'a> {
    pub target: &'a Target,
    /// Longest time of one request.
    pub timeout: Duration,
    /// Longest time for all shoppers together, including the pauses that the system's limits demand.
    pub patience: Duration,
    /// Distinguishes the names of this run's accounts.
    pub run: &'a str,
    /// Called with a message after the first answer of 429 or 503 only.
    pub on_limit: &'a (dyn Fn(&str) + Sync),
}

#[derive(Deserialize)]
struct Login {
    token: String,
}

#[derive(Deserialize)]
struct Registered {}

impl Recruiting<'_> {
    /// Makes the shoppers with these numbers and calls `on_made` after each. Returns their tokens in any order.
    pub async fn recruit(
        &self,
        numbers: std::ops::Range<u32>,
        on_made: impl Fn(),
    ) -> Result<Vec<Token>, ShoppersError> {
        let password = Uuid::new_v4().to_string();
        let progress = Progress {
            deadline: Instant::now() + self.patience,
            // An earlier call made the shoppers with the lower numbers.
            made: AtomicU32::new(numbers.start),
            count: numbers.end,
            is_told: AtomicBool::new(false),
        };
        let idle = Mutex::new(Vec::new());
        let (password, progress, idle, on_made) = (&password, &progress, &idle, &on_made);
        futures::stream::iter(numbers)
            .map(|number| async move {
                // A connection is used again for the next shopper.
                let spare = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let mut connection =
                    spare.unwrap_or_else(|| Connection::new(self.target, self.timeout));
                let made = self
                    .make(number, password, &mut connection, progress)
                    .await?;
                idle.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(connection);
                progress.made.fetch_add(1, Ordering::Relaxed);
                on_made();
                Ok(made)
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn make(
        &self,
        number: u32,
        password: &str,
        connection: &mut Connection<'_>,
        progress: &Progress,
    ) -> Result<Token, ShoppersError> {
        let username = format!("stress-{}-{number}", self.run);
        let account = json!({
            "username": username,
            "email": format!("{username}@stress.invalid"),
            "password": password,
        });
        let path = "/api/auth/register";
        self.patiently::<Registered>("registration", connection, path, &account, progress)
            .await?;
        let login = json!({ "username": username, "password": password });
        let login: Login = self
            .patiently("login", connection, "/api/auth/login", &login, progress)
            .await?;
        // A token that no header may have is not one of flashsale.
        Token::new(&login.token).ok_or(ShoppersError::Refused {
            what: "login",
            refusal: Refusal::NotOurs(200),
        })
    }

    /// Posts a document. While the system answers 429 or 503, pauses and posts it again, until the deadline would pass during the
    /// pause.
    async fn patiently<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        connection: &mut Connection<'_>,
        path: &str,
        document: &serde_json::Value,
        progress: &Progress,
    ) -> Result<T, ShoppersError> {
        loop {
            let refusal = match api::post(connection, self.target, path, document).await {
                Ok(data) => return Ok(data),
                Err(refusal) => refusal,
            };
            let Refusal::Refused {
                status: status @ (429 | 503),
                retry_after_secs,
                ..
            } = refusal
            else {
                return Err(ShoppersError::Refused { what, refusal });
            };
            let pause = retry_after_secs
                .map_or(PAUSE, Duration::from_secs)
                .max(PAUSE);
            let left = progress.deadline.saturating_duration_since(Instant::now());
            if pause > left {
                return Err(if status == 429 {
                    ShoppersError::Limited {
                        made: progress.made.load(Ordering::Relaxed),
                        count: progress.count,
                        what,
                        patience: self.patience,
                    }
                } else {
                    ShoppersError::Refused { what, refusal }
                });
            }
            if !progress.is_told.swap(true, Ordering::Relaxed) {
                (self.on_limit)(&format!(
                    "a {what} was answered {status}; waiting as it says ({} s), for {} s in all at most",
                    pause.as_secs(),
                    self.patience.as_secs()
                ));
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// What the tasks that make shoppers share.
struct Progress {
    deadline: Instant,
    made: AtomicU32,
    count: u32,
    is_told: AtomicBool,
}
