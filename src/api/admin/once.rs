//! Requests that may be sent again: a change is made once for each `Idempotency-Key`, and its first answer is given again
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! The key is stored in the transaction of the change, and the answer after it. A node that dies in between leaves a key without an
//! answer: a request with it is told to wait, and after ten seconds the answer is made from what the ledger has. A request that
//! changed nothing stores no key; repeated, it is decided anew.

use std::{
    future::{Ready, ready},
    time::Duration,
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, ETAG, HeaderValue, LOCATION, RETRY_AFTER},
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{super::access::Operator, body::SteeredBody};
use crate::{
    http::{ApiError, ErrorCode, IDEMPOTENCY_REPLAYED, IdempotencyKeyHeader, Success},
    ids::{AttemptId, ProductId, SaleId},
    port::{
        Action, ActionEntry, ActionId, AdminError, Administration, Fingerprint, IdempotencyKey,
        KeyStanding, LedgerError, Movement, StoredAnswer,
    },
    sale::{Applied, Steered, Steering},
    telemetry::LogThrottle,
};

/// How long the node of the first request has to answer, before its answer is made by another.
const ANSWERED_WITHIN: TimeDelta = TimeDelta::seconds(10);
/// How long a request waits for the answer of the first one that came at the same time.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Who makes a request that changes something, where, and by which key.
pub struct Call {
    pub operator: Operator,
    path: String,
    method: String,
    key: Option<String>,
}

impl FromRequest for Call {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let mut call = || {
            let operator = Operator::from_request(request, payload).into_inner()?;
            let IdempotencyKeyHeader(key) =
                IdempotencyKeyHeader::from_request(request, payload).into_inner()?;
            let path = request.path();
            Ok(Self {
                operator,
                path: path.strip_suffix('/').unwrap_or(path).to_owned(),
                method: request.method().to_string(),
                key,
            })
        };
        ready(call())
    }
}

impl Call {
    /// What is kept of the change, with the key of this request, which is for this body alone.
    pub fn entry(&self, reason: String, body: &[u8]) -> ActionEntry {
        let key = self.key.clone().map(|key| {
            let mut hash = Sha256::new();
            for part in [self.method.as_bytes(), self.path.as_bytes(), body] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            let fingerprint = Fingerprint(hash.finalize().into());
            IdempotencyKey { key, fingerprint }
        });
        self.operator.entry(reason, key)
    }

    /// The same for what cannot be repeated without harm.
    pub fn entry_with_key(&self, reason: String, body: &[u8]) -> Result<ActionEntry, ApiError> {
        if self.key.is_none() {
            return Err(ApiError::saying(
                ErrorCode::BadRequest,
                "This request needs the header Idempotency-Key, so that it can be sent again.",
            ));
        }
        Ok(self.entry(reason, body))
    }
}

/// An answer that is kept with its key.
#[derive(Debug, Clone)]
pub struct Done {
    status: StatusCode,
    body: String,
}

impl Done {
    pub fn new(status: StatusCode, data: impl Serialize) -> Self {
        let body = serde_json::to_string(&Success::new(data)).unwrap_or_default();
        Self { status, body }
    }

    /// 200 if all of it is done, 202 if the control loop completes it.
    pub fn of(is_complete: bool, data: impl Serialize) -> Self {
        let status = if is_complete {
            StatusCode::OK
        } else {
            StatusCode::ACCEPTED
        };
        Self::new(status, data)
    }

    /// The same for a changed sale.
    pub fn steered(steered: &Steered, now: DateTime<Utc>) -> Self {
        let is_applied = matches!(steered.applied, Applied::At(_));
        Self::of(is_applied, SteeredBody::of(steered, now))
    }

    /// A refusal that was decided for good, so that the key tells it again.
    pub fn refused(error: &ApiError) -> Self {
        Self {
            status: error.code().status(),
            body: serde_json::to_string(&error.body()).unwrap_or_default(),
        }
    }

    fn stored(&self) -> StoredAnswer {
        StoredAnswer {
            status: self.status.as_u16(),
            body: self.body.clone(),
        }
    }

    /// The answer to the first request.
    pub fn answer(self, path: &str) -> HttpResponse {
        respond(self.status, self.body, path)
    }
}

/// Why there is no answer yet.
pub enum Stopped {
    KeyUsed(KeyStanding),
    Failed(ApiError),
}

impl From<AdminError> for Stopped {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::KeyUsed(standing) => Self::KeyUsed(standing),
            error => Self::Failed(error.into()),
        }
    }
}

impl From<ApiError> for Stopped {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl From<LedgerError> for Stopped {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error.into())
    }
}

/// What the ledger has of a request whose node died before it answered.
pub enum Unfinished {
    Product(ProductId),
    Sale {
        id: SaleId,
        /// By how much its units changed.
        units: i64,
    },
    Withdrawal(Movement),
    Order(AttemptId),
    /// Something else, or nothing had to be changed.
    Other,
}

