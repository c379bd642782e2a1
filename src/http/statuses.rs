//! The statuses of refused attempts: ours, or for clients that branch on it the original's.

use actix_web::http::StatusCode;

use super::ErrorCode;

/// Which status a refused attempt is answered with. Bodies are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statuses {
    /// That of the code: 404, 409, 410.
    Ours,
    /// 400, whatever the reason (`ORIGINAL_STATUS_CODES`). What may succeed in a moment, 429 and 503, stays what it is.
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

    /// The status that is sent instead of the code's own, if it is another one.
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
