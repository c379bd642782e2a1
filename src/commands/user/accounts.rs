//! The accounts that `flashsale user` changes, and the note of each change in the action log.

use std::sync::Arc;

use anyhow::Context;

use super::{
    super::operator::plain, action_log::ActionLog, person::PersonStep, print, secret::NewPassword,
};
use crate::{
    auth::{OperatorsAccount, Passwords, RESET_LIFETIME, ResetToken, ServiceAccountDesk},
    clock::{Clock, SystemClock},
    config::AuthConfig,
    ids::UserId,
    port::{
        Access, AccountStore, ActionName, Credentials, Listed, NewUser, Registration, Role,
        SessionRule, StoredUser,
    },
};

/// Accounts of one page of the list.
const PAGE: u32 = 500;

/// The accounts, and what their changes need.
pub(super) struct Accounts {
    pub(super) credentials: Arc<dyn Credentials>,
    pub(super) store: Arc<dyn AccountStore>,
    /// The id above which a new account's has to be.
    pub(super) above: i64,
    pub(super) auth: AuthConfig,
    pub(super) log: ActionLog,
}

fn is_enabled_admin(user: &StoredUser) -> bool {
    user.role == Role::Admin && user.sessions.access == Access::Enabled
}

fn changed(rule: Option<SessionRule>) -> anyhow::Result<()> {
    rule.map(drop).context("the account is gone")
}

impl Accounts {
    pub(super) fn desk(&self) -> ServiceAccountDesk {
        ServiceAccountDesk {
            accounts: Arc::clone(&self.store),
            // Nodes read what ended within seconds.
            directory: None,
        }
    }

    pub(super) async fn find(&self, username: &str) -> anyhow::Result<StoredUser> {
        let found = self.credentials.find_user(username).await?;
        found.with_context(|| format!("there is no account with the username {username}"))
    }

    /// Makes an account with a password.
    pub(super) async fn make(
        &self,
        (username, email): (&str, &str),
        role: Role,
        password: &NewPassword,
        json: bool,
    ) -> anyhow::Result<()> {
        let new = OperatorsAccount::new(username, email)?;
        let (password, hash) = password.take(&self.auth, username, email)?;
        self.add(&new, role, hash).await?;
        let made = self.find(username).await?;
        let noted = self.log.note(ActionName::CreateUser, None, &made).await;
        // A generated password is known to nobody else.
        print::changed(&made, "made", password, json)?;
        noted
    }

    pub(super) async fn set_role(
        &self,
        username: &str,
        role: Role,
        force: bool,
        json: bool,
    ) -> anyhow::Result<()> {
        let user = self.find(username).await?;
        if role != Role::Admin && !force {
            self.keep_an_admin(&user).await?;
        }
        changed(self.store.set_role(user.id, role).await?)?;
        self.done(ActionName::SetRole, &user, "changed", None, json)
            .await
    }

    pub(super) async fn disable(
        &self,
        username: &str,
        force: bool,
        json: bool,
    ) -> anyhow::Result<()> {
        if !force {
            let user = self.find(username).await?;
            self.keep_an_admin(&user).await?;
        }
        self.set_access(username, Access::Disabled, json).await
    }

    pub(super) async fn issue_reset_token(&self, username: &str, json: bool) -> anyhow::Result<()> {
        let user = self.find(username).await?;
        anyhow::ensure!(
            user.sessions.access == Access::Enabled,
            "the account is disabled: nobody can use a reset token of it"
        );
        let token = ResetToken::generate()?;
        self.store
            .store_reset(user.id, token.hash(), RESET_LIFETIME)
            .await?;
        self.log
            .note(ActionName::SetPassword, Some(&user), &user)
            .await?;
        print::reset_token(&user, &token, json)
    }

    pub(super) async fn set_password(
        &self,
        username: &str,
        password: &NewPassword,
        json: bool,
    ) -> anyhow::Result<()> {
        let user = self.find(username).await?;
        let (password, hash) = password.take(&self.auth, &user.username, &user.email)?;
        let now = SystemClock.now().timestamp();
        let set = self.store.set_password(user.id, None, &hash, now);
        changed(set.await?)?;
        let (name, said) = (ActionName::SetPassword, "has another password");
        self.done(name, &user, said, password, json).await
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
    pub(super) async fn keep_an_admin_for(
        &self,
        step: &PersonStep,
        user: &StoredUser,
    ) -> anyhow::Result<()> {
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

    pub(super) async fn set_access(
        &self,
        username: &str,
        access: Access,
        json: bool,
    ) -> anyhow::Result<()> {
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
    pub(super) async fn list(&self, listed: Listed, json: bool) -> anyhow::Result<()> {
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