/// Makes a change, or gives its first answer again. `make` makes it, and fails with the key's standing if it is used; `finish`
/// makes the answer to a change that was made, and is not answered.
pub async fn once(
    steering: &Steering,
    call: &Call,
    entry: &ActionEntry,
    make: impl AsyncFnOnce() -> Result<Done, Stopped>,
    finish: impl AsyncFnOnce(Unfinished) -> Result<Done, Stopped>,
) -> Result<HttpResponse, ApiError> {
    let admin = steering.admin.as_ref();
    let Some(key) = &entry.key else {
        return match make().await {
            Ok(done) => Ok(done.answer(&call.path)),
            Err(Stopped::Failed(error)) => Err(error),
            Err(Stopped::KeyUsed(_)) => Err(ErrorCode::Internal.into()),
        };
    };
    let actor = &entry.actor.name;
    let known = admin.key_standing(actor, key).await?;
    let standing = match known {
        Some(standing) => standing,
        None => match make().await {
            Ok(done) => {
                store(admin, actor, key, &done).await;
                return Ok(done.answer(&call.path));
            }
            Err(Stopped::Failed(error)) => return Err(error),
            Err(Stopped::KeyUsed(standing)) => standing,
        },
    };
    let standing = wait(admin, actor, key, standing).await?;
    match standing {
        KeyStanding::OtherRequest => Err(ErrorCode::IdempotencyKeyReused.into()),
        KeyStanding::Answered(answer) => Ok(replay(answer, &call.path)),
        KeyStanding::Running { since, .. } if steering.clock.now() - since < ANSWERED_WITHIN => {
            Err(ErrorCode::RequestInProgress.into())
        }
        KeyStanding::Running {
            action, movement, ..
        } => {
            let what = match movement {
                Some(id) => {
                    let movement = admin.movement(id).await?;
                    movement.map_or(Unfinished::Other, Unfinished::Withdrawal)
                }
                None => unfinished(admin, action).await?,
            };
            match finish(what).await {
                Ok(done) => {
                    store(admin, actor, key, &done).await;
                    Ok(replay(done.stored(), &call.path))
                }
                Err(Stopped::Failed(error)) => Err(error),
                Err(Stopped::KeyUsed(_)) => Err(ErrorCode::RequestInProgress.into()),
            }
        }
    }
}

/// The first request is mostly answered in a moment.
async fn wait(
    admin: &dyn Administration,
    actor: &str,
    key: &IdempotencyKey,
    mut standing: KeyStanding,
) -> Result<KeyStanding, ApiError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while matches!(standing, KeyStanding::Running { .. }) && tokio::time::Instant::now() < deadline
    {
        tokio::time::sleep(PAUSE).await;
        // Without a standing it is not committed yet, or was not made.
        if let Some(now) = admin.key_standing(actor, key).await? {
            standing = now;
        }
    }
    Ok(standing)
}

async fn unfinished(
    admin: &dyn Administration,
    action: Option<ActionId>,
) -> Result<Unfinished, ApiError> {
    let Some(id) = action else {
        return Ok(Unfinished::Other);
    };
    let behind = ActionId(id.0.saturating_add(1));
    let found = admin.actions(None, Some(behind), 1).await?;
    let target = found.first().filter(|action| action.id == id);
    Ok(target.map_or(Unfinished::Other, target_of))
}

fn target_of(action: &Action) -> Unfinished {
    let (kind, id) = action.target.split_once(':').unwrap_or_default();
    let target = match kind {
        "product" => id.parse().ok().map(Unfinished::Product),
        "sale" => id.parse().ok().map(|id| Unfinished::Sale {
            id,
            units: changed_units(action),
        }),
        "order" => id.parse().ok().map(Unfinished::Order),
        _ => None,
    };
    target.unwrap_or(Unfinished::Other)
}

fn changed_units(action: &Action) -> i64 {
    let units = |state: &Option<Value>| {
        let units = state.as_ref().and_then(|sale| sale.get("initialStock"));
        units.and_then(Value::as_i64).unwrap_or(0)
    };
    units(&action.after) - units(&action.before)
}

/// Without the stored answer a repeated request is answered from what the ledger has, after a while.
async fn store(admin: &dyn Administration, actor: &str, key: &IdempotencyKey, done: &Done) {
    static LOG_THROTTLE: LogThrottle = LogThrottle::new();
    if let Err(error) = admin.store_answer(actor, key, &done.stored()).await
        && LOG_THROTTLE.allow()
    {
        tracing::warn!(%error, "the answer to an idempotency key was not stored");
    }
}

fn replay(answer: StoredAnswer, path: &str) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = respond(status, answer.body, path);
    response
        .headers_mut()
        .insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    response
}

/// With the version as `ETag`, and the address of what was made.
fn respond(status: StatusCode, body: String, path: &str) -> HttpResponse {
    let told: Value = serde_json::from_str(&body).unwrap_or_default();
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")));
    if let Some(version) = told.pointer("/data/version").and_then(Value::as_u64) {
        response.insert_header((ETAG, tag(version)));
    }
    if status == StatusCode::CREATED
        && let Some(id) = told.pointer("/data/id").and_then(Value::as_i64)
    {
        response.insert_header((LOCATION, format!("{path}/{id}")));
    }
    if status == StatusCode::ACCEPTED {
        // The control loop is round by then.
        response.insert_header((RETRY_AFTER, HeaderValue::from_static("2")));
    }
    response.body(body)
}

/// 200 with the version as `ETag`.
pub fn with_version(version: u64, data: impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((ETAG, tag(version)))
        .json(Success::new(data))
}

/// The tag of a version.
fn tag(version: u64) -> String {
    format!("\"v{version}\"")
}
