//! Hashes passwords with argon2id, on threads apart from those that serve requests, and never more at a time than the settings
//! allow.

mod stored;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::available_parallelism,
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{Error as HashError, PasswordHasher},
};
use metrics::histogram;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    account_key::AccountKey,
    config::{AuthConfig, Secret},
    port::NO_PASSWORD,
    telemetry::{self, LogThrottle, metric},
};

pub use stored::{BCRYPT_COSTS, Fit, bcrypt_cost, is_comparable};

/// A bcrypt hash of cost 10, as the original service made them. It belongs to nobody.
const NOBODYS_BCRYPT: &str = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

/// Why a password was not hashed or compared.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// More are waiting than allowed; nothing was done.
    #[error("too many passwords are waiting to be hashed")]
    Busy,
    /// The configuration's parameters are outside argon2's bounds, or there is no memory.
    #[error("argon2: {0}")]
    Hashing(String),
}

/// Makes and compares hashes (PHC strings).
pub struct Passwords {
    argon2: Argon2<'static>,
    /// Sends jobs to the hashing threads, of which there are only as many as may hash at a time. tokio's blocking threads are not
    /// used: the allocator keeps the memory of a hash (19 MiB) for each thread that ever made one, and these threads are many.
    threads: mpsc::Sender<Job>,
    /// One permit for each hash under way.
    turns: Arc<Semaphore>,
    /// One permit for each hash under way or waiting.
    places: Arc<Semaphore>,
    /// Number of permits of `places`.
    limit: usize,
    /// The hash to compare with if there is no account, so that the time of a login does not tell whether there is one.
    nobody: Arc<str>,
    /// True if new passwords must not be among the first that are guessed.
    pub(super) refuses_guessable: bool,
    /// True once a login to an account with a bcrypt hash was tried here. To compare a password with a bcrypt hash takes twice as
    /// long.
    knows_bcrypt: AtomicBool,
    /// The same on all nodes of a deployment.
    secret: Secret,
}

impl Passwords {
    /// Takes the time of one hash.
    pub fn new(config: &AuthConfig) -> Result<Self, PasswordError> {
        let params = Params::new(config.password_memory_kib, config.password_passes, 1, None)
            .map_err(|error| PasswordError::Hashing(error.to_string()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = hash(&argon2, "nobody has this password")
            .map_err(failed)?
            .into();
        let cores = || available_parallelism().map_or(1, usize::from);
        let threads = if config.password_threads == 0 {
            cores()
        } else {
            config.password_threads
        };
        let places = threads
            .saturating_add(config.password_queue)
            .min(Semaphore::MAX_PERMITS);
        Ok(Self {
            argon2,
            threads: start(threads)?,
            turns: Arc::new(Semaphore::new(threads)),
            places: Arc::new(Semaphore::new(places)),
            limit: places,
            nobody,
            refuses_guessable: config.password_blocklist,
            knows_bcrypt: AtomicBool::new(false),
            secret: config.jwt_secret.clone(),
        })
    }

    /// Shows in the metrics how many are hashed or wait.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // some hundreds
    pub fn watched(self) -> Self {
        let (places, limit) = (Arc::downgrade(&self.places), self.limit);
        telemetry::sample(metric::PASSWORD_QUEUE, &[], move || {
            Some(limit.saturating_sub(places.upgrade()?.available_permits()) as f64)
        });
        let places = Arc::downgrade(&self.places);
        telemetry::sample(metric::PASSWORD_QUEUE_LIMIT, &[], move || {
            places.upgrade().map(|_| limit as f64)
        });
        self
    }

    /// The hash of a password, with a salt of its own.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.run(move |argon2| hash(argon2, &password))
            .await?
            .map_err(failed)
    }

    /// The hash of a password, if a thread is free to make it now; `None` if all are busy or others wait for them.
    pub async fn hash_if_idle(&self, password: String) -> Result<Option<String>, PasswordError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let turn = Arc::clone(&self.turns).try_acquire_owned();
        let (Ok(place), Ok(turn)) = (place, turn) else {
            return Ok(None);
        };
        self.run_now((place, turn), move |argon2| hash(argon2, &password))
            .await?
            .map_err(failed)
            .map(Some)
    }

    /// The hash of a password, made on the calling thread: for jobs that have nothing else to do.
    pub fn hash_now(&self, password: &str) -> Result<String, PasswordError> {
        hash(&self.argon2, password).map_err(failed)
    }

