//! Making and changing service accounts, for the API of operators and the command line. The ledger writes the entry in the action
//! log with each change.

use std::sync::Arc;

use super::{ClientSecret, Directory, OperatorsAccount};
use crate::{
    ids::UserId,
    port::{
        AccountStore, ActionEntry, ActionName, AdminError, NO_PASSWORD, NewUser, Scopes,
        ServiceAccess, ServiceAccount,
    },
    security::{self, Event},
};

/// The operators' actions on service accounts.
#[derive(Clone)]
pub struct ServiceAccountDesk {
    pub accounts: Arc<dyn AccountStore>,
    /// Of the process that serves the API, which knows of ended tokens at once.
    pub directory: Option<Arc<Directory>>,
}

/// Why a service account was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceAccountError {
    #[error(transparent)]
    Invalid(#[from] super::Invalid),
    #[error("a service account needs at least one scope")]
    NoScopes,
    #[error("the client id is taken")]
    Taken,
    #[error("there is no such service account")]
    Missing,
    #[error(transparent)]
    Secret(#[from] super::PasswordError),
    /// The change was not made, or it is not known whether it was.
    #[error(transparent)]
    Change(#[from] AdminError),
}

impl ServiceAccountDesk {
    /// Makes an account with an id above this one. Its secret is stored nowhere else.
    pub async fn make(
        &self,
        client_id: &str,
        scopes: Scopes,
        above: i64,
        entry: &ActionEntry,
    ) -> Result<(ServiceAccount, ClientSecret), ServiceAccountError> {
        refuse_none(scopes)?;
        OperatorsAccount::named(client_id)?;
        let secret = ClientSecret::generate()?;
        let user = NewUser {
            username: client_id.to_owned(),
            // This is no e-mail address, and no shopper can register it as one. It is unique because the client id is.
            email: format!("service:{client_id}"),
            password_hash: NO_PASSWORD.to_owned(),
            full_name: None,
        };
        let access = (scopes, secret.hash());
        let made = self
            .accounts
            .add_service_account(&user, above, access, entry);
        let account = made.await?.ok_or(ServiceAccountError::Taken)?;
        if let Some(directory) = &self.directory {
            directory.note_made(account.user.id).await;
            directory.note_sessions(account.user.id, account.user.sessions);
        }
        log(ActionName::CreateUser, &account, entry);
        Ok((account, secret))
    }

    /// Sets the scopes, and ends the tokens of the account.
    pub async fn set_scopes(
        &self,
        id: UserId,
        scopes: Scopes,
        entry: &ActionEntry,
    ) -> Result<ServiceAccount, ServiceAccountError> {
        refuse_none(scopes)?;
        let account = self
            .change(id, ServiceAccess::Scopes(scopes), entry)
            .await?;
        log(ActionName::SetScopes, &account, entry);
        Ok(account)
    }

    /// Replaces the secret, and ends the tokens of the account. An account that never had a secret has no scopes yet.
    pub async fn renew_secret(
        &self,
        id: UserId,
        entry: &ActionEntry,
    ) -> Result<(ServiceAccount, ClientSecret), ServiceAccountError> {
        let secret = ClientSecret::generate()?;
        let access = ServiceAccess::Secret(secret.hash());
        let account = self.change(id, access, entry).await?;
        log(ActionName::RenewSecret, &account, entry);
        Ok((account, secret))
    }

    async fn change(
        &self,
        id: UserId,
        access: ServiceAccess,
        entry: &ActionEntry,
    ) -> Result<ServiceAccount, ServiceAccountError> {
        let changed = self.accounts.change_service_account(id, access, entry);
        let account = changed.await?.ok_or(ServiceAccountError::Missing)?;
        if let Some(directory) = &self.directory {
            directory.note_sessions(id, account.user.sessions);
        }
        Ok(account)
    }
}

/// Writes a change that was made to the security log.
fn log(name: ActionName, account: &ServiceAccount, entry: &ActionEntry) {
    let (actor, who) = (&entry.actor, &account.user.username);
    let from = actor.address.map(Into::into);
    security::note(Event::Account, name.as_str(), &actor.name, from, who);
}

fn refuse_none(scopes: Scopes) -> Result<(), ServiceAccountError> {
    if scopes.is_empty() {
        return Err(ServiceAccountError::NoScopes);
    }
    Ok(())
}
