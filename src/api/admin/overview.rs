//! `/api/admin/overview`: the state of the whole system.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpResponse, web::Data};
use tokio::time::timeout;

use super::{
    super::{access::Operator, readiness::Readiness},
    body::{OverviewBody, ServerBody},
};
use crate::{clock::Clock, http::Success, order::figures::Overview, port::StockGate};

/// How long the servers may take altogether. Each has a second, and another caller may be asking them already.
const PATIENCE: Duration = Duration::from_millis(1_800);

/// What the overview is read from.
pub struct OverviewSource {
    pub overview: Overview,
    pub gate: Arc<dyn StockGate>,
}

/// All processes with their figures of the last second, servers, leases and open dead letters.
///
/// Within two seconds, also while servers do not answer: then without what they would tell.
#[utoipa::path(
    get, path = "/api/admin/overview", operation_id = "overview", tag = "Operators", security(("bearer" = [])),
    responses((status = 200, description = "What is known at the moment.", body = Success<OverviewBody>))
)]
pub async fn show(
    _: Operator,
    source: Data<OverviewSource>,
    readiness: Data<Readiness>,
    clock: Data<dyn Clock>,
) -> HttpResponse {
    let (seen, servers) =
        tokio::join!(source.overview.read(), timeout(PATIENCE, readiness.check()));
    let servers = ServerBody::all(servers.ok(), !source.gate.is_durable());
    HttpResponse::Ok().json(Success::new(OverviewBody::of(seen, servers, clock.now())))
}
