//! The pure decisions that several engines share: no I/O, no locks, time comes in as an argument.
//!
//! [`settlement`] decides what becomes of logged attempts, in every ledger; [`sale`] who holds a unit, in every gate that is
//! memory, [`shopper_result`] what a shopper is told, in every gate. [`lifecycle`] says which changes of a sale operators may make, [`action_log`] what is kept of one.
//! [`retention`] says which attempts may be removed.

pub mod action_log;
pub mod lifecycle;
pub mod product;
pub mod retention;
pub mod sale;
pub mod settlement;
pub mod shopper_result;
