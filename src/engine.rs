//! The engines behind the three ports. Only `commands` chooses among them.

pub mod embedded;
pub mod kafka;
pub mod postgres;
pub mod redis;
