//! Tests of events as consumers receive them: golden files of every type, and ids that stay.

use std::path::PathBuf;

use super::*;
use crate::{
    ids::{AttemptId, UserId},
    port::SaleWindow,
};

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_000 + millis).unwrap()
}

fn ledger() -> LedgerId {
    LedgerId(Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef))
}

fn order(number: u128) -> EventOrder {
    EventOrder {
        order: Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_1000 + number),
        attempt: AttemptId(Uuid::from_u128(
            0x0198_0000_0000_7000_8000_0000_0000_0000 + number,
        )),
        user: UserId::new(7).unwrap(),
    }
}

fn batch(event_type: EventType) -> EventBatch {
    let terms = EventTerms {
        state: match event_type {
            EventType::SaleCancelled => SaleState::Cancelled,
            _ => SaleState::Live,
        },
        paused_at: (event_type == EventType::SalePaused).then(|| at(0)),
        window: SaleWindow {
            start: at(-60_000),
            end: at(60_000),
        },
        initial_stock: 100,
        remaining_stock: u64::from(event_type != EventType::SaleSoldOut) * 40,
        version: 3,
    };
    EventBatch {
        sale: SaleId::new(1).unwrap(),
        product: ProductId::new(2).unwrap(),
        event_type,
        first: 42,
        at: at(123),
        is_repeated: false,
        subject: match event_type {
            EventType::OrderCreated | EventType::OrderReleased => {
                EventSubject::Orders(vec![order(1), order(2)])
            }
            _ => EventSubject::Sale(terms),
        },
    }
}

fn events(batch: &EventBatch) -> Vec<Event> {
    Event::of_batch(ledger(), batch, 0).collect()
}

/// Consumers are written against these files: a change of one is a new version of its schema.
#[test]
fn every_type_is_written_as_its_golden_file() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events");
    for event_type in EventType::ALL {
        let event = events(&batch(event_type)).remove(0);
        let value: serde_json::Value = serde_json::from_slice(&event.structured()).unwrap();
        let mut text = serde_json::to_string_pretty(&value).unwrap();
        text.push('\n');
        let file = folder.join(format!("{}.json", event_type.name()));
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(text, golden, "{}", file.display());
    }
}

#[test]
fn events_of_a_batch_have_consecutive_numbers_and_begin_after_the_given_one() {
    let batch = batch(EventType::OrderCreated);
    let numbers: Vec<_> = events(&batch).iter().map(Event::sequence_text).collect();
    assert_eq!(numbers, ["00000000000000000042", "00000000000000000043"]);
    let rest: Vec<_> = Event::of_batch(ledger(), &batch, 42).collect();
    assert_eq!(rest, events(&batch)[1..]);
}

#[test]
fn an_order_s_event_has_the_same_id_under_another_number() {
    let first = batch(EventType::OrderCreated);
    let again = EventBatch {
        first: 99,
        at: at(5000),
        ..first.clone()
    };
    assert_eq!(events(&first)[0].id, events(&again)[0].id);
    assert_ne!(events(&first)[0].id, events(&first)[1].id);
    let released = EventBatch {
        event_type: EventType::OrderReleased,
        ..first.clone()
    };
    assert_ne!(events(&first)[0].id, events(&released)[0].id);
}

#[test]
fn what_may_happen_twice_has_another_id_each_time() {
    let first = EventBatch {
        is_repeated: true,
        ..batch(EventType::OrderReleased)
    };
    let second = EventBatch {
        first: 50,
        ..first.clone()
    };
    assert_ne!(events(&first)[0].id, events(&second)[0].id);
    let paused = batch(EventType::SalePaused);
    let later = EventBatch {
        first: 44,
        ..paused.clone()
    };
    assert_ne!(events(&paused)[0].id, events(&later)[0].id);
    assert_eq!(events(&paused)[0].id, events(&paused.clone())[0].id);
}

#[test]
fn events_of_an_order_share_a_key() {
    let created = events(&batch(EventType::OrderCreated));
    let released = events(&batch(EventType::OrderReleased));
    assert_eq!(created[0].key(), released[0].key());
    assert_ne!(created[0].key(), created[1].key());
    assert_eq!(events(&batch(EventType::SalePaused))[0].key(), "1");
}
