//! Takes the ports of a process.

use anyhow::Context;

use crate::{
    config::with_port,
    http::{self, Bound},
};

/// Listens on a port. `settings` are the settings to name in the error.
pub(super) async fn take_port(host: &str, port: u16, settings: &str) -> anyhow::Result<Bound> {
    http::bind(host, port).await.with_context(|| {
        format!(
            "cannot listen on {} (see {settings})",
            with_port(host, port)
        )
    })
}
