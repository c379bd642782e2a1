//! What an error of Redis, or of its client, means: the one table that decides it, by code and never by English text.
//!
//! A *certain* refusal changed nothing, so the caller may be told so; after any other error the command may have been
//! executed. Sources: `src/server.c` (`processCommand`), `src/script.c` (`scriptCall`, `scriptVerifyWriteCommandAllow`,
//! `scriptVerifyOOM`) and `src/cluster.c` (`getNodeByQuery`) of Redis 7.0, and what a server of version 7.0.15 answered.

use fred::prelude::{Error, ErrorKind};

/// Whether the command was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// It was not.
    Refused,
    /// It was not, unless the error was raised by a command inside a script: then what the script wrote before stays.
    RefusedOutsideScripts,
    /// Nobody knows.
    InDoubt,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The server serves others, or will serve this one soon, on the same connection.
    Keep,
    /// This server does not write any more: drop the connection, and look for the primary again.
    Discard,
    /// Send the script's text.
    SendScript,
    /// Follow the redirection.
    Moved,
    /// Follow the redirection for this command only.
    Ask,
    /// Ask again shortly, on the same connection.
    Retry,
}

/// Whether an operator has to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    Transient,
    Permanent,
}

/// One row: what an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) certainty: Certainty,
    pub(super) remedy: Remedy,
    pub(super) lasting: Lasting,
}

const fn row(certainty: Certainty, remedy: Remedy, lasting: Lasting) -> Failure {
    Failure {
        certainty,
        remedy,
        lasting,
    }
}

use Certainty::{InDoubt, Refused, RefusedOutsideScripts};
use Lasting::{Permanent, Transient};
use Remedy::{Ask, Discard, Keep, Moved, Retry, SendScript};

/// The first word of an error reply, and what it means.
const CODES: &[(&str, Failure)] = &[
    // A replica takes no writes. Inside a script, the first write is refused, and a role cannot change within a script, so
    // nothing was written. The primary is somewhere else now (scriptVerifyWriteCommandAllow).
    ("READONLY", row(Refused, Discard, Transient)),
    // The data set is read from disk; no command that touches keys is executed (processCommand).
    ("LOADING", row(Refused, Keep, Transient)),
    // A replica without its primary, `replica-serve-stale-data no` (processCommand; in scripts before anything runs).
    ("MASTERDOWN", row(Refused, Discard, Transient)),
    // The node does not serve slots at the moment (getNodeByQuery). fred closes the connection on this code and reports it to
    // every command in flight, so `Session` doubts it for all but the first of them.
    ("CLUSTERDOWN", row(Refused, Discard, Transient)),
    // Memory is full. Inside a script this is checked before its first write only (scriptVerifyOOM), so nothing was written.
    ("OOM", row(Refused, Keep, Permanent)),
    // The last snapshot or append failed, and writes are refused; the state is constant within a script
    // (scriptVerifyWriteCommandAllow).
    ("MISCONF", row(Refused, Keep, Permanent)),
    // Fewer replicas than `min-replicas-to-write`; constant within a script (scriptVerifyWriteCommandAllow).
    ("NOREPLICAS", row(Refused, Keep, Transient)),
    // The user lacks a command, a key or a channel. Checked command by command in a script: earlier ones may have written.
    // (Redis 7.0 says ERR inside scripts, 7.2 and later NOPERM.)
    ("NOPERM", row(RefusedOutsideScripts, Keep, Permanent)),
    // Not logged in: the password was changed, or the user deleted (processCommand).
    ("NOAUTH", row(Refused, Discard, Permanent)),
    // The login itself was refused (AUTH, HELLO).
    ("WRONGPASS", row(Refused, Discard, Permanent)),
    // Protected mode: the server takes connections from its own machine only.
    ("DENIED", row(Refused, Discard, Permanent)),
    // A slot is half migrated, and not all keys of the command are on one node (getNodeByQuery).
    ("TRYAGAIN", row(Refused, Retry, Transient)),
    // Another node serves the slot (getNodeByQuery, before execution).
    ("MOVED", row(Refused, Moved, Transient)),
    // The keys are on the node that imports the slot (getNodeByQuery, before execution).
    ("ASK", row(Refused, Ask, Transient)),
    // The keys are in different slots: a fault of this program, found before execution (getNodeByQuery).
    ("CROSSSLOT", row(Refused, Keep, Permanent)),
    // The script's text is not there (EVALSHA, before execution).
    ("NOSCRIPT", row(Refused, SendScript, Transient)),
    // Another script or module runs for too long; nothing else is executed meanwhile (processCommand).
    ("BUSY", row(Refused, Keep, Transient)),
    // The running script has written and cannot be killed; answered to SCRIPT KILL, which is never sent here.
    ("UNKILLABLE", row(Refused, Keep, Transient)),
    ("NOTBUSY", row(Refused, Keep, Transient)),
    // A transaction was not executed; none is ever sent here.
    ("EXECABORT", row(Refused, Keep, Permanent)),
    // A key holds something else: raised by the command that met it, which may not be a script's first.
    ("WRONGTYPE", row(RefusedOutsideScripts, Keep, Permanent)),
    // The client was blocked and its key went away, or the instance changed its role meanwhile; nothing here blocks.
    ("UNBLOCKED", row(InDoubt, Discard, Transient)),
    // The server does not speak the protocol's version.
    ("NOPROTO", row(Refused, Discard, Permanent)),
    // Anything else: a script's own error after whatever it wrote, wrong arguments, a limit.
    ("ERR", row(InDoubt, Keep, Permanent)),
];

