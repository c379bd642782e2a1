//! From errors of the domain to answers: the one place, and no error without its line.
//!
//! What the client must not see is logged here, once.

use chrono::{DateTime, Utc};

use crate::{
    auth::{AccountRefusal, AuthError, Invalid, PasswordError, ServiceAccountError, TokenError},
    events::{FeedError, webhooks::WebhookError},
    http::{ApiError, ErrorCode, timestamp},
    ids::SaleId,
    limit::TooMany,
    order::{Refusal, audit::AuditError, dead_letters::Undecided},
    port::{AdminError, GateError, KeyStanding, LedgerError, SaleWindow},
    sale::forms,
    telemetry::LogThrottle,
};

/// Of a change by an operator.
const CHANGE_UNKNOWN: &str = "It is not known whether this was done. Look at it, or send the request again: with the same Idempotency-Key it is done once.";

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Invalid(invalid) => invalid.into(),
            AuthError::UsernameTaken => ErrorCode::UsernameTaken.into(),
            AuthError::EmailTaken => ErrorCode::EmailTaken.into(),
            // One answer for all three: the client must not learn which it was.
            AuthError::WrongCredentials | AuthError::Disabled | AuthError::KnownPassword => {
                ErrorCode::InvalidCredentials.into()
            }
            AuthError::ResetTokenInvalid => ErrorCode::ResetTokenInvalid.into(),
            AuthError::InvalidClient => ErrorCode::InvalidClient.into(),
            AuthError::InvalidScope => ErrorCode::InvalidScope.into(),
            AuthError::IssuerAway => unavailable(&error),
            AuthError::LocalAccountsOff => ErrorCode::LocalAccountsOff.into(),
            AuthError::TooMany(refused) => refused.into(),
            AuthError::Password(error) => error.into(),
            AuthError::TokenRefused(error) | AuthError::Signing(error) => error.into(),
            AuthError::Account(refusal) => refusal.into(),
            AuthError::Ledger(error) => error.into(),
        }
    }
}

impl From<ServiceAccountError> for ApiError {
    fn from(error: ServiceAccountError) -> Self {
        match error {
            ServiceAccountError::Invalid(invalid) => invalid.into(),
            ServiceAccountError::NoScopes => {
                Self::saying(ErrorCode::ValidationFailed, error.to_string())
            }
            ServiceAccountError::Taken => ErrorCode::UsernameTaken.into(),
            ServiceAccountError::Missing => {
                Self::saying(ErrorCode::NotFound, "There is no such service account.")
            }
            ServiceAccountError::Secret(error) => error.into(),
            ServiceAccountError::Change(error) => error.into(),
        }
    }
}

impl From<TooMany> for ApiError {
    fn from(refused: TooMany) -> Self {
        Self::too_many(refused.retry_after)
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::saying(ErrorCode::ValidationFailed, invalid.to_string())
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => ErrorCode::Busy.into(),
            PasswordError::Hashing(_) => {
                tracing::error!(%error, "a password could not be hashed or compared");
                ErrorCode::Internal.into()
            }
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid => ErrorCode::TokenInvalid.into(),
            TokenError::Expired => ErrorCode::TokenExpired.into(),
            TokenError::Unsigned(_) => {
                tracing::error!(%error, "no token was issued");
                ErrorCode::Internal.into()
            }
        }
    }
}

impl From<AccountRefusal> for ApiError {
    fn from(refusal: AccountRefusal) -> Self {
        match refusal {
            AccountRefusal::Unknown | AccountRefusal::Ended => ErrorCode::TokenInvalid.into(),
            AccountRefusal::Unavailable(_) => unavailable(&refusal),
        }
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        unavailable(&error)
    }
}

impl From<forms::Invalid> for ApiError {
    fn from(invalid: forms::Invalid) -> Self {
        Self::saying(ErrorCode::ValidationFailed, invalid.to_string())
    }
}

