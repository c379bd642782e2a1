//! The API as a shopper's client knows it: requests, and what its answers say.

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    answer::Answer,
    connection::{Connection, NoAnswer},
    target::Target,
};
use crate::ids::{ProductId, SaleId};

/// Why a request did not get what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
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

/// A request without a body, up to the token.
pub(super) fn with_token(target: &Target, method: &str, path: &str) -> Vec<u8> {
    let mut head = Vec::new();
    target.head(method, path, &mut head);
    head.extend_from_slice(b"content-length: 0\r\nauthorization: Bearer ");
    head
}

/// The end of it.
pub(super) fn end_with(token: &str, into: &mut Vec<u8>) {
    into.extend_from_slice(token.as_bytes());
    into.extend_from_slice(b"\r\n\r\n");
}

/// Posts a JSON document.
pub(super) async fn post<T: DeserializeOwned>(
    connection: &mut Connection<'_>,
    target: &Target,
    path: &str,
    document: &serde_json::Value,
) -> Result<T, Refusal> {
    let body = document.to_string();
    let mut request = Vec::new();
    target.head("POST", path, &mut request);
    let rest = format!(
        "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    request.extend_from_slice(rest.as_bytes());
    understand(connection.ask(&request).await?)
}

/// The sale that the system shows to whoever has a token.
pub async fn sale(
    connection: &mut Connection<'_>,
    target: &Target,
    token: &str,
) -> Result<Sale, Refusal> {
    let mut request = with_token(target, "GET", "/api/flash-sale/status");
    end_with(token, &mut request);
    understand(connection.ask(&request).await?)
}

/// What became of a purchase; `Ok(None)` if it has no result yet.
pub(super) fn purchase(answer: Answer<'_>) -> Result<Option<PurchaseStatus>, Refusal> {
    match understand::<PurchaseResult>(answer) {
        Ok(result) => Ok(Some(result.status)),
        Err(Refusal::Refused { code, .. }) if code == "result_not_found" => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

fn understand<T: DeserializeOwned>(answer: Answer<'_>) -> Result<T, Refusal> {
    let not_ours = Refusal::NotOurs(answer.status);
    if (200..300).contains(&answer.status) {
        return data(answer.body).ok_or(not_ours);
    }
    let Ok(failure) = serde_json::from_slice::<Failure>(answer.body) else {
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

    fn answer(status: u16, body: &str) -> Answer<'_> {
        Answer {
            status,
            retry_after_secs: Some(3),
            body: body.as_bytes(),
        }
    }

    #[test]
    fn results_are_told_apart_from_none_yet_and_from_trouble() {
        let success = r#"{"success":true,"data":{"productId":1,"userId":"2","status":"SUCCESS"}}"#;
        assert_eq!(
            purchase(answer(200, success)),
            Ok(Some(PurchaseStatus::Success))
        );
        let none =
            r#"{"success":false,"error":"Bad Request","message":"…","code":"result_not_found"}"#;
        assert_eq!(purchase(answer(400, none)), Ok(None));
        let busy =
            r#"{"success":false,"error":"Service Unavailable","message":"Later.","code":"busy"}"#;
        let refused = Refusal::Refused {
            status: 503,
            code: "busy".to_owned(),
            message: "Later.".to_owned(),
            retry_after_secs: Some(3),
        };
        assert_eq!(purchase(answer(503, busy)), Err(refused));
        let page = answer(502, "<html>Bad Gateway</html>");
        assert_eq!(purchase(page), Err(Refusal::NotOurs(502)));
    }

    #[test]
    fn codes_are_read_from_failures_only() {
        assert_eq!(code(br#"{"success":false,"code":"sold_out"}"#), "sold_out");
        assert_eq!(code(b"<html>"), "");
    }
}