/// An error without a code of the server: fred's own.
#[allow(clippy::match_same_arms)] // each row has a reason of its own
fn of_client(kind: &ErrorKind) -> Failure {
    match kind {
        // Nothing was written to a socket (fred: Builder, `Command` arguments, `max_command_buffer_len`).
        ErrorKind::Config
        | ErrorKind::Url
        | ErrorKind::InvalidCommand
        | ErrorKind::InvalidArgument => row(Refused, Keep, Permanent),
        ErrorKind::Backpressure => row(Refused, Keep, Transient),
        // A login or a handshake that failed: no command was sent on that connection.
        ErrorKind::Auth | ErrorKind::Tls => row(Refused, Discard, Permanent),
        // The connection broke, or its task ended, with commands in flight.
        ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Routing | ErrorKind::Cluster => {
            row(InDoubt, Discard, Transient)
        }
        // A reply that cannot be read: the next ones cannot be trusted either.
        ErrorKind::Protocol | ErrorKind::Parse => row(InDoubt, Discard, Transient),
        // No reply in time. One is no proof that the connection is dead: `Session` counts them.
        ErrorKind::Timeout => row(InDoubt, Keep, Transient),
        ErrorKind::Sentinel => row(Refused, Discard, Transient),
        ErrorKind::Unknown | ErrorKind::NotFound => row(InDoubt, Keep, Transient),
    }
}

/// What an error means.
pub(super) fn of(error: &Error) -> Failure {
    let Some(code) = code(error) else {
        return of_client(error.kind());
    };
    // A code that is not in the table may mean anything.
    CODES
        .iter()
        .find(|(known, _)| *known == code)
        .map_or(row(InDoubt, Keep, Transient), |(_, failure)| *failure)
}

/// The code of an error reply: its first word, in capitals. `None` for an error of the client.
pub(super) fn code(error: &Error) -> Option<&str> {
    let word = error.details().split_whitespace().next()?;
    (word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(word)
}

/// The slot and the address of a redirection: `MOVED 3999 127.0.0.1:6381`. An empty host is the one that was asked.
pub(super) fn redirection(error: &Error, asked: &str) -> Option<(u16, String, u16)> {
    let mut words = error.details().split_whitespace().skip(1);
    let slot = words.next()?.parse().ok()?;
    let (host, port) = words.next()?.rsplit_once(':')?;
    let host = match host.trim_matches(['[', ']']) {
        "" | "?" => asked,
        host => host,
    };
    Some((slot, host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Error {
        Error::new(ErrorKind::Unknown, text.to_owned())
    }

    #[test]
    fn no_code_is_in_the_table_twice() {
        for (index, (code, _)) in CODES.iter().enumerate() {
            let again = CODES.iter().skip(index + 1).any(|(other, _)| other == code);
            assert!(!again, "{code}");
        }
    }

    #[test]
    fn a_server_that_cannot_write_refuses_for_certain() {
        for text in [
            "READONLY You can't write against a read only replica. script: 6f8e, on @user_script:1.",
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "CLUSTERDOWN The cluster is down",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "MISCONF Redis is configured to save RDB snapshots",
            "NOREPLICAS Not enough good replicas to write.",
            "TRYAGAIN Multiple keys request during rehashing of slot",
        ] {
            assert_eq!(of(&reply(text)).certainty, Refused, "{text}");
        }
    }

    #[test]
    fn unknown_errors_silence_and_broken_connections_are_in_doubt() {
        for text in [
            "ERR user_script:1: nonexistent",
            "NEWCODE what is this",
            "Too many failed write attempts.",
        ] {
            assert_eq!(of(&reply(text)).certainty, InDoubt, "{text}");
        }
        for kind in [ErrorKind::Timeout, ErrorKind::IO, ErrorKind::Canceled] {
            assert_eq!(
                of(&Error::new(kind, "Connection closed.")).certainty,
                InDoubt
            );
        }
    }

    #[test]
    fn a_redirection_names_slot_and_address() {
        let to = |text| redirection(&reply(text), "asked");
        let address = |host: &str| Some((3999, host.to_owned(), 6381));
        assert_eq!(to("MOVED 3999 127.0.0.1:6381"), address("127.0.0.1"));
        assert_eq!(to("ASK 3999 ::1:6381"), address("::1"));
        assert_eq!(to("ASK 3999 :6381"), address("asked"));
        assert_eq!(to("MOVED 3999"), None);
        assert_eq!(to("MOVED 3999 redis"), None);
    }
}