    /// Compares these spellings of a password with the stored hash of the account with this name.
    pub async fn verify(
        &self,
        name: &str,
        spellings: Vec<String>,
        stored: String,
    ) -> Result<Fit, PasswordError> {
        if !is_comparable(&stored) {
            static LOG_THROTTLE: LogThrottle = LogThrottle::new();
            if stored != NO_PASSWORD && LOG_THROTTLE.allow() {
                tracing::warn!(
                    "an account has neither an argon2 hash nor a bcrypt of cost 4 to 14: nobody can log in to it"
                );
            }
            return self.refuse(name, spellings).await.map(|()| Fit::No);
        }
        if bcrypt_cost(&stored).is_some() {
            self.knows_bcrypt.store(true, Ordering::Relaxed);
        }
        self.run(move |argon2| compare_any(argon2, &spellings, &stored))
            .await?
            .map_err(failed)
    }

    /// Takes as long as [`verify`](Self::verify) with a wrong password, for a name that no account has.
    ///
    /// If some accounts still have a bcrypt hash, logins to them take longer. So logins with half of all names that no account has
    /// take that long, too. It is the same half on every node, so that the time says nothing about a name.
    pub async fn refuse(&self, name: &str, spellings: Vec<String>) -> Result<(), PasswordError> {
        let stored = self.nobodys(name);
        let refuse = move |argon2: &Argon2<'_>| {
            let each = |password| stored::compare(argon2, password, &stored).map(drop);
            spellings.iter().map(String::as_str).try_for_each(each)
        };
        self.run(refuse).await?.map_err(failed)
    }

    /// The hash that is compared with for a name that no account has.
    fn nobodys(&self, name: &str) -> Arc<str> {
        if self.knows_bcrypt.load(Ordering::Relaxed) && self.is_of_one_half(name) {
            NOBODYS_BCRYPT.into()
        } else {
            Arc::clone(&self.nobody)
        }
    }

    fn is_of_one_half(&self, name: &str) -> bool {
        let mut digest = Sha256::new();
        digest.update(self.secret.reveal());
        digest.update([0]);
        digest.update(AccountKey::of(name).as_str());
        digest.finalize().first().is_some_and(|byte| byte % 2 == 0)
    }

    /// Closes the queue, so that every further password is refused as busy.
    #[cfg(test)]
    pub(super) fn fill(&self) {
        self.places.close();
    }

    /// Keeps a hashing thread busy until the other end is dropped.
    #[cfg(test)]
    pub(super) async fn occupy(&self, until: mpsc::Receiver<()>) -> Result<(), PasswordError> {
        self.run(move |_| {
            until.recv().ok();
        })
        .await
    }

    /// Number of passwords that may still be added to those that are hashed or wait.
    #[cfg(test)]
    pub(super) fn free_places(&self) -> usize {
        self.places.available_permits()
    }

    /// Runs `work` on one of the hashing threads when its turn has come.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'_>) -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| PasswordError::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::time::timeout(LONGEST_WAIT, turn)
            .await
            .map_err(|_| PasswordError::Busy)?
            .map_err(|_| PasswordError::Busy)?;
        self.run_now((place, turn), work).await
    }

    /// Runs `work` on one of the hashing threads. The job holds the permits until the work is done: a shopper who hangs up ends
    /// the waiting but not the work.
    async fn run_now<T: Send + 'static>(
        &self,
        permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
        work: impl FnOnce(&Argon2<'_>) -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let (argon2, (answer, answered)) = (self.argon2.clone(), oneshot::channel());
        let job: Job = Box::new(move || {
            let since = Instant::now();
            let result = work(&argon2);
            histogram!(metric::PASSWORD_HASH_DURATION).record(since.elapsed());
            drop(permits);
            // Sending fails if the shopper has hung up and needs no result.
            let _ = answer.send(result);
        });
        let died = || PasswordError::Hashing("the thread that hashes died".to_owned());
        self.threads.send(job).map_err(|_| died())?;
        answered.await.map_err(|_| died())
    }
}

/// The first spelling that fits.
fn compare_any(argon2: &Argon2<'_>, spellings: &[String], stored: &str) -> Result<Fit, HashError> {
    for password in spellings {
        match stored::compare(argon2, password, stored)? {
            Fit::No => {}
            fit => return Ok(fit),
        }
    }
    Ok(Fit::No)
}

type Job = Box<dyn FnOnce() + Send>;

