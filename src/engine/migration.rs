//! What there is to say of a migration, whatever the ledger.

/// One migration of this version or of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    pub name: String,
    pub applied: bool,
}
