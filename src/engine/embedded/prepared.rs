//! Hand-written statements for SQLite.

/// A hand-written statement for SQLite.
pub(super) type Prepared = crate::engine::prepared::Prepared<diesel::sqlite::Sqlite>;
