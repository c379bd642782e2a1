//! Runs work on the data file: one thread writes, a few connections read. The callers define the work.
//!
//! All work that waits to be written goes into one transaction, so that one flush to the disk serves all of it. A group grows
//! with the work that arrives while the group before it is flushed; no work waits for a group to fill. Each piece of work has
//! its own savepoint: if it fails, nothing of it is written, and the rest of the group is not affected.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use diesel::{SqliteConnection, connection::SimpleConnection, result::Error};
use tokio::{
    sync::{
        Semaphore,
        mpsc::{self, error::SendTimeoutError},
        oneshot, watch,
    },
    task::spawn_blocking,
};

use super::{OpenError, connect};

/// Maximum number of pieces of work that wait. Further callers wait for room. Callers with much work batch it themselves.
const WAITING: usize = 1_024;
/// Maximum number of pieces of work in one transaction.
const GROUP: usize = 128;
/// Number of connections that read.
const READERS: usize = 3;
/// How long a call waits for the disk. Any flush or read is far faster, but a disk may hang.
const DISK_TIMEOUT: Duration = Duration::from_secs(30);

/// Why work was not written, or may not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError<E> {
    /// The work itself failed; nothing of it was written.
    #[error("{0}")]
    Work(E),
    /// Nothing was written, and nothing will be.
    #[error("{0}")]
    NotWritten(String),
    /// It is unknown whether the work was written: the commit failed half way, or did not end in time.
    #[error("{0}")]
    Unknown(String),
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[error("the data file: {0}")]
pub(super) struct ReadError(pub(super) String);

/// A handle to the data file. Clones share it.
#[derive(Clone)]
pub(super) struct Store {
    work: mpsc::Sender<Message>,
    readers: Arc<Readers>,
    /// Why the thread that writes has ended; `None` while it runs.
    end: watch::Receiver<Option<String>>,
}

struct Readers {
    file: PathBuf,
    free: Mutex<Vec<SqliteConnection>>,
    /// One permit for each concurrent read. Closed with the file.
    permits: Arc<Semaphore>,
}

enum Message {
    Work(Box<dyn Work>),
    Close,
}

/// A piece of work, and the sender of its answer.
trait Work: Send {
    /// Does the work. On an error the caller rolls back the savepoint of this work.
    fn run(&mut self, conn: &mut SqliteConnection) -> Result<(), String>;

    /// Sends the answer, which depends on the outcome of the commit.
    fn answer(self: Box<Self>, committed: &Result<(), CommitError>);
}

#[derive(Debug, Clone)]
enum CommitError {
    NotWritten(String),
    Unknown(String),
}

struct Piece<T, E, F> {
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, WriteError<E>>>,
}

impl<T, E, F> Work for Piece<T, E, F>
where
    T: Send,
    E: Display + Send,
    F: FnOnce(&mut SqliteConnection) -> Result<T, E> + Send,
{
    fn run(&mut self, conn: &mut SqliteConnection) -> Result<(), String> {
        self.outcome = self.work.take().map(|work| work(conn));
        match &self.outcome {
            Some(Err(error)) => Err(error.to_string()),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    fn answer(self: Box<Self>, committed: &Result<(), CommitError>) {
        let answer = match (self.outcome, committed) {
            (Some(Err(error)), Ok(())) => Err(WriteError::Work(error)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(CommitError::Unknown(cause))) => Err(WriteError::Unknown(cause.clone())),
            (_, Err(CommitError::NotWritten(cause))) => Err(WriteError::NotWritten(cause.clone())),
            (None, Ok(())) => Err(WriteError::NotWritten("it was not its turn".to_owned())),
        };
        // `send` fails only if the caller no longer waits.
        let _ = self.answer.send(answer);
    }
}

impl Store {
    /// Starts the thread that writes, on this connection, and opens the connections that read.
    pub(super) fn start(writer: SqliteConnection, file: &Path) -> Result<Self, OpenError> {
        let readers = (0..READERS)
            .map(|_| connect::reader(file))
            .collect::<Result<Vec<_>, _>>()?;
        let (work, waiting) = mpsc::channel(WAITING);
        let (ended, end) = watch::channel(None);
        std::thread::Builder::new()
            .name("data-file".to_owned())
            .spawn(move || {
                let cause = write_groups(writer, waiting);
                ended.send_replace(Some(cause));
            })
            .map_err(|error| OpenError::of(file, &error.to_string()))?;
        Ok(Self {
            work,
            readers: Arc::new(Readers {
                file: file.to_owned(),
                free: Mutex::new(readers),
                permits: Arc::new(Semaphore::new(READERS)),
            }),
            end,
        })
    }

    /// Does the work in the next transaction. Returns when that transaction is on disk.
    pub(super) async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, WriteError<E>>
    where
        T: Send + 'static,
        E: Display + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let piece = Piece {
            work: Some(work),
            outcome: None,
            answer,
        };
        let sent = self
            .work
            .send_timeout(Message::Work(Box::new(piece)), DISK_TIMEOUT)
            .await;
        sent.map_err(|refused| {
            WriteError::NotWritten(match refused {
                SendTimeoutError::Timeout(_) => "the disk gave no answer".to_owned(),
                SendTimeoutError::Closed(_) => "the data file is closed".to_owned(),
            })
        })?;
        match tokio::time::timeout(DISK_TIMEOUT, answered).await {
            Ok(Ok(answer)) => answer,
            // The file was closed before the turn of this work, or the thread died.
            Ok(Err(_)) => Err(WriteError::Unknown("the data file was closed".to_owned())),
            Err(_) => Err(WriteError::Unknown(format!(
                "the disk gave no answer for {} s",
                DISK_TIMEOUT.as_secs()
            ))),
        }
    }

    /// Does the work, which may only read, on one snapshot of the committed rows.
    pub(super) async fn read<T>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, ReadError>
    where
        T: Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        let read = async move {
            let permit = Arc::clone(&readers.permits).acquire_owned().await;
            let permit = permit.map_err(|_| ReadError("it is closed".to_owned()))?;
            let read = spawn_blocking(move || {
                let result = readers.read(work);
                // Dropped here and not by a caller that gives up: the read still uses a connection until now.
                drop(permit);
                result
            });
            read.await
                .unwrap_or_else(|error| Err(ReadError(error.to_string())))
        };
        tokio::time::timeout(DISK_TIMEOUT, read)
            .await
            .unwrap_or_else(|_| Err(ReadError("the disk gave no answer".to_owned())))
    }

    /// Waits until the thread that writes has ended. Returns the cause.
    pub(super) async fn failure(&self) -> String {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone().unwrap_or_default(),
            Err(_) => "the thread that writes died".to_owned(),
        }
    }

    /// Writes the waiting work, and closes the file.
    pub(super) async fn close(&self) {
        self.readers.permits.close();
        self.readers
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let sent = self.work.send_timeout(Message::Close, DISK_TIMEOUT).await;
        if sent.is_ok() {
            let _ = tokio::time::timeout(DISK_TIMEOUT, self.failure()).await;
        }
    }
}

