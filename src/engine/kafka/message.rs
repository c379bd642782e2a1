//! Records as Kafka takes them: key, value, headers. What the value says is `engine::record`'s.

use std::collections::BTreeMap;

use rskafka::record::Record;

use crate::{
    engine::record,
    port::{Attempt, DeadLetter},
};

/// The record of an attempt. Its key puts all attempts of one shopper into one partition.
pub(super) fn of_attempt(attempt: &Attempt) -> Record {
    Record {
        key: Some(attempt.user.to_string().into_bytes()),
        value: Some(record::encode(attempt)),
        headers: BTreeMap::new(),
        timestamp: attempt.at,
    }
}

/// A record for the dead letters: the bytes as they came, where from and why in the headers. Without its value when that
/// is too large to be buried; the headers say where it can be found.
pub(super) fn of_dead_letter(topic: &str, letter: &DeadLetter, keep_value: bool) -> Record {
    let size = letter.raw.value.as_ref().map_or(0, Vec::len);
    let omitted = (!keep_value).then(|| ("flashsale.omitted-bytes", size.to_string()));
    let headers = [
        ("flashsale.cause", letter.cause.clone()),
        ("flashsale.topic", topic.to_owned()),
        ("flashsale.partition", letter.partition.to_string()),
        ("flashsale.offset", letter.offset.to_string()),
    ];
    Record {
        key: letter.raw.key.clone().filter(|_| keep_value),
        value: letter.raw.value.clone().filter(|_| keep_value),
        headers: headers
            .into_iter()
            .chain(omitted)
            .map(|(name, value)| (name.to_owned(), value.into_bytes()))
            .collect(),
        timestamp: letter.buried_at,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::ids::{AttemptId, ProductId, SaleId, UserId};

    #[test]
    fn an_attempt_is_keyed_by_its_shopper() {
        let attempt = Attempt {
            id: AttemptId::generate(),
            sale: SaleId::new(7).unwrap(),
            product: ProductId::new(1).unwrap(),
            user: UserId::new(42).unwrap(),
            at: DateTime::UNIX_EPOCH,
        };
        assert_eq!(of_attempt(&attempt).key.unwrap(), b"42");
    }
}
