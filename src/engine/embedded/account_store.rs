//! Changes of accounts after they were made: roles, disabling, passwords, ended tokens, reset tokens.

use std::time::Duration;

use async_trait::async_trait;
use diesel::{SqliteConnection, prelude::*};

use super::{
    ledger::SqliteLedger,
    schema::{password_resets, users},
    users::StoredRow,
    values::{millis, session_rule},
};
use crate::{
    engine::number::to_bigint,
    ids::UserId,
    port::{
        Access, AccountStore, LedgerError, Listed, NewUser, Registration, ResetHash, Role,
        SessionRule, StoredUser,
    },
};

#[async_trait]
impl AccountStore for SqliteLedger {
    async fn add_account(
        &self,
        user: &NewUser,
        role: Role,
        above: i64,
    ) -> Result<Registration, LedgerError> {
        let user = user.clone();
        self.write(move |conn| super::users::register(conn, &user, role, above))
            .await
    }

    async fn account(&self, id: UserId) -> Result<Option<StoredUser>, LedgerError> {
        Ok(self.store.read(move |conn| find(conn, id)).await?)
    }

    async fn account_of_email(&self, email: &str) -> Result<Option<StoredUser>, LedgerError> {
        let email = email.to_owned();
        let find = move |conn: &mut SqliteConnection| super::users::find_by_email(conn, &email);
        Ok(self.store.read(find).await?)
    }

