//! `flashsale user scopes` and `secret`, and accounts of programs that `add` makes.

use clap::Subcommand;

use super::print;
use crate::{
    auth::ServiceAccountDesk,
    ids::UserId,
    port::{ActionEntry, Scopes},
};

#[derive(Debug, Subcommand)]
pub(super) enum ProgramStep {
    /// Set what a program of the shop may do, and end its tokens
    Scopes {
        username: String,
        /// orders:settle, attempts:write, events:read, shoppers:write, separated by commas
        scopes: Scopes,
    },
    /// Replace the client secret of a program of the shop; the new one is printed once, and the program's tokens end
    Secret { username: String },
}

impl ProgramStep {
    pub(super) fn username(&self) -> &str {
        match self {
            Self::Scopes { username, .. } | Self::Secret { username } => username,
        }
    }

    pub(super) async fn run(
        self,
        desk: &ServiceAccountDesk,
        id: UserId,
        entry: &ActionEntry,
        json: bool,
    ) -> anyhow::Result<()> {
        match self {
            Self::Scopes { scopes, .. } => {
                let account = desk.set_scopes(id, scopes, entry).await?;
                print::service(&account, "changed", None, json)
            }
            Self::Secret { .. } => {
                let (account, secret) = desk.renew_secret(id, entry).await?;
                print::service(&account, "has another secret", Some(&secret), json)
            }
        }
    }
}

/// Makes an account with an id above this one, and prints its secret once.
pub(super) async fn add(
    desk: &ServiceAccountDesk,
    client_id: &str,
    scopes: Scopes,
    above: i64,
    entry: &ActionEntry,
    json: bool,
) -> anyhow::Result<()> {
    let (account, secret) = desk.make(client_id, scopes, above, entry).await?;
    print::service(&account, "made", Some(&secret), json)
}
