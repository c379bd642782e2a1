//! Registering and logging in.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use metrics::counter;

use super::{
    AccountRefusal, AuthError, AuthLimits, Directory, ExternalAccounts, Fit, LoginForm,
    PasswordError, Passwords, RegistrationForm, TokenError, Tokens,
    form::{CompleteLogin, Invalid, ValidRegistration},
    guessable::is_guessable,
};
use crate::{
    clock::Clock,
    ids::UserId,
    limit::Network,
    port::{AccountStore, Credentials, NewUser, PasswordHashOutcome, Registration, StoredUser},
    security::{self, Event},
    telemetry::{LogThrottle, metric},
};

/// An account as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub user: UserId,
    pub username: String,
    pub email: String,
    pub full_name: Option<String>,
}

/// The result of a login. Without `Debug`, since it holds a token.
pub struct LoginSession {
    pub token: String,
    pub user: UserId,
}

/// Registers shoppers and logs them in.
pub struct Auth {
    credentials: Arc<dyn Credentials>,
    pub(super) accounts: Arc<dyn AccountStore>,
    pub(super) directory: Arc<Directory>,
    pub(super) limits: AuthLimits,
    pub(super) passwords: Passwords,
    pub(super) tokens: Arc<Tokens>,
    pub(super) clock: Arc<dyn Clock>,
    /// True if a login to an account with more rights than a shopper's is refused when its password is one that everybody knows.
    pub(super) refuses_known: bool,
    /// The accounts that the shop keeps; `None` if there are none.
    pub(super) external: Option<ExternalAccounts>,
    /// Whether shoppers can register and log in.
    pub(super) local_accounts: bool,
}

