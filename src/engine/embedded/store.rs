//! The data file in use: one thread writes, a few connections read. What is written and read is the others' business.
//!
//! Whatever waits to be written goes as one transaction, so that one flush to the disk serves all of it: the group grows
//! by what arrived while the last one was being flushed, and nobody ever waits for a group to fill. Each piece of work has
//! a savepoint of its own: when it fails, nothing of it is written, and the rest of the group is not harmed.

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

/// Pieces of work that wait at most; who comes then waits for room. Those who bring the most gather theirs before.
const WAITING: usize = 1_024;
/// Pieces of work in one transaction at most.
const GROUP: usize = 128;
const READERS: usize = 3;
/// How long an answer is waited for: far beyond any flush or read, but a disk may hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why something was not written, or not known to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError<E> {
    /// The work itself failed; nothing of it was written.
    #[error("{0}")]
    Work(E),
    /// Nothing was written, and nothing will be.
    #[error("{0}")]
    NotWritten(String),
    /// The disk failed in the middle of the commit.
    #[error("{0}")]
    Unknown(String),
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the data file: {0}")]
pub(super) struct ReadError(pub(super) String);

/// The data file. Clones share it.
#[derive(Clone)]
pub(super) struct Store {
    work: mpsc::Sender<Message>,
    readers: Arc<Readers>,
    /// What ended the thread that writes, once it has ended.
    end: watch::Receiver<Option<String>>,
}

struct Readers {
    file: PathBuf,
    free: Mutex<Vec<SqliteConnection>>,
    /// As many as may read at once; closed with the file.
    permits: Arc<Semaphore>,
}

enum Message {
    Work(Box<dyn Work>),
    Close,
}

/// A piece of work with whoever waits for it.
trait Work: Send {
    /// Does it, within a savepoint. If it fails, says why: the savepoint is rolled back.
    fn run(&mut self, conn: &mut SqliteConnection) -> Result<(), String>;

    /// Answers, once the transaction is through or not.
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
        // Whoever went away does not need it.
        let _ = self.answer.send(answer);
    }
}

impl Store {
    /// Takes over the connection that writes, and opens those that read.
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

    /// Does some work in the next transaction, and answers when that is on disk.
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
        let told = self
            .work
            .send_timeout(Message::Work(Box::new(piece)), PATIENCE)
            .await;
        told.map_err(|refused| {
            WriteError::NotWritten(match refused {
                SendTimeoutError::Timeout(_) => "the disk gave no answer".to_owned(),
                SendTimeoutError::Closed(_) => "the data file is closed".to_owned(),
            })
        })?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            // It was still waiting when the file was closed, or the thread died over it.
            Ok(Err(_)) => Err(WriteError::Unknown("the data file was closed".to_owned())),
            Err(_) => Err(WriteError::Unknown(format!(
                "the disk gave no answer for {} s",
                PATIENCE.as_secs()
            ))),
        }
    }

    /// Reads what is committed by now, at one moment.
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
                // Not before: whoever is waited for in vain still has one of the few turns.
                drop(permit);
                result
            });
            read.await
                .unwrap_or_else(|error| Err(ReadError(error.to_string())))
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .unwrap_or_else(|_| Err(ReadError("the disk gave no answer".to_owned())))
    }

    /// Waits until nothing can be written any more, and says why.
    pub(super) async fn failure(&self) -> String {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone().unwrap_or_default(),
            Err(_) => "the thread that writes died".to_owned(),
        }
    }

    /// Writes what waits, and closes the file.
    pub(super) async fn close(&self) {
        self.readers.permits.close();
        self.readers
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let told = self.work.send_timeout(Message::Close, PATIENCE).await;
        if told.is_ok() {
            let _ = tokio::time::timeout(PATIENCE, self.failure()).await;
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
        let one = free().pop();
        let mut conn = match one {
            Some(conn) => conn,
            // One was lost with work that panicked.
            None => connect::reader(&self.file).map_err(|error| text(&error))?,
        };
        let result = at_one_moment(&mut conn, work);
        if !self.permits.is_closed() {
            free().push(conn);
        }
        result.map_err(|error| text(&error))
    }
}

fn at_one_moment<T>(
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

/// Writes until told to close, or the disk fails in a way that leaves in doubt what is written. Says what ended it.
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
            // Only reading the file anew tells what is in it, as PostgreSQL found out about fsync: the process must end.
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
                // Fails when it was so bad, as a full disk is, that SQLite has rolled everything back.
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
        if is_harmless(&cause) {
            CommitError::NotWritten(cause)
        } else {
            CommitError::Unknown(cause)
        }
    })
}

/// True for failures of a commit that leave no doubt: the frame that would make it valid was not written. By SQLite's own
/// words for `SQLITE_FULL`, `SQLITE_BUSY` and `SQLITE_READONLY`; diesel passes no codes on.
fn is_harmless(cause: &str) -> bool {
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
