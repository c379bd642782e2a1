//! The port for operators and for those who watch a process.

use actix_web::web::ServiceConfig;
use anyhow::Context;

use super::super::{App, Probes};
use crate::{
    config::ServerConfig,
    http::{self, OpenConnections},
    lifecycle::Lifecycle,
};

/// Connections of those who watch a process, and of operators on the same port.
const INSIDE: usize = 256;

/// Serves operators, health checks and metrics on a port for the inside, as a task of `lifecycle`, on connections and a thread of
/// their own: however many shoppers hold the API's connections, operators reach the node and those who watch it are answered.
pub fn serve_inside(
    lifecycle: &Lifecycle,
    config: &ServerConfig,
    app: App,
    port: http::Bound,
) -> anyhow::Result<()> {
    let admin_page = config.pages.admin;
    let configure = move |service: &mut ServiceConfig| app.configure_inside(admin_page, service);
    serve_beside(lifecycle, config, port, configure)
}

/// The same with health checks and metrics alone, for a process without an API.
pub fn serve_probes(
    lifecycle: &Lifecycle,
    config: &ServerConfig,
    probes: Probes,
    port: http::Bound,
) -> anyhow::Result<()> {
    let configure = move |service: &mut ServiceConfig| probes.configure(service);
    serve_beside(lifecycle, config, port, configure)
}

fn serve_beside(
    lifecycle: &Lifecycle,
    config: &ServerConfig,
    port: http::Bound,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> anyhow::Result<()> {
    let listener = port.listen().context("the port cannot be listened on")?;
    let config = ServerConfig {
        max_connections: INSIDE,
        max_connections_per_network: None,
        max_listeners: 0,
        max_listeners_per_network: None,
        ..config.clone()
    };
    let ending = lifecycle.ending().clone();
    let stop = lifecycle.stop().clone();
    lifecycle.spawn("probes", async move {
        let open = OpenConnections::default();
        match http::serve(listener, 1, &config, ending, open, configure).await {
            // They may end before the process does, and must not take it down.
            Ok(()) => stop.cancelled().await,
            Err(error) => tracing::error!(%error, "serving health and metrics failed"),
        }
    });
    Ok(())
}
