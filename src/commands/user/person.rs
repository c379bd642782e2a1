//! `flashsale user export` and `erase`: everything that is stored of a person, as one JSON document, and taking it out.

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;

use super::{action_log::ActionLog, print};
use crate::{
    api::admin::body::{ActionBody, AttemptBody, UserBody},
    auth::erase_person,
    clock::{Clock, SystemClock},
    http::timestamp,
    ids::UserId,
    port::{AccountStore, Administration, ExternalIdentity},
    terminal::print_json,
};

/// Rows that are read at once.
const PAGE: u32 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum PersonStep {
    /// Print everything that is stored of a person, as JSON
    Export { username: String },
    /// Erase a person: orders and attempts stay under the account's id; name, address, password and external identity go, also from the action log
    Erase {
        username: String,
        /// Also the last admin that is enabled
        #[arg(long)]
        force: bool,
    },
}

impl PersonStep {
    pub(super) fn username(&self) -> &str {
        match self {
            Self::Export { username } | Self::Erase { username, .. } => username,
        }
    }

    /// Whether an admin must be left afterwards.
    pub(super) fn needs_another_admin(&self) -> bool {
        matches!(self, Self::Erase { force: false, .. })
    }

    pub(super) async fn run(
        self,
        accounts: &dyn AccountStore,
        log: &ActionLog,
        id: UserId,
        json: bool,
    ) -> anyhow::Result<()> {
        match self {
            Self::Export { .. } => export(accounts, log.actions.as_ref(), id).await,
            Self::Erase { .. } => {
                let erased = erase_person(accounts, id, &log.entry()).await?;
                print::erased(id, &erased.context("the account is gone")?, json)
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PersonDocument {
    exported_at: String,
    user: UserBody,
    full_name: Option<String>,
    external_identity: Option<IdentityDocument>,
    /// Of a service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<String>,
    /// With their orders, the newest first.
    attempts: Vec<AttemptBody>,
    /// Entries of the action log about the account, and of what it did, the newest first.
    actions: Vec<ActionBody>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IdentityDocument {
    issuer: String,
    subject: String,
    created_at: String,
}

impl From<ExternalIdentity> for IdentityDocument {
    fn from(identity: ExternalIdentity) -> Self {
        Self {
            issuer: identity.issuer,
            subject: identity.subject,
            created_at: timestamp(identity.created_at),
        }
    }
}

/// Prints the document. Reads the whole action log.
async fn export(
    accounts: &dyn AccountStore,
    admin: &dyn Administration,
    id: UserId,
) -> anyhow::Result<()> {
    let person = accounts.person(id).await?.context("the account is gone")?;
    print_json(&PersonDocument {
        exported_at: timestamp(SystemClock.now()),
        user: UserBody::from(&person.user),
        full_name: person.full_name,
        external_identity: person.identity.map(IdentityDocument::from),
        scopes: person.scopes.map(|scopes| scopes.to_string()),
        attempts: attempts(admin, id).await?,
        actions: actions(admin, id).await?,
    })?;
    Ok(())
}

async fn attempts(admin: &dyn Administration, id: UserId) -> anyhow::Result<Vec<AttemptBody>> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = admin.attempts_of(id, before, PAGE).await?;
        before = page.last().map(|attempt| attempt.attempt);
        let is_last = page.len() < PAGE as usize;
        all.extend(
            page.into_iter()
                .map(|history| AttemptBody::of(history, None)),
        );
        if is_last {
            return Ok(all);
        }
    }
}

async fn actions(admin: &dyn Administration, id: UserId) -> anyhow::Result<Vec<ActionBody>> {
    let name = format!("user:{id}");
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = admin.actions(None, before, PAGE).await?;
        before = page.last().map(|action| action.id);
        let is_last = page.len() < PAGE as usize;
        let of_person = page
            .into_iter()
            .filter(|action| action.target == name || action.actor.name == name);
        all.extend(of_person.map(ActionBody::from));
        if is_last {
            return Ok(all);
        }
    }
}
