//! The log of the simulator, as its bed for the suite.

use flashsale::port::{AttemptLog, Partition, RawRecord};
use flashsale_simulator::model::ModelLog;

use super::{Buried, LogBed};

pub struct ModelBed(ModelLog);

impl LogBed for ModelBed {
    async fn start() -> Self {
        Self(ModelLog::new(3))
    }

    fn log(&self) -> &dyn AttemptLog {
        &self.0
    }

    async fn write_by_hand(&self, records: &[&str]) {
        for record in records {
            let value = Some(record.as_bytes().to_vec());
            self.0
                .write_by_hand(Partition(1), RawRecord { key: None, value });
        }
    }

    async fn dead_letters(&self) -> Vec<Buried> {
        let letters = self.0.all_dead_letters().into_iter();
        letters
            .map(|letter| Buried {
                partition: letter.partition.0,
                offset: letter.offset.0,
                cause: letter.cause,
                key: letter.raw.key,
                value: letter.raw.value,
            })
            .collect()
    }
}
