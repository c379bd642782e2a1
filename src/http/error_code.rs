//! The list of all errors of the API, with the code, status, category and usual message of each.
//!
//! Codes never change, since programs compare them. Messages that the original service had are kept to the letter.

use actix_web::http::StatusCode;

/// Defines the codes. The compiler ensures that each has all of its parts and is in [`ErrorCode::ALL`].
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:ident, $category:literal, $message:literal;)*) => {
        /// Identifies an error for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name in bodies of responses.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// The value of the body's field `error`.
            #[must_use]
            pub const fn category(self) -> &'static str {
                match self { $(Self::$variant => $category,)* }
            }

            /// The text for people. [`ApiError::saying`](super::ApiError::saying) replaces it with a more precise one.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)* }
            }
        }
    };
}

error_codes! {
    BadRequest = "bad_request", BAD_REQUEST, "Bad Request", "The request cannot be understood.";
    InvalidJson = "invalid_json", BAD_REQUEST, "Bad Request", "The body is not valid JSON.";
    ValidationFailed = "validation_failed", BAD_REQUEST, "Validation error", "A field of the body is missing or of the wrong type.";
    InvalidId = "invalid_id", BAD_REQUEST, "Validation error", "An id must be a positive integer";
    ResetTokenInvalid = "reset_token_invalid", BAD_REQUEST, "Bad Request",
        "The reset token is unknown, was used, or has expired.";
    /// The names of this and the next two, and their category, are those of RFC 6749, 5.2.
    InvalidRequest = "invalid_request", BAD_REQUEST, "invalid_request",
        "The request needs grant_type, and the client id and secret either in the header Authorization or in the body.";
    UnsupportedGrantType = "unsupported_grant_type", BAD_REQUEST, "unsupported_grant_type", "grant_type must be client_credentials.";
    InvalidScope = "invalid_scope", BAD_REQUEST, "invalid_scope", "The account does not have a scope that was asked for.";
    ResultNotFound = "result_not_found", BAD_REQUEST, "Bad Request",
        "Order status not found. The purchase attempt may not have been processed yet or the key does not exist in Redis.";
    TokenMissing = "token_missing", UNAUTHORIZED, "Unauthorized",
        "No token provided. Please send it in the header Authorization: Bearer <token>.";
    TokenInvalid = "token_invalid", UNAUTHORIZED, "Unauthorized", "User authentication required. Please provide a valid token.";
    TokenExpired = "token_expired", UNAUTHORIZED, "Unauthorized", "User authentication required. Please provide a valid token.";
    InvalidCredentials = "invalid_credentials", UNAUTHORIZED, "Unauthorized", "Invalid credentials";
    /// Of RFC 6749, 5.2, as above.
    InvalidClient = "invalid_client", UNAUTHORIZED, "invalid_client", "The client id or the client secret is wrong.";
    /// The token has not the role or the scope that the path asks for.
    Forbidden = "forbidden", FORBIDDEN, "Forbidden", "Your account may not do this.";
    LocalAccountsOff = "local_accounts_off", FORBIDDEN, "Forbidden",
        "Shoppers have no accounts here: log in at the shop. Who runs this service has a wrong username or password.";
    NotFound = "not_found", NOT_FOUND, "Not Found", "There is nothing at this path.";
    SaleNotFound = "sale_not_found", NOT_FOUND, "Not Found", "No flash sale found";
    ShopperNotFound = "shopper_not_found", NOT_FOUND, "Not Found", "There is no enabled account of this subject or id.";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method Not Allowed", "This path does not take this method.";
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "Request Timeout", "The body did not arrive in time.";
    UsernameTaken = "username_taken", CONFLICT, "Conflict", "Username already exists";
    EmailTaken = "email_taken", CONFLICT, "Conflict", "Email already exists";
    SoldOut = "sold_out", CONFLICT, "Conflict", "Sorry, the item is out of stock.";
    NotStarted = "not_started", CONFLICT, "Conflict", "Flash sale is not yet active.";
    /// An operator paused the sale.
    Paused = "paused", CONFLICT, "Conflict", "The flash sale is paused. Please try again in a moment.";
    RequestInProgress = "request_in_progress", CONFLICT, "Conflict", "The first request with this Idempotency-Key is not answered yet.";
    BelowSold = "below_sold", CONFLICT, "Conflict", "Fewer units are available than are to be taken away.";
    NotAllowed = "not_allowed", CONFLICT, "Conflict", "What it is now does not allow this change.";
    OverlappingSale = "overlapping_sale", CONFLICT, "Conflict", "Another sale of the product is in this window.";
    SkuTaken = "sku_taken", CONFLICT, "Conflict", "Another product has this SKU.";
    /// A consumer is ahead of the ledger.
    EventsAhead = "events_ahead", CONFLICT, "Conflict", "The sale has not that many events.";
    EventsOff = "events_off", CONFLICT, "Conflict", "Events are not recorded (EVENTS_ENABLED).";
    Ended = "ended", GONE, "Gone", "Flash sale has ended.";
    /// Events that a consumer asks for.
    EventsGone = "events_gone", GONE, "Gone", "The events after this one are not kept any more, or were never recorded.";
    Stale = "stale", PRECONDITION_FAILED, "Precondition Failed", "It was changed since: If-Match does not name the current version.";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "Payload Too Large", "The body is larger than 16 KiB.";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type",
        "The body must be JSON (Content-Type: application/json) or a form (application/x-www-form-urlencoded).";
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "Unprocessable Content",
        "The Idempotency-Key was used for another request.";
    PreconditionRequired = "precondition_required", PRECONDITION_REQUIRED, "Precondition Required",
        "A change needs the header If-Match with the ETag that you read.";
    HeadTooLarge = "head_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large",
        "The head of the request is larger than 16 KiB.";
    TooManyRequests = "too_many_requests", TOO_MANY_REQUESTS, "Too Many Requests",
        "That was too often. Please try again later.";
    /// An unexpected error. The log has its cause; the client gets no details.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal Server Error", "An unexpected error occurred.";
    SalePreparing = "sale_preparing", SERVICE_UNAVAILABLE, "Service Unavailable",
        "The flash sale is being prepared. Please try again in a moment.";
    Busy = "busy", SERVICE_UNAVAILABLE, "Service Unavailable",
        "Too many requests are waiting, and yours was not taken. Please try again in a moment.";
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Service Unavailable",
        "The service cannot do this at the moment, and nothing was changed. Please try again.";
    OutcomeUnknown = "outcome_unknown", SERVICE_UNAVAILABLE, "Service Unavailable",
        "It is not known yet whether your purchase attempt counts. Please try again: you cannot get more than one item.";
}

impl ErrorCode {
    /// The value of `Retry-After` in seconds, unless the [`ApiError`](super::ApiError) has its own, as a refusal by a rate limit
    /// does.
    #[must_use]
    pub const fn retry_after_secs(self) -> Option<u32> {
        match self {
            Self::SalePreparing
            | Self::Busy
            | Self::OutcomeUnknown
            | Self::TooManyRequests
            | Self::Paused
            | Self::RequestInProgress => Some(1),
            Self::Unavailable => Some(2),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct() {
        let codes: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn exactly_the_errors_that_may_pass_have_a_retry_after() {
        for code in ErrorCode::ALL {
            let later = [
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::SERVICE_UNAVAILABLE,
            ];
            let waits = [ErrorCode::Paused, ErrorCode::RequestInProgress];
            let is_later = later.contains(&code.status()) || waits.contains(code);
            assert_eq!(code.retry_after_secs().is_some(), is_later, "{code:?}");
        }
    }
}
