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

/// What a login gives. Without `Debug`, since it holds a token.
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
    /// Accounts that may do more than a shopper's cannot be logged in to with a password that everybody knows.
    pub(super) refuses_known: bool,
    /// `None`: there are no accounts of the shop.
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

    /// The same with accounts of the shop; shoppers register and log in here only with `local_accounts`.
    #[must_use]
    pub fn with_external(self, external: Option<ExternalAccounts>, local_accounts: bool) -> Self {
        Self {
            external,
            local_accounts,
            ..self
        }
    }

    /// The same as production has it: nobody logs in to an account that may do more than a shopper's with a password that
    /// everybody knows, such as those of the demo data.
    #[must_use]
    pub fn in_production(self) -> Self {
        Self {
            refuses_known: true,
            ..self
        }
    }

    /// Makes an account for somebody in this network.
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

    /// A token for whoever knows the password. How many hashes it costs depends on what was sent alone, so that nobody can
    /// measure which accounts exist: one, and a second for a wrong password that is not in its composed form.
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
        // Where shoppers have no accounts, all who are not let in are told so: the answer tells nobody which accounts exist.
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
        // In the form in which new passwords are hashed, if it has that.
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

    /// Puts a hash of ours in the place of an outdated one. When no thread is free for it, a later login does it: this one does not
    /// wait in the queue a second time.
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
            // Another login, or its owner, was first.
            Ok(PasswordHashOutcome::Superseded) => {}
            Err(error) => {
                static LOG_THROTTLE: LogThrottle = LogThrottle::new();
                if LOG_THROTTLE.allow() {
                    tracing::warn!(error, "a bcrypt hash stays until the next login");
                }
            }
        }
    }

    /// The time that a new token of the account says: now, unless this node's clock is behind the ledger's. A token older than its
    /// account is refused, and so is one that is not younger than those that were ended.
    pub(super) fn issue_time(&self, user: &StoredUser) -> DateTime<Utc> {
        let ended = DateTime::from_timestamp(user.sessions.valid_from, 0).unwrap_or_default();
        self.clock.now().max(user.created_at).max(ended)
    }

    /// A token of the account from now on.
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

/// What came of it, for metrics and the security log.
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
