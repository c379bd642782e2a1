//! For each error code of Kafka: whether the records of a produce request with `acks=all` may be in the log, whether the
//! session can still be used, and whether the same request may succeed later.
//!
//! Sources, all of Apache Kafka 4.3: `KafkaApis.handleProduceRequest`, `ReplicaManager.appendRecords` and
//! `appendRecordsToLeader`, `Partition.appendRecordsToLeader`, `UnifiedLog.append` and `LogValidator` for what is returned
//! instead of appending; `DelayedProduce.tryComplete` and `onExpiration` for what is returned after appending, while the
//! records wait for their replicas; `Errors` for which codes a client may try again.
//!
//! The `append` column does not apply to an error of looking up a partition's leader (`Failure::Lookup`): no produce request
//! was sent, so nothing was written.

#[allow(clippy::enum_glob_use)] // a hundred codes, each as Kafka names it
use rskafka::client::error::ProtocolError::{self, *};

/// Whether the records of a produce request are in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Append {
    /// The broker returns this error instead of appending: the records are not in the log and will not be.
    NotWritten,
    /// The broker may return this error after appending: the records may be in the log.
    InDoubt,
}

/// Whether the next request may go on the same session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionFate {
    /// The broker answered properly, so the session stays usable.
    Keep,
    /// The session's metadata of the cluster is out of date, or the broker has a fault.
    Discard,
}

/// Whether the same request may succeed a moment later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    Transient,
    /// The request fails until somebody changes a setting, a permission or the request itself.
    Permanent,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) append: Append,
    pub(super) session: SessionFate,
    pub(super) lasting: Lasting,
    pub(super) reason: &'static str,
}

/// The row of every code that the table does not list, such as one that a later version of Kafka sends.
const UNLISTED: Row = Row {
    append: Append::InDoubt,
    session: SessionFate::Discard,
    lasting: Lasting::Transient,
    reason: "a code that this version does not know",
};

use Append::{InDoubt, NotWritten};
use Lasting::{Permanent, Transient};
use SessionFate::{Discard, Keep};

