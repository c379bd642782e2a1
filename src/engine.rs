//! The engines behind the three ports. Only `commands` chooses among them.

pub mod announcer;
mod dead_letter_action;
pub mod embedded;
mod erasure;
mod event_terms;
pub mod fair_share;
pub mod kafka;
mod key_standing;
pub mod migration;
pub mod movement;
mod number;
mod outcome;
pub mod postgres;
mod prepared;
pub mod record;
pub mod redis;
mod sale_state;
pub mod tls;
pub mod transfer;
mod webhook;
