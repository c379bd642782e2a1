//! Making and changing service accounts, for the API of operators and the command line. Each change is noted in the action log.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{ClientSecret, Directory, OperatorsAccount};
use crate::{
    ids::UserId,
    port::{
        AccountStore, ActionEntry, ActionName, AdminError, Administration, Change, LedgerError,
        NO_PASSWORD, NewUser, Registration, Role, Scopes, ServiceAccount,
    },
    security::{self, Event},
};

/// Service accounts, and where their changes are noted.
#[derive(Clone)]
pub struct ServiceAccountDesk {
    pub accounts: Arc<dyn AccountStore>,
    pub actions: Arc<dyn Administration>,
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
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The account was changed, but the entry could not be written.
    #[error("the account was changed, and that is missing in the action log: {0}")]
    NotNoted(AdminError),
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
        let made = self.accounts.add_account(&user, Role::Service, above);
        let id = match made.await? {
            Registration::Registered(id) => id,
            Registration::UsernameTaken | Registration::EmailTaken => {
                return Err(ServiceAccountError::Taken);
            }
        };
        if let Some(directory) = &self.directory {
            directory.note_made(id).await;
        }
        // If the process ends here, the account exists without a secret. It gets one in the same way as a lost secret is renewed.
        let account = self.set(id, scopes, Some(&secret)).await?;
        self.note(ActionName::CreateUser, None, &account, entry)
            .await?;
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
        let before = self.accounts.service_account_of(id).await?;
        let before = before.ok_or(ServiceAccountError::Missing)?;
        let account = self.set(id, scopes, None).await?;
        self.note(ActionName::SetScopes, Some(&before), &account, entry)
            .await?;
        Ok(account)
    }

    /// Replaces the secret, and ends the tokens of the account. An account that never had a secret has no scopes yet.
    pub async fn renew_secret(
        &self,
        id: UserId,
        entry: &ActionEntry,
    ) -> Result<(ServiceAccount, ClientSecret), ServiceAccountError> {
        let before = self.accounts.service_account_of(id).await?;
        let scopes = before.as_ref().map_or(Scopes::NONE, |before| before.scopes);
        let secret = ClientSecret::generate()?;
        let account = self.set(id, scopes, Some(&secret)).await?;
        self.note(ActionName::RenewSecret, before.as_ref(), &account, entry)
            .await?;
        Ok((account, secret))
    }

    async fn set(
        &self,
        id: UserId,
        scopes: Scopes,
        secret: Option<&ClientSecret>,
    ) -> Result<ServiceAccount, ServiceAccountError> {
        let hash = secret.map(ClientSecret::hash);
        let rule = self.accounts.set_service_access(id, scopes, hash).await?;
        let rule = rule.ok_or(ServiceAccountError::Missing)?;
        if let Some(directory) = &self.directory {
            directory.note_sessions(id, rule);
        }
        let account = self.accounts.service_account_of(id).await?;
        account.ok_or(ServiceAccountError::Missing)
    }

    async fn note(
        &self,
        name: ActionName,
        before: Option<&ServiceAccount>,
        after: &ServiceAccount,
        entry: &ActionEntry,
    ) -> Result<(), ServiceAccountError> {
        let actor = &entry.actor;
        let from = actor.address.map(Into::into);
        let who = &after.user.username;
        security::note(Event::Account, name.as_str(), &actor.name, from, who);
        let change = Change {
            name,
            sale: None,
            target: format!("user:{}", after.user.id),
            before: before.map(state),
            after: Some(state(after)),
        };
        let noted = self.actions.note_action(&change, entry).await;
        noted.map(drop).map_err(ServiceAccountError::NotNoted)
    }
}

fn refuse_none(scopes: Scopes) -> Result<(), ServiceAccountError> {
    if scopes.is_empty() {
        return Err(ServiceAccountError::NoScopes);
    }
    Ok(())
}

/// An account without its secret.
fn state(account: &ServiceAccount) -> Value {
    json!({
        "userId": account.user.id.to_string(),
        "username": account.user.username,
        "role": Role::Service.to_sql(),
        "scopes": account.scopes.to_string(),
    })
}
