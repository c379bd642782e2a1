//! Classifies the errors of Redis and of its client in one table, by error code and never by English text.
//!
//! A *certain* refusal changed nothing, and the caller can rely on that; after any other error the command may have been
//! executed. Sources: `src/server.c` (`processCommand`), `src/script.c` (`scriptCall`, `scriptVerifyWriteCommandAllow`,
//! `scriptVerifyOOM`) and `src/cluster.c` (`getNodeByQuery`) of Redis 7.0, and what a server of version 7.0.15 answered.

use fred::prelude::{Error, ErrorKind};

/// Whether the failed command may have been executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// The command was not executed.
    Refused,
    /// The command was not executed, unless it is a script and a command inside it raised the error: the script's earlier
    /// writes are kept then.
    RefusedOutsideScripts,
    /// The command may have been executed.
    InDoubt,
}

/// What the caller or the session has to do after the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Keep the connection: the server executes other commands, or will execute this one soon.
    Keep,
    /// Drop the connection, and connect again: it is broken, or its server accepts no more writes.
    Discard,
    /// Send the script's text instead of its hash.
    SendScript,
    /// Follow the redirection, for this command and all later ones of the slot.
    Moved,
    /// Follow the redirection for this command only.
    Ask,
    /// Send the command again after a short pause.
    Retry,
}

/// Whether the error ends without an operator's action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    Transient,
    Permanent,
}

/// The classification of an error: a row of the table.
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

/// The code of an error reply, which is its first word, and its classification.
const CODES: &[(&str, Failure)] = &[
    // A replica takes no writes. Inside a script, the first write is refused, and a role cannot change within a script, so
    // nothing was written. The primary is somewhere else now (scriptVerifyWriteCommandAllow).
    ("READONLY", row(Refused, Discard, Transient)),
    // The server is reading its data set from disk and executes no command on keys (processCommand).
    ("LOADING", row(Refused, Keep, Transient)),
    // A replica lost its primary, with `replica-serve-stale-data no` (processCommand; for a script, before it runs).
    ("MASTERDOWN", row(Refused, Discard, Transient)),
    // The node serves no slots at the moment (getNodeByQuery). fred closes the connection on this code and reports it to every
    // command in flight, so `Session` takes it as certain only for a command that was alone in flight.
    ("CLUSTERDOWN", row(Refused, Discard, Transient)),
    // Memory is full. Inside a script this is checked before its first write only (scriptVerifyOOM), so nothing was written.
    ("OOM", row(Refused, Keep, Permanent)),
    // The last snapshot or append failed, so writes are refused; this state is constant within a script
    // (scriptVerifyWriteCommandAllow).
    ("MISCONF", row(Refused, Keep, Permanent)),
    // There are fewer replicas than `min-replicas-to-write`; constant within a script (scriptVerifyWriteCommandAllow).
    ("NOREPLICAS", row(Refused, Keep, Transient)),
    // The user has no permission for a command, key or channel. In a script each command is checked when it is called, so
    // earlier ones may have written.
    // (Redis 7.0 says ERR inside scripts, 7.2 and later NOPERM.)
    ("NOPERM", row(RefusedOutsideScripts, Keep, Permanent)),
    // The connection is not logged in: the password was changed, or the user deleted (processCommand).
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
    // The server does not have the script (EVALSHA, before execution).
    ("NOSCRIPT", row(Refused, SendScript, Transient)),
    // Another script or module runs for too long; nothing else is executed meanwhile (processCommand).
    ("BUSY", row(Refused, Keep, Transient)),
    // Replies to SCRIPT KILL, which is never sent here: the script has written and cannot be killed, or no script runs.
    ("UNKILLABLE", row(Refused, Keep, Transient)),
    ("NOTBUSY", row(Refused, Keep, Transient)),
    // A transaction was not executed; none is ever sent here.
    ("EXECABORT", row(Refused, Keep, Permanent)),
    // A key has another type. In a script, commands before the one that raised this error may have written.
    ("WRONGTYPE", row(RefusedOutsideScripts, Keep, Permanent)),
    // A blocked command ended because its key was deleted or the server changed its role; no blocking command is sent here.
    ("UNBLOCKED", row(InDoubt, Discard, Transient)),
    // The server does not support the requested version of the protocol.
    ("NOPROTO", row(Refused, Discard, Permanent)),
    // Any other error: a script's own one, which does not undo its writes, wrong arguments, or a limit.
    ("ERR", row(InDoubt, Keep, Permanent)),
];

/// The classification of fred's own errors, which have no code of the server.
#[allow(clippy::match_same_arms)] // each row has a reason of its own
fn of_client(kind: &ErrorKind) -> Failure {
    match kind {
        // Detected before anything was written to a socket (fred: Builder, `Command` arguments, `max_command_buffer_len`).
        ErrorKind::Config
        | ErrorKind::Url
        | ErrorKind::InvalidCommand
        | ErrorKind::InvalidArgument => row(Refused, Keep, Permanent),
        ErrorKind::Backpressure => row(Refused, Keep, Transient),
        // The login or the handshake failed, so no command was sent on that connection.
        ErrorKind::Auth | ErrorKind::Tls => row(Refused, Discard, Permanent),
        // The connection broke, or its task ended, with commands in flight.
        ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Routing | ErrorKind::Cluster => {
            row(InDoubt, Discard, Transient)
        }
        // A reply cannot be parsed, so later replies cannot be trusted either.
        ErrorKind::Protocol | ErrorKind::Parse => row(InDoubt, Discard, Transient),
        // No reply in time. That alone does not prove that the connection is dead: `Session` discards it after a longer silence.
        ErrorKind::Timeout => row(InDoubt, Keep, Transient),
        ErrorKind::Sentinel => row(Refused, Discard, Transient),
        ErrorKind::Unknown | ErrorKind::NotFound => row(InDoubt, Keep, Transient),
    }
}

/// Classifies an error.
pub(super) fn classify(error: &Error) -> Failure {
    let Some(code) = code(error) else {
        return of_client(error.kind());
    };
    // Nothing is known about a code that is not in the table.
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

/// The slot and the address of a redirection, such as `MOVED 3999 127.0.0.1:6381`. An empty host stands for `asked`, the host
/// that sent the redirection.
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
            assert_eq!(classify(&reply(text)).certainty, Refused, "{text}");
        }
    }

    #[test]
    fn unknown_errors_silence_and_broken_connections_are_in_doubt() {
        for text in [
            "ERR user_script:1: nonexistent",
            "NEWCODE what is this",
            "Too many failed write attempts.",
        ] {
            assert_eq!(classify(&reply(text)).certainty, InDoubt, "{text}");
        }
        for kind in [ErrorKind::Timeout, ErrorKind::IO, ErrorKind::Canceled] {
            assert_eq!(
                classify(&Error::new(kind, "Connection closed.")).certainty,
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
