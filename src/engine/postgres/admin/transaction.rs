//! Transactions of operators. They are READ COMMITTED, and are tried again if they fail because of another writer.

use diesel::{QueryResult, result::Error};
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
};

use super::super::{
    failure::{self, Retry},
    watch::LastCode,
};
use crate::port::{AdminError, LedgerError};

/// Highest number of tries of a change that fails because of other writers.
pub(super) const TRIES: u32 = 5;

impl From<Error> for AdminError {
    fn from(error: Error) -> Self {
        Self::Ledger(error.into())
    }
}

/// Begins a transaction. `settings` are the settings that each transaction has to make for itself.
pub(super) async fn begin(conn: &mut AsyncPgConnection, settings: Option<&str>) -> QueryResult<()> {
    // A change reads after its lock what others have committed before, whatever the server's default isolation is.
    let begin = "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED";
    AnsiTransactionManager::begin_transaction_sql(conn, begin).await?;
    if let Some(settings) = settings {
        conn.batch_execute(settings).await?;
    }
    Ok(())
}

/// Commits the transaction if the change succeeded, and rolls it back otherwise.
pub(super) async fn end<T, E: From<Error>>(
    conn: &mut AsyncPgConnection,
    result: Result<T, E>,
) -> Result<T, E> {
    match result {
        Ok(value) => {
            AnsiTransactionManager::commit_transaction(conn).await?;
            Ok(value)
        }
        Err(error) => {
            AnsiTransactionManager::rollback_transaction(conn).await?;
            Err(error)
        }
    }
}

/// An error of a transaction of operators.
pub(super) trait Failure: From<Error> {
    /// True if the server refused something that the change did not foresee.
    fn is_of_server(&self) -> bool;
}

impl Failure for AdminError {
    fn is_of_server(&self) -> bool {
        matches!(self, Self::Ledger(_))
    }
}

impl Failure for LedgerError {
    fn is_of_server(&self) -> bool {
        true
    }
}

/// True if the change failed because another writer changed the rows that it relied on. A new try takes the new rows into account.
pub(super) fn is_worth_another_try(error: &impl Failure, code: &LastCode) -> bool {
    let another_writer = |code: [u8; 5]| {
        // exclusion_violation: a sale of the same product was published after we looked.
        &code == b"23P01" || failure::effect(code).retry == Retry::AtOnce
    };
    error.is_of_server() && code.get().is_some_and(another_writer)
}

/// Does `$work`, which uses `$session`, in a transaction; again if another writer was in the way.
macro_rules! transaction {
    ($pool:expr, |$session:ident| $work:expr) => {{
        let mut session = $pool.take().await?;
        let code = session.code();
        let mut tries = 1;
        loop {
            code.clear();
            let $session: &mut AsyncPgConnection = &mut session;
            transaction::begin($session, $pool.transaction_settings()).await?;
            let result = $work.await;
            match transaction::end($session, result).await {
                Err(error)
                    if tries < transaction::TRIES
                        && transaction::is_worth_another_try(&error, &code) =>
                {
                    tries += 1;
                }
                result => break result,
            }
        }
    }};
}

pub(super) use transaction;