impl Auth {
    #[must_use]
    pub fn new(
        credentials: Arc<dyn Credentials>,
        accounts: Arc<dyn AccountStore>,
        directory: Arc<Directory>,
        limits: AuthLimits,
        passwords: Passwords,
        tokens: Arc<Tokens>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            credentials,
            accounts,
            directory,
            limits,
            passwords,
            tokens,
            clock,
            refuses_known: false,
            external: None,
            local_accounts: true,
        }
    }

    /// Adds the accounts that the shop keeps. Shoppers can register and log in here only if `local_accounts` is true.
    #[must_use]
    pub fn with_external(self, external: Option<ExternalAccounts>, local_accounts: bool) -> Self {
        Self {
            external,
            local_accounts,
            ..self
        }
    }

    /// Applies the rule of production: a login to an account with more rights than a shopper's is refused if its password is one
    /// that everybody knows, such as those of the demo data.
    #[must_use]
    pub fn in_production(self) -> Self {
        Self {
            refuses_known: true,
            ..self
        }
    }

    /// Makes an account for a shopper who registers from this network.
    pub async fn register(
        &self,
        form: RegistrationForm,
        from: Network,
    ) -> Result<Account, AuthError> {
        let who = form.username.clone().unwrap_or_default();
        let outcome = self.make_account(form, from).await;
        let label = outcome_label(outcome.as_ref().err());
        counter!(metric::REGISTRATIONS, "outcome" => label).increment(1);
        if !matches!(outcome, Err(AuthError::Invalid(_))) {
            security::note(Event::Registration, label, &who, Some(from), "");
        }
        outcome
    }

    async fn make_account(
        &self,
        form: RegistrationForm,
        from: Network,
    ) -> Result<Account, AuthError> {
        let valid = ValidRegistration::try_from(form)?;
        if !self.local_accounts {
            return Err(AuthError::LocalAccountsOff);
        }
        self.limits.registration(&valid.username, from)?;
        if self.passwords.refuses_guessable
            && is_guessable(&valid.password, &valid.username, &valid.email)
        {
            return Err(Invalid::PasswordGuessable.into());
        }
        let password_hash = self.passwords.hash(valid.password).await?;
        let new = NewUser {
            username: valid.username,
            email: valid.email,
            password_hash,
            full_name: valid.full_name,
        };
        match self.directory.register(&new).await? {
            Registration::Registered(user) => Ok(Account {
                user,
                username: new.username,
                email: new.email,
                full_name: new.full_name,
            }),
            Registration::UsernameTaken => Err(AuthError::UsernameTaken),
            Registration::EmailTaken => Err(AuthError::EmailTaken),
        }
    }

    /// Logs a client in who knows the password. The number of hashes depends on what was sent alone, so that nobody can measure
    /// which accounts exist. It is one, and two for a wrong password that is not in its composed form.
    pub async fn login(&self, form: LoginForm, from: Network) -> Result<LoginSession, AuthError> {
        let who = form.username.clone().unwrap_or_default();
        let outcome = self.let_in(form, from).await;
        let label = outcome_label(outcome.as_ref().err());
        counter!(metric::LOGINS, "outcome" => label).increment(1);
        match &outcome {
            Err(AuthError::Invalid(_)) => {}
            Err(AuthError::TooMany(_)) => {
                security::note(Event::LockOut, label, &who, Some(from), "");
            }
            Ok(_) | Err(_) => security::note(Event::Login, label, &who, Some(from), ""),
        }
        // If shoppers have no accounts here, every client that is not let in is told so. The answer then does not tell which
        // accounts exist.
        outcome.map_err(|error| {
            if !self.local_accounts && error.is_refusal() {
                AuthError::LocalAccountsOff
            } else {
                error
            }
        })
    }

    async fn let_in(&self, form: LoginForm, from: Network) -> Result<LoginSession, AuthError> {
        let login = CompleteLogin::try_from(form)?;
        let charge = self.limits.login(&login.username, from)?;
        let outcome = self.compare(login).await;
        if !outcome.as_ref().is_err_and(AuthError::is_refusal) {
            charge.did_not_fail();
        }
        outcome
    }

    async fn compare(&self, login: CompleteLogin) -> Result<LoginSession, AuthError> {
        let (found, spellings) = if login.is_possible() {
            let found = self.credentials.find_user(&login.username).await?;
            (found, login.spellings())
        } else {
            (None, vec![String::new()])
        };
        let typed = login.password.clone();
        let Some(user) = found else {
            self.passwords.refuse(&login.username, spellings).await?;
            return Err(AuthError::WrongCredentials);
        };
        let stored = user.password_hash.clone();
        let (name, passwords) = (&login.username, &self.passwords);
        // The first spelling is the form in which new passwords are hashed, if the password has that form.
        let password = spellings.first().cloned().unwrap_or_default();
        let fit = passwords.verify(name, spellings, stored).await?;
        if fit == Fit::No {
            return Err(AuthError::WrongCredentials);
        }
        self.check_access(&user, &typed)?;
        if fit == Fit::Outdated {
            self.renew(&user, password).await;
        }
        self.session(&user)
    }

    /// Replaces an outdated hash by one of ours. If no thread is free to make it, a later login replaces the hash: this login does
    /// not wait in the queue a second time.
    async fn renew(&self, user: &StoredUser, password: String) {
        let renewed = match self.passwords.hash_if_idle(password).await {
            Ok(None) => return,
            Ok(Some(hash)) => self
                .credentials
                .replace_password_hash(user.id, &user.password_hash, &hash)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match renewed {
            Ok(PasswordHashOutcome::Replaced) => {
                counter!(metric::PASSWORDS_RENEWED).increment(1);
            }
            // Another login, or the account's owner, has replaced the hash meanwhile.
            Ok(PasswordHashOutcome::Superseded) => {}
            Err(error) => {
                static LOG_THROTTLE: LogThrottle = LogThrottle::new();
                if LOG_THROTTLE.allow() {
                    tracing::warn!(error, "a bcrypt hash stays until the next login");
                }
            }
        }
    }

    /// The issue time of a new token: now, or a later time if this node's clock is behind the ledger's. A token with an earlier
    /// time than its account's would be refused, and so would a token with an earlier time than the rule that ended older tokens.
    pub(super) fn issue_time(&self, user: &StoredUser) -> DateTime<Utc> {
        let ended = DateTime::from_timestamp(user.sessions.valid_from, 0).unwrap_or_default();
        self.clock.now().max(user.created_at).max(ended)
    }

    /// A session with a new token of the account.
    pub(super) fn session(&self, user: &StoredUser) -> Result<LoginSession, AuthError> {
        let now = self.issue_time(user);
        let token = self
            .tokens
            .issue(user.id, &user.username, user.role, now)
            .map_err(AuthError::Signing)?;
        Ok(LoginSession {
            token,
            user: user.id,
        })
    }
}

/// The name of an outcome in metrics and the security log.
pub(super) fn outcome_label(failure: Option<&AuthError>) -> &'static str {
    match failure {
        None => "ok",
        Some(AuthError::Invalid(_)) => "invalid",
        Some(AuthError::UsernameTaken) => "username_taken",
        Some(AuthError::EmailTaken) => "email_taken",
        Some(AuthError::WrongCredentials) => "wrong_credentials",
        Some(AuthError::Disabled) => "disabled",
        Some(AuthError::KnownPassword) => "known_password",
        Some(AuthError::ResetTokenInvalid) => "reset_token_invalid",
        Some(AuthError::InvalidClient) => "invalid_client",
        Some(AuthError::InvalidScope) => "invalid_scope",
        Some(AuthError::TokenRefused(TokenError::Expired)) => "token_expired",
        Some(AuthError::TokenRefused(_)) => "token_refused",
        Some(AuthError::LocalAccountsOff) => "local_accounts_off",
        Some(AuthError::Account(AccountRefusal::Unknown | AccountRefusal::Ended)) => "no_account",
        Some(AuthError::TooMany(_)) => "too_many",
        Some(AuthError::Password(PasswordError::Busy)) => "busy",
        Some(AuthError::Password(PasswordError::Hashing(_)) | AuthError::Signing(_)) => "failed",
        Some(AuthError::Account(_) | AuthError::Ledger(_) | AuthError::IssuerAway) => "unavailable",
    }
}

#[cfg(test)]
mod tests;
