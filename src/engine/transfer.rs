//! The format in which one ledger exports its data to another: lines of JSON, described in `docs/EXPORT.md`. This module
//! defines the rows, writes and reads them, and verifies that a file is complete. It depends on no ledger.

pub mod changes;
mod details;
mod line;
mod name_owners;
mod names;
pub mod survey;

pub use line::{Header, IdentityRow, Line, OrderRow, ProductRow, SaleRow, Seal, Seals, UserRow};
pub use names::{Clashes, InvalidRename, Names, Renames};

use self::line::Kind;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, BufRead, Write},
};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// The version that is written, and the newest that is read.
const VERSION: u32 = 1;

/// Why an export is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {line} is not one of an export: {cause}")]
    Line { line: u64, cause: String },
    #[error("line {line}: version {found} is newer than this program, which knows {VERSION}")]
    Newer { line: u64, found: u32 },
    #[error("the file is cut off: its last line is missing")]
    CutOff,
    #[error(transparent)]
    Clashes(#[from] Clashes),
    #[error("--rename names accounts that are not in the export: {0}")]
    NoSuchAccount(String),
    #[error(
        "the {kind} are not those that were exported: {} rows where {} were, or one was changed",
        .found.rows, .expected.rows
    )]
    Differs {
        kind: &'static str,
        expected: Seal,
        found: Seal,
    },
}

/// Counts the rows of each kind and hashes their lines.
#[derive(Default)]
pub struct Sealer {
    sums: BTreeMap<Kind, (u64, Sha256)>,
}

impl Sealer {
    /// Adds a row, and returns its line.
    pub fn add(&mut self, line: &Line) -> io::Result<String> {
        let text = line.text()?;
        if let Some(kind) = line.kind() {
            let (rows, sum) = self.sums.entry(kind).or_default();
            *rows += 1;
            sum.update(text.as_bytes());
        }
        Ok(text)
    }

    #[must_use]
    pub fn seals(&self) -> Seals {
        let seal = |kind| {
            let (rows, sum) = self.sums.get(&kind).cloned().unwrap_or_default();
            let mut sha256 = String::with_capacity(64);
            for byte in sum.finalize() {
                let _ = write!(sha256, "{byte:02x}");
            }
            Seal { rows, sha256 }
        };
        Seals {
            users: seal(Kind::User),
            products: seal(Kind::Product),
            sales: seal(Kind::Sale),
            orders: seal(Kind::Order),
        }
    }
}

impl Seals {
    /// Fails with the first kind in which `found` differs.
    pub fn compare(&self, found: &Self) -> Result<(), ReadError> {
        for (kind, expected, found) in [
            ("users", &self.users, &found.users),
            ("products", &self.products, &found.products),
            ("sales", &self.sales, &found.sales),
            ("orders", &self.orders, &found.orders),
        ] {
            if expected != found {
                return Err(ReadError::Differs {
                    kind,
                    expected: expected.clone(),
                    found: found.clone(),
                });
            }
        }
        Ok(())
    }
}

/// Writes an export: the first line, the rows in the order of the calls, the last line.
pub struct Writer<W> {
    out: W,
    sealer: Sealer,
}

impl<W: Write> Writer<W> {
    pub fn begin(mut out: W, exported_at: DateTime<Utc>) -> io::Result<Self> {
        let header = Line::Export(Header {
            version: VERSION,
            exported_at,
        });
        out.write_all(header.text()?.as_bytes())?;
        Ok(Self {
            out,
            sealer: Sealer::default(),
        })
    }

    pub fn row(&mut self, line: &Line) -> io::Result<()> {
        let text = self.sealer.add(line)?;
        self.out.write_all(text.as_bytes())
    }

    /// Writes the last line, and returns the seals in it.
    pub fn end(mut self) -> io::Result<(W, Seals)> {
        let seals = self.sealer.seals();
        let end = Line::End(seals.clone());
        self.out.write_all(end.text()?.as_bytes())?;
        self.out.flush()?;
        Ok((self.out, seals))
    }
}

