//! What a failed request to Kafka says about its outcome. Codes are judged by `error_table`; here are the client's own errors.

use rskafka::client::error::{Error, ProtocolError, RequestError};

use super::{
    ConnectError,
    error_table::{self, Append, Lasting, Session},
};
use crate::port::LogError;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It was never sent: there was no connection to send it on, or it could not be written down.
    #[error("{0}")]
    NotSent(String),
    /// It was never sent: the partition's leader was looked up first, and the answer was an error.
    #[error("looking up the leader: {0:?}")]
    Lookup(ProtocolError),
    /// The leader answered with an error.
    #[error("{0:?}")]
    Refused(ProtocolError),
    #[error("the offset is outside the log")]
    OutOfRange,
    /// It was sent, and no proper answer came.
    #[error("{0}")]
    NoAnswer(String),
}

impl Failure {
    /// Of a request that may have been sent.
    pub(super) fn of(error: &Error) -> Self {
        let text = || error.to_string();
        match root(error) {
            Error::ServerError { protocol_error, .. } => match protocol_error {
                ProtocolError::OffsetOutOfRange => Self::OutOfRange,
                code => Self::Refused(*code),
            },
            // Both are found before a byte is sent, for this version of the protocol on this connection. A repetition by rskafka
            // that was throttled before would have failed the same way the first time.
            Error::Request(RequestError::NoVersionMatch { .. } | RequestError::WriteError(_)) => {
                Self::NotSent(text())
            }
            // The connection broke, or the answer could not be read, perhaps after the request was carried out.
            Error::Request(_) | Error::InvalidResponse(_) | Error::Timeout => {
                Self::NoAnswer(text())
            }
            // Looking the leader up again failed. rskafka may do that after the same request was answered with a request to
            // wait (`throttle_time_ms`) and carried out.
            // `root` went through `RetryFailed`; what is left is `Connection`, and errors of a later rskafka.
            _ => Self::NoAnswer(text()),
        }
    }

    /// Of a look-up of the partition's leader: nothing was sent yet.
    pub(super) fn of_lookup(error: &Error) -> Self {
        match server_error(error) {
            Some(code) => Self::Lookup(code),
            None => Self::NotSent(error.to_string()),
        }
    }

    /// True if the broker takes no records of this size.
    pub(super) fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Refused(ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge)
        )
    }

    /// Whether what was to be appended is in the log.
    pub(super) fn append(&self) -> Append {
        match self {
            Self::NotSent(_) | Self::Lookup(_) => Append::NotWritten,
            Self::Refused(code) => error_table::row(*code).append,
            Self::OutOfRange | Self::NoAnswer(_) => Append::InDoubt,
        }
    }

    /// Why the append failed, with the reason for what is concluded from it.
    pub(super) fn of_append(&self) -> String {
        match self {
            Self::Refused(code) => format!("{code:?} ({})", error_table::row(*code).reason),
            Self::NotSent(_) | Self::Lookup(_) | Self::OutOfRange | Self::NoAnswer(_) => {
                self.to_string()
            }
        }
    }

    /// Whether the session may be used for the next request.
    pub(super) fn session(&self) -> Session {
        match self {
            Self::Refused(code) => error_table::row(*code).session,
            Self::OutOfRange => Session::Keep,
            // rskafka answers the next look-up from memory until it is given a new session.
            Self::NotSent(_) | Self::Lookup(_) | Self::NoAnswer(_) => Session::Discard,
        }
    }

    /// True if the same request will fail again until somebody changes something.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Refused(code) | Self::Lookup(code) => {
                error_table::row(*code).lasting == Lasting::Permanent
            }
            Self::OutOfRange => true,
            Self::NotSent(_) | Self::NoAnswer(_) => false,
        }
    }

    /// True if the broker does not know the partition: there may be fewer of them than before.
    pub(super) fn is_unknown_partition(&self) -> bool {
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

/// The broker's own code behind an error, also when rskafka's retry wrapped it.
pub(super) fn server_error(error: &Error) -> Option<ProtocolError> {
    match root(error) {
        Error::ServerError { protocol_error, .. } => Some(*protocol_error),
        _ => None,
    }
}

/// The innermost of rskafka's errors: its retry wraps the one that it gave up on.
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
            assert_eq!(Failure::Lookup(code).append(), Append::NotWritten);
            assert_eq!(refused(code).append(), Append::InDoubt);
            assert!(!refused(code).is_permanent());
        }
    }

    #[test]
    fn a_connection_that_breaks_leaves_the_outcome_in_doubt() {
        let broken = Error::Request(RequestError::IO(std::io::ErrorKind::BrokenPipe.into()));
        let failure = Failure::of(&broken);
        assert_eq!(failure.append(), Append::InDoubt);
        assert_eq!(failure.session(), Session::Discard);
        assert_eq!(Failure::of_lookup(&broken).append(), Append::NotWritten);
    }

    /// As rskafka gives up after one try.
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
