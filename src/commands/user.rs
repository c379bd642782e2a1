//! `flashsale user`: the accounts of those who run the shop, and whatever an operator does to an account.

mod action_log;
mod person;
mod print;
mod program;
mod secret;

use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand, builder::PossibleValuesParser, builder::TypedValueParser};

use self::{action_log::ActionLog, person::PersonStep, program::ProgramStep, secret::NewPassword};
use super::{connect, embedded, operator::plain, target::Target};
use crate::{
    auth::{
        OperatorsAccount, Passwords, RESET_LIFETIME, ResetToken, ServiceAccountDesk,
        raise_lost_mark,
    },
    clock::{Clock, SystemClock},
    config::{AuthConfig, Config},
    ids::UserId,
    lifecycle::Lifecycle,
    port::{
        Access, AccountStore, ActionName, Credentials, Listed, NewUser, Ports, Registration, Role,
        Scopes, SessionRule, StoredUser,
    },
};

/// The roles that an account can be given after it was made.
const ROLES: [&str; 5] = ["admin", "operator", "support", "auditor", "user"];
/// The roles of new accounts. `service` is for programs, which have no password.
const NEW_ROLES: [&str; 6] = ["admin", "operator", "support", "auditor", "service", "user"];
/// Accounts of one page of the list.
const PAGE: u32 = 500;

/// Make, list, change and disable accounts
///
/// Roles: `admin` may do everything, `operator` runs sales, `support` and `auditor` read what operators read, `service` is a program of
/// the shop with scopes, `user` buys.
/// A change of the role, another password and disabling end all sessions of the account, on every node within 5 seconds.
///
/// A password is never an argument: it is generated and printed once, or read from standard input with --password-stdin.
///
/// On servers it needs a database user that may do it: the owner of the tables for `role`, `disable`, `enable`, and `add` with a role
/// other than `user` and `service`. With --embedded it works while the data directory is served, too.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct User {
    #[command(subcommand)]
    step: Step,
    #[command(flatten)]
    pub(super) target: Target,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Who does it [default: FLASHSALE_OPERATOR, or the user of the operating system: LOGNAME, USER]
    #[arg(long, global = true, value_name = "NAME")]
    by: Option<String>,
    /// Why, for the action log
    #[arg(long, global = true, value_name = "TEXT", default_value = "")]
    reason: String,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::doc_markdown)] // shown as help
enum Step {
    /// Make an account, with a generated password that is printed once; with --role service, one of a program of the shop, with a client secret
    Add {
        username: String,
        #[arg(long, value_name = "ADDRESS", required_unless_present = "scopes")]
        email: Option<String>,
        #[arg(long, value_parser = new_role(), default_value = "user")]
        role: Role,
        /// What a program may do, for --role service: orders:settle, attempts:write, events:read, shoppers:write, separated by commas
        #[arg(long, value_name = "SCOPES", required_if_eq("role", "service"), conflicts_with_all = ["email", "password_stdin"])]
        scopes: Option<Scopes>,
        #[command(flatten)]
        password: NewPassword,
    },
    /// List accounts, by default of those who run the shop
    List {
        /// Shoppers, too
        #[arg(long)]
        all: bool,
    },
    /// Give an account another role
    Role {
        username: String,
        #[arg(value_parser = role())]
        role: Role,
        /// Also of the last admin that is enabled
        #[arg(long)]
        force: bool,
    },
    /// Let nobody log in to an account, and end its sessions
    Disable {
        username: String,
        /// Also the last admin that is enabled
        #[arg(long)]
        force: bool,
    },
    /// Let the owner of an account log in again
    Enable { username: String },
    /// Set another password, generated and printed once, and end the account's sessions
    Passwd {
        username: String,
        /// Print a one-time token for POST /api/auth/reset instead, good for one hour: the owner sets the password
        #[arg(long, conflicts_with = "password_stdin")]
        reset_token: bool,
        #[command(flatten)]
        password: NewPassword,
    },
    #[command(flatten)]
    Program(ProgramStep),
    #[command(flatten)]
    Person(PersonStep),
}

fn new_role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(NEW_ROLES).map(|word| Role::from_sql(&word))
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(ROLES).map(|word| Role::from_sql(&word))
}

/// The accounts, and what their changes need.
struct Accounts {
    credentials: Arc<dyn Credentials>,
    store: Arc<dyn AccountStore>,
    /// The id above which a new account's has to be.
    above: i64,
    auth: AuthConfig,
    log: ActionLog,
}