/// The row of an error code.
#[allow(clippy::too_many_lines)] // one table
pub(super) fn row(code: ProtocolError) -> Row {
    let (append, session, lasting, reason) = match code {
        // Returned instead of appending.
        TopicAuthorizationFailed
        | ClusterAuthorizationFailed
        | TransactionalIdAuthorizationFailed => (
            NotWritten,
            Keep,
            Permanent,
            "KafkaApis checks permissions first",
        ),
        NotEnoughReplicas => (
            NotWritten,
            Keep,
            Transient,
            "Partition.appendRecordsToLeader checks min.insync.replicas before it appends",
        ),
        MessageTooLarge | RecordListTooLarge => (
            NotWritten,
            Keep,
            Permanent,
            "UnifiedLog.append checks sizes before it appends",
        ),
        CorruptMessage => (
            NotWritten,
            Discard,
            Transient,
            "UnifiedLog.append checks the checksum before it appends; the connection damaged the request",
        ),
        InvalidRecord | InvalidTimestamp | UnsupportedForMessageFormat => (
            NotWritten,
            Keep,
            Permanent,
            "LogValidator checks records before they are appended",
        ),
        UnsupportedCompressionType => (
            NotWritten,
            Keep,
            Permanent,
            "KafkaApis checks the records' version and compression first",
        ),
        InvalidTopicException => (
            NotWritten,
            Keep,
            Permanent,
            "ReplicaManager refuses internal topics before it appends",
        ),
        InvalidRequiredAcks => (
            NotWritten,
            Keep,
            Permanent,
            "ReplicaManager.appendRecords checks acks first",
        ),
        LeaderNotAvailable => (
            NotWritten,
            Discard,
            Transient,
            "only an answer about metadata: rskafka looked the leader up again before it sent anything",
        ),

        // Returned instead of appending, and after it.
        NotLeaderOrFollower => (
            InDoubt,
            Discard,
            Transient,
            "DelayedProduce also returns it for appended records when the leader moves before their replicas have them",
        ),
        UnknownTopicOrPartition | UnknownTopicId => (
            InDoubt,
            Discard,
            Transient,
            "DelayedProduce also returns it for appended records when the broker loses the partition",
        ),
        KafkaStorageError => (
            InDoubt,
            Discard,
            Transient,
            "a disk that fails in the middle of an append, or afterwards (DelayedProduce: the partition is offline)",
        ),
        UnknownServerError => (
            InDoubt,
            Discard,
            Transient,
            "any exception in the broker, at any point",
        ),
        InvalidRequest | UnsupportedVersion => (
            InDoubt,
            Discard,
            Permanent,
            "an exception in KafkaApis, mostly before the records are looked at, but nothing promises that",
        ),

        // Returned after appending only.
        NotEnoughReplicasAfterAppend => (
            InDoubt,
            Keep,
            Transient,
            "DelayedProduce: appended, and the replicas in sync became too few",
        ),
        RequestTimedOut => (
            InDoubt,
            Keep,
            Transient,
            "DelayedProduce.onExpiration: appended, and replicas did not confirm it in time",
        ),

        // Never returned to a produce request, but to other requests and logins. Their `append` column is not used.
        OffsetOutOfRange => (
            InDoubt,
            Keep,
            Permanent,
            "reads: the log was cut or made anew",
        ),
        OffsetNotAvailable => (
            InDoubt,
            Keep,
            Transient,
            "questions about offsets: a new leader does not know its high watermark yet",
        ),
        ReplicaNotAvailable
        | FencedLeaderEpoch
        | UnknownLeaderEpoch
        | InconsistentTopicId
        | BrokerNotAvailable
        | NotController
        | StaleControllerEpoch
        | StaleBrokerEpoch
        | ListenerNotFound
        | PreferredLeaderNotAvailable
        | EligibleLeadersNotAvailable
        | ReassignmentInProgress
        | NetworkException => (
            InDoubt,
            Discard,
            Transient,
            "no answer to a produce: the cluster changes, and another look tells more",
        ),
        ThrottlingQuotaExceeded => (
            InDoubt,
            Keep,
            Transient,
            "no answer to a produce: making topics is limited by a quota",
        ),
        UnsupportedSaslMechanism
        | IllegalSaslState
        | SaslAuthenticationFailed
        | DelegationTokenAuthDisabled
        | DelegationTokenNotFound
        | DelegationTokenOwnerMismatch
        | DelegationTokenRequestNotAllowed
        | DelegationTokenAuthorizationFailed
        | DelegationTokenExpired
        | InvalidPrincipalType
        | UnacceptableCredential
        | PrincipalDeserializationFailure
        | SecurityDisabled => (
            InDoubt,
            Discard,
            Permanent,
            "no answer to a produce: logging in",
        ),
        OutOfOrderSequenceNumber
        | DuplicateSequenceNumber
        | InvalidProducerEpoch
        | InvalidTxnState
        | InvalidProducerIdMapping
        | InvalidTransactionTimeout
        | ConcurrentTransactions
        | TransactionCoordinatorFenced
        | UnknownProducerId
        | ProducerFenced
        | TransactionalIdNotFound
        | OperationNotAttempted => (
            InDoubt,
            Discard,
            Transient,
            "no answer to this produce: it has no producer id and no transaction",
        ),
        CoordinatorLoadInProgress
        | CoordinatorNotAvailable
        | NotCoordinator
        | IllegalGeneration
        | InconsistentGroupProtocol
        | InvalidGroupId
        | UnknownMemberId
        | InvalidSessionTimeout
        | RebalanceInProgress
        | InvalidCommitOffsetSize
        | OffsetMetadataTooLarge
        | GroupAuthorizationFailed
        | NonEmptyGroup
        | GroupIdNotFound
        | MemberIdRequired
        | GroupMaxSizeReached
        | FencedInstanceId
        | GroupSubscribedToTopic
        | UnstableOffsetCommit => (
            InDoubt,
            Discard,
            Transient,
            "no answer to a produce: consumer groups, which are not used",
        ),
        TopicAlreadyExists
        | InvalidPartitions
        | InvalidReplicationFactor
        | InvalidReplicaAssignment
        | InvalidConfig
        | PolicyViolation
        | TopicDeletionDisabled
        | ElectionNotNeeded
        | NoReassignmentInProgress
        | ResourceNotFound
        | DuplicateResource
        | InconsistentVoterSet
        | InvalidUpdateVersion
        | FeatureUpdateFailed
        | DuplicateBrokerRegistration
        | BrokerIdNotRegistered
        | InconsistentClusterId
        | LogDirNotFound => (
            InDoubt,
            Discard,
            Permanent,
            "no answer to a produce: administration",
        ),
        InvalidFetchSize
        | FetchSessionIdNotFound
        | InvalidFetchSessionEpoch
        | SnapshotNotFound
        | PositionOutOfRange => (InDoubt, Discard, Transient, "no answer to a produce: reads"),

        // `ProtocolError` is non-exhaustive, so a last arm is required. The first test below finds a code without a row.
        _ => return UNLISTED,
    };
    Row {
        append,
        session,
        lasting,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code that rskafka names: -1 to 105, without 0.
    fn named() -> impl Iterator<Item = ProtocolError> {
        (-1..=105).filter_map(ProtocolError::new)
    }

    #[test]
    fn every_code_has_a_row_of_its_own() {
        assert_eq!(named().count(), 106);
        let unlisted: Vec<_> = named().filter(|code| row(*code) == UNLISTED).collect();
        assert_eq!(unlisted, []);
        assert!(matches!(
            ProtocolError::new(106),
            Some(ProtocolError::Unknown(106))
        ));
        assert_eq!(row(ProtocolError::Unknown(106)), UNLISTED);
    }

    #[test]
    fn only_errors_that_are_returned_instead_of_appending_are_certain() {
        let certain: Vec<_> = named()
            .filter(|code| row(*code).append == Append::NotWritten)
            .collect();
        assert_eq!(
            certain,
            [
                CorruptMessage,
                LeaderNotAvailable,
                MessageTooLarge,
                InvalidTopicException,
                RecordListTooLarge,
                NotEnoughReplicas,
                InvalidRequiredAcks,
                TopicAuthorizationFailed,
                ClusterAuthorizationFailed,
                InvalidTimestamp,
                UnsupportedForMessageFormat,
                TransactionalIdAuthorizationFailed,
                UnsupportedCompressionType,
                InvalidRecord,
            ]
        );
    }

    #[test]
    fn what_delayed_produce_returns_is_in_doubt_and_tried_again() {
        for code in [
            NotLeaderOrFollower,
            UnknownTopicOrPartition,
            KafkaStorageError,
            NotEnoughReplicasAfterAppend,
            RequestTimedOut,
        ] {
            let row = row(code);
            assert_eq!(
                (row.append, row.lasting),
                (Append::InDoubt, Lasting::Transient),
                "{code:?}"
            );
        }
    }

    #[test]
    fn a_session_is_kept_after_refusals_that_are_about_the_request() {
        for code in [MessageTooLarge, NotEnoughReplicas, TopicAuthorizationFailed] {
            assert_eq!(row(code).session, SessionFate::Keep, "{code:?}");
        }
        for code in [NotLeaderOrFollower, KafkaStorageError, UnknownServerError] {
            assert_eq!(row(code).session, SessionFate::Discard, "{code:?}");
        }
    }
}
