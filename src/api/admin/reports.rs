//! `/api/admin/audits` and `/api/admin/doctor`: the reports of the command line, made now.

use std::sync::Arc;

use actix_web::{HttpResponse, web::Data};
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{Mutex, TryLockError};

use super::super::access::Operator;
use crate::{
    http::{ApiError, ErrorCode, Parameters, Success},
    order::audit::{Audit, document},
};

/// Makes a report of `doctor`. It knows the engines behind the ports, which the API does not.
pub type Doctor = Arc<dyn Fn() -> BoxFuture<'static, Value> + Send + Sync>;

/// What makes the reports, one at a time: an audit reads everything.
pub struct Reports {
    pub audit: Arc<Audit>,
    pub doctor: Doctor,
    /// Where they are made, so that no thread that answers shoppers computes them.
    pub runtime: tokio::runtime::Handle,
    pub turn: Mutex<()>,
}

impl Reports {
    /// Makes one on a thread of its own. While one is made, others are told to come again.
    async fn make<T: Send + 'static, F: Future<Output = T>>(
        &self,
        report: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, ApiError> {
        let _turn = self
            .turn
            .try_lock()
            .map_err(|_: TryLockError| ErrorCode::Busy)?;
        let runtime = self.runtime.clone();
        let made = self
            .runtime
            .spawn_blocking(move || runtime.block_on(report()));
        made.await.map_err(|error| {
            tracing::error!(%error, "a report was not made");
            ErrorCode::Internal.into()
        })
    }
}

/// Whether every promise holds: the balance sheet of every sale, from gate, log and ledger.
///
/// Reads everything and writes nothing. It takes some ten seconds longer if something looks wrong, since it looks again.
#[utoipa::path(
    get, path = "/api/admin/audits", operation_id = "audit", tag = "Operators", security(("bearer" = [])),
    params(("sale" = Option<i64>, Query, minimum = 1, description = "Only this sale", example = 1)),
    responses((status = 200, description = "What `flashsale audit --json` prints. `clean`: nothing is wrong.", body = Success<Object>))
)]
pub async fn audit(
    _: Operator,
    parameters: Parameters,
    reports: Data<Reports>,
) -> Result<HttpResponse, ApiError> {
    let sale = parameters.value("sale")?;
    let audit = Arc::clone(&reports.audit);
    let report = reports.make(async move || audit.run(sale).await).await??;
    Ok(HttpResponse::Ok().json(Success::new(document::of(&report))))
}

/// Whether everything is as a sale will need it.
///
/// One entry a check, with what to do if it did not pass. Reads only.
#[utoipa::path(
    get, path = "/api/admin/doctor", operation_id = "doctor", tag = "Operators", security(("bearer" = [])),
    responses((status = 200, description = "What `flashsale doctor --json` prints.", body = Success<Object>))
)]
pub async fn doctor(_: Operator, reports: Data<Reports>) -> Result<HttpResponse, ApiError> {
    let doctor = Arc::clone(&reports.doctor);
    let report = reports.make(move || doctor()).await?;
    Ok(HttpResponse::Ok().json(Success::new(report)))
}
