//! Accounts as `flashsale user` prints them: for people, and as JSON.

use serde::Serialize;

use crate::{
    api::admin::body::{ServiceAccountBody, UserBody},
    auth::{ClientSecret, RESET_LIFETIME, ResetToken},
    ids::UserId,
    port::{Access, Erasure, ServiceAccount, StoredUser},
    terminal::{Plain, print_json, say},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangedDocument<'a> {
    user: UserBody,
    /// Generated; it is shown nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_secs: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErasedDocument {
    user_id: String,
    log_entries: u64,
    /// False: it had been done before.
    is_new: bool,
}

#[derive(Serialize)]
struct ListDocument {
    users: Vec<UserBody>,
}

/// An account after a change, with its generated password.
pub(super) fn changed(
    user: &StoredUser,
    said: &str,
    password: Option<String>,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        print_json(&ChangedDocument {
            user: UserBody::from(user),
            password: password.as_deref(),
            reset_token: None,
            expires_in_secs: None,
        })?;
        return Ok(());
    }
    say!("{said}:");
    line(user);
    if let Some(password) = password {
        say!("password: {password}  (shown once)");
    }
    Ok(())
}

/// A service account after a change, with its new secret.
pub(super) fn service(
    account: &ServiceAccount,
    said: &str,
    secret: Option<&ClientSecret>,
    json: bool,
) -> anyhow::Result<()> {
    let secret = secret.map(|secret| secret.reveal().to_owned());
    if json {
        print_json(&ServiceAccountBody::of(account, secret))?;
        return Ok(());
    }
    say!("{said}:");
    line(&account.user);
    say!("scopes: {}", account.scopes);
    if let Some(secret) = secret {
        say!("client secret: {secret}  (shown once; for POST /api/service/token)");
    }
    Ok(())
}

/// What an erasure did.
pub(super) fn erased(id: UserId, erasure: &Erasure, json: bool) -> anyhow::Result<()> {
    if json {
        print_json(&ErasedDocument {
            user_id: id.to_string(),
            log_entries: erasure.log_entries,
            is_new: erasure.is_new,
        })?;
    } else if erasure.is_new {
        let entries = erasure.log_entries;
        say!("erased: user {id}, with {entries} entries of the action log");
    } else {
        say!("user {id} had been erased before");
    }
    Ok(())
}

/// A one-time token.
pub(super) fn reset_token(user: &StoredUser, token: &ResetToken, json: bool) -> anyhow::Result<()> {
    let secs = RESET_LIFETIME.as_secs();
    if json {
        print_json(&ChangedDocument {
            user: UserBody::from(user),
            password: None,
            reset_token: Some(token.reveal()),
            expires_in_secs: Some(secs),
        })?;
        return Ok(());
    }
    line(user);
    say!(
        "reset token: {}  (shown once; for POST /api/auth/reset, once, within {} minutes)",
        token.reveal(),
        secs / 60
    );
    Ok(())
}

/// One account of a list.
pub(super) fn line(user: &StoredUser) {
    let disabled = match user.sessions.access {
        Access::Enabled => "",
        Access::Disabled => "  disabled",
    };
    say!(
        "{:>8}  {:<8}  {}  {}{disabled}",
        user.id,
        user.role.to_sql(),
        Plain(&user.username),
        Plain(&user.email)
    );
}

pub(super) fn list(users: &[StoredUser]) -> anyhow::Result<()> {
    let users = users.iter().map(UserBody::from).collect();
    print_json(&ListDocument { users })?;
    Ok(())
}