/// What operators are told of a change that was not made.
impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::NotFound => {
                Self::saying(ErrorCode::NotFound, "There is nothing with this id.")
            }
            AdminError::Stale { current } => Self::saying(
                ErrorCode::Stale,
                format!("It was changed since: the current version is \"v{current}\"."),
            ),
            AdminError::NotAllowed(cause) => Self::saying(ErrorCode::NotAllowed, cause),
            AdminError::Overlaps { other } => Self::saying(
                ErrorCode::OverlappingSale,
                format!("Sale {other} of the same product is in this window."),
            ),
            AdminError::SkuTaken => ErrorCode::SkuTaken.into(),
            AdminError::KeyUsed(KeyStanding::OtherRequest) => {
                ErrorCode::IdempotencyKeyReused.into()
            }
            // With the answer, or when it is known: the same request again gets it.
            AdminError::KeyUsed(KeyStanding::Running { .. } | KeyStanding::Answered(_)) => {
                ErrorCode::RequestInProgress.into()
            }
            // It may have been committed.
            AdminError::Ledger(error) => {
                let _ = unavailable(&error);
                Self::saying(ErrorCode::OutcomeUnknown, CHANGE_UNKNOWN)
            }
        }
    }
}

/// What operators are told of a dead letter about which nothing was decided.
impl From<Undecided> for ApiError {
    fn from(undecided: Undecided) -> Self {
        match undecided {
            Undecided::Missing => Self::saying(ErrorCode::NotFound, undecided.to_string()),
            Undecided::Omitted(_)
            | Undecided::Undecodable(_)
            | Undecided::Settled(..)
            | Undecided::RejectedAgain(_)
            | Undecided::Discarded
            | Undecided::Replayed(_) => Self::saying(ErrorCode::NotAllowed, undecided.to_string()),
            Undecided::Unknown(_) => Self::saying(ErrorCode::OutcomeUnknown, CHANGE_UNKNOWN),
            Undecided::NotWritten(_) | Undecided::Log(_) | Undecided::Ledger(_) => {
                unavailable(&undecided)
            }
        }
    }
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Url(_)
            | WebhookError::LongUrl
            | WebhookError::UnknownType(_)
            | WebhookError::Range { .. } => {
                Self::saying(ErrorCode::ValidationFailed, error.to_string())
            }
            WebhookError::TooMany => Self::saying(ErrorCode::NotAllowed, error.to_string()),
            WebhookError::Missing => Self::saying(ErrorCode::NotFound, error.to_string()),
            WebhookError::Events(error) => error.into(),
            WebhookError::NoRandomness(_) => {
                tracing::error!(%error, "no secret was made");
                ErrorCode::Internal.into()
            }
            WebhookError::Ledger(error) => error.into(),
            WebhookError::Change(error) => error.into(),
        }
    }
}

impl From<FeedError> for ApiError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::NoSale => ErrorCode::SaleNotFound.into(),
            FeedError::Gone { first, .. } => {
                Self::saying(ErrorCode::EventsGone, error.to_string()).with_first_sequence(first)
            }
            FeedError::Ahead { .. } => Self::saying(ErrorCode::EventsAhead, error.to_string()),
            FeedError::Off => ErrorCode::EventsOff.into(),
            FeedError::Busy => ErrorCode::Busy.into(),
            FeedError::Ledger(error) => error.into(),
        }
    }
}

impl From<AuditError> for ApiError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::NoSuchSale(_) => Self::saying(ErrorCode::NotFound, error.to_string()),
            AuditError::Gate(_) | AuditError::Log(_) | AuditError::Ledger(_) => unavailable(&error),
        }
    }
}

impl From<GateError> for ApiError {
    fn from(error: GateError) -> Self {
        unavailable(&error)
    }
}

/// While a server is down every request ends here; metrics count them.
fn unavailable(error: &dyn std::error::Error) -> ApiError {
    static LOG_THROTTLE: LogThrottle = LogThrottle::new();
    if LOG_THROTTLE.allow() {
        tracing::error!(%error, "answered 503");
    }
    ErrorCode::Unavailable.into()
}

/// Refusals are many when a sale opens: they are counted, not logged. Their causes are logged where they arise.
impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownSale => ErrorCode::SaleNotFound.into(),
            Refusal::NotStarted => ErrorCode::NotStarted.into(),
            Refusal::Ended => ErrorCode::Ended.into(),
            Refusal::SoldOut => ErrorCode::SoldOut.into(),
            Refusal::Paused => ErrorCode::Paused.into(),
            Refusal::Preparing => ErrorCode::SalePreparing.into(),
            Refusal::Busy => ErrorCode::Busy.into(),
            Refusal::Unavailable => ErrorCode::Unavailable.into(),
            Refusal::OutcomeUnknown => ErrorCode::OutcomeUnknown.into(),
        }
    }
}