impl User {
    /// True for a step that hashes a password.
    pub(super) fn sets_password(&self) -> bool {
        matches!(
            self.step,
            Step::Add { scopes: None, .. }
                | Step::Passwd {
                    reset_token: false,
                    ..
                }
        )
    }

    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let by = self.by.clone().or_else(|| config.operator.name.clone());
        let by = by.filter(|name| !name.is_empty());
        let by = by.context("who does it? Say so with --by, or set FLASHSALE_OPERATOR")?;
        let accounts = |credentials, store, actions, above| Accounts {
            credentials,
            store,
            above,
            auth: config.auth.clone(),
            log: ActionLog {
                actions,
                by,
                reason: self.reason.clone(),
            },
        };
        if let Some(directory) = self.target.data_dir(&config)? {
            let opened = embedded::ledger(&config, directory).await?;
            let ledger = opened.ledger();
            let accounts = accounts(ledger.clone(), ledger.clone(), ledger, 0);
            let done = self.step.run(&accounts, self.json).await;
            opened.close().await;
            return done;
        }
        let lifecycle = Lifecycle::default();
        lifecycle.stop_on_signals()?;
        let stop = lifecycle.stop();
        let work = async {
            let accounts = if matches!(self.step, Step::Add { .. }) {
                let (ports, store) = connect::system(&config, stop).await?;
                let above = ids_above(&ports, &config.kafka.consumer_group).await?;
                accounts(ports.ledger, store.clone(), store, above)
            } else {
                let ledger = Arc::new(connect::ledger(&config, stop).await?);
                accounts(ledger.clone(), ledger.clone(), ledger, 0)
            };
            self.step.run(&accounts, self.json).await
        };
        tokio::select! {
            done = work => done,
            () = stop.cancelled() => anyhow::bail!("stopped"),
        }
    }
}

/// No account ever had an id above this one, also not in a state of the database that is lost.
async fn ids_above(ports: &Ports, group: &str) -> anyhow::Result<i64> {
    let (gate, log) = (ports.gate.as_ref(), ports.log.as_ref());
    let ledger = ports.ledger.as_ref();
    let mark = raise_lost_mark(ledger, ledger, gate, log, group).await?;
    mark.context("Redis lost its note of account ids, and the log is not settled yet: run `flashsale work` and try again")
}

impl Step {
    async fn run(self, accounts: &Accounts, json: bool) -> anyhow::Result<()> {
        match self {
            Self::Add {
                username,
                role,
                scopes: Some(scopes),
                ..
            } => {
                anyhow::ensure!(role == Role::Service, "--scopes is for --role service");
                let (above, entry) = (accounts.above, accounts.log.entry());
                program::add(&accounts.desk(), &username, scopes, above, &entry, json).await
            }
            Self::Program(step) => {
                let (user, log) = (accounts.find(step.username()).await?, &accounts.log);
                step.run(&accounts.desk(), user.id, &log.entry(), json)
                    .await
            }
            Self::Person(step) => {
                let user = accounts.find(step.username()).await?;
                accounts.keep_an_admin_for(&step, &user).await?;
                let (store, log) = (accounts.store.as_ref(), &accounts.log);
                step.run(store, log, user.id, json).await
            }
            Self::Add {
                username,
                email,
                role,
                password,
                ..
            } => {
                let email = email.unwrap_or_default();
                let new = OperatorsAccount::new(&username, &email)?;
                let (password, hash) = password.take(&accounts.auth, &username, &email)?;
                accounts.add(&new, role, hash).await?;
                let made = accounts.find(&username).await?;
                let noted = accounts.log.note(ActionName::CreateUser, None, &made).await;
                // A generated password is known to nobody else.
                print::changed(&made, "made", password, json)?;
                noted
            }
            Self::List { all } => {
                let listed = if all { Listed::All } else { Listed::Staff };
                accounts.list(listed, json).await
            }
            Self::Role {
                username,
                role,
                force,
            } => {
                let user = accounts.find(&username).await?;
                if role != Role::Admin && !force {
                    accounts.keep_an_admin(&user).await?;
                }
                changed(accounts.store.set_role(user.id, role).await?)?;
                let (name, said) = (ActionName::SetRole, "changed");
                accounts.done(name, &user, said, None, json).await
            }
            Self::Disable { username, force } => {
                if !force {
                    let user = accounts.find(&username).await?;
                    accounts.keep_an_admin(&user).await?;
                }
                accounts.set_access(&username, Access::Disabled, json).await
            }
            Self::Enable { username } => {
                accounts.set_access(&username, Access::Enabled, json).await
            }
            Self::Passwd {
                username,
                reset_token: true,
                ..
            } => {
                let user = accounts.find(&username).await?;
                anyhow::ensure!(
                    user.sessions.access == Access::Enabled,
                    "the account is disabled: nobody can use a reset token of it"
                );
                let token = ResetToken::generate()?;
                let store = &accounts.store;
                store
                    .store_reset(user.id, token.hash(), RESET_LIFETIME)
                    .await?;
                let log = &accounts.log;
                log.note(ActionName::SetPassword, Some(&user), &user)
                    .await?;
                print::reset_token(&user, &token, json)
            }
            Self::Passwd {
                username, password, ..
            } => {
                let user = accounts.find(&username).await?;
                let (password, hash) =
                    password.take(&accounts.auth, &user.username, &user.email)?;
                let now = SystemClock.now().timestamp();
                let set = accounts.store.set_password(user.id, None, &hash, now);
                changed(set.await?)?;
                let (name, said) = (ActionName::SetPassword, "has another password");
                accounts.done(name, &user, said, password, json).await
            }
        }
    }
}

