//! Where the shoppers' tokens come from: the API, which lets them register and log in, or the ledger and the secret.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{super::connect, progress};
use crate::{
    auth::{Passwords, Tokens},
    config::Config,
    engine::postgres::{Crowd as Accounts, PostgresLedger},
    ids::UserId,
    port::{Ledger, Role},
    stress::{Target, shoppers::Recruiting},
};

/// Shoppers of whom one has a token already, so that the system can be asked whether there is anything to buy before all
/// the others are made.
pub(super) struct Crowd<'a> {
    first: String,
    users: u32,
    /// Distinguishes the names of this run's accounts.
    run: String,
    source: Source<'a>,
}

enum Source<'a> {
    Registered {
        target: &'a Target,
        timeout: Duration,
        patience: Duration,
    },
    Minted {
        ledger: PostgresLedger,
        tokens: Box<Tokens>,
        /// Accounts that are there already.
        existing: Option<Accounts>,
        now: DateTime<Utc>,
        /// Of a password that nobody knows.
        password_hash: String,
        /// Which database accounts are added to.
        place: String,
    },
}

impl<'a> Crowd<'a> {
    /// Makes the first shopper.
    pub(super) async fn registered(
        target: &'a Target,
        timeout: Duration,
        patience: Duration,
        users: u32,
    ) -> anyhow::Result<Self> {
        let mut crowd = Self {
            first: String::new(),
            users,
            run: run(),
            source: Source::Registered {
                target,
                timeout,
                patience,
            },
        };
        let first = crowd.recruit(0..1).await?.pop();
        crowd.first = first.context("no shopper was made")?;
        Ok(crowd)
    }

    /// Connects to the ledger; adds nothing yet.
    pub(super) async fn minted(
        config: &Config,
        first_user: Option<UserId>,
        users: u32,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Self> {
        let ledger = connect::ledger(config, &CancellationToken::new()).await?;
        let existing = match first_user {
            None => None,
            Some(first) => match ledger.find_crowd(first, users).await? {
                Ok(accounts) => Some(accounts),
                Err(there) => bail!(
                    "of the {users} accounts from {first} on, {there} are there (--first-user, --users)"
                ),
            },
        };
        let tokens = Tokens::new(&config.auth).of_ledger(ledger.id());
        let run = run();
        // A status is shown to whoever has a token; an account is needed to buy only.
        let somebody = first_user.or(UserId::new(1)).context("an id is positive")?;
        Ok(Self {
            first: tokens.issue(somebody, &run, Role::User, now)?,
            users,
            run,
            source: Source::Minted {
                ledger,
                tokens: Box::new(tokens),
                existing,
                now,
                password_hash: Passwords::new(&config.auth)?
                    .hash_now(&Uuid::new_v4().simple().to_string())?,
                place: format!(
                    "{} at {}",
                    config.postgres.database,
                    config.postgres.server()
                ),
            },
        })
    }

    /// A token to look around with.
    pub(super) fn first_token(&self) -> &str {
        &self.first
    }

    /// Makes all that are missing; everybody's tokens.
    pub(super) async fn gather(&mut self) -> anyhow::Result<Vec<String>> {
        match &self.source {
            Source::Registered { .. } => {
                let mut tokens = vec![self.first.clone()];
                tokens.extend(self.recruit(1..self.users).await?);
                Ok(tokens)
            }
            Source::Minted {
                ledger,
                tokens,
                existing,
                now,
                password_hash,
                place,
            } => {
                let accounts = match existing {
                    Some(accounts) => accounts.clone(),
                    None => self.add(ledger, password_hash, place).await?,
                };
                let name = format!("stress-{}", self.run);
                // A token that is older than its account is refused, and `now` is from before they were added.
                let at = accounts.newest.max(*now);
                let issue = |user| tokens.issue(user, &name, Role::User, at);
                let users = accounts.users.into_iter();
                Ok(users.map(issue).collect::<Result<_, _>>()?)
            }
        }
    }

    async fn recruit(&self, numbers: std::ops::Range<u32>) -> anyhow::Result<Vec<String>> {
        let Source::Registered {
            target,
            timeout,
            patience,
        } = self.source
        else {
            return Ok(Vec::new());
        };
        let bar = progress::bar("shoppers", self.users.into());
        bar.set(numbers.start.into());
        let recruiting = Recruiting {
            target,
            timeout,
            patience,
            run: &self.run,
            on_limit: &|line| bar.say(line),
        };
        let recruited = recruiting.recruit(numbers, || bar.step());
        let recruited = tokio::time::timeout(patience, recruited).await;
        Ok(recruited.with_context(|| {
            format!(
                "the shoppers were not made within {} s (--setup-timeout)",
                patience.as_secs()
            )
        })??)
    }

    async fn add(
        &self,
        ledger: &PostgresLedger,
        password_hash: &str,
        place: &str,
    ) -> anyhow::Result<Accounts> {
        let name = format!("stress-{}", self.run);
        let bar = progress::bar("accounts", self.users.into());
        bar.say(&format!(
            "adding {} accounts, {name}-1 and so on, to the database {place}",
            self.users
        ));
        let added = ledger.add_crowd(&name, password_hash, self.users, |added| {
            bar.set(added.into());
        });
        Ok(added.await?)
    }
}

fn run() -> String {
    let id = Uuid::new_v4().simple().to_string();
    id.chars().take(8).collect()
}
