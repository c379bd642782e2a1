//! The log in a data file: its bed for the suite, and what only a file can do.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Binary, Integer, Nullable, Text},
};
use flashsale::{
    clock::Clock,
    engine::embedded::{DataFile, Embedded},
    port::{
        AttemptLog, ConsumerGroup, LogEnds, Member, Offset, Partition, Position, SettleBatch,
        Settling,
    },
};
use tempfile::TempDir;

use super::{Buried, LogBed, attempt};
use crate::support::embedded;

/// A data file of its own.
pub struct SqliteBed {
    engines: Embedded,
    directory: TempDir,
}

#[derive(QueryableByName)]
struct LetterRow {
    #[diesel(sql_type = Integer)]
    partition: i32,
    #[diesel(sql_type = BigInt)]
    log_offset: i64,
    #[diesel(sql_type = Text)]
    cause: String,
    #[diesel(sql_type = Nullable<Binary>)]
    record_key: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    record: Option<Vec<u8>>,
}

impl LogBed for SqliteBed {
    async fn start() -> Self {
        let (directory, engines) = embedded::start(Duration::from_mins(10));
        Self { engines, directory }
    }

    fn log(&self) -> &dyn AttemptLog {
        self.engines.log.as_ref()
    }

    async fn write_by_hand(&self, records: &[&str]) {
        let mut conn = embedded::connect(self.directory.path());
        for (offset, record) in records.iter().enumerate() {
            let insert = format!(
                "INSERT INTO attempt_log (log_offset, record, appended_at) VALUES ({offset}, CAST('{record}' AS BLOB), 0)"
            );
            embedded::execute(&mut conn, &insert).unwrap();
        }
    }

    async fn dead_letters(&self) -> Vec<Buried> {
        let mut conn = embedded::connect(self.directory.path());
        let rows: Vec<LetterRow> =
            diesel::sql_query("SELECT * FROM dead_letters ORDER BY partition, log_offset")
                .load(&mut conn)
                .unwrap();
        let buried = |row: LetterRow| Buried {
            partition: row.partition,
            offset: row.log_offset,
            cause: row.cause,
            key: row.record_key,
            value: row.record,
        };
        rows.into_iter().map(buried).collect()
    }
}

struct TestClock(Mutex<DateTime<Utc>>);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

fn open(directory: &Path, clock: &Arc<TestClock>) -> Embedded {
    let clock: Arc<dyn Clock> = clock.clone();
    let mut data = DataFile::open(directory).unwrap();
    data.migrate().unwrap();
    data.start(&clock, Duration::from_mins(1)).unwrap()
}

async fn settle(engines: &Embedded, from: i64, to: i64) {
    let (group, topic) = ("workers".to_owned(), "attempts".to_owned());
    let member = Member {
        group: group.clone(),
        topic: topic.clone(),
        id: "worker".to_owned(),
    };
    let lease = Duration::from_secs(9);
    engines.ledger.heartbeat(&member, 1, lease).await.unwrap();
    let position = Position {
        group,
        topic,
        partition: Partition(0),
    };
    let batch = SettleBatch {
        position,
        from: Offset(from),
        to: Offset(to),
        last: None,
        attempts: Vec::new(),
        offsets: Vec::new(),
        rejected: Vec::new(),
        reached: None,
    };
    engines.ledger.settle(&[batch]).await.unwrap();
}

#[tokio::test]
async fn settled_records_go_after_a_week_and_offsets_go_on() {
    let directory = TempDir::new().unwrap();
    let clock = Arc::new(TestClock(Mutex::new(attempt(1).at)));
    let engines = open(directory.path(), &clock);
    let append = async |engines: &Embedded, count: i64| {
        let attempts: Vec<_> = (1..=count).map(attempt).collect();
        let answers = engines.log.append(&attempts).await;
        assert!(answers.iter().all(Result::is_ok));
        engines.log.earliest(Partition(0)).await.unwrap().0
    };
    assert_eq!(append(&engines, 10).await, 0);
    settle(&engines, 0, 8).await;
    *clock.0.lock().unwrap() += TimeDelta::days(7);
    assert_eq!(append(&engines, 1).await, 0, "just a week old");
    *clock.0.lock().unwrap() += TimeDelta::milliseconds(1);
    assert_eq!(append(&engines, 1).await, 2, "two go for each that comes");
    assert_eq!(append(&engines, 10).await, 8, "what is not settled stays");
    settle(&engines, 8, 22).await;
    *clock.0.lock().unwrap() += TimeDelta::days(8);
    assert_eq!(append(&engines, 100).await, 22);
    engines.close().await;

    let engines = open(directory.path(), &clock);
    let ends = engines.log.ends().await.unwrap();
    assert_eq!(ends[&Partition(0)], Offset(122));
    engines.close().await;
}
