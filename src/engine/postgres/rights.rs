//! The rights that a role needs which owns nothing: the list that `migrate` grants, and the check that names the missing ones.

use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Bool, Text},
};
use diesel_async::RunQueryDsl;

use super::{Prepared, connect::ConnectError, session::Session};
use crate::config::PostgresConfig;

/// The rights that `serve` and `work` need, and no more. Row locks need the right to update a column.
pub const RIGHTS: &[&str] = &[
    "SELECT ON __diesel_schema_migrations, ledger_identity, account_changes",
    // The keys of accounts that were made without them.
    "UPDATE (username_key, email_key) ON users",
    "SELECT, INSERT ON users, purchase_attempts, dead_letter_decisions",
    // A bcrypt hash of the original service is replaced at the next login.
    "UPDATE (password_hash, updated_at) ON users",
    // Logging out and changing a password. Roles are for the owner of the tables.
    "UPDATE (tokens_valid_from) ON users",
    "SELECT, INSERT, UPDATE, DELETE ON password_resets, service_credentials",
    "SELECT, INSERT, DELETE ON external_identities",
    // Erasing a person, which ends the account. A trigger lets entries of the action log be changed in this way alone.
    "UPDATE (username, email, full_name, disabled_at) ON users",
    "UPDATE (reason, before, after) ON admin_actions",
    "UPDATE (reason) ON dead_letter_decisions",
    // A row without SUCCESS makes room for the shopper's new order.
    "SELECT, INSERT, DELETE ON orders",
    "SELECT, INSERT, UPDATE ON released_orders",
    // Admission windows are deleted after the ledger was set back.
    "SELECT, UPDATE (remaining_stock, updated_at, admitted_from, admitted_until) ON flash_sales",
    // Triggers number the events of a sale, and record them; old ones are removed.
    "UPDATE (event_seq) ON flash_sales",
    "SELECT, INSERT, DELETE ON event_batches, event_recording",
    "SELECT, INSERT, UPDATE, DELETE ON event_positions, webhook_endpoints, webhook_deliveries",
    // Operators make and change products and sales, and end orders.
    "SELECT, INSERT, UPDATE (sku, name, description, image_url, price_cents, currency, prior_price_cents) ON products",
    "INSERT, UPDATE (product_id, start_time, end_time, initial_stock, state, paused_at, note) ON flash_sales",
    "UPDATE (status, updated_at) ON orders",
    "SELECT, INSERT, UPDATE (state, applied, closed_at) ON stock_movements",
    "USAGE ON SEQUENCE products_id_seq, flash_sales_id_seq",
    // Entries of the action log are appended, and never changed: the head says which is the last.
    "SELECT, INSERT ON admin_actions",
    "SELECT, UPDATE (last_id, last_hash) ON admin_actions_head",
    "SELECT, INSERT, UPDATE, DELETE ON idempotency_keys",
    "SELECT, INSERT, UPDATE ON consumer_partitions",
    "SELECT, INSERT, UPDATE, DELETE ON consumer_members",
    "USAGE ON SEQUENCE dead_letter_decisions_id_seq",
    // The sequence is raised above the ids of lost accounts after the ledger was set back.
    "USAGE, SELECT, UPDATE ON SEQUENCE users_id_seq",
];

/// The numbers of the rights that the user does not have. An owner and a superuser have all. A table that the user cannot find is
/// one without rights.
const MISSING: &str = "
    SELECT number FROM unnest(?, ?, ?, ?, ?) AS wanted (number, object, privilege, column_name, is_sequence)
    WHERE NOT coalesce(CASE
        WHEN is_sequence THEN has_sequence_privilege(to_regclass(object), privilege)
        WHEN column_name = '' THEN has_table_privilege(to_regclass(object), privilege)
        ELSE (SELECT has_column_privilege(attrelid, attnum, privilege) FROM pg_attribute
            WHERE attrelid = to_regclass(object) AND attname = column_name AND NOT attisdropped)
        END, false)
    ORDER BY number";

