//! One suite a port, run against every engine of it.

mod gate;
mod ledger;
mod log;