/// Reads an export, and passes each row to `row`. An incomplete or changed export is detected at its last line at the latest.
pub fn read(
    source: impl BufRead,
    mut row: impl FnMut(Line) -> Result<(), ReadError>,
) -> Result<Seals, ReadError> {
    let (mut sealer, mut last_kind, mut ended) = (Sealer::default(), Kind::User, None);
    for (number, text) in (1..).zip(source.lines()) {
        let wrong = |cause: &str| ReadError::Line {
            line: number,
            cause: cause.to_owned(),
        };
        if ended.is_some() {
            return Err(wrong("it comes after the last one"));
        }
        let line: Line = serde_json::from_str(&text?).map_err(|error| wrong(&error.to_string()))?;
        match (number, line) {
            (1, Line::Export(header)) if header.version <= VERSION => {}
            (1, Line::Export(header)) => {
                return Err(ReadError::Newer {
                    line: number,
                    found: header.version,
                });
            }
            (1, _) => return Err(wrong("the first one must be {\"export\":…}")),
            (_, Line::Export(_)) => return Err(wrong("a second beginning")),
            (_, Line::End(seals)) => {
                seals.compare(&sealer.seals())?;
                ended = Some(seals);
            }
            (_, line) => {
                let kind = line.kind().unwrap_or(last_kind);
                if kind < last_kind {
                    return Err(wrong("users, products, sales, orders is the order"));
                }
                last_kind = kind;
                sealer.add(&line)?;
                row(line)?;
            }
        }
    }
    ended.ok_or(ReadError::CutOff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: i64) -> Line {
        Line::User(UserRow {
            id,
            username: format!("user{id}"),
            email: format!("user{id}@example.com"),
            password_hash: "$argon2id$…".to_owned(),
            full_name: None,
            role: "user".to_owned(),
            created_at: DateTime::UNIX_EPOCH,
            disabled_at: None,
            tokens_valid_from: None,
            external_identity: None,
        })
    }

    fn export() -> String {
        let mut writer = Writer::begin(Vec::new(), DateTime::UNIX_EPOCH).unwrap();
        for id in 1..=3 {
            writer.row(&user(id)).unwrap();
        }
        String::from_utf8(writer.end().unwrap().0).unwrap()
    }

    fn reading(text: &str) -> Result<Vec<Line>, ReadError> {
        let mut rows = Vec::new();
        read(text.as_bytes(), |line| {
            rows.push(line);
            Ok(())
        })?;
        Ok(rows)
    }

    #[test]
    fn written_rows_are_read_back() {
        assert_eq!(reading(&export()).unwrap(), [user(1), user(2), user(3)]);
    }

    #[test]
    fn version_1_is_written_as_its_golden_file_says() {
        assert_eq!(export(), include_str!("../../tests/golden/export-v1.jsonl"));
    }

    #[test]
    fn an_incomplete_or_changed_file_is_refused() {
        let whole = export();
        let lines: Vec<&str> = whole.lines().collect();
        let without = |index: usize| {
            let mut lines = lines.clone();
            lines.remove(index);
            lines.join("\n")
        };
        assert!(matches!(reading(&without(4)), Err(ReadError::CutOff)));
        assert!(matches!(
            reading(&without(2)),
            Err(ReadError::Differs { kind: "users", .. })
        ));
        assert!(matches!(
            reading(&without(0)),
            Err(ReadError::Line { line: 1, .. })
        ));
        let changed = whole.replace("user2@example.com", "user2@example.org");
        assert!(matches!(
            reading(&changed),
            Err(ReadError::Differs { kind: "users", .. })
        ));
        let more = format!("{whole}{whole}");
        assert!(matches!(
            reading(&more),
            Err(ReadError::Line { line: 6, .. })
        ));
        let newer = whole.replace("\"version\":1", "\"version\":2");
        assert!(matches!(
            reading(&newer),
            Err(ReadError::Newer { found: 2, .. })
        ));
        assert!(matches!(reading(""), Err(ReadError::CutOff)));
        assert!(matches!(
            reading("not json"),
            Err(ReadError::Line { line: 1, .. })
        ));
    }
}
