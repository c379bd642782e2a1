//! Why a data directory cannot be used.

use std::path::{Path, PathBuf};

/// Why a data directory cannot be used. Each message is one line for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("the data directory {} cannot be used: {cause} (--data-dir, FLASHSALE_DATA_DIR)", .path.display())]
    Directory { path: PathBuf, cause: String },
    #[error(
        "the data directory {} is in use by another flashsale (process {pid}); stop that, or choose another directory with --data-dir",
        .path.display()
    )]
    InUse { path: PathBuf, pid: String },
    #[error("the data file {} is damaged: {cause}; put a sound copy of the whole directory in the place of this one", .file.display())]
    Damaged { file: PathBuf, cause: String },
    #[error(
        "the data file {} was written by a newer flashsale (it has {}); use that version",
        .file.display(), .versions.join(", ")
    )]
    Newer {
        file: PathBuf,
        versions: Vec<String>,
    },
    #[error("the data file {} cannot be used: {cause}", .file.display())]
    File { file: PathBuf, cause: String },
}

impl OpenError {
    /// Classifies an error of a file by SQLite's messages for `SQLITE_NOTADB` and `SQLITE_CORRUPT`.
    pub(super) fn of(file: &Path, cause: &str) -> Self {
        let (file, cause) = (file.to_owned(), cause.replace('\n', " "));
        if cause.contains("file is not a database") || cause.contains("malformed") {
            Self::Damaged { file, cause }
        } else {
            Self::File { file, cause }
        }
    }
}