/// One privilege on a table, on a column of it, or on a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Right {
    privilege: &'static str,
    /// `None`: on all columns.
    column: Option<&'static str>,
    object: &'static str,
    is_sequence: bool,
}

impl Right {
    /// As GRANT spells it.
    fn text(self) -> String {
        let Self {
            privilege, object, ..
        } = self;
        match self.column {
            Some(column) => format!("{privilege} ({column}) ON {object}"),
            None => format!("{privilege} ON {object}"),
        }
    }
}

/// The rights of [`RIGHTS`], one by one.
fn each() -> Vec<Right> {
    let mut rights = Vec::new();
    for (privileges, objects) in RIGHTS.iter().filter_map(|text| text.split_once(" ON ")) {
        let sequences = objects.strip_prefix("SEQUENCE ");
        let is_sequence = sequences.is_some();
        for object in sequences.unwrap_or(objects).split(", ") {
            let mut depth = 0;
            // At the commas that are not within a list of columns.
            let between = privileges.split(|character| {
                match character {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                character == ',' && depth == 0
            });
            for part in between.map(str::trim) {
                let right = |privilege, column| Right {
                    privilege,
                    column,
                    object,
                    is_sequence,
                };
                match part.split_once(" (") {
                    None => rights.push(right(part, None)),
                    Some((privilege, columns)) => {
                        let columns = columns.trim_end_matches(')').split(", ");
                        rights.extend(columns.map(|column| right(privilege, Some(column))));
                    }
                }
            }
        }
    }
    rights
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// The rights that the user of the session lacks, as GRANT spells them: one query of the catalog.
pub(super) async fn missing(session: &mut Session) -> diesel::QueryResult<Vec<String>> {
    let rights = each();
    let texts = |text: fn(&Right) -> &str| -> Vec<String> {
        rights.iter().map(|right| text(right).to_owned()).collect()
    };
    let numbers: Vec<i64> = (0..).take(rights.len()).collect();
    let sequences: Vec<bool> = rights.iter().map(|right| right.is_sequence).collect();
    let rows: Vec<NumberRow> = Prepared::new(MISSING)
        .bind::<Array<BigInt>, _>(numbers)
        .bind::<Array<Text>, _>(texts(|right| right.object))
        .bind::<Array<Text>, _>(texts(|right| right.privilege))
        .bind::<Array<Text>, _>(texts(|right| right.column.unwrap_or_default()))
        .bind::<Array<Bool>, _>(sequences)
        .load(session)
        .await?;
    let missing = rows.into_iter().filter_map(|row| {
        let number = usize::try_from(row.number).ok()?;
        rights.get(number).map(|right| right.text())
    });
    Ok(missing.collect())
}

/// Fails if the user lacks a right.
pub(super) async fn check(
    config: &PostgresConfig,
    session: &mut Session,
) -> Result<(), ConnectError> {
    let missing = missing(session)
        .await
        .map_err(|error| ConnectError::Unreachable {
            server: config.server(),
            cause: error.to_string(),
        })?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(ConnectError::RightsMissing {
        user: config.user.clone(),
        missing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_right_by_right() {
        let texts: Vec<String> = each().into_iter().map(Right::text).collect();
        for right in [
            "SELECT ON account_changes",
            "UPDATE (email_key) ON users",
            "INSERT ON dead_letter_decisions",
            "SELECT ON flash_sales",
            "UPDATE (admitted_until) ON flash_sales",
            "INSERT ON flash_sales",
            "UPDATE (note) ON flash_sales",
            "DELETE ON idempotency_keys",
            "USAGE ON flash_sales_id_seq",
        ] {
            assert!(texts.iter().any(|text| text == right), "{right} {texts:?}");
        }
        let words = |text: &String| text.contains(',') || text.contains("SEQUENCE");
        assert!(!texts.iter().any(words), "{texts:?}");
    }
}
