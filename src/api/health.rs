//! `GET /health`, `GET /health/ready`, `GET /metrics`: for those who watch the process.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web::Data,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::readiness::{Dependencies, Readiness};
use crate::{
    clock::Clock,
    http::{Draining, timestamp},
    telemetry::MetricsPage,
};

/// The process runs.
#[derive(Serialize, ToSchema)]
pub struct HealthBody {
    #[schema(example = "ok")]
    status: &'static str,
    #[schema(format = DateTime, example = "2024-01-01T00:00:00.000Z")]
    timestamp: String,
}

/// What the process can do at the moment.
#[derive(Serialize, ToSchema)]
pub struct ReadinessBody {
    /// `ready`, `not_ready`, or `draining`: the process is about to end; send it no more.
    #[schema(example = "ready")]
    status: &'static str,
    #[schema(format = DateTime, example = "2024-01-01T00:00:00.000Z")]
    timestamp: String,
    dependencies: Dependencies,
}

/// Whether the process runs.
///
/// It asks no other server, so that it answers while they are down.
#[utoipa::path(
    get, path = "/health", operation_id = "health", security(()), tag = "Operation",
    responses((status = 200, description = "It runs.", body = HealthBody))
)]
pub async fn live(clock: Data<dyn Clock>) -> HttpResponse {
    HttpResponse::Ok().json(HealthBody {
        status: "ok",
        timestamp: timestamp(clock.now()),
    })
}

/// Whether the servers that the process depends on answer.
///
/// For load balancers: 503 while requests should go elsewhere.
#[utoipa::path(
    get, path = "/health/ready", operation_id = "readiness", security(()), tag = "Operation",
    responses(
        (status = 200, description = "All of them answer.", body = ReadinessBody),
        (status = 503, description = "At least one does not: `status` is `not_ready`. Or the process is about to end: `draining`.", body = ReadinessBody,
            headers(("Retry-After" = u32, description = "Seconds")))
    )
)]
pub async fn ready(
    readiness: Data<Readiness>,
    clock: Data<dyn Clock>,
    request: HttpRequest,
) -> HttpResponse {
    let dependencies = readiness.check().await;
    let is_draining = request.app_data().is_some_and(Draining::has_begun);
    let status = match readiness.is_ready(dependencies) {
        _ if is_draining => "draining",
        true => "ready",
        false => "not_ready",
    };
    let body = ReadinessBody {
        status,
        timestamp: timestamp(clock.now()),
        dependencies,
    };
    if status == "ready" {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable()
            .insert_header((header::RETRY_AFTER, HeaderValue::from_static("1")))
            .json(body)
    }
}

/// Counters and gauges of this process.
///
/// In Prometheus' text format 0.0.4.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", security(()), tag = "Operation",
    responses((status = 200, description = "All metrics.", body = String, content_type = "text/plain"))
)]
pub async fn metrics(page: Data<MetricsPage>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(page())
}
