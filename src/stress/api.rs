//! The API as a shopper's client knows it: requests, and what its answers say.

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    answer::Answer,
    connection::Connection,
    no_answer::NoAnswer,
    request::{Request, Token},
    target::{Target, TargetError},
};
use crate::ids::{ProductId, SaleId};

/// Why a request did not get what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    NotAsked(#[from] TargetError),
    #[error("{0}")]
    NoAnswer(#[from] NoAnswer),
    #[error("{status} {code}: {message}")]
    Refused {
        status: u16,
        code: String,
        message: String,
        retry_after_secs: Option<u64>,
    },
    #[error("an answer that is not flashsale's (status {0})")]
    NotOurs(u16),
}

/// A sale as `GET /api/flash-sale/status` shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sale {
    id: i64,
    /// `upcoming`, `active` or `ended`.
    pub status: String,
    pub start_time: String,
    pub end_time: String,
    product_id: i64,
    pub product_name: String,
    pub initial_stock: u64,
    pub remaining_stock: u64,
}

impl Sale {
    /// `None` if the system says nonsense.
    #[must_use]
    pub fn id(&self) -> Option<SaleId> {
        SaleId::new(self.id)
    }

    #[must_use]
    pub fn product(&self) -> Option<ProductId> {
        ProductId::new(self.product_id)
    }
}

/// What a shopper's purchase became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PurchaseStatus {
    Success,
    Failed,
}

#[derive(Deserialize)]
struct Success<T> {
    data: T,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow)]
    code: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    message: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attempt<'a> {
    #[serde(borrow)]
    pub(super) attempt_id: &'a str,
}

#[derive(Deserialize)]
struct PurchaseResult {
    status: PurchaseStatus,
}

/// The data of a success.
pub(super) fn data<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    serde_json::from_slice::<Success<T>>(body)
        .ok()
        .map(|success| success.data)
}

/// The code of a failure; empty if it has none.
pub(super) fn code(body: &[u8]) -> std::borrow::Cow<'_, str> {
    serde_json::from_slice::<Failure>(body)
        .map(|failure| failure.code)
        .unwrap_or_default()
}

/// To press on a sale.
pub fn attempt(target: &Target, sale: SaleId) -> Result<Request, TargetError> {
    target.post(&format!("/api/flash-sale/attempt/{sale}"))
}

/// To ask what became of a purchase.
pub fn result(target: &Target, product: ProductId) -> Result<Request, TargetError> {
    target.get(&format!("/api/orders/status/{product}"))
}

/// Posts a JSON document.
pub(super) async fn post<T: DeserializeOwned>(
    connection: &mut Connection<'_>,
    target: &Target,
    path: &str,
    document: &serde_json::Value,
) -> Result<T, Refusal> {
    let request = target.post(path)?.with_document(document);
    understand(&connection.ask(&request).await?)
}

/// The sale that the system shows to whoever has a token.
pub async fn sale(
    connection: &mut Connection<'_>,
    target: &Target,
    token: &Token,
) -> Result<Sale, Refusal> {
    let request = target.get("/api/flash-sale/status")?.with_token(token);
    understand(&connection.ask(&request).await?)
}

/// What became of a purchase; `Ok(None)` if it has no result yet.
pub(super) fn purchase(answer: &Answer) -> Result<Option<PurchaseStatus>, Refusal> {
    match understand::<PurchaseResult>(answer) {
        Ok(result) => Ok(Some(result.status)),
        Err(Refusal::Refused { code, .. }) if code == "result_not_found" => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

fn understand<T: DeserializeOwned>(answer: &Answer) -> Result<T, Refusal> {
    let not_ours = Refusal::NotOurs(answer.status);
    if (200..300).contains(&answer.status) {
        return data(&answer.body).ok_or(not_ours);
    }
    let Ok(failure) = serde_json::from_slice::<Failure>(&answer.body) else {
        return Err(not_ours);
    };
    Err(Refusal::Refused {
        status: answer.status,
        code: failure.code.into_owned(),
        message: failure.message.into_owned(),
        retry_after_secs: answer.retry_after_secs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status,
            retry_after_secs: Some(3),
            body: body.into(),
        }
    }

    #[test]
    fn results_are_told_apart_from_none_yet_and_from_trouble() {
        let success = r#"{"success":true,"data":{"productId":1,"userId":"2","status":"SUCCESS"}}"#;
        assert_eq!(
            purchase(&answer(200, success)),
            Ok(Some(PurchaseStatus::Success))
        );
        let none =
            r#"{"success":false,"error":"Bad Request","message":"…","code":"result_not_found"}"#;
        assert_eq!(purchase(&answer(400, none)), Ok(None));
        let busy =
            r#"{"success":false,"error":"Service Unavailable","message":"Later.","code":"busy"}"#;
        let refused = Refusal::Refused {
            status: 503,
            code: "busy".to_owned(),
            message: "Later.".to_owned(),
            retry_after_secs: Some(3),
        };
        assert_eq!(purchase(&answer(503, busy)), Err(refused));
        let page = answer(502, "<html>Bad Gateway</html>");
        assert_eq!(purchase(&page), Err(Refusal::NotOurs(502)));
    }

    #[test]
    fn codes_are_read_from_failures_only() {
        assert_eq!(code(br#"{"success":false,"code":"sold_out"}"#), "sold_out");
        assert_eq!(code(b"<html>"), "");
    }
}
