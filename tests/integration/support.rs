//! What the tests stand on: real servers, databases and processes of their own.
pub mod kafka;
