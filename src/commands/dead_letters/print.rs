//! Prints dead letters for people.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};

use super::Replay;
use crate::port::{DeadLetterAction, DeadLetterDecision, DeadLetterEntry, DeadLetterId};
use crate::terminal::{Plain, is_obeyed, say};

/// Number of characters of a record that a list shows.
const SHORT_CHARS: usize = 100;

/// Prints a letter of a list, in three lines.
pub(super) fn line(found: &DeadLetterEntry, decision: Option<&DeadLetterDecision>) {
    head(found);
    say!("  {}", short(found));
    match decision {
        Some(decision) => say!("  {}", decision_text(decision)),
        None => say!("  nothing is decided"),
    }
}

/// Prints a letter with its whole record and all decisions about it.
pub(super) fn whole(found: &DeadLetterEntry, decisions: &[DeadLetterDecision]) {
    head(found);
    for decision in decisions {
        say!("  {}", decision_text(decision));
    }
    if decisions.is_empty() {
        say!("  nothing is decided");
    }
    let raw = &found.letter.raw;
    if let Some(bytes) = found.omitted_bytes {
        say!("  the record was too large to keep whole: {bytes} bytes of its value are missing");
        return;
    }
    match raw.key.as_deref() {
        Some(key) => say!("  key:\n{}", text_or_hex(key)),
        None => say!("  no key"),
    }
    match raw.value.as_deref() {
        Some(value) => say!("  value:\n{}", text_or_hex(value)),
        None => say!("  no value"),
    }
}

pub(super) fn replayed(letter: DeadLetterId, replay: Replay) {
    match replay {
        Replay::Appended(attempt) => {
            say!("{letter}: replayed as attempt {attempt}; a worker settles it");
        }
        Replay::Settled(attempt, outcome) => {
            say!(
                "{letter}: was replayed before, as attempt {attempt}, and is settled: {outcome:?}"
            );
        }
    }
}

pub(super) fn discarded(letter: DeadLetterId) {
    say!("{letter}: discarded");
}

pub(super) fn count(count: u64) {
    say!("{count} dead letters");
}

fn head(found: &DeadLetterEntry) {
    let letter = &found.letter;
    say!(
        "{}  of record {}:{}, buried {}: {}",
        found.id,
        letter.partition,
        letter.offset,
        instant(letter.buried_at),
        Plain(&letter.cause)
    );
}

fn decision_text(decision: &DeadLetterDecision) -> String {
    let what = match decision.action {
        DeadLetterAction::Replayed { attempt } => format!("replayed as attempt {attempt}"),
        DeadLetterAction::Discarded => "discarded".to_owned(),
    };
    let reason = decision
        .reason
        .as_deref()
        .map(|reason| format!(": {}", Plain(reason)));
    format!(
        "{what} by {}, {}{}",
        Plain(&decision.by),
        instant(decision.at),
        reason.unwrap_or_default()
    )
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The start of a record, on one line. Control characters are escaped.
fn short(found: &DeadLetterEntry) -> String {
    if let Some(bytes) = found.omitted_bytes {
        return format!("({bytes} bytes, too large to be kept)");
    }
    let Some(value) = found.letter.raw.value.as_deref() else {
        return "(no value)".to_owned();
    };
    let text = String::from_utf8_lossy(value);
    let end = text
        .char_indices()
        .nth(SHORT_CHARS)
        .map_or(text.len(), |(at, _)| at);
    let more = if end < text.len() { "…" } else { "" };
    format!("{}{more}", Plain(text.get(..end).unwrap_or_default()))
}

/// The text as it is, if a terminal can show it safely; otherwise a hexadecimal dump with 16 bytes a line.
fn text_or_hex(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| is_obeyed(c) && c != '\n' && c != '\t') => {
            text.to_owned()
        }
        _ => {
            let mut hex = String::new();
            for (n, part) in bytes.chunks(16).enumerate() {
                let _ = write!(hex, "{}{:08x} ", if n == 0 { "" } else { "\n" }, n * 16);
                for byte in part {
                    let _ = write!(hex, " {byte:02x}");
                }
            }
            hex
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{DeadLetter, LogEntry, Offset, Partition, RawRecord};

    fn found(value: &[u8]) -> DeadLetterEntry {
        let (partition, offset) = (Partition(0), Offset(0));
        DeadLetterEntry {
            id: DeadLetterId { partition, offset },
            letter: DeadLetter {
                partition,
                offset,
                cause: String::new(),
                raw: RawRecord {
                    key: None,
                    value: Some(value.to_vec()),
                },
                buried_at: DateTime::UNIX_EPOCH,
            },
            entry: LogEntry::Undecodable(String::new()),
            omitted_bytes: None,
        }
    }

    #[test]
    fn a_list_shows_a_part_of_any_record_on_one_line() {
        assert_eq!(short(&found(br#"{"v":1}"#)), r#"{"v":1}"#);
        assert_eq!(short(&found(b"one\ntwo\x1b[2J")), r"one\ntwo\u{1b}[2J");
        let long = short(&found(&[b'x'; 101]));
        assert_eq!(long.chars().count(), 101);
        assert!(long.ends_with("x…"));
        assert_eq!(short(&found(&[b'x'; 100])).chars().count(), 100);
    }

    #[test]
    fn a_record_is_shown_as_text_or_in_hexadecimal() {
        assert_eq!(text_or_hex("größer\n".as_bytes()), "größer\n");
        assert_eq!(
            text_or_hex(b"\x00garbage"),
            "00000000  00 67 61 72 62 61 67 65"
        );
        assert_eq!(text_or_hex(b"\xff"), "00000000  ff");
        assert_eq!(text_or_hex(&[1; 17]).lines().nth(1), Some("00000010  01"));
    }
}
