//! What a failed request to Kafka says about its outcome.

use rskafka::client::error::{Error, ProtocolError};

use super::ConnectError;
use crate::port::LogError;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It was never sent: there was no connection to send it on.
    #[error("{0}")]
    NotSent(String),
    /// The broker refused it.
    #[error("refused: {0:?}")]
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
        match server_error(error) {
            Some(ProtocolError::OffsetOutOfRange) => Self::OutOfRange,
            Some(refusal) => Self::Refused(refusal),
            None => Self::NoAnswer(error.to_string()),
        }
    }

    /// True if the broker takes no records of this size: trying again is in vain.
    pub(super) fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Refused(ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge)
        )
    }

    /// True if what was to be appended is not in the log and will not be. Whatever is not known for sure is false.
    pub(super) fn surely_not_written(&self) -> bool {
        match self {
            Self::NotSent(_) => true,
            // These are checked before anything is written; NotEnoughReplicasAfterAppend and RequestTimedOut, for
            // instance, come afterwards.
            Self::Refused(refusal) => matches!(
                refusal,
                ProtocolError::UnknownTopicOrPartition
                    | ProtocolError::LeaderNotAvailable
                    | ProtocolError::NotLeaderOrFollower
                    | ProtocolError::NotEnoughReplicas
                    | ProtocolError::MessageTooLarge
                    | ProtocolError::RecordListTooLarge
                    | ProtocolError::InvalidRecord
                    | ProtocolError::InvalidTopicException
                    | ProtocolError::InvalidTimestamp
                    | ProtocolError::TopicAuthorizationFailed
                    | ProtocolError::ClusterAuthorizationFailed
                    | ProtocolError::PolicyViolation
            ),
            Self::OutOfRange | Self::NoAnswer(_) => false,
        }
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

/// The broker's own refusal behind an error, also when rskafka's retry wrapped it.
pub(super) fn server_error(error: &Error) -> Option<ProtocolError> {
    let mut link: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = link {
        if let Some(Error::ServerError { protocol_error, .. }) = current.downcast_ref::<Error>() {
            return Some(*protocol_error);
        }
        link = current.source();
    }
    None
}
