//! Tests of groups, savepoints, and a disk that fails.

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::BigInt};
use futures::future::join_all;
use tempfile::TempDir;

use super::*;

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// A store with a table of unique numbers.
fn store() -> (TempDir, Store) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("test.db");
    let mut writer = connect::writer(&file).unwrap();
    writer
        .batch_execute(
            "CREATE TABLE numbers (number INTEGER PRIMARY KEY, filling BLOB);
             CREATE TABLE children (number INTEGER REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)",
        )
        .unwrap();
    let store = Store::start(writer, &file).unwrap();
    (directory, store)
}

fn insert(conn: &mut SqliteConnection, number: i64, filling: usize) -> Result<usize, Error> {
    sql_query(format!(
        "INSERT INTO numbers VALUES ({number}, zeroblob({filling}))"
    ))
    .execute(conn)
}

async fn count(store: &Store) -> i64 {
    let row = store
        .read(|conn| {
            sql_query("SELECT count(*) AS number FROM numbers").get_result::<CountRow>(conn)
        })
        .await;
    row.unwrap().number
}

#[tokio::test]
async fn work_that_fails_is_not_written_and_does_not_affect_other_work() {
    let (_directory, store) = store();
    let pieces = (0..40).map(|number| {
        store.write(move |conn| {
            insert(conn, number, 0)?;
            // Every fourth piece of work fails after it has written.
            if number % 4 == 0 {
                insert(conn, number, 0)?;
            }
            Ok::<_, Error>(number)
        })
    });
    let answers = join_all(pieces).await;
    for (number, answer) in (0..).zip(answers) {
        match answer {
            Ok(answered) => assert!(answered == number && number % 4 != 0),
            Err(WriteError::Work(_)) => assert_eq!(number % 4, 0),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(count(&store).await, 30);
}

#[tokio::test]
async fn nothing_is_written_to_a_full_disk_until_it_has_room_again() {
    let (_directory, store) = store();
    let limit = |pages: u32| {
        let pragma = format!("PRAGMA max_page_count = {pages}");
        store.write(move |conn| sql_query(pragma).execute(conn))
    };
    limit(8).await.unwrap();
    let full = store.write(|conn| insert(conn, 1, 100_000)).await;
    assert!(
        matches!(&full, Err(WriteError::NotWritten(cause)) if cause.contains("full")),
        "{full:?}"
    );
    assert_eq!(count(&store).await, 0);
    limit(1_000_000).await.unwrap();
    store.write(|conn| insert(conn, 1, 100_000)).await.unwrap();
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn after_a_commit_with_an_unknown_outcome_nothing_is_written() {
    let (_directory, store) = store();
    // A deferred constraint fails at the commit, like a disk that fails then.
    let orphan = store
        .write(|conn| sql_query("INSERT INTO children VALUES (9)").execute(conn))
        .await;
    assert!(matches!(orphan, Err(WriteError::Unknown(_))), "{orphan:?}");
    assert!(store.failure().await.contains("FOREIGN KEY"));
    let after = store.write(|conn| insert(conn, 1, 0)).await;
    assert!(matches!(after, Err(WriteError::NotWritten(_))), "{after:?}");
}

#[tokio::test]
async fn waiting_work_is_written_before_the_file_is_closed() {
    let (_directory, store) = store();
    let writes = (0..10).map(|number| store.write(move |conn| insert(conn, number, 0)));
    let (written, ()) = tokio::join!(biased; join_all(writes), store.close());
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    assert!(store.read(|_| Ok(())).await.is_err());
}
