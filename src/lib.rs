//! `flashsale`: takes the second in which a sale opens.

pub mod app;
pub mod auth;
pub mod clock;
pub mod commands;
pub mod config;
pub mod engine;
pub mod http;
pub mod ids;
pub mod lifecycle;
pub mod order;
pub mod port;
pub mod sale;
pub mod telemetry;
