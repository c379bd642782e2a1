//! The engines behind the three ports. Only `commands` chooses among them.

mod announcer;
mod dead_letter_action;
pub mod demo;
pub mod embedded;
mod fair_share;
pub mod kafka;
mod key_standing;
pub mod migration;
pub mod model;
mod movement;
mod outcome;
pub mod postgres;
mod prepared;
mod record;
pub mod redis;
mod sale_state;
pub mod tls;
pub mod transfer;
