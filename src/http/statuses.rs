//! The status codes of refused attempts: this API's, or those of the original service for clients that depend on them.

use actix_web::http::StatusCode;

use super::ErrorCode;

/// Which status codes refused attempts get. The bodies are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statuses {
    /// The status of the [`ErrorCode`]: 404, 409 or 410.
    Ours,
    /// 400 for each of these refusals (`ORIGINAL_STATUS_CODES`). 429 and 503 are unchanged, since a retry may succeed.
    Original,
}

impl Statuses {
    #[must_use]
    pub fn new(is_original: bool) -> Self {
        if is_original {
            Self::Original
        } else {
            Self::Ours
        }
    }

    /// The status that replaces the code's own; `None` if the code's own is sent.
    #[must_use]
    pub fn instead(self, code: ErrorCode) -> Option<StatusCode> {
        let is_refusal = matches!(
            code,
            ErrorCode::SoldOut
                | ErrorCode::NotStarted
                | ErrorCode::Paused
                | ErrorCode::Ended
                | ErrorCode::SaleNotFound
        );
        (self == Self::Original && is_refusal).then_some(StatusCode::BAD_REQUEST)
    }
}
