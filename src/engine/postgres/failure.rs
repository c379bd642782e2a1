//! One table by SQLSTATE: whether a session can be used after an error of PostgreSQL, and when its work can be tried again.
//!
//! Source of the codes: PostgreSQL documentation, appendix A, "PostgreSQL Error Codes". The texts of errors are not used: their
//! language depends on `lc_messages`.
//!
//! **Certain or in doubt.** If PostgreSQL answers a statement, COMMIT included, with an error, the transaction is rolled back and
//! has no effect. The outcome is in doubt only after 08007, after 40003, and if the connection breaks before the answer. Work in
//! doubt can be repeated safely: settling compares the offset and the attempts, and registration relies on unique names.

/// Whether a session can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionFate {
    Keep,
    /// The session answers but cannot do its work: its server takes no writes, is shutting down, or has no resources left.
    Discard,
}

/// When the same work may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// At once, in a new transaction: a concurrent writer caused the error.
    AtOnce,
    /// Later, without a change by an operator.
    Later,
    /// Only after a change by an operator.
    Never,
}

/// The meaning of an error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CodeEffect {
    pub(super) session: SessionFate,
    pub(super) retry: Retry,
}

const fn row(session: SessionFate, retry: Retry) -> CodeEffect {
    CodeEffect { session, retry }
}

/// The table. The rows of single codes come before the rows of their classes.
#[allow(clippy::match_same_arms)] // each row has its own reason
pub(super) fn effect(code: [u8; 5]) -> CodeEffect {
    use Retry::{AtOnce, Later, Never};
    use SessionFate::{Discard, Keep};
    let [a, b, ..] = code;
    match &code {
        // Unique, foreign key and check violations of our own constraints and triggers: between our read and our write another
        // transaction settled one of the attempts, or an operator's statement changed rows.
        b"23503" | b"23505" | b"23514" => row(Keep, AtOnce),
        // serialization_failure, deadlock_detected.
        b"40001" | b"40P01" => row(Keep, AtOnce),
        // statement_completion_unknown: in doubt.
        b"40003" => row(Discard, Later),
        // read_only_sql_transaction: the server is a standby, a demoted primary, or has default_transaction_read_only. A new
        // session may reach the new primary.
        b"25006" => row(Discard, Later),
        // idle_in_transaction_session_timeout, transaction_timeout: the server has closed the session, or is about to.
        b"25P03" | b"25P04" => row(Discard, Later),
        // cached plan must not change result type, after a migration: the session's prepared statements are old.
        b"0A000" => row(Discard, Later),
        // invalid_sql_statement_name, duplicate_prepared_statement: the session has the statements of another client, as behind
        // a pooler in transaction mode.
        b"26000" | b"42P05" => row(Discard, Later),
        // query_canceled by statement_timeout; lock_not_available by lock_timeout. idle_session_timeout (57P05) closes
        // the session.
        b"57014" | b"55P03" => row(Keep, Later),
        b"57P05" => row(Discard, Later),
        // database_dropped.
        b"57P04" => row(Discard, Never),
        _ => match &[a, b] {
            // Successful completion, warning, no data: no errors.
            b"00" | b"01" | b"02" => row(Keep, Later),
            // Connection exceptions, 08007 (transaction_resolution_unknown) among them: in doubt, and the connection is lost.
            b"08" => row(Discard, Later),
            // Feature not supported, other than above; a trigger or an action in the wrong place; a locator; a grantor.
            b"03" | b"09" | b"0B" | b"0F" | b"0L" | b"0P" | b"0Z" | b"10" | b"20" => {
                row(Keep, Never)
            }
            // Data and cardinality: the statement is wrong.
            b"21" | b"22" => row(Keep, Never),
            // Integrity constraints other than above: not null, exclusion, restrict.
            b"23" => row(Keep, Never),
            // Cursor and transaction states: the session is not in the state that we expect.
            b"24" | b"25" | b"2D" | b"3B" => row(Discard, Later),
            b"26" | b"34" => row(Discard, Later),
            b"27" => row(Keep, AtOnce),
            // The login, missing rights, or a name that does not exist.
            b"28" | b"2B" | b"2F" | b"38" | b"39" | b"3D" | b"3F" | b"42" | b"44" => {
                row(Keep, Never)
            }
            // Transaction rollback, other than above.
            b"40" => row(Keep, AtOnce),
            // Out of memory, connections or a configured limit, not caused by our statement. disk_full (53100) refuses writes
            // only.
            b"53" => row(Discard, Later),
            // Program limits: the statement is too complex or has too many columns.
            b"54" => row(Keep, Never),
            // Object not in the prerequisite state, other than above, for example recovery in progress (55000).
            b"55" => row(Discard, Later),
            // Operator intervention: admin_shutdown, crash_shutdown, cannot_connect_now.
            b"57" => row(Discard, Later),
            // System errors, external to PostgreSQL: I/O; and a snapshot that is too old.
            b"58" => row(Discard, Later),
            b"72" => row(Keep, AtOnce),
            // Configuration file, foreign data, PL/pgSQL (a trigger raised), internal errors: damaged data among them.
            b"F0" | b"HV" => row(Keep, Never),
            b"P0" => row(Keep, Never),
            b"XX" => row(Discard, Later),
            // A class outside of the documentation, from an extension or a pooler.
            _ => row(Discard, Later),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_caused_by_another_writer_are_tried_again_at_once() {
        for code in [b"40001", b"40P01", b"23505", b"23503", b"23514"] {
            assert_eq!(effect(*code), row(SessionFate::Keep, Retry::AtOnce));
        }
    }

    #[test]
    fn a_session_that_answers_but_cannot_write_is_not_kept() {
        for code in [
            b"25006", b"57P01", b"57P02", b"57P03", b"0A000", b"53100", b"53200", b"53300",
            b"08006", b"58030", b"XX001",
        ] {
            assert_eq!(
                effect(*code),
                row(SessionFate::Discard, Retry::Later),
                "{}",
                String::from_utf8_lossy(code)
            );
        }
    }

    #[test]
    fn a_slow_statement_and_a_wrong_one_leave_the_session_usable() {
        assert_eq!(effect(*b"57014"), row(SessionFate::Keep, Retry::Later));
        assert_eq!(effect(*b"42501"), row(SessionFate::Keep, Retry::Never));
        assert_eq!(effect(*b"22001"), row(SessionFate::Keep, Retry::Never));
    }
}
