//! `flashsale user`: the accounts of those who run the shop, and whatever an operator does to an account.

mod accounts;
mod action_log;
mod person;
mod print;
mod program;
mod secret;

use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand, builder::PossibleValuesParser, builder::TypedValueParser};

use self::{
    accounts::Accounts, action_log::ActionLog, person::PersonStep, program::ProgramStep,
    secret::NewPassword,
};
use super::{connect, embedded, target::Target};
use crate::{
    auth::raise_lost_mark,
    config::Config,
    lifecycle::Lifecycle,
    port::{Access, Listed, Ports, Role, Scopes},
};

/// The roles that an account can be given after it was made.
const ROLES: [&str; 5] = ["admin", "operator", "support", "auditor", "user"];
/// The roles of new accounts. `service` is for programs, which have no password.
const NEW_ROLES: [&str; 6] = ["admin", "operator", "support", "auditor", "service", "user"];

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
                let names = (username.as_str(), email.as_str());
                accounts.make(names, role, &password, json).await
            }
            Self::List { all } => {
                let listed = if all { Listed::All } else { Listed::Staff };
                accounts.list(listed, json).await
            }
            Self::Role {
                username,
                role,
                force,
            } => accounts.set_role(&username, role, force, json).await,
            Self::Disable { username, force } => accounts.disable(&username, force, json).await,
            Self::Enable { username } => {
                accounts.set_access(&username, Access::Enabled, json).await
            }
            Self::Passwd {
                username,
                reset_token: true,
                ..
            } => accounts.issue_reset_token(&username, json).await,
            Self::Passwd {
                username, password, ..
            } => accounts.set_password(&username, &password, json).await,
        }
    }
}
