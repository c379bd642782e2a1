//! `/api/admin/dead-letters`: records that could not be settled, and what is decided about them.

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use serde_json::json;

use super::{
    super::access::Operator,
    body::{DeadLetterBody, DecidedBody, Page},
    once::{Call, Done, Unfinished, once},
};
use crate::{
    http::{ApiError, Document, ErrorCode, Parameters, PathId, Success},
    order::dead_letters::{DeadLetters, Decider},
    port::{ActionEntry, ActionName, AdminError, Change, DeadLetterEntry, DeadLetterId, LogEntry},
    sale::{Steering, forms::ReasonForm},
    security::{self, Event},
};

/// Dead letters, each with what was decided last.
///
/// Records of the attempt log that could not be settled. What becomes of one is decided by a person.
#[utoipa::path(
    get, path = "/api/admin/dead-letters", operation_id = "listDeadLetters", tag = "Operators", security(("bearer" = [])),
    params(
        ("open" = Option<bool>, Query, description = "Only those about which nothing is decided", example = true),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many at most; 50 if missing", example = 50),
        ("after" = Option<String>, Query, pattern = "^[0-9]{1,9}:[0-9]{1,18}$", description = "`next` of the page before", example = "0:17"),
    ),
    responses((status = 200, description = "Some of them, and where the next ones begin. A page may have fewer than `limit`, and more behind it.",
        body = Success<Page<DeadLetterBody>>))
)]
pub async fn list(
    _: Operator,
    parameters: Parameters,
    letters: Data<DeadLetters>,
) -> Result<HttpResponse, ApiError> {
    let limit = parameters.limit(1..=500, 50)?;
    let (open, after) = (parameters.flag("open")?, parameters.value("after")?);
    let list = letters.page(after, open, limit as usize).await?;
    let page = Page {
        items: list
            .items
            .into_iter()
            .map(|(found, decision)| DeadLetterBody::of(&found, decision))
            .collect(),
        next: list.next.map(|id| id.to_string()),
    };
    Ok(HttpResponse::Ok().json(Success::new(page)))
}

/// A dead letter.
///
/// With the beginning of its record and what was decided last.
#[utoipa::path(
    get, path = "/api/admin/dead-letters/{letterId}", operation_id = "showDeadLetter", tag = "Operators", security(("bearer" = [])),
    params(("letterId" = String, Path, pattern = "^[0-9]{1,9}:[0-9]{1,18}$", description = "Partition and offset", example = "0:17")),
    responses((status = 200, description = "It, with what was decided last.", body = Success<DeadLetterBody>))
)]
pub async fn show(
    _: Operator,
    letter: PathId<DeadLetterId>,
    letters: Data<DeadLetters>,
) -> Result<HttpResponse, ApiError> {
    let found = letters.find(letter.0).await?;
    let decision = letters.decisions_about(&found).await?.pop();
    let body = DeadLetterBody::of(&found, decision);
    Ok(HttpResponse::Ok().json(Success::new(body)))
}

/// Append the attempt of a dead letter to the log again.
///
/// Once what was wrong is put right. Replayed twice, it counts once.
#[utoipa::path(
    post, path = "/api/admin/dead-letters/{letterId}/replay", operation_id = "replayDeadLetter", tag = "Operators", security(("bearer" = [])),
    params(
        ("letterId" = String, Path, pattern = "^[0-9]{1,9}:[0-9]{1,18}$", description = "Partition and offset", example = "0:17"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "So that the request can be sent again", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ),
    request_body(content = Option<ReasonForm>),
    responses((status = 200, description = "It is in the log, or was settled before.", body = Success<DecidedBody>))
)]
pub async fn replay(
    call: Call,
    letter: PathId<DeadLetterId>,
    form: Document<ReasonForm>,
    steering: Data<Steering>,
    letters: Data<DeadLetters>,
) -> Result<HttpResponse, ApiError> {
    let reason = form.value.checked()?;
    let entry = call.entry(reason, &form.bytes);
    let again = async || {
        let found = letters.find(letter.0).await.map_err(ApiError::from)?;
        let replay = letters.replay(&found, &decider(&entry)).await;
        let body = DecidedBody::replayed(&found, replay.map_err(ApiError::from)?);
        let name = ActionName::ReplayDeadLetter;
        note(&steering, &found, name, "replayed", &entry).await?;
        Ok(Done::new(StatusCode::OK, body))
    };
    let not_again = async |_: Unfinished| Err(ApiError::from(ErrorCode::RequestInProgress).into());
    once(&steering, &call, &entry, again, not_again).await
}

/// Decide that nothing will come of a dead letter.
///
/// The letter itself stays where it is.
#[utoipa::path(
    post, path = "/api/admin/dead-letters/{letterId}/discard", operation_id = "discardDeadLetter", tag = "Operators", security(("bearer" = [])),
    params(
        ("letterId" = String, Path, pattern = "^[0-9]{1,9}:[0-9]{1,18}$", description = "Partition and offset", example = "0:17"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "So that the request can be sent again", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ),
    request_body(content = ReasonForm, description = "`reason` is required"),
    responses((status = 200, description = "It is discarded.", body = Success<DecidedBody>))
)]
pub async fn discard(
    call: Call,
    letter: PathId<DeadLetterId>,
    form: Document<ReasonForm>,
    steering: Data<Steering>,
    letters: Data<DeadLetters>,
) -> Result<HttpResponse, ApiError> {
    let reason = form.value.given()?;
    let entry = call.entry(reason, &form.bytes);
    let discarded = async || {
        let found = letters.find(letter.0).await.map_err(ApiError::from)?;
        let discarded = letters.discard(&found, &decider(&entry)).await;
        discarded.map_err(ApiError::from)?;
        let name = ActionName::DiscardDeadLetter;
        note(&steering, &found, name, "discarded", &entry).await?;
        Ok(Done::new(StatusCode::OK, DecidedBody::discarded(&found)))
    };
    let not_again = async |_: Unfinished| Err(ApiError::from(ErrorCode::RequestInProgress).into());
    once(&steering, &call, &entry, discarded, not_again).await
}

fn decider(entry: &ActionEntry) -> Decider {
    Decider {
        by: entry.actor.name.clone(),
        reason: Some(entry.reason.clone()).filter(|reason| !reason.is_empty()),
    }
}

/// The decision is noted beside the letter already; the action log has it for those who look for what a person did.
async fn note(
    steering: &Steering,
    found: &DeadLetterEntry,
    name: ActionName,
    outcome: &str,
    entry: &ActionEntry,
) -> Result<(), AdminError> {
    let sale = match &found.entry {
        LogEntry::Attempt(attempt) => Some(attempt.sale),
        LogEntry::OtherLedger(_) | LogEntry::Undecodable(_) => None,
    };
    let change = Change {
        name,
        sale,
        target: format!("letter:{}", found.id),
        before: None,
        after: Some(json!({ "outcome": outcome })),
    };
    steering.admin.note_action(&change, entry).await?;
    let about = found.id.to_string();
    let from = entry.actor.address.map(Into::into);
    security::note(Event::DeadLetter, outcome, &entry.actor.name, from, &about);
    Ok(())
}
