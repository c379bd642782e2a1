//! Changes by operators, each one piece of the store's work with its entry in the action log and its idempotency key.

pub(super) mod log;
pub(super) mod movements;
