//! Tokens of service accounts: OAuth 2.0, grant type `client_credentials` (RFC 6749, 4.4).

use std::time::Duration;

use metrics::counter;

use super::{Auth, AuthError, client_secret, service::outcome_label};
use crate::{
    limit::Network,
    port::{Access, Scopes, ServiceAccount},
    security::{self, Event},
    telemetry::metric,
};

/// What a program proves itself with. Without `Debug`, since it holds a secret.
pub struct ClientCredentials {
    pub client_id: String,
    pub client_secret: String,
}

/// What a program gets for its credentials. Without `Debug`, since it holds a token.
pub struct ServiceToken {
    pub token: String,
    pub expires_in: Duration,
    pub scopes: Scopes,
}

impl Auth {
    /// A token for the program that knows the secret: with these scopes, or with all of the account's if none are asked for.
    pub async fn service_token(
        &self,
        credentials: ClientCredentials,
        asked: Option<&str>,
        from: Network,
    ) -> Result<ServiceToken, AuthError> {
        let who = credentials.client_id.clone();
        let outcome = self.try_service_token(credentials, asked, from).await;
        let label = outcome_label(outcome.as_ref().err());
        counter!(metric::SERVICE_TOKENS, "outcome" => label).increment(1);
        let about = outcome.as_ref().map(|token| token.scopes.to_string());
        let about = about.unwrap_or_default();
        security::note(Event::ServiceToken, label, &who, Some(from), &about);
        outcome
    }

    async fn try_service_token(
        &self,
        credentials: ClientCredentials,
        asked: Option<&str>,
        from: Network,
    ) -> Result<ServiceToken, AuthError> {
        // As a login: failures shut out their network, and nobody else from the account.
        let charge = self.limits.login(&credentials.client_id, from)?;
        let outcome = self.authenticate(credentials).await;
        if !outcome.as_ref().is_err_and(AuthError::is_refusal) {
            charge.did_not_fail();
        }
        let account = outcome?;
        let scopes = match asked {
            None => account.scopes,
            Some(asked) => {
                let asked: Scopes = asked.parse().map_err(|_| AuthError::InvalidScope)?;
                if !asked.is_subset_of(account.scopes) {
                    return Err(AuthError::InvalidScope);
                }
                asked
            }
        };
        let issued = self.tokens.issue_to_service(
            account.user.id,
            &account.user.username,
            scopes,
            self.issue_time(&account.user),
        );
        let (token, expires_in) = issued.map_err(AuthError::Signing)?;
        Ok(ServiceToken {
            token,
            expires_in,
            scopes,
        })
    }

    async fn authenticate(
        &self,
        credentials: ClientCredentials,
    ) -> Result<ServiceAccount, AuthError> {
        let sent = client_secret::hash(&credentials.client_secret);
        let found = self.accounts.service_account(&credentials.client_id);
        let account = found.await?.ok_or(AuthError::InvalidClient)?;
        let is_enabled = account.user.sessions.access == Access::Enabled;
        if account.secret != sent || !is_enabled {
            return Err(AuthError::InvalidClient);
        }
        Ok(account)
    }
}