impl Readers {
    fn read<T>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, Error>,
    ) -> Result<T, ReadError> {
        let text = |error: &dyn Display| ReadError(error.to_string());
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = free().pop();
        let mut conn = match connection {
            Some(conn) => conn,
            // A connection was lost when its work panicked.
            None => connect::reader(&self.file).map_err(|error| text(&error))?,
        };
        let result = in_one_snapshot(&mut conn, work);
        if !self.permits.is_closed() {
            free().push(conn);
        }
        result.map_err(|error| text(&error))
    }
}

fn in_one_snapshot<T>(
    conn: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, Error>,
) -> Result<T, Error> {
    conn.batch_execute("BEGIN")?;
    let result = work(conn);
    let end = conn.batch_execute("COMMIT");
    if end.is_err() {
        let _ = conn.batch_execute("ROLLBACK");
    }
    result.and_then(|value| end.map(|()| value))
}

/// Writes until the store is closed, or until a commit fails so that it is in doubt what is on disk. Returns the cause.
fn write_groups(mut conn: SqliteConnection, mut waiting: mpsc::Receiver<Message>) -> String {
    let mut messages = Vec::with_capacity(GROUP);
    loop {
        messages.clear();
        if waiting.blocking_recv_many(&mut messages, GROUP) == 0 {
            return "it was closed".to_owned();
        }
        let mut close = false;
        let mut group = Vec::with_capacity(messages.len());
        for message in messages.drain(..) {
            match message {
                Message::Work(work) => group.push(work),
                Message::Close => close = true,
            }
        }
        let committed = write_group(&mut conn, &mut group);
        for work in group {
            work.answer(&committed);
        }
        match committed {
            // After a failed flush only opening the file again shows what is in it (PostgreSQL's experience with fsync), so the
            // process must end.
            Err(CommitError::Unknown(cause)) => return cause,
            _ if close => return "it was closed".to_owned(),
            _ => {}
        }
    }
}

fn write_group(
    conn: &mut SqliteConnection,
    group: &mut [Box<dyn Work>],
) -> Result<(), CommitError> {
    let within = |conn: &mut SqliteConnection, group: &mut [Box<dyn Work>]| {
        let text = |error: Error| error.to_string();
        conn.batch_execute("BEGIN IMMEDIATE").map_err(text)?;
        for work in group {
            conn.batch_execute("SAVEPOINT piece").map_err(text)?;
            if let Err(cause) = work.run(conn) {
                // Fails if SQLite has rolled back the whole transaction, as it does for a full disk.
                let undone = conn.batch_execute("ROLLBACK TO piece");
                undone.map_err(|_| cause)?;
            }
            conn.batch_execute("RELEASE piece").map_err(text)?;
        }
        Ok::<(), String>(())
    };
    if let Err(cause) = within(conn, group) {
        let _ = conn.batch_execute("ROLLBACK");
        return Err(CommitError::NotWritten(cause));
    }
    conn.batch_execute("COMMIT").map_err(|error| {
        let _ = conn.batch_execute("ROLLBACK");
        let cause = error.to_string();
        if is_certainly_not_written(&cause) {
            CommitError::NotWritten(cause)
        } else {
            CommitError::Unknown(cause)
        }
    })
}

/// True if a commit with this error certainly was not written: the frame that completes it is missing. The texts are those of
/// SQLite for `SQLITE_FULL`, `SQLITE_BUSY` and `SQLITE_READONLY`, since diesel does not pass the codes on.
fn is_certainly_not_written(cause: &str) -> bool {
    [
        "database or disk is full",
        "database is locked",
        "attempt to write a readonly database",
    ]
    .iter()
    .any(|words| cause.contains(words))
}

#[cfg(test)]
mod tests;
