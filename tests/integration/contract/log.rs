//! What every attempt log must do: a suite over a [`LogBed`], one bed an engine; what only one of them does is in its
//! module.

mod dead_letters;
mod kafka;
mod model;
mod reading;
mod sqlite;

use chrono::DateTime;
use flashsale::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Attempt, AttemptLog, DeadLetterEntry, LogEntry, Offset, Partition},
};

use self::{kafka::KafkaBed, model::ModelBed, sqlite::SqliteBed};

/// An empty log of a test's own.
pub trait LogBed: Sized {
    async fn start() -> Self;

    fn log(&self) -> &dyn AttemptLog;

    /// Records by another hand than the engine's, into one partition.
    async fn write_by_hand(&self, records: &[&str]);

    async fn dead_letters(&self) -> Vec<Buried>;
}

/// A dead letter as it can be found.
#[derive(Debug, PartialEq, Eq)]
pub struct Buried {
    pub partition: i32,
    pub offset: i64,
    pub cause: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// Runs a function of the suite on a bed of its own.
async fn run<B: LogBed>(test: impl AsyncFnOnce(&B)) {
    test(&B::start().await).await;
}

contract! { [on_kafka: KafkaBed, on_sqlite: SqliteBed, on_model: ModelBed] {
    reading {
        what_is_appended_is_read_back_in_order_within_a_shopper,
        reading_at_the_end_waits_a_little_and_answers_with_nothing,
        who_waits_at_the_end_is_woken_by_an_append,
        an_offset_outside_the_log_is_reported_with_what_is_there,
        records_of_another_hand_are_read_and_garbage_is_named,
    }
    dead_letters {
        dead_letters_keep_the_bytes_and_say_where_from_and_why,
        dead_letters_are_found_again_page_by_page,
    }
} }

pub fn attempt(user: i64) -> Attempt {
    Attempt {
        id: AttemptId::generate(),
        sale: SaleId::new(1).unwrap(),
        product: ProductId::new(1).unwrap(),
        user: UserId::new(user).unwrap(),
        at: DateTime::from_timestamp_millis(1_767_268_800_123).unwrap(),
    }
}

/// Everything in the log, by partition and in order.
pub async fn read_all(log: &dyn AttemptLog) -> Vec<(Partition, Vec<Attempt>)> {
    let mut all = Vec::new();
    for (partition, end) in log.ends().await.unwrap() {
        let (mut next, mut attempts) = (log.earliest(partition).await.unwrap(), Vec::new());
        while next < end {
            let batch = log.read(partition, next).await.unwrap();
            assert!(batch.next > next, "reading moves on");
            attempts.extend(batch.records.into_iter().map(|record| match record.entry {
                LogEntry::Attempt(attempt) => attempt,
                LogEntry::Undecodable(cause) => panic!("{cause}"),
                LogEntry::OtherLedger(ledger) => panic!("of ledger {ledger}"),
            }));
            next = batch.next;
        }
        all.push((partition, attempts));
    }
    all
}

/// All dead letters in the first of their partitions.
pub async fn find_letters(log: &dyn AttemptLog) -> Vec<DeadLetterEntry> {
    let (mut found, mut next) = (Vec::new(), Offset(0));
    loop {
        let page = log.read_dead_letters(Partition(0), next).await.unwrap();
        found.extend(page.entries);
        if page.next >= page.end {
            return found;
        }
        assert!(page.next > next, "reading moves on");
        next = page.next;
    }
}
