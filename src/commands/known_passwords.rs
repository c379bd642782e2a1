//! Accounts that may do more than a shopper's and have a password of the demo data: production does not serve them.
//!
//! `work` does not look: it lets nobody in, and what was accepted must be settled.

use std::collections::BTreeSet;

use anyhow::Context;

use crate::{
    auth::{Fit, Passwords},
    config::AuthConfig,
    demo,
    port::{AccountStore, Listed, Role, StoredUser},
};

/// Maximum number of accounts that are checked: each costs one hash for each password. Logins are always checked.
const LOOKED_AT: u32 = 100;

/// Fails if there is one, and names all of them.
pub(super) async fn refuse(config: &AuthConfig, accounts: &dyn AccountStore) -> anyhow::Result<()> {
    let staff = accounts.list_accounts(Listed::Staff, None, LOOKED_AT).await;
    let staff = staff.context("the accounts could not be read")?;
    let passwords = Passwords::new(config)?;
    let mut known = Vec::new();
    for user in staff {
        if has_demo_password(&passwords, &user).await? {
            known.push(format!("{} ({})", user.username, user.role.to_sql()));
        }
    }
    anyhow::ensure!(
        known.is_empty(),
        "production does not serve accounts with a password of the demo data, which everybody knows: {}; set another one with `flashsale user passwd NAME`, or disable the account with `flashsale user disable NAME`",
        known.join(", ")
    );
    Ok(())
}

async fn has_demo_password(passwords: &Passwords, user: &StoredUser) -> anyhow::Result<bool> {
    // Nobody logs in to it, or a shopper; a program has a secret.
    let has_none = matches!(user.role, Role::User | Role::Service);
    if !user.sessions.admits(i64::MAX) || has_none {
        return Ok(false);
    }
    let known: BTreeSet<_> = demo::ACCOUNTS.map(|account| account.password).into();
    let spellings = known.into_iter().map(str::to_owned).collect();
    let fit = passwords
        .verify(&user.username, spellings, user.password_hash.clone())
        .await?;
    Ok(fit != Fit::No)
}