fn is_enabled_admin(user: &StoredUser) -> bool {
    user.role == Role::Admin && user.sessions.access == Access::Enabled
}

fn changed(rule: Option<SessionRule>) -> anyhow::Result<()> {
    rule.map(drop).context("the account is gone")
}

impl Accounts {
    fn desk(&self) -> ServiceAccountDesk {
        ServiceAccountDesk {
            accounts: Arc::clone(&self.store),
            actions: Arc::clone(&self.log.actions),
            // Nodes read what ended within seconds.
            directory: None,
        }
    }

    async fn find(&self, username: &str) -> anyhow::Result<StoredUser> {
        let found = self.credentials.find_user(username).await?;
        found.with_context(|| format!("there is no account with the username {username}"))
    }

    async fn add(
        &self,
        new: &OperatorsAccount,
        role: Role,
        password_hash: String,
    ) -> anyhow::Result<UserId> {
        let user = NewUser {
            username: new.username.clone(),
            email: new.email.clone(),
            password_hash,
            full_name: None,
        };
        match self.store.add_account(&user, role, self.above).await? {
            Registration::Registered(id) => Ok(id),
            Registration::UsernameTaken => anyhow::bail!("the username is taken"),
            Registration::EmailTaken => anyhow::bail!("the e-mail address is taken"),
        }
    }

    /// The same before an erasure, unless that is forced.
    async fn keep_an_admin_for(&self, step: &PersonStep, user: &StoredUser) -> anyhow::Result<()> {
        if step.needs_another_admin() {
            self.keep_an_admin(user).await?;
        }
        Ok(())
    }

    /// Fails if this account is the last admin that is enabled: nobody could make operators over HTTP any more.
    async fn keep_an_admin(&self, user: &StoredUser) -> anyhow::Result<()> {
        if !is_enabled_admin(user) {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = self.store.list_accounts(Listed::Staff, after, PAGE).await?;
            if page
                .iter()
                .any(|other| other.id != user.id && is_enabled_admin(other))
            {
                return Ok(());
            }
            after = page.last().map(|user| user.id);
            anyhow::ensure!(
                page.len() == PAGE as usize,
                "{} is the last admin that is enabled; make another one first, or use --force",
                plain(&user.username)
            );
        }
    }

    async fn set_access(&self, username: &str, access: Access, json: bool) -> anyhow::Result<()> {
        let user = self.find(username).await?;
        changed(self.store.set_access(user.id, access).await?)?;
        let (name, said) = match access {
            Access::Enabled => (ActionName::EnableUser, "enabled"),
            Access::Disabled => (ActionName::DisableUser, "disabled"),
        };
        self.done(name, &user, said, None, json).await
    }

    /// Notes a change of an account that was made, and prints what it is now.
    async fn done(
        &self,
        name: ActionName,
        before: &StoredUser,
        said: &str,
        password: Option<String>,
        json: bool,
    ) -> anyhow::Result<()> {
        let after = self.find(&before.username).await?;
        let noted = self.log.note(name, Some(before), &after).await;
        // A generated password is known to nobody else.
        print::changed(&after, said, password, json)?;
        noted
    }

    /// Prints page by page: there may be many.
    async fn list(&self, listed: Listed, json: bool) -> anyhow::Result<()> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list_accounts(listed, after, PAGE).await?;
            after = page.last().map(|user| user.id);
            let is_last = page.len() < PAGE as usize;
            if json {
                all.extend(page);
            } else {
                page.iter().for_each(print::line);
            }
            if is_last {
                break;
            }
        }
        if json { print::list(&all) } else { Ok(()) }
    }
}

impl NewPassword {
    /// The password if it was generated, and its hash.
    fn take(
        &self,
        auth: &AuthConfig,
        username: &str,
        email: &str,
    ) -> anyhow::Result<(Option<String>, String)> {
        let chosen = self.choose(username, email)?;
        let hash = Passwords::new(auth)?.hash_now(chosen.text())?;
        Ok((chosen.generated(), hash))
    }
}
