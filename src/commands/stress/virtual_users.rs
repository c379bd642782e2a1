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
    engine::postgres::{PostgresLedger, StressAccounts},
    ids::UserId,
    port::{Ledger, Role},
    stress::{Target, Token, shoppers::Recruiting},
};

/// Shoppers of whom one has a token already, so that the system can be asked whether there is anything to buy before all
/// the others are made.
pub(super) struct VirtualUsers<'a> {
    first: Token,
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
        existing: Option<StressAccounts>,
        now: DateTime<Utc>,
        /// Of a password that nobody knows.
        password_hash: String,
        /// Which database accounts are added to.
        database: String,
    },
}

impl<'a> VirtualUsers<'a> {
    /// Makes the first shopper.
    pub(super) async fn registered(
        target: &'a Target,
        timeout: Duration,
        patience: Duration,
        users: u32,
    ) -> anyhow::Result<Self> {
        let run = run();
        let source = Source::Registered {
            target,
            timeout,
            patience,
        };
        let first = source.recruit(&run, users, 0..1).await?.pop();
        Ok(Self {
            first: first.context("no shopper was made")?,
            users,
            run,
            source,
        })
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
            Some(first) => match ledger.find_stress_accounts(first, users).await? {
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
            first: token(&tokens.issue(somebody, &run, Role::User, now)?)?,
            users,
            run,
            source: Source::Minted {
                ledger,
                tokens: Box::new(tokens),
                existing,
                now,
                password_hash: Passwords::new(&config.auth)?
                    .hash_now(&Uuid::new_v4().simple().to_string())?,
                database: format!(
                    "{} at {}",
                    config.postgres.database,
                    config.postgres.server()
                ),
            },
        })
    }

    /// A token to look around with.
    pub(super) fn first_token(&self) -> &Token {
        &self.first
    }

    /// Makes all that are missing; everybody's tokens.
    pub(super) async fn tokens(&self) -> anyhow::Result<Vec<Token>> {
        match &self.source {
            Source::Registered { .. } => {
                let mut tokens = vec![self.first.clone()];
                tokens.extend(
                    self.source
                        .recruit(&self.run, self.users, 1..self.users)
                        .await?,
                );
                Ok(tokens)
            }
            Source::Minted {
                ledger,
                tokens,
                existing,
                now,
                password_hash,
                database,
            } => {
                let accounts = match existing {
                    Some(accounts) => accounts.clone(),
                    None => self.add(ledger, password_hash, database).await?,
                };
                let name = format!("stress-{}", self.run);
                // A token that is older than its account is refused, and `now` is from before they were added.
                let at = accounts.newest.max(*now);
                let issue = |user| token(&tokens.issue(user, &name, Role::User, at)?);
                accounts.users.into_iter().map(issue).collect()
            }
        }
    }

    async fn add(
        &self,
        ledger: &PostgresLedger,
        password_hash: &str,
        database: &str,
    ) -> anyhow::Result<StressAccounts> {
        let name = format!("stress-{}", self.run);
        let bar = progress::bar("accounts", self.users.into());
        bar.say(&format!(
            "adding {} accounts, {name}-1 and so on, to the database {database}",
            self.users
        ));
        let added = ledger.add_stress_accounts(&name, password_hash, self.users, |added| {
            bar.set(added.into());
        });
        Ok(added.await?)
    }
}

impl Source<'_> {
    /// Registers the shoppers `numbers` of so many in all.
    async fn recruit(
        &self,
        run: &str,
        users: u32,
        numbers: std::ops::Range<u32>,
    ) -> anyhow::Result<Vec<Token>> {
        let Source::Registered {
            target,
            timeout,
            patience,
        } = *self
        else {
            return Ok(Vec::new());
        };
        let bar = progress::bar("shoppers", users.into());
        bar.set(numbers.start.into());
        let recruiting = Recruiting {
            target,
            timeout,
            patience,
            run,
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
}

fn token(text: &str) -> anyhow::Result<Token> {
    Token::new(text).context("a token that no header may have")
}

fn run() -> String {
    let id = Uuid::new_v4().simple().to_string();
    id.chars().take(8).collect()
}
