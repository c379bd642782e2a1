//! The pure decisions that several engines share: no I/O, no locks, time comes in as an argument.
//!
//! [`settlement`] decides what becomes of logged attempts, in every ledger; [`sale`] who holds a unit, in every gate that is
//! memory. [`action_log`] says what is kept of a change by an operator.

pub mod action_log;
pub mod sale;
pub mod settlement;
