//! The data directory: one process at a time has it, and only its owner can read its files. This module does not know the
//! content of the data file.
//!
//! The data file has password hashes, and a user who can write it controls the shop. Therefore a directory that every user can
//! write is refused, files are created with mode 0600, and a symbolic link in the place of one of our files is never followed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::OpenError;

pub(super) const FILE: &str = "flashsale.db";
/// Suffixes of the files that SQLite keeps beside the data file.
const BESIDE: &[&str] = &["-wal", "-shm", "-journal"];
/// Name of the file with the id of the process that has the directory. Other processes name this id in their error.
const HOLDER: &str = "flashsale.pid";
/// Maximum number of bytes that are read from [`HOLDER`]. No process id has more digits.
const PID_BYTES: u64 = 20;

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
/// The mode bits of everyone but the owner.
const NOT_OWNER: u32 = 0o077;

/// A directory that this process has until this value is dropped, or the process ends in any way.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    /// The lock is on the directory itself, since a lock file could be deleted.
    handle: File,
}

impl DataDirectory {
    /// Creates the directory if it is missing, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let unusable = |cause: String| OpenError::Directory {
            path: path.to_owned(),
            cause,
        };
        let failed = |cause: io::Error| unusable(cause.to_string());
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        let is_new = !path.exists();
        private.create(path).map_err(failed)?;
        if is_new && let Some(parent) = path.canonicalize().map_err(failed)?.parent() {
            // Without this, a power cut could lose the directory with its files.
            File::open(parent)
                .and_then(|parent| parent.sync_all())
                .map_err(failed)?;
        }
        let handle = File::open(path).map_err(failed)?;
        let mode = handle.metadata().map_err(failed)?.permissions().mode();
        if mode & OTHERS_WRITE != 0 {
            return Err(unusable(format!(
                "every user of this machine can write it (mode {:o}); look at what is in it, then chmod 700",
                mode & 0o7777
            )));
        }
        if mode & GROUP_WRITES != 0 {
            tracing::warn!(directory = %path.display(), "the group of the data directory can write it");
        }
        match handle.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse {
                    path: path.to_owned(),
                    pid: holder(path).unwrap_or_else(|| "unknown".to_owned()),
                });
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        write_holder(path).map_err(|cause| unusable(format!("{HOLDER}: {cause}")))?;
        Ok(Self {
            path: path.to_owned(),
            handle,
        })
    }

    /// The data file.
    pub(super) fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    /// Ensures that the data file and SQLite's files beside it, those that exist, are regular files that only their owner can
    /// use.
    pub(super) fn keep_files_private(&self) -> Result<(), OpenError> {
        for suffix in [""].iter().chain(BESIDE) {
            let mut name = self.file().into_os_string();
            name.push(suffix);
            let file = PathBuf::from(name);
            keep_private(&file).map_err(|cause| OpenError::File { file, cause })?;
        }
        Ok(())
    }

    /// Creates an empty data file if it is missing, and makes the directory's entry durable.
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

/// Writes the id of this process to a new file. An existing file is deleted before: it may be a link to another user's file, or
/// a pipe.
fn write_holder(directory: &Path) -> io::Result<()> {
    let path = directory.join(HOLDER);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(format!("{}\n", std::process::id()).as_bytes())
}

/// The id of the process that has the directory, if it can be read.
fn holder(directory: &Path) -> Option<String> {
    let mut text = String::new();
    open_without_following(&directory.join(HOLDER))
        .ok()?
        .take(PID_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    let pid = text.trim();
    (!pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())).then(|| pid.to_owned())
}

/// Removes the permissions of everyone but the owner. Fails if the path is a link, or no regular file.
fn keep_private(path: &Path) -> Result<(), String> {
    let file = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(found) if found.is_symlink() => {
            return Err("it is a symbolic link, which is not followed".to_owned());
        }
        Ok(found) if !found.is_file() => return Err("it is not a file".to_owned()),
        Ok(_) => open_without_following(path).map_err(|error| error.to_string())?,
    };
    let mode = file
        .metadata()
        .map_err(|error| error.to_string())?
        .permissions()
        .mode();
    if mode & NOT_OWNER != 0 {
        file.set_permissions(Permissions::from_mode(mode & 0o700))
            .map_err(|error| format!("others can use it, and that cannot be changed: {error}"))?;
    }
    Ok(())
}

/// Opens a file for reading. Does not follow a link, and does not wait for the other end of a pipe.
fn open_without_following(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}
