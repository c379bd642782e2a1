//! Changes of accounts after they were made: roles, disabling, passwords, ended tokens, reset tokens.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Nullable, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{PostgresLedger, Prepared, schema::users, users::StoredRow};
use crate::{
    engine::number::to_bigint,
    ids::UserId,
    port::{
        Access, AccountStore, LedgerError, Listed, NewUser, Registration, ResetHash, Role,
        SessionRule, StoredUser,
    },
};

/// The next `tokens_valid_from` of an account. It is later than the tokens that were issued, later than now, and later than the
/// present value.
macro_rules! ended {
    () => {
        "greatest(date_trunc('second', clock_timestamp()) + interval '1 second', to_timestamp(? + 1),
            date_trunc('second', tokens_valid_from) + interval '2 seconds')"
    };
}

/// Sets the role. A trigger then ends the account's tokens.
const SET_ROLE: &str = "
    UPDATE users SET role = ?, updated_at = now() WHERE id = ? RETURNING id, disabled_at, tokens_valid_from";

const DISABLE: &str = "
    WITH reset AS (DELETE FROM password_resets WHERE user_id = ?)
    UPDATE users SET disabled_at = coalesce(disabled_at, now()), updated_at = now()
    WHERE id = ? RETURNING id, disabled_at, tokens_valid_from";

const ENABLE: &str = "
    UPDATE users SET disabled_at = NULL, updated_at = now() WHERE id = ? RETURNING id, disabled_at, tokens_valid_from";

const END_SESSIONS: &str = concat!(
    "UPDATE users SET tokens_valid_from = ",
    ended!(),
    " WHERE id = ? RETURNING id, disabled_at, tokens_valid_from"
);

const SET_PASSWORD: &str = concat!(
    "WITH changed AS (UPDATE users SET tokens_valid_from = ",
    ended!(),
    ", password_hash = ?, updated_at = now()
        WHERE id = ? AND (password_hash = ? OR ?) RETURNING id, disabled_at, tokens_valid_from),
    reset AS (DELETE FROM password_resets WHERE user_id IN (SELECT id FROM changed))
    SELECT id, disabled_at, tokens_valid_from FROM changed"
);

/// Stores a reset token, and deletes expired ones.
const STORE_RESET: &str = "
    WITH expired AS (DELETE FROM password_resets WHERE expires_at < now() AND user_id <> ?)
    INSERT INTO password_resets (user_id, token_hash, expires_at)
    VALUES (?, ?, clock_timestamp() + make_interval(secs => ?::bigint))
    ON CONFLICT (user_id) DO UPDATE SET token_hash = excluded.token_hash, expires_at = excluded.expires_at";

const RESET_OWNER: &str = "
    SELECT user_id AS id FROM password_resets WHERE token_hash = ? AND expires_at > clock_timestamp()";

/// Uses up a reset token and sets the password. The deletion locks the token's row: of two requests with the same token, only one
/// finds it.
const REDEEM: &str = concat!(
    "WITH used AS (DELETE FROM password_resets WHERE token_hash = ? AND expires_at > clock_timestamp() RETURNING user_id)
    UPDATE users SET tokens_valid_from = ",
    ended!(),
    ", password_hash = ?, updated_at = now()
    FROM used WHERE id = used.user_id AND disabled_at IS NULL RETURNING id, disabled_at, tokens_valid_from"
);

#[derive(QueryableByName)]
pub(super) struct RuleRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    tokens_valid_from: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl RuleRow {
    pub(super) fn rule(self) -> Option<(UserId, SessionRule)> {
        let rule = SessionRule::new(self.disabled_at, self.tokens_valid_from);
        Some((UserId::new(self.id)?, rule))
    }
}

impl PostgresLedger {
    /// Runs a statement that answers with the rule of one account, or with no row.
    pub(super) async fn rule(
        &self,
        statement: Prepared,
    ) -> Result<Option<(UserId, SessionRule)>, LedgerError> {
        let mut session = self.pool.take().await?;
        let row: Option<RuleRow> = statement.get_result(&mut *session).await.optional()?;
        Ok(row.and_then(RuleRow::rule))
    }
}

#[async_trait]
impl AccountStore for PostgresLedger {
    async fn add_account(
        &self,
        user: &NewUser,
        role: Role,
        above: i64,
    ) -> Result<Registration, LedgerError> {
        Ok(super::users::register(&mut *self.pool.take().await?, user, role, above).await?)
    }

    async fn account(&self, id: UserId) -> Result<Option<StoredUser>, LedgerError> {
        Ok(find(&mut *self.pool.take().await?, id).await?)
    }

