//! What a failed request to Kafka says about its outcome. `error_table` classifies the broker's error codes, this module
//! rskafka's own errors.

use rskafka::client::error::{Error, ProtocolError, RequestError};

use super::{
    ConnectError,
    error_table::{self, Append, Lasting, SessionFate},
};
use crate::port::LogError;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The request was never sent: there was no connection, or the request could not be encoded.
    #[error("{0}")]
    NotSent(String),
    /// The request was never sent: looking up the partition's leader, which comes first, failed with this code.
    #[error("looking up the leader: {0:?}")]
    Lookup(ProtocolError),
    /// The leader answered with an error.
    #[error("{0:?}")]
    Refused(ProtocolError),
    #[error("the offset is outside the log")]
    OutOfRange,
    /// The request may have been sent, and no readable answer came.
    #[error("{0}")]
    NoAnswer(String),
}

impl Failure {
    /// Classifies an error of a request that may have been sent.
    pub(super) fn of(error: &Error) -> Self {
        let text = || error.to_string();
        match root(error) {
            Error::ServerError { protocol_error, .. } => match protocol_error {
                ProtocolError::OffsetOutOfRange => Self::OutOfRange,
                code => Self::Refused(*code),
            },
            // Both errors are detected before a byte is sent. When rskafka repeats a throttled request, its first sending would
            // have failed with the same error, so no earlier sending was carried out either.
            Error::Request(RequestError::NoVersionMatch { .. } | RequestError::WriteError(_)) => {
                Self::NotSent(text())
            }
            // The connection broke or the answer could not be read; the broker may have carried the request out.
            Error::Request(_) | Error::InvalidResponse(_) | Error::Timeout => {
                Self::NoAnswer(text())
            }
            // rskafka failed to look the leader up again. It may do so after a first sending that the broker carried out and
            // answered with `throttle_time_ms`. `root` has unwrapped `RetryFailed`; `Connection` and the errors of a later
            // rskafka remain.
            _ => Self::NoAnswer(text()),
        }
    }

    /// Classifies an error of looking up the partition's leader, before the request was sent.
    pub(super) fn of_lookup(error: &Error) -> Self {
        match server_error(error) {
            Some(code) => Self::Lookup(code),
            None => Self::NotSent(error.to_string()),
        }
    }

    /// True if the broker refuses the records because they are too large.
    pub(super) fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Refused(ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge)
        )
    }

    /// Whether the records of the failed append may be in the log.
    pub(super) fn append_state(&self) -> Append {
        match self {
            Self::NotSent(_) | Self::Lookup(_) => Append::NotWritten,
            Self::Refused(code) => error_table::row(*code).append,
            Self::OutOfRange | Self::NoAnswer(_) => Append::InDoubt,
        }
    }

    /// The cause of a failed append, with the error table's reason for its `append` column.
    pub(super) fn append_cause(&self) -> String {
        match self {
            Self::Refused(code) => format!("{code:?} ({})", error_table::row(*code).reason),
            Self::NotSent(_) | Self::Lookup(_) | Self::OutOfRange | Self::NoAnswer(_) => {
                self.to_string()
            }
        }
    }

    /// Whether the session may be used for the next request.
    pub(super) fn session_fate(&self) -> SessionFate {
        match self {
            Self::Refused(code) => error_table::row(*code).session,
            Self::OutOfRange => SessionFate::Keep,
            // rskafka caches the metadata of a session; only a new session looks the leader up again.
            Self::NotSent(_) | Self::Lookup(_) | Self::NoAnswer(_) => SessionFate::Discard,
        }
    }

    /// True if the same request will fail again until an operator changes something.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Refused(code) | Self::Lookup(code) => {
                error_table::row(*code).lasting == Lasting::Permanent
            }
            Self::OutOfRange => true,
            Self::NotSent(_) | Self::NoAnswer(_) => false,
        }
    }

    /// True if the cause may be a partition that does not exist, so that the partition counts should be read again.
    pub(super) fn suggests_missing_partition(&self) -> bool {
        matches!(
            self,
            Self::Refused(ProtocolError::UnknownTopicOrPartition)
                | Self::Lookup(_)
                | Self::NotSent(_)
        )
    }
}

impl From<Failure> for LogError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.to_string())
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::NotSent(error.to_string())
    }
}

/// The broker's error code behind an error, even where rskafka's retry wrapped it.
pub(super) fn server_error(error: &Error) -> Option<ProtocolError> {
    match root(error) {
        Error::ServerError { protocol_error, .. } => Some(*protocol_error),
        _ => None,
    }
}

/// The innermost of rskafka's own errors. Its retry wraps the error of the last try.
fn root(error: &Error) -> &Error {
    let (mut found, mut link) = (error, std::error::Error::source(error));
    while let Some(current) = link {
        if let Some(inner) = current.downcast_ref::<Error>() {
            found = inner;
        }
        link = current.source();
    }
    found
}

#[cfg(test)]
mod tests {
    use rskafka::BackoffConfig;

    use super::*;

    fn refused(code: ProtocolError) -> Failure {
        Failure::Refused(code)
    }

    #[test]
    fn the_same_code_is_certain_before_the_request_and_in_doubt_after_it() {
        for code in [
            ProtocolError::NotLeaderOrFollower,
            ProtocolError::UnknownTopicOrPartition,
            ProtocolError::KafkaStorageError,
        ] {
            assert_eq!(Failure::Lookup(code).append_state(), Append::NotWritten);
            assert_eq!(refused(code).append_state(), Append::InDoubt);
            assert!(!refused(code).is_permanent());
        }
    }

    #[test]
    fn a_connection_that_breaks_leaves_the_outcome_in_doubt() {
        let broken = Error::Request(RequestError::IO(std::io::ErrorKind::BrokenPipe.into()));
        let failure = Failure::of(&broken);
        assert_eq!(failure.append_state(), Append::InDoubt);
        assert_eq!(failure.session_fate(), SessionFate::Discard);
        assert_eq!(
            Failure::of_lookup(&broken).append_state(),
            Append::NotWritten
        );
    }

    /// rskafka wraps the error in this way when it gives up after one try.
    #[test]
    fn an_error_is_found_behind_the_retry_that_wraps_it() {
        let inner = Error::InvalidResponse("inner".to_owned());
        let backoff = rskafka::client::error::Error::from(rskafka::BackoffError::DeadlineExceded {
            deadline: BackoffConfig::default().init_backoff,
            source: Box::new(inner),
        });
        assert!(matches!(root(&backoff), Error::InvalidResponse(text) if text == "inner"));
    }
}
