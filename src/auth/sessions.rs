//! Ends the tokens of an account: by logging out, by another password, or by a reset. Each of these ends all tokens of the
//! account, on this node at once and on every other node within seconds.

use metrics::counter;

use super::{
    AccountRefusal, Auth, AuthError, Fit, Identity, Invalid, LoginSession, PasswordForm, ResetForm,
    change_form::{ValidChange, ValidReset},
    guessable::is_guessable,
    reset_token,
    service::outcome_label,
};
use crate::{
    config::is_known_password,
    ids::UserId,
    limit::Network,
    port::{Access, Role, StoredUser},
    security::{self, Event},
    telemetry::metric,
};

/// How far, in seconds, the clock of the node that issued a token may be ahead of this one's. Readiness refuses 3 s.
const CLOCKS_DIFFER: i64 = 60;
/// Highest number of comparisons of a password. It is compared again if the stored hash has changed meanwhile, as a login replaces
/// a hash of the original service.
const TRIES: u32 = 2;

impl Auth {
    /// Ends all tokens of the account.
    pub async fn log_out(&self, identity: &Identity, from: Network) -> Result<(), AuthError> {
        let outcome = self.end_sessions(identity, from).await;
        note(Event::Logout, "logout", &outcome, identity.user, from);
        outcome
    }

    async fn end_sessions(&self, identity: &Identity, from: Network) -> Result<(), AuthError> {
        self.limits.change(from)?;
        let until = self.issued_until(identity);
        let rule = self.accounts.end_sessions(identity.user, until).await?;
        let rule = rule.ok_or(AccountRefusal::Unknown)?;
        self.directory.note_sessions(identity.user, rule);
        Ok(())
    }

    /// Sets another password. The client needs a token and the current password, since a token alone may be stolen. Ends all
    /// tokens of the account, and gives a new one.
    pub async fn change_password(
        &self,
        identity: &Identity,
        form: PasswordForm,
        from: Network,
    ) -> Result<LoginSession, AuthError> {
        let outcome = self.try_change(identity, form, from).await;
        let event = Event::PasswordChange;
        note(event, "change", &outcome, identity.user, from);
        outcome
    }

    async fn try_change(
        &self,
        identity: &Identity,
        form: PasswordForm,
        from: Network,
    ) -> Result<LoginSession, AuthError> {
        let change = ValidChange::try_from(form)?;
        let account = self.accounts.account(identity.user).await?;
        let user = account.ok_or(AccountRefusal::Unknown)?;
        // A guess at the current password counts as a guess at a login.
        let login = self.limits.login(&user.username, from)?;
        let outcome = self.replace_password(identity, user, &change).await;
        if !outcome.as_ref().is_err_and(AuthError::is_refusal) {
            login.did_not_fail();
        }
        outcome
    }

    async fn replace_password(
        &self,
        identity: &Identity,
        mut user: StoredUser,
        change: &ValidChange,
    ) -> Result<LoginSession, AuthError> {
        for _ in 0..TRIES {
            let login = change.login(&user.username);
            if !login.is_possible() {
                return Err(AuthError::WrongCredentials);
            }
            let (name, stored) = (&login.username, user.password_hash.clone());
            let fit = self.passwords.verify(name, login.spellings(), stored);
            if fit.await? == Fit::No {
                return Err(AuthError::WrongCredentials);
            }
            self.refuse_guessable(&change.new, Some(&user))?;
            let new = self.passwords.hash(change.new.clone()).await?;
            let (old, until) = (user.password_hash.clone(), self.issued_until(identity));
            let changed = self
                .accounts
                .set_password(user.id, Some(&old), &new, until)
                .await?;
            if let Some(rule) = changed {
                self.directory.note_sessions(user.id, rule);
                user.sessions = rule;
                return self.session(&user);
            }
            let account = self.accounts.account(identity.user).await?;
            user = account.ok_or(AccountRefusal::Unknown)?;
        }
        Err(AuthError::WrongCredentials)
    }

    /// Sets another password by a one-time token, which is used up. The cost is the same whether the token exists or not. Ends all
    /// tokens of the account, and gives no new one.
    pub async fn reset_password(&self, form: ResetForm, from: Network) -> Result<(), AuthError> {
        let outcome = self.try_reset(form, from).await;
        let who = outcome.as_ref().ok().map(ToString::to_string);
        let word = outcome_label(outcome.as_ref().err());
        counter!(metric::SESSION_CHANGES, "change" => "reset", "outcome" => word).increment(1);
        if !matches!(outcome, Err(AuthError::Invalid(_))) {
            let who = who.unwrap_or_default();
            security::note(Event::PasswordReset, word, &who, Some(from), "");
        }
        outcome.map(drop)
    }

    async fn try_reset(&self, form: ResetForm, from: Network) -> Result<UserId, AuthError> {
        let reset = ValidReset::try_from(form)?;
        let charge = self.limits.reset(from)?;
        let outcome = self.redeem(reset).await;
        if !outcome.as_ref().is_err_and(AuthError::is_refusal) {
            charge.did_not_fail();
        }
        outcome
    }

    async fn redeem(&self, reset: ValidReset) -> Result<UserId, AuthError> {
        let token = reset_token::hash(&reset.token);
        let owner = self.accounts.reset_owner(token).await?;
        self.refuse_guessable(&reset.new, owner.as_ref())?;
        let hash = self.passwords.hash(reset.new).await?;
        let now = self.clock.now().timestamp();
        let redeemed = self.accounts.redeem_reset(token, &hash, now).await?;
        let (user, rule) = redeemed.ok_or(AuthError::ResetTokenInvalid)?;
        self.directory.note_sessions(user, rule);
        Ok(user)
    }

    /// Refuses a password that is among the first that are guessed. For accounts of staff this always applies; for shoppers, only
    /// if the settings say so.
    fn refuse_guessable(&self, password: &str, of: Option<&StoredUser>) -> Result<(), AuthError> {
        let is_staff = of.is_some_and(|user| user.role != Role::User);
        let (username, email) = of.map_or(("", ""), |user| (&user.username, &user.email));
        if (self.passwords.refuses_guessable || is_staff) && is_guessable(password, username, email)
        {
            return Err(Invalid::PasswordGuessable.into());
        }
        Ok(())
    }

    /// The time up to which tokens are ended, in seconds since 1970. It includes the token that was sent, even if the clock of the
    /// node that issued it is ahead.
    fn issued_until(&self, identity: &Identity) -> i64 {
        let now = self.clock.now().timestamp();
        identity.issued_at.clamp(now, now + CLOCKS_DIFFER)
    }

    /// Checks that a client who knows the password of this account may log in.
    pub(super) fn check_access(&self, user: &StoredUser, password: &str) -> Result<(), AuthError> {
        if user.sessions.access == Access::Disabled {
            return Err(AuthError::Disabled);
        }
        if !self.local_accounts && user.role == Role::User {
            return Err(AuthError::LocalAccountsOff);
        }
        if self.refuses_known && user.role != Role::User && is_known_password(password) {
            return Err(AuthError::KnownPassword);
        }
        Ok(())
    }
}

/// Counts the outcome of a change, and writes it to the security log unless the form was invalid.
fn note<T>(
    event: Event,
    change: &'static str,
    outcome: &Result<T, AuthError>,
    user: UserId,
    from: Network,
) {
    let word = outcome_label(outcome.as_ref().err());
    counter!(metric::SESSION_CHANGES, "change" => change, "outcome" => word).increment(1);
    if !matches!(outcome, Err(AuthError::Invalid(_))) {
        security::note(event, word, &user.to_string(), Some(from), "");
    }
}
