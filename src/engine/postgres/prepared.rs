//! Hand-written statements for PostgreSQL.

/// A hand-written statement for PostgreSQL.
pub(super) type Prepared = crate::engine::prepared::Prepared<diesel::pg::Pg>;
