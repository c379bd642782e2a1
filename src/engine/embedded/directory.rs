//! The data directory: one process at a time has it, and its owner alone can read it. Nothing here knows what is in the
//! file.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::OpenError;

pub(super) const FILE: &str = "flashsale.db";
/// Says who has the directory, for whoever is refused.
const HOLDER: &str = "flashsale.pid";

/// A directory that is ours until this is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    /// The lock is on the directory itself: there is no file that somebody could clear away.
    handle: File,
}

impl DataDirectory {
    /// Makes the directory if it is missing, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let unusable = |cause: io::Error| OpenError::Directory {
            path: path.to_owned(),
            cause: cause.to_string(),
        };
        // Password hashes are in it.
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        let is_new = !path.exists();
        private.create(path).map_err(unusable)?;
        if is_new && let Some(parent) = path.canonicalize().map_err(unusable)?.parent() {
            // Or a power cut could take the directory with all that is in it.
            File::open(parent)
                .and_then(|parent| parent.sync_all())
                .map_err(unusable)?;
        }
        let handle = File::open(path).map_err(unusable)?;
        match handle.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(path.join(HOLDER)).unwrap_or_default();
                let pid = pid.trim();
                return Err(OpenError::InUse {
                    path: path.to_owned(),
                    pid: if pid.is_empty() { "unknown" } else { pid }.to_owned(),
                });
            }
            Err(TryLockError::Error(cause)) => return Err(unusable(cause)),
        }
        let pid = format!("{}\n", std::process::id());
        fs::write(path.join(HOLDER), pid).map_err(unusable)?;
        Ok(Self {
            path: path.to_owned(),
            handle,
        })
    }

    /// The data file.
    pub(super) fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    /// Makes the file if it is missing, empty, and the directory's entry durable.
    pub(super) fn make_file(&self) -> io::Result<()> {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.file());
        match made {
            Ok(_) => self.handle.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }
}