impl ApiError {
    /// The same of an attempt, in the original's words: with the sale and its times.
    #[must_use]
    pub fn of_attempt(
        refusal: Refusal,
        sale: SaleId,
        times: impl FnOnce() -> Option<(SaleWindow, DateTime<Utc>)>,
    ) -> Self {
        // Most refusals, as when a sale is sold out, need no window.
        let needs_window = matches!(refusal, Refusal::NotStarted | Refusal::Ended);
        let times = if needs_window { times() } else { None };
        let (code, message) = match (refusal, times) {
            (Refusal::UnknownSale, _) => (
                ErrorCode::SaleNotFound,
                format!("Flash sale with ID {sale} not found."),
            ),
            (Refusal::NotStarted, Some((window, now))) => {
                let start = timestamp(window.start);
                let message = format!("Flash sale is not yet active. Start time: {start}");
                return Self::saying(ErrorCode::NotStarted, message).starting(window.start, now);
            }
            (Refusal::Ended, Some((window, _))) => (
                ErrorCode::Ended,
                format!("Flash sale has ended. End time: {}", timestamp(window.end)),
            ),
            (refusal, _) => return refusal.into(),
        };
        Self::saying(code, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "postgres://10.0.0.1: relation \"users\" does not exist";

    fn code(error: impl Into<ApiError>) -> (u16, &'static str) {
        let error = error.into();
        (error.code().status().as_u16(), error.code().code())
    }

    #[test]
    fn refusals_have_their_answers() {
        assert_eq!(code(Refusal::UnknownSale), (404, "sale_not_found"));
        assert_eq!(code(Refusal::NotStarted), (409, "not_started"));
        assert_eq!(code(Refusal::Ended), (410, "ended"));
        assert_eq!(code(Refusal::SoldOut), (409, "sold_out"));
        assert_eq!(code(Refusal::Paused), (409, "paused"));
        assert_eq!(code(Refusal::Preparing), (503, "sale_preparing"));
        assert_eq!(code(Refusal::Busy), (503, "busy"));
        assert_eq!(code(Refusal::Unavailable), (503, "unavailable"));
        assert_eq!(code(Refusal::OutcomeUnknown), (503, "outcome_unknown"));
    }

    #[test]
    fn accounts_have_their_answers() {
        assert_eq!(code(Invalid::LoginIncomplete), (400, "validation_failed"));
        assert_eq!(
            code(AuthError::Invalid(Invalid::Email)),
            (400, "validation_failed")
        );
        assert_eq!(code(AuthError::UsernameTaken), (409, "username_taken"));
        assert_eq!(code(AuthError::EmailTaken), (409, "email_taken"));
        assert_eq!(
            code(AuthError::WrongCredentials),
            (401, "invalid_credentials")
        );
        for refused in [AuthError::Disabled, AuthError::KnownPassword] {
            assert_eq!(code(refused), (401, "invalid_credentials"));
        }
        assert_eq!(
            code(AuthError::ResetTokenInvalid),
            (400, "reset_token_invalid")
        );
        assert_eq!(code(AccountRefusal::Ended), (401, "token_invalid"));
        assert_eq!(
            code(AuthError::Password(PasswordError::Busy)),
            (503, "busy")
        );
        assert_eq!(code(TokenError::Invalid), (401, "token_invalid"));
        assert_eq!(code(TokenError::Expired), (401, "token_expired"));
    }

    #[test]
    fn what_happens_inside_stays_inside() {
        let inside = || SECRET.to_owned();
        for error in [
            ApiError::from(AuthError::Ledger(LedgerError(inside()))),
            AuthError::Password(PasswordError::Hashing(inside())).into(),
            AuthError::Signing(TokenError::Unsigned(inside())).into(),
            GateError::Unknown(inside()).into(),
        ] {
            assert!(error.code().status().is_server_error());
            assert_eq!(error, error.code().into(), "nothing but the usual message");
            assert!(!error.to_string().contains("postgres"));
        }
    }
}
