//! `GET /health`, `GET /health/ready`, `GET /metrics`: for those who watch the process.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    http::header::{self, HeaderValue},
    web::Data,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Readiness, answer::timestamp, readiness::Dependencies};
use crate::clock::Clock;

/// Renders the metrics.
pub type MetricsPage = Arc<dyn Fn() -> String + Send + Sync>;

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
    /// `ready` or `not_ready`.
    #[schema(example = "ready")]
    status: &'static str,
    #[schema(format = DateTime, example = "2024-01-01T00:00:00.000Z")]
    timestamp: String,
    dependencies: Dependencies,
}

/// Whether the process runs. Asks nobody.
#[utoipa::path(
    get, path = "/health", operation_id = "health", tag = "Operation",
    responses((status = 200, description = "It runs.", body = HealthBody))
)]
pub async fn live(clock: Data<dyn Clock>) -> HttpResponse {
    HttpResponse::Ok().json(HealthBody {
        status: "ok",
        timestamp: timestamp(clock.now()),
    })
}

/// Whether the servers that the process depends on answer.
#[utoipa::path(
    get, path = "/health/ready", operation_id = "readiness", tag = "Operation",
    responses(
        (status = 200, description = "All of them answer.", body = ReadinessBody),
        (status = 503, description = "At least one does not: `status` is `not_ready`.", body = ReadinessBody,
            headers(("Retry-After" = u32, description = "Seconds")))
    )
)]
pub async fn ready(readiness: Data<Readiness>, clock: Data<dyn Clock>) -> HttpResponse {
    let dependencies = readiness.check().await;
    let timestamp = timestamp(clock.now());
    if dependencies.are_up() {
        HttpResponse::Ok().json(ReadinessBody {
            status: "ready",
            timestamp,
            dependencies,
        })
    } else {
        HttpResponse::ServiceUnavailable()
            .insert_header((header::RETRY_AFTER, HeaderValue::from_static("1")))
            .json(ReadinessBody {
                status: "not_ready",
                timestamp,
                dependencies,
            })
    }
}

/// Counters and gauges in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "Operation",
    responses((status = 200, description = "All metrics.", body = String, content_type = "text/plain"))
)]
pub async fn metrics(page: Data<MetricsPage>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(page())
}