    async fn list_accounts(
        &self,
        listed: Listed,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<StoredUser>, LedgerError> {
        let list = move |conn: &mut SqliteConnection| {
            let mut query = users::table
                .filter(users::id.gt(after.map_or(0, UserId::value)))
                .order(users::id)
                .limit(i64::from(limit))
                .select(StoredRow::as_select())
                .into_boxed();
            if listed == Listed::Staff {
                query = query.filter(users::role.ne(Role::User.to_sql()));
            }
            let rows = query.load(conn)?;
            Ok(rows.into_iter().filter_map(StoredRow::user).collect())
        };
        Ok(self.store.read(list).await?)
    }

    async fn set_role(&self, id: UserId, role: Role) -> Result<Option<SessionRule>, LedgerError> {
        self.write(move |conn| {
            // A trigger ends the account's tokens.
            diesel::update(users::table.find(id.value()))
                .set(users::role.eq(role.to_sql()))
                .execute(conn)?;
            rule(conn, id)
        })
        .await
    }

    async fn set_access(
        &self,
        id: UserId,
        access: Access,
    ) -> Result<Option<SessionRule>, LedgerError> {
        let now = millis(self.clock.now());
        self.write(move |conn| {
            let account = users::table.find(id.value());
            match access {
                Access::Disabled => {
                    diesel::delete(password_resets::table.find(id.value())).execute(conn)?;
                    diesel::update(account.filter(users::disabled_at.is_null()))
                        .set(users::disabled_at.eq(now))
                        .execute(conn)?;
                }
                Access::Enabled => {
                    diesel::update(account)
                        .set(users::disabled_at.eq(None::<i64>))
                        .execute(conn)?;
                }
            }
            rule(conn, id)
        })
        .await
    }

    async fn end_sessions(
        &self,
        id: UserId,
        issued_until: i64,
    ) -> Result<Option<SessionRule>, LedgerError> {
        let until = issued_until.max(self.clock.now().timestamp());
        self.write(move |conn| end_sessions(conn, id, until)).await
    }

    async fn set_password(
        &self,
        id: UserId,
        old: Option<&str>,
        new: &str,
        issued_until: i64,
    ) -> Result<Option<SessionRule>, LedgerError> {
        let until = issued_until.max(self.clock.now().timestamp());
        let (old, new) = (old.map(str::to_owned), new.to_owned());
        self.write(move |conn| {
            let stored = users::table
                .find(id.value())
                .select(users::password_hash)
                .first::<String>(conn)
                .optional()?;
            if stored.is_none() || (old.is_some() && old != stored) {
                return Ok(None);
            }
            set_hash(conn, id, &new)?;
            end_sessions(conn, id, until)
        })
        .await
    }

    async fn store_reset(
        &self,
        id: UserId,
        token: ResetHash,
        lifetime: Duration,
    ) -> Result<(), LedgerError> {
        let now = millis(self.clock.now());
        let lifetime = to_bigint(lifetime.as_millis());
        self.write(move |conn| {
            diesel::delete(password_resets::table.filter(password_resets::expires_at.le(now)))
                .execute(conn)?;
            diesel::replace_into(password_resets::table)
                .values((
                    password_resets::user_id.eq(id.value()),
                    password_resets::token_hash.eq(token.0.to_vec()),
                    password_resets::expires_at.eq(now.saturating_add(lifetime)),
                ))
                .execute(conn)
                .map(drop)
        })
        .await
    }

    async fn reset_owner(&self, token: ResetHash) -> Result<Option<StoredUser>, LedgerError> {
        let now = millis(self.clock.now());
        let owner = move |conn: &mut SqliteConnection| match owner_of(conn, token, now)? {
            Some(id) => find(conn, id),
            None => Ok(None),
        };
        Ok(self.store.read(owner).await?)
    }

    async fn redeem_reset(
        &self,
        token: ResetHash,
        password_hash: &str,
        issued_until: i64,
    ) -> Result<Option<(UserId, SessionRule)>, LedgerError> {
        let now = self.clock.now();
        let until = issued_until.max(now.timestamp());
        let hash = password_hash.to_owned();
        self.write(move |conn| {
            let Some(id) = owner_of(conn, token, millis(now))? else {
                return Ok(None);
            };
            let enabled = rule(conn, id)?.filter(|rule| rule.access == Access::Enabled);
            if enabled.is_none() {
                return Ok(None);
            }
            set_hash(conn, id, &hash)?;
            Ok(end_sessions(conn, id, until)?.map(|rule| (id, rule)))
        })
        .await
    }
}

pub(super) fn find(conn: &mut SqliteConnection, id: UserId) -> QueryResult<Option<StoredUser>> {
    let row = users::table
        .find(id.value())
        .select(StoredRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row.and_then(StoredRow::user))
}

/// The account of a reset token that is good at `now`, in milliseconds.
fn owner_of(
    conn: &mut SqliteConnection,
    token: ResetHash,
    now: i64,
) -> QueryResult<Option<UserId>> {
    let id = password_resets::table
        .filter(password_resets::token_hash.eq(token.0.to_vec()))
        .filter(password_resets::expires_at.gt(now))
        .select(password_resets::user_id)
        .first::<i64>(conn)
        .optional()?;
    Ok(id.and_then(UserId::new))
}

/// Sets a password hash, and takes the account's reset token away.
fn set_hash(conn: &mut SqliteConnection, id: UserId, hash: &str) -> QueryResult<()> {
    diesel::delete(password_resets::table.find(id.value())).execute(conn)?;
    diesel::update(users::table.find(id.value()))
        .set(users::password_hash.eq(hash))
        .execute(conn)
        .map(drop)
}

/// Ends the tokens of an account that were issued until then, in seconds since 1970, and those that its rule let in so far.
pub(super) fn end_sessions(
    conn: &mut SqliteConnection,
    id: UserId,
    until: i64,
) -> QueryResult<Option<SessionRule>> {
    let Some(before) = rule(conn, id)? else {
        return Ok(None);
    };
    let valid_from = until.max(before.valid_from).saturating_add(1);
    diesel::update(users::table.find(id.value()))
        .set(users::tokens_valid_from.eq(valid_from.saturating_mul(1_000)))
        .execute(conn)?;
    rule(conn, id)
}

/// Read anew, since triggers change it.
pub(super) fn rule(conn: &mut SqliteConnection, id: UserId) -> QueryResult<Option<SessionRule>> {
    let row = users::table
        .find(id.value())
        .select((users::disabled_at, users::tokens_valid_from))
        .first::<(Option<i64>, Option<i64>)>(conn)
        .optional()?;
    Ok(row.map(|(disabled_at, valid_from)| session_rule(disabled_at, valid_from)))
}