    async fn account_of_email(&self, email: &str) -> Result<Option<StoredUser>, LedgerError> {
        Ok(super::users::find_by_email(&mut *self.pool.take().await?, email).await?)
    }

    async fn list_accounts(
        &self,
        listed: Listed,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<StoredUser>, LedgerError> {
        let mut query = users::table
            .filter(users::id.gt(after.map_or(0, UserId::value)))
            .order(users::id)
            .limit(i64::from(limit))
            .select(StoredRow::as_select())
            .into_boxed();
        if listed == Listed::Staff {
            // A literal, so that the planner sees that users_staff_idx fits.
            query = query.filter(diesel::dsl::sql::<Bool>("role <> 'user'"));
        }
        let rows = query.load(&mut *self.pool.take().await?).await?;
        Ok(rows.into_iter().filter_map(StoredRow::user).collect())
    }

    async fn set_role(&self, id: UserId, role: Role) -> Result<Option<SessionRule>, LedgerError> {
        let statement = Prepared::new(SET_ROLE)
            .bind::<Text, _>(role.to_sql())
            .bind::<BigInt, _>(id.value());
        Ok(self.rule(statement).await?.map(|(_, rule)| rule))
    }

    async fn set_access(
        &self,
        id: UserId,
        access: Access,
    ) -> Result<Option<SessionRule>, LedgerError> {
        let statement = match access {
            Access::Disabled => Prepared::new(DISABLE)
                .bind::<BigInt, _>(id.value())
                .bind::<BigInt, _>(id.value()),
            Access::Enabled => Prepared::new(ENABLE).bind::<BigInt, _>(id.value()),
        };
        Ok(self.rule(statement).await?.map(|(_, rule)| rule))
    }

    async fn end_sessions(
        &self,
        id: UserId,
        issued_until: i64,
    ) -> Result<Option<SessionRule>, LedgerError> {
        let statement = Prepared::new(END_SESSIONS)
            .bind::<BigInt, _>(issued_until)
            .bind::<BigInt, _>(id.value());
        Ok(self.rule(statement).await?.map(|(_, rule)| rule))
    }

    async fn set_password(
        &self,
        id: UserId,
        old: Option<&str>,
        new: &str,
        issued_until: i64,
    ) -> Result<Option<SessionRule>, LedgerError> {
        let statement = Prepared::new(SET_PASSWORD)
            .bind::<BigInt, _>(issued_until)
            .bind::<Text, _>(new.to_owned())
            .bind::<BigInt, _>(id.value())
            .bind::<Text, _>(old.unwrap_or_default().to_owned())
            .bind::<Bool, _>(old.is_none());
        Ok(self.rule(statement).await?.map(|(_, rule)| rule))
    }

    async fn store_reset(
        &self,
        id: UserId,
        token: ResetHash,
        lifetime: Duration,
    ) -> Result<(), LedgerError> {
        Prepared::new(STORE_RESET)
            .bind::<BigInt, _>(id.value())
            .bind::<BigInt, _>(id.value())
            .bind::<Binary, _>(token.0.to_vec())
            .bind::<BigInt, _>(to_bigint(lifetime.as_secs()))
            .execute(&mut *self.pool.take().await?)
            .await?;
        Ok(())
    }

    async fn reset_owner(&self, token: ResetHash) -> Result<Option<StoredUser>, LedgerError> {
        let mut session = self.pool.take().await?;
        let owner: Option<IdRow> = Prepared::new(RESET_OWNER)
            .bind::<Binary, _>(token.0.to_vec())
            .get_result(&mut *session)
            .await
            .optional()?;
        match owner.and_then(|row| UserId::new(row.id)) {
            Some(id) => Ok(find(&mut session, id).await?),
            None => Ok(None),
        }
    }

    async fn redeem_reset(
        &self,
        token: ResetHash,
        password_hash: &str,
        issued_until: i64,
    ) -> Result<Option<(UserId, SessionRule)>, LedgerError> {
        let statement = Prepared::new(REDEEM)
            .bind::<Binary, _>(token.0.to_vec())
            .bind::<BigInt, _>(issued_until)
            .bind::<Text, _>(password_hash.to_owned());
        self.rule(statement).await
    }
}

async fn find(conn: &mut AsyncPgConnection, id: UserId) -> QueryResult<Option<StoredUser>> {
    let row = users::table
        .find(id.value())
        .select(StoredRow::as_select())
        .first(conn)
        .await
        .optional()?;
    Ok(row.and_then(StoredRow::user))
}