/// Longest time for which a password may wait for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The `nice` value of the hashing threads. When the processors are busy, hashing gets a tenth of the time that answering requests
/// gets. So a flood of logins takes little from buyers.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Starts threads that run the jobs that are sent, until the sender is dropped.
fn start(threads: usize) -> Result<mpsc::Sender<Job>, PasswordError> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..threads {
        let jobs = Arc::clone(&jobs);
        let next = move || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        std::thread::Builder::new()
            .name("passwords".to_owned())
            .spawn(move || {
                lower_priority();
                while let Ok(job) = next() {
                    // A job that panics must not end the thread. Its shopper is told that hashing failed.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            })
            .map_err(|error| PasswordError::Hashing(error.to_string()))?;
    }
    Ok(sender)
}

/// Lowers the priority of this thread. Only on Linux does a thread have a priority of its own; elsewhere the whole process would
/// get it.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS)
    {
        tracing::warn!(%error, "hashing passwords has the same priority as answering requests");
    }
}

fn hash(argon2: &Argon2<'_>, password: &str) -> Result<String, HashError> {
    argon2
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
}

#[allow(clippy::needless_pass_by_value)] // so that it fits map_err
fn failed(error: HashError) -> PasswordError {
    PasswordError::Hashing(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Secret;

    fn passwords(threads: usize, queue: usize) -> Passwords {
        Passwords::new(&AuthConfig {
            jwt_secret: Secret::new(""),
            jwt_secret_previous: None,
            token_ttl: Duration::from_secs(1),
            password_memory_kib: 64,
            password_passes: 1,
            password_threads: threads,
            password_queue: queue,
            password_blocklist: false,
        })
        .unwrap()
    }

    #[tokio::test]
    async fn a_hash_fits_its_password_only() {
        let passwords = passwords(1, 1);
        let hash = passwords.hash("secret".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_ne!(
            hash,
            passwords.hash("secret".to_owned()).await.unwrap(),
            "salts differ"
        );
        for (password, expected) in [("secret", Fit::Yes), ("Secret", Fit::No), ("", Fit::No)] {
            let fit = passwords
                .verify("user1", vec![password.to_owned()], hash.clone())
                .await;
            assert_eq!(fit.unwrap(), expected, "{password}");
        }
    }

    /// Those of a hundred names without an account that are compared with a bcrypt hash.
    fn take_long(passwords: &Passwords, spelt: fn(usize) -> String) -> Vec<usize> {
        let is_long = |n: &usize| bcrypt_cost(&passwords.nobodys(&spelt(*n))) == Some(10);
        (0..100).filter(is_long).collect()
    }

    #[tokio::test]
    async fn where_some_hashes_take_longer_half_of_the_names_without_an_account_do() {
        let (one, other) = (passwords(1, 1), passwords(1, 1));
        assert_eq!(take_long(&one, |n| format!("nobody{n}")), [0; 0]);
        for node in [&one, &other] {
            let stored = NOBODYS_BCRYPT.to_owned();
            let fit = node
                .verify("user1", vec!["secret".to_owned()], stored)
                .await;
            assert_eq!(fit.unwrap(), Fit::No);
        }
        let long = take_long(&one, |n| format!("nobody{n}"));
        assert!((25..=75).contains(&long.len()), "{long:?}");
        assert_eq!(take_long(&other, |n| format!("NOBODY{n}")), long);
        one.refuse("nobody", vec!["secret".to_owned()])
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn what_is_no_hash_costs_as_much_as_no_account_and_fits_nothing() {
        let passwords = passwords(1, 1);
        for stored in [
            "",
            "-",
            "none",
            "$2b$31$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
        ] {
            let fit = passwords.verify("user1", vec!["-".to_owned()], stored.to_owned());
            assert_eq!(fit.await.unwrap(), Fit::No, "{stored}");
        }
        passwords.fill();
        let busy = passwords.verify("user1", vec!["-".to_owned()], "-".to_owned());
        assert!(
            matches!(busy.await, Err(PasswordError::Busy)),
            "it is hashed"
        );
    }

    #[tokio::test]
    async fn more_than_may_wait_are_turned_away_and_places_come_back() {
        let passwords = Arc::new(passwords(1, 1));
        let (open, gate) = mpsc::channel::<()>();
        let (started, mut is_started) = tokio::sync::oneshot::channel();
        let running = passwords.run(move |_| {
            started.send(()).ok();
            gate.recv().ok();
        });
        let check = async {
            (&mut is_started).await.unwrap();
            let waiting = passwords.hash("waiting".to_owned());
            let refused = async {
                assert!(matches!(
                    passwords.hash("refused".to_owned()).await,
                    Err(PasswordError::Busy)
                ));
                open.send(()).unwrap();
            };
            assert!(tokio::join!(waiting, refused).0.is_ok());
        };
        assert!(tokio::join!(running, check).0.is_ok());
        assert!(passwords.hash("again".to_owned()).await.is_ok());
    }
}
